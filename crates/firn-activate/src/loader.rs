//! What boots next, read from the files of boot loaders. systemd-boot, extlinux and GRUB say it in plain text; of others
//! we only know that we did not look.

mod efi;
mod grub;

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

const EXTLINUX: &str = "/boot/extlinux/extlinux.conf";
const GRUB: &str = "/boot/grub/grub.cfg";
const GRUB_ENVIRONMENT: &str = "/boot/grub/grubenv";

/// Reads the default. Where files of several loaders lie about, those written last are of the one in use.
pub fn boot_default(host: &Host) -> BootDefault {
    let written = |file: &str| fs::metadata(host.path(file)).and_then(|metadata| metadata.modified()).ok();
    let systemd_boot = systemd_boot_default(host);
    let conf = systemd_boot.as_ref().map(|(partition, _)| partition.join("loader/loader.conf"));
    let found = [GRUB.to_owned(), EXTLINUX.to_owned()].into_iter().map(PathBuf::from).chain(conf);
    let dated = found.filter_map(|file| Some((written(file.to_str()?)?, file)));
    let Some((_, file)) = dated.max_by_key(|(at, _)| *at) else { return BootDefault::NotChecked };
    let text = fs::read_to_string(host.path(&file)).unwrap_or_default();
    match (file.to_str(), systemd_boot) {
        (Some(GRUB), _) => {
            let environment = fs::read(host.path(GRUB_ENVIRONMENT)).unwrap_or_default();
            grub::boot_default(&text, &String::from_utf8_lossy(&environment))
        }
        (Some(EXTLINUX), _) => extlinux_default(&text).map_or(BootDefault::Nothing, BootDefault::System),
        (_, Some((partition, entry))) => systemd_boot_system(host, &partition, &entry),
        (_, None) => BootDefault::NotChecked,
    }
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
    match system {
        Some(system) => BootDefault::System(system),
        // Somebody chose another system (`bootctl set-default auto-windows`).
        None if efi::variable(host, efi::DEFAULT).is_some() => BootDefault::NotChecked,
        None => BootDefault::Nothing,
    }
}

/// `default` of loader.conf, unless a variable of EFI goes before it.
fn systemd_boot_default(host: &Host) -> Option<(PathBuf, String)> {
    PARTITIONS.iter().find_map(|partition| {
        let text = fs::read_to_string(host.path(Path::new(partition).join("loader/loader.conf"))).ok()?;
        let name = text.lines().find_map(|line| line.trim().strip_prefix("default ").map(str::trim))?;
        Some((PathBuf::from(partition), efi::variable(host, efi::DEFAULT).unwrap_or_else(|| name.to_owned())))
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
    let text = fs::read_to_string(host.path(GRUB)).ok()?;
    grub::entry(&text, system).map(|entry| OneShot::Grub { entry })
}

/// Whether the loader is one that can boot a system once.
pub fn knows_one_shot(host: &Host) -> bool {
    let systemd_boot =
        PARTITIONS.iter().any(|partition| host.path(Path::new(partition).join("loader/entries")).is_dir());
    systemd_boot || (host.path(GRUB).is_file() && grub_can_write(host))
}

/// Whether GRUB can delete what boots once when it has booted it: not on file systems with checksums, where the entry
/// would boot for ever (GRUB manual, "Environment block").
fn grub_can_write(host: &Host) -> bool {
    const BTRFS: u64 = 0x9123_683e;
    const ZFS: u64 = 0x2fc1_2fc1;
    let found = rustix::fs::statfs(host.path("/boot/grub"));
    found.is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| ![BTRFS, ZFS].contains(&kind)))
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

    /// Whether the loader has it, read back; `None` where that is not known.
    pub(crate) fn is_set(&self, host: &Host) -> Option<bool> {
        match self {
            Self::SystemdBoot { entry } => Some(efi::variable(host, efi::ONE_SHOT)? == *entry),
            Self::File { file, entry } => Some(fs::read_to_string(host.path(file)).ok()?.trim() == entry),
            Self::Grub { entry } => {
                let environment = fs::read(host.path(GRUB_ENVIRONMENT)).ok()?;
                Some(grub::variable(&String::from_utf8_lossy(&environment), "next_entry") == Some(entry))
            }
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

    /// A host with an entry of systemd-boot for generation 7.
    fn with_entry(dir: &Path) -> Host {
        let host = Host::below(dir);
        fs::create_dir_all(host.path("/boot/loader/entries")).unwrap();
        fs::write(host.path("/boot/loader/loader.conf"), "default nixos-generation-7.conf\n").unwrap();
        for (number, system) in [(7, "seven"), (8, "eight")] {
            let entry = format!("title NixOS\noptions init=/nix/store/{system}/init\n");
            fs::write(host.path(format!("/boot/loader/entries/nixos-generation-{number}.conf")), entry).unwrap();
        }
        host
    }

    #[test]
    fn a_variable_of_efi_goes_before_loader_conf_and_tells_what_boots_once() {
        let dir = tempfile::tempdir().unwrap();
        let host = with_entry(dir.path());
        assert_eq!(boot_default(&host), BootDefault::System("/nix/store/seven".into()));
        efi::tests::set(&host, efi::DEFAULT, "nixos-generation-8.conf");
        assert_eq!(boot_default(&host), BootDefault::System("/nix/store/eight".into()));
        for other in ["@saved", "auto-windows"] {
            efi::tests::set(&host, efi::DEFAULT, other);
            assert_eq!(boot_default(&host), BootDefault::NotChecked);
        }
        let once = one_shot(&host, Path::new("/nix/store/eight")).unwrap();
        assert_eq!(once, OneShot::SystemdBoot { entry: "nixos-generation-8.conf".into() });
        assert_eq!(once.is_set(&host), None);
        efi::tests::set(&host, efi::ONE_SHOT, "nixos-generation-8.conf");
        assert_eq!(once.is_set(&host), Some(true));
        efi::tests::set(&host, efi::ONE_SHOT, "nixos-generation-7.conf");
        assert_eq!(once.is_set(&host), Some(false));
    }

    #[test]
    fn the_loader_whose_files_were_written_last_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let host = with_entry(dir.path());
        fs::create_dir_all(host.path("/boot/grub")).unwrap();
        let config = "set default=0\nmenuentry 'NixOS' {\nlinux /k init=/nix/store/nine/init\n}\n";
        fs::write(host.path(GRUB), config).unwrap();
        fs::write(host.path(GRUB_ENVIRONMENT), "# GRUB Environment Block\nnext_entry=NixOS\n###").unwrap();
        let at = |file: &str, second| {
            let file = fs::File::options().append(true).open(host.path(file)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second)).unwrap();
        };
        at(GRUB, 100);
        at("/boot/loader/loader.conf", 50);
        assert_eq!(boot_default(&host), BootDefault::System("/nix/store/nine".into()));
        at("/boot/loader/loader.conf", 150);
        assert_eq!(boot_default(&host), BootDefault::System("/nix/store/seven".into()));
        let once = |entry: &str| OneShot::Grub { entry: entry.into() }.is_set(&host);
        assert_eq!((once("NixOS"), once("another")), (Some(true), Some(false)));
    }
}
