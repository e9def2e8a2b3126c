//! Two files that are read at the same time and have frames in common.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use firn::{DecodeOptions, EncodeOptions, FileSpool, SharedFrames, Silent, decode, encode};
use firn_core::{
    Address, ClaimedPath, MemorySpool, Node, Proven, Spool, StoreDir, address_path,
    codec::DICTIONARIES,
    export,
    format::{FileReader, Limits},
};
use std::{collections::HashSet, sync::Arc};

/// The file of one tree of this name.
fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    let (dir, mut spool) = (StoreDir::default(), MemorySpool::new());
    let entries = vec![(name.as_bytes().into(), Node::file(spool.put(contents).unwrap()))];
    let content = Node::Directory { entries };
    let digest = content.nar_hash(&spool).unwrap().0;
    let path = address_path(&dir, Address::Recursive, &digest, &[], name.as_bytes()).unwrap().unwrap();
    let claimed = ClaimedPath { path, references: Vec::new(), content, deriver: None, signatures: Vec::new() };
    let closure = Proven::new(dir.clone(), None, vec![claimed.prove(&dir, &spool).unwrap()]).unwrap();
    let (mut out, options) = (Vec::new(), EncodeOptions { threads: 1, ..EncodeOptions::default() });
    encode(&closure, &spool, MemorySpool::new(), None, &options, &mut out, &Silent).unwrap();
    out
}

/// The stream of a file.
fn read(file: &[u8], shared: Option<Arc<SharedFrames>>) -> Vec<u8> {
    let mut spool = FileSpool::new(&std::env::temp_dir()).unwrap();
    spool.append(file).unwrap();
    let options = DecodeOptions { threads: 2, shared, ..DecodeOptions::default() };
    let decoded = decode(file, &mut spool, DICTIONARIES, &options, &Silent).unwrap();
    let mut out = Vec::new();
    export::write(&decoded.closure, &spool, &mut out).unwrap();
    out
}

/// Checks of the frames of a file.
fn checks(file: &[u8]) -> HashSet<[u8; 8]> {
    let reader = FileReader::new(file, Limits::default()).unwrap();
    reader.front().frames.iter().filter_map(|frame| Some(frame.known?.check)).collect()
}

#[test]
fn each_gives_what_it_gives_alone() {
    let contents: Vec<u8> = (0..50_000u32).flat_map(|n| format!("line {}\n", n * n % 7919).into_bytes()).collect();
    let files = [file("one", &contents), file("another", &contents), file("one", b"something else")];
    assert_eq!(checks(&files[0]).intersection(&checks(&files[1])).count(), 1);
    let alone: Vec<Vec<u8>> = files.iter().map(|file| read(file, None)).collect();
    let shared = Arc::new(SharedFrames::default());
    let together: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let readers: Vec<_> =
            files.iter().chain(&files).map(|file| scope.spawn(|| read(file, Some(shared.clone())))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(together == [alone.clone(), alone].concat());
}
