//! Where things are on a host. Everything is below one root, `/` but in tests.

use crate::error::ActivateError;
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

/// The file system of a host.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Host {
    /// A host whose files are below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// An absolute path of the host, as this process sees it.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// State of firn. Every NixOS keeps `/nix`, not every one `/var` (a root on tmpfs).
    pub fn state(&self) -> PathBuf {
        self.path("/nix/var/firn")
    }

    /// Journals of activations, one a file.
    pub fn journals(&self) -> PathBuf {
        self.state().join("journal")
    }

    /// Logs of activations.
    pub fn logs(&self) -> PathBuf {
        self.state().join("log")
    }

    /// Our copies of the binary.
    pub fn binaries(&self) -> PathBuf {
        self.state().join("bin")
    }

    /// GC roots that firn makes.
    pub fn roots(&self) -> PathBuf {
        self.path("/nix/var/nix/gcroots/firn")
    }

    /// Where a link of the host leads in the end, as an absolute path of the host. `None` where it leads nowhere.
    pub fn resolve(&self, link: impl AsRef<Path>) -> Option<PathBuf> {
        let real = fs::canonicalize(self.path(link)).ok()?;
        Some(
            match fs::canonicalize(&self.root).ok().and_then(|root| real.strip_prefix(root).ok().map(Path::to_owned)) {
                Some(inside) => Path::new("/").join(inside),
                None => real,
            },
        )
    }

    /// A small text file of the host without the white space around it.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), ActivateError> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(ActivateError::file("make", folder))
}

/// Puts a whole file in place: it and its name are on disk when this returns.
pub(crate) fn write_synced(path: &Path, contents: &[u8], mode: u32) -> Result<(), ActivateError> {
    let temporary = beside(path);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        ActivateError::file("write", path)(error)
    })?;
    sync_parent(path)
}

/// Makes a link or moves one to another target, in one step that is on disk when this returns.
pub(crate) fn replace_link(link: &Path, target: &Path) -> Result<(), ActivateError> {
    let temporary = beside(link);
    let _ = fs::remove_file(&temporary);
    symlink(target, &temporary)
        .and_then(|()| fs::rename(&temporary, link))
        .map_err(ActivateError::file("make the link", link))?;
    sync_parent(link)
}

/// Removes a file or link that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), ActivateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ActivateError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Brings the names in the folder of a path to disk.
pub(crate) fn sync_parent(path: &Path) -> Result<(), ActivateError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ActivateError::file("sync", folder))
}

/// Brings everything of the file system that holds `path` to disk.
pub(crate) fn sync_file_system(path: &Path) -> Result<(), ActivateError> {
    let file = File::open(path).map_err(ActivateError::file("open", path))?;
    rustix::fs::syncfs(&file).map_err(|error| ActivateError::file("sync", path)(error.into()))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}
