//! The contents of a closure from the disk of a store: what was read is proven while the rest is read.

use super::secrets;
use crate::{
    CommandError, ExitCode,
    encode::{expect_texts, text_len},
    event::{Meter, Sink, Work},
    spool_file::FileSpool,
};
use firn_core::{ClaimedPath, ClosureError, Node, ProvenPath, Spool, StoreDir, StorePath};
use firn_store::{TreeError, TreeReader, database::ValidPath};
use std::{
    collections::HashMap,
    error::Error,
    io,
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
};

/// Bytes that are read before they are handed over to be proven.
const BATCH: u64 = 1 << 18;

/// Paths that were read, and from where: the spool has more by now.
struct Batch {
    claimed: Vec<(usize, ClaimedPath)>,
    spool: FileSpool,
}

/// What was read.
pub(crate) struct Contents {
    /// In the order of what was asked for.
    pub(crate) paths: Vec<ProvenPath>,
    /// Derivations whose text holds a secret, and of what kind.
    pub(crate) secrets: HashMap<StorePath, &'static str>,
}

type Found = (ProvenPath, Option<&'static str>);

/// Reads what is in `folder` to the spool and proves it on `threads` threads. What is not as the store registered it is
/// refused.
pub(crate) fn contents(
    folder: &Path,
    infos: &[ValidPath],
    store_dir: &StoreDir,
    spool: &mut FileSpool,
    threads: usize,
    sink: &dyn Sink,
) -> Result<Contents, CommandError> {
    let bytes = infos.iter().map(|info| info.nar_size).sum();
    let meter = Meter::begin(sink, Work::Read, Some(bytes), Some(infos.len() as u64));
    let (batches, queue) = mpsc::channel::<Batch>();
    let queue = Mutex::new(queue);
    let work = || {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Batch { claimed, spool }) = next else { return done };
            for (number, path) in claimed {
                done.push((number, prove(path, store_dir, &spool)));
                meter.add(infos[number].nar_size, 1);
            }
        }
    };
    let mut found = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        read(folder, infos, store_dir, spool, batches)?;
        let mut found = work();
        for other in others {
            found.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        Ok::<_, CommandError>(found)
    })?;
    found.sort_unstable_by_key(|(number, _)| *number);
    let mut contents = Contents { paths: Vec::with_capacity(infos.len()), secrets: HashMap::new() };
    for ((_, found), info) in found.into_iter().zip(infos) {
        let (path, secret) = match found {
            Err(ClosureError::Io(error)) => return Err(ClosureError::Io(error).into()),
            found => found.map_err(|error| damaged(&info.path, error, store_dir))?,
        };
        if *path.nar_hash() != info.nar_hash {
            return Err(damaged(&info.path, "its contents are not those that the store registered", store_dir));
        }
        contents.secrets.extend(secret.map(|kind| (path.path().clone(), kind)));
        contents.paths.push(path);
    }
    Ok(contents)
}

/// A path of the store is not what it should be: no other copy of a file would help.
fn damaged(path: &StorePath, why: impl Into<Box<dyn Error + Send + Sync>>, store_dir: &StoreDir) -> CommandError {
    let path = store_dir.display(path);
    CommandError::without_hints(ExitCode::Damaged, why)
        .hint(format!("the store is damaged: nix-store --repair-path {path}, or nix-store --verify --check-contents --repair for all of it"))
        .about(path)
}

fn read(
    folder: &Path,
    infos: &[ValidPath],
    store_dir: &StoreDir,
    spool: &mut FileSpool,
    batches: mpsc::Sender<Batch>,
) -> Result<(), CommandError> {
    let mut reader = TreeReader::default();
    let (mut claimed, mut handed, mut texts) = (Vec::new(), spool.len(), 0);
    for (number, info) in infos.iter().enumerate() {
        let content = reader.read(&folder.join(info.path.as_str()), spool).map_err(|error| match error {
            TreeError::Io { ref source, .. } if source.kind() == io::ErrorKind::NotFound => {
                damaged(&info.path, error, store_dir)
            }
            error => error.into(),
        })?;
        texts += text_len(&info.path, &content);
        let path = ClaimedPath {
            path: info.path.clone(),
            references: info.references.clone(),
            content,
            deriver: info.deriver.clone(),
            signatures: info.signatures.clone(),
        };
        claimed.push((number, path));
        if spool.len() - handed >= BATCH || number + 1 == infos.len() {
            handed = spool.len();
            // The queue outlives the sender.
            let _ = batches.send(Batch { claimed: std::mem::take(&mut claimed), spool: spool.reader()? });
        }
    }
    expect_texts(texts);
    Ok(())
}

fn prove(path: ClaimedPath, store_dir: &StoreDir, spool: &FileSpool) -> Result<Found, ClosureError> {
    let path = path.prove(store_dir, spool)?;
    let secret = match path.content() {
        Node::Regular { contents, .. } if path.is_derivation() => secrets::find(&spool.get(*contents)?),
        _ => None,
    };
    Ok((path, secret))
}
