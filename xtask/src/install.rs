//! What a stage needs of the machine, and installing it where we may.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use anyhow::{Result, bail};

use crate::process;

/// Something that this machine lacks: what depends on it is not tested, which is not the same as failed.
#[derive(Debug)]
pub struct Missing(pub String);

impl std::fmt::Display for Missing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// One program (or file) of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Name looked up in `PATH`, or an absolute path.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// What for, as shown to the person whose machine it is.
    pub why: &'static str,
}

impl Need {
    /// Stock Nix on this machine.
    pub const fn nix(why: &'static str) -> Self {
        Self { program: "nix-store", package: "nix-bin", why }
    }
}

/// Is this process root?
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Finds a program in `PATH` and in the folders that an ordinary user's `PATH` leaves out.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn is_there(need: &Need) -> bool {
    if need.program.starts_with('/') { Path::new(need.program).exists() } else { which(need.program).is_some() }
}

/// Makes sure that all of `needs` are there: installs what is missing where this is root on a machine with
/// apt, having said what and why; otherwise the error is a [`Missing`] that says what to install.
pub fn provide(needs: &[Need]) -> Result<()> {
    static UPDATED: Once = Once::new();
    let missing: Vec<_> = needs.iter().filter(|need| !is_there(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let list = packages.join(" ");
    if !is_root() || which("apt-get").is_none() {
        let reasons: Vec<_> = missing.iter().map(|need| format!("{} ({})", need.package, need.why)).collect();
        return Err(Missing(format!("missing {}; as root: apt-get install {list}", reasons.join(", "))).into());
    }
    for need in &missing {
        eprintln!("installing {}: {}", need.package, need.why);
    }
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        process::run(apt.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(std::process::Stdio::null()))
    };
    // A list that cannot be renewed may still do.
    UPDATED.call_once(|| drop(apt(&["-qq", "update"])));
    let mut install = vec!["-qq", "-y", "--no-install-recommends", "install"];
    install.extend(&packages);
    apt(&install)?;
    match missing.iter().find(|need| !is_there(need)) {
        Some(need) => bail!("{} has been installed, but there is still no {}", need.package, need.program),
        None => Ok(()),
    }
}
