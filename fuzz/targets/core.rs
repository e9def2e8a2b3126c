//! Targets of firn-core: what is called with bytes that somebody else made. `cargo fuzz` calls them with bytes that it finds,
//! `cargo test` with the seeds. They panic when a promise is broken.

#![allow(dead_code, reason = "each user calls some of them")]

use firn_core::{
    MemorySpool, Node, Spool, StoreDir,
    codec::{Codec, Filter, FilterReader, LzmaWindow, unpack_edit},
    derivation::Derivation,
    export,
    format::{FileReader, IndexReader, Limits, MAGIC},
    hash::sha256,
    recipe::{DerivationReader, RecipeLimits, SourceList},
};
use std::io::{Cursor, Read};

/// A name, and what is done with bytes.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target of this crate, by name.
pub(crate) const ALL: &[Target] = &[
    ("aterm", aterm),
    ("export", export),
    ("file", file),
    ("header", header),
    ("nar", nar),
    ("recipe", recipe),
    ("unpack", unpack),
];

/// A length of two bytes, and so many bytes or all there are.
fn part<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((len, rest)) = data.split_first_chunk::<2>() else { return std::mem::take(data) };
    let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
    let (part, rest) = rest.split_at(len);
    *data = rest;
    part
}

/// A derivation's text. Nix escapes nothing in some fields, so only what is read without any escape is sure to print as
/// something that reads as the same.
pub(crate) fn aterm(data: &[u8]) {
    if let Ok(derivation) = Derivation::parse(data) {
        let printed = derivation.print();
        if !data.contains(&b'\\') {
            assert_eq!(Derivation::parse(&printed).ok(), Some(derivation));
        }
    }
}

/// A file tree: there is one NAR for each, so what was read is what is written.
pub(crate) fn nar(data: &[u8]) {
    let mut spool = MemorySpool::new();
    let mut input = data;
    if let Ok(node) = Node::read_nar(&mut input, &mut spool) {
        let mut out = Vec::new();
        node.write_nar(&spool, &mut out).expect("memory is enough");
        assert!(data[..data.len() - input.len()] == out);
        assert_eq!(node.nar_size(), out.len() as u64);
    }
}

/// Export streams: paths that are proven or not.
pub(crate) fn export(data: &[u8]) {
    let mut spool = MemorySpool::new();
    if let Ok(exported) = export::read(data, &mut spool) {
        let store_dir = exported.store_dir.unwrap_or_default();
        for path in exported.paths {
            let _ = path.prove(&store_dir, &spool);
        }
    }
}

/// A whole file, as it is.
pub(crate) fn file(data: &[u8]) {
    let limits = Limits { memory_bytes: 1 << 20, frame_raw_bytes: 1 << 20, raw_bytes: 1 << 20, ..Limits::default() };
    let by_index = IndexReader::new(Cursor::new(data), &limits);
    let Ok(mut reader) = FileReader::new(data, limits.clone()) else { return };
    while let Ok(Some(frame)) = reader.next_frame() {
        if let Ok(unpacked) = frame.unpack(&limits, &[]) {
            exactly(unpacked, frame.header.raw_bytes);
        }
    }
    if let Ok(None) = reader.next_frame() {
        assert_eq!(by_index.expect("it is a file").front(), reader.front());
    }
}

/// The fields of a header, in a file whose digests are right.
pub(crate) fn header(data: &[u8]) {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[1, 0, 0, 1]);
    let mut len = data.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&sha256(&bytes)[..8]);
    bytes.extend_from_slice(&sha256(&bytes));
    bytes.push(0);
    file(&bytes);
}

fn exactly(mut reader: impl Read, raw_bytes: u64) {
    let mut out = Vec::new();
    match reader.read_to_end(&mut out) {
        Ok(_) => assert_eq!(out.len() as u64, raw_bytes),
        Err(_) => assert!(out.len() as u64 <= raw_bytes),
    }
}

/// Packed bytes: codec and filter, a raw size, and what follows.
pub(crate) fn unpack(data: &[u8]) {
    let Some(([kind, parameter, low, high], mut packed)) = data.split_first_chunk::<4>() else { return };
    let raw_bytes = u64::from(u16::from_le_bytes([*low, *high]));
    if *kind >= 128 {
        let run = part(&mut packed);
        if let Ok(raw) = unpack_edit(packed, run, raw_bytes, 1, Filter { hashes: parameter & 1 == 1, words: false }) {
            assert_eq!(raw.len() as u64, raw_bytes);
        }
        return;
    }
    let codec = match kind % 4 {
        0 => Codec::Stored,
        1 => Codec::Ppmd7 { order: *parameter, memory_mib: 1 },
        2 => Codec::Zstd { window_log: 10 + parameter % 8 },
        _ => match LzmaWindow::from_property(parameter % 8) {
            Some(window) => Codec::Lzma2 { window },
            None => return,
        },
    };
    let filter = Filter::from_bits(u64::from(kind / 4 % 4)).unwrap_or_default();
    if let Ok(reader) = FilterReader::new(codec, filter, packed, raw_bytes, &[]) {
        exactly(reader, raw_bytes);
    }
}

/// The sections of a recipe, unpacked: names, copies, contents, hashes, records.
pub(crate) fn recipe(mut data: &[u8]) {
    let limits = RecipeLimits { paths: 100, contents: 1 << 16, derivation: 1 << 16, derivations: 1 << 18 };
    let store_dir = StoreDir::default();
    let (mut names, mut copies) = (part(&mut data), part(&mut data));
    let (contents, mut hashes) = (part(&mut data), part(&mut data));
    let mut spool = MemorySpool::new();
    let Ok(sources) = SourceList::read(&mut names, &mut copies, 0, &limits) else { return };
    let mut bytes = contents.to_vec();
    bytes.resize(usize::try_from(sources.contents_len()).expect("it is limited"), 0);
    spool.append(&bytes).expect("memory is enough");
    let digests: Result<Vec<_>, _> = (0..sources.len()).map(|number| sources.digest(number, &spool)).collect();
    let Ok(sources) = sources.resolve(&store_dir, digests.expect("the contents are there")) else { return };
    let paths = sources.iter().map(|source| source.path().clone()).collect();
    let mut reader = DerivationReader::new(&store_dir, paths, &mut data, &mut hashes, limits);
    while let Ok(Some(path)) = reader.next(&mut spool) {
        assert!(path.is_derivation());
    }
}
