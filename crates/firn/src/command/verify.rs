//! `firn verify`: does a file hold what it says.

use crate::{CommandError, Session, inspect::text::number_of};
use clap::{Args, ValueHint};
use firn_core::hash;
use serde_json::json;
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
    pub fn run(self, session: &Session<'_>) -> Result<(), CommandError> {
        let loaded = session.load_host(&self.file, None)?;
        let closure = &loaded.closure;
        let derivations = closure.paths().iter().filter(|p| p.is_derivation()).count();
        let trusted: Vec<String> = closure.needing_trust().map(|p| closure.store_dir().display(p.path())).collect();
        if session.globals.json {
            return session.json(&json!({
                "version": 1,
                "root": closure.store_dir().display(&closure.roots()[0]),
                "roots": closure.roots().iter().map(|r| closure.store_dir().display(r)).collect::<Vec<_>>(),
                "paths": closure.paths().len(),
                "derivations": derivations,
                "sources": closure.paths().len() - derivations,
                "needing_trust": trusted,
                "digest": loaded.front.as_ref().map(|f| hash::hex(&f.digest)),
            }));
        }
        for root in closure.roots() {
            session.result(closure.store_dir().display(root))?;
        }
        let sources = closure.paths().len() - derivations;
        let proven = sources.saturating_sub(trusted.len()) as u64;
        let derivations = number_of(derivations as u64, "derivation");
        let mut text = format!("{}: whole, {derivations} and {} proven", loaded.source, number_of(proven, "source"));
        if !trusted.is_empty() {
            text.push_str(&format!(", {} not", number_of(trusted.len() as u64, "path")));
        }
        session.sink.note(&text);
        for path in &trusted {
            session.sink.warn(&format!("{path} is not proven by its content: a store needs trust to take it"));
        }
        Ok(())
    }
}
