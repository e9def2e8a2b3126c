//! What is looked at before anything is written. Every refusal says why, and what to do.

use crate::{
    clock::Moment,
    error::ActivateError,
    facts::os_release,
    hold::Lock,
    host::{Host, make_folder},
    journal::{BOOTED_ONCE, Journal},
    plan::Refusal,
    profile::Profile,
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Why nothing is begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Only root may.
    #[error("activation needs root")]
    NotRoot,
    /// A file for another host.
    #[error("it is for host {wanted}, and this is {found}")]
    Host {
        /// The file's.
        wanted: String,
        /// This one's.
        found: String,
    },
    /// A file for another machine, by its id.
    #[error("it is for the machine with id {wanted}, and this one has {}", found.as_deref().unwrap_or("none"))]
    Machine {
        /// The file's.
        wanted: String,
        /// This one's.
        found: Option<String>,
    },
    /// A file for another kind of machine.
    #[error("it is for {wanted}, and this is {found}")]
    System {
        /// The file's.
        wanted: String,
        /// This one's.
        found: String,
    },
    /// An installer: what runs from a USB stick is not what is to be switched.
    #[error("this is an installer, which runs from memory: a switch here would be gone after a restart")]
    Installer,
    /// Somebody else is at it.
    #[error("another switch runs ({0})")]
    Busy(String),
    /// An earlier activation waits for a person.
    #[error("activation {id} of {} is not finished: {state}", system.display())]
    Pending {
        /// Its name.
        id: String,
        /// Its state.
        state: &'static str,
        /// Its system.
        system: PathBuf,
    },
    /// Not a system.
    #[error("{} is no NixOS system: it has no {missing}", system.display())]
    NoSystem {
        /// The path.
        system: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// No such specialisation.
    #[error("{} has no specialisation {name:?}", system.display())]
    NoSpecialisation {
        /// The system.
        system: PathBuf,
        /// The name.
        name: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// A full boot partition.
    #[error("{needed} bytes are needed in {}, {free} are free", folder.display())]
    BootSpace {
        /// The boot partition.
        folder: PathBuf,
        /// For kernel and initrd.
        needed: u64,
        /// What is free.
        free: u64,
        /// Generations that could go, oldest first.
        generations: Vec<u64>,
    },
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] Refusal),
    /// State that cannot be written.
    #[error(transparent)]
    State(#[from] ActivateError),
}

impl GuardError {
    /// What to do.
    pub fn hints(&self) -> Vec<String> {
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Self::NotRoot => hint(
                "run it as root; switch, boot, test and rollback become root by --elevate sudo or --elevate run0 as well",
            ),
            Self::Host { .. } | Self::Machine { .. } => {
                hint("take the file for this host, or say --force-host if it is meant")
            }
            Self::System { .. } => hint("take the file for this machine, or say --force-system if it is meant"),
            Self::Installer => hint(
                "an installation goes by firn import --root /mnt and nixos-install --system; --force-host switches the installer itself",
            ),
            Self::Busy(_) => hint("wait for it, and see firn status"),
            Self::Pending { state: "awaiting confirmation", .. } => {
                hint("firn confirm makes it permanent, firn rollback takes it back now")
            }
            Self::Pending { state: BOOTED_ONCE, .. } => hint(
                "firn confirm makes it what boots, firn rollback takes it back; a restart leads to the previous system",
            ),
            Self::Pending { state: "awaiting a restart", .. } => {
                hint("restart the host, then firn confirm; or firn rollback to take it back")
            }
            Self::Pending { .. } => hint("see firn status; firn recover finishes or undoes it"),
            Self::NoSystem { .. } => hint("give a file of a NixOS configuration: config.system.build.toplevel"),
            Self::NoSpecialisation { known, .. } if known.is_empty() => hint("it has none; say --no-specialisation"),
            Self::NoSpecialisation { known, .. } => {
                vec![format!("it has {}; or say --no-specialisation", known.join(", "))]
            }
            Self::BootSpace { generations, .. } if generations.is_empty() => hint("make room there"),
            Self::BootSpace { generations, .. } => {
                let numbers: Vec<String> = generations.iter().map(u64::to_string).collect();
                vec![format!(
                    "delete old generations, then run the boot loader's installer: nix-env -p /nix/var/nix/profiles/system \
                     --delete-generations {} && /run/current-system/bin/switch-to-configuration boot",
                    numbers.join(" ")
                )]
            }
            Self::Plan(Refusal::Inhibited(_)) => hint(
                "firn boot makes it the next boot, firn boot --once tries it once; NIXOS_NO_CHECK=1 switches all the same",
            ),
            Self::Plan(Refusal::NoOneShot) => hint("firn boot makes it the default of the next boot"),
            Self::Plan(_) => Vec::new(),
            Self::State(ActivateError::Locked(_)) => hint("wait for it, and see firn status"),
            Self::State(_) => hint("nothing was changed"),
        }
    }
}

/// Whom a system is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addressee {
    /// Name of the host, as far as it can be told.
    pub host: Option<String>,
    /// Name of the system: `nixos-system-HOST-LABEL`. Both may hold dashes, so only a host can tell whether it is its own.
    pub name: Option<String>,
    /// Id of the machine, which goes before its name: machine-id(5).
    pub machine_id: Option<String>,
    /// Nix system, `x86_64-linux`.
    pub system: Option<String>,
}

/// What of this machine is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThisHost {
    /// Its name.
    pub name: String,
    /// Its id.
    pub machine_id: Option<String>,
    /// Its kind.
    pub system: String,
    /// Whether it is an installer.
    pub installer: bool,
}

impl ThisHost {
    /// Looks.
    pub fn observe(host: &Host) -> Self {
        let names = rustix::system::uname();
        Self {
            name: names.nodename().to_string_lossy().into_owned(),
            machine_id: host.text("/etc/machine-id").filter(|id| !id.is_empty()),
            system: format!("{}-linux", names.machine().to_string_lossy()),
            installer: os_release(host, "VARIANT_ID").is_some_and(|variant| variant == "installer")
                || host.path("/etc/NIXOS_INSTALLER").exists()
                || host.path("/iso/nix-store.squashfs").exists(),
        }
    }

    /// Whether a system is meant for it. `i686-linux` runs on `x86_64-linux`, and arm of the 32-bit kind on aarch64.
    pub fn check(&self, to: &Addressee, force_host: bool, force_system: bool) -> Result<(), GuardError> {
        if self.installer && !force_host {
            return Err(GuardError::Installer);
        }
        if force_host {
            // Whoever says so knows better.
        } else if let Some(wanted) = &to.machine_id {
            if self.machine_id.as_ref() != Some(wanted) {
                return Err(GuardError::Machine { wanted: wanted.clone(), found: self.machine_id.clone() });
            }
        } else if let Some(wanted) = &to.host {
            // A domain on either side does not make another host.
            let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
            let named = |own: &str| {
                let rest = to.name.as_deref().and_then(|name| name.strip_prefix("nixos-system-")?.strip_prefix(own));
                rest.is_some_and(|rest| rest.starts_with('-'))
            };
            let own = named(&self.name) || named(&short(&self.name));
            if !own && short(wanted) != short(&self.name) {
                return Err(GuardError::Host { wanted: wanted.clone(), found: self.name.clone() });
            }
        }
        if let (Some(wanted), false) = (&to.system, force_system) {
            let also = match self.system.as_str() {
                "x86_64-linux" => &["i686-linux"][..],
                "aarch64-linux" => &["armv7l-linux", "armv6l-linux"],
                _ => &[],
            };
            if *wanted != self.system && !also.contains(&wanted.as_str()) {
                return Err(GuardError::System { wanted: wanted.clone(), found: self.system.clone() });
            }
        }
        Ok(())
    }
}

/// Before a store is touched: the state can be written, and nobody else is at it.
pub fn before_import(host: &Host, now: &Moment) -> Result<(), GuardError> {
    if !rustix::process::geteuid().is_root() {
        return Err(GuardError::NotRoot);
    }
    let probe = host.state().join(".probe");
    make_folder(&host.state())?;
    crate::host::write_synced(&probe, b"", 0o600)?;
    crate::host::remove(&probe)?;
    if Lock::Nixos.is_taken(host)? {
        return Err(GuardError::Busy("/run/nixos/switch-to-configuration.lock is locked".into()));
    }
    pending(host, now)
}

/// Refuses while an activation is in hand or waits for a person.
pub fn pending(host: &Host, now: &Moment) -> Result<(), GuardError> {
    match Journal::latest(host)? {
        Some(journal) if !journal.state.is_final() => {
            let state = journal.word(host.resolve("/run/current-system").as_deref(), now);
            Err(GuardError::Pending { id: journal.id, state, system: journal.goal.system })
        }
        _ => Ok(()),
    }
}

/// Once the system is built: it is one, and there is room for its kernel and initrd.
pub fn after_realise(host: &Host, system: &Path, specialisation: Option<&str>) -> Result<(), GuardError> {
    // A link that leads outside of what is looked at may lead to anything.
    let runs = |file: &Path| {
        fs::metadata(host.path(file)).map_or(true, |m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let check = |top: &Path| match ["nixos-version", "bin/switch-to-configuration", "init"]
        .into_iter()
        .find(|file| fs::symlink_metadata(host.path(top.join(file))).is_err())
    {
        Some(missing) => Err(GuardError::NoSystem { system: top.to_owned(), missing }),
        None if !runs(&top.join("bin/switch-to-configuration")) => {
            Err(GuardError::NoSystem { system: top.to_owned(), missing: "bin/switch-to-configuration that can be run" })
        }
        None => Ok(()),
    };
    check(system)?;
    if let Some(name) = specialisation {
        let known = crate::facts::specialisations(host, system);
        if !known.iter().any(|other| other == name) {
            return Err(GuardError::NoSpecialisation { system: system.to_owned(), name: name.to_owned(), known });
        }
        check(&system.join("specialisation").join(name))?;
    }
    Ok(())
}

/// Whether the boot partition has room for kernel and initrd of a system, where it is one of its own.
pub fn boot_space(host: &Host, system: &Path, profile: &Profile) -> Result<(), GuardError> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let store = device(&host.path("/nix/store"));
    let own = ["/boot", "/efi"]
        .map(|folder| host.path(folder))
        .into_iter()
        .find(|folder| device(folder).is_some_and(|dev| Some(dev) != store && Some(dev) != device(&host.path("/"))));
    let Some(folder) = own else { return Ok(()) };
    let mut names = Vec::new();
    for below in ["EFI/nixos", "kernels", "nixos"] {
        let entries = fs::read_dir(folder.join(below)).into_iter().flatten().flatten();
        names.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
    }
    let needed = ["kernel", "initrd"].into_iter().filter_map(|file| host.resolve(system.join(file))).filter(|file| {
        // Boot loaders name their copies by the store path.
        let hash = file.components().nth(3).and_then(|part| part.as_os_str().to_str()).and_then(|name| name.get(..32));
        !names.iter().any(|name| hash.is_some_and(|hash| name.contains(hash)))
    });
    let needed: u64 = needed.filter_map(|file| fs::metadata(host.path(file)).ok()).map(|metadata| metadata.len()).sum();
    let Ok(stat) = rustix::fs::statvfs(&folder) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let keep = profile.current().map(|generation| generation.number);
    let old = profile.generations().into_iter().map(|generation| generation.number);
    Err(GuardError::BootSpace { folder, needed, free, generations: old.filter(|n| Some(*n) != keep).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        goal::Action,
        journal::{
            State,
            tests::{journal, moment},
        },
    };

    fn web() -> ThisHost {
        ThisHost { name: "web".into(), machine_id: None, system: "x86_64-linux".into(), installer: false }
    }

    fn to(host: &str, system: &str) -> Addressee {
        Addressee { host: Some(host.into()), system: Some(system.into()), ..Addressee::default() }
    }

    #[test]
    fn the_id_of_the_machine_goes_before_its_name() {
        let this = ThisHost { machine_id: Some("a1".into()), ..web() };
        let with = |host: &str, id: &str| Addressee { machine_id: Some(id.into()), ..to(host, "x86_64-linux") };
        assert!(this.check(&with("db", "a1"), false, false).is_ok());
        for (this, found) in [(&this, "a1"), (&web(), "none")] {
            let said = this.check(&with("web", "b2"), false, false).unwrap_err().to_string();
            assert_eq!(said, format!("it is for the machine with id b2, and this one has {found}"));
            assert!(this.check(&with("web", "b2"), true, false).is_ok());
        }
    }

    #[test]
    fn one_that_was_booted_once_is_to_be_confirmed_and_not_restarted() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let mut waiting = journal(Action::BootOnce);
        waiting.enter(State::AwaitingReboot, moment("one", 9));
        waiting.write(&host).unwrap();
        make_folder(&host.path("/nix/store/new")).unwrap();
        make_folder(&host.path("/run")).unwrap();
        std::os::unix::fs::symlink(host.path("/nix/store/new"), host.path("/run/current-system")).unwrap();
        let refused = |boot| pending(&host, &moment(boot, 20)).unwrap_err();
        assert!(refused("one").hints().concat().starts_with("restart the host"));
        let booted = refused("two");
        assert_eq!(
            booted.to_string(),
            format!("activation {} of /nix/store/new is not finished: {BOOTED_ONCE}", waiting.id)
        );
        assert!(booted.hints().concat().starts_with("firn confirm makes it what boots"));
    }

    #[test]
    fn a_script_that_cannot_be_run_makes_no_system() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let system = Path::new("/nix/store/system");
        make_folder(&host.path(system.join("bin"))).unwrap();
        for file in ["nixos-version", "init", "bin/switch-to-configuration"] {
            assert!(after_realise(&host, system, None).is_err(), "without {file}");
            fs::write(host.path(system.join(file)), "").unwrap();
        }
        let said = after_realise(&host, system, None).unwrap_err().to_string();
        assert!(said.ends_with("it has no bin/switch-to-configuration that can be run"), "{said}");
        let script = host.path(system.join("bin/switch-to-configuration"));
        fs::set_permissions(script, fs::Permissions::from_mode(0o555)).unwrap();
        assert!(after_realise(&host, system, None).is_ok());
    }

    #[test]
    fn a_file_for_another_host_or_machine_is_refused_unless_forced() {
        assert!(web().check(&to("web", "x86_64-linux"), false, false).is_ok());
        assert!(web().check(&to("web.example.org", "i686-linux"), false, false).is_ok());
        assert!(matches!(web().check(&to("db", "x86_64-linux"), false, false), Err(GuardError::Host { .. })));
        let label = |name: &str| Addressee { name: Some(name.into()), ..to("web-fix", "x86_64-linux") };
        assert!(web().check(&label("nixos-system-web-fix-boot"), false, false).is_ok());
        assert!(web().check(&label("nixos-system-webber-fix-boot"), false, false).is_err());
        assert!(web().check(&to("db", "x86_64-linux"), true, false).is_ok());
        assert!(matches!(web().check(&to("web", "aarch64-linux"), true, false), Err(GuardError::System { .. })));
        assert!(web().check(&to("web", "aarch64-linux"), false, true).is_ok());
        let installer = ThisHost { installer: true, ..web() };
        assert!(matches!(installer.check(&Addressee::default(), false, false), Err(GuardError::Installer)));
    }
}
