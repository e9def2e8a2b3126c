//! Whether a host is as healthy as it was: no unit newly failed, and no own check.

mod restarts;

use crate::{
    clock::Clock,
    error::ActivateError,
    host::Host,
    machine::{Ended, Machine, wait},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How units were before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Units that failed, or ended and were restarted again and again.
    pub failed: BTreeSet<String>,
    /// Units that were being started.
    #[serde(default)]
    pub starting: BTreeSet<String>,
    /// Answer of `systemctl is-system-running`.
    pub state: String,
}

/// How units are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    failed: BTreeSet<String>,
    restarting: BTreeSet<String>,
    starting: BTreeSet<String>,
    services: BTreeSet<String>,
    /// Units that failed, or are about to be restarted, and of which no system has a file any more.
    gone: BTreeSet<String>,
    state: String,
}

/// What to judge by.
pub(crate) struct Criteria<'a> {
    /// How units were before.
    pub(crate) baseline: &'a Baseline,
    /// Patterns of units that may fail.
    pub(crate) allowed: &'a [String],
    /// For so long no unit may fail.
    pub(crate) settle: Duration,
}

impl Criteria<'_> {
    /// Whether a unit may fail: it did before, or somebody said so.
    pub(crate) fn knows(&self, unit: &str) -> bool {
        self.baseline.failed.contains(unit) || self.allowed.iter().any(|pattern| matches(pattern, unit))
    }
}

/// Longest time that jobs of systemd are waited for after the settle time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest time between two looks.
const LONG_LOOK: Duration = Duration::from_millis(250);

/// Remembers how units are, and which services run.
pub(crate) fn baseline(machine: &Machine, clock: &dyn Clock) -> Result<(Baseline, BTreeSet<String>), ActivateError> {
    let look = look(machine)?;
    let now_us = clock.now().monotonic_ms * 1000;
    let mut failed: BTreeSet<String> = look.failed.union(&look.restarting).cloned().collect();
    failed.extend(restarts::of_running(machine)?.looping(now_us));
    Ok((Baseline { failed, starting: look.starting, state: look.state }, look.services))
}

/// Watches units for the settle time. Gives the units that failed meanwhile, and the first reason not to be content.
pub(crate) fn judge(
    machine: &Machine,
    clock: &dyn Clock,
    criteria: &Criteria<'_>,
) -> Result<Result<(), String>, ActivateError> {
    let new = |units: &BTreeSet<String>| -> Vec<String> {
        units.iter().filter(|unit| !criteria.knows(unit)).cloned().collect()
    };
    let began = clock.now();
    let end = began.after(criteria.settle);
    let last = end.after(PATIENCE);
    // Without a settle time nothing is watched: one look, and what systemd says of itself.
    let watched = !criteria.settle.is_zero();
    let mut before = None;
    loop {
        let look = look(machine)?;
        let failed = new(&look.failed);
        if !failed.is_empty() {
            return Ok(Err(format!("{} failed", listed(&failed))));
        }
        if matches!(look.state.as_str(), "maintenance" | "stopping") && look.state != criteria.baseline.state {
            return Ok(Err(format!("systemd says that the host is in state {}", look.state)));
        }
        if watched && before.is_none() {
            before = Some(restarts::all(machine)?.expecting(&look.restarting));
        }
        let now = clock.now();
        let settled = now.until(&end).is_zero();
        let pending = (look.state == "starting" && criteria.baseline.state != "starting")
            || (watched && look.starting.difference(&criteria.baseline.starting).any(|unit| !criteria.knows(unit)));
        if settled && (!pending || now.until(&last).is_zero()) {
            let looping = new(&look.restarting);
            if !looping.is_empty() {
                return Ok(Err(format!("{} fails and is restarted again and again", listed(&looping))));
            }
            if let Some(before) = &before {
                let relapsed = new(&restarts::all(machine)?.relapsed(before, || restarts::failures(machine, &began)));
                if !relapsed.is_empty() {
                    return Ok(Err(format!("{} failed and was restarted", listed(&relapsed))));
                }
            }
            return Ok(Ok(()));
        }
        let left = if settled { LONG_LOOK } else { now.until(&end).clamp(Duration::from_millis(50), LONG_LOOK) };
        clock.sleep(left);
    }
}

fn look(machine: &Machine) -> Result<Look, ActivateError> {
    let all = ["list-units", "--all", "--plain", "--no-legend", "--full", "--no-pager"];
    let (_, text) = machine.ask("systemctl", &all)?;
    let (_, state) = machine.ask("systemctl", &["is-system-running"])?;
    Ok(looked(&text, state.trim()))
}

fn looked(units: &str, state: &str) -> Look {
    let mut look = Look { state: state.to_owned(), ..Look::default() };
    for line in units.lines() {
        let mut words = line.split_whitespace();
        let (Some(unit), Some(load), Some(active), Some(sub)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let into = match (load, active, sub) {
            // No fault of what runs: its file went with the system that had it.
            ("not-found", "failed", _) | ("not-found", _, "auto-restart" | "auto-restart-queued") => &mut look.gone,
            // A unit that systemd cannot read never fails: it is not started.
            ("bad-setting" | "error", "inactive", _) | (_, "failed", _) => &mut look.failed,
            (_, _, "auto-restart" | "auto-restart-queued") => &mut look.restarting,
            // Devices may be tentative for ever.
            (_, "activating", _) if !unit.ends_with(".device") => &mut look.starting,
            (_, "active", _) if unit.ends_with(".service") => &mut look.services,
            _ => continue,
        };
        into.insert(unit.to_owned());
    }
    look
}

/// Lets systemd forget units of the system that was left which failed, or would be restarted: a script asks only for
/// those that run.
pub(crate) fn forget_gone(machine: &Machine, baseline: &Baseline) -> Result<(), ActivateError> {
    let gone = look(machine)?.gone;
    let gone: Vec<&str> = gone.difference(&baseline.failed).map(String::as_str).collect();
    if !gone.is_empty() {
        machine.ask("systemctl", &[&["stop"], gone.as_slice()].concat())?;
        machine.ask("systemctl", &[&["reset-failed"], gone.as_slice()].concat())?;
    }
    Ok(())
}

/// Units whose assertion (`AssertPathExists=` and the like) was wrong since a moment of the monotonic clock: their start
/// fails, and they do not.
pub(crate) fn refuted(machine: &Machine, since_us: u64) -> Result<Vec<String>, ActivateError> {
    let ask = ["show", "--all", "--property=Id,AssertResult,AssertTimestampMonotonic", "*"];
    let (_, text) = machine.ask("systemctl", &ask)?;
    let wrong = |block: &&str| {
        text_of(block, "AssertResult") == Some("no")
            && property(block, "AssertTimestampMonotonic").is_some_and(|at| at >= since_us)
    };
    Ok(text.split("\n\n").filter(wrong).filter_map(|block| text_of(block, "Id").map(str::to_owned)).collect())
}

/// Whether services that ran are as they were: none of them stopped since a moment of the monotonic clock. One that a
/// timer started meanwhile is no matter.
pub(crate) fn undisturbed(
    machine: &Machine,
    services: &BTreeSet<String>,
    since_us: u64,
) -> Result<bool, ActivateError> {
    let now = look(machine)?;
    if !services.is_subset(&now.services) {
        return Ok(false);
    }
    let ask = ["show", "--type=service", "--property=Id,ActiveExitTimestampMonotonic", "*"];
    let (_, text) = machine.ask("systemctl", &ask)?;
    let stopped = |block: &str| {
        property(block, "ActiveExitTimestampMonotonic").is_some_and(|at| at >= since_us)
            && text_of(block, "Id").is_some_and(|unit| services.contains(unit))
    };
    Ok(!text.split("\n\n").any(stopped))
}

/// What `systemctl show` says of a property of one unit.
fn text_of<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

fn property(block: &str, key: &str) -> Option<u64> {
    text_of(block, key)?.parse().ok()
}

/// One own check: its name, and what runs.
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) command: Vec<OsString>,
}

/// Folder of checks that a host has for itself.
pub const CHECKS: &str = "/etc/firn/checks.d";

/// Own checks: those of the command line, then the executables of the host's folder in order of their names.
pub(crate) fn checks(host: &Host, machine: &Machine, commands: &[String]) -> Result<Vec<Check>, ActivateError> {
    let mut checks = Vec::new();
    for command in commands {
        let shell = machine.program("sh")?.into_os_string();
        checks.push(Check { name: command.clone(), command: vec![shell, "-c".into(), command.into()] });
    }
    let entries = fs::read_dir(host.path(CHECKS)).into_iter().flatten().flatten();
    let executable =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(executable).collect();
    files.sort();
    checks.extend(files.into_iter().map(|file| Check { name: file.display().to_string(), command: vec![file.into()] }));
    Ok(checks)
}

/// Runs one check; its output goes to the log.
pub(crate) fn run_check(
    machine: &Machine,
    clock: &dyn Clock,
    check: &Check,
    limit: Duration,
    log: &Path,
) -> Result<Result<(), String>, ActivateError> {
    let ended = wait(machine.spawn(&check.command, &[], log)?, clock, limit);
    Ok(match ended {
        Ended::Code(0) => Ok(()),
        Ended::TimedOut => Err(format!("check {:?} did not end within {}", check.name, printed(limit))),
        Ended::Code(code) => Err(format!("check {:?} ended with exit code {code}", check.name)),
        Ended::Signal(_) | Ended::Lost => Err(format!("check {:?} was killed", check.name)),
    })
}

/// Whether a unit matches a pattern; the type of the unit may be left out.
fn matches(pattern: &str, unit: &str) -> bool {
    let short = unit.rsplit_once('.').map_or(unit, |(name, _)| name);
    glob(pattern.as_bytes(), unit.as_bytes()) || glob(pattern.as_bytes(), short.as_bytes())
}

/// `*` and `?`. Without recursion: a pattern from a file must not cost more than its length times the name's.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    back = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

fn listed(units: &[String]) -> String {
    match units {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} others", rest.len())
        }
        units => units.join(", "),
    }
}

/// A duration for people: `250 ms`, `5 s`, `2 min`.
pub fn printed(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms < 1000 && ms > 0 => format!("{ms} ms"),
        ms if ms >= 60_000 && ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_units_with_and_without_their_type() {
        for (pattern, unit, fits) in [
            ("acme-*", "acme-example.org.service", true),
            ("acme-example.org", "acme-example.org.service", true),
            ("home-manager-?lice.service", "home-manager-alice.service", true),
            ("*", "anything.mount", true),
            ("acme", "acme-example.org.service", false),
            ("*.timer", "acme.service", false),
            ("a*b*c", "aXbXbXc.service", true),
        ] {
            assert_eq!(matches(pattern, unit), fits, "{pattern} {unit}");
        }
    }

    #[test]
    fn a_unit_that_cannot_be_read_counts_as_failed() {
        let text = "bad.service bad-setting inactive dead Bad\napp.service loaded active running App\n\
                    old.service loaded failed failed Old\nloop.service loaded activating auto-restart Loop\n\
                    gone.service not-found inactive dead gone\noff.service masked inactive dead off\n\
                    job.service loaded activating start Job\ndev-a.device loaded activating tentative A\n";
        let set = |units: &[&str]| units.iter().map(|unit| (*unit).to_owned()).collect::<BTreeSet<_>>();
        let look = looked(text, "degraded");
        assert_eq!(look.failed, set(&["bad.service", "old.service"]));
        assert_eq!(look.starting, set(&["job.service"]));
        assert_eq!((look.restarting, look.services), (set(&["loop.service"]), set(&["app.service"])));
    }

    #[test]
    fn a_unit_of_the_system_that_was_left_is_nobodys_fault() {
        let text = "loop.service not-found failed failed loop.service\nslow.service not-found activating auto-restart slow.service\n\
                    old.service loaded failed failed Old\n";
        let look = looked(text, "degraded");
        let set = |units: &[&str]| units.iter().map(|unit| (*unit).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!((look.failed, look.restarting), (set(&["old.service"]), set(&[])));
        assert_eq!(look.gone, set(&["loop.service", "slow.service"]));
    }

    #[test]
    fn durations_are_printed_as_people_say_them() {
        let all = [0, 250, 1500, 5000, 90_000, 120_000].map(|ms| printed(Duration::from_millis(ms)));
        assert_eq!(all, ["0 s", "250 ms", "1.5 s", "5 s", "90 s", "2 min"]);
    }
}
