//! `cargo xtask test`: everything that CI runs, one stage after the other, and a table at the end.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Error, Result, bail, ensure};
use fs_err as fs;

use crate::bed::{self, Release};
use crate::dist::{self, Processor, Toolchain};
use crate::install::{Missing, Need, provide};
use crate::{boundaries, dependencies, generated, process, sizes, suites, workspace};

/// Something that could not be tested here, by the name that `FIRN_ALLOW_SKIP` knows it by.
struct Skip {
    name: &'static str,
    reason: String,
}

#[derive(Default)]
struct Run {
    table: Vec<(String, f64, &'static str)>,
    suites: Vec<(String, f64)>,
    skips: Vec<Skip>,
    failures: Vec<String>,
}

impl Run {
    /// Runs a stage whatever became of those before it; gives its value if it passed.
    fn stage<T>(&mut self, name: &'static str, stage: impl FnOnce(&mut Self) -> Result<T>) -> Option<T> {
        eprintln!("== {name}");
        let start = Instant::now();
        let (value, verdict) = match stage(self) {
            Ok(value) => (Some(value), "ok"),
            Err(error) => (None, self.not_passed(name, error)),
        };
        self.table.push((name.to_owned(), start.elapsed().as_secs_f64(), verdict));
        value
    }

    fn not_passed(&mut self, name: &'static str, error: Error) -> &'static str {
        if error.is::<Missing>() {
            self.skip(name, format!("{error:#}"));
            return "NOT TESTED";
        }
        eprintln!("FAIL  {name}: {error:#}");
        self.failures.push(name.to_owned());
        "FAIL"
    }

    fn skip(&mut self, name: &'static str, reason: String) {
        eprintln!("NOT TESTED  {name}: {reason}");
        self.skips.push(Skip { name, reason });
    }

    /// What became of suites that ran in hosts.
    fn tally(&mut self, tally: &suites::Tally) -> Result<()> {
        self.suites.extend(tally.seconds.iter().cloned());
        println!("end to end: {} passed, {} failed", tally.passed, tally.failed);
        if tally.failed > 0 {
            bail!("{} of {} checks failed", tally.failed, tally.passed + tally.failed);
        }
        Ok(())
    }

    /// Prints the table and judges the run by it.
    fn close(mut self) -> Result<()> {
        println!();
        for (name, seconds, verdict) in &self.table {
            println!("{seconds:7.1} s  {verdict:<10}  {name}");
        }
        let total: f64 = self.table.iter().map(|(_, seconds, _)| seconds).sum();
        println!("{total:7.1} s  in all");
        for (name, seconds) in &self.suites {
            println!("{seconds:7.1} s              {name}, in end to end");
        }
        let allowed = std::env::var("FIRN_ALLOW_SKIP").unwrap_or_default();
        for skip in &self.skips {
            println!("NOT TESTED  {}: {}", skip.name, skip.reason);
            if !allowed.split(',').any(|name| name == skip.name) {
                self.failures.push(format!("{} not tested (FIRN_ALLOW_SKIP does not name it)", skip.name));
            }
        }
        ensure!(self.failures.is_empty(), "{}", self.failures.join(", "));
        Ok(())
    }
}

/// Runs all stages.
pub fn test() -> Result<()> {
    let mut run = Run::default();
    run.stage("format", |_| process::run(&mut process::cargo(["fmt", "--all", "--check"])));
    run.stage("lints", |_| {
        process::run(&mut process::cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    });
    run.stage("tests", |run| {
        let mut cargo = process::cargo(["test", "--workspace", "--locked"]);
        if let Err(error) = provide(&[Need::nix("to check store folders that were written without it")]) {
            // The rest is tested all the same.
            run.skip("nix", format!("{error:#}"));
            cargo.env("FIRN_ALLOW_SKIP", format!("{},nix", std::env::var("FIRN_ALLOW_SKIP").unwrap_or_default()));
        }
        process::run(&mut cargo)
    });
    run.stage("docs", |_| {
        let mut doc = process::cargo(["doc", "--workspace", "--no-deps", "--locked"]);
        process::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    run.stage("boundaries", |_| boundaries::check());
    run.stage("dependencies", |_| dependencies::check());
    run.stage("generated pages", |_| generated::generate(true));
    // Images mostly wait for the network and for disks, builds for processors.
    let prepared = bed::prepare();
    let images = thread::scope(|scope| {
        let images =
            scope.spawn(|| prepared.map(|()| Release::ALL.map(|release| (release, bed::image(release).map(drop)))));
        // What cannot be built at once is built, or is missing, in the stages of each.
        let _ = run.stage("static binaries", |_| dist::build_together());
        images.join().unwrap_or_else(|_| bail!("panicked"))
    });
    let firn = run.stage("x86_64", |_| dist::build(Processor::X86_64, Toolchain::Rustup));
    run.stage("size ledger", |_| sizes::run(firn.as_deref().context("no static firn")?, None, true));
    run.stage("aarch64", |_| {
        let other = dist::build(Processor::Aarch64, Toolchain::Rustup)?;
        let emulated = || Ok::<_, Error>(process::command(dist::qemu_aarch64()?, [&other]));
        let version = process::output(emulated()?.arg("--version"))?;
        ensure!(version.starts_with("firn "), "aarch64 firn --version: {version:?}");
        let firn = firn.as_ref().context("no x86_64 firn to compare with")?;
        same_file(firn, emulated()?, emulated()?)
    });
    let releases = run.stage("images", |run| releases(run, images)).unwrap_or_default();
    if releases.is_empty() {
        return run.close();
    }
    match firn {
        Some(firn) => drop(run.stage("end to end", |run| run.tally(&suites::run(&releases, &[], &firn)))),
        None => run.failures.push("end to end: no static firn".to_owned()),
    }
    run.close()
}

/// Runs what takes too long for each commit.
pub fn nightly() -> Result<()> {
    let mut run = Run::default();
    let Some(firn) = run.stage("x86_64", |_| dist::build(Processor::X86_64, Toolchain::Rustup)) else {
        return run.close();
    };
    for suites::Nightly { suite, needs } in suites::NIGHTLY {
        run.stage(suite.name, |run| {
            needs()?;
            run.tally(&suites::run(suite.releases, &[suite.name.to_owned()], &firn))
        });
    }
    run.close()
}

/// Both processors write the same file of a real closure, and the other one reads ours.
fn same_file(firn: &Path, mut write: Command, mut read: Command) -> Result<()> {
    let folder = workspace::file("target/aarch64");
    fs::create_dir_all(&folder)?;
    let (ours, theirs) = (folder.join("x86_64.firn"), folder.join("aarch64.firn"));
    let closure = workspace::file("examples/nixos-19.09-minimal-2019-12.export.zst");
    process::run(process::command(firn, ["convert", "--quiet"]).args([&closure, &ours]))?;
    process::run(write.args(["convert", "--quiet"]).args([&closure, &theirs]))?;
    ensure!(fs::read(&ours)? == fs::read(&theirs)?, "aarch64 writes other bytes than x86_64");
    process::run(read.args(["verify", "--quiet"]).arg(&ours))
}

/// The releases whose images could be made; the others are skips.
fn releases(run: &mut Run, images: Result<[(Release, Result<()>); 3]>) -> Result<Vec<Release>> {
    let images = match images {
        Ok(images) => images,
        Err(error) => Release::ALL.map(|release| (release, Err(Missing(format!("{error:#}")).into()))),
    };
    let mut releases = Vec::new();
    for (release, made) in images {
        match made {
            Ok(()) => releases.push(release),
            Err(error) if error.is::<Missing>() => run.skip(release.name(), format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    Ok(releases)
}
