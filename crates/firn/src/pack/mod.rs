//! From what a person names to a firn file: find the derivations, read their closure from a store, prove it, encode it.

mod store;
mod what;

use crate::{CommandError, ExitCode, Session, encode::Encoded, import::environment, stock::prove_all};
use firn_core::{Proven, ProvenPath, StoreDir, StorePath};
use firn_store::{
    database::ValidPath,
    root::{RootPlace, RootRequest},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use store::StorePlace;
use what::What;

/// What is wanted of a pack.
#[derive(Debug, Clone, Default)]
pub struct PackRequest {
    /// Arguments as they were given.
    pub what: Vec<String>,
    /// The file to write, `-` for standard output.
    pub output: PathBuf,
    /// The store to read.
    pub store: Option<String>,
    /// Bytes that the file may have.
    pub max_size: Option<u64>,
    /// For hosts that have 40 MB to read it.
    pub low_memory: bool,
    /// Name under which the derivations are kept here.
    pub keep: Option<String>,
}

/// A file that was packed.
#[derive(Debug)]
pub struct Packed {
    /// The roots, in the order they were named.
    pub roots: Vec<StorePath>,
    /// The directory they are in.
    pub store_dir: StoreDir,
    /// The file.
    pub encoded: Encoded,
    /// Bytes of all NARs of the closure.
    pub closure_bytes: u64,
    /// Links that keep the derivations here.
    pub links: Vec<PathBuf>,
}

/// Packs.
pub(crate) fn pack(request: &PackRequest, session: &Session<'_>) -> Result<Packed, CommandError> {
    let store_dir = match std::env::var("NIX_STORE_DIR").ok().filter(|dir| !dir.is_empty()) {
        Some(dir) => StoreDir::new(&dir)?,
        None => StoreDir::default(),
    };
    let place = StorePlace::find(request.store.as_deref(), store_dir, environment())?;
    let wanted = request.what.iter().map(|text| What::parse(text, &place.store_dir));
    let wanted: Vec<What> = wanted.collect::<Result<_, _>>()?;
    let mut finder = place.open(Vec::new(), session.sink)?;
    let mut roots: Vec<StorePath> = Vec::new();
    for what in &wanted {
        let root = match what {
            What::Store(path) => finder.derivation_of(path)?,
            What::Flake(_) => return Err(CommandError::new(ExitCode::Failure, "flakes are not built yet")),
        };
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    let mut store = place.open(root_requests(request.keep.as_deref(), &roots), session.sink)?;
    let lost = store.hold(&roots)?;
    finder.close()?;
    if let Some(lost) = lost.first() {
        return Err(CommandError::new(ExitCode::Incomplete, "this derivation is not valid in the store")
            .about(place.store_dir.display(lost))
            .hint("evaluate the system again, or name the store that has it with --store"));
    }
    let mut spool = session.spool(Some(&request.output))?;
    let infos = store.closure(&roots)?;
    let claimed = store.read(&infos, &mut spool, session.sink)?;
    let proven = prove_all(claimed, &place.store_dir, &spool, session.threads(), session.sink)?;
    check(&infos, &proven)?;
    drop(infos);
    let closure = Proven::new(place.store_dir.clone(), Some(roots.clone()), proven)?;
    name_trusted(&closure, session);
    let options = crate::EncodeOptions { low_memory: request.low_memory, ..session.encode_options() };
    let encoded = session.write_firn(&closure, &spool, &options, &request.output)?;
    let links = if request.keep.is_some() { store.keep()? } else { Vec::new() };
    store.close()?;
    let closure_bytes = closure.paths().iter().map(ProvenPath::nar_size).sum();
    Ok(Packed { roots, store_dir: place.store_dir, encoded, closure_bytes, links })
}

fn root_requests(keep: Option<&str>, roots: &[StorePath]) -> Vec<RootRequest> {
    let Some(keep) = keep else { return Vec::new() };
    let name = |number: usize| match roots.len() {
        1 => keep.to_owned(),
        _ => format!("{keep}-{}", number + 1),
    };
    let request = |(number, root): (usize, &StorePath)| RootRequest {
        place: RootPlace::Name(name(number)),
        target: root.clone(),
    };
    roots.iter().enumerate().map(request).collect()
}

/// Refuses what is on the disk and is not what the store registered.
fn check(infos: &[ValidPath], proven: &[ProvenPath]) -> Result<(), CommandError> {
    let registered: HashMap<&StorePath, &ValidPath> = infos.iter().map(|info| (&info.path, info)).collect();
    let changed = |path: &&ProvenPath| registered.get(path.path()).is_none_or(|info| info.nar_hash != *path.nar_hash());
    match proven.iter().find(changed) {
        None => Ok(()),
        Some(path) => Err(CommandError::new(ExitCode::Damaged, "its contents are not those that the store registered")
            .about(path.path())
            .hint("repair it: nix-store --repair-path, or delete it with nix-store --delete and evaluate again")),
    }
}

fn name_trusted(closure: &Proven, session: &Session<'_>) {
    for path in closure.needing_trust() {
        let signed = if path.signatures().is_empty() { "unsigned" } else { "signed" };
        session.sink.warn(&format!(
            "{} is an output among the sources ({signed}): the evaluation built it, and only root, a trusted user or a \
             signature brings it into a store",
            path.path()
        ));
    }
}
