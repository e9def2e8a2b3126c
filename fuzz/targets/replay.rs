//! Seeds as ordinary tests: the seeds themselves, and everything that a fuzzer ever found.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot read its seeds fails, and says at which it was"
)]

/// A name and what is called with any bytes.
type Target = (&'static str, fn(&[u8]));

/// Calls each target with every seed of its folder. A target fails by a panic.
pub(crate) fn replay(targets: &[Target]) {
    for (name, target) in targets {
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
