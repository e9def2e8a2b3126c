//! `firn rollback`: the way back.

use super::{
    activate::{ConfirmFlags, Flags, goal, here, leave, over_ssh, show, show_steps},
    elevate::{Elevate, run_as_root},
};
use crate::{
    CommandError, ExitCode, Session,
    activate::{activate, guard, refuse_damaged, take_back},
};
use clap::Args;
use firn_activate::{
    Host,
    back::{NoWayBack, way_back},
    clock::{Clock, SystemClock},
    config::Config,
    goal::{Action, Goal},
    guard::{GuardError, pending},
    journal::{Journal, State},
    plan::back,
    record::Record,
};

/// Go back to the generation before, or to another one.
///
/// An activation that waits for its confirmation is taken back instead. After firn test it goes back to the system that boots;
/// else to what the profile was at before the current generation was switched to, and never to a newer one. The specialisation
/// that ran there runs again.
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
        self.flags.tell_began();
        if self.flags.dry_run {
            return self.dry_run(&host, session);
        }
        if !rustix::process::geteuid().is_root() {
            if self.flags.elevate == Elevate::None {
                return Err(GuardError::NotRoot.into());
            }
            let more = if over_ssh(&here(&host)) { vec!["--over-ssh".into()] } else { Vec::new() };
            return run_as_root(self.flags.elevate, std::env::args_os().skip(1).collect(), more);
        }
        if self.to.is_none()
            && let Some(code) = take_back(&host, session)?
        {
            return Ok(code);
        }
        let goal = self.goal(&host, session)?;
        let (begin, damaged) = guard(&host, &goal.profile, session)?;
        refuse_damaged(&host, &damaged)?;
        activate(&host, goal, begin, leave(Some(&self.confirm)), session)
    }

    fn dry_run(&self, host: &Host, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let waits = |journal: &Journal| matches!(journal.state, State::Awaiting | State::AwaitingReboot);
        if let Some(journal) = Journal::latest(host)?.filter(waits)
            && self.to.is_none()
        {
            let notes = [format!("activation {} of {} is taken back", journal.id, journal.goal.system.display())];
            return show_steps(&back(&journal, host.resolve("/run/current-system").as_deref()), &notes, &[], session);
        }
        pending(host, &SystemClock.now())?;
        show(host, &self.goal(host, session)?, &[], session)
    }

    fn goal(&self, host: &Host, session: &Session<'_>) -> Result<Goal, CommandError> {
        let config = configuration(host, session);
        let way = way_back(host, &self.flags.profile_name, self.to.as_deref())?;
        let file = Record::read(host, &self.flags.profile_name, &way.generation).and_then(|record| record.file);
        let mut goal = goal(Action::Switch, way.generation.path.clone(), file, &self.flags, &config);
        if goal.specialisation.is_none() && !self.flags.no_specialisation {
            goal.specialisation = way.specialisation;
        }
        goal.generation = Some(way.generation);
        goal.confirm = self.confirm.policy(&here(host), &config);
        Ok(goal)
    }
}

/// The host's configuration. What cannot be understood may be of the very system to get away from.
fn configuration(host: &Host, session: &Session<'_>) -> Config {
    Config::read(host).unwrap_or_else(|error| {
        let text = CommandError::from(error).to_string();
        session.sink.warn(&format!("{text}; going back without it, only flags count"));
        Config::default()
    })
}

impl From<NoWayBack> for CommandError {
    fn from(error: NoWayBack) -> Self {
        Self::new(ExitCode::Refused, error).hint("nothing was changed; see firn generations")
    }
}
