//! Running a system's `switch-to-configuration` as nixos-rebuild does: a transient unit of its own, so that it can be
//! stopped with all that it started; bare where no systemd runs.

use crate::{
    clock::Clock,
    error::ActivateError,
    goal::Goal,
    host::{Host, make_folder, remove, write_synced},
    machine::{Ended, Machine, TICK, Unit, wait},
    plan::Verb,
};
use std::{
    ffi::OsString,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// One run of the script.
pub(crate) struct Script<'a> {
    /// Name of the activation.
    pub(crate) id: &'a str,
    /// The system whose script it is.
    pub(crate) system: &'a Path,
    /// What it is told.
    pub(crate) verb: Verb,
    /// Its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Longest time it may take.
    pub(crate) limit: Duration,
    /// On the way back it is run bare rather than not at all.
    pub(crate) back: bool,
    /// Its output.
    pub(crate) log: &'a Path,
}

/// Our copy of the binary, which watches the script inside its unit.
pub(crate) fn watcher(host: &Host) -> PathBuf {
    host.binaries().join("firn")
}

/// The units in which scripts of an activation run, as a pattern of systemctl.
pub(crate) fn units(id: &str) -> String {
    format!("firn-script-{id}-*.service")
}

/// The lists of units that an interrupted script has left to start, restart and reload. NixOS had them in
/// `/run/systemd` until 20.03.
pub(crate) fn work_lists(host: &Host) -> Vec<PathBuf> {
    let in_folder = |folder| ["start", "restart", "reload"].map(|list| host.path(format!("/run/{folder}/{list}-list")));
    ["nixos", "systemd"].into_iter().flat_map(in_folder).collect()
}

/// How often the start of a unit is tried: while PID 1 restarts itself it answers nobody.
const TRIES: u32 = 5;

impl Script<'_> {
    /// Runs it. Its way to the bus may break while it restarts things, so its end is told by a file, not by systemd.
    pub(crate) fn run(&self, host: &Host, machine: &Machine, clock: &dyn Clock) -> Result<Ended, ActivateError> {
        let program = self.system.join("bin/switch-to-configuration");
        let bare = || {
            let command = [host.path(&program).into_os_string(), self.verb.word().into()];
            Ok(wait(machine.spawn(&command, &self.environment, self.log)?, clock, self.limit))
        };
        if !host.path("/run/systemd/system").is_dir() {
            return bare();
        }
        // systemd may not have let go of the unit before when this one begins, so each has a name of its own.
        let name = format!("firn-script-{}-{}.service", self.id, clock.now().boot_ms);
        let status = host.path("/run/firn").join(format!("{name}.status"));
        make_folder(status.parent().unwrap_or(Path::new("/run")))?;
        remove(&status)?;
        let command: [OsString; 5] = [
            watcher(host).into_os_string(),
            "__script".into(),
            status.clone().into_os_string(),
            program.clone().into_os_string(),
            self.verb.word().into(),
        ];
        // A script that ignores the signal to end must not hold up the way back.
        let properties = ["TimeoutStopSec=10s".to_owned()];
        let (environment, log) = (&self.environment, self.log);
        let unit = Unit { name: &name, properties: &properties, environment, log, command: &command };
        let mut tries = 1;
        while let Err(error) = machine.start(&unit) {
            if tries == TRIES {
                return if self.back { bare() } else { Err(error) };
            }
            tries += 1;
            clock.sleep(Duration::from_millis(500));
            // The answer may have been lost, and the script not.
            if read_status(&status).is_some() || machine.is_active(&name) {
                break;
            }
        }
        let end = clock.now().after(self.limit);
        let mut look = clock.now();
        loop {
            if let Some(ended) = read_status(&status) {
                let _ = fs::remove_file(&status);
                return Ok(ended);
            }
            let now = clock.now();
            if now.until(&end).is_zero() {
                machine.stop(&name);
                return Ok(read_status(&status).unwrap_or(Ended::TimedOut));
            }
            if now.boot_ms >= look.boot_ms + 1000 {
                look = now;
                if !machine.is_active(&name) {
                    return Ok(read_status(&status).unwrap_or(Ended::Lost));
                }
            }
            clock.sleep(TICK);
        }
    }
}

/// Runs a program to its end and says in a file how it ended: the other side, inside the unit.
pub fn watch(status: &Path, program: &Path, arguments: &[OsString]) -> Result<(), ActivateError> {
    let ended = Command::new(program).args(arguments).stdin(Stdio::null()).status();
    let text = match ended {
        Ok(ended) => match (ended.code(), ended.signal()) {
            (Some(code), _) => format!("code {code}\n"),
            (None, signal) => format!("signal {}\n", signal.unwrap_or(0)),
        },
        // As a shell has it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "code 127\n".to_owned(),
        Err(_) => "code 126\n".to_owned(),
    };
    write_synced(status, text.as_bytes(), 0o644)
}

fn read_status(file: &Path) -> Option<Ended> {
    let text = fs::read_to_string(file).ok()?;
    let (kind, number) = text.trim().split_once(' ')?;
    let number = number.parse().ok()?;
    Some(if kind == "code" { Ended::Code(number) } else { Ended::Signal(number) })
}

/// What an end of the script means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It did what it was told.
    Done,
    /// It did, and some unit does not run; whether that is new is to be judged.
    UnitsFailed,
    /// It did nothing: only a restart gets there.
    NeedsReboot,
    /// It did not do what it was told.
    Failed,
}

/// By the codes of switch-to-configuration, which its versions share: 0, 2, 4, 100; others mean that it refused or died.
pub(crate) fn meaning(ended: Ended) -> Meaning {
    match ended {
        Ended::Code(0) => Meaning::Done,
        Ended::Code(4) => Meaning::UnitsFailed,
        Ended::Code(100) => Meaning::NeedsReboot,
        _ => Meaning::Failed,
    }
}

/// In a sentence, after "the script".
pub(crate) fn told(ended: Ended, limit: Duration) -> String {
    match ended {
        Ended::Code(2) => "said that activation failed (exit code 2)".to_owned(),
        Ended::Code(code @ (126 | 127)) => format!("could not be run (exit code {code})"),
        Ended::Code(code) => format!("ended with exit code {code}"),
        Ended::Signal(signal) => format!("was killed by signal {signal}"),
        Ended::TimedOut => format!("did not end within {} and was stopped", crate::health::printed(limit)),
        Ended::Lost => "was killed".to_owned(),
    }
}

/// Runs the script of a goal with `dry-activate`; its exit code and what it said.
pub fn dry_activate(host: &Host, machine: &Machine, goal: &Goal) -> Result<(i32, Vec<String>), ActivateError> {
    let program = host.path(goal.top().join("bin/switch-to-configuration"));
    let (code, text) = machine.listen(&program, &[Verb::DryActivate.word()])?;
    Ok((code, text.lines().map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_lists_of_old_and_new_scripts_are_known() {
        let host = Host::below("/h");
        let lists = work_lists(&host);
        for list in ["/h/run/nixos/restart-list", "/h/run/systemd/start-list"] {
            assert!(lists.contains(&PathBuf::from(list)), "{list}");
        }
    }
}
