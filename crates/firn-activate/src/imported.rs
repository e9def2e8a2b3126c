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
    fs, io,
    path::{Path, PathBuf},
};

/// The root of an import, and the start of the host in which it was begun.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    root: PathBuf,
    boot_id: String,
}

fn file(host: &Host) -> PathBuf {
    host.state().join("importing.json")
}

/// Says that an import of `root` begins.
pub fn begin(host: &Host, root: PathBuf, now: &Moment) -> Result<(), ActivateError> {
    let path = file(host);
    make_folder(&host.state())?;
    let mark = Mark { root, boot_id: now.boot_id.clone() };
    let text = serde_json::to_vec(&mark).map_err(|source| ActivateError::Journal { path: path.clone(), source })?;
    write_synced(&path, &text, 0o644)
}

/// Says that all of it is on disk.
pub fn end(host: &Host) -> Result<(), ActivateError> {
    remove(&file(host))
}

/// After a restart in the middle of an import: hashes the closure of its root and what was built of it, and deletes what
/// is not what it should be with all that refers to it; the next import brings it again. Gives the paths that cannot be
/// deleted, as something else needs them.
pub fn check(host: &Host, machine: &Machine, now: &Moment) -> Result<Vec<PathBuf>, ActivateError> {
    let path = file(host);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(ActivateError::file("read", &path))?,
    };
    let mark: Mark = serde_json::from_slice(&text).map_err(|source| ActivateError::Journal { path, source })?;
    if mark.boot_id == now.boot_id {
        return Ok(Vec::new());
    }
    let root = mark.root.display().to_string();
    let (code, closure) = machine.ask("nix-store", &["--query", "--requisites", "--include-outputs", &root])?;
    // A root that is not valid was not imported to its end: nothing that is valid refers to what is not.
    let paths: Vec<&str> = if code == 0 { closure.lines().collect() } else { Vec::new() };
    let mut bad = Vec::new();
    for some in paths.chunks(500) {
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

/// Deletes a path with all that refers to it, and the roots that firn made for them. The store itself sees to it that
/// nothing goes that others keep.
fn discard(host: &Host, machine: &Machine, path: &Path) -> bool {
    let path = path.display().to_string();
    let Ok((0, referrers)) = machine.ask("nix-store", &["--query", "--referrers-closure", &path]) else { return false };
    let gone: Vec<&str> = referrers.lines().collect();
    for entry in fs::read_dir(host.roots()).into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if gone.iter().any(|path| Path::new(path) == target) {
            let _ = fs::remove_file(entry.path());
        }
    }
    machine.ask("nix-store", &[&["--delete"], gone.as_slice()].concat()).is_ok_and(|(code, _)| code == 0)
}
