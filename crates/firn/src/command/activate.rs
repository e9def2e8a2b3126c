//! `firn switch`, `boot`, `test`, `dry-activate`: from a file to the running system.

use super::{
    elevate::{Elevate, run_as_root},
    import::Target,
    realise::{Building, root_in_store},
    subject::{addressee, addressee_of_built, built, check_built, one_system, own_store, root_of},
};
use crate::{
    CommandError, ExitCode, ImportRequest, Session,
    activate::{Leave, activate, guard, mend, refuse_damaged},
    diff::against_current,
    realise::{RealiseRequest, Subject, expected_output, realise},
};
use clap::{ArgGroup, Args, ValueHint};
use firn_activate::{
    Host,
    clock::{Clock, SystemClock},
    config::{Config, duration, limit},
    facts::Facts,
    goal::{Action, Confirm, Goal, Options},
    guard::{GuardError, ThisHost},
    imported,
    machine::Machine,
    plan::{Step, plan},
    session::{Caller, caller},
};
use std::{collections::BTreeSet, ffi::OsString, path::PathBuf, time::Duration};

/// Window for a confirmation where nobody says another.
const WINDOW: Duration = Duration::from_secs(120);

/// Run the system of a file, and boot it from now on.
///
/// Imports and builds it, tests it, and makes it the boot default only when it ran and was found healthy; otherwise the
/// previous system is put back. Over ssh, somebody has to confirm: firn confirm, over a new connection.
#[derive(Debug, Args)]
pub struct Switch {
    /// What, and how
    #[command(flatten)]
    pub run: Run,
    /// When a person has to confirm
    #[command(flatten)]
    pub confirm: ConfirmFlags,
}

/// Boot the system of a file from now on; nothing is restarted.
///
/// With --once it boots the next time only, and firn confirm after that keeps it: the safe way for kernels.
#[derive(Debug, Args)]
pub struct Boot {
    /// What, and how
    #[command(flatten)]
    pub run: Run,
    /// Boot it once; every later boot is of the previous system until it is confirmed
    #[arg(long)]
    pub once: bool,
}

/// Run the system of a file; what boots stays as it is.
#[derive(Debug, Args)]
pub struct Test {
    /// What, and how
    #[command(flatten)]
    pub run: Run,
    /// When a person has to confirm
    #[command(flatten)]
    pub confirm: ConfirmFlags,
}

/// Say what a switch would do: its steps, then what the system's own script says.
#[derive(Debug, Args)]
pub struct DryActivate {
    /// What, and how
    #[command(flatten)]
    pub run: Run,
    /// When a person has to confirm
    #[command(flatten)]
    pub confirm: ConfirmFlags,
}

/// What is activated, and how.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// A firn file, - for standard input, a .drv path, or a built system in the store
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where to import, and how
    #[command(flatten)]
    pub target: Target,
    /// How to build
    #[command(flatten)]
    pub building: Building,
    /// How to activate
    #[command(flatten)]
    pub flags: Flags,
    /// Whom it may be for
    #[command(flatten)]
    pub force: Force,
    /// Name of the file, for the record
    #[arg(long, hide = true, value_name = "FILE")]
    pub origin: Option<String>,
}

/// How to activate.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Activation")]
pub struct Flags {
    /// For so long no unit may fail; 5s without it
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub settle: Option<Duration>,
    /// Longest time that the system's script may take; 10m without it
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub activation_timeout: Option<Duration>,
    /// A shell command that has to succeed in the new system
    #[arg(long = "check", value_name = "CMD")]
    pub checks: Vec<String>,
    /// Units that may fail; * and ? stand for characters
    #[arg(long, value_name = "UNIT-PATTERN")]
    pub allow_failed: Vec<String>,
    /// Another profile than system
    #[arg(short = 'p', long, value_name = "NAME", default_value = "system", value_parser = profile_name)]
    pub profile_name: String,
    /// Run this specialisation of it; what boots is the system itself
    #[arg(short = 'c', long, value_name = "NAME", conflicts_with = "no_specialisation")]
    pub specialisation: Option<String>,
    /// Run no specialisation, even if one runs now
    #[arg(long)]
    pub no_specialisation: bool,
    /// Install the boot loader itself, not only its entries
    #[arg(long)]
    pub install_bootloader: bool,
    /// Become root for the activation; import and build run as the caller
    #[arg(long, value_name = "WAY", default_value = "none")]
    pub elevate: Elevate,
    /// Print the steps, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A variable that whoever became root had
    #[arg(long = "variable", hide = true, value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// Who became root hears here that it is done
    #[arg(long, hide = true, value_name = "NAME")]
    pub began: Option<String>,
}

/// What may be taken all the same.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Activation")]
pub struct Force {
    /// Take a system that is for another host
    #[arg(long)]
    pub force_host: bool,
    /// Take a system that is for another kind of machine
    #[arg(long)]
    pub force_system: bool,
}

/// When a person has to confirm.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Confirmation", group = ArgGroup::new("policy").args(["confirm_within", "no_confirm"]))]
pub struct ConfirmFlags {
    /// Revert unless firn confirm is run within this time; the command ends when the system is healthy
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub confirm_within: Option<Duration>,
    /// Wait for the confirmation, or the revert
    #[arg(long, conflicts_with = "no_confirm")]
    pub wait_confirm: bool,
    /// Ask for no confirmation, even over ssh
    #[arg(long)]
    pub no_confirm: bool,
    /// The caller came over ssh
    #[arg(long, hide = true)]
    pub over_ssh: bool,
}

impl Switch {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        self.run.activate(Action::Switch, Some(&self.confirm), session)
    }
}

impl Boot {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        self.run.activate(if self.once { Action::BootOnce } else { Action::Boot }, None, session)
    }
}

impl Test {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        self.run.activate(Action::Test, Some(&self.confirm), session)
    }
}

impl DryActivate {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<ExitCode, CommandError> {
        self.run.activate(Action::DryActivate, Some(&self.confirm), session)
    }
}

impl Run {
    fn activate(
        self,
        action: Action,
        confirm: Option<&ConfirmFlags>,
        session: &Session<'_>,
    ) -> Result<ExitCode, CommandError> {
        let host = Host::default();
        self.flags.tell_began();
        let root = rustix::process::geteuid().is_root();
        let elevate = if root { Elevate::None } else { self.flags.elevate };
        if self.target.root.is_some() {
            return Err(CommandError::new(ExitCode::Usage, "a system is activated where it runs, not below --root")
                .hint("firn import --root DIR, then nixos-install --root DIR --system PATH"));
        }
        own_store(self.target.store.as_deref(), &self.target.store()?)?;
        let this = ThisHost::observe(&host);
        let config = Config::read(&host)?;
        let mut damaged = Vec::new();
        let begin = if root && !self.flags.dry_run && action != Action::DryActivate {
            let (begin, found) = guard(&host, &self.flags.profile_name, session)?;
            damaged = found;
            Some(begin)
        } else if elevate == Elevate::None && !self.flags.dry_run && !root {
            return Err(GuardError::NotRoot.into());
        } else {
            None
        };
        // Who became root for it has told what changes, unless that is part of the result.
        let told = self.origin.is_some() && action != Action::DryActivate;
        let (system, changes) = self.system(&this, &damaged, told, session)?;
        let caller = here(&host);
        let goal = self.goal(action, &host, system, &config, confirm, &caller)?;
        if self.flags.dry_run {
            return show(&host, &goal, &changes, session);
        }
        // What a dry run prints has them.
        if action != Action::DryActivate {
            changes.iter().for_each(|line| session.sink.note(line));
        }
        if elevate != Elevate::None {
            return elevate_and_run(elevate, &self, &goal, confirm.is_some() && over_ssh(&caller));
        }
        if action == Action::DryActivate {
            return dry_activate(&host, &goal, &changes, session);
        }
        let Some(begin) = begin else { return Err(GuardError::NotRoot.into()) };
        activate(&host, goal, begin, leave(confirm), session)
    }

    /// Imports and realises, unless it is a built system already. The way to it checks whom it is for. Also gives what
    /// changes against the running system.
    fn system(
        &self,
        this: &ThisHost,
        damaged: &[PathBuf],
        told: bool,
        session: &Session<'_>,
    ) -> Result<(PathBuf, Vec<String>), CommandError> {
        if let Some(system) = built(&self.file) {
            let host = Host::default();
            // Who became root for what was built has looked at the file, which knows it better.
            let looked = self.origin.is_some();
            if let (Some(expected), false) = (&self.target.expect, looked) {
                check_built(expected, &system)?;
            }
            let to = addressee_of_built(&host, &system);
            this.check(&to, self.force.force_host || looked, self.force.force_system)?;
            refuse_damaged(&host, damaged)?;
            let changes = if told { Vec::new() } else { against_current(None, &system, session) };
            return Ok((system, changes));
        }
        let subject = match root_in_store(&self.file) {
            Some((store_dir, root)) => Subject::Path(store_dir, root),
            None => Subject::Loaded(Box::new(session.load_host(&self.file, Some(&self.target.store()?))?)),
        };
        if let Subject::Loaded(loaded) = &subject {
            one_system(loaded, &self.file)?;
        }
        let to = addressee(&subject);
        this.check(&to, self.force.force_host, self.force.force_system)?;
        let request = RealiseRequest {
            import: ImportRequest {
                target: self.target.store()?,
                expect: self.target.expect.clone(),
                out_link: None,
                no_root: false,
                dry_run: self.flags.dry_run,
            },
            settings: self.building.settings()?,
            no_build: self.building.no_build,
            logs: self.building.print_build_logs,
        };
        request.check_expected(&subject)?;
        if rustix::process::geteuid().is_root() && !self.flags.dry_run {
            let host = Host::default();
            let mut paths = BTreeSet::new();
            if let Subject::Loaded(loaded) = &subject {
                mend(&host, loaded, damaged, session)?;
                let store_dir = subject.store_dir();
                paths.extend(loaded.closure.paths().iter().map(|path| store_dir.display(path.path()).into()));
            } else {
                refuse_damaged(&host, damaged)?;
            }
            imported::begin(&host, root_of(&subject), paths, &SystemClock.now())?;
        } else {
            refuse_damaged(&Host::default(), damaged)?;
        }
        let changes = match &subject {
            Subject::Loaded(loaded) => against_current(Some(loaded), &self.file, session),
            Subject::Path(..) => against_current(None, &self.file, session),
        };
        let realised = realise(&subject, &request, session)?;
        let output = realised.outputs.into_iter().next().or_else(|| expected_output(&subject));
        let output = output.ok_or_else(|| CommandError::new(ExitCode::Build, "it has no output called out"))?;
        Ok((PathBuf::from(subject.store_dir().display(&output)), changes))
    }

    fn goal(
        &self,
        action: Action,
        host: &Host,
        system: PathBuf,
        config: &Config,
        confirm: Option<&ConfirmFlags>,
        caller: &Caller,
    ) -> Result<Goal, CommandError> {
        let file = self.origin.clone().or_else(|| Some(self.file.display().to_string()));
        let mut goal = goal(action, system, file, &self.flags, config);
        goal.confirm = confirm.and_then(|flags| flags.policy(caller, config));
        if goal.specialisation.is_none() && !self.flags.no_specialisation && !action.only_boots() {
            // One that runs is kept: nixos-rebuild would silently go back to the base system.
            goal.specialisation = Facts::observe(host, &goal).specialisation;
        }
        Ok(goal)
    }
}

/// A goal from flags and configuration.
pub(super) fn goal(action: Action, system: PathBuf, file: Option<String>, flags: &Flags, config: &Config) -> Goal {
    let defaults = Options::default();
    let variable = |name: &str| flags.variable(name);
    let both = |mine: &[String], theirs: &[String]| theirs.iter().chain(mine).cloned().collect();
    Goal {
        action,
        system,
        specialisation: flags.specialisation.clone(),
        generation: None,
        profile: flags.profile_name.clone(),
        file,
        confirm: None,
        options: Options {
            settle: flags.settle.or(config.settle).unwrap_or(defaults.settle),
            activation_timeout: flags
                .activation_timeout
                .or(config.activation_timeout)
                .unwrap_or(defaults.activation_timeout),
            check_timeout: defaults.check_timeout,
            allow_failed: both(&flags.allow_failed, &config.allow_failed),
            checks: both(&flags.checks, &config.checks),
            install_bootloader: flags.install_bootloader
                || variable("NIXOS_INSTALL_BOOTLOADER").is_some_and(|value| value == "1"),
            no_check: variable("NIXOS_NO_CHECK"),
            locale_archive: variable("LOCALE_ARCHIVE"),
        },
    }
}

/// When to take leave of an activation.
pub(super) fn leave(confirm: Option<&ConfirmFlags>) -> Leave {
    let explicit = confirm.is_some_and(|flags| flags.confirm_within.is_some());
    let pending = if explicit { ExitCode::Success } else { ExitCode::Pending };
    Leave { wait: confirm.is_some_and(|flags| flags.wait_confirm), pending }
}

impl ConfirmFlags {
    /// Whether somebody has to confirm.
    pub(super) fn policy(&self, caller: &Caller, config: &Config) -> Option<Confirm> {
        let implicit = config.confirm_within.unwrap_or(WINDOW);
        match self.confirm_within {
            Some(window) => Some(Confirm { window, implicit: false }),
            None if self.no_confirm => None,
            None if self.wait_confirm || self.over_ssh || over_ssh(caller) => {
                Some(Confirm { window: implicit, implicit: true })
            }
            None => None,
        }
    }
}

/// Where the caller is.
pub(super) fn here(host: &Host) -> Caller {
    caller(host, std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()))
}

/// Whether the caller came over ssh, as far as it can be told.
pub(super) fn over_ssh(caller: &Caller) -> bool {
    // A multiplexer may have been reached over ssh; where that is said, it is heeded.
    let said = std::env::var_os("SSH_CONNECTION").is_some_and(|value| !value.is_empty());
    matches!(caller, Caller::Ssh { .. }) || (said && *caller == Caller::Unknown)
}

/// Prints the plan of a goal.
pub(super) fn show(
    host: &Host,
    goal: &Goal,
    changes: &[String],
    session: &Session<'_>,
) -> Result<ExitCode, CommandError> {
    let planned = plan(goal, &Facts::observe(host, goal)).map_err(GuardError::from)?;
    show_steps(&planned.steps, &planned.notes, changes, session)
}

/// Prints steps.
pub(super) fn show_steps(
    steps: &[Step],
    notes: &[String],
    changes: &[String],
    session: &Session<'_>,
) -> Result<ExitCode, CommandError> {
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    if session.globals.json {
        let value =
            serde_json::json!({"version": 1, "dry_run": true, "steps": steps, "notes": notes, "changes": changes});
        session.json(&value)?;
        return Ok(ExitCode::Success);
    }
    changes.iter().for_each(|line| session.sink.note(line));
    for (number, step) in steps.iter().enumerate() {
        session.result(format!("{}. {step}", number + 1))?;
    }
    notes.iter().for_each(|note| session.sink.note(note));
    Ok(ExitCode::Success)
}

/// The plan of a switch, then what the script itself says.
fn dry_activate(host: &Host, goal: &Goal, changes: &[String], session: &Session<'_>) -> Result<ExitCode, CommandError> {
    firn_activate::guard::after_realise(host, &goal.system, goal.specialisation.as_deref())?;
    show(host, &Goal { action: Action::Switch, ..goal.clone() }, changes, session)?;
    let machine = Machine::new(host, None);
    let (code, lines) = firn_activate::script::dry_activate(host, &machine, goal)?;
    lines.iter().for_each(|line| session.sink.event(crate::Event::Log { derivation: "switch", line }));
    if code == 0 {
        return Ok(ExitCode::Success);
    }
    Err(CommandError::new(
        ExitCode::Refused,
        format!("its switch-to-configuration dry-activate ended with exit code {code}"),
    ))
}

/// The same command as root, for what was built.
fn elevate_and_run(how: Elevate, run: &Run, goal: &Goal, ssh: bool) -> Result<ExitCode, CommandError> {
    // The first argument that is the file is the file: flags with values that equal it would be strange.
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(file) = arguments.iter_mut().find(|argument| *argument == run.file.as_os_str()) {
        *file = goal.system.clone().into();
    }
    let mut more: Vec<OsString> = goal.file.iter().flat_map(|file| ["--origin".into(), OsString::from(file)]).collect();
    if ssh {
        more.push("--over-ssh".into());
    }
    run_as_root(how, arguments, more)
}

/// A name that stays in its folder.
pub(super) fn profile_name(text: &str) -> Result<String, String> {
    match firn_core::check_name(text.as_bytes()) {
        Ok(()) if !text.starts_with('.') => Ok(text.to_owned()),
        _ => Err("a profile has a name of letters, digits and +-._?=".into()),
    }
}
