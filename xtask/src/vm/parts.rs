//! What a virtual machine is made of: Debian's kernel, an initrd of ours, a disk with the files of a host of the bed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::bed::{self, Host, Release};
use crate::install::{Missing, Need, provide};
use crate::{process, workspace};

/// Modules of the kernel that the initrd loads, in the order that they need.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "dummy",
];

/// What a machine boots with.
pub struct Kernel {
    /// The kernel.
    pub image: PathBuf,
    /// Its first files.
    pub initrd: PathBuf,
}

/// Checks that this machine can run virtual ones, installing what is missing.
pub fn prepare() -> Result<()> {
    bed::prepare()?;
    let why = "emulates the machine that loses its power";
    provide(&[
        Need { program: "qemu-system-x86_64", package: "qemu-system-x86", why },
        Need { program: "qemu-img", package: "qemu-utils", why: "makes the disks of that machine" },
        Need { program: "mke2fs", package: "e2fsprogs", why: "fills the disks of that machine" },
        Need { program: "xz", package: "xz-utils", why: "decompresses modules of its kernel" },
    ])
}

impl Kernel {
    /// The kernel that Debian has for machines in clouds, unpacked into the cache and not installed, and an initrd
    /// made in `folder`.
    pub fn new(folder: &Path) -> Result<Self> {
        let unpacked = unpacked().map_err(|error| Missing(format!("no kernel from Debian: {error:#}")))?;
        let (image, modules) =
            (one_in(&unpacked.join("boot"), "vmlinuz-")?, one_in(&unpacked.join("lib/modules"), "")?);
        let tree = folder.join("initrd");
        for name in ["bin", "modules", "proc", "sys", "dev", "disk"] {
            fs::create_dir_all(tree.join(name))?;
        }
        let busybox = bed::image(Release::Trixie)?.join("usr/bin/busybox");
        fs::copy(busybox, tree.join("bin/busybox"))?;
        for file in ["init", "agent", "agent.service"] {
            fs::copy(workspace::file("tests/testbed/vm").join(file), tree.join(file))?;
        }
        for module in MODULES {
            let find =
                process::command("find", [modules.as_os_str()]).arg("-name").arg(format!("{module}.ko*")).output()?;
            let found = String::from_utf8(find.stdout)?;
            let found = found.lines().next().with_context(|| format!("the kernel has no module {module}"))?;
            let to = tree.join("modules").join(format!("{module}.ko"));
            if found.ends_with(".xz") {
                fs::write(to, process::command("xz", ["-dc", found]).output()?.stdout)?;
            } else {
                fs::copy(found, to)?;
            }
        }
        fs::write(tree.join("modules/order"), MODULES.join("\n") + "\n")?;
        let initrd = folder.join("initrd.cpio");
        let pack = "find . | bin/busybox cpio -o -H newc 2>/dev/null >../initrd.cpio";
        process::quiet(process::command("sh", ["-c", pack]).current_dir(&tree))?;
        Ok(Self { image, initrd })
    }
}

/// The folder with the newest kernel that apt knows.
fn unpacked() -> Result<PathBuf> {
    let depends = process::output(&mut process::command("apt-cache", ["depends", "linux-image-cloud-amd64"]))?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let package = format!("linux-image-{}", package.context("apt knows no linux-image-cloud-amd64")?);
    let folder = workspace::cache().join("kernels").join(&package);
    if !folder.exists() {
        let new = workspace::cache().join(format!("kernels/{package}.{}", std::process::id()));
        fs::create_dir_all(&new)?;
        process::run(process::command("apt-get", ["-qq", "download", &package]).current_dir(&new))?;
        let archive = one_in(&new, "linux-image-")?;
        process::quiet(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&new))?;
        fs::remove_file(archive)?;
        if let Err(error) = fs::rename(&new, &folder) {
            fs::remove_dir_all(&new)?;
            ensure!(folder.exists(), "{error}");
        }
    }
    Ok(folder)
}

fn one_in(folder: &Path, beginning: &str) -> Result<PathBuf> {
    let mut names = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let begins = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning));
    names.find(begins).with_context(|| format!("no {beginning}* in {}", folder.display()))
}

/// Disks with the files of a host that is off, made without mounting them: the root, and `/boot`, which hosts mostly
/// have on a file system of its own.
pub fn disks(host: &Host<'_>, folder: &Path) -> Result<Vec<PathBuf>> {
    // systemd brings files up to date that are older than /usr.
    for name in ["/etc/.updated", "/var/.updated"] {
        fs::create_dir_all(host.written(name).parent().context("a folder")?)?;
        fs::write(host.written(name), "")?;
    }
    let view = folder.join("view");
    fs::create_dir_all(&view)?;
    let (root, boot) = (folder.join("root.img"), folder.join("boot.img"));
    let layers = format!("lowerdir={}:{}", host.written("/").display(), bed::image(Release::Trixie)?.display());
    // What is mounted here is gone with the shell.
    let script = "set -e; mount -t overlay -o \"ro,$1\" overlay \"$2\"
                  fill() { mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 -d \"$@\"; }
                  fill \"$2\" \"$3\" 2G; fill \"$2/boot\" \"$4\" 64M";
    let mut shell = process::command("unshare", ["-m", "sh", "-c", script, "sh", &layers]);
    process::quiet(shell.arg(&view).arg(&root).arg(&boot))?;
    Ok(vec![root, boot])
}

/// Disks that are like others, of this format, until they are written to.
pub fn disks_like(others: &[PathBuf], format: &str, folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let one = |(number, other): (usize, &PathBuf)| {
        let to = folder.join(format!("{name}.disk{number}"));
        let mut make = process::command("qemu-img", ["create", "-q", "-f", "qcow2", "-F", format, "-b"]);
        process::quiet(make.arg(other).arg(&to))?;
        Ok(to)
    };
    others.iter().enumerate().map(one).collect()
}
