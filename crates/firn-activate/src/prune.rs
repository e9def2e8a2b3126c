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

/// Takes it away. Whoever calls it holds the lock of those who begin. Of the roots of results, only those of generations
/// that are gone, unless `results` says that all may go that no generation needs.
pub fn prune(host: &Host, profile: &str, results: bool) -> Result<Pruned, ActivateError> {
    let generations = Profile::new(host, profile).generations();
    let past = Record::prune(host, profile, &generations)?;
    let mut pruned = Pruned { records: past.len() as u64, ..Pruned::default() };
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
                    && target(&entry.path()).is_some_and(|path| {
                        !kept.contains(&path) && (past.contains(&path) || (results && is_system(host, &path)))
                    })
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
        remove(&host.journals().join(format!("{id}.reserve")))?;
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

fn is_system(host: &Host, path: &Path) -> bool {
    path.starts_with("/nix/store") && fs::symlink_metadata(host.path(path.join("nixos-version"))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        goal::Action,
        host::{make_folder, replace_link},
        journal::{State, tests::journal, tests::moment},
    };

    #[test]
    fn roots_of_an_activation_go_with_it_and_those_of_results_with_their_generation() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let system = PathBuf::from("/nix/store/system");
        make_folder(&host.path(&system)).unwrap();
        fs::write(host.path(system.join("nixos-version")), "A").unwrap();
        make_folder(&host.roots()).unwrap();
        let mut journal = journal(Action::Switch);
        let roots = [format!("activation-{}-new", journal.id), "activation-1-new".into(), "web-result".into()];
        for root in &roots {
            replace_link(&host.roots().join(root), &system).unwrap();
        }
        journal.write(&host).unwrap();
        let left = || roots.iter().map(|root| host.roots().join(root).is_symlink()).collect::<Vec<_>>();
        prune(&host, "system", false).unwrap();
        assert_eq!(left(), [true, false, true]);
        journal.enter(State::Done, moment("one", 5));
        journal.write(&host).unwrap();
        let roots = prune(&host, "system", true).unwrap().roots;
        assert_eq!((left(), roots), (vec![false, false, false], 2));
    }
}
