//! From a file, or a derivation in the store, to a built system.

use crate::{
    CommandError, ExitCode, ImportRequest, Loaded, Session, StoreTarget,
    event::{Event, Sink, Work},
    import::{check_space, environment, import_daemon, is_local, is_root},
    inspect::text::number_of,
    load::root_names,
};
use firn_core::{Node, Spool, StoreDir, StorePath, derivation::Derivation};
use firn_store::{
    configuration::Configuration,
    daemon::{self, Activities, BuildResult, Missing, SessionOptions, Settings, StoreUrl},
    root::{RootPlace, RootRequest},
};
use std::path::{Path, PathBuf};

/// What is wanted of a realisation.
#[derive(Debug)]
pub(crate) struct RealiseRequest {
    /// How to import, and whether to.
    pub(crate) import: ImportRequest,
    /// Settings of the daemon.
    pub(crate) settings: Settings,
    /// Only fetch.
    pub(crate) no_build: bool,
    /// Show log lines.
    pub(crate) logs: bool,
}

impl RealiseRequest {
    /// Refuses another root than the one expected.
    pub(crate) fn check_expected(&self, subject: &Subject) -> Result<(), CommandError> {
        match (subject, &self.import.expect) {
            (Subject::Loaded(loaded), _) => self.import.check_expected(loaded),
            (Subject::Path(store_dir, root), Some(expected)) => {
                let found = is_root(expected, store_dir, std::slice::from_ref(root));
                found.map_err(|error| error.about(store_dir.display(root)))
            }
            (Subject::Path(..), None) => Ok(()),
        }
    }
}

/// What was realised.
#[derive(Debug)]
pub(crate) struct Realised {
    /// Outputs that are there now, of each root the one called `out` first.
    pub(crate) outputs: Vec<StorePath>,
    /// What had to be done.
    pub(crate) missing: Missing,
    /// The GC roots.
    pub(crate) links: Vec<PathBuf>,
    /// Paths that were imported before.
    pub(crate) added: u64,
    /// Paths of the file that were there.
    pub(crate) present: u64,
}

/// An output of a root.
struct Output {
    /// Number of the root.
    root: usize,
    /// Its name, `out` for a root that is no derivation.
    name: String,
    path: StorePath,
}

/// What to realise.
pub(crate) enum Subject {
    /// Roots of a closure that is imported first.
    Loaded(Box<Loaded>),
    /// A derivation that is in the store.
    Path(StoreDir, StorePath),
}

impl Subject {
    pub(crate) fn store_dir(&self) -> &StoreDir {
        match self {
            Self::Loaded(loaded) => loaded.closure.store_dir(),
            Self::Path(store_dir, _) => store_dir,
        }
    }

    pub(crate) fn roots(&self) -> Vec<StorePath> {
        match self {
            Self::Loaded(loaded) => loaded.closure.roots().to_vec(),
            Self::Path(_, path) => vec![path.clone()],
        }
    }

    /// The text of a root that is a derivation.
    pub(crate) fn derivation(&self, root: &StorePath) -> Option<Derivation> {
        let text = match self {
            Self::Loaded(loaded) => {
                let path = loaded.closure.paths().iter().find(|p| p.path() == root).filter(|p| p.is_derivation())?;
                let Node::Regular { contents, .. } = path.content() else { return None };
                loaded.spool.get(*contents).ok()?
            }
            // On another host it cannot be read; then the results of the build tell the outputs.
            Self::Path(store_dir, _) => std::fs::read(store_dir.display(root)).ok()?,
        };
        Derivation::parse(&text).ok()
    }
}

pub(crate) fn realise(
    subject: &Subject,
    request: &RealiseRequest,
    session: &Session<'_>,
) -> Result<Realised, CommandError> {
    let sink = session.sink;
    let StoreTarget::Daemon(url) = &request.import.target else {
        return Err(CommandError::new(ExitCode::Usage, "building needs Nix, and --root writes without it")
            .hint("say --store 'local?root=DIR', which runs the Nix of this machine on the folder"));
    };
    let store_dir = subject.store_dir().clone();
    let mut roots = Vec::new();
    request.check_expected(subject)?;
    if let Subject::Loaded(loaded) = subject {
        // The link that a person named is for the result; the recipe is kept under the name of the host.
        let by_name = ImportRequest { out_link: None, ..request.import.clone() };
        roots = by_name.root_requests(&loaded.closure);
    }
    let settings = settings(&request.settings, is_local(url), || Configuration::read(|name| std::env::var_os(name)));
    let options = SessionOptions { settings, roots, ..SessionOptions::default() };
    let mut store = daemon::Session::open(url, &environment(), &store_dir, options)?;
    let (mut links, mut added, mut present) = (Vec::new(), 0, 0);
    if let Subject::Loaded(loaded) = subject {
        let imported = import_daemon(&mut store, loaded, &request.import, sink)?;
        (added, present) = (imported.added, imported.present);
        if request.import.dry_run && imported.added > 0 {
            let paths = number_of(imported.added, "path");
            sink.note(&format!("{paths} would be imported before: what is built is known then"));
            return Ok(Realised { outputs: Vec::new(), missing: Missing::default(), links, added, present });
        }
        sink.note(&imported.counts("came"));
        links = imported.links;
    }
    let targets: Vec<String> = subject.roots().iter().map(|root| target(&store_dir, root)).collect();
    let mut quiet = |_: daemon::Event| {};
    let missing = store.missing(&targets, &mut quiet)?;
    check_known(subject, &missing)?;
    announce(&missing, sink);
    if request.no_build && !missing.build.is_empty() {
        let mut error = CommandError::new(
            ExitCode::WouldBuild,
            format!(
                "{} would have to be built, and --no-build forbids it",
                number_of(missing.build.len() as u64, "derivation")
            ),
        );
        for path in missing.build.iter().take(SHOWN) {
            error = error.hint(format!("not in any substituter: {path}"));
        }
        if let Some(more) = missing.build.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            error = error.hint(format!("and {more} more: -v lists all"));
        }
        return Err(error);
    }
    if request.import.dry_run {
        return Ok(Realised { outputs: Vec::new(), missing, links, added, present });
    }
    if is_local(url) {
        check_space(Path::new(store_dir.as_str()), missing.nar_size)?;
    }
    if !request.import.no_root {
        // What cannot be kept is not built.
        store.check_places(&result_roots(&outputs(subject, &[]), request))?;
    }
    let results = build(&mut store, &targets, request.logs, sink)?;
    let outputs = outputs(subject, &results);
    if !request.import.no_root {
        links.extend(keep_results(&outputs, subject, url, request, sink)?);
    }
    store.close(&mut quiet)?;
    Ok(Realised { outputs: outputs.into_iter().map(|output| output.path).collect(), missing, links, added, present })
}

/// Settings of the daemon: where the person sets one, the others are those of this machine's `nix.conf`, which hold for its
/// daemon too; another host keeps to itself what it has set.
fn settings(wanted: &Settings, local: bool, configuration: impl FnOnce() -> Configuration) -> Settings {
    let mut settings = wanted.clone();
    if !local || settings == Settings::default() {
        return settings;
    }
    let here = configuration();
    let jobs = || match here.get("max-jobs")? {
        "auto" => Some(crate::default_threads() as u64),
        number => number.parse().ok(),
    };
    settings.max_jobs = settings.max_jobs.or_else(jobs);
    settings.cores = settings.cores.or_else(|| here.number("cores"));
    settings.keep_going |= here.flag("keep-going").unwrap_or_default();
    settings.keep_failed |= here.flag("keep-failed").unwrap_or_default();
    settings.fallback |= here.flag("fallback").unwrap_or_default();
    settings.max_silent_time = here.number("max-silent-time").unwrap_or(settings.max_silent_time);
    settings.substitute = here.flag("substitute").unwrap_or(settings.substitute);
    settings
}

fn target(store_dir: &StoreDir, root: &StorePath) -> String {
    let path = store_dir.display(root);
    if root.is_derivation() { format!("{path}!*") } else { path }
}

/// Derivations that an error lists.
const SHOWN: usize = 20;

/// Refuses a derivation that was named by its path and is not in the store.
fn check_known(subject: &Subject, missing: &Missing) -> Result<(), CommandError> {
    match subject {
        Subject::Path(store_dir, root) if missing.unknown.contains(root) => {
            Err(CommandError::without_hints(ExitCode::Incomplete, "this derivation is not in the store")
                .about(store_dir.display(root))
                .hint("import the file that holds it: firn import FILE, or firn realise FILE"))
        }
        _ => Ok(()),
    }
}

/// What a failed build is about, unless its message names it.
fn failed_target<'a>(target: &'a str, message: &str) -> Option<&'a str> {
    let path = target.split(['!', '^']).next().unwrap_or(target);
    (!message.contains(path)).then_some(path)
}

/// Says what is built and what fetched, as Nix does before it begins.
fn announce(missing: &Missing, sink: &dyn Sink) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    if !missing.build.is_empty() {
        sink.note(&format!("{} will be built", number_of(missing.build.len() as u64, "derivation")));
        missing.build.iter().for_each(|path| sink.detail(&format!("  {path}")));
    }
    if !missing.substitute.is_empty() {
        sink.note(&format!(
            "{} will be fetched ({:.1} MiB to download, {:.1} MiB unpacked)",
            number_of(missing.substitute.len() as u64, "path"),
            mib(missing.download_size),
            mib(missing.nar_size)
        ));
        missing.substitute.iter().for_each(|path| sink.detail(&format!("  {path}")));
    }
    if !missing.unknown.is_empty() {
        let unknown = number_of(missing.unknown.len() as u64, "path");
        sink.warn(&format!("nothing is known of {unknown}: {}", missing.unknown[0]));
    }
}

fn build(
    store: &mut daemon::Session,
    targets: &[String],
    logs: bool,
    sink: &dyn Sink,
) -> Result<Vec<BuildResult>, CommandError> {
    let mut activities = Activities::default();
    sink.event(Event::Begin { work: Work::Build, bytes: None, paths: None });
    let mut events = |event: daemon::Event| {
        if let daemon::Event::Result { id, kind: daemon::ResultKind::BuildLogLine, fields } = &event
            && let (true, Some(line)) = (logs, fields.first().and_then(daemon::Field::text))
        {
            let derivation = activities.build(*id).map(|b| short_name(&b.derivation)).unwrap_or_default();
            sink.event(Event::Log { derivation: &derivation, line });
        }
        if let daemon::Event::Line(line) = &event {
            sink.detail(line);
        }
        activities.event(&event);
        let (builds, copies) = (activities.builds(), activities.copies());
        sink.event(Event::Progress { bytes: activities.copied_bytes().done, paths: builds.done + copies.done });
    };
    let results = store.build(targets, &mut events);
    sink.event(Event::End);
    let results = results?;
    let Some(failed) = results.iter().find(|result| !result.status.is_success()) else { return Ok(results) };
    // Later lines list outputs or repeat the log.
    let message = failed.message.trim().lines().next().unwrap_or_default().trim_end_matches(';').to_owned();
    let about = failed_target(&failed.target, &message);
    let mut error = CommandError::new(ExitCode::Build, message);
    if let Some(path) = about {
        error = error.about(path);
    }
    for build in activities.failed_builds() {
        error = error.hint(format!("{} did not build", build.derivation));
        // With -L they were shown already.
        for line in build.log.iter().filter(|_| !logs) {
            error = error.hint(format!("{}> {line}", short_name(&build.derivation)));
        }
    }
    Err(error)
}

/// The path that building the first root gives, where its text says so.
pub(crate) fn expected_output(subject: &Subject) -> Option<StorePath> {
    let root = subject.roots().into_iter().next()?;
    if !root.is_derivation() {
        return Some(root);
    }
    let drv = subject.derivation(&root)?;
    let out = drv.outputs.iter().find(|output| output.name == b"out")?;
    subject.store_dir().parse(&out.path).ok()
}

fn short_name(derivation: &str) -> String {
    let base = derivation.rsplit('/').next().unwrap_or_default();
    base.get(33..).unwrap_or(base).trim_end_matches(".drv").to_owned()
}

/// All outputs of the roots, `out` first. Those that the results do not tell are told by the derivations.
fn outputs(subject: &Subject, results: &[BuildResult]) -> Vec<Output> {
    let mut outputs = Vec::new();
    for (number, root) in subject.roots().iter().enumerate() {
        if !root.is_derivation() {
            outputs.push(Output { root: number, name: "out".to_owned(), path: root.clone() });
            continue;
        }
        let mut known = results.get(number).map(|result| result.outputs.clone()).unwrap_or_default();
        if known.is_empty() {
            let drv = subject.derivation(root).unwrap_or_default();
            known.extend(drv.outputs.iter().filter_map(|output| {
                let path = subject.store_dir().parse(&output.path).ok()?;
                Some((String::from_utf8_lossy(&output.name).into_owned(), path))
            }));
        }
        known.sort_by(|(a, _), (b, _)| (a != "out", a).cmp(&(b != "out", b)));
        outputs.extend(known.into_iter().map(|(name, path)| Output { root: number, name, path }));
    }
    outputs
}

/// Where results are kept. Links are named as nix-build does: result, result-dev, result-2.
fn result_roots(outputs: &[Output], request: &RealiseRequest) -> Vec<RootRequest> {
    // Two systems of one host have links of their own.
    let names = root_names(&outputs.iter().map(|output| output.path.clone()).collect::<Vec<_>>());
    let place = |output: &Output, name: &str| match &request.import.out_link {
        Some(link) => {
            let mut name = link.file_name().unwrap_or_default().to_owned();
            if output.root > 0 {
                name.push(format!("-{}", output.root + 1));
            }
            if output.name != "out" {
                name.push(format!("-{}", output.name));
            }
            RootPlace::Link(link.with_file_name(name))
        }
        None => RootPlace::Name(format!("{name}-result")),
    };
    let named = outputs.iter().zip(&names);
    named.map(|(output, name)| RootRequest { place: place(output, name), target: output.path.clone() }).collect()
}

/// Roots for the results, made while the session that built them is open.
fn keep_results(
    outputs: &[Output],
    subject: &Subject,
    url: &StoreUrl,
    request: &RealiseRequest,
    sink: &dyn Sink,
) -> Result<Vec<PathBuf>, CommandError> {
    let roots = result_roots(outputs, request);
    if roots.is_empty() {
        sink.warn("the daemon does not say what was built, so no GC root keeps it");
        return Ok(Vec::new());
    }
    let options = SessionOptions { roots, ..SessionOptions::default() };
    let mut store = daemon::Session::open(url, &environment(), subject.store_dir(), options)?;
    let mut quiet = |_: daemon::Event| {};
    let links = store.make_roots(&mut quiet)?;
    // A collector that has read the roots already, and not yet who uses what, would not know of either when we are gone:
    // one that runs is told of a temporary root.
    let paths: Vec<StorePath> = outputs.iter().map(|output| output.path.clone()).collect();
    store.add_temp_roots(&paths, &mut quiet)?;
    store.close(&mut quiet)?;
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derivation_that_is_not_in_the_store_is_told_before_anything_is_built() {
        let root = StorePath::from_base_name(b"0123456789abcdfghijklmnpqrsvwxyz-web.drv").unwrap();
        let subject = Subject::Path(StoreDir::default(), root.clone());
        assert!(check_known(&subject, &Missing::default()).is_ok());
        let missing = Missing { unknown: vec![root], ..Missing::default() };
        assert_eq!(check_known(&subject, &missing).unwrap_err().code(), ExitCode::Incomplete);
    }

    #[test]
    fn a_failed_build_names_its_derivation_once() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-web.drv";
        let target = format!("{path}!*");
        assert_eq!(failed_target(&target, &format!("builder for '{path}' failed")), None);
        assert_eq!(failed_target(&target, "out of memory"), Some(path));
    }

    #[test]
    fn one_setting_does_not_take_the_others_from_the_daemon() {
        let conf = "max-jobs = 6\ncores = 2\nsubstitute = false\nkeep-going = true";
        let conf = || Configuration::read(|name| (name == "NIX_CONFIG").then(|| conf.into()));
        let none = || panic!("nobody has to look");
        assert_eq!(settings(&Settings::default(), true, none), Settings::default());
        let wanted = Settings { cores: Some(1), ..Settings::default() };
        assert_eq!(settings(&wanted, false, none), wanted);
        let sent = Settings { max_jobs: Some(6), substitute: false, keep_going: true, ..wanted.clone() };
        assert_eq!(settings(&wanted, true, conf), sent);
        let wanted = Settings { max_jobs: Some(1), ..wanted };
        assert_eq!(settings(&wanted, true, conf).max_jobs, Some(1));
    }
}
