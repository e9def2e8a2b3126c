//! `firn generations` and `prune`: what there is to go back to, and what is kept for it.

use super::{activate::profile_name, status::only_root};
use crate::{CommandError, ExitCode, Session};
use clap::Args;
use firn_activate::{
    Host,
    hold::Lock,
    journal::date,
    profile::{Generation, Profile},
    prune::prune,
    record::Record,
};
use serde_json::json;
use std::path::Path;

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
        let generations = profile.generations();
        if generations.is_empty() {
            session.sink.note(&format!("the profile {} has no generation", self.profile_name));
        }
        let running = running.and_then(|path| one_of(&generations, current.as_ref(), &path));
        let booted = booted.and_then(|path| one_of(&generations, current.as_ref(), &path));
        for generation in generations {
            let is = |number: &Option<u64>| *number == Some(generation.number);
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

/// The generation that a system is of. Where several hold it, the one that the profile is at, else the newest.
fn one_of(generations: &[Generation], current: Option<&Generation>, system: &Path) -> Option<u64> {
    let mut holding =
        generations.iter().filter(|generation| generation.path == system).map(|generation| generation.number);
    let current = current.filter(|current| current.path == system).map(|current| current.number);
    current.or_else(|| holding.next_back())
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
        only_root("prune")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_several_generations_hold_runs_once() {
        let generation = |number, path: &str| Generation { number, path: path.into() };
        let all = [generation(1, "a"), generation(2, "b"), generation(3, "a"), generation(4, "b")];
        assert_eq!(one_of(&all, Some(&all[0]), Path::new("a")), Some(1));
        assert_eq!(one_of(&all, Some(&all[0]), Path::new("b")), Some(4));
        assert_eq!(one_of(&all, None, Path::new("c")), None);
    }
}
