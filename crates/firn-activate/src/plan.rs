//! From goal and facts to steps, and from a journal to the steps back. Pure: `--dry-run` prints what the executor would do.

use crate::{
    facts::Facts,
    goal::{Action, Goal},
    health::printed,
    journal::{Journal, State},
    profile::Generation,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Remember which units fail already.
    Baseline,
    /// Run a system's `switch-to-configuration`.
    Script {
        /// Which system's.
        system: PathBuf,
        /// What it is told.
        verb: Verb,
        /// On the way back nothing is checked.
        back: bool,
    },
    /// Judge the health of what runs.
    Health {
        /// For so long.
        settle: Duration,
        /// Number of own checks given on the command line.
        checks: usize,
    },
    /// Wait for a person.
    Await {
        /// So long.
        window: Duration,
    },
    /// Make a generation, and leave the profile where it is.
    MakeGeneration(Generation),
    /// Move the profile.
    SetProfile(Generation),
    /// Read back what boots next.
    ReadBack(PathBuf),
    /// Boot a system the next time only.
    SetOnce(PathBuf),
    /// Stop the script if it still runs.
    Halt,
    /// Take the one-shot entry back.
    ClearOnce,
    /// Put the profile where it was.
    ProfileBack(Option<Generation>),
    /// Delete a generation that this activation made.
    DeleteGeneration(Generation),
    /// Judge whether what runs is as healthy as before.
    HealthBack,
}

/// A word that `switch-to-configuration` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Run it.
    Test,
    /// Boot it.
    Boot,
    /// Say what would be done.
    DryActivate,
}

impl Verb {
    /// As the script has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Boot => "boot",
            Self::DryActivate => "dry-activate",
        }
    }
}

impl Step {
    /// State of the journal while it is done.
    pub fn state(&self) -> State {
        match self {
            Self::Baseline | Self::Script { verb: Verb::Test | Verb::DryActivate, back: false, .. } => State::Testing,
            Self::Health { .. } => State::Testing,
            Self::Await { .. } => State::Awaiting,
            Self::Script { back: false, .. } | Self::ReadBack(_) => State::Committing,
            Self::MakeGeneration(_) | Self::SetProfile(_) | Self::SetOnce(_) => State::Committing,
            _ => State::Reverting,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("remember which units fail already"),
            Self::Script { system, verb, back } => {
                let checks = if *back { "NIXOS_NO_CHECK=1 " } else { "" };
                write!(f, "run {checks}{}/bin/switch-to-configuration {}", system.display(), verb.word())
            }
            Self::Health { settle, checks } => {
                write!(f, "watch for {} that no other unit fails", printed(*settle))?;
                match checks {
                    0 => Ok(()),
                    1 => f.write_str(", and run 1 check"),
                    n => write!(f, ", and run {n} checks"),
                }
            }
            Self::Await { window } => {
                write!(f, "wait {} for `firn confirm`, and revert without it", printed(*window))
            }
            Self::MakeGeneration(new) => {
                write!(f, "make {} generation {}, not yet current", new.path.display(), new.number)
            }
            Self::SetProfile(new) => write!(f, "make {} the profile's generation {}", new.path.display(), new.number),
            Self::ReadBack(system) => write!(f, "read back that {} boots next", system.display()),
            Self::SetOnce(system) => write!(f, "let the boot loader start {} once", system.display()),
            Self::Halt => f.write_str("stop the script if it still runs"),
            Self::ClearOnce => f.write_str("take back the one-shot boot entry"),
            Self::ProfileBack(Some(old)) => write!(f, "put the profile back to generation {}", old.number),
            Self::ProfileBack(None) => f.write_str("take the profile away, as there was none"),
            Self::DeleteGeneration(new) => write!(f, "delete generation {}, which firn made", new.number),
            Self::HealthBack => f.write_str("judge whether the previous system is as healthy as it was"),
        }
    }
}

/// What will be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What a person should know before.
    pub notes: Vec<String>,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The script refuses elsewhere.
    #[error("this is not NixOS: there is neither /etc/NIXOS nor ID=nixos in /etc/os-release")]
    NotNixos,
    /// nixpkgs#473282.
    #[error("{} changed, which the running system forbids without a restart", .0.join(", "))]
    Inhibited(Vec<String>),
    /// Nothing to go back to.
    #[error("what boots now is no generation of the profile, so a system that is booted once has no way back")]
    NoBootDefault,
    /// Only some boot loaders can.
    #[error("the boot loader of this host is none that firn can tell to boot a system once (systemd-boot, GRUB)")]
    NoOneShot,
}

/// The way forward.
pub fn plan(goal: &Goal, facts: &Facts) -> Result<Plan, Refusal> {
    if !facts.nixos {
        return Err(Refusal::NotNixos);
    }
    if goal.action.is_live() && !facts.inhibitors.is_empty() && goal.options.no_check.as_deref() != Some("1") {
        return Err(Refusal::Inhibited(facts.inhibitors.clone()));
    }
    let mut steps = Vec::new();
    let script = |system: &Path, verb| Step::Script { system: system.to_owned(), verb, back: false };
    if goal.action.is_live() {
        let health = Step::Health { settle: goal.options.settle, checks: goal.options.checks.len() };
        steps.extend([Step::Baseline, script(&goal.top(), Verb::Test), health]);
        steps.extend(goal.confirm.as_ref().map(|confirm| Step::Await { window: confirm.window }));
    }
    match goal.action {
        Action::Switch | Action::Boot => steps.extend(commit(goal, &facts.next.0)),
        Action::BootOnce => {
            let before = facts.before();
            let old = before.boot_system().ok_or(Refusal::NoBootDefault)?;
            if !facts.one_shot {
                return Err(Refusal::NoOneShot);
            }
            steps.push(Step::MakeGeneration(facts.next.0.clone()));
            steps.extend([script(old, Verb::Boot), Step::ReadBack(old.to_owned()), Step::SetOnce(goal.system.clone())]);
        }
        Action::DryActivate => steps.push(script(&goal.top(), Verb::DryActivate)),
        Action::Test => {}
    }
    Ok(Plan { steps, notes: notes(goal, facts) })
}

/// Profile first: boot loaders are told of generations of the profile.
pub fn commit(goal: &Goal, generation: &Generation) -> Vec<Step> {
    let system = &goal.system;
    vec![
        Step::SetProfile(generation.clone()),
        Step::Script { system: system.clone(), verb: Verb::Boot, back: false },
        Step::ReadBack(system.clone()),
    ]
}

fn notes(goal: &Goal, facts: &Facts) -> Vec<String> {
    let mut notes = Vec::new();
    if facts.running.is_none() {
        notes.push("no NixOS generation runs here yet: there is no way back from this one".to_owned());
    }
    if goal.action == Action::Switch && !facts.unproven.is_empty() {
        notes.push(format!("{} changed: only a restart proves that it boots", facts.unproven.join(", ")));
    }
    if let (true, Some(name)) = (goal.action.only_boots(), &goal.specialisation) {
        notes.push(format!("the boot loader starts the system itself, not its specialisation {name}"));
    }
    if goal.action.is_live() && facts.running.as_ref().is_some_and(|running| *running == goal.top()) {
        notes.push("it runs already".to_owned());
    }
    notes
}

/// The way back, from what may have been begun. `running` is what runs now.
pub fn back(journal: &Journal, running: Option<&Path>) -> Vec<Step> {
    let mut steps = vec![Step::Halt];
    let (before, begun) = (&journal.before, journal.begun);
    let script = |system: &Path, verb| Step::Script { system: system.to_owned(), verb, back: true };
    if begun.once {
        steps.push(Step::ClearOnce);
    }
    // What boots goes back first: a power cut from here on leads to the previous system.
    if begun.profile {
        steps.push(Step::ProfileBack(before.generation.clone()));
    }
    let made = journal.generation.clone().filter(|_| journal.generation_made);
    steps.extend(made.map(Step::DeleteGeneration));
    if begun.boot {
        steps.extend(before.boot_system().map(|system| script(system, Verb::Boot)));
    }
    if begun.test
        && let Some(old) = &before.running
    {
        // A person may have gone back already; a test that was begun may have changed units without changing what runs.
        let gone_back = journal.activated.is_some() && running == Some(old.as_path());
        if !gone_back {
            steps.extend([script(old, Verb::Test), Step::HealthBack]);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        goal::Confirm,
        journal::{
            Begun,
            tests::{journal, moment},
        },
        loader::{BootDefault, OneShot},
    };

    fn facts() -> Facts {
        let old = PathBuf::from("/nix/store/old");
        Facts {
            nixos: true,
            systemd: true,
            running: Some(old.clone()),
            specialisation: None,
            booted: Some(old.clone()),
            generation: Some(Generation { number: 41, path: old.clone() }),
            boot_default: BootDefault::System(old),
            one_shot: true,
            next: (Generation { number: 42, path: "/nix/store/new".into() }, true),
            unproven: Vec::new(),
            inhibitors: Vec::new(),
        }
    }

    fn printed_plan(goal: &Goal, facts: &Facts) -> String {
        match plan(goal, facts) {
            Ok(plan) => {
                lines(&plan.steps) + &plan.notes.iter().map(|note| format!("note: {note}\n")).collect::<String>()
            }
            Err(refusal) => format!("refused: {refusal}\n"),
        }
    }

    fn lines(steps: &[Step]) -> String {
        steps.iter().map(|step| format!("{step}\n")).collect()
    }

    #[test]
    fn the_steps_of_every_goal() {
        let mut all = String::new();
        for action in [Action::Switch, Action::Boot, Action::BootOnce, Action::Test, Action::DryActivate] {
            let goal = journal(action).goal;
            all.push_str(&format!("== {}\n{}", action.word(), printed_plan(&goal, &facts())));
        }
        let mut goal = journal(Action::Switch).goal;
        goal.confirm = Some(Confirm { window: Duration::from_secs(120), implicit: true });
        goal.options.checks = vec!["true".into()];
        goal.specialisation = Some("debug".into());
        let unproven = Facts { unproven: vec!["kernel".into(), "initrd".into()], ..facts() };
        all.push_str(&format!(
            "== switch, confirmed, a check, a specialisation, another kernel\n{}",
            printed_plan(&goal, &unproven)
        ));
        for action in [Action::Boot, Action::BootOnce] {
            goal = Goal { specialisation: Some("debug".into()), ..journal(action).goal };
            all.push_str(&format!("== {}, a specialisation\n{}", action.word(), printed_plan(&goal, &facts())));
        }
        goal = journal(Action::Switch).goal;
        let first = Facts { running: None, generation: None, boot_default: BootDefault::NotChecked, ..facts() };
        all.push_str(&format!("== switch, the first one\n{}", printed_plan(&goal, &first)));
        let again = Facts { running: Some("/nix/store/new".into()), ..facts() };
        all.push_str(&format!("== switch, it runs already\n{}", printed_plan(&goal, &again)));
        let inhibited = Facts { inhibitors: vec!["systemd".into()], ..facts() };
        all.push_str(&format!("== switch, inhibited\n{}", printed_plan(&goal, &inhibited)));
        goal.options.no_check = Some("1".into());
        all.push_str(&format!("== switch, inhibited, NIXOS_NO_CHECK=1\n{}", printed_plan(&goal, &inhibited)));
        all.push_str(&format!("== switch, no NixOS\n{}", printed_plan(&goal, &Facts { nixos: false, ..facts() })));
        goal.action = Action::BootOnce;
        all.push_str(&format!(
            "== boot --once, no such loader\n{}",
            printed_plan(&goal, &Facts { one_shot: false, ..facts() })
        ));
        all.push_str(&format!("== boot --once, the first one\n{}", printed_plan(&goal, &first)));
        insta::assert_snapshot!(all);
    }

    #[test]
    fn the_steps_back_from_everything_that_may_have_been_begun() {
        let mut all = String::new();
        let begun = |test, profile, boot, once| Begun { test, profile, boot, once };
        for (name, action, begun, made) in [
            ("nothing", Action::Switch, begun(false, false, false, false), false),
            ("the test", Action::Switch, begun(true, false, false, false), false),
            ("the profile", Action::Switch, begun(true, true, false, false), true),
            ("the boot loader", Action::Switch, begun(true, true, true, false), true),
            ("the boot loader, by a generation that was there", Action::Switch, begun(true, true, true, false), false),
            ("boot", Action::Boot, begun(false, true, true, false), true),
            ("boot --once, its entry", Action::BootOnce, begun(false, false, true, false), true),
            ("boot --once", Action::BootOnce, begun(false, false, true, true), true),
        ] {
            let mut journal = journal(action);
            (journal.begun, journal.generation_made) = (begun, made);
            journal.generation = begun.profile.then(|| facts().next.0).or_else(|| made.then(|| facts().next.0));
            journal.once = begun.once.then(|| OneShot::Grub { entry: "NixOS".into() });
            all.push_str(&format!("== {name}\n{}", lines(&back(&journal, Some(Path::new("/nix/store/new"))))));
        }
        let mut journal = journal(Action::Switch);
        (journal.begun.test, journal.activated) = (true, Some(moment("one", 9)));
        all.push_str(&format!(
            "== the test, and a person went back\n{}",
            lines(&back(&journal, Some(Path::new("/nix/store/old"))))
        ));
        (journal.before.running, journal.before.generation) = (None, None);
        (journal.begun.profile, journal.begun.boot, journal.before.boot_default) =
            (true, true, BootDefault::NotChecked);
        all.push_str(&format!("== all of the first one\n{}", lines(&back(&journal, None))));
        insta::assert_snapshot!(all);
    }
}
