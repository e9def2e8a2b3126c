//! What a host is like now, with exact store paths.

use crate::{
    goal::{Action, Goal},
    host::Host,
    journal::Before,
    loader::{BootDefault, boot_default, knows_one_shot},
    profile::{Generation, Profile},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// It is NixOS: its script will agree to run.
    pub nixos: bool,
    /// systemd is PID 1.
    pub systemd: bool,
    /// What runs.
    pub running: Option<PathBuf>,
    /// The specialisation that runs, of the generation that the profile is at.
    pub specialisation: Option<String>,
    /// What was booted.
    pub booted: Option<PathBuf>,
    /// What the profile is at.
    pub generation: Option<Generation>,
    /// What boots next.
    pub boot_default: BootDefault,
    /// The boot loader can be told to boot a system once.
    pub one_shot: bool,
    /// What `--set` would make of the new system: its generation, and whether that is new.
    pub next: (Generation, bool),
    /// Parts that a restart has to prove.
    pub unproven: Vec<String>,
    /// Parts of the running system that forbid switching to the new one.
    pub inhibitors: Vec<String>,
}

impl Facts {
    /// Looks at a host.
    pub fn observe(host: &Host, goal: &Goal) -> Self {
        let profile = Profile::new(host, &goal.profile);
        let running = host.resolve("/run/current-system");
        let booted = host.resolve("/run/booted-system");
        let generation = profile.current();
        let top = goal.top();
        // The kernel and initrd that run are those of the boot; the mounts are those of the last switch.
        let built = host.path(&top).exists();
        let unproven = booted
            .as_deref()
            .or(running.as_deref())
            .filter(|_| built)
            .map_or_else(Vec::new, |old| unproven(host, old, &top));
        Self {
            nixos: host.path("/etc/NIXOS").exists() || os_release(host, "ID").is_some_and(|id| id == "nixos"),
            systemd: host.path("/run/systemd/system").is_dir(),
            specialisation: running_specialisation(host, running.as_deref(), generation.as_ref()),
            inhibitors: running.as_deref().map_or_else(Vec::new, |old| inhibitors(host, old, &top)),
            next: goal.generation.clone().map_or_else(|| profile.next(&goal.system), |known| (known, false)),
            boot_default: trusted_default(boot_default(host), &profile),
            one_shot: knows_one_shot(host),
            unproven,
            running,
            booted,
            generation,
        }
    }

    /// What a revert goes back to.
    pub fn before(&self) -> Before {
        Before {
            running: self.running.clone(),
            generation: self.generation.clone(),
            boot_default: self.boot_default.clone(),
        }
    }
}

/// Files of a loader that name no generation may be left from another loader: they are not built upon.
fn trusted_default(read: BootDefault, profile: &Profile) -> BootDefault {
    match read {
        BootDefault::System(path) if profile.generations().iter().any(|generation| generation.path == path) => {
            BootDefault::System(path)
        }
        _ => BootDefault::NotChecked,
    }
}

/// A value of os-release, without quotes.
pub fn os_release(host: &Host, key: &str) -> Option<String> {
    let text = host.text("/etc/os-release")?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// Parts that a live switch does not exercise and that differ between two systems.
fn unproven(host: &Host, old: &Path, new: &Path) -> Vec<String> {
    let parts =
        [("kernel", "kernel"), ("initrd", "initrd"), ("etc/fstab", "fstab"), ("kernel-params", "kernel parameters")];
    let same = |file: &str| {
        let (old, new) = (old.join(file), new.join(file));
        match (host.resolve(&old), host.resolve(&new)) {
            (Some(a), Some(b)) if a == b => true,
            (None, None) => true,
            (Some(a), Some(b)) => same_contents(&host.path(a), &host.path(b)),
            _ => false,
        }
    };
    parts.into_iter().filter(|(file, _)| !same(file)).map(|(_, name)| name.to_owned()).collect()
}

fn same_contents(a: &Path, b: &Path) -> bool {
    let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    size(a) == size(b) && matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

/// Keys of `switch-inhibitors` that both systems have with other values (nixpkgs#473282).
fn inhibitors(host: &Host, old: &Path, new: &Path) -> Vec<String> {
    let read = |system: &Path| -> Option<BTreeMap<String, String>> {
        serde_json::from_str(&host.text(system.join("switch-inhibitors"))?).ok()
    };
    let (Some(old), Some(new)) = (read(old), read(new)) else { return Vec::new() };
    old.into_iter()
        .filter(|(key, value)| new.get(key).is_some_and(|other| other != value))
        .map(|(key, _)| key)
        .collect()
}

pub(crate) fn running_specialisation(
    host: &Host,
    running: Option<&Path>,
    generation: Option<&Generation>,
) -> Option<String> {
    let (running, folder) = (running?, generation?.path.join("specialisation"));
    let entries = fs::read_dir(host.path(&folder)).ok()?;
    entries.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        (host.resolve(folder.join(&name)).as_deref() == Some(running)).then_some(name)
    })
}

/// Names of the specialisations of a system.
pub fn specialisations(host: &Host, system: &Path) -> Vec<String> {
    let entries = fs::read_dir(host.path(system.join("specialisation"))).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

impl Action {
    /// Whether it changes what runs.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Switch | Self::Test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::{make_folder, replace_link},
        journal::tests::journal,
    };

    fn system(host: &Host, name: &str, kernel: &str, inhibitor: &str) -> PathBuf {
        let path = Path::new("/nix/store").join(name);
        make_folder(&host.path(path.join("specialisation"))).unwrap();
        fs::write(host.path(path.join("kernel")), kernel).unwrap();
        let text = format!("{{\"systemd\": \"{inhibitor}\", \"{name}\": \"x\"}}");
        fs::write(host.path(path.join("switch-inhibitors")), text).unwrap();
        path
    }

    #[test]
    fn another_kernel_is_unproven_and_a_changed_inhibitor_forbids_a_switch() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let (old, new) = (system(&host, "old", "5.10", "250"), system(&host, "new", "6.1", "251"));
        make_folder(&host.path("/run")).unwrap();
        for link in ["/run/current-system", "/run/booted-system"] {
            replace_link(&host.path(link), &host.path(&old)).unwrap();
        }
        let mut goal = journal(Action::Switch).goal;
        let facts = Facts::observe(&host, &goal);
        assert_eq!(
            (facts.running, facts.unproven, facts.inhibitors),
            (Some(old), vec!["kernel".into()], vec!["systemd".into()])
        );
        goal.system = Path::new("/nix/store/not-built").into();
        let facts = Facts::observe(&host, &goal);
        assert_eq!((facts.unproven, facts.inhibitors), (Vec::<String>::new(), Vec::<String>::new()));
        assert!(new.ends_with("new"));
    }

    #[test]
    fn a_specialisation_that_runs_is_found_and_a_stale_loader_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let (old, debug) = (system(&host, "old", "5.10", "250"), system(&host, "debug", "5.10", "250"));
        replace_link(&host.path(old.join("specialisation/debug")), &host.path(&debug)).unwrap();
        make_folder(&host.path("/run")).unwrap();
        replace_link(&host.path("/run/current-system"), &host.path(&debug)).unwrap();
        let profile = Profile::new(&host, "system");
        profile.set(&Generation { number: 1, path: old.clone() }).unwrap();
        make_folder(&host.path("/boot/loader/entries")).unwrap();
        fs::write(host.path("/boot/loader/loader.conf"), "default a.conf\n").unwrap();
        let entry = host.path("/boot/loader/entries/a.conf");
        fs::write(&entry, "options init=/nix/store/elsewhere/init\n").unwrap();
        let goal = journal(Action::Switch).goal;
        let facts = Facts::observe(&host, &goal);
        assert_eq!((facts.specialisation.as_deref(), facts.boot_default), (Some("debug"), BootDefault::NotChecked));
        fs::write(&entry, "options init=/nix/store/old/init\n").unwrap();
        assert_eq!(Facts::observe(&host, &goal).boot_default, BootDefault::System(old));
    }
}
