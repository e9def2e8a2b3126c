//! `firn verify`: does a file hold what it says.

use crate::{CommandError, Session};
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Decode everything and recompute every path.
///
/// Touches no store. FILE may be a stream of nix-store --export too.
#[derive(Debug, Args)]
pub struct Verify {
    /// What to read, - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

impl Verify {
    /// Runs it.
    pub fn run(self, _session: &Session<'_>) -> Result<(), CommandError> {
        Err(super::not_built("verify"))
    }
}
