//! The worked delta of docs/format.md, read from the page itself: with the closure of docs/format-recipe.md as its base it is
//! the closure that the page says.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../../firn-core/tests/page/mod.rs"]
mod page;

use firn::{DecodeOptions, FileSpool, Silent, decode_delta};
use firn_core::{
    MemorySpool, Proven, Spool, StoreDir, export,
    format::{FileReader, FileWriter, Limits},
    recipe::{DerivationReader, RecipeLimits, SourceList},
};
use page::vector;

const FORMAT: &str = include_str!("../../../docs/format.md");
const RECIPE: &str = include_str!("../../../docs/format-recipe.md");

/// The closure of the page's sections, after one word of one of them was changed or not.
fn closure(words: &[(&str, &str, &str)], spool: &mut dyn Spool) -> Proven {
    let section = |name: &str| {
        let mut bytes = vector(RECIPE, name);
        for (_, from, to) in words.iter().filter(|(section, ..)| *section == name) {
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            bytes.splice(at..at + from.len(), to.bytes());
        }
        bytes
    };
    let (limits, dir) = (RecipeLimits::default(), StoreDir::default());
    let start = spool.len();
    spool.append(&section("sources")).unwrap();
    let list =
        SourceList::read(&mut section("source-names").as_slice(), &mut std::io::empty(), start, &limits).unwrap();
    let digests = (0..list.len()).map(|i| list.digest(i, spool).unwrap()).collect();
    let mut paths = list.resolve(&dir, digests).unwrap();
    let sources = paths.iter().map(|path| path.path().clone()).collect();
    let (records, hashes) = (section("derivations"), section("hashes"));
    let (mut records, mut hashes) = (records.as_slice(), hashes.as_slice());
    let mut reader = DerivationReader::new(&dir, sources, &mut records, &mut hashes, limits);
    while let Some(path) = reader.next(spool).unwrap() {
        paths.push(path);
    }
    Proven::new(dir, None, paths).unwrap()
}

fn exported(closure: &Proven, spool: &dyn Spool) -> Vec<u8> {
    let mut out = Vec::new();
    export::write(closure, spool, &mut out).unwrap();
    out
}

#[test]
fn the_delta_of_the_page_and_its_base_are_the_closure_that_it_says() {
    let mut made = MemorySpool::new();
    let new = closure(&[("sources", "echo hi", "echo ho"), ("derivations", "system\0", "server\0")], &mut made);
    let mut spool = FileSpool::new(&std::env::temp_dir()).unwrap();
    let base = closure(&[], &mut spool);
    let shown = vector(FORMAT, "delta");
    let reader = FileReader::new(&shown[..], Limits::default()).unwrap();
    let decoded = decode_delta(reader, &base, &mut spool, &[], &DecodeOptions::default(), &Silent).unwrap();
    assert!(exported(&decoded.closure, &spool) == exported(&new, &made));
    assert_eq!(decoded.front.header.manifest.name.as_deref(), Some("server"));
}

#[test]
fn the_front_of_the_delta_of_the_page_is_written_as_the_page_shows() {
    let shown = vector(FORMAT, "delta");
    let mut reader = FileReader::new(&shown[..], Limits::default()).unwrap();
    let header = reader.front().header.clone();
    let mut writer = FileWriter::new(MemorySpool::new());
    while let Some(frame) = reader.next_frame().unwrap() {
        writer.push(&frame).unwrap();
    }
    let mut out = Vec::new();
    writer.finish(&header, &mut out).unwrap();
    assert!(out == shown);
}
