//! What to do about an activation that nobody has in hand: its process was killed, or the host was restarted.

use crate::{
    clock::Moment,
    goal::Action,
    journal::{Journal, State},
};
use std::path::Path;

/// What remains to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Nothing: it has ended, or waits for a restart or a person.
    Nothing,
    /// Begin, as nothing was begun.
    Begin,
    /// Go on waiting for a person.
    Wait,
    /// Do the rest: it was found healthy, and confirmed where that was wanted.
    Finish,
    /// Put back what was there, for this reason.
    Undo(String),
    /// A restart has put it back; only the journal does not know yet.
    Mark(State, String),
}

/// Decides by the journal and by what runs now.
pub fn resume(journal: &Journal, running: Option<&Path>, now: &Moment) -> Resume {
    let same_boot = !journal.restarted(now);
    let is_new = journal.is_new(running);
    let once = journal.goal.action == Action::BootOnce && journal.activated.is_none();
    let restarted = "the host was restarted in the middle of it".to_owned();
    let died = "the process that did it was killed".to_owned();
    let cause = || journal.cause.clone().or_else(|| journal.why.clone());
    match journal.state {
        State::Realised if same_boot => Resume::Begin,
        State::Realised => Resume::Mark(State::Refused, "the host was restarted before it was begun".into()),
        State::Testing | State::Healthy | State::Awaiting if !same_boot => {
            // Neither profile nor boot loader was touched: what booted is what would have booted anyway.
            let unconfirmed = "the host was restarted before it was confirmed".to_owned();
            Resume::Mark(State::Reverted, if journal.state == State::Awaiting { unconfirmed } else { restarted })
        }
        State::Testing | State::Healthy => Resume::Undo(died),
        State::Awaiting => Resume::Wait,
        State::Committing if once => Resume::Undo(if same_boot { died } else { restarted }),
        // What runs was found healthy, or is what the person wants to boot: the rest can be done again.
        State::Committing if is_new || (same_boot && journal.goal.action == Action::Boot) => Resume::Finish,
        State::Committing => Resume::Undo(if same_boot { died } else { restarted }),
        State::AwaitingReboot if same_boot || is_new => Resume::Nothing,
        State::AwaitingReboot => Resume::Undo("the host was restarted without it being confirmed".into()),
        State::Reverting => Resume::Undo(cause().unwrap_or(died)),
        State::RevertFailed => Resume::Undo(cause().unwrap_or_default()),
        State::Done | State::NeedsReboot | State::Refused | State::Reverted | State::Intervened => Resume::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::{journal, moment};

    #[test]
    fn every_state_after_a_kill_and_after_a_restart() {
        let switch = [
            State::Realised,
            State::Testing,
            State::Healthy,
            State::Awaiting,
            State::Committing,
            State::Reverting,
            State::RevertFailed,
        ];
        let cases = switch.map(|state| (Action::Switch, state)).into_iter();
        let others = [Action::Boot, Action::BootOnce].map(|action| (action, State::Committing));
        let mut all = String::new();
        for (action, state) in cases.chain(others).chain([(Action::BootOnce, State::AwaitingReboot)]) {
            let mut journal = journal(action);
            journal.enter(state, moment("one", 9));
            for (when, boot) in [("killed", "one"), ("restarted", "two")] {
                for running in ["new", "old", "other"] {
                    let path = Path::new("/nix/store").join(running);
                    let next = resume(&journal, Some(&path), &moment(boot, 20));
                    all.push_str(&format!("{}, {state}, {when}, {running} runs: {next:?}\n", action.word()));
                }
            }
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn a_way_back_that_is_tried_again_is_told_with_its_first_reason() {
        let mut journal = journal(Action::Switch);
        journal.enter(State::RevertFailed, moment("one", 9));
        journal.cause = Some("app.service failed".into());
        journal.why = Some("app.service failed; then the previous system's script was killed".into());
        assert_eq!(resume(&journal, None, &moment("one", 20)), Resume::Undo("app.service failed".into()));
    }

    #[test]
    fn nothing_remains_of_what_has_ended() {
        let ended = [State::Done, State::NeedsReboot, State::Refused, State::Reverted, State::Intervened];
        for state in ended {
            let mut journal = journal(Action::Switch);
            journal.enter(state, moment("one", 9));
            assert!(state.is_final());
            for boot in ["one", "two"] {
                assert_eq!(resume(&journal, None, &moment(boot, 20)), Resume::Nothing, "{state}");
            }
        }
    }
}
