//! `firn diff`: what changes from one system to another.

use crate::{
    CommandError, ExitCode, Session,
    diff::{Report, SourceChanges, ends, why},
    inspect::{Pattern, Style},
};
use clap::{Args, ValueHint};
use firn_core::difference::Difference;
use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

/// Show what changes from one system to another.
///
/// OLD and NEW are files as every command reads them, a .drv or a system in the store, or `current` for what runs here.
/// Packages are derivations with a version that are built; a * marks those that the system was asked for by name. Changed
/// by its inputs only is what differs in nothing but the paths of other things that changed.
#[derive(Debug, Args)]
pub struct Diff {
    /// What was
    #[arg(value_name = "OLD", value_hint = ValueHint::FilePath)]
    pub old: PathBuf,
    /// What comes
    #[arg(value_name = "NEW", value_hint = ValueHint::FilePath)]
    pub new: PathBuf,
    /// Show what changed in sources, line by line
    #[arg(long, value_name = "PATTERN", conflicts_with = "why")]
    pub source: Option<String>,
    /// Show the way from the root to something, and what on it changed
    #[arg(long, value_name = "NAME")]
    pub why: Option<String>,
    /// End with 1 where there is a difference, as git diff does
    #[arg(long)]
    pub exit_code: bool,
    /// The store that has the derivations
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
}

impl Diff {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let style = Style { colour: session.globals.colours(io::stdout().is_terminal()) };
        let [old, new] = ends([&self.old, &self.new], self.store.as_deref(), self.source.is_some(), session)?;
        let differs = old.store_dir != new.store_dir || old.roots != new.roots;
        if let Some(pattern) = &self.source {
            let changes = SourceChanges::new(&old, &new, &Pattern::new(pattern))?;
            let changes = changes.ok_or_else(|| absent("source", pattern))?;
            if session.globals.json {
                session.json(&changes)?;
            } else {
                session.with_results(|out| out.write_all(changes.text(style).as_bytes()))?;
            }
            return Ok(self.code(differs));
        }
        let (old_side, new_side) = (old.side(), new.side());
        let difference = Difference::new(&old_side, &new_side)?;
        if let Some(pattern) = &self.why {
            let ways = why(&difference, &Pattern::new(pattern)).ok_or_else(|| absent("derivation", pattern))?;
            if session.globals.json {
                session.json(&ways.json())?;
            } else {
                session.with_results(|out| out.write_all(ways.text(style).as_bytes()))?;
            }
            return Ok(self.code(differs));
        }
        let report = Report::new([old.named(), new.named()], &difference)?;
        if session.globals.json {
            session.json(&report)?;
        } else {
            let text = report.text(style, session.globals.verbose > 0);
            session.with_results(|out| out.write_all(text.as_bytes()))?;
        }
        Ok(self.code(differs))
    }

    fn code(&self, differs: bool) -> ExitCode {
        if self.exit_code && differs { ExitCode::Failure } else { ExitCode::Success }
    }
}

fn absent(what: &str, pattern: &str) -> CommandError {
    CommandError::new(ExitCode::Absent, format!("no {what} of either fits {pattern:?}"))
        .hint("a pattern is a part of a name or store path, or a glob with * and ? for all of one")
}
