//! The seeds of the fuzz targets, and everything that a fuzzer ever found, as ordinary tests.

#[path = "../../../fuzz/targets/replay.rs"]
mod replay;
#[path = "../../../fuzz/targets/store.rs"]
mod targets;

#[test]
fn every_seed_keeps_the_promises_of_its_target() {
    replay::replay(targets::ALL);
}
