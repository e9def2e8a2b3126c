//! What was imported last, until it is surely on disk. A power cut can leave paths that a store calls valid with empty
//! files (NixOS/nix#1218): after one, what came last is hashed again before anything is built on it.

use crate::{
    clock::Moment,
    error::ActivateError,
    host::{Host, make_folder, remove, write_synced},
    machine::Machine,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// What an import brings, and the start of the host in which it was begun.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// Its root, by which what is built of it is found.
    root: PathBuf,
    /// All of it: where it was cut, the root is not there, and what came before it is.
    #[serde(default)]
    paths: BTreeSet<PathBuf>,
    boot_id: String,
}

fn file(host: &Host) -> PathBuf {
    host.state().join("importing.json")
}

/// The paths that `nix-store` is given at once.
const CHUNK: usize = 500;

fn read(host: &Host) -> Result<Option<Mark>, ActivateError> {
    let path = file(host);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => {
            let text = text.map_err(ActivateError::file("read", &path))?;
            serde_json::from_slice(&text).map(Some).map_err(|source| ActivateError::Journal { path, source })
        }
    }
}

/// Says that an import of `root` begins, which brings these paths.
pub fn begin(host: &Host, root: PathBuf, paths: BTreeSet<PathBuf>, now: &Moment) -> Result<(), ActivateError> {
    let path = file(host);
    make_folder(&host.state())?;
    let mut mark = Mark { root, paths, boot_id: now.boot_id.clone() };
    // One that failed is not on disk either.
    if let Ok(Some(earlier)) = read(host)
        && earlier.boot_id == mark.boot_id
    {
        mark.paths.extend(earlier.paths);
        mark.paths.insert(earlier.root);
    }
    let text = serde_json::to_vec(&mark).map_err(|source| ActivateError::Journal { path: path.clone(), source })?;
    write_synced(&path, &text, 0o644)
}

/// Says that all of it is on disk.
pub fn end(host: &Host) -> Result<(), ActivateError> {
    remove(&file(host))
}

/// After a restart in the middle of an import: hashes what came of it and what was built of its root, and deletes what
/// is not what it should be with all that refers to it; the next import brings it again. Gives the paths that cannot be
/// deleted, as something else needs them.
pub fn check(host: &Host, machine: &Machine, now: &Moment) -> Result<Vec<PathBuf>, ActivateError> {
    let Some(mark) = read(host)?.filter(|mark| mark.boot_id != now.boot_id) else { return Ok(Vec::new()) };
    let root = mark.root.display().to_string();
    let (code, closure) = machine.ask("nix-store", &["--query", "--requisites", "--include-outputs", &root])?;
    let mut paths: BTreeSet<&str> = if code == 0 { closure.lines().collect() } else { BTreeSet::new() };
    let named: Vec<&str> = mark.paths.iter().filter_map(|path| path.to_str()).collect();
    for some in named.chunks(CHUNK) {
        paths.extend(valid(machine, some)?);
    }
    let paths: Vec<&str> = paths.into_iter().collect();
    let mut bad = Vec::new();
    for some in paths.chunks(CHUNK) {
        let (code, _) = machine.ask("nix-store", &[&["--verify-path"], some].concat())?;
        if code != 0 {
            for path in some {
                if machine.ask("nix-store", &["--verify-path", path])?.0 != 0 {
                    bad.push(PathBuf::from(path));
                }
            }
        }
    }
    bad.retain(|path| !discard(host, machine, path));
    if bad.is_empty() {
        end(host)?;
    }
    Ok(bad)
}

fn valid<'a>(machine: &Machine, paths: &[&'a str]) -> Result<Vec<&'a str>, ActivateError> {
    let (_, invalid) = machine.ask("nix-store", &[&["--check-validity", "--print-invalid"], paths].concat())?;
    let invalid: BTreeSet<&str> = invalid.lines().collect();
    Ok(paths.iter().copied().filter(|path| !invalid.contains(path)).collect())
}

/// A path with all that refers to it, and what was built of those derivations: a derivation is not deleted without.
fn all_with(machine: &Machine, path: &str) -> Option<BTreeSet<String>> {
    let ask = |query: &str, paths: &[&str]| {
        let (code, text) = machine.ask("nix-store", &[&["--query", query], paths].concat()).ok()?;
        (code == 0).then(|| text.lines().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let mut all = ask("--referrers-closure", &[path])?;
    let derivations = all.iter().filter(|path| path.ends_with(".drv"));
    // A damaged one does not tell; nothing was built of it since.
    let outputs: BTreeSet<String> = derivations.filter_map(|path| ask("--outputs", &[path])).flatten().collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let built = valid(machine, &outputs).ok()?;
    if !built.is_empty() {
        all.extend(ask("--referrers-closure", &built)?);
    }
    Some(all)
}

/// Deletes a path with all that refers to it, and the roots that firn made for them. The store itself sees to it that
/// nothing goes that others keep.
fn discard(host: &Host, machine: &Machine, path: &Path) -> bool {
    let path = path.display().to_string();
    let Some(gone) = all_with(machine, &path) else { return false };
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    for entry in fs::read_dir(host.roots()).into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if gone.iter().any(|path| Path::new(path) == target) {
            let _ = fs::remove_file(entry.path());
        }
    }
    machine.ask("nix-store", &[&["--delete"], gone.as_slice()].concat()).is_ok_and(|(code, _)| code == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::moment;

    #[test]
    fn an_import_that_failed_is_remembered_with_the_next_until_the_host_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        begin(&host, "/nix/store/a.drv".into(), paths(&["/nix/store/x"]), &moment("one", 1)).unwrap();
        begin(&host, "/nix/store/b.drv".into(), paths(&["/nix/store/y"]), &moment("one", 2)).unwrap();
        let mark = read(&host).unwrap().unwrap();
        assert_eq!(mark.paths, paths(&["/nix/store/a.drv", "/nix/store/x", "/nix/store/y"]));
        begin(&host, "/nix/store/c.drv".into(), paths(&["/nix/store/z"]), &moment("two", 1)).unwrap();
        assert_eq!(read(&host).unwrap().unwrap().paths, paths(&["/nix/store/z"]));
        end(&host).unwrap();
        assert!(read(&host).unwrap().is_none());
    }
}
