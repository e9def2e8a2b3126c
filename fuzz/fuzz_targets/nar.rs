#![no_main]
#[path = "../targets/core.rs"]
mod core;

libfuzzer_sys::fuzz_target!(|data: &[u8]| core::nar(data));
