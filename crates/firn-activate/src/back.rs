//! Which system a rollback goes back to.

use crate::{
    facts::running_specialisation,
    goal::Action,
    host::Host,
    journal::{Journal, State},
    profile::{Generation, Profile},
    record::Record,
};
use std::path::Path;

/// A generation, and what of it is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// The generation.
    pub generation: Generation,
    /// The specialisation of it that ran when it was left.
    pub specialisation: Option<String>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoWayBack {
    /// An empty profile.
    #[error("the profile has no generation")]
    Empty,
    /// A generation that is not there.
    #[error("there is no generation {0}")]
    Unknown(String),
    /// The oldest one is current.
    #[error("there is no generation before {0}")]
    First(u64),
}

/// The generation `to`, by its number or a path of its system. Without it, where a system runs that was only tried (`test`),
/// the one that the profile is at; else what the profile was at before the current one was switched to, or the next lower
/// number. Never a newer one: that was left for a reason.
pub fn way_back(host: &Host, profile_name: &str, to: Option<&str>) -> Result<WayBack, NoWayBack> {
    let profile = Profile::new(host, profile_name);
    let generations = profile.generations();
    // What ran before says it exactly, else the record of its activation does.
    let way = |generation: &Generation, ran: Option<&Path>| {
        let recorded = || Record::read(host, profile_name, generation)?.specialisation;
        let ran = ran.and_then(|ran| part(host, generation, ran));
        WayBack { generation: generation.clone(), specialisation: ran.unwrap_or_else(recorded) }
    };
    if let Some(to) = to {
        let path = host.resolve(to);
        let fits = |generation: &&Generation| {
            to.parse() == Ok(generation.number)
                || path.as_deref().is_some_and(|path| part(host, generation, path).is_some())
        };
        let found = generations.iter().rev().find(fits).ok_or_else(|| NoWayBack::Unknown(to.to_owned()))?;
        return Ok(way(found, path.as_deref()));
    }
    let current = profile.current().ok_or(NoWayBack::Empty)?;
    let journals: Vec<Journal> = Journal::all(host)
        .iter()
        .rev()
        .filter_map(|id| Journal::read(host, id).ok())
        .filter(|journal| journal.state == State::Done && journal.goal.profile == profile_name)
        .collect();
    let running = host.resolve("/run/current-system");
    let tried = journals.first().filter(|journal| {
        let before = &journal.before.running;
        journal.goal.action == Action::Test && running.as_ref() == Some(&journal.target) && *before != running
    });
    let foreign = running
        .as_deref()
        .filter(|_| profile_name == "system")
        .is_some_and(|running| !generations.iter().any(|generation| part(host, generation, running).is_some()));
    if tried.is_some() || foreign {
        return Ok(way(&current, tried.and_then(|journal| journal.before.running.as_deref())));
    }
    let left = journals.iter().filter(|journal| journal.generation.as_ref() == Some(&current)).find_map(|journal| {
        let before = journal.before.generation.as_ref()?;
        let fits = before.number < current.number && generations.contains(before);
        fits.then(|| way(before, journal.before.running.as_deref()))
    });
    let older = || generations.iter().rev().find(|generation| generation.number < current.number);
    left.or_else(|| older().map(|older| way(older, None))).ok_or(NoWayBack::First(current.number))
}

/// What of a generation a system is: the base, or a specialisation.
fn part(host: &Host, generation: &Generation, system: &Path) -> Option<Option<String>> {
    if generation.path == system {
        return Some(None);
    }
    running_specialisation(host, Some(system), Some(generation)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::{make_folder, replace_link},
        journal::tests::{journal, moment},
    };
    use std::path::PathBuf;

    struct Bed {
        host: Host,
        _dir: tempfile::TempDir,
        activations: u64,
    }

    impl Bed {
        /// Generations 1 to `count`, the profile at the last of them, which runs.
        fn new(count: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut bed = Self { host: Host::below(dir.path()), _dir: dir, activations: 0 };
            (1..=count).for_each(|number| bed.at(number));
            bed.runs(&system(count));
            bed
        }

        fn at(&mut self, number: u64) {
            make_folder(&self.host.path(system(number))).unwrap();
            Profile::new(&self.host, "system").set(&Generation { number, path: system(number) }).unwrap();
        }

        fn runs(&self, path: &Path) {
            make_folder(&self.host.path("/run")).unwrap();
            make_folder(&self.host.path(path)).unwrap();
            replace_link(&self.host.path("/run/current-system"), &self.host.path(path)).unwrap();
        }

        /// An activation of a system as it is left in the journal, and what is then there.
        fn activated(&mut self, action: Action, path: &Path, number: Option<u64>, back: bool) {
            let mut done = journal(action);
            self.activations += 1;
            done.id = format!("2026-{}", self.activations);
            done.before.running = self.host.resolve("/run/current-system");
            done.before.generation = Profile::new(&self.host, "system").current();
            (done.goal.system, done.target) = (path.to_owned(), path.to_owned());
            done.generation = number.map(|number| Generation { number, path: path.to_owned() });
            done.goal.generation = done.generation.clone().filter(|_| back);
            done.enter(State::Done, moment("one", self.activations));
            done.write(&self.host).unwrap();
            if let Some(number) = number {
                self.at(number);
            }
            if action != Action::Boot {
                self.runs(path);
            }
        }

        fn back(&self, to: Option<&str>) -> (u64, Option<String>) {
            let way = way_back(&self.host, "system", to).unwrap();
            (way.generation.number, way.specialisation)
        }
    }

    fn system(number: u64) -> PathBuf {
        format!("/nix/store/system-{number}").into()
    }

    #[test]
    fn from_a_system_that_was_only_tried_it_leads_to_the_one_that_boots() {
        let mut bed = Bed::new(3);
        bed.activated(Action::Test, Path::new("/nix/store/tried"), None, false);
        assert_eq!(bed.back(None), (3, None));
        bed.activated(Action::Test, &system(1), None, false);
        assert_eq!(bed.back(None), (3, None), "an older generation was tried");
        bed.runs(Path::new("/nix/store/by-hand"));
        assert_eq!(bed.back(None), (3, None), "somebody else tried it");
        // What was set to boot and does not run yet is gone back from.
        bed.runs(&system(3));
        bed.activated(Action::Boot, &system(4), Some(4), false);
        assert_eq!(bed.back(None), (3, None));
    }

    #[test]
    fn it_leads_to_what_was_left_and_never_to_what_was_fled_from() {
        let mut bed = Bed::new(4);
        bed.activated(Action::Switch, &system(2), Some(2), true);
        bed.activated(Action::Switch, &system(5), Some(5), false);
        assert_eq!(bed.back(None), (2, None), "3 and 4 were left before");
        bed.activated(Action::Switch, &system(2), Some(2), true);
        assert_eq!(bed.back(None), (1, None), "5 was fled from");
        bed.activated(Action::Switch, &system(1), Some(1), true);
        assert!(matches!(way_back(&bed.host, "system", None), Err(NoWayBack::First(1))));
        assert!(matches!(way_back(&bed.host, "system", Some("9")), Err(NoWayBack::Unknown(_))));
    }

    #[test]
    fn the_specialisation_that_ran_comes_back_too() {
        let mut bed = Bed::new(1);
        let good = Path::new("/nix/store/good");
        make_folder(&bed.host.path(good)).unwrap();
        make_folder(&bed.host.path(system(1).join("specialisation"))).unwrap();
        replace_link(&bed.host.path(system(1).join("specialisation/good")), &bed.host.path(good)).unwrap();
        bed.runs(good);
        bed.activated(Action::Switch, &system(2), Some(2), false);
        assert_eq!(bed.back(None), (1, Some("good".into())));
        assert_eq!(bed.back(Some("/nix/store/good")), (1, Some("good".into())));
        assert_eq!(bed.back(Some("/nix/store/system-1")), (1, None));
        let mut other = journal(Action::Switch);
        other.goal.specialisation = Some("good".into());
        Record::of(&other, &Generation { number: 1, path: system(1) }, 0).write(&bed.host).unwrap();
        assert_eq!(bed.back(Some("1")), (1, Some("good".into())));
    }
}
