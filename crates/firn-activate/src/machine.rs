//! The one place that runs programs.

use crate::{clock::Clock, error::ActivateError, host::Host};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// How often something that has no better way to be noticed is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Programs of a host.
#[derive(Debug, Clone)]
pub struct Machine {
    tools: Vec<PathBuf>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By us: it took too long.
    TimedOut,
    /// Nobody knows: whoever waited for it was killed too.
    Lost,
}

impl Ended {
    pub(crate) fn of(status: ExitStatus) -> Self {
        status.code().map_or_else(|| status.signal().map_or(Self::Lost, Self::Signal), Self::Code)
    }
}

/// A systemd unit that runs one command.
pub(crate) struct Unit<'a> {
    pub(crate) name: &'a str,
    pub(crate) properties: &'a [String],
    pub(crate) environment: &'a [(String, String)],
    pub(crate) log: &'a Path,
    pub(crate) command: &'a [OsString],
}

impl Machine {
    /// The programs of `system` come first: its exact path stays in the store, whatever runs later. Then the running
    /// system's, then those of PATH.
    pub fn new(host: &Host, system: Option<&Path>) -> Self {
        let mut tools: Vec<PathBuf> = system.map(|system| host.path(system.join("sw/bin"))).into_iter().collect();
        tools.extend(["/run/current-system/sw/bin", "/run/booted-system/sw/bin"].map(|folder| host.path(folder)));
        tools.extend(env::var_os("PATH").iter().flat_map(env::split_paths).filter(|folder| folder.is_absolute()));
        tools.extend(["/usr/bin", "/bin"].map(PathBuf::from));
        Self { tools }
    }

    /// Where a program is.
    pub fn program(&self, name: &'static str) -> Result<PathBuf, ActivateError> {
        let found = self.tools.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        found.ok_or(ActivateError::NoProgram(name))
    }

    /// Runs a program to its end and returns its exit code and standard output. For programs that answer at once.
    pub(crate) fn ask(&self, name: &'static str, arguments: &[&str]) -> Result<(i32, String), ActivateError> {
        let program = self.program(name)?;
        let done = Command::new(&program)
            .args(arguments)
            .env("LC_ALL", "C")
            .env("SYSTEMD_COLORS", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|source| ActivateError::Spawn { program, source })?;
        Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&done.stdout).into_owned()))
    }

    /// Runs a program to its end and returns its exit code and all that it said.
    pub(crate) fn listen(&self, program: &Path, arguments: &[&str]) -> Result<(i32, String), ActivateError> {
        let done = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| ActivateError::Spawn { program: program.to_owned(), source })?;
        let said = [done.stdout, done.stderr].concat();
        Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Runs a program that has to succeed.
    pub(crate) fn run(&self, name: &'static str, arguments: &[&OsStr]) -> Result<(), ActivateError> {
        let program = self.program(name)?;
        let done = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| ActivateError::Spawn { program, source })?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        Err(ActivateError::Program {
            program: name.to_owned(),
            code: done.status.code().unwrap_or(-1),
            message: said.trim().lines().last().unwrap_or_default().to_owned(),
        })
    }

    /// Starts a transient unit; it runs when this returns. No pipe leads to us: we may die, and so may the caller.
    pub(crate) fn start(&self, unit: &Unit<'_>) -> Result<(), ActivateError> {
        let mut arguments: Vec<OsString> =
            ["--collect", "--quiet", "--no-ask-password", "--service-type=exec"].map(OsString::from).into();
        arguments.push(format!("--unit={}", unit.name).into());
        arguments.push(format!("--property=StandardOutput=append:{}", unit.log.display()).into());
        arguments.push(format!("--property=StandardError=append:{}", unit.log.display()).into());
        arguments.extend(unit.properties.iter().map(|property| format!("--property={property}").into()));
        arguments.extend(unit.environment.iter().map(|(key, value)| format!("--setenv={key}={value}").into()));
        arguments.push("--".into());
        arguments.extend(unit.command.iter().cloned());
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        self.run("systemd-run", &arguments)
    }

    /// Stops a unit, or those of a pattern, with everything in them; what is gone already is stopped.
    pub(crate) fn stop(&self, unit: &str) {
        let _ = self.ask("systemctl", &["stop", unit]);
    }

    /// Whether a unit has a process.
    pub fn is_active(&self, unit: &str) -> bool {
        // While PID 1 is reloading it does not answer; then nothing is known, and the unit counts as there.
        match self.ask("systemctl", &["show", "--property=ActiveState", "--value", unit]) {
            Ok((0, state)) => !matches!(state.trim(), "inactive" | "failed"),
            _ => true,
        }
    }

    /// Whether the host is about to restart or to be switched off.
    pub(crate) fn shuts_down(&self) -> bool {
        self.ask("systemctl", &["is-system-running"]).is_ok_and(|(_, state)| state.trim() == "stopping")
    }

    /// Starts a program in a process group of its own, its output going to a log.
    pub(crate) fn spawn(
        &self,
        command: &[OsString],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Child, ActivateError> {
        let program = PathBuf::from(command.first().cloned().unwrap_or_default());
        let log = OpenOptions::new().append(true).create(true).open(log).map_err(ActivateError::file("open", log))?;
        let errors = log.try_clone().map_err(|source| ActivateError::Spawn { program: program.clone(), source })?;
        Command::new(&program)
            .args(command.get(1..).unwrap_or_default())
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| ActivateError::Spawn { program, source })
    }
}

/// Waits for a child; kills its process group when its time is over.
pub(crate) fn wait(mut child: Child, clock: &dyn Clock, limit: Duration) -> Ended {
    let end = clock.now().after(limit);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ended::of(status),
            Err(_) => return Ended::Lost,
            Ok(None) => {}
        }
        if clock.now().until(&end).is_zero() {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.kill();
            let _ = child.wait();
            return Ended::TimedOut;
        }
        clock.sleep(TICK);
    }
}
