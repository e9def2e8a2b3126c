//! From what a person names to a firn file: find the derivations, read their closure from a store, prove it, encode it.

mod base;
mod evaluate;
pub(crate) mod kept;
mod listen;
mod provenance;
pub(crate) mod read;
mod secrets;
pub(crate) mod store;
mod warnings;
pub(crate) mod what;

use crate::{
    CommandError, EncodeOptions, ExitCode, Session, StoreTarget, command::pack::NixFlags, encode::Encoded,
    error::About, import::environment, spool_file::FileSpool,
};
use base::HeldBase;
use evaluate::Evaluator;
use firn_core::{Proven, ProvenPath, StoreDir, StorePath, hash};
use firn_store::root::{RootPlace, RootRequest, check_root_name};
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};
use store::Store;
pub(crate) use store::StorePlace;
use what::{FlakeRef, What};

/// What is wanted of a pack.
#[derive(Debug, Clone, Default)]
pub struct PackRequest {
    /// Arguments as they were given.
    pub what: Vec<String>,
    /// An expression to evaluate, and attributes of it.
    pub file: Option<String>,
    /// Without a file they are of `./default.nix`.
    pub attributes: Vec<String>,
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
    /// Name that the base of a delta is kept under here.
    pub base_name: Option<String>,
    /// Host that runs the base of a delta, `[user@]host`.
    pub base_host: Option<String>,
    /// Id of the machine that the file is for.
    pub machine_id: Option<String>,
    /// Whether it is recorded where the systems came from.
    pub provenance: bool,
    /// What is given to Nix.
    pub nix: NixFlags,
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
    if let Some(name) = &request.keep {
        // What cannot be kept is not evaluated.
        check_root_name(name).map_err(|error| CommandError::new(ExitCode::Usage, error)).about("--keep")?;
    }
    let place = StorePlace::find(request.store.as_deref(), store::store_dir()?, environment())?;
    let evaluator =
        Evaluator { flags: &request.nix, remote: place.remote(), sink: session.sink, listener: Default::default() };
    let wanted = request.what.iter().map(|text| What::parse(text, &place.store_dir));
    let wanted: Vec<What> = wanted.collect::<Result<_, _>>()?;
    let flakes = || wanted.iter().filter_map(|what| if let What::Flake(flake) = what { Some(flake) } else { None });
    if flakes().next().is_none()
        && let Some(flag) = request.nix.only_for_flakes()
    {
        return Err(CommandError::new(ExitCode::Usage, format!("{flag} is for flakes, and none is packed"))
            .hint("an expression takes --arg and --argstr, and -I for its search path"));
    }
    if flakes().next().is_some()
        && let Some(flag) = request.nix.only_for_expressions()
    {
        return Err(CommandError::new(ExitCode::Usage, format!("{flag} is for expressions, and a flake takes none"))
            .hint("name an expression with --file, or give the flake another input with --override-input"));
    }
    flakes().for_each(|flake| warnings::untracked(flake, session.sink));

    let base = HeldBase::find(request, &place, session)?;
    if base.is_none() {
        session.prime_ahead(request.low_memory);
    }
    let find = || find_roots(request, &wanted, &evaluator, &place, session);
    let mut roots = find()?;
    let mut store = place.open(root_requests(request.keep.as_deref(), &roots), session.sink)?;
    let mut lost = store.hold(&roots)?;
    if !lost.is_empty() && wanted.iter().all(|what| matches!(what, What::Flake(_))) {
        // A collector ran between the evaluation and our hold.
        roots = find()?;
        store = place.open(root_requests(request.keep.as_deref(), &roots), session.sink)?;
        lost = store.hold(&roots)?;
    }
    if request.machine_id.is_some() && roots.len() > 1 {
        return Err(CommandError::new(
            ExitCode::Usage,
            "--machine-id is of one machine, and this is more than one system",
        )
        .hint("pack each system by itself"));
    }
    if let Some(lost) = lost.first() {
        return Err(CommandError::new(ExitCode::Incomplete, "this derivation is not valid in the store")
            .about(place.store_dir.display(lost))
            .hint("evaluate the system again, or name the store that has it with --store"));
    }

    let mut spool = session.spool(Some(&request.output))?;
    let (closure, found) = read_closure(&mut store, &place, &roots, &mut spool, session)?;
    warnings::trusted(&closure, session.sink);
    warnings::secrets(&closure, &found, session.sink);

    let mut options = EncodeOptions {
        low_memory: request.low_memory,
        max_bytes: request.max_size,
        machine_id: request.machine_id.clone(),
        ..session.encode_options()
    };
    if request.provenance {
        for flake in flakes() {
            options.provenance.extend(provenance_of(flake, &evaluator, &store)?);
        }
        options.provenance.extend(request.file.iter().map(|file| ("file".to_owned(), file.clone())));
        options.provenance.extend(request.attributes.iter().map(|name| ("attribute".to_owned(), name.clone())));
    }
    let encoded = match base {
        Some(base) => {
            let base = base.read(&place, &mut spool, session)?;
            session.write_delta(&closure, &base, &spool, &options, &request.output)?
        }
        None => {
            let from = StoreTarget::Daemon(place.url.clone());
            session.write_against_base(&closure, &mut spool, &options, &from, &request.output)?
        }
    };
    warnings::heavy(&closure, &encoded, session.sink);
    let links = if request.keep.is_some() { store.keep()? } else { Vec::new() };
    store.close()?;
    let closure_bytes = closure.paths().iter().map(ProvenPath::nar_size).sum();
    Ok(Packed { roots, store_dir: place.store_dir, encoded, closure_bytes, links })
}

/// The closure of some derivations that are held, read from the disk and proven, and the secrets that are in it.
pub(crate) fn read_closure(
    store: &mut Store,
    place: &StorePlace,
    roots: &[StorePath],
    spool: &mut FileSpool,
    session: &Session<'_>,
) -> Result<(Proven, HashMap<StorePath, &'static str>), CommandError> {
    let infos = store.closure(roots)?;
    let contents = read::contents(store.folder(), &infos, &place.store_dir, spool, session.threads(), session.sink)?;
    Ok((Proven::new(place.store_dir.clone(), Some(roots.to_vec()), contents.paths)?, contents.secrets))
}

/// The derivations of everything that is wanted, each once.
fn find_roots(
    request: &PackRequest,
    wanted: &[What],
    evaluator: &Evaluator<'_>,
    place: &StorePlace,
    session: &Session<'_>,
) -> Result<Vec<StorePath>, CommandError> {
    let mut roots: Vec<StorePath> = Vec::new();
    let mut add = |root: StorePath| {
        if !roots.contains(&root) {
            roots.push(root);
        }
    };
    for what in wanted {
        match what {
            What::Store(path) if path.is_derivation() => add(path.clone()),
            What::Store(path) => {
                let mut store = place.open(Vec::new(), session.sink)?;
                add(store.derivation_of(path)?);
                store.close()?;
            }
            What::Flake(flake) => add(place.store_dir.parse(evaluator.flake(flake)?.as_bytes())?),
        }
    }
    if request.file.is_some() || !request.attributes.is_empty() {
        let file = request.file.as_deref().unwrap_or(".");
        for drv in evaluator.expression(file, &request.attributes)? {
            add(place.store_dir.parse(drv.as_bytes())?);
        }
    }
    if roots.is_empty() {
        return Err(CommandError::new(ExitCode::Evaluation, "the expression has no derivation in it")
            .hint("name an attribute of it with --attr"));
    }
    Ok(roots)
}

fn provenance_of(
    flake: &FlakeRef,
    evaluator: &Evaluator<'_>,
    store: &Store,
) -> Result<Vec<(String, String)>, CommandError> {
    let metadata = evaluator.metadata(&flake.flake)?;
    let text = |pointer| metadata.pointer(pointer).and_then(serde_json::Value::as_str);
    let tree = text("/path").map(|path| store.on_disk(Path::new(path)));
    let lock = tree.map(|tree| tree.join(text("/locked/dir").unwrap_or("")).join("flake.lock"));
    let lock = lock.and_then(|lock| match std::fs::read(&lock) {
        Ok(text) => Some(hash::hex(&hash::sha256(&text))),
        // A flake without inputs has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound && lock.parent().is_some_and(Path::exists) => None,
        Err(error) => {
            evaluator.sink.warn(&format!("the lock is not recorded: {}: {error}", lock.display()));
            None
        }
    });
    let mut facts = provenance::of_flake(&metadata, lock);
    facts.extend(flake.fragment.iter().map(|fragment| ("attribute".to_owned(), fragment.clone())));
    Ok(facts)
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
