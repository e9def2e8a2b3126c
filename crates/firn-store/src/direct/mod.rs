//! A store folder written without Nix: `DIR/nix/store` and its state, as an installer or a rescue system has it.
//!
//! Invariants: everything is opened below one descriptor and without following links; contents are written to a staging
//! directory that nobody else may enter, renamed into place, and synced before one transaction makes all of it valid.
//! Killed at any moment it leaves nothing registered that is not whole, and the next run removes what is left over.

mod error;
mod layout;
mod link;
mod register;
mod restore;

pub use error::DirectError;

use error::Context;
use firn_core::{Node, Proven, ProvenPath, Spool, StoreDir, StorePath, derivation::Derivation};
use layout::{Directory, Layout, kind, remove};
use link::RootLinks;
use register::{Known, Registry};
use restore::{Restorer, seal};
use rustix::{
    fd::AsFd,
    fs::{self, Mode},
    io::Errno,
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// Name of the staging directory. One is enough: the locks admit one import at a time. Nix collects it as garbage.
const STAGING: &str = ".firn-staging";

/// Threads that write files; more only wait for each other in the kernel.
const WRITERS: usize = 2;

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Paths that were valid before.
    pub present: u64,
    /// Paths that came.
    pub added: u64,
    /// Bytes of the NARs of those that came.
    pub bytes: u64,
}

/// Told while an import goes on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Step<'a> {
    /// Another import holds this lock; we wait for its end.
    Waiting(&'a Path),
    /// One more path is written to staging; its NAR has so many bytes.
    Wrote(u64),
    /// One more path is in its place, and not valid.
    Placed,
    /// All is to be synced, which may take long.
    Syncing,
    /// All is to become valid.
    Registering,
    /// All is valid.
    Registered,
}

/// A sink of [`Step`]s, called from several threads.
pub type Progress<'a> = &'a (dyn Fn(Step<'_>) + Sync);

/// A GC root to make: its name below `gcroots/firn`, and the path it holds.
#[derive(Debug, Clone, Copy)]
pub struct Root<'a> {
    /// Name of the link.
    pub name: &'a str,
    /// What it holds.
    pub path: &'a StorePath,
}

/// A store folder, locked against Nix and against other imports for as long as this value lives.
#[derive(Debug)]
pub struct StoreFolder {
    layout: Layout,
    store_dir: StoreDir,
}

impl StoreFolder {
    /// Opens the store of directory `store_dir` below `root`, and makes what is missing of it. Waits for another import;
    /// refuses a store that a daemon serves, a Nix process uses or a collector cleans.
    pub fn open(root: &Path, store_dir: StoreDir, progress: Progress<'_>) -> Result<Self, DirectError> {
        let layout = Layout::open(root, &store_dir, &|lock| progress(Step::Waiting(lock)))?;
        Ok(Self { layout, store_dir })
    }

    /// Where the GC root of this name is.
    pub fn root_link(&self, name: &str) -> PathBuf {
        self.layout.gcroots.path.join("firn").join(name)
    }

    /// Writes what is missing of a closure, registers it and makes its GC roots.
    pub fn import(
        &self,
        closure: &Proven,
        spool: &dyn Spool,
        roots: &[Root<'_>],
        progress: Progress<'_>,
    ) -> Result<Imported, DirectError> {
        if *closure.store_dir() != self.store_dir {
            return Err(DirectError::StoreDir { wanted: closure.store_dir().clone(), found: self.store_dir.clone() });
        }
        let store = &self.layout.store;
        remove(&store.fd, STAGING.as_bytes()).context("remove", || store.path.join(STAGING))?;
        let paths = closure.paths();
        let registry = Registry::open(&self.layout.db)?;
        let known = registry.known(&self.store_dir, paths)?;
        let mut wanted = Vec::new();
        let mut imported = Imported::default();
        for (path, known) in paths.iter().zip(&known) {
            if matches!(known, Known::Absent) {
                imported.added += 1;
                imported.bytes += path.nar_size();
                wanted.push(path);
            } else {
                imported.present += 1;
                // A valid path whose files are gone is made whole.
                let name = path.path().as_str();
                if kind(&store.fd, name).context("stat", || store.path.join(name))?.is_none() {
                    wanted.push(path);
                }
            }
        }
        self.check_space(&wanted)?;

        let links = RootLinks::draft(&self.layout.gcroots, &self.store_dir, roots)?;
        if wanted.is_empty() && known.iter().all(|known| matches!(known, Known::Valid(_))) {
            links.publish()?;
            return Ok(imported);
        }
        let staging = Staging::new(store)?;
        let placed = thread::scope(|scope| {
            // Rows take as long as files: neither waits for the other.
            let writing = scope.spawn(|| {
                let placed = staging.place(&staging.write(&wanted, spool, progress)?, progress)?;
                progress(Step::Syncing);
                fs::syncfs(&store.fd).context("sync", || store.path.clone())?;
                Ok(placed)
            });
            let added = registry.add(&self.store_dir, paths, &known, |path| outputs(path, spool));
            let indexed = added.and_then(|()| registry.index());
            if indexed.is_err() {
                staging.stop.store(true, Ordering::Relaxed);
            }
            let placed = join(writing);
            indexed.and(placed)
        })?;
        registry.prepare(&self.layout.db)?;
        progress(Step::Registering);
        // From here on the paths may be valid, whatever becomes of the commit.
        placed.keep();
        registry.commit(&self.layout.db)?;
        progress(Step::Registered);
        links.publish()?;
        Ok(imported)
    }

    /// Refuses what cannot fit, before anything is written.
    fn check_space(&self, wanted: &[&ProvenPath]) -> Result<(), DirectError> {
        let store = &self.layout.store;
        let stat = fs::fstatvfs(&store.fd).context("stat", || store.path.clone())?;
        let block = stat.f_frsize.clamp(1, 1 << 16);
        // A row with its references takes one KiB, in the log and in the database.
        let (mut needed, mut inodes) = (wanted.len() as u64 * 2048, 0u64);
        for path in wanted {
            path.content().walk(&mut |_, node| {
                inodes += 1;
                needed += match node {
                    Node::Regular { contents, .. } => contents.len.div_ceil(block) * block,
                    Node::Directory { .. } => block,
                    Node::Symlink { .. } => 0,
                };
            });
        }
        let root = rustix::process::geteuid().is_root();
        let free = if root { stat.f_bfree } else { stat.f_bavail }.saturating_mul(stat.f_frsize);
        if needed > free {
            return Err(DirectError::Space { needed, free, path: store.path.clone() });
        }
        let free = if root { stat.f_ffree } else { stat.f_favail };
        // File systems that make inodes as they go say 0 of 0.
        if stat.f_files > 0 && inodes > free {
            return Err(DirectError::Inodes { needed: inodes, free, path: store.path.clone() });
        }
        Ok(())
    }
}

/// The state directory of a store folder, `root/nix/var/nix`; beside the store where its directory is another one.
pub fn state_dir(root: &Path, store_dir: &StoreDir) -> PathBuf {
    root.join(layout::state_dir(store_dir).trim_start_matches('/'))
}

/// Names and paths of the outputs that a derivation knows. Nix registers none for a text that it cannot read either.
fn outputs(path: &ProvenPath, spool: &dyn Spool) -> Result<Vec<(String, String)>, DirectError> {
    let Node::Regular { contents, .. } = path.content() else { return Ok(Vec::new()) };
    let text = spool.get(*contents).context("read back", || path.path().as_str().into())?;
    let Ok(outputs) = Derivation::outputs_in(&text) else { return Ok(Vec::new()) };
    let known = outputs.into_iter().filter(|[_, path]| !path.is_empty());
    Ok(known.filter_map(|[name, path]| Some((String::from_utf8(name).ok()?, String::from_utf8(path).ok()?))).collect())
}

/// A private directory in the store directory, gone with this value.
struct Staging<'a> {
    store: &'a Directory,
    lanes: Vec<Directory>,
    next: AtomicUsize,
    stop: AtomicBool,
}

/// A path that is written, and the lane it is in.
type Staged<'a> = (&'a Directory, &'a ProvenPath);

impl<'a> Staging<'a> {
    fn new(store: &'a Directory) -> Result<Self, DirectError> {
        let make = |at: &Directory, name: &str| {
            let path = || at.path.join(name);
            fs::mkdirat(&at.fd, name, Mode::RWXU).context("make", path)?;
            at.open(name)?.ok_or_else(|| DirectError::Replaced(path()))
        };
        let mut staging = Self { store, lanes: Vec::new(), next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
        let top = make(store, STAGING)?;
        // One lane for each thread: the kernel lets one at a time into a directory.
        for lane in 0..WRITERS {
            staging.lanes.push(make(&top, &lane.to_string())?);
        }
        Ok(staging)
    }

    /// Writes every path; on return all threads are done.
    fn write<'s>(
        &'s self,
        wanted: &[&'s ProvenPath],
        spool: &dyn Spool,
        progress: Progress<'_>,
    ) -> Result<Vec<Staged<'s>>, DirectError> {
        let fill = |lane: &'s Directory| -> Result<Vec<Staged<'s>>, DirectError> {
            let mut staged = Vec::new();
            let mut restorer = Restorer::new(spool, lane.fd.as_fd()).context("write", || lane.path.clone())?;
            while !self.stop.load(Ordering::Relaxed) {
                let Some(path) = wanted.get(self.next.fetch_add(1, Ordering::Relaxed)) else { break };
                let name = path.path().as_str();
                restorer.top(lane.fd.as_fd(), name, path.content(), || self.store.path.join(name))?;
                staged.push((lane, *path));
                progress(Step::Wrote(path.nar_size()));
            }
            Ok(staged)
        };
        let fill = |lane| fill(lane).inspect_err(|_| self.stop.store(true, Ordering::Relaxed));
        thread::scope(|scope| {
            let fill = &fill;
            let threads: Vec<_> = self.lanes.iter().map(|lane| scope.spawn(move || fill(lane))).collect();
            let results: Vec<_> = threads.into_iter().map(join).collect();
            results.into_iter().try_fold(Vec::new(), |mut all, staged| {
                all.append(&mut staged?);
                Ok(all)
            })
        })
    }

    /// Renames everything to where it belongs; what is there is not valid, or it would not have been wanted.
    fn place(&self, staged: &[Staged<'a>], progress: Progress<'_>) -> Result<Placed<'a>, DirectError> {
        let mut placed = Placed { store: self.store, names: Vec::with_capacity(staged.len()) };
        for (lane, path) in staged {
            let name = path.path().as_str();
            let target = || self.store.path.join(name);
            let rename = || fs::renameat(&lane.fd, name, &self.store.fd, name);
            match rename() {
                Err(Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
                    remove(&self.store.fd, name.as_bytes()).context("remove", target)?;
                    rename()
                }
                other => other,
            }
            .context("write", target)?;
            placed.names.push(path.path());
            if let Node::Directory { .. } = path.content() {
                seal(self.store.fd.as_fd(), name).context("write", target)?;
            }
            progress(Step::Placed);
        }
        Ok(placed)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // What cannot be removed now the next run or a collection removes.
        let _ = remove(&self.store.fd, STAGING.as_bytes());
    }
}

/// Paths that are in place and not valid, taken away again with this value.
struct Placed<'a> {
    store: &'a Directory,
    names: Vec<&'a StorePath>,
}

impl Placed<'_> {
    fn keep(mut self) {
        self.names.clear();
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = remove(&self.store.fd, name.as_str().as_bytes());
        }
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
