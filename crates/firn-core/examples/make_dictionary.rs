//! Makes the dictionary that frames of derivations are primed with, from export streams of real closures:
//!
//!     cargo run --release -p firn-core --example make_dictionary -- OUT.ppmd A.export.zst B.export.zst
//!
//! Takes the records that cost at least 40 bytes when all before them are known: what is common to all systems (phases,
//! fetchers, the bootstrap) comes once, what repeats it is left out. See docs/design/dictionary.md.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool that is run by hand")]

use firn_core::{MemorySpool, Proven, codec::Dictionary, export, hash, recipe};
use std::io::Write;

const ORDER: u8 = 16;
const MEMORY_MIB: u16 = 128;
const LEAST_COST: usize = 40;

fn main() {
    let mut names = std::env::args().skip(1);
    let out = names.next().unwrap();
    let mut model = ppmd_rust::Ppmd7Encoder::new(Vec::new(), ORDER.into(), u32::from(MEMORY_MIB) << 20).unwrap();
    let mut text = Vec::new();
    for name in names {
        let mut spool = MemorySpool::new();
        let stream = zstd::Decoder::new(std::fs::File::open(&name).unwrap()).unwrap();
        let exported = export::read(stream, &mut spool).unwrap();
        let store_dir = exported.store_dir.unwrap();
        let paths = exported.paths.into_iter().map(|p| p.prove(&store_dir, &spool).unwrap()).collect();
        let closure = Proven::new(store_dir, None, paths).unwrap();
        let encoded = recipe::encode(&closure, &spool, &mut |_| Ok(false), &mut |_| {}).unwrap();
        let mut rest = encoded.derivations.as_slice();
        let mut kept = 0;
        for bytes in encoded.record_bytes {
            let (record, after) = rest.split_at(bytes);
            rest = after;
            let before = model.get_ref().len();
            model.write_all(record).unwrap();
            if model.get_ref().len() - before >= LEAST_COST {
                text.extend_from_slice(record);
                kept += 1;
            }
        }
        println!("{name}: {kept} records, {} bytes so far", text.len());
    }
    let packed = Dictionary::pack(&text, ORDER, MEMORY_MIB).unwrap();
    println!("{} bytes, packed {}, sha256 {}", text.len(), packed.len(), hash::hex(&hash::sha256(&text)));
    std::fs::write(out, packed).unwrap();
}
