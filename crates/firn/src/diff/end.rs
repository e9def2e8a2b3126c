//! One end of a difference: a file, a derivation in a store, or the running system.

use super::{Report, report::Named};
use crate::{
    CommandError, DecodeOptions, ExitCode, FileSpool, Loaded, Session, SharedFrames, StoreTarget,
    decode::{decode_derivations, tells_paths},
    delta::Bases,
    error::About,
    import::environment,
    input::Source,
    pack::{
        read,
        store::{StorePlace, store_dir},
        what::in_store,
    },
};
use firn_activate::{Host, facts::specialisations, profile::Profile, record::Record};
use firn_core::{
    Proven, ProvenPath, Spool, StoreDir, StorePath,
    codec::DICTIONARIES,
    derivation::Derivation,
    difference::{Difference, Side},
    format::{FileReader, Limits},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Derivations, and sources where they were read, with their contents.
pub(crate) struct End {
    /// As a person named it.
    pub(crate) label: String,
    /// The directory of the paths.
    pub(crate) store_dir: StoreDir,
    /// What they are the closure of.
    pub(crate) roots: Vec<StorePath>,
    /// The paths.
    pub(crate) paths: Vec<ProvenPath>,
    /// Their contents.
    pub(crate) spool: FileSpool,
    /// The whole, where sources were read.
    closure: Option<Proven>,
}

impl End {
    /// The closure of a file.
    pub(crate) fn of(loaded: Loaded) -> Self {
        let Loaded { closure, spool, source, .. } = loaded;
        let (store_dir, roots) = (closure.store_dir().clone(), closure.roots().to_vec());
        Self {
            label: source.to_string(),
            store_dir,
            roots,
            paths: closure.paths().to_vec(),
            spool,
            closure: Some(closure),
        }
    }

    /// As the comparison takes it.
    pub(crate) fn side(&self) -> Side<'_> {
        Side::new(&self.store_dir, &self.roots, &self.paths, &self.spool)
    }

    /// As reports call it.
    pub(crate) fn named(&self) -> Named {
        Named::new(self.label.clone(), &self.store_dir, &self.roots)
    }

    /// Path that the first root gives.
    fn output(&self) -> Option<PathBuf> {
        let root = self.paths.iter().find(|path| Some(path.path()) == self.roots.first())?;
        let firn_core::Node::Regular { contents, .. } = root.content() else { return None };
        let drv = Derivation::parse(&self.spool.get(*contents).ok()?).ok()?;
        let out = drv.outputs.iter().find(|output| output.name == b"out")?;
        Some(String::from_utf8_lossy(&out.path).into_owned().into())
    }
}

/// Reads both ends, at once where neither may be the base of the other. Sources of a store are read only where they are
/// wanted; those of a file make its paths.
pub(crate) fn ends(
    what: [&Path; 2],
    store: Option<&str>,
    sources: bool,
    session: &Session<'_>,
) -> Result<[End; 2], CommandError> {
    let [old, new] = what;
    let [was, comes] = what.map(|what| Look::at(what, session));
    let after = |first: &Path, second: &Path| {
        // Those of a base are needed.
        let mut first_end = end(first, store, true, Beside::Nothing, session)?;
        let other = Other::of(&mut first_end, first)?;
        Ok([first_end, end(second, store, sources, Beside::Read(other), session)?])
    };
    if comes.may_need(&was) && !(comes == Look::Stream && was.may_need(&comes)) {
        return after(old, new);
    }
    if was.may_need(&comes) {
        return after(new, old).map(|[new, old]| [old, new]);
    }
    let shared = Arc::new(SharedFrames::default());
    let beside = || Beside::Meanwhile(shared.clone());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| end(old, store, sources, beside(), session));
        let new = end(new, store, sources, beside(), session);
        let old = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok([old?, new?])
    })
}

/// What can be told of an end before it is read.
#[derive(Debug, PartialEq)]
enum Look {
    /// Nothing: it is standard input.
    Stream,
    /// It is a firn file of these roots, a delta of these.
    File { roots: Vec<StorePath>, base: Option<Vec<StorePath>> },
    /// It is whole; of what is not known.
    Whole,
}

impl Look {
    fn at(what: &Path, session: &Session<'_>) -> Self {
        let (source, _) = Source::with_host(what);
        let Source::File(path) = &source else { return Self::Stream };
        if !path.is_file() {
            return Self::Whole;
        }
        // What is wrong with it is said when it is read.
        let front = session.open(source).ok().and_then(|input| FileReader::new(input, Limits::default()).ok());
        front.map_or(Self::Whole, |reader| {
            let header = &reader.front().header;
            Self::File { roots: header.roots.clone(), base: header.base.as_ref().map(|base| base.roots.clone()) }
        })
    }

    /// Whether it may be a delta of the other.
    fn may_need(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stream, _) => true,
            (Self::File { base: Some(base), .. }, Self::File { roots, .. }) => base.iter().all(|r| roots.contains(r)),
            (Self::File { base, .. }, _) => base.is_some(),
            (Self::Whole, _) => false,
        }
    }
}

/// What is known of the other end when one is read.
enum Beside {
    Nothing,
    /// It is read at the same time.
    Meanwhile(Arc<SharedFrames>),
    /// It was read, and this one may be a delta of it.
    Read(Other),
}

/// The other end, for one that may be a delta of it.
struct Other {
    closure: Option<Proven>,
    spool: FileSpool,
    path: PathBuf,
}

impl Other {
    fn of(end: &mut End, path: &Path) -> Result<Self, CommandError> {
        let reader = end.spool.reader()?;
        let spool = std::mem::replace(&mut end.spool, reader);
        Ok(Self { closure: end.closure.clone(), spool, path: path.to_owned() })
    }
}

/// Reads an end.
fn end(
    what: &Path,
    store: Option<&str>,
    sources: bool,
    beside: Beside,
    session: &Session<'_>,
) -> Result<End, CommandError> {
    if what.as_os_str() == "current" && !what.exists() {
        return current(store, sources, session);
    }
    let store_dir = store_dir()?;
    // A file that lies in a store is a file all the same.
    let named_in_store = what.extension().is_some_and(|end| end == "drv") || !what.is_file();
    if named_in_store && let Some(path) = in_store(what, &store_dir)? {
        return in_a_store(&path, what.display().to_string(), store, sources, session);
    }
    let target = StoreTarget::Daemon(store.unwrap_or("auto").parse()?);
    let mut bases = session.bases(Some(&target));
    let mut spool = None;
    match beside {
        Beside::Nothing => {}
        Beside::Meanwhile(shared) => bases.shared = Some(shared),
        Beside::Read(other) => {
            // Of one host of a file the whole file is the base.
            let path = Source::with_host(&other.path).0;
            bases.named.extend(path.path().filter(|path| path.is_file()).map(Path::to_owned));
            (bases.at_hand, spool) = (other.closure, Some(other.spool));
        }
    }
    let mut end = if sources {
        End::of(session.load_with(what, spool, &bases)?)
    } else {
        in_a_file(what, spool, &bases, session)?
    };
    if let (source, Some(host)) = Source::with_host(what) {
        end.label = format!("{source}#{host}");
    }
    Ok(end)
}

/// The derivations of a file, or all of it where these are not to be had alone.
fn in_a_file(what: &Path, spool: Option<FileSpool>, bases: &Bases, session: &Session<'_>) -> Result<End, CommandError> {
    let (source, host) = Source::with_host(what);
    // What is wrong with it is said by who reads all of it; a pipe could not be opened again for that.
    let looks = host.is_none() && source.path().is_some_and(Path::is_file);
    let looked = looks.then(|| session.open(source.clone()).ok()).flatten();
    let reader = looked.and_then(|input| FileReader::new(input, session.decode_options().limits).ok());
    let Some(reader) = reader.filter(|reader| tells_paths(reader.front())) else {
        return Ok(End::of(session.load_with(what, spool, bases)?));
    };
    let header = &reader.front().header;
    let (store_dir, roots) = (header.store_dir.clone(), header.roots.clone());
    let mut spool = spool.map_or_else(|| session.spool(None), Ok)?;
    let options = DecodeOptions { shared: bases.shared.clone(), ..session.decode_options() };
    let paths = decode_derivations(reader, &mut spool, DICTIONARIES, &options, session.sink).about(&source)?;
    Ok(End { label: source.to_string(), store_dir, roots, paths, spool, closure: None })
}

/// The closure of a derivation, or of the one that made a path.
fn in_a_store(
    path: &StorePath,
    label: String,
    store: Option<&str>,
    sources: bool,
    session: &Session<'_>,
) -> Result<End, CommandError> {
    let place = StorePlace::find(store, store_dir()?, environment())?;
    let mut store = place.open(Vec::new(), session.sink)?;
    let root = store.derivation_of(path)?;
    if !store.hold(std::slice::from_ref(&root))?.is_empty() {
        return Err(CommandError::new(ExitCode::Incomplete, "this derivation is not valid in the store")
            .about(place.store_dir.display(&root)));
    }
    let mut spool = session.spool(None)?;
    let mut infos = store.closure(std::slice::from_ref(&root))?;
    infos.retain(|info| sources || info.path.is_derivation());
    let contents =
        read::contents(store.folder(), &infos, &place.store_dir, &mut spool, session.threads(), session.sink)?;
    store.close()?;
    let (store_dir, roots, paths) = (place.store_dir, vec![root], contents.paths);
    let closure = sources.then(|| Proven::new(store_dir.clone(), Some(roots.clone()), paths.clone())).transpose()?;
    Ok(End { label, store_dir, roots, paths, spool, closure })
}

/// What changes against the running system, in a few lines; none where it is not known what that was made from. What
/// comes is a file that was read, else what `path` names in the store.
pub(crate) fn against_current(coming: Option<&Loaded>, path: &Path, session: &Session<'_>) -> Vec<String> {
    let lines = || -> Result<Vec<String>, CommandError> {
        let old = current(None, false, session)?;
        let (read, named);
        let new = match coming {
            Some(Loaded { closure, spool, source, .. }) => {
                named = Named::new(source.to_string(), closure.store_dir(), closure.roots());
                Side::new(closure.store_dir(), closure.roots(), closure.paths(), spool)
            }
            None => {
                read = end(path, None, false, Beside::Nothing, session)?;
                named = read.named();
                read.side()
            }
        };
        let side = old.side();
        let difference = Difference::new(&side, &new)?;
        Ok(Report::new([old.named(), named], &difference)?.short())
    };
    lines().unwrap_or_else(|error| {
        session.sink.detail(&format!("what changes is not known: {error}"));
        Vec::new()
    })
}

/// What the running system was made from: its derivation in the store, else the file that its generation came from.
pub(crate) fn current(store: Option<&str>, sources: bool, session: &Session<'_>) -> Result<End, CommandError> {
    let host = Host::default();
    let Some(running) = host.resolve("/run/current-system") else {
        return Err(CommandError::new(ExitCode::Absent, "no NixOS system runs here, so nothing is current")
            .hint("name a file, or a .drv in the store"));
    };
    let generation = Profile::new(&host, "system").current();
    let is_part = |base: &Path| {
        let inside = |name| host.resolve(base.join("specialisation").join(name)).as_ref() == Some(&running);
        specialisations(&host, base).into_iter().any(inside)
    };
    // A specialisation is in the closure of the system that it belongs to.
    let base = generation.as_ref().map(|generation| generation.path.clone()).filter(|base| is_part(base));
    let base = base.unwrap_or_else(|| running.clone());
    let label = "current".to_owned();
    let unknown = match in_store(&base, &store_dir()?)? {
        Some(path) => match in_a_store(&path, label.clone(), store, sources, session) {
            Ok(end) => return Ok(end),
            Err(error) => error.to_string(),
        },
        None => format!("{} is not in the store", base.display()),
    };
    let record = generation.and_then(|generation| Record::read(&host, "system", &generation));
    let file = record.and_then(|record| record.file);
    if let Some(file) = file.as_deref().map(Path::new).filter(|file| file.is_absolute() && file.is_file())
        && let Ok(loaded) = session.load_host(file, None)
    {
        let end = End { label, ..End::of(loaded) };
        if end.output().as_ref() == Some(&base) {
            return Ok(end);
        }
    }
    let error =
        CommandError::new(ExitCode::Absent, format!("what the running system was made from is unknown: {unknown}"));
    Err(match file {
        Some(file) => error.hint(format!("it came from {file}: name that file where it is now")),
        None => error.hint("name the file that it came from, or its .drv where it was evaluated"),
    })
}
