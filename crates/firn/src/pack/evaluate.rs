//! Evaluation, by the Nix that is installed: `nix` for flakes, `nix-instantiate` for expressions.
//!
//! `nix path-info --derivation` instantiates, uses Nix's cache of evaluations, and prints one `.drv` on all releases.

use super::{listen::Listener, what::FlakeRef};
use crate::{
    CommandError, ExitCode,
    command::pack::NixFlags,
    error::About,
    event::{Meter, Sink, Work},
};
use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];
const TOPLEVEL: &str = "config.system.build.toplevel";
/// First names of attribute paths that are no hosts.
const OUTPUTS: [&str; 12] = [
    "nixosConfigurations",
    "packages",
    "legacyPackages",
    "checks",
    "devShells",
    "devShell",
    "defaultPackage",
    "hydraJobs",
    "apps",
    "formatter",
    "darwinConfigurations",
    "homeConfigurations",
];

/// Runs Nix for one pack.
pub(super) struct Evaluator<'a> {
    /// What the person gave for Nix.
    pub(super) flags: &'a NixFlags,
    /// `NIX_REMOTE`, where it is not that of the environment.
    pub(super) remote: Option<String>,
    /// Takes warnings.
    pub(super) sink: &'a dyn Sink,
    /// Hears what Nix says.
    pub(super) listener: Listener,
}

impl Evaluator<'_> {
    /// The derivation of a flake's host, or of an attribute.
    pub(super) fn flake(&self, wanted: &FlakeRef) -> Result<String, CommandError> {
        let FlakeRef { flake, fragment } = wanted;
        let attribute = match fragment.as_deref() {
            Some(fragment) => match attribute(fragment) {
                Attribute::Host(host) => toplevel(host),
                Attribute::Path(path) => path,
                Attribute::Unclear if self.hosts(flake).is_ok_and(|hosts| hosts.iter().any(|h| h == fragment)) => {
                    toplevel(fragment)
                }
                Attribute::Unclear => fragment.to_owned(),
            },
            None => toplevel(&self.only_host(flake)?),
        };
        let installable = format!("{flake}#{attribute}");
        let mut arguments = vec!["path-info", "--derivation", installable.as_str()];
        let flags = self.flags.arguments(true);
        arguments.extend(flags.iter().map(String::as_str));
        let answer = self.run("nix", &arguments).map_err(|error| match attribute.split('"').nth(1) {
            Some(host) if error.to_string().contains("does not provide attribute") => self.no_host(flake, host, error),
            _ => error,
        });
        one(&answer.about(wanted)?)
    }

    fn only_host(&self, flake: &str) -> Result<String, CommandError> {
        let hosts = self.hosts(flake).about(flake)?;
        match hosts.as_slice() {
            [host] => Ok(host.clone()),
            [] => Err(CommandError::new(ExitCode::Evaluation, "it has no nixosConfigurations").about(flake)),
            several => Err(CommandError::new(ExitCode::Evaluation, "it has several hosts, say which")
                .about(flake)
                .hint(format!("one of {flake}#{}", several.join(&format!(", {flake}#"))))),
        }
    }

    fn no_host(&self, flake: &str, host: &str, error: CommandError) -> CommandError {
        match self.hosts(flake) {
            Ok(hosts) if !hosts.is_empty() && !hosts.iter().any(|other| other == host) => {
                error.hint(format!("its hosts are {}; another attribute needs its whole path", hosts.join(", ")))
            }
            _ => error,
        }
    }

    /// Names of a flake's NixOS configurations.
    fn hosts(&self, flake: &str) -> Result<Vec<String>, CommandError> {
        let installable = format!("{flake}#nixosConfigurations");
        let mut arguments = vec!["eval", "--json", installable.as_str(), "--apply", "builtins.attrNames"];
        let flags = self.flags.arguments(true);
        arguments.extend(flags.iter().map(String::as_str));
        let names = self.run("nix", &arguments)?;
        serde_json::from_str(&names).map_err(|error| CommandError::new(ExitCode::Evaluation, error))
    }

    /// What `nix flake metadata` says.
    pub(super) fn metadata(&self, flake: &str) -> Result<serde_json::Value, CommandError> {
        let mut arguments = vec!["flake", "metadata", "--json", flake];
        let flags = self.flags.arguments(true);
        arguments.extend(flags.iter().map(String::as_str));
        let text = self.run("nix", &arguments).about(flake)?;
        serde_json::from_str(&text).map_err(|error| CommandError::new(ExitCode::Evaluation, error))
    }

    /// The derivations of a file's attributes: of the system where an attribute is a NixOS configuration.
    pub(super) fn expression(&self, file: &str, attributes: &[String]) -> Result<Vec<String>, CommandError> {
        let whole = [String::new()];
        let attributes = if attributes.is_empty() { &whole } else { attributes };
        let mut found = Vec::new();
        for attribute in attributes {
            let dot = if attribute.is_empty() { "" } else { "." };
            let about = if attribute.is_empty() { file.to_owned() } else { format!("{file} {attribute}") };
            let system = self.instantiate(file, &format!("{attribute}{dot}{TOPLEVEL}"));
            let drvs = match system {
                Err(error) if is_no_configuration(&error.to_string()) => self.instantiate(file, attribute),
                other => other,
            };
            let drvs = drvs.about(about)?;
            found.extend(drvs.lines().map(|line| line.split('!').next().unwrap_or(line).trim().to_owned()));
        }
        Ok(found)
    }

    fn instantiate(&self, file: &str, attribute: &str) -> Result<String, CommandError> {
        let mut arguments = vec![file];
        if !attribute.is_empty() {
            arguments.extend(["-A", attribute]);
        }
        let flags = self.flags.arguments(false);
        arguments.extend(flags.iter().map(String::as_str));
        self.run("nix-instantiate", &arguments)
    }

    /// Runs a program of Nix and gives what it prints.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, CommandError> {
        let meter = Meter::begin(self.sink, Work::Evaluate, None, None);
        self.sink.detail(&format!("{program} {}", arguments.join(" ")));
        let mut command = Command::new(program);
        command.args(FEATURES).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(remote) = &self.remote {
            command.env("NIX_REMOTE", remote);
        }
        let broken = |error: std::io::Error| CommandError::new(ExitCode::Evaluation, error).about(program);
        let mut child = command.spawn().map_err(|error| {
            broken(error).hint("evaluation needs Nix in PATH; a .drv in a store can be packed without it")
        })?;
        let mut answer = String::new();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let said = std::thread::scope(|scope| {
            let listener =
                scope.spawn(|| stderr.map(|stderr| self.listener.listen(stderr, self.sink)).unwrap_or_default());
            let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut answer));
            let said = listener.join().unwrap_or_default();
            read.map(|_| said)
        });
        let status = child.wait().map_err(broken)?;
        drop(meter);
        let said = said.map_err(broken)?;
        if status.success() {
            return Ok(answer.trim().to_owned());
        }
        let text = failure(&said);
        let text = if text.is_empty() { format!("{program} ended with {status}") } else { text.to_owned() };
        Err(CommandError::new(ExitCode::Evaluation, text))
    }
}

/// Whether Nix says that what is evaluated has no `config`, as a derivation or a list of them.
fn is_no_configuration(error: &str) -> bool {
    ["in selection path", "should be a set but is"].iter().any(|words| error.contains(words))
}

/// The error in what a program said: from its first line that says so to the end.
fn failure(said: &str) -> &str {
    let start = said.match_indices("error:").find(|(at, _)| *at == 0 || said[..*at].ends_with('\n'));
    start.map_or(said, |(at, word)| &said[at + word.len()..]).trim()
}

/// What a fragment means.
#[derive(Debug, PartialEq)]
enum Attribute<'a> {
    Host(&'a str),
    Path(String),
    /// A host with dots in its name, or a path.
    Unclear,
}

fn attribute(fragment: &str) -> Attribute<'_> {
    let quoted = fragment.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(host) = quoted.filter(|host| !host.contains('"')) {
        return Attribute::Host(host);
    }
    let Some((first, rest)) = fragment.split_once('.') else { return Attribute::Host(fragment) };
    if first == "nixosConfigurations" {
        let host = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
        // A host and nothing after it.
        if !host.contains('"') && (host.len() < rest.len() || !host.contains('.')) {
            return Attribute::Path(toplevel(host));
        }
    }
    if first.is_empty() || OUTPUTS.contains(&first) { Attribute::Path(fragment.to_owned()) } else { Attribute::Unclear }
}

fn toplevel(host: &str) -> String {
    format!("nixosConfigurations.\"{host}\".{TOPLEVEL}")
}

fn one(answer: &str) -> Result<String, CommandError> {
    match answer.lines().collect::<Vec<_>>().as_slice() {
        [path] if Path::new(path).is_absolute() => Ok((*path).to_owned()),
        _ => Err(CommandError::new(ExitCode::Evaluation, format!("nix gave no derivation but {answer:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_as_nixos_rebuild_does() {
        assert_eq!(attribute("web"), Attribute::Host("web"));
        assert_eq!(attribute("\"web.example\""), Attribute::Host("web.example"));
        assert_eq!(attribute("web.example"), Attribute::Unclear);
        let path = |text: &str| Attribute::Path(text.to_owned());
        assert_eq!(attribute("nixosConfigurations.web"), path(&toplevel("web")));
        assert_eq!(attribute("nixosConfigurations.\"a.b\""), path(&toplevel("a.b")));
        let whole = "nixosConfigurations.web.config.system.build.vm";
        assert_eq!(attribute(whole), path(whole));
        assert_eq!(attribute("packages.x86_64-linux.hello"), path("packages.x86_64-linux.hello"));
    }

    #[test]
    fn a_list_of_derivations_is_no_configuration() {
        for error in [
            "attribute 'config' in selection path 'config.system.build.toplevel' not found",
            "the expression selected by the selection path 'two' should be a set but is a list",
        ] {
            assert!(is_no_configuration(error), "{error}");
        }
        assert!(!is_no_configuration("undefined variable 'x'"));
    }

    #[test]
    fn the_error_is_told_from_what_was_said_before_it() {
        let said = "copying error: no\nerror: first\n\n       … while evaluating\n";
        assert_eq!(failure(said), "first\n\n       … while evaluating");
        assert_eq!(failure("killed\n"), "killed");
    }
}
