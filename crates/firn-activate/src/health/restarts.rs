//! Services that ended and that systemd started again. One that runs at this very moment shows only by its counter.

use super::{property, text_of};
use crate::{clock::Moment, error::ActivateError, machine::Machine};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A service that was restarted twice or more and began to run within this time is one that ends again and again.
const LATELY: Duration = Duration::from_secs(60);

/// systemd's "unit ends with this result, which is no success": SD_MESSAGE_UNIT_FAILURE_RESULT of sd-messages(3).
const FAILED: &str = "MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c";

/// How services were restarted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Restarts(BTreeMap<String, Service>);

/// One of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Service {
    /// How often, since a person or a script started it.
    count: u64,
    /// When it last began to run, in microseconds of the monotonic clock.
    began_us: u64,
    /// What a restart says of the end before it.
    after: End,
}

/// How a service ends that is restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// By a failure: for nothing else it is restarted.
    Failure,
    /// Well: only then it is restarted.
    Success,
    /// Either way.
    #[default]
    Any,
}

/// Asks for all services.
pub(super) fn all(machine: &Machine) -> Result<Restarts, ActivateError> {
    ask(machine, &["--all"])
}

/// Asks for services that do not rest, which takes systemd 100 ms less: each is asked for by itself.
pub(super) fn of_running(machine: &Machine) -> Result<Restarts, ActivateError> {
    ask(machine, &[])
}

fn ask(machine: &Machine, which: &[&str]) -> Result<Restarts, ActivateError> {
    let wanted = "--property=Id,NRestarts,Restart,RestartForceExitStatus,ActiveEnterTimestampMonotonic,\
                  InactiveExitTimestampMonotonic";
    let (_, text) = machine.ask("systemctl", &[&["show", "--type=service", wanted], which, &["*"]].concat())?;
    Ok(parse(&text))
}

/// Services of which the log of the host says that they failed since a moment. Where it keeps none, it says nothing.
pub(super) fn failures(machine: &Machine, since: &Moment) -> BTreeSet<String> {
    let ask = ["--boot", "--quiet", "--no-pager", "--output=json", "--lines=1000", FAILED];
    machine.ask("journalctl", &ask).map_or_else(|_| BTreeSet::new(), |(_, text)| failed_in(&text, since))
}

fn failed_in(log: &str, since: &Moment) -> BTreeSet<String> {
    let of = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let at: u64 = entry.get("__MONOTONIC_TIMESTAMP")?.as_str()?.parse().ok()?;
        (at / 1000 >= since.monotonic_ms).then(|| entry.get("UNIT")?.as_str().map(str::to_owned))?
    };
    log.lines().filter_map(of).collect()
}

fn parse(text: &str) -> Restarts {
    let of = |block: &str| {
        let began = ["ActiveEnterTimestampMonotonic", "InactiveExitTimestampMonotonic"];
        let began_us = began.iter().filter_map(|key| property(block, key)).max().unwrap_or(0);
        let forced = text_of(block, "RestartForceExitStatus").is_some_and(|codes| !codes.is_empty());
        let after = match text_of(block, "Restart") {
            Some("on-failure" | "on-abnormal" | "on-abort" | "on-watchdog") if !forced => End::Failure,
            Some("on-success") if !forced => End::Success,
            _ => End::Any,
        };
        Some((text_of(block, "Id")?.to_owned(), Service { count: property(block, "NRestarts")?, began_us, after }))
    };
    Restarts(text.split("\n\n").filter_map(of).collect())
}

impl Restarts {
    /// Those that end again and again, though they may run at this very moment.
    pub(super) fn looping(self, now_us: u64) -> impl Iterator<Item = String> {
        let lately = move |service: &Service| {
            service.count >= 2 && u128::from(now_us.saturating_sub(service.began_us)) < LATELY.as_micros()
        };
        self.0.into_iter().filter(move |(_, service)| lately(service)).map(|(unit, _)| unit)
    }

    /// With one more of those that ended already and are about to be restarted: what they were started for may not have
    /// been there yet.
    pub(super) fn expecting(mut self, restarting: &BTreeSet<String>) -> Self {
        for unit in restarting {
            if let Some(service) = self.0.get_mut(unit) {
                service.count += 1;
            }
        }
        self
    }

    /// Those that were restarted since because they had failed. `failures` are those of which the log says so; it is
    /// asked only where a service is restarted after whatever end. Twice is too often without a log, too.
    pub(super) fn relapsed(&self, before: &Self, failures: impl FnOnce() -> BTreeSet<String>) -> BTreeSet<String> {
        let again = |unit: &String, service: &Service| {
            // A start by hand, or by a script, counts anew.
            let from = before.0.get(unit).map_or(0, |known| known.count);
            service.count.saturating_sub(if from > service.count + 1 { 0 } else { from })
        };
        let (mut found, mut unsure) = (BTreeSet::new(), BTreeSet::new());
        for (unit, service) in &self.0 {
            let of = match (again(unit, service), service.after) {
                (0, _) | (1, End::Success) => continue,
                (1, End::Any) => &mut unsure,
                _ => &mut found,
            };
            of.insert(unit.clone());
        }
        if !unsure.is_empty() {
            found.extend(failures().intersection(&unsure).cloned());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::moment;

    const MINUTE: u64 = 60_000_000;

    fn shown(services: &[(&str, u64, &str, &str)]) -> Restarts {
        let block = |(unit, count, restart, forced): &(&str, u64, &str, &str)| {
            format!(
                "Restart={restart}\nRestartForceExitStatus={forced}\nNRestarts={count}\nId={unit}\n\
                 InactiveExitTimestampMonotonic=69000000\nActiveEnterTimestampMonotonic=70000000\n"
            )
        };
        parse(&services.iter().map(block).collect::<Vec<_>>().join("\n"))
    }

    fn set(units: &[&str]) -> BTreeSet<String> {
        units.iter().map(|unit| (*unit).to_owned()).collect()
    }

    #[test]
    fn a_service_that_runs_for_a_moment_between_two_restarts_is_known_to_loop() {
        let show = "Id=flaky.service\nNRestarts=3\nActiveEnterTimestampMonotonic=70000000\nInactiveExitTimestampMonotonic=0\n\n\
                    Id=old.service\nNRestarts=9\nInactiveExitTimestampMonotonic=1000000\n\n\
                    Id=new.service\nNRestarts=0\nInactiveExitTimestampMonotonic=70000000\n\n\
                    Id=a.mount\n";
        let found = parse(show);
        assert_eq!(found.0.keys().collect::<Vec<_>>(), ["flaky.service", "new.service", "old.service"]);
        assert_eq!(found.looping(MINUTE + 2_000_000).collect::<Vec<_>>(), ["flaky.service"]);
    }

    #[test]
    fn one_restart_after_a_failure_is_one_too_many() {
        let before = shown(&[("app.service", 0, "on-failure", ""), ("odd.service", 4, "on-abnormal", "")]);
        let after = shown(&[("app.service", 1, "on-failure", ""), ("odd.service", 4, "on-abnormal", "")]);
        assert_eq!(after.relapsed(&before, BTreeSet::new), set(&["app.service"]));
        // A unit that a timer started meanwhile was not there before.
        assert_eq!(after.relapsed(&Restarts::default(), BTreeSet::new), set(&["app.service", "odd.service"]));
    }

    #[test]
    fn a_restart_by_design_is_none() {
        let before = shown(&[("a.service", 0, "always", ""), ("b.service", 0, "on-success", "")]);
        // syncthing ends with 3 to be restarted, which is a success to its unit.
        let after = shown(&[
            ("a.service", 1, "always", ""),
            ("b.service", 1, "on-success", ""),
            ("syncthing.service", 1, "on-failure", "3 4"),
        ]);
        assert_eq!(after.relapsed(&before, || set(&["other.service"])), set(&[]));
        assert_eq!(after.relapsed(&before, || set(&["a.service"])), set(&["a.service"]));
        let often = shown(&[("a.service", 2, "always", "")]);
        assert_eq!(often.relapsed(&before, BTreeSet::new), set(&["a.service"]));
    }

    #[test]
    fn a_restart_for_a_failure_before_the_watch_is_forgiven_once() {
        let first = || shown(&[("app.service", 0, "on-failure", "")]).expecting(&set(&["app.service", "gone.service"]));
        let now = |count| shown(&[("app.service", count, "on-failure", "")]);
        assert_eq!(now(0).relapsed(&first(), BTreeSet::new), set(&[]));
        assert_eq!(now(1).relapsed(&first(), BTreeSet::new), set(&[]));
        assert_eq!(now(2).relapsed(&first(), BTreeSet::new), set(&["app.service"]));
    }

    #[test]
    fn the_log_tells_which_failed_since() {
        let entry = |unit: &str, at: u64| format!("{{\"UNIT\":\"{unit}\",\"__MONOTONIC_TIMESTAMP\":\"{at}\"}}\n");
        let log = entry("old.service", 4_999_000) + &entry("new.service", 5_000_100) + "no JSON\n{}\n";
        assert_eq!(failed_in(&log, &moment("one", 5000)), set(&["new.service"]));
    }
}
