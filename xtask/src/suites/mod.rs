//! End to end: firn's static binary in hosts with real Nix.

mod activate;
mod bed;
mod breadth;
mod carry;
mod crash;
mod delta;
mod direct;
mod evaluate;
mod faults;
mod fleet;
mod import;
mod interrupt;
mod observed;
mod power;
pub mod survival;
mod systems;
mod update;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::bed::{Bed, Host, Release, prepare};
use crate::vm::parts;
use crate::workspace;

/// One suite: a story told on one or more hosts of one release.
pub struct Suite {
    /// Its name on the command line of `cargo xtask e2e`.
    pub name: &'static str,
    /// The releases that it is told on.
    pub releases: &'static [Release],
    /// Tells it. An error stops the story and counts as a failed check.
    pub run: fn(&Scene, &mut Checks) -> Result<()>,
}

/// A suite that takes too long for each commit.
pub struct Nightly {
    /// The suite.
    pub suite: Suite,
    /// Looks for what it needs besides hosts.
    pub needs: fn() -> Result<()>,
}

/// All suites; those that take longest come first, so that workers end together.
pub const ALL: &[Suite] = &[
    Suite { name: "crash", releases: &[Release::Trixie], run: crash::run },
    Suite { name: "faults", releases: &[Release::Trixie], run: faults::run },
    Suite { name: "activate", releases: &Release::ALL, run: activate::run },
    Suite { name: "interrupt", releases: &[Release::Trixie], run: interrupt::run },
    Suite { name: "breadth", releases: &Release::ALL, run: breadth::run },
    Suite { name: "import", releases: &Release::ALL, run: import::run },
    Suite { name: "direct", releases: &Release::ALL, run: direct::run },
    Suite { name: "evaluate", releases: &Release::ALL, run: evaluate::run },
    Suite { name: "carry", releases: &Release::ALL, run: carry::run },
    Suite { name: "delta", releases: &[Release::Trixie], run: delta::run },
    Suite { name: "fleet", releases: &[Release::Trixie], run: fleet::run },
    Suite { name: "bed", releases: &Release::ALL, run: bed::run },
];

/// `cargo xtask test --nightly`.
pub const NIGHTLY: &[Nightly] = &[
    Nightly { suite: Suite { name: "power", releases: &[Release::Trixie], run: power::run }, needs: parts::prepare },
    Nightly { suite: Suite { name: "real", releases: &[Release::Trixie], run: activate::run_real }, needs: prepare },
];

/// What a suite is told with.
pub struct Scene {
    /// Its private network.
    pub bed: Bed,
    /// The release of its hosts.
    pub release: Release,
    /// The release whose shell and busybox systems of the bed are built with, on every host of the run.
    pub tools: Release,
    /// The static firn binary on this machine.
    pub firn: PathBuf,
}

impl Scene {
    /// Starts a host that has firn in its `PATH`.
    pub fn host(&self, name: &str) -> Result<Host<'_>> {
        let host = self.bed.host(self.release, name)?;
        host.push(&self.firn, "/usr/bin/firn")?;
        Ok(host)
    }
}

/// Lays the bed's systems (`nix`) and what they are made with (`tools`) into a folder of the host. Both are the same on
/// all hosts of a run: a system that is packed in one is compared with that in another.
pub fn lay_systems(scene: &Scene, host: &Host<'_>, folder: &str) -> Result<()> {
    host.push(&scene.bed.tools(scene.tools)?, &format!("{folder}/tools"))?;
    host.push(&workspace::file("tests/testbed/nix"), &format!("{folder}/nix"))
}

/// What `firn verify --json` says of a file.
pub struct Inspected {
    /// The derivation that the file is for, as a store path.
    pub root: String,
    /// Derivations and sources.
    pub paths: u64,
}

/// Verifies a file in a host.
pub fn inspected(host: &Host<'_>, file: &str) -> Result<Inspected> {
    let json: serde_json::Value =
        serde_json::from_str(&host.root(&format!("firn verify --quiet --json {file}"))?.ok()?)?;
    let count = |key: &str| json[key].as_u64().with_context(|| format!("verify --json has no {key}"));
    let root = json["root"].as_str().context("verify --json has no root")?.to_owned();
    Ok(Inspected { root, paths: count("derivations")? + count("sources")? })
}

/// The checks of one suite on one release, printed as they are made.
pub struct Checks {
    prefix: String,
    passed: usize,
    failed: usize,
}

impl Checks {
    /// Makes one check, whatever became of those before it.
    pub fn check(&mut self, what: &str, test: impl FnOnce() -> Result<()>) {
        if let Err(error) = self.step(what, test) {
            self.fail(&format!("{error:#}"));
        }
    }

    /// Makes a check that those after it need: its error is meant to end the suite.
    pub fn step<T>(&mut self, what: &str, test: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let value = test().with_context(|| what.to_owned())?;
        self.pass(what, start);
        Ok(value)
    }

    /// Makes one check for each of `cases`, so many at once. Those that need a host of their own mostly wait.
    pub fn each<T: Sync>(
        &mut self,
        at_once: usize,
        cases: &[T],
        name: impl Fn(&T) -> String + Sync,
        test: impl Fn(&T) -> Result<()> + Sync,
    ) {
        let next = AtomicUsize::new(0);
        let checks = Mutex::new(self);
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (name, start) = (name(case), Instant::now());
                        let tested = test(case);
                        let mut checks = checks.lock().unwrap_or_else(PoisonError::into_inner);
                        match tested {
                            Ok(()) => checks.pass(&name, start),
                            Err(error) => checks.fail(&format!("{name}: {error:#}")),
                        }
                    }
                });
            }
        });
    }

    fn pass(&mut self, what: &str, start: Instant) {
        self.passed += 1;
        println!("ok    {}: {what} ({:.1} s)", self.prefix, start.elapsed().as_secs_f64());
    }

    fn fail(&mut self, error: &str) {
        self.failed += 1;
        println!("FAIL  {}: {error}", self.prefix);
    }
}

/// How many checks passed and failed, and what took how long.
#[derive(Default)]
pub struct Tally {
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Suite and release, seconds.
    pub seconds: Vec<(String, f64)>,
}

/// Suites at once: on two processors, since hosts mostly wait.
const WORKERS: usize = 3;

/// Runs every suite on each of `releases` that it is for, some at a time. An empty `names` means all but the nightly ones.
pub fn run(releases: &[Release], names: &[String], firn: &std::path::Path) -> Tally {
    let told = |suite: &&Suite| names.iter().any(|name| name == suite.name);
    let suites: Vec<&Suite> = if names.is_empty() {
        ALL.iter().collect()
    } else {
        ALL.iter().chain(NIGHTLY.iter().map(|nightly| &nightly.suite)).filter(told).collect()
    };
    let stories: Vec<(&Suite, Release)> = suites
        .into_iter()
        .flat_map(|suite| releases.iter().filter(|release| suite.releases.contains(release)).map(move |r| (suite, *r)))
        .collect();
    let Some(&tools) = releases.first() else { return Tally::default() };
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut tally = Tally::default();
        while let Some((suite, release)) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
            let prefix = format!("{} on {}", suite.name, release.name());
            let start = Instant::now();
            let mut checks = Checks { prefix: prefix.clone(), passed: 0, failed: 0 };
            let told = Bed::new(&format!("{}-{}", suite.name, release.name())).and_then(|bed| {
                let scene = Scene { bed, release: *release, tools, firn: firn.to_path_buf() };
                (suite.run)(&scene, &mut checks)
            });
            if let Err(error) = told {
                checks.fail(&format!("{error:#}"));
            }
            tally.passed += checks.passed;
            tally.failed += checks.failed;
            tally.seconds.push((prefix, start.elapsed().as_secs_f64()));
        }
        tally
    };
    thread::scope(|scope| {
        let workers = [(); WORKERS].map(|()| scope.spawn(worker));
        let mut sum = Tally::default();
        for worker in workers {
            // A worker that panicked has said why; its checks are lost, which is a failure.
            let tally = worker.join().unwrap_or(Tally { failed: 1, ..Tally::default() });
            sum.passed += tally.passed;
            sum.failed += tally.failed;
            sum.seconds.extend(tally.seconds);
        }
        sum
    })
}
