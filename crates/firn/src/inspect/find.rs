//! Which paths of a closure a pattern fits, and what nearly does.

use super::Pattern;
use crate::{CommandError, ExitCode};
use firn_core::{Node, ProvenPath, Spool, StoreDir, StorePath, derivation::Derivation};
use std::io;

/// Names that a message lists.
pub(crate) const NAMES: usize = 6;

/// Paths that a pattern fits; if it fits none, the derivations of outputs that it fits.
pub(crate) fn fitting<'a>(
    paths: &[&'a ProvenPath],
    store_dir: &StoreDir,
    spool: &dyn Spool,
    pattern: &Pattern,
) -> Result<Vec<&'a ProvenPath>, CommandError> {
    let found: Vec<&ProvenPath> = paths.iter().copied().filter(|p| pattern.fits(store_dir, p.path())).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut found = Vec::new();
    for path in paths.iter().copied().filter(|p| p.is_derivation()) {
        let drv = Derivation::parse(&text_of(path, spool)?).unwrap_or_default();
        let outputs = drv.outputs.iter().filter_map(|o| store_dir.parse(&o.path).ok());
        if outputs.into_iter().any(|output| pattern.fits(store_dir, &output)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The text of a derivation.
pub(crate) fn text_of(path: &ProvenPath, spool: &dyn Spool) -> io::Result<Vec<u8>> {
    match path.content() {
        Node::Regular { contents, .. } => spool.get(*contents),
        _ => Ok(Vec::new()),
    }
}

/// Nothing fits: says what nearly does.
pub(crate) fn absent<'a>(what: &str, pattern: &Pattern, paths: impl Iterator<Item = &'a StorePath>) -> CommandError {
    let error = CommandError::new(ExitCode::Absent, format!("no {what} fits {:?}", pattern.as_str()));
    let mut near: Vec<&str> = paths.map(StorePath::name).filter(|name| pattern.nearly_fits(name)).collect();
    near.sort_by_key(|name| (name.len(), *name));
    near.dedup();
    if near.is_empty() {
        return error.hint("a pattern is a part of a name or store path, or a glob with * and ? for all of one");
    }
    let more = if near.len() > NAMES { ", ..." } else { "" };
    near.truncate(NAMES);
    error.hint(format!("these are near it: {}{more}", near.join(", ")))
}
