//! Real streams of stock Nix are read and written back byte for byte.

use firn_core::{MemorySpool, Proven, export};
use std::{fs, io::Read, path::Path};

#[test]
fn a_real_export_is_written_back_byte_for_byte() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut read = 0;
    for dir in ["examples", "tests/closures"] {
        for entry in fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "zst") {
                continue;
            }
            let mut stream = Vec::new();
            let mut decoder = zstd::Decoder::new(fs::File::open(&path).unwrap()).unwrap();
            decoder.window_log_max(27).unwrap();
            decoder.read_to_end(&mut stream).unwrap();
            let mut spool = MemorySpool::new();
            let exported = export::read(&stream[..], &mut spool).unwrap();
            let root = exported.paths.last().unwrap().path.clone();
            let dir = exported.store_dir.unwrap();
            let paths = exported.paths.into_iter().map(|claimed| claimed.prove(&dir, &spool).unwrap()).collect();
            let closure = Proven::new(dir, None, paths).unwrap();
            assert_eq!(closure.roots(), [root]);
            assert_eq!(closure.needing_trust().count(), 0);
            let mut again = Vec::new();
            export::write(&closure, &spool, &mut again).unwrap();
            assert!(again == stream, "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 0);
}
