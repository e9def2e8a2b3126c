//! The command line as data: help, man pages and completions are made from it.

use crate::{
    command::{activate, convert, diff, generations, import, inspect, pack, realise, rollback, status, verify},
    error::CommandError,
    exit_code::ExitCode,
    session::Session,
};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use std::{num::NonZero, path::PathBuf};

/// Presses an evaluated NixOS system into one small file, and turns that file into a running system.
#[derive(Debug, Parser)]
#[command(name = "firn", version, max_term_width = 100, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, propagate_version = false)]
pub struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Say nothing but results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice, even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Print results as JSON, and everything else as lines of JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours; NO_COLOR is heeded
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Refuse input that needs more memory to decode
    #[arg(long, global = true, value_name = "SIZE", value_parser = size)]
    pub max_memory: Option<u64>,
    /// Threads for encoding and decoding; the result does not depend on it
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZero<usize>>,
    /// Folder for contents that must be put aside, even one in memory
    #[arg(long, global = true, value_name = "DIR", env = "FIRN_TMPDIR", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub tmp_dir: Option<PathBuf>,
    /// An earlier file, or its .drv in the store: what a delta is made against, or is read with
    #[arg(long, global = true, value_name = "FILE|DRV", value_hint = ValueHint::FilePath)]
    pub base: Vec<PathBuf>,
    /// Folder of earlier files, among which the base of a delta is looked for
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub base_dir: Option<PathBuf>,
}

impl Globals {
    /// Whether to use colours where output goes to a terminal, or does not.
    pub fn colours(&self, terminal: bool) -> bool {
        let plain = || {
            std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        };
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain(),
        }
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// The commands. Help stands with the flags of each: here it would replace the longer one.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
#[expect(missing_docs, reason = "clap would print it in place of the docs of the flags")]
pub enum Command {
    Pack(pack::Pack),
    Inspect(inspect::Inspect),
    Diff(diff::Diff),
    Verify(verify::Verify),
    Import(import::Import),
    #[command(visible_alias = "realize")]
    Realise(realise::Realise),
    Switch(activate::Switch),
    Boot(activate::Boot),
    Test(activate::Test),
    DryActivate(activate::DryActivate),
    Confirm(status::Confirm),
    Rollback(rollback::Rollback),
    Generations(generations::Generations),
    Status(status::Status),
    Recover(status::Recover),
    Prune(generations::Prune),
    Convert(convert::Convert),
    #[command(name = "__activate", hide = true)]
    Activate(status::Activate),
    #[command(name = "__script", hide = true)]
    Script(status::Script),
}

impl Command {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        match self {
            Self::Pack(command) => command.run(session)?,
            Self::Inspect(command) => command.run(session)?,
            Self::Verify(command) => command.run(session)?,
            Self::Import(command) => command.run(session)?,
            Self::Realise(command) => command.run(session)?,
            Self::Convert(command) => command.run(session)?,
            Self::Diff(command) => return command.run(session),
            Self::Switch(command) => return command.run(session),
            Self::Boot(command) => return command.run(session),
            Self::Test(command) => return command.run(session),
            Self::DryActivate(command) => return command.run(session),
            Self::Confirm(command) => return command.run(session),
            Self::Rollback(command) => return command.run(session),
            Self::Generations(command) => return command.run(session),
            Self::Status(command) => return command.run(session),
            Self::Recover(command) => return command.run(session),
            Self::Prune(command) => return command.run(session),
            Self::Activate(command) => return command.run(),
            Self::Script(command) => return command.run(),
        }
        Ok(ExitCode::Success)
    }
}

/// The whole command line, for those who make pages of it.
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// A number of bytes: `300M`, `1GiB`, `4096`. Powers of 1024, as Nix has them.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().trim_end_matches(['b', 'B']).trim_end_matches('i').to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("a size is a number, with K, M, G or T after it".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a size begins with a number".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is too much".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command_line().debug_assert();
    }

    #[test]
    fn sizes_have_units_of_nix() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("300M"), Ok(300 << 20));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("2 kb"), Ok(2048));
        for bad in ["", "M", "1X", "99999999999T", "-1"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
