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
    format::{FileReader, Front, Header, Limits},
};
use firn_store::daemon::StoreUrl;
use std::{
    collections::HashSet,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
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
    /// Bases that are looked for already: what is a delta of them does not lead to them.
    pub(crate) sought: Vec<Vec<StorePath>>,
    /// Files of the folder that were read in vain.
    pub(crate) in_vain: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Bases {
    /// Whether a file leads back to what is looked for.
    fn leads_back(&self, header: &Header) -> bool {
        header.base.as_ref().is_some_and(|base| self.sought.contains(&base.roots))
    }

    fn fails(&self, path: &Path) -> bool {
        self.in_vain.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn failed(&self, path: &Path) {
        self.in_vain.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }
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
        let mut deeper = bases.clone();
        deeper.sought.push(wanted.to_vec());
        let bases = &deeper;
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
            let input = self.open(source.clone()).about("its base")?;
            if input.content() != Content::Firn {
                let (closure, _) = self.read_closure(input, spool, bases, depth + 1).about("its base")?;
                if wanted.iter().all(|root| closure.roots().contains(root)) {
                    return Ok(closure.restrict(wanted.to_vec())?);
                }
                seen.file(source, closure.roots());
                continue;
            }
            // Opened once, since it may be a pipe.
            let reader = FileReader::new(input, self.decode_options().limits).about(&source).about("its base")?;
            let header = &reader.front().header;
            if !wanted.iter().all(|root| header.roots.contains(root)) {
                seen.file(source, &header.roots);
            } else if bases.leads_back(header) {
                seen.leads_back(source);
            } else {
                let (closure, _) = self.read_firn(reader, &source, spool, bases, depth + 1).about("its base")?;
                return Ok(closure.restrict(wanted.to_vec())?);
            }
        }
        let mut broken = None;
        if let Some(dir) = &bases.folder {
            let mut streams = Vec::new();
            for path in files(dir).about("--base-dir")? {
                let Some(header) = header_of(&path) else {
                    streams.push(path);
                    continue;
                };
                if !wanted.iter().all(|root| header.roots.contains(root)) {
                    seen.file(path.display(), &header.roots);
                    continue;
                }
                if bases.leads_back(&header) {
                    seen.leads_back(path.display());
                    continue;
                }
                if bases.fails(&path) {
                    continue;
                }
                let input = self.open(Source::File(path.clone()));
                match input.and_then(|input| self.read_closure(input, spool, bases, depth + 1)) {
                    Ok((closure, _)) => return Ok(closure.restrict(wanted.to_vec())?),
                    // Another file, or the store, may have it whole.
                    Err(error) => broken = broken.or(Some(error)),
                }
                bases.failed(&path);
            }
            // Of what they are is known when they are read.
            for path in streams {
                let Some(input) = self.open(Source::File(path.clone())).ok().filter(|_| !bases.fails(&path)) else {
                    continue;
                };
                match self.read_closure(input, spool, bases, depth + 1) {
                    Ok((closure, _)) if wanted.iter().all(|root| closure.roots().contains(root)) => {
                        return Ok(closure.restrict(wanted.to_vec())?);
                    }
                    Ok((closure, _)) => seen.file(path.display(), closure.roots()),
                    Err(_) => {}
                }
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

/// Files of a folder by name.
fn files(dir: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let failed = |error| CommandError::new(ExitCode::Input, error).about(dir.display());
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// The header of a firn file; `None` where it is none.
fn header_of(path: &Path) -> Option<Header> {
    let file = std::fs::File::open(path).ok()?;
    let reader = FileReader::new(std::io::BufReader::new(file).take(Limits::default().header_bytes), Limits::default());
    Some(reader.ok()?.front().header.clone())
}
