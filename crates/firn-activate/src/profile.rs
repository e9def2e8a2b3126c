//! Profiles: numbered links and one that leads to one of them, as `nix-env -p PROFILE --set` makes them. We make them
//! ourselves, under Nix's own lock: the number has to be known and in the journal before the link is moved, the links
//! have to be on disk before the boot loader is told, and a host or a rescue system need not have `nix-env` in its PATH.

use crate::{
    error::ActivateError,
    goal::profile_link,
    hold::Hold,
    host::{Host, make_folder, remove, replace_link, sync_parent},
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

/// One generation of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// The system it keeps.
    pub path: PathBuf,
}

/// A profile of a host.
#[derive(Debug, Clone)]
pub struct Profile {
    host: Host,
    link: PathBuf,
}

impl Profile {
    /// The profile of this name.
    pub fn new(host: &Host, name: &str) -> Self {
        Self { host: host.clone(), link: profile_link(name) }
    }

    /// All generations, oldest first.
    pub fn generations(&self) -> Vec<Generation> {
        let link = self.host.path(&self.link);
        let (Some(folder), Some(name)) = (link.parent(), link.file_name().and_then(|name| name.to_str())) else {
            return Vec::new();
        };
        let number = |file: &str| file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix("-link")?.parse().ok();
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<Generation> = entries
            .filter_map(|entry| {
                let number = number(entry.file_name().to_str()?)?;
                Some(Generation { number, path: fs::read_link(entry.path()).ok()? })
            })
            .collect();
        found.sort_by_key(|generation| generation.number);
        found
    }

    /// The generation that the profile is at.
    pub fn current(&self) -> Option<Generation> {
        let target = fs::read_link(self.host.path(&self.link)).ok()?;
        let name = target.file_name()?.to_str()?.to_owned();
        self.generations().into_iter().find(|generation| self.name_of(generation.number) == name)
    }

    /// When a generation was made, in seconds since 1970.
    pub fn made(&self, number: u64) -> Option<u64> {
        let made = fs::symlink_metadata(self.link_of(number)).ok()?.modified().ok()?;
        Some(made.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
    }

    /// The generation that `--set` would give `system`, and whether it would be new: the newest is used again where it
    /// is the same.
    pub fn next(&self, system: &Path) -> (Generation, bool) {
        let path = system.to_owned();
        match self.generations().last() {
            Some(newest) if newest.path == system => (newest.clone(), false),
            newest => (Generation { number: newest.map_or(0, |g| g.number) + 1, path }, true),
        }
    }

    /// Makes the numbered link, unless it is there. The profile stays where it is.
    pub(crate) fn make(&self, generation: &Generation) -> Result<(), ActivateError> {
        let link = self.link_of(generation.number);
        make_folder(link.parent().unwrap_or(Path::new("/")))?;
        if fs::read_link(&link).ok().as_ref() == Some(&generation.path) {
            return Ok(());
        }
        symlink(&generation.path, &link).map_err(ActivateError::file("make the link", &link))?;
        sync_parent(&link)
    }

    /// Moves the profile to a generation, which is made anew if a collection has deleted it meanwhile.
    pub(crate) fn set(&self, generation: &Generation) -> Result<(), ActivateError> {
        self.make(generation)?;
        replace_link(&self.host.path(&self.link), Path::new(&self.name_of(generation.number)))
    }

    /// Takes the profile away, where there was none.
    pub(crate) fn unset(&self) -> Result<(), ActivateError> {
        let link = self.host.path(&self.link);
        remove(&link)?;
        sync_parent(&link)
    }

    /// Deletes a generation, unless the profile is at it or its number has been given to another system.
    pub(crate) fn delete(&self, generation: &Generation) -> Result<(), ActivateError> {
        let link = self.link_of(generation.number);
        if self.current().is_some_and(|current| current.number == generation.number)
            || fs::read_link(&link).ok().as_ref() != Some(&generation.path)
        {
            return Ok(());
        }
        remove(&link)?;
        sync_parent(&link)
    }

    /// Takes the lock that `nix-env` takes, waiting for it.
    pub(crate) fn lock(&self) -> Result<Hold, ActivateError> {
        let mut path = self.host.path(&self.link).into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        make_folder(path.parent().unwrap_or(Path::new("/")))?;
        let failed = |error| ActivateError::file("lock", &path)(error);
        loop {
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
            let file = open.map_err(failed)?;
            flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
            // Nix marks a lock file that it deletes by writing to it: then another one is the lock.
            let hold = Hold { file };
            if hold.file.metadata().map_err(failed)?.len() == 0 {
                return Ok(hold);
            }
        }
    }

    fn name_of(&self, number: u64) -> String {
        format!("{}-{number}-link", self.link.file_name().unwrap_or_default().to_string_lossy())
    }

    fn link_of(&self, number: u64) -> PathBuf {
        self.host.path(self.link.with_file_name(self.name_of(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_numbered_on_and_the_newest_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::new(&Host::below(dir.path()), "system");
        assert_eq!(profile.current(), None);
        for (system, number, new) in [("a", 1, true), ("a", 1, false), ("b", 2, true)] {
            let (next, is_new) = profile.next(Path::new(system));
            assert_eq!((next.number, is_new), (number, new), "{system}");
            let _lock = profile.lock().unwrap();
            profile.set(&next).unwrap();
            assert_eq!(profile.current().unwrap(), next);
        }
        let [a, b] = profile.generations().try_into().unwrap();
        // Back to an older one, then the one that was newest is not the current one and can go.
        profile.set(&a).unwrap();
        profile.delete(&a).unwrap();
        assert_eq!(profile.current().unwrap(), a);
        profile.delete(&b).unwrap();
        assert_eq!(profile.generations(), [a]);
    }

    #[test]
    fn a_generation_that_a_collection_deleted_comes_back_under_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::new(&Host::below(dir.path()), "web");
        let old = Generation { number: 41, path: "/nix/store/old".into() };
        profile.set(&old).unwrap();
        assert_eq!(profile.current(), Some(old));
        assert!(dir.path().join("nix/var/nix/profiles/system-profiles/web-41-link").is_symlink());
    }
}
