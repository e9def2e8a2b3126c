//! Properties: any closure comes back as it was, and no bytes make the reader panic or leave its limits.

#[path = "../../tests/generated/mod.rs"]
mod generated;

use super::*;
use crate::{
    Blob, MemorySpool, Node, Proven,
    derivation::{Derivation, Input, Output},
    hash,
};
use generated::{Made, Maker};
use proptest::prelude::*;
use std::collections::BTreeMap;

struct Sections {
    names: Vec<u8>,
    copies: Vec<u8>,
    paths: Vec<u8>,
    contents: Vec<u8>,
    hashes: Vec<u8>,
    records: Vec<u8>,
}

fn sections(closure: &Proven, spool: &MemorySpool) -> (EncodedRecipe, Sections) {
    let encoded = encode(closure, spool, &mut |blob: Blob| Ok(blob.len == 300), &mut |_| {}).unwrap();
    let mut contents = Vec::new();
    for content in &encoded.contents {
        contents.extend(spool.get(content.blob).unwrap());
    }
    let (names, copies) = (encoded.source_names.clone(), encoded.copies.clone());
    let (paths, hashes, records) = (encoded.source_paths.clone(), encoded.hashes.clone(), encoded.derivations.clone());
    let sections = Sections { names, copies, paths, contents, hashes, records };
    (encoded, sections)
}

fn decode(sections: &Sections, limits: &RecipeLimits) -> Result<(Vec<ProvenPath>, MemorySpool), RecipeError> {
    let mut spool = MemorySpool::new();
    spool.append(&sections.contents)?;
    let list = SourceList::read(&mut sections.names.as_slice(), &mut sections.copies.as_slice(), 0, limits)?;
    let digests = (0..list.len()).map(|i| list.digest(i, &spool)).collect::<io::Result<_>>()?;
    let dir = StoreDir::default();
    let told = SourcePaths::read(&mut sections.paths.as_slice(), list.len())?;
    let mut paths = list.resolve(&dir, digests)?;
    told.compare(&paths)?;
    // What is proven at the same places need not be hashed again.
    let list = SourceList::read(&mut sections.names.as_slice(), &mut sections.copies.as_slice(), 0, limits)?;
    let digests = paths.iter().enumerate().map(|(i, path)| list.digest_of(i, path)).collect::<Option<_>>().unwrap();
    let again = list.resolve(&dir, digests)?;
    assert!(
        again.iter().map(|p| (p.path(), p.content_address())).eq(paths.iter().map(|p| (p.path(), p.content_address())))
    );
    // Nor need those whose paths are told be there for the paths.
    let list = SourceList::read(&mut sections.names.as_slice(), &mut sections.copies.as_slice(), 0, limits)?;
    let mut needed = vec![0; sections.contents.len()];
    for Blob { offset, len } in list.contents_untold(&told) {
        let range = offset as usize..(offset + len) as usize;
        needed[range.clone()].copy_from_slice(&sections.contents[range]);
    }
    let mut partly = MemorySpool::new();
    partly.append(&needed)?;
    let digests = list.numbers_untold(&told).into_iter().map(|number| list.digest(number, &partly));
    let digests = digests.collect::<io::Result<_>>()?;
    let sources = list.paths(&dir, &told, digests)?;
    assert!(sources.iter().eq(paths.iter().map(ProvenPath::path)));
    let (mut records, mut hashes) = (sections.records.as_slice(), sections.hashes.as_slice());
    let mut reader = DerivationReader::new(&dir, sources, &mut records, &mut hashes, limits.clone());
    while let Some(path) = reader.next(&mut spool)? {
        paths.push(path);
    }
    Ok((paths, spool))
}

/// Everything that must survive, by path.
fn essence(paths: &[ProvenPath], spool: &MemorySpool) -> BTreeMap<StorePath, impl PartialEq + std::fmt::Debug> {
    let one = |p: &ProvenPath| {
        assert_eq!(p.content().nar_hash(spool).unwrap(), (*p.nar_hash(), p.nar_size()));
        let signed = (p.address() == Address::Trusted).then(|| (p.deriver().cloned(), p.signatures().to_vec()));
        (p.references().to_vec(), *p.nar_hash(), p.content_address(), signed)
    };
    paths.iter().map(|p| (p.path().clone(), one(p))).collect()
}

/// The limits that the header of this closure's file gives its reader, to the byte.
fn limits(encoded: &EncodedRecipe, sections: &Sections) -> RecipeLimits {
    RecipeLimits {
        paths: encoded.derivation_count.max(encoded.source_count),
        contents: sections.contents.len() as u64,
        derivations: encoded.text_bytes,
        ..RecipeLimits::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_closure_comes_back_as_it_was(seed: u64, size in 1usize..30) {
        let (closure, spool) = Maker::new(seed).closure(size);
        let (encoded, sections) = sections(&closure, &spool);
        let (paths, back) = decode(&sections, &limits(&encoded, &sections)).unwrap();
        prop_assert_eq!(essence(closure.paths(), &spool), essence(&paths, &back));
        let decoded = Proven::new(closure.store_dir().clone(), Some(closure.roots().to_vec()), paths).unwrap();
        prop_assert_eq!(decoded.paths().len(), closure.paths().len());
    }

    #[test]
    fn the_sections_do_not_depend_on_the_order_of_the_paths(seed: u64, size in 1usize..20) {
        let (closure, spool) = Maker::new(seed).closure(size);
        let mut paths = closure.paths().to_vec();
        paths.reverse();
        let other = Proven::new(closure.store_dir().clone(), Some(closure.roots().to_vec()), paths).unwrap();
        let ((_, a), (_, b)) = (sections(&closure, &spool), sections(&other, &spool));
        prop_assert!(a.names == b.names && a.contents == b.contents && a.hashes == b.hashes && a.records == b.records);
    }

    #[test]
    fn damaged_sections_neither_panic_nor_leave_the_limits(
        seed: u64,
        size in 1usize..12,
        damage in proptest::collection::vec((0u8..6, any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let (closure, spool) = Maker::new(seed).closure(size);
        let (encoded, mut sections) = sections(&closure, &spool);
        let limits = limits(&encoded, &sections);
        for (section, place, byte, how) in damage {
            let Sections { names, copies, paths, hashes, records, .. } = &mut sections;
            let bytes = match section { 0 => names, 1 => hashes, 2 => copies, 3 => paths, _ => records };
            if bytes.is_empty() && ![2, 3].contains(&section) {
                continue;
            }
            let at = place.index(bytes.len() + 1);
            if at == bytes.len() {
                bytes.push(byte);
                continue;
            }
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] %= 0x20,
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        if let Ok((paths, _)) = decode(&sections, &limits) {
            let texts: u64 = paths.iter().filter(|p| p.is_derivation()).map(ProvenPath::nar_size).sum();
            prop_assert!(texts <= limits.derivations + 200 * paths.len() as u64);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(
        names in proptest::collection::vec(prop_oneof![0u8..0x20, any::<u8>()], 0..200),
        copies in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..9),
        paths in proptest::collection::vec(prop_oneof![0u8..3, any::<u8>()], 0..30),
        hashes in proptest::collection::vec(any::<u8>(), 0..100),
        records in proptest::collection::vec(prop_oneof![0u8..0x20, 0x61u8..0x6b, any::<u8>()], 0..300),
    ) {
        let limits = RecipeLimits { paths: 50, contents: 1000, derivation: 5000, derivations: 20_000 };
        let contents = vec![7; 1000];
        let (no_records, no_paths) = (Vec::new(), Vec::new());
        _ = decode(&Sections { names, copies, paths, contents, hashes: hashes.clone(), records: no_records }, &limits);
        let (names, copies, contents) = (vec![0, 0], Vec::new(), Vec::new());
        _ = decode(&Sections { names, copies, paths: no_paths, contents, hashes, records }, &limits);
    }
}

fn record_of(bytes: &[u8], limits: RecipeLimits) -> Result<Option<ProvenPath>, RecipeError> {
    let (mut records, mut hashes): (&[u8], &[u8]) = (bytes, &[]);
    DerivationReader::new(&StoreDir::default(), Vec::new(), &mut records, &mut hashes, limits)
        .next(&mut MemorySpool::new())
}

#[test]
fn parts_that_take_no_text_still_count() {
    let limits = || RecipeLimits { derivation: 10_000, ..RecipeLimits::default() };
    // name, system, builder
    let start = b"a\0\0\0";
    let args = [&start[..], &[token::NEXT_ARG; 20_000]].concat();
    let mut keys = [&start[..], &[token::NO_ARGS]].concat();
    (0..20_000u32).for_each(|i| keys.extend_from_slice(format!("\u{fe}{i}\0\0").replace('\u{fe}', "\u{1}").as_bytes()));
    let keys: Vec<u8> = keys.iter().map(|b| if *b == 1 { token::NEW_KEY } else { *b }).collect();
    let outputs = [&start[..], &[token::NO_ARGS, token::EXCEPTIONS, 2, 0xa0, 0x9c, 1], &[0; 80_000]].concat();
    for bytes in [args, keys, outputs] {
        let error = record_of(&bytes, limits()).unwrap_err().to_string();
        assert!(error.contains("longer than the limit"), "{error}");
    }
}

#[test]
fn a_source_of_deep_folders_with_many_files_is_refused_before_its_paths_fill_memory() {
    // 2000 folders of long names inside each other, and files below the last: each path has half a megabyte.
    let mut names = vec![1, b's', 0, 2, 0];
    for _ in 0..2000 {
        names.push(b'd');
        names.extend_from_slice(&[b'x'; 255]);
        names.push(0);
    }
    names.push(b'd');
    for i in 0..2000u32 {
        names.extend_from_slice(format!("{i:08}\0f").as_bytes());
    }
    let error = SourceList::read(&mut names.as_slice(), &mut io::empty(), 0, &RecipeLimits::default())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("names"), "{error}");
}

#[test]
fn a_derivation_with_thousands_of_inputs_takes_no_cubic_time() {
    let mut maker = Maker::new(0);
    let out = |path| Output { name: b"out".to_vec(), path, ..Output::default() };
    for i in 0..3000 {
        let name = format!("leaf-{i}");
        let path = format!("/nix/store/{}-{name}", hash::base32(&sha256(name.as_bytes())[..20])).into_bytes();
        let drv = Derivation { outputs: vec![out(path)], ..Derivation::default() };
        maker.text(name.as_bytes(), drv.print(), Vec::new(), &drv);
    }
    let mut leaves: Vec<&Made> = maker.derivations.iter().collect();
    leaves.sort_by_key(|made| &made.path);
    let inputs = leaves.iter().map(|made| Input { path: maker.full(&made.path), outputs: vec![b"out".to_vec()] });
    let all: Vec<&[u8]> = maker.derivations.iter().map(|made| made.outputs[0].path.as_slice()).collect();
    let env = vec![(b"all".to_vec(), all.join(&b' '))];
    let drv = Derivation { inputs: inputs.collect(), env, ..Derivation::default() };
    let references = maker.derivations.iter().map(|made| made.path.clone()).collect();
    maker.text(b"all", drv.print(), references, &drv);
    let (closure, spool) = maker.closure(0);
    let (encoded, sections) = sections(&closure, &spool);
    let (paths, _) = decode(&sections, &limits(&encoded, &sections)).unwrap();
    assert_eq!(paths.len(), 3001);
    // Taken from the stack one by one: a byte each.
    assert!(encoded.record_bytes.last().is_some_and(|n| *n < 7000), "{:?}", encoded.record_bytes.last());
}

/// A closure with a tree of three folders of 450 files each, of which the later ones have other words here and there, and
/// two large files.
fn folders(seed: u64) -> (Proven, MemorySpool) {
    let mut maker = Maker::new(seed);
    let words = |n: u64| (0..60).map(move |word| format!("{:x} ", (seed ^ (n * 60 + word)).wrapping_mul(0x9e37_79b9)));
    let mut entries = Vec::new();
    for folder in 0..3u64 {
        let mut files = Vec::new();
        for n in 0..450 {
            let mut words: Vec<String> = words(n).collect();
            // Some are the same in all folders.
            if !(seed ^ n).is_multiple_of(4) {
                words[((seed ^ n) % 60) as usize] = format!("{folder} ");
            }
            files.push((format!("{n:03}").into_bytes().into(), maker.file(&words.concat().repeat(12))));
        }
        entries.push((format!("{folder}").into_bytes().into(), Node::Directory { entries: files }));
    }
    for name in ["8", "9"] {
        let text = words(7777).collect::<String>().repeat(LARGE as usize / 500);
        entries.push((name.as_bytes().into(), maker.file(&(text + name))));
    }
    maker.tree(Node::Directory { entries });
    maker.closure(3)
}

#[test]
fn copies_travel_side_by_side_and_come_back() {
    for seed in 0..4 {
        let (closure, spool) = folders(seed);
        let (encoded, sections) = sections(&closure, &spool);
        let runs = |lane| {
            let moved = encoded.contents.iter().filter(move |content| content.lane == lane);
            moved.filter(|content| content.like_last).count()
        };
        // Two of three that are not the same; the second of the large ones.
        assert!((670..=680).contains(&runs(Lane::Tree)), "{}", runs(Lane::Tree));
        assert_eq!(runs(Lane::Large), 1);
        let (paths, back) = decode(&sections, &limits(&encoded, &sections)).unwrap();
        assert_eq!(essence(closure.paths(), &spool), essence(&paths, &back));
        // In layout 1 they do not, and what is in the wrong order is not what it should be.
        let layout_1 = encode_layout_1(&closure, &spool).unwrap();
        assert!(layout_1.copies.is_empty() && layout_1.contents.iter().all(|content| !content.like_last));
        let other = Sections { copies: Vec::new(), paths: Vec::new(), ..sections };
        let (paths, _) = decode(&other, &limits(&encoded, &other)).unwrap();
        assert!(paths.iter().map(ProvenPath::path).ne(closure.paths().iter().map(ProvenPath::path)));
    }
}

#[test]
fn paths_of_sources_with_many_contents_are_told_and_of_no_others() {
    let (closure, spool) = folders(1);
    let (encoded, sections) = sections(&closure, &spool);
    let list = SourceList::read(
        &mut sections.names.as_slice(),
        &mut sections.copies.as_slice(),
        0,
        &limits(&encoded, &sections),
    );
    let list = list.unwrap();
    let told = SourcePaths::read(&mut sections.paths.as_slice(), list.len()).unwrap();
    let large = |node: &Node| node.file_count().1 > LARGE;
    let expected: Vec<bool> = list.iter().map(|(_, node)| large(node)).collect();
    assert_eq!(expected.iter().filter(|told| **told).count(), 1);
    assert!((0..list.len()).map(|number| told.of(number).is_some()).eq(expected));
    assert!(encode_layout_1(&closure, &spool).unwrap().source_paths.is_empty());
    // One that is wrong is refused by who has the contents.
    let mut other = sections;
    *other.paths.last_mut().unwrap() ^= 1;
    let error = decode(&other, &limits(&encoded, &other)).err().unwrap().to_string();
    assert!(error.contains("the path that is told of it"), "{error}");
}

#[test]
fn a_source_elsewhere_or_of_another_kind_is_not_taken_for_a_proven_one() {
    let read = |section: &[u8], base| {
        SourceList::read(&mut &*section, &mut io::empty(), base, &RecipeLimits::default()).unwrap()
    };
    // One source `a`: kind, no references, a plain file of one byte.
    let section = |kind: u8| [b"\x01a\0".as_slice(), &[kind], b"\x00f\x01\x01"].concat();
    let mut spool = MemorySpool::new();
    spool.put(b"xx").unwrap();
    let kinds: Vec<ProvenPath> = (0..3)
        .map(|kind| {
            let list = read(&section(kind), 0);
            let digests = vec![list.digest(0, &spool).unwrap()];
            list.resolve(&StoreDir::default(), digests).unwrap().remove(0)
        })
        .collect();
    for (kind, other) in (0..3).flat_map(|kind| (0..3).map(move |other| (kind, other))) {
        assert_eq!(read(&section(kind), 0).digest_of(0, &kinds[usize::from(other)]).is_some(), kind == other);
    }
    assert!(read(&section(0), 1).digest_of(0, &kinds[0]).is_none());
    assert!(read(&section(0), 0).digest_of(1, &kinds[0]).is_none());
}
