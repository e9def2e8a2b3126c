//! `cargo xtask`: everything that is done to firn, on a machine with Rust and nothing else.

mod dist;
mod install;
mod process;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Dist { quick: true } => println!("{}", dist::build_quick()?.display()),
        Task::Dist { quick: false } => {
            for processor in dist::Processor::ALL {
                println!("{}", dist::build(processor)?.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
