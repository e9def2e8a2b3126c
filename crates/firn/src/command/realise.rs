//! `firn realise`: from a file to a built system.

use super::import::Target;
use crate::{CommandError, Session};
use clap::{ArgGroup, Args, ValueHint};
use std::path::PathBuf;

/// Import, then fetch or build the system.
///
/// Prints the path of what was built, and keeps it with a GC root. Says before it begins what is built and what fetched.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("link").args(["out_link", "no_root"]))]
pub struct Realise {
    /// A firn file, - for standard input, or the .drv path of a root that is in the store
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where to import, and how
    #[command(flatten)]
    pub target: Target,
    /// Where the GC root goes
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub out_link: Option<PathBuf>,
    /// Make no GC root
    #[arg(long)]
    pub no_root: bool,
    /// Say what would be built and fetched, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Only fetch; refuse when something must be built
    #[arg(long)]
    pub no_build: bool,
    /// Print the lines of build logs
    #[arg(short = 'L', long)]
    pub print_build_logs: bool,
    /// Builds at the same time
    #[arg(short = 'j', long, value_name = "N", help_heading = "Given to Nix")]
    pub max_jobs: Option<String>,
    /// Processors for each build
    #[arg(long, value_name = "N", help_heading = "Given to Nix")]
    pub cores: Option<u64>,
    /// Go on with other builds after one failed
    #[arg(short = 'k', long, help_heading = "Given to Nix")]
    pub keep_going: bool,
    /// Build what cannot be fetched
    #[arg(long, help_heading = "Given to Nix")]
    pub fallback: bool,
    /// Set an option of Nix
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"], help_heading = "Given to Nix")]
    pub option: Vec<String>,
}

impl Realise {
    /// Runs it.
    pub fn run(self, _session: &Session<'_>) -> Result<(), CommandError> {
        Err(super::not_built("realise"))
    }
}
