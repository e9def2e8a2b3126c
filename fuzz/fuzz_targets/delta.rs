#![no_main]
#[path = "../targets/firn.rs"]
mod firn_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| firn_targets::delta(data));
