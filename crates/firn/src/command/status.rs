//! `firn status`, `confirm` and `recover`; and the commands that firn gives itself.

use super::activate::here;
use crate::{
    CommandError, ExitCode, Session,
    activate::{as_json, code, confirm, damaged, recover, refuse_damaged, tell},
    plain,
};
use clap::{Args, ValueHint};
use firn_activate::{
    Host,
    clock::{Clock, SystemClock},
    hold::Lock,
    journal::{Journal, State},
    outcome::{Now, history, message},
    resume::{Resume, resume},
    script::watch,
    supervise::{supervise, take_back},
};
use serde_json::json;
use std::{
    ffi::OsString,
    fs,
    io::{IsTerminal, stdout},
    path::PathBuf,
};

/// Say what runs, what boots next, and how the last activation stands.
#[derive(Debug, Args)]
pub struct Status {
    /// Print its log too
    #[arg(long)]
    pub log: bool,
}

impl Status {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        let now = Now::observe(&host, SystemClock.now());
        let Some(journal) = Journal::latest(&host)? else {
            return self.without_journal(&now, session);
        };
        let held = Lock::Work.is_taken(&host).unwrap_or(true);
        let next = resume(&journal, now.running.as_deref(), &now.moment);
        let left = if held { None } else { left(&journal, &next) };
        if session.globals.json {
            let mut value = as_json(&journal, &now, code(journal.state, ExitCode::Pending));
            value["interrupted"] = json!(left.is_some());
            value["history"] = json!(journal.history);
            session.json(&value)?;
        } else {
            let word = journal.word(now.running.as_deref(), &now.moment);
            session.result(format!("activation {}: {word}", journal.id))?;
            for line in left.iter().cloned().chain(message(&journal, &now)) {
                session.result(line)?;
            }
            for line in history(&journal) {
                session.result(format!("  {line}"))?;
            }
        }
        if self.log {
            let text = fs::read(host.path(&journal.log)).unwrap_or_default();
            if stdout().is_terminal() {
                String::from_utf8_lossy(&text).lines().try_for_each(|line| session.result(plain(line)))?;
            } else {
                session.with_results(|out| out.write_all(&text))?;
            }
        }
        Ok(ExitCode::Success)
    }

    fn without_journal(&self, now: &Now, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        if session.globals.json {
            session.json(&json!({
                "version": 1, "id": null, "running": now.running, "boot_default": now.boot_default.system(),
            }))?;
            return Ok(ExitCode::Success);
        }
        session.result("firn has activated nothing here")?;
        let running = now.running.as_ref().map_or("no NixOS generation".into(), |path| path.display().to_string());
        session.result(format!("runs now: {running}"))?;
        if let Some(system) = now.boot_default.system() {
            session.result(format!("boots next: {}", system.display()))?;
        }
        Ok(ExitCode::Success)
    }
}

/// What to say of an activation that nobody has in hand.
fn left(journal: &Journal, next: &Resume) -> Option<String> {
    let what = match next {
        Resume::Nothing => return None,
        _ if journal.state == State::RevertFailed => return None,
        Resume::Mark(_, why) | Resume::Undo(why) => format!("INTERRUPTED: {why}; firn recover puts it in order"),
        Resume::Finish => "INTERRUPTED: it was healthy; firn recover does the rest".to_owned(),
        Resume::Begin => "INTERRUPTED before it was begun; nothing was changed".to_owned(),
        Resume::Wait => "nobody watches its deadline; firn recover, confirm or rollback does".to_owned(),
    };
    Some(what)
}

/// Refuses a command of root's to anybody else.
pub(super) fn only_root(word: &str) -> Result<(), CommandError> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(CommandError::new(ExitCode::Refused, format!("{word} needs root"))
        .hint("nothing was changed")
        .hint(format!("sudo {} {word}", std::env::current_exe().unwrap_or_else(|_| "firn".into()).display())))
}

/// Make permanent what waits for a confirmation.
///
/// It counts from a console, or over an ssh connection that was made after the new system ran.
#[derive(Debug, Args)]
pub struct Confirm {}

impl Confirm {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        only_root("confirm")?;
        confirm(&host, &here(&host), session)
    }
}

/// Finish or undo what a power cut or a killed process left half done.
#[derive(Debug, Args)]
pub struct Recover {}

impl Recover {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        only_root("recover")?;
        let _begin = Lock::Begin.take(&host)?;
        refuse_damaged(&host, &damaged(&host)?)?;
        match recover(&host, true, session)? {
            None => {
                session.sink.note("firn has activated nothing here");
                Ok(ExitCode::Success)
            }
            Some(journal) if journal.state == State::RevertFailed => tell(&host, &journal, ExitCode::Pending, session),
            Some(journal) => {
                let now = Now::observe(&host, SystemClock.now());
                if session.globals.json {
                    session.json(&as_json(&journal, &now, code(journal.state, ExitCode::Pending)))?;
                }
                session.sink.note(&message(&journal, &now).join("\n  "));
                Ok(ExitCode::Success)
            }
        }
    }
}

/// Has an activation in hand; runs in a unit of its own.
#[derive(Debug, Args)]
pub struct Activate {
    /// Name of the activation
    pub id: String,
    /// The unit has ended; if a person stopped it, what it began is put back
    #[arg(long)]
    pub stopped: bool,
}

impl Activate {
    /// Runs it.
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        if !self.stopped {
            supervise(&host, &SystemClock, &self.id)?;
        } else if stopped_by_a_person() {
            take_back(&host, &SystemClock, &self.id)?;
        }
        Ok(ExitCode::Success)
    }
}

/// What systemd says of the end of a unit: killed by a signal that is no failure, as `systemctl stop` does it.
fn stopped_by_a_person() -> bool {
    let is = |key, value| std::env::var_os(key).is_some_and(|found| found == value);
    is("EXIT_CODE", "killed") && is("SERVICE_RESULT", "success")
}

/// Runs a script and writes down how it ended; runs in the script's unit.
#[derive(Debug, Args)]
pub struct Script {
    /// Where to write it down
    #[arg(value_hint = ValueHint::FilePath)]
    pub status: PathBuf,
    /// The script
    #[arg(value_hint = ValueHint::FilePath)]
    pub program: PathBuf,
    /// What it is told
    pub arguments: Vec<OsString>,
}

impl Script {
    /// Runs it.
    pub fn run(self) -> Result<ExitCode, CommandError> {
        watch(&self.status, &self.program, &self.arguments)?;
        Ok(ExitCode::Success)
    }
}
