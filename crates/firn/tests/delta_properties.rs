//! Properties of deltas: any closure comes back from its delta and any base, whatever order, threads and places.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../../firn-core/tests/generated/mod.rs"]
mod generated;

use firn::{DecodeError, DecodeOptions, EncodeOptions, FileSpool, Silent, decode_delta, encode_delta};
use firn_core::{
    MemorySpool, Proven, Spool,
    codec::DICTIONARIES,
    export,
    format::{FileReader, Limits},
};
use generated::{Maker, Step, changed, plan};
use proptest::prelude::*;

/// A closure and its base, with the contents of both.
struct Pair {
    new: Proven,
    base: Proven,
    spool: MemorySpool,
}

impl Pair {
    fn made(new: &[Step], base: &[Step]) -> Self {
        let (base, spool) = Maker::of_steps(base, MemorySpool::new());
        let (new, spool) = Maker::of_steps(new, spool);
        Self { new, base, spool }
    }

    fn delta(&self, threads: usize, low_memory: bool) -> Vec<u8> {
        let options = EncodeOptions { threads, low_memory, ..EncodeOptions::default() };
        let dictionary = DICTIONARIES.last().filter(|_| !low_memory);
        let Self { new, base, spool } = self;
        let mut out = Vec::new();
        encode_delta(new, base, spool, MemorySpool::new(), dictionary, &options, &mut out, &Silent).unwrap();
        out
    }

    /// The same paths in another order.
    fn reversed(self) -> Self {
        let reversed = |closure: &Proven| {
            let paths = closure.paths().iter().rev().cloned().collect();
            Proven::new(closure.store_dir().clone(), Some(closure.roots().to_vec()), paths).unwrap()
        };
        Self { new: reversed(&self.new), base: reversed(&self.base), spool: self.spool }
    }
}

fn exported(closure: &Proven, spool: &dyn Spool) -> Vec<u8> {
    let mut out = Vec::new();
    export::write(closure, spool, &mut out).unwrap();
    out
}

/// The closure of a delta, and the spool that it is in.
fn apply(delta: &[u8], base: &[Step], threads: usize) -> Result<(Proven, FileSpool), DecodeError> {
    let mut spool = FileSpool::new(&std::env::temp_dir()).unwrap();
    // The base is not where it was when the delta was made.
    spool.append(b"something else").unwrap();
    let (base, spool) = Maker::of_steps(base, spool);
    apply_to(delta, &base, spool, threads)
}

fn apply_to(
    delta: &[u8],
    base: &Proven,
    mut spool: FileSpool,
    threads: usize,
) -> Result<(Proven, FileSpool), DecodeError> {
    let reader = FileReader::new(delta, Limits::default())?;
    let options = DecodeOptions { threads, ..DecodeOptions::default() };
    let decoded = decode_delta(reader, base, &mut spool, DICTIONARIES, &options, &Silent)?;
    Ok((decoded.closure, spool))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_delta_and_its_base_make_any_closure(seed: u64, size in 1usize..25, other: u64, kind in 0u8..8) {
        let base = plan(seed, size);
        let new = if kind > 1 { changed(&base, other) } else { plan(other, size) };
        prop_assume!(!new.is_empty());
        // The dictionary takes most of the time.
        let low_memory = kind < 7;
        let pair = Pair::made(&new, &base);
        let delta = pair.delta(1, low_memory);
        let wanted = exported(&pair.new, &pair.spool);
        let pair = pair.reversed();
        prop_assert!(pair.delta(3, low_memory) == delta, "the bytes depend on threads or order");
        for threads in [1, 3] {
            let (closure, spool) = apply(&delta, &base, threads).unwrap();
            prop_assert_eq!(closure.roots(), pair.new.roots());
            prop_assert!(exported(&closure, &spool) == wanted);
        }
    }

    #[test]
    fn a_chain_of_deltas_makes_its_last_closure(seed: u64, size in 1usize..12, changes in proptest::collection::vec(any::<u64>(), 2..6)) {
        let mut plans = vec![plan(seed, size)];
        for seed in changes {
            let next = changed(&plans[plans.len() - 1], seed);
            if !next.is_empty() {
                plans.push(next);
            }
        }
        let spool = FileSpool::new(&std::env::temp_dir()).unwrap();
        let (mut at, mut spool) = Maker::of_steps(&plans[0], spool);
        for step in plans.windows(2) {
            let pair = Pair::made(&step[1], &step[0]);
            (at, spool) = apply_to(&pair.delta(1, true), &at, spool, 1).unwrap();
            prop_assert!(exported(&at, &spool) == exported(&pair.new, &pair.spool));
        }
    }

    #[test]
    fn another_base_is_refused(seed: u64, size in 1usize..15, other: u64) {
        let base = plan(seed, size);
        let new = changed(&base, other);
        prop_assume!(!new.is_empty());
        let another = plan(other, size);
        let (pair, stranger) = (Pair::made(&new, &base), Pair::made(&another, &another));
        prop_assume!(pair.base.roots() != stranger.base.roots());
        let refused = apply(&pair.delta(1, true), &another, 1);
        prop_assert!(matches!(refused, Err(DecodeError::Delta(_))));
    }
}
