//! `cargo xtask`: everything that is done to firn, on a machine with Rust and nothing else.

mod bed;
mod bench;
mod boundaries;
mod demo;
mod dependencies;
mod dist;
mod generated;
mod install;
mod process;
mod scale;
mod sizes;
mod stages;
mod suites;
mod toolchain;
mod vm;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::bed::Release;

/// Builds, tests, measures and documents firn.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the static binaries for x86_64 and aarch64 into dist/
    Dist {
        /// Only a static glibc binary for x86_64, built fast: for hosts of the test bed, not for release
        #[arg(long)]
        quick: bool,
        /// Build with Debian's Rust instead of rustup's, as on machines where rustup cannot add a target
        #[arg(long, conflicts_with = "quick")]
        debian: bool,
    },
    /// Run everything that CI runs; FIRN_ALLOW_SKIP=NAME,... lets things be left out that cannot be tested here
    Test {
        /// Only what takes too long for CI: power cuts of virtual machines, and switches by the real
        /// switch-to-configuration.pl of nixpkgs 19.09 (FIRN_REAL_SWITCH names another one)
        #[arg(long)]
        nightly: bool,
    },
    /// Show the main job on real input
    Demo,
    /// Run suites in hosts of the test bed: all, or those named
    E2e {
        /// Only on this release (bookworm, trixie, sid)
        #[arg(long, value_parser = release)]
        on: Option<Release>,
        /// A static firn binary instead of the one that `dist` builds
        #[arg(long)]
        firn: Option<PathBuf>,
        /// Names of suites
        suites: Vec<String>,
    },
    /// Make the images of the test hosts in $FIRN_TESTBED (default /var/tmp/firn-testbed)
    Images,
    /// Measure file sizes and write the ledger, docs/sizes.md
    Sizes {
        /// A folder with more closures (*.export.zst)
        #[arg(long)]
        closures: Option<PathBuf>,
        /// Only fail if a row of the checkout's own closures is stale
        #[arg(long)]
        check: bool,
    },
    /// Measure speed and memory against stock tools and write docs/benchmarks.md
    Bench {
        /// Only what firn adds to a switch
        #[arg(long)]
        switching: bool,
    },
    /// Make closures larger than any at hand, measure what firn does with them and write docs/design/scale.md
    Scale {
        /// Where they are made, which takes 10 GB; target/scale without it
        #[arg(long)]
        folder: Option<PathBuf>,
        /// A folder of text to make the tree and the large file from; the sources of dependencies without it
        #[arg(long)]
        text: Option<PathBuf>,
        /// Only these closures
        only: Vec<String>,
    },
    /// Write generated pages anew
    Generate {
        /// Only fail if one is stale
        #[arg(long)]
        check: bool,
    },
}

fn release(name: &str) -> Result<Release, String> {
    Release::named(name).ok_or_else(|| "bookworm, trixie or sid".to_owned())
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Dist { quick: true, .. } => println!("{}", dist::build_quick()?.display()),
        Task::Dist { debian, .. } => {
            let toolchain = if debian { dist::Toolchain::Debian } else { dist::Toolchain::Rustup };
            for processor in dist::Processor::ALL {
                println!("{}", dist::build(processor, toolchain)?.display());
            }
        }
        Task::Demo => demo::run()?,
        Task::Test { nightly: false } => stages::test()?,
        Task::Test { nightly: true } => stages::nightly()?,
        Task::E2e { on, firn, suites } => {
            bed::prepare()?;
            let releases = on.map_or(Release::ALL.to_vec(), |release| vec![release]);
            let firn = firn.map_or_else(|| dist::build(dist::Processor::X86_64, dist::Toolchain::Rustup), Ok)?;
            let tally = suites::run(&releases, &suites, &firn);
            println!("{} passed, {} failed", tally.passed, tally.failed);
            ensure!(tally.failed == 0, "{} checks failed", tally.failed);
        }
        Task::Images => {
            bed::prepare()?;
            for release in Release::ALL {
                println!("{}", bed::image(release)?.display());
            }
        }
        Task::Sizes { closures, check } => sizes::run(&sizes::build()?, closures.as_deref(), check)?,
        Task::Bench { switching: true } => bench::switching()?,
        Task::Bench { switching: false } => bench::run()?,
        Task::Scale { folder, text, only } => scale::run(folder.as_deref(), text.as_deref(), &only)?,
        Task::Generate { check } => generated::generate(check)?,
    }
    Ok(())
}
