//! `firn import`: from a file into a store.

use crate::{CommandError, Session};
use clap::{ArgGroup, Args, ValueHint};
use std::path::PathBuf;

/// Bring what a file holds into a store.
///
/// Nothing is written before the whole file is proven: every path recomputed from its contents, up to the root. A GC root
/// keeps what was imported. FILE may be a stream of nix-store --export too, and FILE#HOST names one of several hosts.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("link").args(["out_link", "no_root"]))]
pub struct Import {
    /// What to read, - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where to import, and how
    #[command(flatten)]
    pub target: Target,
    /// Where the GC root goes
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub out_link: Option<PathBuf>,
    /// Make no GC root: the next collection may delete what was imported
    #[arg(long)]
    pub no_root: bool,
    /// Say what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A store to write to, and what it may get.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("place").args(["store", "root"]))]
pub struct Target {
    /// A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Write into the store below DIR directly, without Nix
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Refuse any file but the one with this root: a .drv path, or a file that holds it
    #[arg(long, value_name = "ROOT")]
    pub expect: Option<String>,
}

impl Import {
    /// Runs it.
    pub fn run(self, _session: &Session<'_>) -> Result<(), CommandError> {
        Err(super::not_built("import"))
    }
}
