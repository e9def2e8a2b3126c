//! The worked recipe of docs/format-recipe.md, read from the page itself, and written again.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod page;

use firn_core::{
    MemorySpool, Node, Proven, ProvenPath, Spool, StoreDir, for_each_piece,
    recipe::{DerivationReader, RecipeLimits, SourceList, encode, encode_base},
};
use std::io;

const PAGE: &str = include_str!("../../../docs/format-recipe.md");

fn vector(section: &str) -> Vec<u8> {
    page::vector(PAGE, section)
}

fn decode(spool: &mut MemorySpool) -> Vec<ProvenPath> {
    let limits = RecipeLimits::default();
    spool.append(&vector("sources")).expect("it works");
    let list = SourceList::read(&mut vector("source-names").as_slice(), &mut io::empty(), 0, &limits).expect("sources");
    let digests = (0..list.len()).map(|i| list.digest(i, spool)).collect::<io::Result<_>>().expect("digests");
    let store_dir = StoreDir::default();
    let mut paths = list.resolve(&store_dir, digests).expect("paths of sources");
    let sources = paths.iter().map(|path| path.path().clone()).collect();
    let (records, hashes) = (vector("derivations"), vector("hashes"));
    let (mut records, mut hashes) = (records.as_slice(), hashes.as_slice());
    let mut reader = DerivationReader::new(&store_dir, sources, &mut records, &mut hashes, limits);
    while let Some(path) = reader.next(spool).expect("a derivation") {
        paths.push(path);
    }
    paths
}

fn text(path: &ProvenPath, spool: &MemorySpool) -> String {
    let Node::Regular { contents, .. } = path.content() else { return String::new() };
    let mut text = Vec::new();
    for_each_piece(spool, *contents, |piece| {
        text.extend_from_slice(piece);
        Ok::<(), io::Error>(())
    })
    .expect("it works");
    String::from_utf8(text).expect("text")
}

#[test]
fn the_sections_of_the_page_are_the_closure_that_it_shows() {
    let mut spool = MemorySpool::new();
    let paths = decode(&mut spool);
    let shown: Vec<&str> = page::block(PAGE, "text paths").lines().collect();
    assert_eq!(paths.iter().map(|path| path.path().to_string()).collect::<Vec<_>>(), shown);
    let derivations = paths.iter().filter(|path| path.is_derivation());
    for (path, shown) in derivations.zip(page::block(PAGE, "text derivations").lines()) {
        assert_eq!(text(path, &spool), shown);
    }
}

#[test]
fn the_closure_of_the_page_is_written_as_the_page_shows() {
    let mut spool = MemorySpool::new();
    let closure = Proven::new(StoreDir::default(), None, decode(&mut spool)).expect("a closure");
    let whole = encode(&closure, &spool, &mut |_| Ok(false), &mut |_| {}).expect("it works");
    // Layout 1 of the base of a delta never changes.
    let base = encode_base(&closure, &spool).expect("it works");
    for encoded in [whole, base] {
        let sections =
            [("source-names", encoded.source_names), ("hashes", encoded.hashes), ("derivations", encoded.derivations)];
        for (section, bytes) in sections {
            assert!(bytes == vector(section), "{section} is written as\n{}", dump(&bytes));
        }
    }
}

fn dump(bytes: &[u8]) -> String {
    bytes.chunks(16).map(|row| row.iter().map(|b| format!("{b:02x} ")).collect::<String>() + "\n").collect()
}
