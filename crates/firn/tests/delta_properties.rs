//! Properties of deltas: any closure comes back from its delta and any base, whatever order, threads and places.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../../firn-core/tests/generated/mod.rs"]
mod generated;

use firn::{DecodeError, DecodeOptions, EncodeOptions, FileSpool, Silent, decode_delta, encode, encode_delta};
use firn_core::{
    Address, ClaimedPath, MemorySpool, Node, Proven, Spool, StoreDir, address_path,
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

    fn whole(&self, low_memory: bool) -> Vec<u8> {
        let options = EncodeOptions { threads: 2, low_memory, ..EncodeOptions::default() };
        let dictionary = DICTIONARIES.last().filter(|_| !low_memory);
        let mut out = Vec::new();
        encode(&self.new, &self.spool, MemorySpool::new(), dictionary, &options, &mut out, &Silent).unwrap();
        out
    }

    /// Bytes of the whole file, and of what a delta has to say in any case: what it is a delta of, and that contents travel.
    fn most(&self, low_memory: bool) -> usize {
        let roots: usize = self.base.roots().iter().map(|root| 21 + root.name().len()).sum();
        self.whole(low_memory).len() + roots + 24
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

/// A closure of one tree of files.
fn tree(files: Vec<(String, Vec<u8>)>, mut spool: MemorySpool) -> (Proven, MemorySpool) {
    let dir = StoreDir::default();
    let mut entries: Vec<(Box<[u8]>, Node)> = files
        .into_iter()
        .map(|(name, bytes)| (name.into_bytes().into_boxed_slice(), Node::file(spool.put(&bytes).unwrap())))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let content = Node::Directory { entries: entries.into_iter().collect() };
    let digest = content.nar_hash(&spool).unwrap().0;
    let path = address_path(&dir, Address::Recursive, &digest, &[], b"source").unwrap().unwrap();
    let claimed = ClaimedPath { path, references: Vec::new(), content, deriver: None, signatures: Vec::new() };
    (Proven::new(dir.clone(), None, vec![claimed.prove(&dir, &spool).unwrap()]).unwrap(), spool)
}

/// So many bytes of every value, or of words.
fn bytes(seed: u64, len: usize, words: bool) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next)
        .take(len)
        .map(|byte| if words { b"aeinorst \n"[byte as usize % 10] } else { byte })
        .collect()
}

#[test]
fn a_delta_of_something_else_is_as_large_as_the_whole_file_at_most() {
    for (number, (new, base)) in [(12, 12), (3, 40), (40, 1), (1, 1), (25, 8)].into_iter().enumerate() {
        for seed in 0..4 {
            let seed = 10 * number as u64 + seed;
            let pair = Pair::made(&plan(seed, new), &plan(seed + 1_000_000, base));
            let (delta, most) = (pair.delta(2, true).len(), pair.most(true));
            assert!(delta <= most, "{new} against {base}, {seed}: {delta} > {most}");
        }
    }
}

#[test]
fn what_does_not_compress_keeps_no_other_file_of_a_delta_from_it() {
    let images = (0..6).map(|n| (format!("{n}.png"), bytes(n, 100_000, false)));
    let texts = (0..20).map(|n| (format!("{n}.txt"), bytes(100 + n, 2_000, true)));
    let (base, spool) = tree(vec![("a".to_owned(), b"a".to_vec())], MemorySpool::new());
    let (new, spool) = tree(images.chain(texts).collect(), spool);
    let pair = Pair { new, base, spool };
    let (delta, most) = (pair.delta(2, true).len(), pair.most(true));
    assert!(delta <= most, "{delta} > {most}");
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
