//! The way back: what was there before is put back, as far as each step goes.

use crate::{
    health::{self, Baseline, Criteria},
    journal::State,
    machine::Ended,
    plan::{Step, Verb, back},
    profile::Profile,
    script::{self, Meaning},
    supervise::{Stop, Supervisor},
};
use std::{fs, path::Path, time::Duration};

impl Supervisor<'_> {
    /// Puts back what was there, as far as each step goes.
    pub(crate) fn revert(&mut self, why: String) {
        self.log.line(&format!("reverting: {why}"));
        self.journal.cause = Some(why.clone());
        self.journal.why = Some(why);
        // A journal that cannot be written (a full disk) is no reason to leave a bad system running.
        if let Err(error) = self.save(State::Reverting) {
            self.log.error(&error);
        }
        if self.journal.begun.test
            && let Err(Stop::Aside(why)) = self.check_intervention()
        {
            self.finish(State::Intervened, Some(why));
            return;
        }
        let mut failed = Vec::new();
        for step in back(&self.journal, self.running().as_deref()) {
            let from = self.clock.now().boot_ms;
            match self.step_back(&step) {
                Ok(Some(text)) => self.log.done(&text, self.since(from)),
                Ok(None) => {}
                Err(Stop::Failed(text) | Stop::Aside(text) | Stop::Harmless(_, text)) => {
                    self.log.line(&format!("error: {step}: {text}"));
                    failed.push(text);
                }
            }
        }
        if self.journal.begun.test && self.journal.before.running.is_none() {
            failed.push("there is no system to go back to: this was the first one".to_owned());
        }
        if failed.is_empty() {
            self.finish(State::Reverted, None);
        } else {
            let why = self.journal.why.take().unwrap_or_default();
            self.finish(State::RevertFailed, Some(format!("{why}; then {}", failed.join("; "))));
        }
    }

    fn step_back(&mut self, step: &Step) -> Result<Option<String>, Stop> {
        let profile = Profile::new(self.host, &self.journal.goal.profile);
        match step {
            Step::Halt => {
                if self.systemd() {
                    self.machine.stop(&script::units(&self.journal.id));
                }
                Ok(None)
            }
            Step::ClearOnce => {
                if let Some(once) = self.journal.once.take() {
                    once.clear(self.host, &self.machine)?;
                    self.sync_boot();
                }
                Ok(Some("took back the one-shot boot entry".to_owned()))
            }
            Step::ProfileBack(old) => {
                let _lock = profile.lock()?;
                // A person who moved it elsewhere meant that.
                let ours = self.journal.generation.as_ref().map(|generation| generation.number);
                if profile.current().map(|current| current.number) != ours {
                    return Ok(None);
                }
                match old {
                    Some(old) => profile.set(old)?,
                    None => profile.unset()?,
                }
                Ok(Some("the profile is back".to_owned()))
            }
            Step::DeleteGeneration(made) => {
                let _lock = profile.lock()?;
                profile.delete(made)?;
                Ok(None)
            }
            Step::Script { system, verb: Verb::Boot, .. } => {
                let ended = self.script(system, Verb::Boot, true)?;
                self.sync_boot();
                match script::meaning(ended) {
                    Meaning::Done => Ok(Some("the boot loader is back".to_owned())),
                    _ => Err(Stop::Failed(format!("its script {}", script::told(ended, self.limit())))),
                }
            }
            Step::Script { system, verb, .. } => self.test_back(system, *verb).map(Some),
            Step::HealthBack if self.systemd() => {
                let known = Baseline::default();
                let baseline = self.journal.baseline.as_ref().unwrap_or(&known);
                let allowed = self.journal.goal.options.allow_failed.as_slice();
                let criteria = Criteria { baseline, allowed, settle: Duration::ZERO };
                health::forget_gone(&self.machine, baseline)?;
                if health::judge(&self.machine, self.clock, &criteria)?.is_err() {
                    // What was restarted a moment ago may need another one.
                    self.clock.sleep(Duration::from_secs(2));
                    health::forget_gone(&self.machine, baseline)?;
                    health::judge(&self.machine, self.clock, &criteria)?.map_err(Stop::Failed)?;
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn test_back(&mut self, system: &Path, verb: Verb) -> Result<String, Stop> {
        // Work lists of the interrupted run would restart units of a system that is gone.
        for list in script::work_lists(self.host) {
            let _ = fs::remove_file(list);
        }
        // An old script refuses where a newer one waits for the lock of NixOS.
        for again in (0..3).rev() {
            let ended = self.script(system, verb, true)?;
            match script::meaning(ended) {
                Meaning::Done | Meaning::UnitsFailed if self.running() == self.journal.before.running => {
                    return Ok("the previous system runs again".to_owned());
                }
                Meaning::Failed if ended == Ended::Code(1) && again > 0 => self.clock.sleep(Duration::from_secs(1)),
                _ => {
                    let told = script::told(ended, self.limit());
                    return Err(Stop::Failed(format!("the previous system's script {told}")));
                }
            }
        }
        Ok(String::new())
    }

    fn limit(&self) -> Duration {
        self.journal.goal.options.back_timeout()
    }
}
