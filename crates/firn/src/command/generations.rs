//! `firn generations`, `rollback` and `prune`: the way back, and what is kept for it.

use super::activate::{ConfirmFlags, Flags, go_to, goal, profile_name};
use crate::{CommandError, ExitCode, Session, activate::take_back};
use clap::Args;
use firn_activate::{
    Host,
    config::Config,
    goal::Action,
    guard::GuardError,
    hold::Lock,
    journal::{Journal, State, date},
    profile::{Generation, Profile},
    prune::prune,
    record::Record,
};
use serde_json::json;
use std::path::PathBuf;

/// List the generations of the profile, and which file each came from.
#[derive(Debug, Args)]
pub struct Generations {
    /// Another profile than system
    #[arg(short = 'p', long, value_name = "NAME", default_value = "system", value_parser = profile_name)]
    pub profile_name: String,
}

impl Generations {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        let profile = Profile::new(&host, &self.profile_name);
        let current = profile.current();
        let resolved = |link: &str| host.resolve(link);
        let (running, booted) = (resolved("/run/current-system"), resolved("/run/booted-system"));
        let mut rows = Vec::new();
        for generation in profile.generations() {
            let is = |path: &Option<PathBuf>| path.as_ref() == Some(&generation.path);
            let record = Record::read(&host, &self.profile_name, &generation);
            let made = profile.made(generation.number).unwrap_or(0);
            let name = host.text(generation.path.join("nixos-version")).unwrap_or_default();
            if session.globals.json {
                rows.push(json!({
                    "generation": generation.number,
                    "date": date(made),
                    "name": name,
                    "path": generation.path,
                    "current": current.as_ref() == Some(&generation),
                    "running": is(&running),
                    "booted": is(&booted),
                    "file": record.as_ref().and_then(|record| record.file.clone()),
                    "specialisation": record.and_then(|record| record.specialisation),
                }));
                continue;
            }
            let marks = [
                (current.as_ref() == Some(&generation), "current"),
                (is(&running), "running"),
                (is(&booted), "booted"),
            ];
            let marks: Vec<&str> = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
            let file = record.and_then(|record| record.file).unwrap_or_default();
            let line = format!("{:>4}  {}  {name}  {}  {file}", generation.number, date(made), marks.join(","));
            session.result(line.trim_end())?;
        }
        if session.globals.json {
            session.json(&json!({"version": 1, "generations": rows}))?;
        }
        Ok(ExitCode::Success)
    }
}

/// Go back to the generation before, or to another one.
///
/// An activation that waits for its confirmation is taken back instead.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The generation's number, or a path of its system
    #[arg(long, value_name = "N|PATH")]
    pub to: Option<String>,
    /// How to activate
    #[command(flatten)]
    pub flags: Flags,
    /// When a person has to confirm
    #[command(flatten)]
    pub confirm: ConfirmFlags,
}

impl Rollback {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        if !rustix::process::geteuid().is_root() {
            return Err(GuardError::NotRoot.into());
        }
        if self.to.is_none()
            && let Some(code) = take_back(&host, session)?
        {
            return Ok(code);
        }
        let profile = Profile::new(&host, &self.flags.profile_name);
        let generation = self.target(&host, &profile)?;
        let file = Record::read(&host, &self.flags.profile_name, &generation).and_then(|record| record.file);
        let goal = goal(Action::Switch, generation.path.clone(), file, &self.flags, &Config::read(&host)?);
        go_to(&generation, goal, &self.confirm, session)
    }

    fn target(&self, host: &Host, profile: &Profile) -> Result<Generation, CommandError> {
        let generations = profile.generations();
        let refused = |text: String| CommandError::new(ExitCode::Refused, text).hint("see firn generations");
        if let Some(to) = &self.to {
            let path = host.resolve(to);
            let found = generations
                .into_iter()
                .rev()
                .find(|generation| to.parse() == Ok(generation.number) || path.as_ref() == Some(&generation.path));
            return found.ok_or_else(|| refused(format!("there is no generation {to}")));
        }
        let current = profile.current().ok_or_else(|| refused("the profile has no generation".into()))?;
        // What was there before the last switch, if that is still what is there now.
        let before = Journal::latest(host)?.filter(|journal| {
            journal.state == State::Done
                && journal.generation.as_ref() == Some(&current)
                && journal.goal.profile == self.flags.profile_name
        });
        let before =
            before.and_then(|journal| journal.before.generation).filter(|g| *g != current && generations.contains(g));
        let older = generations.into_iter().rev().find(|generation| generation.number < current.number);
        before.or(older).ok_or_else(|| refused(format!("there is no generation before {}", current.number)))
    }
}

/// Delete records and roots of generations that are gone, old journals and copies of the binary.
#[derive(Debug, Args)]
pub struct Prune {
    /// Another profile than system
    #[arg(short = 'p', long, value_name = "NAME", default_value = "system", value_parser = profile_name)]
    pub profile_name: String,
}

impl Prune {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        if !rustix::process::geteuid().is_root() {
            return Err(GuardError::NotRoot.into());
        }
        let _begin = Lock::Begin.take(&host)?;
        let pruned = prune(&host, &self.profile_name, true)?;
        if session.globals.json {
            session.json(&json!({
                "version": 1, "records": pruned.records, "roots": pruned.roots, "journals": pruned.journals,
                "binaries": pruned.binaries,
            }))?;
            return Ok(ExitCode::Success);
        }
        session.sink.note(&format!(
            "deleted {} records of generations, {} GC roots, {} journals, {} copies of the binary",
            pruned.records, pruned.roots, pruned.journals, pruned.binaries
        ));
        Ok(ExitCode::Success)
    }
}
