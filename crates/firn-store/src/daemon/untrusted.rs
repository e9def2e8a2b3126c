//! Bytes of nobody in particular, read as what a daemon says: for the fuzz target and its seeds.

use super::{
    handshake::{Greeting, Trust, read_greeting},
    operation::Replies,
    wire::Reader,
};
use firn_core::StoreDir;

/// Reads bytes as a greeting or as one of the replies; the first byte says as which. It returns, whatever they are.
pub fn read_untrusted(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let mut reader = Reader::new(bytes);
    if kind % 8 == 0 {
        let _ = read_greeting(&mut reader, "nobody", &mut |_| {});
        return;
    }
    let greeting = Greeting { minor: 22 + u64::from(kind / 8 % 16), nix: None, trust: Trust::Unknown };
    let store_dir = StoreDir::default();
    let mut replies =
        Replies { reader: &mut reader, events: &mut |_| {}, idle: &|_| {}, greeting: &greeting, store_dir: &store_dir };
    loop {
        let more = match kind % 8 {
            1 => replies.done().is_ok(),
            2 => replies.number().is_ok(),
            3 => replies.paths().is_ok(),
            4 => replies.roots().is_ok(),
            5 => replies.path_info().is_ok(),
            6 => replies.missing().is_ok(),
            _ => replies.build_results().is_ok(),
        };
        if !more {
            return;
        }
    }
}
