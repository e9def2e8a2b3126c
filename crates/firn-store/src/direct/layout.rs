//! The directories of a store folder and the locks that keep Nix out of it, all opened below one descriptor.

use super::error::{Context, DirectError};
use firn_core::StoreDir;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{self, AtFlags, FileType, FlockOperation, Gid, Mode, OFlags},
    io::Errno,
};
use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// Group of the build users where the folder has no `/etc/group`: that of every NixOS (`ids.nix`).
const NIXBLD: u32 = 30_000;

const OPEN_DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIR_MODE: Mode = Mode::from_raw_mode(0o755);

/// A directory and the name that messages give it.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
}

impl Directory {
    /// Opens the folder itself, whose own path may go through links; makes it if its parent is there.
    pub(super) fn root(path: &Path) -> Result<Self, DirectError> {
        match fs::mkdir(path, DIR_MODE) {
            Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
            Err(Errno::NOENT) => return Err(DirectError::NoParent(path.to_owned())),
            Err(error) => return Err(error).context("make", || path.to_owned()),
        }
        let path = fs_err::canonicalize(path).context("resolve", || path.to_owned())?;
        match fs::open(&path, OPEN_DIR, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(Errno::NOTDIR) => Err(DirectError::NotADirectory(path)),
            Err(error) => Err(error).context("open", || path),
        }
    }

    /// Opens a directory in this one; `None` if it is absent.
    pub(super) fn open(&self, name: &str) -> Result<Option<Self>, DirectError> {
        let path = self.path.join(name);
        match fs::openat(&self.fd, name, OPEN_DIR, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(DirectError::NotADirectory(path)),
            Err(error) => Err(error).context("open", || path),
        }
    }

    /// Opens a directory in this one and makes it if it is absent; `prepare` sees only one that is new.
    pub(super) fn enter(
        &self,
        name: &str,
        prepare: impl FnOnce(&Self) -> Result<(), DirectError>,
    ) -> Result<Self, DirectError> {
        if let Some(found) = self.open(name)? {
            return Ok(found);
        }
        let path = || self.path.join(name);
        let made = match fs::mkdirat(&self.fd, name, DIR_MODE) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error).context("make", path),
        };
        let dir = self.open(name)?.ok_or_else(|| DirectError::Replaced(path()))?;
        if made {
            // The umask may have taken bits away.
            fs::fchmod(&dir.fd, DIR_MODE).context("set the mode of", path)?;
            prepare(&dir)?;
        }
        Ok(dir)
    }

    fn descend(&self, below: &str) -> Result<Self, DirectError> {
        let mut parts = below.split('/').filter(|part| !part.is_empty());
        let first = parts.next().unwrap_or(".");
        parts.try_fold(self.enter(first, |_| Ok(()))?, |dir, part| dir.enter(part, |_| Ok(())))
    }

    /// Opens a lock file as Nix has it.
    fn lock_file(&self, name: &str) -> Result<Lock, DirectError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o600));
        fd.map(Lock).context("open", || self.path.join(name))
    }

    /// Reads a small file; `None` if it is absent.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, DirectError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).context("open", || self.path.join(name)),
        };
        let mut text = String::new();
        let mut file = std::io::Read::take(std::fs::File::from(fd), 1 << 20);
        std::io::Read::read_to_string(&mut file, &mut text).context("read", || self.path.join(name))?;
        Ok(Some(text))
    }
}

/// A lock file whose lock, if it was taken, ends with this value. Closing it would not do: a child of another thread that is
/// forked and not yet executed has the file open too, and would keep the lock for that long.
#[derive(Debug)]
struct Lock(OwnedFd);

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// An opened store folder, locked against Nix and against a second import.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) store: Directory,
    pub(super) db: Directory,
    pub(super) gcroots: Directory,
    /// Held for the life of this value: `big-lock`, `gc.lock`.
    _locks: [Lock; 2],
}

/// Where a store of this directory has its state: beside a `.../store` as a Nix built for it has it, else `/nix/var/nix`.
pub(super) fn state_dir(store_dir: &StoreDir) -> String {
    let prefix = store_dir.as_str().strip_suffix("/store").filter(|prefix| !prefix.is_empty());
    format!("{}/var/nix", prefix.unwrap_or("/nix"))
}

impl Layout {
    /// Opens or makes the folder and takes its locks. `waiting` is called before waiting for another import.
    pub(super) fn open(root: &Path, store_dir: &StoreDir, waiting: &dyn Fn(&Path)) -> Result<Self, DirectError> {
        let root = Directory::root(root)?;
        let state_dir = state_dir(store_dir);
        let state = root.descend(&state_dir)?;
        refuse_daemon(&state)?;
        let db = state.enter("db", |_| Ok(()))?;
        let big_lock = lock_alone(&db, waiting)?;
        let gc_lock = state.lock_file("gc.lock")?;
        match fs::flock(&gc_lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(DirectError::Collector(state.path.join("gc.lock"))),
            Err(error) => return Err(error).context("lock", || state.path.join("gc.lock")),
        }
        let (parent, name) = store_dir.as_str().rsplit_once('/').unwrap_or_default();
        let parent = if parent.is_empty() { root.descend(".")? } else { root.descend(parent)? };
        let store = parent.enter(name, |dir| own_by_builders(dir, &root))?;
        store.enter(".links", |_| Ok(()))?;
        state.enter("temproots", |_| Ok(()))?;
        state.enter("profiles", |_| Ok(()))?;
        // Nix makes this link only together with the directory.
        let gcroots = state.enter("gcroots", |dir| {
            fs::symlinkat(format!("{state_dir}/profiles"), &dir.fd, "profiles")
                .context("make", || dir.path.join("profiles"))
        })?;
        Ok(Self { store, db, gcroots, _locks: [big_lock, gc_lock] })
    }
}

/// A daemon behind the socket, or systemd in its place, means a live store.
fn refuse_daemon(state: &Directory) -> Result<(), DirectError> {
    let socket = state.path.join("daemon-socket/socket");
    let connected = match UnixStream::connect(&socket) {
        // Too long for the address of a socket: go through the descriptor.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            let fd = rustix::fd::AsRawFd::as_raw_fd(&state.fd);
            UnixStream::connect(format!("/proc/self/fd/{fd}/daemon-socket/socket"))
        }
        other => other,
    };
    if connected.is_ok() { Err(DirectError::Daemon(socket)) } else { Ok(()) }
}

/// Takes `big-lock` exclusively. Every Nix process that has the store open holds it shared, and waits for it when it is
/// held exclusively: by a schema upgrade, or by another of us.
fn lock_alone(db: &Directory, waiting: &dyn Fn(&Path)) -> Result<Lock, DirectError> {
    let path = || db.path.join("big-lock");
    let fd = db.lock_file("big-lock")?;
    let alone = FlockOperation::NonBlockingLockExclusive;
    if fs::flock(&fd, alone).is_ok() {
        return Ok(fd);
    }
    match fs::flock(&fd, FlockOperation::NonBlockingLockShared) {
        Ok(()) => match fs::flock(&fd, alone) {
            Ok(()) => {}
            Err(_) => return Err(DirectError::InUse(path())),
        },
        Err(Errno::WOULDBLOCK) => {
            waiting(&path());
            fs::flock(&fd, FlockOperation::LockExclusive).context("lock", path)?;
        }
        Err(error) => return Err(error).context("lock", path),
    }
    Ok(fd)
}

/// Gives a new store directory to root and the build users, as Nix wants it; it corrects the group when it knows better.
fn own_by_builders(store: &Directory, root: &Directory) -> Result<(), DirectError> {
    if rustix::process::geteuid().is_root() {
        let group = match root.open("etc") {
            Ok(Some(etc)) => etc.read("group").ok().flatten(),
            _ => None,
        };
        let entry = group.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("nixbld:")));
        let gid = entry.and_then(|rest| rest.split(':').nth(1)?.parse().ok()).unwrap_or(NIXBLD);
        // Refused where user namespaces do not know the group.
        let _ = fs::fchown(&store.fd, None, Some(Gid::from_raw(gid)));
    }
    fs::fchmod(&store.fd, Mode::from_raw_mode(0o1775)).context("set the mode of", || store.path.clone())
}

/// Removes a file or a tree, never following a link.
pub(super) fn remove(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    match fs::unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let inner = fs::openat(&dir, name, OPEN_DIR, Mode::empty())?;
    // Directories of a store are read-only, which binds all but root.
    fs::fchmod(&inner, Mode::RWXU)?;
    let names: Result<Vec<_>, Errno> =
        fs::Dir::read_from(&inner)?.map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect();
    for name in names? {
        if !matches!(name.to_bytes(), b"." | b"..") {
            remove(&inner, name.to_bytes())?;
        }
    }
    fs::unlinkat(&dir, name, AtFlags::REMOVEDIR)
}

/// Whether there is something of this name, and whether it is a directory.
pub(super) fn kind(dir: impl AsFd, name: &str) -> rustix::io::Result<Option<FileType>> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child between fork and exec has what the copy of the descriptor has here.
    #[test]
    fn a_lock_ends_with_its_value_whoever_has_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::root(folder.path()).unwrap();
        let lock = lock_alone(&directory, &|_| ()).unwrap();
        let _child = lock.0.try_clone().unwrap();
        assert!(fs::flock(directory.lock_file("big-lock").unwrap(), FlockOperation::NonBlockingLockShared).is_err());
        drop(lock);
        fs::flock(directory.lock_file("big-lock").unwrap(), FlockOperation::NonBlockingLockShared).unwrap();
    }
}
