//! The seeds of the fuzz targets, and everything that a fuzzer ever found, as ordinary tests.

#![expect(clippy::expect_used, reason = "a test and its targets")]

#[path = "../../../fuzz/targets/replay.rs"]
mod replay;
#[path = "../../../fuzz/targets/core.rs"]
mod targets;

#[test]
fn every_seed_keeps_the_promises_of_its_target() {
    replay::replay(targets::ALL);
}
