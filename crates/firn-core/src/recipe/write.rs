//! From a proven closure to the raw bytes of the sections.

use super::{
    RecipeError,
    contents::Travelling,
    input::Input,
    order::{self, Wants},
    record_read::Expected,
    record_write::{Dictionary, write_raw, write_record},
    source_names::{self, IsDense},
    state::{Reference, State},
};
use crate::{
    archive::Node,
    closure::{Proven, ProvenPath},
    derivation::{Derivation, Front},
    spool::{Blob, Spool},
    store_path::StorePath,
};
use foldhash::{HashMap, HashMapExt, HashSet};
use memchr::memmem::Finder;
use std::io;

/// The sections of a recipe, not yet compressed.
pub struct EncodedRecipe {
    /// Section `source-names`.
    pub source_names: Vec<u8>,
    /// Section `copies`.
    pub copies: Vec<u8>,
    /// Section `source-paths`.
    pub source_paths: Vec<u8>,
    /// Section `sources`: where its bytes are, in order.
    pub contents: Vec<Travelling>,
    /// Section `hashes`.
    pub hashes: Vec<u8>,
    /// Section `derivations`.
    pub derivations: Vec<u8>,
    /// Bytes of each record in it.
    pub record_bytes: Vec<usize>,
    /// Number of derivations.
    pub derivation_count: u64,
    /// Number of sources.
    pub source_count: u64,
    /// Bytes of all derivations' texts together.
    pub text_bytes: u64,
    /// Derivations that travel as text, since they could not be taken apart.
    pub raw: Vec<StorePath>,
}

/// A derivation of the closure, while the order is being found.
struct Item<'a> {
    path: &'a ProvenPath,
    text: Blob,
    /// By number in the list of items, not by id.
    actual: Option<Vec<Reference>>,
}

/// What is known while the rest is still being taken apart: packing it may begin.
#[derive(Debug)]
pub enum Told<'a> {
    /// Contents of sources in the order in which they travel: all of them, once, before the first record.
    Sources(&'a [Travelling]),
    /// The next bytes of section `derivations`.
    Records(&'a [u8]),
}

/// See [`Told`].
pub type Tell<'a> = &'a mut dyn FnMut(Told<'_>);

/// How many bytes of records are told at once.
const TOLD_RECORDS: usize = 32 << 10;

/// Takes a closure apart. The result depends on the closure alone. `is_dense` tells whether contents will not compress.
pub fn encode(
    closure: &Proven,
    spool: &dyn Spool,
    is_dense: &mut dyn FnMut(Blob) -> io::Result<bool>,
    tell: Tell<'_>,
) -> Result<EncodedRecipe, RecipeError> {
    encode_with(closure, spool, Some(is_dense), tell)
}

fn encode_with(
    closure: &Proven,
    spool: &dyn Spool,
    mut is_dense: IsDense<'_, '_>,
    tell: Tell<'_>,
) -> Result<EncodedRecipe, RecipeError> {
    let mut force_raw = HashSet::default();
    // What is made raw later leaves the order and all records before it as they are.
    let (mut sources_told, mut records_told) = (false, 0);
    loop {
        let tell = &mut |encoded: &EncodedRecipe, all: bool| {
            if !std::mem::replace(&mut sources_told, true) {
                tell(Told::Sources(&encoded.contents));
            }
            let new = encoded.derivations.get(records_told..).unwrap_or_default();
            if new.len() >= if all { 1 } else { TOLD_RECORDS } {
                tell(Told::Records(new));
                records_told += new.len();
            }
        };
        let is_dense = is_dense.as_mut().map(|is_dense| &mut **is_dense as _);
        match encode_once(closure, spool, is_dense, tell, &force_raw) {
            Err(RecipeError::NotReversible(path)) if !force_raw.contains(&path) => force_raw.insert(path),
            result => return result,
        };
    }
}

/// The sections of a delta, before what its base has is taken out, in layout 1: those of a file, but that no contents are
/// dense and none are copies, since what is found to be may change.
pub fn encode_layout_1(closure: &Proven, spool: &dyn Spool) -> Result<EncodedRecipe, RecipeError> {
    encode_with(closure, spool, None, &mut |_| {})
}

/// The sections of the base of a delta, in layout 1. They depend on the paths and contents of the closure alone.
pub fn encode_base(closure: &Proven, spool: &dyn Spool) -> Result<EncodedRecipe, RecipeError> {
    let encode = |closure| encode_layout_1(closure, spool);
    if closure.needing_trust().next().is_none() { encode(closure) } else { encode(&closure.bare()) }
}

fn is_derivation(path: &ProvenPath) -> bool {
    path.is_derivation() && matches!(path.content(), Node::Regular { executable: false, .. })
}

fn encode_once(
    closure: &Proven,
    spool: &dyn Spool,
    is_dense: IsDense<'_, '_>,
    tell: &mut dyn FnMut(&EncodedRecipe, bool),
    force_raw: &HashSet<StorePath>,
) -> Result<EncodedRecipe, RecipeError> {
    let store_dir = closure.store_dir();
    let prefix = format!("{store_dir}/").into_bytes();
    // By path, so that neither the order of the input nor that of a stream shows.
    let mut paths: Vec<&ProvenPath> = closure.paths().iter().collect();
    paths.sort_by_key(|p| p.path());
    let (drvs, sources): (Vec<&ProvenPath>, Vec<&ProvenPath>) = paths.into_iter().partition(|p| is_derivation(p));
    let mut numbers: HashMap<&str, Reference> = HashMap::with_capacity(drvs.len() + sources.len());
    numbers.extend(drvs.iter().enumerate().map(|(i, p)| (p.path().as_str(), Reference::Derivation(i as u32))));
    numbers.extend(sources.iter().enumerate().map(|(i, p)| (p.path().as_str(), Reference::Source(i as u32))));

    let mut targets = order::Targets::with_capacity(numbers.len() * 2);
    let mut outputs: Vec<Vec<Box<[u8]>>> = Vec::with_capacity(drvs.len());
    for (i, path) in drvs.iter().enumerate() {
        let text = spool.get(text_of(path))?;
        let mut names = Front::parse(&text).map(|front| front.outputs).unwrap_or_default();
        names.sort_unstable();
        for (index, (_, output)) in names.iter().enumerate() {
            let base = output.strip_prefix(prefix.as_slice()).unwrap_or_default();
            order::add_target(&mut targets, base, Reference::Output(i as u32, index as u32));
        }
        outputs.push(names.into_iter().map(|(name, _)| name.into()).collect());
        order::add_target(&mut targets, path.path().as_str().as_bytes(), Reference::Derivation(i as u32));
    }
    for (i, path) in sources.iter().enumerate() {
        order::add_target(&mut targets, path.path().as_str().as_bytes(), Reference::Source(i as u32));
    }

    let number = |base: &[u8]| numbers.get(std::str::from_utf8(base).ok()?).copied();
    let output = |id: u32, name: &[u8]| outputs[id as usize].iter().position(|o| **o == *name).map(|i| i as u32);
    let finder = Finder::new(&prefix);
    let mut items = Vec::with_capacity(drvs.len());
    let mut wants = Vec::with_capacity(drvs.len());
    for path in &drvs {
        let text = text_of(path);
        let bytes = spool.get(text)?;
        let front = Front::parse(&bytes);
        let actual = front.as_ref().and_then(|front| order::actual(front, store_dir, &number, &output));
        // A text that looks like a derivation may have been added with references of its own.
        let actual = actual.filter(|actual| {
            let path_of = |reference: &Reference| match *reference {
                Reference::Output(n, _) | Reference::Derivation(n) => drvs[n as usize].path(),
                Reference::Source(n) => sources[n as usize].path(),
            };
            let mut implied: Vec<&StorePath> = actual.iter().map(path_of).collect();
            implied.sort_unstable();
            implied.dedup();
            implied.into_iter().eq(path.references())
        });
        wants.push(match (&front, &actual) {
            (Some(front), Some(actual)) => order::wants(front, &finder, &targets, actual),
            _ => {
                let mut raw = Wants::default();
                for reference in path.references() {
                    match numbers.get(reference.as_str()) {
                        Some(Reference::Source(n)) => raw.sources.push(*n),
                        Some(Reference::Derivation(n) | Reference::Output(n, _)) => raw.derivations.push(*n),
                        None => {}
                    }
                }
                raw
            }
        });
        items.push(Item { path, text, actual });
    }
    let roots = closure.roots().iter().filter_map(|root| match numbers.get(root.as_str()) {
        Some(Reference::Derivation(n)) => Some(*n),
        _ => None,
    });
    let sequence = order::derivations(&wants, &roots.collect::<Vec<_>>())?;

    // From numbers to ids: derivations by place in the sequence, sources by first use.
    let mut drv_ids = vec![0u32; drvs.len()];
    sequence.iter().enumerate().for_each(|(id, n)| drv_ids[*n as usize] = id as u32);
    let (source_order, source_ids) = order_sources(&sources, &sequence, &wants);
    let to_id = |reference: Reference| match reference {
        Reference::Output(n, output) => Reference::Output(drv_ids[n as usize], output),
        Reference::Derivation(n) => Reference::Derivation(drv_ids[n as usize]),
        Reference::Source(n) => Reference::Source(source_ids[n as usize]),
    };
    for target in targets.values_mut().flatten() {
        target.reference = to_id(target.reference);
    }
    targets.values_mut().for_each(|list| list.sort_by_key(|t| t.reference));

    let ordered: Vec<&ProvenPath> = source_order.iter().map(|n| sources[*n as usize]).collect();
    let names = source_names::write(&ordered, spool, is_dense)?;
    let mut state = State::new(store_dir, ordered.iter().map(|p| p.path().clone()).collect());
    let mut dictionary = Dictionary { targets, hashes: HashMap::default() };
    let mut encoded = EncodedRecipe {
        source_names: names.section,
        copies: names.copies,
        source_paths: names.paths,
        contents: names.contents,
        hashes: Vec::new(),
        derivations: Vec::new(),
        record_bytes: Vec::with_capacity(drvs.len()),
        derivation_count: drvs.len() as u64,
        source_count: sources.len() as u64,
        text_bytes: 0,
        raw: Vec::new(),
    };
    tell(&encoded, false);
    for n in &sequence {
        let item = &items[*n as usize];
        let text = spool.get(item.text)?;
        encoded.text_bytes += text.len() as u64;
        let name = item.path.path().name().as_bytes();
        let name = name.strip_suffix(b".drv").unwrap_or(name);
        let mut record = None;
        if let Some(actual) = &item.actual
            && !force_raw.contains(item.path.path())
            && let Ok(drv) = Derivation::parse(&text)
        {
            let mut actual: Vec<Reference> = actual.iter().map(|r| to_id(*r)).collect();
            actual.sort_unstable();
            record = write_record(&state, &dictionary, name, &drv, &actual);
        }
        let record = match record {
            Some(record) => record,
            None => {
                encoded.raw.push(item.path.path().clone());
                let references =
                    item.path.references().iter().filter_map(|r| numbers.get(r.as_str()).map(|r| to_id(*r)));
                write_raw(name, &references.collect::<Vec<_>>(), &text)
            }
        };
        let new_hashes = record.new_hashes.concat();
        let expected = Expected { text: &text, path: item.path, masked: record.masked };
        let (end, no_more) = (&mut io::empty(), &mut io::empty());
        let (mut bytes, mut hashes) = (Input::of(&record.bytes, end), Input::of(&new_hashes, no_more));
        let read = state.read_record(&mut bytes, &mut hashes, text.len() * 2, Some(&expected));
        match read {
            // The reader compared the text when it took the path from what was expected.
            Ok(read) if read.digest.is_none() && read.path == *item.path.path() => {}
            _ => return Err(RecipeError::NotReversible(item.path.path().clone())),
        }
        for hash in record.new_hashes {
            dictionary.hashes.insert(hash.as_slice().into(), dictionary.hashes.len());
        }
        encoded.derivations.extend_from_slice(&record.bytes);
        encoded.record_bytes.push(record.bytes.len());
        encoded.hashes.extend_from_slice(&new_hashes);
        tell(&encoded, false);
    }
    tell(&encoded, true);
    Ok(encoded)
}

fn text_of(path: &ProvenPath) -> Blob {
    match path.content() {
        Node::Regular { contents, .. } => *contents,
        _ => Blob::default(),
    }
}

/// Sources in the order of first use by derivations, each after those that it refers to; and the place of each.
fn order_sources(sources: &[&ProvenPath], sequence: &[u32], wants: &[Wants]) -> (Vec<u32>, Vec<u32>) {
    let numbers: HashMap<&StorePath, u32> = sources.iter().enumerate().map(|(i, s)| (s.path(), i as u32)).collect();
    let mut order = Vec::with_capacity(sources.len());
    let mut seen = vec![false; sources.len()];
    let used = sequence.iter().flat_map(|n| wants[*n as usize].sources.iter().copied());
    for start in used.chain(0..sources.len() as u32) {
        // References are a handful and never go round: the closure is in reference order.
        let mut stack = vec![(start, false)];
        while let Some((n, expanded)) = stack.pop() {
            if expanded {
                order.push(n);
            } else if !std::mem::replace(&mut seen[n as usize], true) {
                stack.push((n, true));
                let references = sources[n as usize].references().iter().rev();
                stack.extend(references.filter_map(|r| Some((*numbers.get(r)?, false))));
            }
        }
    }
    let mut ids = vec![0; sources.len()];
    order.iter().enumerate().for_each(|(id, n)| ids[*n as usize] = id as u32);
    (order, ids)
}
