//! What can be seen of a host: what runs, what the profile says, what boots, what is rooted, what firn says of it.

use std::fmt;

use anyhow::{Context, Result, ensure};

use crate::bed::Shell;

/// Labels of systems instead of store paths, `-` for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// The running system.
    pub(super) runs: String,
    /// The profile's generations, oldest first.
    pub(super) generations: String,
    /// The one that the profile is at.
    pub(super) profile: String,
    /// The default of the boot loader, read from its files.
    pub(super) boots: String,
    /// What boots once.
    pub(super) once: String,
    /// The version of the application that was started last.
    pub(super) app: String,
    /// Units that failed.
    pub(super) failed: String,
    /// Which of what runs, is the profile's and boots has no root of its own.
    pub(super) unrooted: String,
    /// The state of the last activation, as `firn status --json` has it; what it says of the host and is not so.
    pub(super) status: String,
}

impl Observed {
    /// A host in order, with these generations, at the last of them.
    pub(super) fn settled(generations: &[&str], status: &str) -> Self {
        let last = generations.last().copied().unwrap_or("-");
        let numbered: Vec<String> = generations.iter().zip(1..).map(|(label, n)| format!("{n}={label}")).collect();
        let nothing = || "-".to_owned();
        Self {
            runs: last.to_owned(),
            profile: numbered.last().cloned().unwrap_or_else(nothing),
            generations: numbered.join(" "),
            boots: last.to_owned(),
            once: nothing(),
            app: if last == "B" || last == "O2" { last.to_owned() } else { "A".to_owned() },
            failed: nothing(),
            unrooted: nothing(),
            status: status.to_owned(),
        }
    }

    /// The same but for what `change` says.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Looks at a host.
    pub(super) fn of(host: &dyn Shell) -> Result<Self> {
        let text = host.root(LOOK)?.ok()?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.map(|value| if value.is_empty() { "-" } else { value }.to_owned())
                .with_context(|| format!("no {key}: {text}"))
        };
        Ok(Self {
            runs: value("runs")?,
            generations: value("generations")?,
            profile: value("profile")?,
            boots: value("boots")?,
            once: value("once")?,
            app: value("app")?,
            failed: value("failed")?,
            unrooted: value("unrooted")?,
            status: told(&value("status")?, &value("running-path")?, &value("boots-path")?)?,
        })
    }

    /// Looks at a host, which has to be so.
    pub(super) fn expect(&self, host: &dyn Shell, when: &str) -> Result<()> {
        let seen = Self::of(host)?;
        ensure!(seen == *self, "{when}:\n      {seen}\n      instead of\n      {self}");
        Ok(())
    }

    /// Whether what runs, the profile and the boot loader agree.
    pub(super) fn agrees(&self) -> bool {
        let profile = self.profile.split_once('=').map(|(_, label)| label);
        profile == Some(self.runs.as_str()) && self.boots == self.runs && self.once == "-"
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, generations, profile, boots, once, app, failed, unrooted, status } = self;
        write!(f, "runs {runs}, profile {profile} of {generations}, boots {boots}, once {once}, app {app}, ")?;
        write!(f, "failed {failed}, unrooted {unrooted}, firn: {status}")
    }
}

/// The state in what `firn status --json` prints, and whether it is right about what runs and boots.
fn told(status: &str, running: &str, boots: &str) -> Result<String> {
    let json: serde_json::Value =
        serde_json::from_str(status).with_context(|| format!("firn status --json: {status}"))?;
    let mut told = json["state"].as_str().unwrap_or("-").to_owned();
    if json["interrupted"].as_bool() == Some(true) {
        told.push_str(", interrupted");
    }
    for (key, seen) in [("running", running), ("boot_default", boots)] {
        let said = json[key].as_str().unwrap_or("-");
        if said != seen {
            told.push_str(&format!(", {key} {said} though it is {seen}"));
        }
    }
    Ok(told)
}

/// One line for each fact, its name first.
const LOOK: &str = r#"
profiles=/nix/var/nix/profiles loader=/boot/loader
label() { [ -z "$1" ] || cat "$1/nixos-version" 2>/dev/null || printf %s "$1"; }
system() { sed -n 's|^options .*init=\([^ ]*\)/init.*|\1|p' "$loader/entries/$1" 2>/dev/null; }
number() { n=${1#system-}; printf '%s=' "${n%-link}"; label "$(readlink -f $profiles/$1)"; }
running=$(readlink -e /run/current-system)
default=$(sed -n 's/^default //p' $loader/loader.conf 2>/dev/null)
boots=; [ -z "$default" ] || boots=$(system "$default")
once=; [ ! -e $loader/oneshot ] || once=$(system "$(cat $loader/oneshot)")
current=$(readlink $profiles/system)
echo "runs $(label "$running")"
echo "running-path $running"
echo "generations $(ls -v $profiles | grep '^system-[0-9]*-link$' | while read -r l; do number "$l"; printf ' '; done | sed 's/ $//')"
echo "profile $([ -z "$current" ] || number "$current")"
echo "boots $(label "$boots")"
echo "boots-path $boots"
echo "once $(label "$once")"
echo "app $(cat /run/app.version 2>/dev/null)"
echo "failed $(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1 | sort | tr '\n' ' ' | sed 's/ $//')"
roots=$(nix-store --gc --print-roots 2>/dev/null | grep -v '^[/{]proc\|^{' | sed 's/.* -> //')
echo "unrooted $(for s in $running "$(readlink -f $profiles/system)" $boots; do
  [ ! -e "$s" ] || printf '%s\n' "$roots" | grep -qxF "$s" || label "$s"; done | tr '\n' ' ' | sed 's/ $//')"
echo "status $(firn status --json | tr '\n' ' ')"
"#;
