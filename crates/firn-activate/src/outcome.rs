//! The words for how an activation stands: what runs, what boots, what to type, where the log is.

use crate::{
    clock::Moment,
    goal::Action,
    health::printed,
    host::Host,
    journal::{Journal, State},
    loader::{BootDefault, boot_default},
};
use std::path::{Path, PathBuf};

/// What is true now, beside what the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// What runs.
    pub running: Option<PathBuf>,
    /// What was booted.
    pub booted: Option<PathBuf>,
    /// What boots next.
    pub boot_default: BootDefault,
    /// The binary to type, with its full path.
    pub binary: PathBuf,
    /// Name of the host, for a command over ssh.
    pub host: String,
    /// The time.
    pub moment: Moment,
}

impl Now {
    /// Looks.
    pub fn observe(host: &Host, moment: Moment) -> Self {
        Self {
            running: host.resolve("/run/current-system"),
            booted: host.resolve("/run/booted-system"),
            boot_default: boot_default(host),
            binary: Path::new("/nix/var/firn/bin/firn").to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            moment,
        }
    }
}

/// Parts of the system that no boot has proven yet.
pub fn unproven<'a>(journal: &'a Journal, now: &Now) -> &'a [String] {
    let booted = now.booted.as_deref();
    let proven = booted == Some(journal.goal.system.as_path()) || booted == Some(journal.target.as_path());
    if proven { &[] } else { &journal.unproven }
}

/// The message: its first line is the outcome, each other one a fact or something to type.
pub fn message(journal: &Journal, now: &Now) -> Vec<String> {
    let firn = now.binary.display();
    let only_boots = journal.goal.action.only_boots();
    let system = if only_boots { journal.goal.system.display() } else { journal.target.display() };
    let why = journal.why.as_deref().unwrap_or("it was not said why");
    let mut lines = Vec::new();
    match journal.state {
        State::Awaiting => {
            let left = journal.deadline.as_ref().map_or(0, |deadline| now.moment.until(deadline).as_secs());
            lines.push(format!("running, healthy, but NOT CONFIRMED: it reverts by itself in {left} s"));
            lines.push(runs(now));
            lines.push(boots(now));
            lines.push(format!("to keep it, over a new connection: ssh {} {firn} confirm", now.host));
            lines.push(
                "(as another user than root: sudo before the path; from a console of the host: without ssh)".into(),
            );
            lines.push(format!("to take it back now: {firn} rollback"));
        }
        State::AwaitingReboot if journal.restarted(&now.moment) && journal.is_new(now.running.as_deref()) => {
            lines.push("booted once, NOT CONFIRMED: the next boot is of the previous system again".into());
            lines.push(runs(now));
            lines.push(boots(now));
            lines.push(format!("to keep it: {firn} confirm"));
        }
        State::AwaitingReboot if journal.restarted(&now.moment) => {
            lines.push(format!("NOT KEPT: {system} was booted once and not confirmed, or did not come up"));
            lines.push(runs(now));
            lines.push(boots(now));
            lines.push(format!("to put things in order: {firn} recover"));
        }
        State::AwaitingReboot => {
            lines.push(format!("{system} boots the next time, and that time only"));
            lines.push(runs(now));
            lines.push("after it, every boot is of the previous system, until the new one is confirmed".into());
            lines.push(format!("restart the host, look at it, then: {firn} confirm"));
            lines.push(format!("to take it back: {firn} rollback"));
        }
        State::Reverted => {
            lines.push(format!("REVERTED: {why}"));
            lines.push(runs(now));
            lines.push(boots(now));
            if journal.begun.test {
                lines.push("what services wrote meanwhile (databases, files) was not undone".into());
            }
            if journal.needs_reboot {
                lines.push(once(journal, now));
            }
        }
        State::RevertFailed => {
            lines.push(format!("REVERT FAILED: {why}"));
            lines.push(runs(now));
            lines.push(boots(now));
            lines.push("what services wrote meanwhile (databases, files) was not undone".into());
            lines.push(format!("try again: {firn} recover"));
            if let Some(old) = &journal.before.running {
                lines.push(format!("by hand: NIXOS_NO_CHECK=1 {}/bin/switch-to-configuration test", old.display()));
            }
            if let Some(generation) = &journal.before.generation {
                let link = journal.goal.profile_link();
                lines.push(format!(
                    "and what boots: nix-env -p {} --switch-generation {} && {}/bin/switch-to-configuration boot",
                    link.display(),
                    generation.number,
                    link.display()
                ));
            }
        }
        State::Refused => {
            lines.push(format!("NOTHING CHANGED: {why}"));
            lines.push(runs(now));
            lines.push(boots(now));
        }
        State::NeedsReboot => {
            lines.push(format!("NOTHING CHANGED: {why}"));
            lines.push(runs(now));
            lines.push(boots(now));
            lines.push(once(journal, now));
        }
        State::Intervened => {
            lines.push(format!("LEFT ALONE: {why}"));
            lines.push(runs(now));
            lines.push(boots(now));
        }
        State::Done => done(journal, now, &mut lines),
        State::Reverting | State::Realised | State::Testing | State::Healthy | State::Committing => {
            lines.push(format!("{}: {system}", journal.state));
            lines.push(runs(now));
            lines.push(boots(now));
        }
    }
    lines.push(format!("log: {}", journal.log.display()));
    lines
}

fn once(journal: &Journal, now: &Now) -> String {
    let (firn, system) = (now.binary.display(), journal.goal.system.display());
    format!("to boot it once and keep it if it is good: {firn} boot --once {system}")
}

fn done(journal: &Journal, now: &Now, lines: &mut Vec<String>) {
    let system = journal.target.display();
    let generation = journal.generation.as_ref().map(|generation| format!(", generation {}", generation.number));
    let generation = generation.unwrap_or_default();
    lines.push(match journal.goal.action {
        Action::Test => format!("done: {system} runs; what boots is as before"),
        Action::Boot => format!("done: {} boots next{generation}", journal.goal.system.display()),
        Action::Switch if journal.goal.specialisation.is_some() => {
            format!("done: {system} runs, {} boots{generation}", journal.goal.system.display())
        }
        Action::BootOnce => format!("done: {} runs and boots{generation}", journal.goal.system.display()),
        _ => format!("done: {system} runs and boots{generation}"),
    });
    if journal.goal.action == Action::Test {
        lines.push(boots(now));
    }
    let parts = if journal.goal.action == Action::Test { &[] } else { unproven(journal, now) };
    let unproven = !parts.is_empty();
    if unproven {
        lines
            .push(format!("BOOT UNPROVEN until the next restart: {} changed, which no switch tries", parts.join(", ")));
    }
    if journal.goal.action != Action::Test && !journal.boot_checked {
        lines.push("what boots next was not checked: the boot loader is none that firn reads".into());
    }
    if let (true, Some(before)) = (unproven, &journal.before.generation) {
        // The profile may have been at the new system all along.
        let other = if before.path == journal.goal.system {
            "another generation".to_owned()
        } else {
            format!("generation {}", before.number)
        };
        lines.push(format!("if it does not boot: choose {other} in the boot menu"));
    }
}

fn runs(now: &Now) -> String {
    let what = now.running.as_ref().map_or_else(|| "no NixOS generation".to_owned(), |path| path.display().to_string());
    format!("runs now: {what}")
}

fn boots(now: &Now) -> String {
    let what = match &now.boot_default {
        BootDefault::System(path) => path.display().to_string(),
        BootDefault::Nothing => "unknown: the boot loader names no system that is there".to_owned(),
        BootDefault::NotChecked => "as the profile says; the boot loader was not read".to_owned(),
    };
    format!("boots next: {what}")
}

/// The history of an activation, a line for each state.
pub fn history(journal: &Journal) -> Vec<String> {
    let mut from = None;
    let line = |(state, moment): &(State, Moment)| {
        let took = from.replace(moment.unix_ms).map(|from| moment.unix_ms.saturating_sub(from));
        let took = took.map_or(String::new(), |ms| format!(" after {}", printed(std::time::Duration::from_millis(ms))));
        format!("{} {state}{took}", crate::journal::date(moment.unix_ms / 1000))
    };
    journal.history.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::{journal, moment};

    fn now(running: &str, boots: &str) -> Now {
        Now {
            running: Some(Path::new("/nix/store").join(running)),
            booted: Some("/nix/store/old".into()),
            boot_default: BootDefault::System(Path::new("/nix/store").join(boots)),
            binary: "/nix/var/firn/bin/firn".into(),
            host: "web".into(),
            moment: moment("one", 1000),
        }
    }

    fn said(action: Action, state: State, now: &Now, change: impl FnOnce(&mut Journal)) -> String {
        let mut journal = journal(action);
        journal.enter(state, moment("one", 900));
        change(&mut journal);
        message(&journal, now).join("\n")
    }

    fn failed(journal: &mut Journal) {
        journal.begun.test = true;
        journal.why = Some("app.service failed".into());
    }

    #[test]
    fn running_but_not_confirmed() {
        let deadline = Some(moment("one", 121_000));
        let said = said(Action::Switch, State::Awaiting, &now("new", "old"), |journal| journal.deadline = deadline);
        insta::assert_snapshot!(said);
    }

    #[test]
    fn reverted() {
        insta::assert_snapshot!(said(Action::Switch, State::Reverted, &now("old", "old"), failed));
    }

    #[test]
    fn revert_failed() {
        insta::assert_snapshot!(said(Action::Switch, State::RevertFailed, &now("new", "old"), |journal| {
            failed(journal);
            journal.why = Some("app.service failed; then the previous system's script ended with exit code 2".into());
        }));
    }

    #[test]
    fn nothing_changed_and_why() {
        let why =
            |journal: &mut Journal| journal.why = Some("its switch-to-configuration ended with exit code 1".into());
        let refused = said(Action::Switch, State::Refused, &now("old", "old"), why);
        let reboot = said(Action::Switch, State::NeedsReboot, &now("old", "old"), |journal| {
            journal.why = Some("it cannot be switched to without a restart".into());
        });
        insta::assert_snapshot!(format!("{refused}\n\n{reboot}"));
    }

    #[test]
    fn boot_unproven() {
        insta::assert_snapshot!(said(Action::Switch, State::Done, &now("new", "new"), |journal| {
            journal.unproven = vec!["kernel".into(), "initrd".into()];
            journal.boot_checked = true;
        }));
    }

    #[test]
    fn booted_once_before_and_after_the_restart() {
        let before = said(Action::BootOnce, State::AwaitingReboot, &now("old", "old"), |_| {});
        let later = Now { moment: moment("two", 1000), ..now("new", "old") };
        // One of an older release that has a specialisation, which no boot loader starts.
        let after = said(Action::BootOnce, State::AwaitingReboot, &later, |journal| {
            journal.goal.specialisation = Some("debug".into());
            journal.target = "/nix/store/new-debug".into();
        });
        let later = Now { moment: moment("two", 1000), ..now("old", "old") };
        let missed = said(Action::BootOnce, State::AwaitingReboot, &later, |_| {});
        insta::assert_snapshot!(format!("{before}\n\n{after}\n\n{missed}"));
    }

    #[test]
    fn what_only_boots_is_the_system_itself() {
        let said = said(Action::Boot, State::Done, &now("old", "new"), |journal| {
            journal.goal.specialisation = Some("debug".into());
            journal.target = "/nix/store/new-debug".into();
            journal.boot_checked = true;
        });
        assert!(said.starts_with("done: /nix/store/new boots next\n"), "{said}");
    }

    #[test]
    fn a_way_out_is_never_the_new_system() {
        let said = said(Action::Switch, State::Done, &now("new", "new"), |journal| {
            journal.unproven = vec!["kernel".into()];
            journal.before.generation = Some(crate::profile::Generation { number: 32, path: "/nix/store/new".into() });
        });
        assert!(said.contains("choose another generation in the boot menu"), "{said}");
    }

    #[test]
    fn what_only_a_restart_reaches_is_offered_to_be_booted_once() {
        let said = said(Action::Switch, State::Reverted, &now("old", "old"), |journal| {
            failed(journal);
            journal.needs_reboot = true;
        });
        assert!(said.contains("boot --once /nix/store/new"), "{said}");
    }

    #[test]
    fn a_boot_proves_what_no_switch_does() {
        let mut journal = journal(Action::Switch);
        journal.unproven = vec!["kernel".into()];
        assert_eq!(unproven(&journal, &now("new", "new")), ["kernel"]);
        assert!(unproven(&journal, &Now { booted: Some("/nix/store/new".into()), ..now("new", "new") }).is_empty());
    }
}
