//! What boots next, read from the files of boot loaders. systemd-boot and extlinux say it in plain text; of others we
//! only know that we did not look.

use crate::{
    error::ActivateError,
    host::{Host, remove, write_synced},
    machine::Machine,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What the boot loader starts when nobody chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootDefault {
    /// This system.
    System(PathBuf),
    /// The loader is known, but it names no system that is there.
    Nothing,
    /// A loader whose files we do not read.
    NotChecked,
}

impl BootDefault {
    /// The system, where it is known.
    pub fn system(&self) -> Option<&Path> {
        match self {
            Self::System(path) => Some(path),
            _ => None,
        }
    }
}

/// Folders that may hold systemd-boot's files.
const PARTITIONS: [&str; 3] = ["/boot", "/efi", "/boot/efi"];

/// Reads the default.
pub fn boot_default(host: &Host) -> BootDefault {
    if let Some((partition, entry)) = systemd_boot_default(host) {
        return systemd_boot_system(host, &partition, &entry);
    }
    if let Ok(text) = fs::read_to_string(host.path("/boot/extlinux/extlinux.conf")) {
        return extlinux_default(&text).map_or(BootDefault::Nothing, BootDefault::System);
    }
    BootDefault::NotChecked
}

/// The system of the default entry. Boot counting puts the tries that are left into its name (`name+3.conf`); what a pattern
/// or `@saved` means is the loader's to know.
fn systemd_boot_system(host: &Host, partition: &Path, default: &str) -> BootDefault {
    if default.contains(['*', '?', '[', '@']) {
        return BootDefault::NotChecked;
    }
    let stem = default.strip_suffix(".conf").unwrap_or(default);
    let counted = || {
        let entries = fs::read_dir(host.path(partition.join("loader/entries"))).ok()?;
        let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.find(|name| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('+')))
    };
    let system = entry_system(host, partition, default).or_else(|| entry_system(host, partition, &counted()?));
    system.map_or(BootDefault::Nothing, BootDefault::System)
}

/// `default` of loader.conf.
fn systemd_boot_default(host: &Host) -> Option<(PathBuf, String)> {
    PARTITIONS.iter().find_map(|partition| {
        let text = fs::read_to_string(host.path(Path::new(partition).join("loader/loader.conf"))).ok()?;
        let name = text.lines().find_map(|line| line.trim().strip_prefix("default ").map(str::trim))?;
        Some((PathBuf::from(partition), name.to_owned()))
    })
}

fn entry_system(host: &Host, partition: &Path, entry: &str) -> Option<PathBuf> {
    let folder = host.path(partition.join("loader/entries"));
    let name = if entry.ends_with(".conf") { entry.to_owned() } else { format!("{entry}.conf") };
    let text = fs::read_to_string(folder.join(name)).ok()?;
    let options = text.lines().find_map(|line| line.trim().strip_prefix("options "))?;
    init_of(options)
}

/// The label after `DEFAULT`, and the kernel line of that label.
fn extlinux_default(text: &str) -> Option<PathBuf> {
    let word = |line: &str, key: &str| {
        let (first, rest) = line.trim().split_once(char::is_whitespace)?;
        first.eq_ignore_ascii_case(key).then(|| rest.trim().to_owned())
    };
    let label = text.lines().find_map(|line| word(line, "DEFAULT"))?;
    let mut lines = text.lines().skip_while(|line| word(line, "LABEL").as_deref() != Some(&label)).skip(1);
    lines
        .by_ref()
        .take_while(|line| word(line, "LABEL").is_none())
        .find_map(|line| word(line, "APPEND"))
        .and_then(|options| init_of(&options))
}

/// `init=PATH/init` of a kernel command line.
fn init_of(options: &str) -> Option<PathBuf> {
    let init = options.split_whitespace().find_map(|word| word.strip_prefix("init="))?;
    Path::new(init).parent().map(Path::to_owned)
}

/// A way to boot an entry the next time only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OneShot {
    /// systemd-boot, by the EFI variable that `bootctl set-oneshot` writes.
    SystemdBoot {
        /// Name of the entry.
        entry: String,
    },
    /// systemd-boot's files without EFI: `loader/oneshot` holds the name of the entry (the test bed has it so).
    File {
        /// The file.
        file: PathBuf,
        /// Name of the entry.
        entry: String,
    },
    /// GRUB, by `grub-reboot`.
    Grub {
        /// Title of the entry, with those of its menus.
        entry: String,
    },
}

/// How this host boots a system once, if its loader has an entry for it.
pub fn one_shot(host: &Host, system: &Path) -> Option<OneShot> {
    for partition in PARTITIONS.map(Path::new) {
        let folder = host.path(partition.join("loader/entries"));
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|n| n.ends_with(".conf"))
            .collect();
        names.sort();
        let entry =
            names.into_iter().rev().find(|name| entry_system(host, partition, name).as_deref() == Some(system))?;
        let efi = host.path("/sys/firmware/efi/efivars").is_dir();
        let file = partition.join("loader/oneshot");
        return Some(if efi { OneShot::SystemdBoot { entry } } else { OneShot::File { file, entry } });
    }
    let text = fs::read_to_string(host.path("/boot/grub/grub.cfg")).ok()?;
    grub_entry(&text, system).map(|entry| OneShot::Grub { entry })
}

/// Whether the loader is one that can boot a system once.
pub fn knows_one_shot(host: &Host) -> bool {
    let systemd_boot =
        PARTITIONS.iter().any(|partition| host.path(Path::new(partition).join("loader/entries")).is_dir());
    systemd_boot || host.path("/boot/grub/grub.cfg").is_file()
}

impl OneShot {
    /// Tells the loader.
    pub(crate) fn set(&self, host: &Host, machine: &Machine) -> Result<(), ActivateError> {
        match self {
            Self::SystemdBoot { entry } => machine.run("bootctl", &["set-oneshot".as_ref(), entry.as_ref()]),
            Self::File { file, entry } => write_synced(&host.path(file), format!("{entry}\n").as_bytes(), 0o644),
            Self::Grub { entry } => machine.run("grub-reboot", &[entry.as_ref()]),
        }
    }

    /// Takes it back.
    pub(crate) fn clear(&self, host: &Host, machine: &Machine) -> Result<(), ActivateError> {
        match self {
            Self::SystemdBoot { .. } => machine.run("bootctl", &["set-oneshot".as_ref(), "".as_ref()]),
            Self::File { file, .. } => remove(&host.path(file)),
            Self::Grub { .. } => machine.run("grub-editenv", &["-", "unset", "next_entry"].map(AsRef::as_ref)),
        }
    }
}

/// Titles of menus and entry of the entry whose kernel line starts `system`, as `grub-reboot` wants them.
fn grub_entry(text: &str, system: &Path) -> Option<String> {
    let mut menus: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        let title = |keyword: &str| {
            let rest = line.strip_prefix(keyword)?.trim_start();
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            Some(rest.get(1..)?.split(quote).next()?.to_owned())
        };
        if let Some(title) = title("submenu").or_else(|| title("menuentry")) {
            menus.push(title);
        } else if line == "}" {
            menus.pop();
        } else if init_of(line).as_deref() == Some(system) && !menus.is_empty() {
            return Some(menus.join(">"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_systemd_boot_is_the_init_of_its_entry() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert_eq!(boot_default(&host), BootDefault::NotChecked);
        let entries = host.path("/boot/loader/entries");
        fs::create_dir_all(&entries).unwrap();
        fs::write(host.path("/boot/loader/loader.conf"), "timeout 5\ndefault nixos-generation-7.conf\n").unwrap();
        assert_eq!(boot_default(&host), BootDefault::Nothing);
        let entry = "title NixOS\noptions root=fstab init=/nix/store/x-system/init loglevel=4\n";
        fs::write(entries.join("nixos-generation-7.conf"), entry).unwrap();
        assert_eq!(boot_default(&host), BootDefault::System("/nix/store/x-system".into()));
        fs::rename(entries.join("nixos-generation-7.conf"), entries.join("nixos-generation-7+3-0.conf")).unwrap();
        assert_eq!(boot_default(&host), BootDefault::System("/nix/store/x-system".into()));
        fs::rename(entries.join("nixos-generation-7+3-0.conf"), entries.join("nixos-generation-7.conf")).unwrap();
        let once = one_shot(&host, Path::new("/nix/store/x-system")).unwrap();
        let file = PathBuf::from("/boot/loader/oneshot");
        assert_eq!(once, OneShot::File { file, entry: "nixos-generation-7.conf".into() });
        assert_eq!(one_shot(&host, Path::new("/nix/store/other")), None);
    }

    #[test]
    fn the_default_of_extlinux_is_the_init_of_its_label() {
        let text = "DEFAULT nixos-default\nLABEL nixos-2\n  APPEND init=/nix/store/b/init\nLABEL nixos-default\n  \
                    MENU LABEL NixOS\n  APPEND init=/nix/store/a/init quiet\nLABEL other\n";
        assert_eq!(extlinux_default(text), Some("/nix/store/a".into()));
        assert_eq!(extlinux_default("LABEL x\n"), None);
    }

    #[test]
    fn an_entry_of_grub_is_named_with_its_menus() {
        let text = "menuentry \"NixOS\" {\nlinux /k init=/nix/store/a/init\n}\nsubmenu \"NixOS - All\" {\n\
                    menuentry 'NixOS - 7 (x)' {\n  linux /k init=/nix/store/b/init\n}\n}\n";
        assert_eq!(grub_entry(text, Path::new("/nix/store/a")).as_deref(), Some("NixOS"));
        assert_eq!(grub_entry(text, Path::new("/nix/store/b")).as_deref(), Some("NixOS - All>NixOS - 7 (x)"));
        assert_eq!(grub_entry(text, Path::new("/nix/store/c")), None);
    }
}
