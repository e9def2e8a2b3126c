//! Which firn file a generation came from, and the GC roots of an activation.

use crate::{
    error::ActivateError,
    host::{Host, make_folder, remove, replace_link, write_synced},
    journal::Journal,
    profile::Generation,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What firn knows of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the profile.
    pub profile: String,
    /// The generation.
    pub generation: Generation,
    /// The file it came from, as a person named it.
    pub file: Option<String>,
    /// The specialisation that ran.
    pub specialisation: Option<String>,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
}

impl Record {
    pub(crate) fn of(journal: &Journal, generation: &Generation, unix_ms: u64) -> Self {
        let goal = &journal.goal;
        Self {
            profile: goal.profile.clone(),
            generation: generation.clone(),
            file: goal.file.clone(),
            specialisation: goal.specialisation.clone(),
            unix_ms,
        }
    }

    /// Reads the record of a generation; `None` where there is none, or it is of another system under the same number.
    pub fn read(host: &Host, profile: &str, generation: &Generation) -> Option<Self> {
        let text = fs::read(path(host, profile, generation.number)).ok()?;
        serde_json::from_slice(&text).ok().filter(|record: &Self| record.generation == *generation)
    }

    pub(crate) fn write(&self, host: &Host) -> Result<(), ActivateError> {
        let path = path(host, &self.profile, self.generation.number);
        make_folder(path.parent().unwrap_or(Path::new("/")))?;
        let text = serde_json::to_vec(self).map_err(|source| ActivateError::Journal { path: path.clone(), source })?;
        write_synced(&path, &text, 0o644)
    }

    /// Deletes the records of generations that are gone, and returns their systems.
    pub(crate) fn prune(host: &Host, profile: &str, kept: &[Generation]) -> Result<Vec<PathBuf>, ActivateError> {
        let mut pruned = Vec::new();
        let entries = fs::read_dir(host.state().join("generations")).into_iter().flatten().flatten();
        for entry in entries {
            let Some(record) = fs::read(entry.path()).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            else {
                continue;
            };
            if record.profile == profile && !kept.contains(&record.generation) {
                remove(&entry.path())?;
                pruned.push(record.generation.path);
            }
        }
        Ok(pruned)
    }
}

fn path(host: &Host, profile: &str, number: u64) -> PathBuf {
    host.state().join("generations").join(format!("{profile}-{number}.json"))
}

/// Roots what an activation needs until it has ended: the new system and what a revert goes back to.
pub(crate) fn make_roots(host: &Host, journal: &Journal) -> Result<(), ActivateError> {
    let folder = host.roots();
    make_folder(&folder)?;
    let before = &journal.before;
    let kept = [
        ("new", Some(journal.goal.system.as_path())),
        ("running", before.running.as_deref()),
        ("generation", before.generation.as_ref().map(|generation| generation.path.as_path())),
        ("boot", before.boot_default.system()),
    ];
    for (name, path) in kept {
        if let Some(path) = path {
            replace_link(&folder.join(root_name(&journal.id, name)), path)?;
        }
    }
    Ok(())
}

/// Lets them go. What the profile and `/run` keep stays.
pub(crate) fn release_roots(host: &Host, id: &str) {
    for name in ["new", "running", "generation", "boot"] {
        let _ = fs::remove_file(host.roots().join(root_name(id, name)));
    }
}

fn root_name(id: &str, name: &str) -> String {
    format!("activation-{id}-{name}")
}
