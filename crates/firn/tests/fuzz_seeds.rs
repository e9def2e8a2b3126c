//! The seeds of the fuzz targets, and everything that a fuzzer ever found, as ordinary tests.

#![expect(clippy::expect_used, reason = "a test and its targets")]

#[path = "../../../fuzz/targets/firn.rs"]
mod targets;

#[test]
fn every_seed_keeps_the_promises_of_its_target() {
    for (name, target) in targets::ALL {
        let folder = format!("{}/../../fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut seeds = 0;
        for entry in std::fs::read_dir(&folder).expect("the folder of the seeds is there") {
            let path = entry.expect("the folder can be read").path();
            let bytes = std::fs::read(&path).expect("the seed can be read");
            // A panic names no seed: this line does, when the test fails.
            println!("{}", path.display());
            target(&bytes);
            seeds += 1;
        }
        assert!(seeds > 0, "{folder} is empty");
    }
}
