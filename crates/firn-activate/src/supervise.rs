//! The executor: does the steps of a plan, with the journal one state ahead of what is done. It runs in a process of its
//! own, which no ssh connection and no person's patience can end.

use crate::{
    clock::{Clock, Moment},
    error::ActivateError,
    facts::Facts,
    health::{self, Baseline, Criteria},
    hold::{Lock, Request},
    host::{Host, sync_file_system},
    journal::{Journal, State},
    loader::{BootDefault, boot_default, one_shot},
    log::{CHECK, Log},
    machine::{Ended, Machine, TICK},
    plan::{Step, Verb, commit, plan},
    profile::Profile,
    record::{Record, release_roots},
    resume::{Resume, resume},
    script::{self, Meaning, Script},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const NOT_CHECKED: &str = "what boots next was not checked: the boot loader is none that firn reads";

/// How a plan stops before its end.
pub(crate) enum Stop {
    /// What was begun has to be put back.
    Failed(String),
    /// Nothing was changed.
    Harmless(State, String),
    /// Somebody else changed the system: leave it alone.
    Aside(String),
}

impl From<ActivateError> for Stop {
    fn from(error: ActivateError) -> Self {
        let mut text = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            text.push_str(&format!(": {source}"));
        }
        Self::Failed(text)
    }
}

/// Takes an activation in hand and brings it to its end, from whatever state it is in.
pub fn supervise(host: &Host, clock: &dyn Clock, id: &str) -> Result<Journal, ActivateError> {
    let _hold = Lock::Work.take(host)?;
    let mut supervisor = Supervisor::of(host, clock, id)?;
    supervisor.resume();
    Ok(supervisor.journal)
}

/// Puts back what an activation began whose unit a person has stopped. A host that shuts down is left alone: the boot
/// that follows leads back, and nothing can be started any more.
pub fn take_back(host: &Host, clock: &dyn Clock, id: &str) -> Result<Journal, ActivateError> {
    let _hold = Lock::Work.take(host)?;
    let mut supervisor = Supervisor::of(host, clock, id)?;
    let why = "its unit was stopped".to_owned();
    match supervisor.journal.state {
        _ if supervisor.machine.shuts_down() => return Ok(supervisor.journal),
        State::Realised => supervisor.finish(State::Refused, Some(why)),
        State::Testing | State::Healthy | State::Awaiting | State::Committing => supervisor.revert(why),
        State::Reverting => supervisor.resume(),
        _ => return Ok(supervisor.journal),
    }
    release_roots(host, id);
    Ok(supervisor.journal)
}

/// Ends an activation that was written down and that nobody took in hand.
pub fn abandon(host: &Host, clock: &dyn Clock, id: &str) -> Result<Journal, ActivateError> {
    let _hold = Lock::Work.take(host)?;
    let mut journal = Journal::read(host, id)?;
    if journal.state == State::Realised {
        journal.why = Some("it was interrupted before it was begun".into());
        journal.enter(State::Refused, clock.now());
        journal.write_at_any_cost(host)?;
        journal.drop_reserve(host);
        release_roots(host, id);
    }
    Ok(journal)
}

pub(crate) struct Supervisor<'a> {
    pub(crate) host: &'a Host,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) machine: Machine,
    pub(crate) log: Log,
    pub(crate) journal: Journal,
    /// Services that ran before.
    services: BTreeSet<String>,
    /// When the script was begun that says that some units do not run.
    complained: Option<Moment>,
}

impl<'a> Supervisor<'a> {
    fn of(host: &'a Host, clock: &'a dyn Clock, id: &str) -> Result<Self, ActivateError> {
        let journal = Journal::read(host, id)?;
        let machine = Machine::new(host, journal.before.running.as_deref());
        let log = Log::open(host, journal.log.clone());
        Ok(Self { host, clock, machine, log, journal, services: BTreeSet::new(), complained: None })
    }

    fn resume(&mut self) {
        let running = self.running();
        match resume(&self.journal, running.as_deref(), &self.clock.now()) {
            Resume::Nothing => return,
            Resume::Begin => {
                let done = self.forward();
                self.end(done);
            }
            Resume::Wait => {
                let window = self.journal.deadline.as_ref().map_or(Duration::ZERO, |d| self.clock.now().until(d));
                let done = self.wait(window).and_then(|()| self.rest());
                self.end(done);
            }
            Resume::Finish => {
                self.log.line("going on where it was left");
                let done = self.rest();
                self.end(done);
            }
            Resume::Undo(why) => self.end(Err(Stop::Failed(why))),
            Resume::Mark(state, why) => self.finish(state, Some(why)),
        }
        if self.journal.state.is_final() {
            release_roots(self.host, &self.journal.id);
        }
    }

    fn forward(&mut self) -> Result<(), Stop> {
        let facts = Facts::observe(self.host, &self.journal.goal);
        if facts.running != self.journal.before.running || facts.generation != self.journal.before.generation {
            return Err(Stop::Harmless(State::Refused, "somebody else has switched this host meanwhile".into()));
        }
        let plan =
            plan(&self.journal.goal, &facts).map_err(|refusal| Stop::Harmless(State::Refused, refusal.to_string()))?;
        plan.steps.iter().try_for_each(|step| self.step(step))
    }

    /// What comes after the health of the new system.
    fn rest(&mut self) -> Result<(), Stop> {
        if self.journal.goal.action == crate::goal::Action::Test {
            return Ok(());
        }
        let next = Profile::new(self.host, &self.journal.goal.profile).next(&self.journal.goal.system).0;
        commit(&self.journal.goal, &next).iter().try_for_each(|step| self.step(step))
    }

    fn end(&mut self, done: Result<(), Stop>) {
        match done {
            Ok(()) if self.journal.state == State::AwaitingReboot => {}
            Ok(()) => {
                if let Some(generation) = &self.journal.generation {
                    // The record is for people; without it the generation is as good.
                    let _ = Record::of(&self.journal, generation, self.clock.now().unix_ms).write(self.host);
                }
                self.finish(State::Done, None);
            }
            Err(Stop::Harmless(state, why)) => self.finish(state, Some(why)),
            Err(Stop::Aside(why)) => self.finish(State::Intervened, Some(why)),
            Err(Stop::Failed(why)) => self.revert(why),
        }
    }

    /// Into the last state. Without room for the journal it is found in an earlier one, and put back again.
    pub(crate) fn finish(&mut self, state: State, why: Option<String>) {
        if why.is_some() {
            self.journal.why = why;
        }
        self.journal.enter(state, self.clock.now());
        self.journal.deadline = None;
        match &self.journal.why {
            Some(why) => self.log.line(&format!("{state}: {why}")),
            None => self.log.line(state.word()),
        }
        if let Err(error) = self.journal.write_at_any_cost(self.host) {
            self.log.error(&error);
        }
        self.journal.drop_reserve(self.host);
    }

    pub(crate) fn save(&mut self, state: State) -> Result<(), ActivateError> {
        self.journal.enter(state, self.clock.now());
        self.journal.write_at_any_cost(self.host)
    }

    pub(crate) fn running(&self) -> Option<PathBuf> {
        self.host.resolve("/run/current-system")
    }

    pub(crate) fn systemd(&self) -> bool {
        self.host.path("/run/systemd/system").is_dir()
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        let from = self.clock.now().boot_ms;
        let done = match step {
            Step::Baseline => {
                if self.systemd() {
                    let (baseline, services) = health::baseline(&self.machine, self.clock)?;
                    (self.journal.baseline, self.services) = (Some(baseline), services);
                }
                return Ok(());
            }
            Step::Script { system, verb: Verb::Test, .. } => self.test(system)?,
            Step::Script { system, verb, .. } => self.boot(system, *verb)?,
            Step::Health { settle, .. } => self.health(*settle)?,
            Step::Await { window } => {
                self.journal.deadline = Some(self.clock.now().after(*window));
                self.save(State::Awaiting)?;
                self.log.waiting(*window);
                self.wait(*window)?;
                "confirmed".to_owned()
            }
            Step::SetProfile(_) => self.set_profile()?,
            Step::MakeGeneration(_) => {
                let profile = Profile::new(self.host, &self.journal.goal.profile);
                let _lock = profile.lock()?;
                let (generation, made) = profile.next(&self.journal.goal.system);
                (self.journal.generation, self.journal.generation_made) = (Some(generation.clone()), made);
                self.save(State::Committing)?;
                profile.make(&generation)?;
                format!("made it generation {}, not yet current", generation.number)
            }
            Step::ReadBack(system) => self.read_back(system)?,
            Step::SetOnce(system) => {
                let Some(once) = one_shot(self.host, system) else {
                    return Err(Stop::Failed("the boot loader has no entry for it".into()));
                };
                self.journal.once = Some(once.clone());
                self.journal.begun.once = true;
                self.save(State::Committing)?;
                once.set(self.host, &self.machine)?;
                self.sync_boot();
                let read = once.is_set(self.host);
                if read == Some(false) {
                    return Err(Stop::Failed("the boot loader was told to boot it once, and has not taken it".into()));
                }
                self.save(State::AwaitingReboot)?;
                let checked = if read.is_some() { "" } else { " (not checked)" };
                format!("it boots the next time, once{checked}")
            }
            // Steps of the way back are done by `revert`.
            _ => return Ok(()),
        };
        self.log.done(&done, self.since(from));
        Ok(())
    }

    pub(crate) fn since(&self, boot_ms: u64) -> Duration {
        Duration::from_millis(self.clock.now().boot_ms.saturating_sub(boot_ms))
    }

    fn test(&mut self, system: &Path) -> Result<String, Stop> {
        let options = self.journal.goal.options.clone();
        self.journal.begun.test = true;
        let window = self.journal.goal.confirm.as_ref().map_or(Duration::ZERO, |confirm| confirm.window);
        let longest = options.activation_timeout + options.settle + options.check_timeout + window;
        self.journal.deadline = Some(self.clock.now().after(longest));
        let (before, since) = (self.marks(), self.clock.now());
        self.save(State::Testing)?;
        self.log.line(&format!("testing {}", system.display()));
        let ended = self.script(system, Verb::Test, false)?;
        let same = self.running() == self.journal.before.running;
        let reason = || format!("its switch-to-configuration {}", script::told(ended, options.activation_timeout));
        match script::meaning(ended) {
            Meaning::Done => {}
            Meaning::UnitsFailed => {
                self.log.line("the script says that some units do not run");
                self.complained = Some(since);
            }
            Meaning::NeedsReboot if same => {
                return Err(Stop::Harmless(State::NeedsReboot, "it cannot be switched to without a restart".into()));
            }
            // It died by itself with a code of its own, before it stopped or activated anything.
            _ if same
                && matches!(ended, Ended::Code(code) if code != 2)
                && before == self.marks()
                && self.undisturbed(&since) =>
            {
                return Err(Stop::Harmless(State::Refused, reason()));
            }
            Meaning::NeedsReboot => {
                self.journal.needs_reboot = true;
                return Err(Stop::Failed("it cannot be switched to without a restart (exit code 100)".into()));
            }
            _ => return Err(Stop::Failed(reason())),
        }
        if self.running().as_ref() != Some(&self.journal.target) {
            return Err(Stop::Failed(
                "its switch-to-configuration says that it is done, but another system runs".into(),
            ));
        }
        self.journal.activated = Some(self.clock.now());
        Ok("it runs".to_owned())
    }

    /// What the script changes first of all: the links of activation, and its work lists.
    fn marks(&self) -> (Option<PathBuf>, bool) {
        let lists = script::work_lists(self.host);
        (fs::read_link(self.host.path("/etc/static")).ok(), lists.iter().any(|list| list.exists()))
    }

    fn undisturbed(&self, since: &Moment) -> bool {
        !self.systemd()
            || health::undisturbed(&self.machine, &self.services, since.monotonic_ms * 1000).unwrap_or(false)
    }

    pub(crate) fn script(&self, system: &Path, verb: Verb, back: bool) -> Result<Ended, ActivateError> {
        let options = &self.journal.goal.options;
        let install = verb == Verb::Boot && options.install_bootloader && !back;
        let mut environment = vec![("NIXOS_INSTALL_BOOTLOADER".to_owned(), if install { "1" } else { "0" }.to_owned())];
        let no_check = if back { Some("1".to_owned()) } else { options.no_check.clone() };
        environment.extend(no_check.map(|value| ("NIXOS_NO_CHECK".to_owned(), value)));
        environment.extend(options.locale_archive.clone().map(|value| ("LOCALE_ARCHIVE".to_owned(), value)));
        let limit = if back { options.back_timeout() } else { options.activation_timeout };
        let (id, log) = (&self.journal.id, self.log.path.as_path());
        Script { id, system, verb, environment, limit, back, log }.run(self.host, &self.machine, self.clock)
    }

    fn health(&mut self, settle: Duration) -> Result<String, Stop> {
        let options = self.journal.goal.options.clone();
        if self.systemd() {
            let known = Baseline::default();
            let baseline = self.journal.baseline.as_ref().unwrap_or(&known);
            let criteria = Criteria { baseline, allowed: &options.allow_failed, settle };
            health::judge(&self.machine, self.clock, &criteria)?.map_err(Stop::Failed)?;
            if let Some(since) = &self.complained {
                let refuted = health::refuted(&self.machine, since.monotonic_ms * 1000)?;
                if let Some(unit) = refuted.iter().find(|unit| !criteria.knows(unit)) {
                    return Err(Stop::Failed(format!("{unit} does not run: an assertion of it is wrong")));
                }
            }
        }
        for check in health::checks(self.host, &self.machine, &options.checks)? {
            let from = self.clock.now().boot_ms;
            self.log.line(&format!("{CHECK}{:?}", check.name));
            health::run_check(&self.machine, self.clock, &check, options.check_timeout, &self.log.path)?
                .map_err(Stop::Failed)?;
            self.log.done(&format!("check {:?} is content", check.name), self.since(from));
        }
        self.save(State::Healthy)?;
        Ok("it is healthy".to_owned())
    }

    /// Waits for a person. The window is over when the deadline on disk is.
    fn wait(&mut self, window: Duration) -> Result<(), Stop> {
        let id = self.journal.id.clone();
        loop {
            let confirmed = Request::Confirm.receive(self.host, &id);
            let over = self.journal.deadline.as_ref().is_none_or(|end| self.clock.now().until(end).is_zero());
            if confirmed || over || Request::Revert.receive(self.host, &id) {
                self.check_intervention()?;
                if confirmed {
                    return Ok(());
                }
                let why = if over {
                    format!("nobody confirmed it within {}", health::printed(window))
                } else {
                    "a person took it back".to_owned()
                };
                return Err(Stop::Failed(why));
            }
            self.clock.sleep(TICK * 5);
        }
    }

    /// Whether what runs is neither the old nor the new system: then a person knows better.
    pub(crate) fn check_intervention(&self) -> Result<(), Stop> {
        let running = self.running();
        if running.as_ref() == Some(&self.journal.target) || running == self.journal.before.running {
            return Ok(());
        }
        let other = running.map_or_else(|| "nothing".to_owned(), |path| path.display().to_string());
        Err(Stop::Aside(format!("{other} runs, which a person must have switched to meanwhile")))
    }

    fn set_profile(&mut self) -> Result<String, Stop> {
        if self.journal.goal.action == crate::goal::Action::Switch
            && self.running().as_ref() != Some(&self.journal.target)
        {
            self.check_intervention()?;
            return Err(Stop::Failed("it does not run any more".into()));
        }
        let profile = Profile::new(self.host, &self.journal.goal.profile);
        let _lock = profile.lock()?;
        let (generation, made) = match self.journal.generation.clone() {
            // Made before a one-shot boot, or before an interruption.
            Some(known) => (known, self.journal.generation_made),
            None => match &self.journal.goal.generation {
                Some(known) => (known.clone(), false),
                None => profile.next(&self.journal.goal.system),
            },
        };
        (self.journal.generation, self.journal.generation_made) = (Some(generation.clone()), made);
        self.journal.begun.profile = true;
        self.save(State::Committing)?;
        profile.set(&generation)?;
        Ok(format!("the profile is at generation {}", generation.number))
    }

    fn boot(&mut self, system: &Path, verb: Verb) -> Result<String, Stop> {
        self.journal.begun.boot = verb == Verb::Boot;
        self.save(State::Committing)?;
        let ended = self.script(system, verb, false)?;
        if script::meaning(ended) != Meaning::Done {
            let told = script::told(ended, self.journal.goal.options.activation_timeout);
            return Err(Stop::Failed(format!("its switch-to-configuration {} {told}", verb.word())));
        }
        self.sync_boot();
        Ok("the boot loader is told".to_owned())
    }

    pub(crate) fn sync_boot(&self) {
        // Most are one file system; where /boot is its own, its loader may not have synced it.
        for folder in ["/boot", "/boot/efi", "/efi"].map(|folder| self.host.path(folder)) {
            if folder.is_dir() {
                let _ = sync_file_system(&folder);
            }
        }
    }

    fn read_back(&mut self, system: &Path) -> Result<String, Stop> {
        match boot_default(self.host) {
            BootDefault::System(found) if found == system => {
                self.journal.boot_checked = true;
                Ok("read back that it boots next".to_owned())
            }
            BootDefault::NotChecked => Ok(NOT_CHECKED.to_owned()),
            // Files that named no generation before either, and that nobody wrote: another loader is in use.
            left if self.journal.before.boot_default == BootDefault::NotChecked
                && self.journal.before.generation.is_some()
                && left != BootDefault::Nothing =>
            {
                Ok(NOT_CHECKED.to_owned())
            }
            BootDefault::System(other) => {
                Err(Stop::Failed(format!("the boot loader starts {} instead", other.display())))
            }
            BootDefault::Nothing => Err(Stop::Failed("the boot loader names no system that is there".into())),
        }
    }
}
