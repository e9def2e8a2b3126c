//! From a realised system to a running one: the joint between the commands and firn-activate.

use crate::{CommandError, ExitCode, Loaded, Session, import::environment};
use firn_activate::{
    ActivateError, Host,
    clock::{Clock, SystemClock},
    facts::Facts,
    goal::Goal,
    guard::{self, GuardError},
    hold::{Hold, Lock, Request},
    imported,
    journal::{Journal, State},
    launch::{launch, prepare},
    log::{CHECK, MARK},
    machine::Machine,
    outcome::{self, Now, message},
    plan::{Refusal, plan},
    profile::Profile,
    prune::prune,
    resume::{Resume, resume},
    session::Caller,
    supervise::{abandon, supervise},
};
use firn_core::ProvenPath;
use firn_store::daemon::{self, SessionOptions, StoreUrl};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

/// How often the journal and the log are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// For so long nobody may have an activation in hand before it counts as left: systemd starts a killed process again.
const ABANDONED: Duration = Duration::from_secs(8);

/// How a watcher takes leave of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Watch on while somebody has to confirm.
    pub(crate) wait: bool,
    /// Code for one that waits for a person.
    pub(crate) pending: ExitCode,
}

impl Leave {
    /// At the end, whatever it is.
    pub(crate) const END: Self = Self { wait: true, pending: ExitCode::Pending };
}

impl From<ActivateError> for CommandError {
    fn from(error: ActivateError) -> Self {
        match &error {
            ActivateError::File { source, .. } if source.kind() == ErrorKind::StorageFull => {
                Self::new(ExitCode::Space, error).hint("make room, then see firn status")
            }
            ActivateError::Locked(_) => Self::new(ExitCode::Refused, error).hint("see firn status"),
            ActivateError::Journal { path, .. } => {
                let hint = format!(
                    "if nothing is under way (systemctl list-units 'firn-*'), delete {}: firn then knows nothing of that \
                     activation, and the host is as it is",
                    path.display()
                );
                let by_hand =
                    "if it left something half done: nixos-rebuild --rollback, or an older entry of the boot menu";
                Self::new(ExitCode::Failure, error).hint(hint).hint(by_hand)
            }
            ActivateError::Config { .. } => Self::new(ExitCode::Refused, error).hint("nothing was changed"),
            _ => Self::new(ExitCode::Failure, error),
        }
    }
}

impl From<GuardError> for CommandError {
    fn from(error: GuardError) -> Self {
        let code = match &error {
            GuardError::Plan(Refusal::Inhibited(_)) => ExitCode::NeedsReboot,
            _ => ExitCode::Refused,
        };
        let hints = error.hints();
        let refused = Self::new(code, error).hint("nothing was changed");
        hints.into_iter().fold(refused, Self::hint)
    }
}

/// Looks at everything that can be looked at before a store is touched, and finishes or undoes what an earlier
/// activation left half done. Nobody else begins while the result is held. Gives paths of an import that was cut, too,
/// which are damaged and cannot be deleted.
pub(crate) fn guard(host: &Host, profile: &str, session: &Session<'_>) -> Result<(Hold, Vec<PathBuf>), CommandError> {
    if !rustix::process::geteuid().is_root() {
        return Err(GuardError::NotRoot.into());
    }
    let begin = Lock::Begin.take(host).map_err(|_| GuardError::Busy("another firn begins one".into()))?;
    recover(host, false, session)?;
    let damaged = damaged(host)?;
    guard::before_import(host, &SystemClock.now())?;
    prune(host, profile, false)?;
    Ok((begin, damaged))
}

/// After a power cut in the middle of an import: what came and is not what it should be, and cannot be deleted.
pub(crate) fn damaged(host: &Host) -> Result<Vec<PathBuf>, CommandError> {
    Ok(imported::check(host, &Machine::new(host, None), &SystemClock.now())?)
}

/// Sends damaged paths again from a file that has them.
pub(crate) fn mend(host: &Host, loaded: &Loaded, paths: &[PathBuf], session: &Session<'_>) -> Result<(), CommandError> {
    let closure = &loaded.closure;
    let shown = |path: &ProvenPath| PathBuf::from(closure.store_dir().display(path.path()));
    let here: Vec<&ProvenPath> = closure.paths().iter().filter(|path| paths.contains(&shown(path))).collect();
    if !here.is_empty() {
        let options = SessionOptions::default();
        let mut quiet = |_: daemon::Event| {};
        let mut store = daemon::Session::open(&StoreUrl::Auto, &environment(), closure.store_dir(), options)?;
        store.repair(&here, &loaded.spool, &mut quiet)?;
        store.close(&mut quiet)?;
        session.sink.note(&format!("damaged by a restart and sent again: {} paths", here.len()));
    }
    refuse_damaged(host, &damaged(host)?)
}

/// Refuses to build on what is not what it should be.
pub(crate) fn refuse_damaged(host: &Host, damaged: &[PathBuf]) -> Result<(), CommandError> {
    let Some(first) = damaged.first() else { return Ok(()) };
    let text = format!("a restart in the middle of an import left {} damaged", first.display());
    let keeps = format!("something else keeps it: nix-store --query --roots {} says what", first.display());
    let mark = host.state().join("importing.json");
    Err(CommandError::new(ExitCode::Store, text)
        .hint("firn switch, boot or test of a file that holds it sends it again")
        .hint(keeps)
        .hint("remove that and run firn recover, or nix-store --verify --check-contents --repair where a cache has it")
        .hint(format!("once the path is whole by other means, delete {}", mark.display())))
}

/// Finishes or undoes what was left half done. Somebody who has it in hand is left to it. A revert that failed is tried
/// again only where a person asks for it: he may have found another way since.
pub(crate) fn recover(host: &Host, asked: bool, session: &Session<'_>) -> Result<Option<Journal>, CommandError> {
    let Some(mut journal) = Journal::latest(host)? else { return Ok(None) };
    if Lock::Work.is_taken(host)? {
        return Ok(Some(journal));
    }
    let running = host.resolve("/run/current-system");
    match resume(&journal, running.as_deref(), &SystemClock.now()) {
        Resume::Nothing => Ok(Some(journal)),
        Resume::Undo(_) if journal.state == State::RevertFailed && !asked => Ok(Some(journal)),
        Resume::Begin => Ok(Some(abandon(host, &SystemClock, &journal.id)?)),
        Resume::Mark(..) => Ok(Some(supervise(host, &SystemClock, &journal.id)?)),
        next => {
            session.sink.note(&format!("going on with activation {}, left {}", journal.id, journal.state));
            let tail = Tail::end_of(host, &journal);
            if journal.state == State::RevertFailed {
                // A final state would be taken for the end of this try.
                journal.enter(State::Reverting, SystemClock.now());
                journal.write(host)?;
            }
            hand_over(host, &journal, None)?;
            if next == Resume::Wait {
                return Ok(Some(journal));
            }
            let watch = Leave { wait: false, pending: ExitCode::Pending };
            follow(host, &journal.id, tail, watch, session).map(Some)
        }
    }
}

/// Starts the process that has the activation in hand.
pub(crate) fn hand_over(host: &Host, journal: &Journal, begin: Option<Hold>) -> Result<(), CommandError> {
    let machine = Machine::new(host, journal.before.running.as_deref());
    // What runs is read through here even where its file was replaced or deleted.
    let binary = Path::new("/proc/self/exe");
    Ok(launch(host, &machine, &SystemClock, binary, journal, begin)?)
}

/// Begins an activation and watches it.
pub(crate) fn activate(
    host: &Host,
    goal: Goal,
    begin: Hold,
    leave: Leave,
    session: &Session<'_>,
) -> Result<ExitCode, CommandError> {
    guard::after_realise(host, &goal.system, goal.specialisation.as_deref())?;
    guard::boot_space(host, &goal.system, &Profile::new(host, &goal.profile))?;
    let facts = Facts::observe(host, &goal);
    let planned = plan(&goal, &facts).map_err(GuardError::from)?;
    for note in &planned.notes {
        session.sink.note(note);
    }
    let untouched = |error: CommandError| error.hint("nothing was changed");
    let journal = prepare(host, goal, &facts, SystemClock.now()).map_err(|error| untouched(error.into()))?;
    let id = journal.id.clone();
    session.sink.note(&format!("activation {id} goes on by itself if this ends: firn status"));
    if let Err(error) = hand_over(host, &journal, Some(begin)) {
        abandon(host, &SystemClock, &id)?;
        return Err(untouched(error));
    }
    let journal = follow(host, &id, Tail::default(), leave, session)?;
    tell(host, &journal, leave.pending, session)
}

/// Shows the log, from a place in it, until there is nothing to wait for.
pub(crate) fn follow(
    host: &Host,
    id: &str,
    mut tail: Tail,
    leave: Leave,
    session: &Session<'_>,
) -> Result<Journal, CommandError> {
    let clock = SystemClock;
    let mut seen = clock.now();
    loop {
        let journal = match Journal::read(host, id) {
            // Whoever has it in hand writes it anew at its next state.
            Err(ActivateError::Journal { .. }) if Lock::Work.is_taken(host)? => {
                clock.sleep(LOOK);
                continue;
            }
            read => read?,
        };
        let more = tail.show(host, &journal, session);
        if more {
            // A terminal may be slow.
            seen = clock.now();
        }
        let waits = journal.state == State::AwaitingReboot || (journal.state == State::Awaiting && !leave.wait);
        if journal.state.is_final() || waits {
            while tail.show(host, &journal, session) {}
            return Ok(journal);
        }
        if Lock::Work.is_taken(host)? {
            seen = clock.now();
        } else if seen.after(ABANDONED).until(&clock.now()) > Duration::ZERO {
            return Err(CommandError::new(ExitCode::Failure, format!("activation {id} was left {}", journal.state))
                .hint("firn recover finishes or undoes it")
                .hint(format!("log: {}", journal.log.display())));
        }
        if !more {
            clock.sleep(LOOK);
        }
    }
}

/// What of a log was shown.
#[derive(Default)]
pub(crate) struct Tail {
    offset: u64,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    /// Whether it is an own check that speaks.
    check: bool,
}

/// Most bytes of a log that are shown at once.
const PIECE: u64 = 1 << 16;

impl Tail {
    /// From its end.
    fn end_of(host: &Host, journal: &Journal) -> Self {
        let offset = std::fs::metadata(host.path(&journal.log)).map_or(0, |metadata| metadata.len());
        Self { offset, ..Self::default() }
    }

    /// Shows what is new; whether anything is.
    fn show(&mut self, host: &Host, journal: &Journal, session: &Session<'_>) -> bool {
        let Ok(mut file) = File::open(host.path(&journal.log)) else { return false };
        let mut new = Vec::new();
        let read = file.seek(SeekFrom::Start(self.offset)).and_then(|_| file.take(PIECE).read_to_end(&mut new));
        if read.is_err_and(|error| error.kind() != ErrorKind::Interrupted) || new.is_empty() {
            return false;
        }
        self.offset += new.len() as u64;
        self.rest.append(&mut new);
        // A line that does not end is told in parts.
        let whole = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.rest.len() as u64 >= PIECE => self.rest.len(),
            None => return true,
        };
        for line in String::from_utf8_lossy(&self.rest[..whole]).lines() {
            match line.strip_prefix(MARK) {
                Some(ours) => {
                    self.check = ours.starts_with(CHECK);
                    session.sink.note(ours);
                }
                None if session.globals.quiet => {}
                None => {
                    let derivation = if self.check { "check" } else { "switch" };
                    session.sink.event(crate::Event::Log { derivation, line });
                }
            }
        }
        self.rest.drain(..whole);
        true
    }
}

/// Says how it ended, and gives the code for it.
pub(crate) fn tell(
    host: &Host,
    journal: &Journal,
    pending: ExitCode,
    session: &Session<'_>,
) -> Result<ExitCode, CommandError> {
    let now = Now::observe(host, SystemClock.now());
    let lines = message(journal, &now);
    let code = code(journal.state, pending);
    if session.globals.json {
        session.json(&as_json(journal, &now, code))?;
    } else if matches!(code, ExitCode::Success | ExitCode::Pending) {
        session.result(journal.goal.system.display())?;
    }
    let text = lines.join("\n  ");
    match code {
        ExitCode::Success if matches!(journal.state, State::Awaiting | State::AwaitingReboot) => {
            session.sink.warn(&text)
        }
        ExitCode::Success => session.sink.note(&text),
        ExitCode::Pending => session.sink.warn(&text),
        code => return Err(CommandError::new(code, text)),
    }
    Ok(code)
}

/// Exit code of a state.
pub(crate) fn code(state: State, pending: ExitCode) -> ExitCode {
    match state {
        State::Done | State::AwaitingReboot => ExitCode::Success,
        State::Refused => ExitCode::Refused,
        State::NeedsReboot => ExitCode::NeedsReboot,
        State::Reverted => ExitCode::Reverted,
        State::RevertFailed => ExitCode::RevertFailed,
        State::Intervened => ExitCode::Intervened,
        State::Awaiting => pending,
        State::Realised | State::Testing | State::Healthy | State::Committing | State::Reverting => ExitCode::Pending,
    }
}

/// An activation as JSON.
pub(crate) fn as_json(journal: &Journal, now: &Now, code: ExitCode) -> Value {
    let seconds_left = journal.deadline.as_ref().filter(|_| journal.state == State::Awaiting);
    json!({
        "version": 1,
        "id": journal.id,
        "action": journal.goal.action,
        "state": journal.state,
        "code": code.number(),
        "why": journal.why,
        "file": journal.goal.file,
        "system": journal.goal.system,
        "specialisation": journal.goal.specialisation,
        "generation": journal.generation.as_ref().map(|generation| generation.number),
        "previous": {
            "running": journal.before.running,
            "generation": journal.before.generation.as_ref().map(|generation| generation.number),
            "boot_default": journal.before.boot_default.system(),
        },
        "running": now.running,
        "boot_default": now.boot_default.system(),
        "boot_checked": journal.boot_checked,
        "boot_unproven": outcome::unproven(journal, now),
        "seconds_left": seconds_left.map(|deadline| now.moment.until(deadline).as_secs()),
        "log": journal.log,
    })
}

/// Makes permanent what waits for a person.
pub(crate) fn confirm(host: &Host, caller: &Caller, session: &Session<'_>) -> Result<ExitCode, CommandError> {
    let refused = |text: String| CommandError::new(ExitCode::Refused, text);
    let Some(mut journal) = Journal::latest(host)? else {
        return Err(refused("nothing was activated by firn here, so there is nothing to confirm".into()));
    };
    let tail = Tail::end_of(host, &journal);
    match journal.state {
        State::Awaiting => {
            let since = journal.activated.as_ref().map_or(u64::MAX, |moment| moment.boot_ms);
            if !caller.proves(since) {
                return Err(unproven(caller));
            }
            if !Lock::Work.is_taken(host)? {
                recover(host, false, session)?;
            }
            Request::Confirm.send(host, &journal.id)?;
        }
        State::AwaitingReboot => {
            let now = SystemClock.now();
            if !journal.restarted(&now) || !journal.is_new(host.resolve("/run/current-system").as_deref()) {
                return Err(refused("the new system was not booted yet".into()).hint("restart the host, then confirm"));
            }
            journal.activated = Some(now.clone());
            journal.enter(State::Committing, now);
            journal.write(host)?;
            hand_over(host, &journal, None)?;
        }
        state if state.is_final() => {
            // Whoever asks again, because the line was cut, is told how it ended.
            if !journal.history.iter().any(|(state, _)| matches!(state, State::Awaiting | State::AwaitingReboot)) {
                return Err(
                    refused("nothing waits for a confirmation".into()).hint("nothing was changed; see firn status")
                );
            }
            session.sink.note(&format!("nothing waits any more; how activation {} ended:", journal.id));
        }
        state => {
            return Err(refused(format!("activation {} is not that far: {state}", journal.id)).hint("see firn status"));
        }
    }
    let journal = follow(host, &journal.id, tail, Leave::END, session)?;
    tell(host, &journal, ExitCode::Pending, session)
}

fn unproven(caller: &Caller) -> CommandError {
    let text = match caller {
        Caller::Ssh { .. } => {
            "this ssh connection is older than the new system: it proves nothing about a new one (a shared connection, \
             ControlMaster, counts as the old one)"
        }
        _ => {
            "neither a console nor an ssh connection is above this process (tmux, screen, a service): it proves nothing"
        }
    };
    CommandError::new(ExitCode::Refused, text)
        .hint("confirm over a new connection: ssh -o ControlPath=none HOST /nix/var/firn/bin/firn confirm")
        .hint("or at a console of the host")
}

/// Takes back what waits for a person or a restart. `None` if nothing does.
pub(crate) fn take_back(host: &Host, session: &Session<'_>) -> Result<Option<ExitCode>, CommandError> {
    let Some(mut journal) = Journal::latest(host)? else { return Ok(None) };
    let tail = Tail::end_of(host, &journal);
    match journal.state {
        State::Awaiting => {
            if !Lock::Work.is_taken(host)? {
                recover(host, false, session)?;
            }
            Request::Revert.send(host, &journal.id)?;
        }
        State::AwaitingReboot => {
            journal.why = Some("a person took it back".into());
            journal.enter(State::Reverting, SystemClock.now());
            journal.write(host)?;
            hand_over(host, &journal, None)?;
        }
        _ => return Ok(None),
    }
    let journal = follow(host, &journal.id, tail, Leave::END, session)?;
    // What was asked for: no error.
    if journal.state == State::Reverted {
        let now = Now::observe(host, SystemClock.now());
        if session.globals.json {
            session.json(&as_json(&journal, &now, ExitCode::Success))?;
        }
        session.sink.note(&message(&journal, &now).join("\n  "));
        return Ok(Some(ExitCode::Success));
    }
    tell(host, &journal, ExitCode::Pending, session).map(Some)
}
