//! Where the base of a delta is: in files that were named, in a folder of earlier files, or in a store.

use super::{decode_delta, missing::Seen};
use crate::{
    CommandError, ExitCode, Session, SharedFrames, StoreTarget,
    decode::{DecodeOptions, decode_whole},
    error::About,
    import::environment,
    input::{Content, Input, Source},
    pack::{StorePlace, read_closure},
    spool_file::FileSpool,
    stock::read_export,
};
use firn_core::{
    Proven, StoreDir, StorePath,
    codec::DICTIONARIES,
    format::{FileReader, Front, Limits},
};
use firn_store::daemon::StoreUrl;
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A base of a base, and so on, at most.
const DEEPEST: usize = 64;

/// Where bases may be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bases {
    /// A closure whose contents are in the spool already.
    pub(crate) at_hand: Option<Proven>,
    /// Files, or derivations in the store.
    pub(crate) named: Vec<PathBuf>,
    /// A folder of files.
    pub(crate) folder: Option<PathBuf>,
    /// The store that is imported into; none for those who touch no store.
    pub(crate) store: Option<StoreTarget>,
    /// What another file that is read meanwhile may have in common with the one at hand.
    pub(crate) shared: Option<Arc<SharedFrames>>,
}

/// Whether a name is that of a derivation in a store.
fn derivation(path: &Path, store_dir: &StoreDir) -> Option<StorePath> {
    let text = path.to_str()?;
    store_dir.parse(text.as_bytes()).ok().filter(StorePath::is_derivation)
}

impl Session<'_> {
    /// Reads an input as a whole, a delta with its base.
    pub(crate) fn read_closure(
        &self,
        input: Input,
        spool: &mut FileSpool,
        bases: &Bases,
        depth: usize,
    ) -> Result<(Proven, Option<Front>), CommandError> {
        let source = input.source().clone();
        if input.content() != Content::Firn {
            return Ok((read_export(input, spool, self.threads(), self.sink)?, None));
        }
        let reader = FileReader::new(input, self.decode_options().limits).about(&source)?;
        let (closure, front) = self.read_firn(reader, &source, spool, bases, depth)?;
        Ok((closure, Some(front)))
    }

    /// As [`Session::read_closure`], of a firn file whose front was read.
    pub(crate) fn read_firn(
        &self,
        reader: FileReader<Input>,
        source: &Source,
        spool: &mut FileSpool,
        bases: &Bases,
        depth: usize,
    ) -> Result<(Proven, Front), CommandError> {
        let options = DecodeOptions { shared: bases.shared.clone(), ..self.decode_options() };
        if reader.front().header.base.is_none() {
            let decoded = decode_whole(reader, spool, DICTIONARIES, &options, self.sink).about(source)?;
            return Ok((decoded.closure, decoded.front));
        }
        let base = self.find_base(reader.front(), spool, bases, depth).about(source)?;
        let decoded = decode_delta(reader, &base, spool, DICTIONARIES, &options, self.sink).about(source)?;
        Ok((decoded.closure, decoded.front))
    }

    fn find_base(
        &self,
        front: &Front,
        spool: &mut FileSpool,
        bases: &Bases,
        depth: usize,
    ) -> Result<Proven, CommandError> {
        let store_dir = &front.header.store_dir;
        let Some(wanted) = front.header.base.as_ref().map(|base| base.roots.as_slice()) else {
            return Err(CommandError::new(ExitCode::Failure, "it has no base"));
        };
        if depth >= DEEPEST {
            return Err(CommandError::new(
                ExitCode::Limit,
                format!("its base is the delta of a delta, {DEEPEST} deep"),
            ));
        }
        if let Some(base) = bases.at_hand.as_ref().filter(|base| wanted.iter().all(|root| base.roots().contains(root)))
        {
            return Ok(base.clone().restrict(wanted.to_vec())?);
        }
        let mut seen = Seen::new(store_dir, wanted);
        for path in &bases.named {
            if let Some(root) = derivation(path, store_dir) {
                if wanted == std::slice::from_ref(&root) {
                    let target = bases.store.clone().unwrap_or(StoreTarget::Daemon(StoreUrl::Auto));
                    if let Some(base) = self.base_in_store(&target, wanted, store_dir, spool)? {
                        return Ok(base);
                    }
                    seen.not_valid();
                    continue;
                }
                seen.file("--base", &[root]);
                continue;
            }
            let source = Source::new(path);
            let input = self.open(source.clone())?;
            let roots = match input.content() {
                Content::Firn => FileReader::new(input, Limits::default()).about(&source)?.front().header.roots.clone(),
                _ => wanted.to_vec(),
            };
            if wanted.iter().all(|root| roots.contains(root)) {
                let (closure, _) =
                    self.read_closure(self.open(source.clone())?, spool, bases, depth + 1).about("its base")?;
                if wanted.iter().all(|root| closure.roots().contains(root)) {
                    return Ok(closure.restrict(wanted.to_vec())?);
                }
                seen.file(source, closure.roots());
                continue;
            }
            seen.file(source, &roots);
        }
        let mut broken = None;
        if let Some(dir) = &bases.folder {
            for path in files(dir) {
                let Some(roots) = roots_of(&path) else { continue };
                if wanted.iter().all(|root| roots.contains(root)) {
                    let input = self.open(Source::File(path));
                    match input.and_then(|input| self.read_closure(input, spool, bases, depth + 1)) {
                        Ok((closure, _)) => return Ok(closure.restrict(wanted.to_vec())?),
                        // Another file, or the store, may have it whole.
                        Err(error) => broken = broken.or(Some(error)),
                    }
                    continue;
                }
                seen.file(path.display(), &roots);
            }
            seen.folder(dir);
        }
        if let Some(target) = &bases.store {
            // Of an empty difference only the root is new to a daemon: what is gone meanwhile, it will say then.
            if front.header.roots == wanted
                && let Some(base) = self.base_on_disk(target, wanted, store_dir, spool)
            {
                return Ok(base);
            }
            if let Some(base) = self.base_in_store(target, wanted, store_dir, spool)? {
                return Ok(base);
            }
            seen.store(target);
        }
        match broken {
            Some(error) => Err(error).about("its base"),
            None => Err(seen.error()),
        }
    }

    /// As [`Session::base_in_store`], without asking a daemon to hold it; `None` for whatever reason it cannot be read.
    fn base_on_disk(
        &self,
        target: &StoreTarget,
        roots: &[StorePath],
        store_dir: &StoreDir,
        spool: &mut FileSpool,
    ) -> Option<Proven> {
        let StoreTarget::Daemon(url) = target else { return None };
        let place = StorePlace::at(url.clone(), store_dir.clone(), environment()).ok()?;
        let mut store = place.open_without_daemon().ok()??;
        read_closure(&mut store, &place, roots, spool, self).ok().map(|(closure, _)| closure)
    }

    /// The closure of some roots of a store, every path hashed; `None` where the store has not got them or cannot be read.
    pub(crate) fn base_in_store(
        &self,
        target: &StoreTarget,
        roots: &[StorePath],
        store_dir: &StoreDir,
        spool: &mut FileSpool,
    ) -> Result<Option<Proven>, CommandError> {
        let (place, store) = match target {
            StoreTarget::Daemon(StoreUrl::Ssh(_)) => return Ok(None),
            StoreTarget::Daemon(url) => {
                let place = StorePlace::at(url.clone(), store_dir.clone(), environment())?;
                let store = if place.exists() { Some(place.open(Vec::new(), self.sink)?) } else { None };
                (place, store)
            }
            StoreTarget::Folder(root) => {
                let place = StorePlace::folder(root, store_dir.clone(), environment());
                let store = place.open_without_daemon()?;
                (place, store)
            }
        };
        let Some(mut store) = store else { return Ok(None) };
        // Held as long as it is read: a collector cannot pull it away.
        if !store.hold(roots)?.is_empty() {
            store.close()?;
            return Ok(None);
        }
        let (closure, _) = read_closure(&mut store, &place, roots, spool, self).about("the base in the store")?;
        store.close()?;
        Ok(Some(closure))
    }

    /// The closure that a delta is to be written against: a file, or a derivation in a store.
    pub(crate) fn base_named(
        &self,
        path: &Path,
        store_dir: &StoreDir,
        target: &StoreTarget,
        spool: &mut FileSpool,
    ) -> Result<Proven, CommandError> {
        let Some(root) = derivation(path, store_dir) else {
            let bases =
                Bases { folder: self.globals.base_dir.clone(), store: Some(target.clone()), ..Bases::default() };
            let (closure, _) = self.read_closure(self.open(Source::new(path))?, spool, &bases, 0).about("--base")?;
            return Ok(closure);
        };
        self.base_in_store(target, std::slice::from_ref(&root), store_dir, spool)?.ok_or_else(|| {
            CommandError::new(ExitCode::Incomplete, "this base is not valid in the store")
                .about(store_dir.display(&root))
                .hint("name a file of it instead: --base FILE")
        })
    }
}

/// Files of a folder by name; one that cannot be read is none.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The roots that a file says it holds; `None` where it is no firn file.
fn roots_of(path: &Path) -> Option<Vec<StorePath>> {
    let file = std::fs::File::open(path).ok()?;
    let reader = FileReader::new(std::io::BufReader::new(file).take(Limits::default().header_bytes), Limits::default());
    Some(reader.ok()?.front().header.roots.clone())
}
