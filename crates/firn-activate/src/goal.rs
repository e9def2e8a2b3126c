//! What is wanted.

use crate::profile::Generation;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// A verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Run it now, and boot it from now on.
    Switch,
    /// Boot it from now on, and leave what runs alone.
    Boot,
    /// Boot it the next time, and that time only.
    BootOnce,
    /// Run it now, and leave what boots alone.
    Test,
    /// Say what a switch would do.
    DryActivate,
}

impl Action {
    /// Whether nothing runs of it before a restart.
    pub fn only_boots(self) -> bool {
        matches!(self, Self::Boot | Self::BootOnce)
    }

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Boot => "boot",
            Self::BootOnce => "boot --once",
            Self::Test => "test",
            Self::DryActivate => "dry-activate",
        }
    }
}

/// Everything that decides what an activation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// The verb.
    pub action: Action,
    /// Store path of the system, without its specialisation.
    pub system: PathBuf,
    /// The specialisation of it that is to run.
    pub specialisation: Option<String>,
    /// The generation of the profile that it already is: the profile goes to this one, whatever is newest.
    pub generation: Option<Generation>,
    /// Name of the profile; `system` is the one that every NixOS has.
    pub profile: String,
    /// The file it came from, as a person named it.
    pub file: Option<String>,
    /// Whether somebody has to confirm.
    pub confirm: Option<Confirm>,
    /// How to go about it.
    pub options: Options,
}

impl Goal {
    /// The path whose script brings it up: that of the specialisation where there is one. What only boots is the system
    /// itself, which is what boot loaders start by default.
    pub fn top(&self) -> PathBuf {
        match &self.specialisation {
            Some(name) if !self.action.only_boots() => self.system.join("specialisation").join(name),
            _ => self.system.clone(),
        }
    }

    /// Path of the profile's link.
    pub fn profile_link(&self) -> PathBuf {
        profile_link(&self.profile)
    }
}

/// Path of the link of a profile, as nixos-rebuild has it.
pub fn profile_link(name: &str) -> PathBuf {
    let profiles = Path::new("/nix/var/nix/profiles");
    if name == "system" { profiles.join("system") } else { profiles.join("system-profiles").join(name) }
}

/// That somebody has to confirm, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// Time from the moment it is found healthy.
    pub window: Duration,
    /// Nobody asked for it: the caller came over ssh.
    pub implicit: bool,
}

/// How to go about an activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// For so long no unit may fail.
    pub settle: Duration,
    /// Longest time that one run of the script may take.
    pub activation_timeout: Duration,
    /// Longest time that one check may take.
    pub check_timeout: Duration,
    /// Units that may fail; `*` and `?` stand for characters.
    pub allow_failed: Vec<String>,
    /// Shell commands that must succeed.
    pub checks: Vec<String>,
    /// Install the boot loader itself, not only its entries.
    pub install_bootloader: bool,
    /// Value of `NIXOS_NO_CHECK` for the script.
    pub no_check: Option<String>,
    /// Value of `LOCALE_ARCHIVE` for the script.
    pub locale_archive: Option<String>,
}

impl Options {
    /// Longest time of a script on the way back: the impatience that a new system gets would be no reason to end up
    /// with neither.
    pub(crate) fn back_timeout(&self) -> Duration {
        self.activation_timeout.max(Self::default().activation_timeout)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(5),
            activation_timeout: Duration::from_secs(600),
            check_timeout: Duration::from_secs(60),
            allow_failed: Vec::new(),
            checks: Vec::new(),
            install_bootloader: false,
            no_check: None,
            locale_archive: None,
        }
    }
}
