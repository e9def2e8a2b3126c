//! Taking away what nobody needs any more: records and roots of generations that are gone, old journals and binaries.

use crate::{
    error::ActivateError,
    host::{Host, remove},
    journal::Journal,
    profile::Profile,
    record::Record,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Journals that are kept, with their logs.
const JOURNALS: usize = 50;

/// What was taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Records of generations.
    pub records: u64,
    /// GC roots.
    pub roots: u64,
    /// Journals with their logs.
    pub journals: u64,
    /// Copies of the binary.
    pub binaries: u64,
}

/// Takes it away. Whoever calls it holds the lock of those who begin.
pub fn prune(host: &Host, profile: &str) -> Result<Pruned, ActivateError> {
    let generations = Profile::new(host, profile).generations();
    let mut pruned = Pruned { records: Record::prune(host, profile, &generations)?, ..Pruned::default() };
    let journals = Journal::all(host);
    let active: BTreeSet<&String> =
        journals.iter().filter(|id| Journal::read(host, id).is_ok_and(|journal| !journal.state.is_final())).collect();
    let mut kept: BTreeSet<PathBuf> = generations.into_iter().map(|generation| generation.path).collect();
    kept.extend(["/run/current-system", "/run/booted-system"].iter().filter_map(|link| host.resolve(link)));
    for entry in fs::read_dir(host.roots()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let gone = match name.strip_prefix("activation-") {
            Some(rest) => !active.iter().any(|id| rest.starts_with(id.as_str())),
            // Roots of results that `firn realise` and `firn switch` make by the name of a host.
            None => {
                name.ends_with("-result")
                    && is_system(host, &entry.path())
                    && !target(&entry.path()).is_some_and(|t| kept.contains(&t))
            }
        };
        if gone {
            remove(&entry.path())?;
            pruned.roots += 1;
        }
    }
    let old = journals.len().saturating_sub(JOURNALS);
    for id in journals.iter().take(old).filter(|id| !active.contains(id)) {
        remove(&host.journals().join(format!("{id}.json")))?;
        remove(&host.logs().join(format!("{id}.log")))?;
        pruned.journals += 1;
    }
    if active.is_empty() {
        let newest = fs::read_link(host.binaries().join("firn")).ok();
        for entry in fs::read_dir(host.binaries()).into_iter().flatten().flatten() {
            let name = PathBuf::from(entry.file_name());
            if Some(&name) != newest.as_ref() && name != Path::new("firn") {
                remove(&entry.path())?;
                pruned.binaries += 1;
            }
        }
    }
    Ok(pruned)
}

fn target(link: &Path) -> Option<PathBuf> {
    fs::read_link(link).ok()
}

fn is_system(host: &Host, link: &Path) -> bool {
    target(link).is_some_and(|path| {
        path.starts_with("/nix/store") && fs::symlink_metadata(host.path(path.join("nixos-version"))).is_ok()
    })
}
