//! `firn inspect`: what is in a file.

use crate::{CommandError, Session};
use clap::{ArgGroup, Args, ValueHint};
use std::path::PathBuf;

/// Show what is in a file.
///
/// Root, host, counts, and where the bytes go. A PATTERN is a part of a name, or a glob with * and ?.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("look").args(["derivation", "source", "tree", "sources"]))]
pub struct Inspect {
    /// What to read, - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Print derivations as Nix has them; with --json as nix derivation show
    #[arg(long, value_name = "PATTERN")]
    pub derivation: Option<String>,
    /// List the files of sources; with --cat print their contents
    #[arg(long, value_name = "PATTERN")]
    pub source: Option<String>,
    /// Print the contents of the files
    #[arg(long, requires = "source")]
    pub cat: bool,
    /// Show why a path is in the file: the ways to it from the root
    #[arg(long, value_name = "PATTERN")]
    pub tree: Option<String>,
    /// List every file that travels, with its size
    #[arg(long)]
    pub sources: bool,
}

impl Inspect {
    /// Runs it.
    pub fn run(self, _session: &Session<'_>) -> Result<(), CommandError> {
        Err(super::not_built("inspect"))
    }
}
