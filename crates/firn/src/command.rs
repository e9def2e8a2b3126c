//! One command a file: its flags, and how it calls its pipeline.

pub mod convert;
pub mod import;
pub mod inspect;
pub mod pack;
pub mod realise;
pub mod verify;

use crate::{error::CommandError, exit_code::ExitCode};

/// What a command says whose pipeline is not there yet.
fn not_built(what: &str) -> CommandError {
    CommandError::new(ExitCode::Failure, format!("{what} is not built yet"))
}
