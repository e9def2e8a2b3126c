//! The same command as root: `--elevate`.

use super::activate::Flags;
use crate::{CommandError, ExitCode};
use clap::ValueEnum;
use std::{
    ffi::OsString,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    process::{Command, ExitStatus},
};

/// A way to become root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Elevate {
    /// None.
    #[default]
    None,
    /// sudo, with `NIX_SUDOOPTS`.
    Sudo,
    /// run0 of systemd.
    Run0,
}

/// Variables that the system's script heeds, and that sudo and run0 take away.
const VARIABLES: [&str; 3] = ["NIXOS_INSTALL_BOOTLOADER", "NIXOS_NO_CHECK", "LOCALE_ARCHIVE"];

/// Runs this program with `arguments` and those that say what would get lost.
pub(super) fn run_as_root(
    how: Elevate,
    arguments: Vec<OsString>,
    mut more: Vec<OsString>,
) -> Result<ExitCode, CommandError> {
    let (program, options) = match how {
        Elevate::Run0 => ("run0", String::new()),
        _ => ("sudo", std::env::var("NIX_SUDOOPTS").unwrap_or_default()),
    };
    let began = Began::listen().ok();
    if let Some(began) = &began {
        more.extend(["--began".into(), began.name.clone().into()]);
    }
    more.extend(variables(|name| std::env::var(name).ok()));
    let mut command = Command::new(program);
    command.args(options.split_whitespace()).arg(std::env::current_exe()?).args(with(arguments, more));
    let status = command.status().map_err(|error| {
        CommandError::new(ExitCode::Refused, error).about(program).hint("nothing was changed; run firn as root")
    })?;
    ended(program, status, began.is_none_or(|began| began.happened()))
}

/// Arguments with more flags, which go before what follows `--`.
fn with(mut arguments: Vec<OsString>, more: Vec<OsString>) -> Vec<OsString> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.splice(end..end, more);
    arguments
}

fn variables(value: impl Fn(&str) -> Option<String>) -> Vec<OsString> {
    let set = |name: &'static str| Some((name, value(name).filter(|value| !value.is_empty())?));
    let said = |(name, value): (&'static str, String)| ["--variable".into(), format!("{name}={value}").into()];
    VARIABLES.into_iter().filter_map(set).flat_map(said).collect()
}

/// What the command as root ended with, if it came to it.
fn ended(program: &str, status: ExitStatus, began: bool) -> Result<ExitCode, CommandError> {
    if !began {
        return Err(CommandError::new(ExitCode::Refused, format!("{program} did not make firn root ({status})"))
            .hint("nothing was changed")
            .hint(format!("see what {program} says above, or run firn as root")));
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(ExitCode::Failure.number());
    Ok(ExitCode::ALL.into_iter().find(|known| known.number() == code).unwrap_or(ExitCode::Failure))
}

impl Flags {
    /// A variable of the environment, as whoever became root had it.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let said = self.variables.iter().find_map(|said| said.strip_prefix(name)?.strip_prefix('='));
        said.map(str::to_owned).or_else(|| std::env::var(name).ok()).filter(|value| !value.is_empty())
    }

    /// Tells who became root that it is done. Nobody may listen any more.
    pub(super) fn tell_began(&self) {
        let address = self.began.as_ref().and_then(|name| SocketAddr::from_abstract_name(name).ok());
        let _ = address.map(|address| UnixStream::connect_addr(&address));
    }
}

/// Hears whether the command as root began: sudo and run0 have no exit codes of their own, and let no descriptor through.
struct Began {
    name: String,
    listener: UnixListener,
}

impl Began {
    fn listen() -> std::io::Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!("firn-began-{}-{}", std::process::id(), now.as_nanos());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { name, listener })
    }

    fn happened(&self) -> bool {
        self.listener.accept().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_program_that_does_not_come_to_firn_changed_nothing() {
        let began = Began::listen().unwrap();
        let refused = ended("sudo", ExitStatus::from_raw(1 << 8), began.happened()).unwrap_err();
        assert_eq!(refused.code(), ExitCode::Refused);
        assert_eq!(refused.to_string(), "sudo did not make firn root (exit status: 1)");
        assert_eq!(refused.hints()[0], "nothing was changed");
        Flags { began: Some(began.name.clone()), ..Flags::default() }.tell_began();
        assert_eq!(ended("sudo", ExitStatus::from_raw(1 << 8), began.happened()).unwrap(), ExitCode::Failure);
    }

    #[test]
    fn what_the_script_heeds_is_handed_on() {
        let set = |name: &str| match name {
            "NIXOS_NO_CHECK" => Some("1".to_owned()),
            "LOCALE_ARCHIVE" => Some(String::new()),
            _ => None,
        };
        assert_eq!(variables(set), ["--variable", "NIXOS_NO_CHECK=1"]);
        let flags = Flags { variables: vec!["NIXOS_NO_CHECK=1".into()], ..Flags::default() };
        assert_eq!(flags.variable("NIXOS_NO_CHECK").as_deref(), Some("1"));
        let arguments = ["switch", "--", "--x"].map(OsString::from).to_vec();
        assert_eq!(with(arguments, vec!["--began".into()]), ["switch", "--began", "--", "--x"]);
    }
}
