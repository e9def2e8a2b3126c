//! From a proven closure into a store: the daemon, a host behind ssh, or a store folder without Nix.

use crate::{
    CommandError, ExitCode, Loaded, Session,
    error::About,
    event::{Event, Sink, Work},
    inspect::text::number_of,
    load::root_names,
    pack::StorePlace,
};
use firn_core::{Proven, ProvenPath, StoreDir, StorePath};
use firn_store::{
    Environment,
    daemon::{self, DaemonError, SessionOptions, StoreUrl},
    database::Database,
    direct::{self, Root, Step, StoreFolder},
    root::{RootPlace, RootRequest},
};
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// A store to write to.
#[derive(Debug, Clone)]
pub enum StoreTarget {
    /// A daemon answers for it.
    Daemon(StoreUrl),
    /// A folder that we write ourselves.
    Folder(PathBuf),
}

/// What is wanted of an import.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// Where to.
    pub target: StoreTarget,
    /// The only root that is accepted.
    pub expect: Option<String>,
    /// Where the GC root goes; under the name of the host without it.
    pub out_link: Option<PathBuf>,
    /// No GC root.
    pub no_root: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Paths that were there.
    pub present: u64,
    /// Paths that came.
    pub added: u64,
    /// Bytes of their NARs.
    pub bytes: u64,
    /// The GC roots.
    pub links: Vec<PathBuf>,
    /// Times that an answer was waited for; 0 without a daemon.
    pub round_trips: u32,
}

impl Imported {
    /// How many paths came, or would come, and how many were there.
    pub(crate) fn counts(&self, verb: &str) -> String {
        let were = if self.present == 1 { "was" } else { "were" };
        format!("{} {verb}, {} {were} there", number_of(self.added, "path"), self.present)
    }
}

impl ImportRequest {
    /// Refuses a closure with another root than the one expected.
    pub fn check_expected(&self, loaded: &Loaded) -> Result<(), CommandError> {
        let Some(expected) = &self.expect else { return Ok(()) };
        let closure = &loaded.closure;
        is_root(expected, closure.store_dir(), closure.roots()).map_err(|error| error.about(&loaded.source))
    }

    pub(crate) fn root_requests(&self, closure: &Proven) -> Vec<RootRequest> {
        // A remote host makes links at login, which a dry run must not.
        if self.no_root || self.dry_run {
            return Vec::new();
        }
        let names = root_names(closure.roots());
        // Numbered as nix-build does: result, result-2.
        let place = |number: usize| match &self.out_link {
            Some(link) if number > 0 => {
                let mut name = link.file_name().unwrap_or_default().to_owned();
                name.push(format!("-{}", number + 1));
                RootPlace::Link(link.with_file_name(name))
            }
            Some(link) => RootPlace::Link(link.clone()),
            None => RootPlace::Name(names[number].clone()),
        };
        let requests = closure.roots().iter().enumerate();
        requests.map(|(n, root)| RootRequest { place: place(n), target: root.clone() }).collect()
    }
}

/// Longest file that `--expect` may name, in bytes.
const MAX_EXPECT: u64 = 8192;

/// The root that `--expect` names: a path of a derivation with or without its store directory, a path that is built, else
/// what a file holds.
pub(crate) fn expected_root(expected: &str, store_dir: &StoreDir) -> Result<String, CommandError> {
    let text = expected.trim();
    // What names a readable file holds the root; a root itself names none, unless it is in the store.
    let is_built = || store_dir.parse(text.as_bytes()).is_ok() && Path::new(text).is_dir();
    if store_path(text).is_some_and(|path| path.is_derivation()) || is_built() {
        return Ok(text.to_owned());
    }
    let wrong = |error: CommandError| error.hint(EXPECT_HINT).about(format!("--expect {expected}"));
    let mut held = Vec::new();
    let read = std::fs::File::open(text).and_then(|file| file.take(MAX_EXPECT + 1).read_to_end(&mut held));
    read.map_err(|error| wrong(CommandError::new(ExitCode::Usage, error)))?;
    let root = std::str::from_utf8(&held).ok().filter(|text| text.len() as u64 <= MAX_EXPECT).map(str::trim);
    match root.filter(|root| store_path(root).is_some()) {
        Some(root) => Ok(root.to_owned()),
        None => Err(wrong(CommandError::new(ExitCode::Usage, "this file holds no root"))),
    }
}

const EXPECT_HINT: &str = "a root is one path such as /nix/store/...-nixos-system-web.drv, which firn pack and firn verify \
                           print; a file must hold that and nothing else";

/// A store path, as a text names it with or without its directory.
fn store_path(text: &str) -> Option<StorePath> {
    let (dir, name) = text.rsplit_once('/').map_or((None, text), |(dir, name)| (Some(dir), name));
    if dir.is_some_and(|dir| StoreDir::new(dir).is_err()) {
        return None;
    }
    StorePath::from_base_name(name.as_bytes()).ok()
}

/// Refuses any roots but the one that `--expect` names.
pub(crate) fn is_root(expected: &str, store_dir: &StoreDir, roots: &[StorePath]) -> Result<(), CommandError> {
    let wanted = expected_root(expected, store_dir)?;
    match roots {
        [root] if store_dir.display(root) == wanted || root.as_str() == wanted => Ok(()),
        roots => {
            let found: Vec<String> = roots.iter().map(|root| store_dir.display(root)).collect();
            let text = format!("its root is {}, expected {wanted}", found.join(", "));
            Err(CommandError::new(ExitCode::Unexpected, text)
                .hint("nothing was written; get the right file, or check what --expect names"))
        }
    }
}

/// What of the process's environment matters.
pub(crate) fn environment() -> Environment {
    Environment::new(rustix::process::geteuid().as_raw(), |name| std::env::var_os(name))
}

/// Imports a closure that was loaded.
pub(crate) fn import(
    loaded: &Loaded,
    request: &ImportRequest,
    session: &Session<'_>,
) -> Result<Imported, CommandError> {
    request.check_expected(loaded)?;
    match &request.target {
        StoreTarget::Folder(root) => import_folder(loaded, root, request, session.sink),
        StoreTarget::Daemon(url) => {
            let stop = Arc::new(AtomicBool::new(false));
            let options = SessionOptions { stop, roots: request.root_requests(&loaded.closure), ..Default::default() };
            let store = daemon::Session::open(url, &environment(), loaded.closure.store_dir(), options);
            match (store, url) {
                // No Nix on this machine: the folder can be written without it.
                (Err(DaemonError::Spawn { .. }), StoreUrl::LocalRoot(root)) => {
                    import_folder(loaded, root, request, session.sink)
                }
                (store, _) => {
                    let mut store = store?;
                    let imported = import_daemon(&mut store, loaded, request, session.sink)?;
                    store.close(&mut log_lines(session.sink))?;
                    Ok(imported)
                }
            }
        }
    }
}

/// Sends what is missing and makes the roots, in a session that stays open.
pub(crate) fn import_daemon(
    store: &mut daemon::Session,
    loaded: &Loaded,
    request: &ImportRequest,
    sink: &dyn Sink,
) -> Result<Imported, CommandError> {
    let closure = &loaded.closure;
    if !request.dry_run
        && let Some(imported) = keep_present(store, closure, request, sink)?
    {
        return Ok(imported);
    }
    sink.event(Event::Begin { work: Work::Query, bytes: None, paths: Some(closure.paths().len() as u64) });
    let plan = store.plan(closure, &mut log_lines(sink))?;
    sink.event(Event::End);
    let missing: Vec<&ProvenPath> = plan.missing(closure).collect();
    let bytes = missing.iter().map(|p| p.nar_size()).sum();
    let mut imported = Imported {
        present: plan.present() as u64,
        added: missing.len() as u64,
        bytes,
        links: Vec::new(),
        round_trips: store.round_trips(),
    };
    if request.dry_run {
        return Ok(imported);
    }
    if let StoreTarget::Daemon(url) = &request.target
        && is_local(url)
    {
        check_space(Path::new(closure.store_dir().as_str()), bytes)?;
    }
    sink.event(Event::Begin { work: Work::Import, bytes: Some(bytes), paths: Some(missing.len() as u64) });
    let mut events = log_lines(sink);
    let report = store.add_missing(closure, &loaded.spool, plan, &mut events)?;
    sink.event(Event::End);
    imported.added = report.added as u64;
    imported.links = store.make_roots(&mut events)?;
    if let StoreTarget::Daemon(url) = &request.target
        && is_local(url)
        && !imported.links.is_empty()
    {
        // As for results: a collector that runs is told. Over a long line another answer would have to be waited for.
        store.add_temp_roots(closure.roots(), &mut events)?;
    }
    imported.round_trips = store.round_trips();
    Ok(imported)
}

/// Makes the roots of a closure that is all there already, as the database says where it can be read.
fn keep_present(
    store: &mut daemon::Session,
    closure: &Proven,
    request: &ImportRequest,
    sink: &dyn Sink,
) -> Result<Option<Imported>, CommandError> {
    let StoreTarget::Daemon(url) = &request.target else { return Ok(None) };
    if !is_local(url) || !is_all_there(url, closure) {
        return Ok(None);
    }
    let links = store.keep_present(closure, &mut log_lines(sink))?;
    let (present, round_trips) = (closure.paths().len() as u64, store.round_trips());
    Ok(links.map(|links| Imported { present, added: 0, bytes: 0, links, round_trips }))
}

/// Whether a database that can be read says that all of a closure is valid. The root is looked for first: seldom it is there.
fn is_all_there(url: &StoreUrl, closure: &Proven) -> bool {
    let place = StorePlace::at(url.clone(), closure.store_dir().clone(), environment());
    let Ok(Some(mut store)) = place.and_then(|place| place.open_without_daemon()) else { return false };
    let mut valid = |paths: &[StorePath]| store.valid(paths).is_ok_and(|valid| valid.len() == paths.len());
    valid(closure.roots()) && valid(&closure.paths().iter().map(|path| path.path().clone()).collect::<Vec<_>>())
}

/// Events of the daemon while it imports: progress, and its log lines as details.
fn log_lines<'a>(sink: &'a dyn Sink) -> impl FnMut(daemon::Event) + 'a {
    move |event| match event {
        daemon::Event::Sent { paths, bytes } => sink.event(Event::Progress { bytes, paths }),
        daemon::Event::Line(line) => sink.detail(&line),
        _ => {}
    }
}

/// Whether the store of a URL is on this machine's file system.
pub(crate) fn is_local(url: &StoreUrl) -> bool {
    matches!(url, StoreUrl::Auto | StoreUrl::Daemon | StoreUrl::Socket(_))
}

/// Refuses before anything is sent or fetched what will not fit. An unknown file system is the daemon's to judge.
pub(crate) fn check_space(store: &Path, bytes: u64) -> Result<(), CommandError> {
    let Ok(stat) = rustix::fs::statvfs(store) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < bytes {
        let text = format!("{bytes} bytes are needed in {}, {free} are free", store.display());
        return Err(CommandError::new(ExitCode::Space, text).hint("make room first; nix-store --gc may help"));
    }
    Ok(())
}

fn import_folder(
    loaded: &Loaded,
    root: &Path,
    request: &ImportRequest,
    sink: &dyn Sink,
) -> Result<Imported, CommandError> {
    let closure = &loaded.closure;
    if request.out_link.is_some() {
        return Err(CommandError::new(ExitCode::Usage, "--out-link does not go with --root")
            .hint("the GC root is made in the folder itself, under nix/var/nix/gcroots/firn"));
    }
    if request.dry_run {
        return missing_in_folder(closure, root);
    }
    let total = closure.paths().iter().map(ProvenPath::nar_size).sum();
    sink.event(Event::Begin { work: Work::Import, bytes: Some(total), paths: Some(closure.paths().len() as u64) });
    let (bytes, paths) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |step: Step<'_>| match step {
        Step::Waiting(lock) => sink.note(&format!("waiting for another import ({} is locked)", lock.display())),
        Step::Wrote(n) => {
            let bytes = bytes.fetch_add(n, Ordering::Relaxed) + n;
            let paths = paths.fetch_add(1, Ordering::Relaxed) + 1;
            sink.event(Event::Progress { bytes, paths });
        }
        _ => {}
    };
    let names = if request.no_root { Vec::new() } else { root_names(closure.roots()) };
    let roots: Vec<Root<'_>> =
        names.iter().zip(closure.roots()).map(|(name, path)| Root { name: name.as_str(), path }).collect();
    let folder = StoreFolder::open(root, closure.store_dir().clone(), &progress)?;
    let done = folder.import(closure, &loaded.spool, &roots, &progress)?;
    sink.event(Event::End);
    let links = names.iter().map(|name| folder.root_link(name)).collect();
    Ok(Imported { present: done.present, added: done.added, bytes: done.bytes, links, round_trips: 0 })
}

fn missing_in_folder(closure: &Proven, root: &Path) -> Result<Imported, CommandError> {
    let state = direct::state_dir(root, closure.store_dir());
    let paths = closure.paths();
    let valid = if state.join("db/db.sqlite").exists() {
        let database = Database::open(&state, closure.store_dir().clone())
            .map_err(|error| CommandError::new(ExitCode::Store, error))
            .about(root.display())?;
        let valid = database.valid(paths.iter().map(ProvenPath::path));
        valid.map_err(|error| CommandError::new(ExitCode::Store, error))?
    } else {
        Default::default()
    };
    let missing = || paths.iter().filter(|p| !valid.contains(p.path()));
    Ok(Imported {
        present: (paths.len() - missing().count()) as u64,
        added: missing().count() as u64,
        bytes: missing().map(ProvenPath::nar_size).sum(),
        links: Vec::new(),
        round_trips: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expect_names_is_a_root_or_holds_one() {
        const ROOT: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-web.drv";
        let base = ROOT.rsplit('/').next().unwrap();
        assert_eq!(expected_root(ROOT, &StoreDir::default()).unwrap(), ROOT);
        assert_eq!(expected_root(base, &StoreDir::default()).unwrap(), base);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root");
        let held = |text: &[u8]| {
            std::fs::write(&file, text).unwrap();
            expected_root(file.to_str().unwrap(), &StoreDir::default())
        };
        assert_eq!(held(format!("{ROOT}\n").as_bytes()).unwrap(), ROOT);
        let two = format!("{ROOT}\n{ROOT}\n");
        for wrong in [&b""[..], b"\x1b[2J", b"\xff\xfe", two.as_bytes(), &[b' '; 9000]] {
            let error = held(wrong).unwrap_err();
            assert_eq!(
                (error.code(), error.to_string().ends_with(": this file holds no root")),
                (ExitCode::Usage, true)
            );
        }
        assert_eq!(expected_root("/nosuch", &StoreDir::default()).unwrap_err().code(), ExitCode::Usage);
    }
}
