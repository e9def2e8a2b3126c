use super::*;

/// Bytes of a text that are the same on every run.
fn text(seed: u64, len: usize) -> Vec<u8> {
    let words: [&[u8]; 8] = [b"buildInputs ", b"/nix/store/", b"out", b"\n  ", b"= \"", b"-1.2.", b"lib", b";\n"];
    let mut numbers = numbers(seed);
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        let number = numbers();
        out.extend_from_slice(words[(number >> 59) as usize % 8]);
        if number & 3 == 0 {
            out.push((number >> 40) as u8);
        }
    }
    out.truncate(len);
    out
}

fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    }
}

/// The text with runs of it moved, changed, left out and added.
fn changed(old: &[u8], seed: u64, times: usize) -> Vec<u8> {
    let mut numbers = numbers(seed);
    let mut below = |most: usize| (numbers() >> 33) as usize % most.max(1);
    let mut new = old.to_vec();
    for _ in 0..times {
        let (at, len) = (below(new.len()), below(100));
        let end = (at + len).min(new.len());
        let from = below(old.len());
        match below(4) {
            0 => drop(new.drain(at..end)),
            1 => drop(new.splice(at..end, text(below(1000) as u64, len))),
            2 => drop(new.splice(at..at, old[from..(from + 500).min(old.len())].to_vec())),
            _ => drop(new.splice(at..end, [0, 1, 2, 255])),
        }
    }
    new
}

fn pack(raw: &[u8], run: &[u8]) -> Edit {
    pack_edit(raw, run, EditOf::Contents, false).unwrap()
}

fn unpack(packed: &Edit, run: &[u8], raw: usize) -> Result<Vec<u8>, CodecError> {
    unpack_edit(&packed.bytes, run, raw as u64, packed.memory_mib, packed.filter)
}

#[test]
fn what_is_changed_comes_back() {
    for seed in 0..200 {
        let old = text(seed, [0, 20, 33, 700, 5_000, 60_000][seed as usize % 6]);
        let new = match seed % 7 {
            0 => text(seed + 1, 3_000),
            1 => old.clone(),
            _ => changed(&old, seed, seed as usize),
        };
        let packed = pack(&new, &old);
        assert!(unpack(&packed, &old, new.len()).unwrap() == new, "{seed}");
        assert_eq!(pack(&new, &old), packed, "{seed}");
    }
}

#[test]
fn what_is_in_the_run_costs_next_to_nothing() {
    let old = text(7, 400_000);
    let mut new = old.clone();
    new.splice(200_000..200_010, *b"something else");
    let packed = pack(&new, &old);
    assert!(packed.bytes.len() < 60, "{}", packed.bytes.len());
    assert!(unpack(&packed, &old, new.len()).unwrap() == new);
}

#[test]
fn what_took_the_place_of_something_like_it_is_cheaper_for_that() {
    let old = text(7, 20_000);
    // Every word is another one, which the run has elsewhere.
    let new: Vec<u8> = old.chunks(25).rev().flatten().copied().collect();
    let alone = Encoding::Ppmd7 { order: 16, memory_mib: 1 }.pack(&new, None).unwrap().1;
    assert!(pack(&new, &old).bytes.len() * 3 < alone.len() * 2, "{} {}", pack(&new, &old).bytes.len(), alone.len());
}

#[test]
fn every_byte_may_be_a_literal() {
    let all: Vec<u8> = (0..=255).cycle().take(2_000).collect();
    let old = text(1, 2_000);
    for new in [all.clone(), [&old[..1_000], &all, &old[1_000..]].concat()] {
        let packed = pack(&new, &old);
        assert!(unpack(&packed, &old, new.len()).unwrap() == new);
    }
}

#[test]
fn a_run_longer_than_the_table_is_found_in_steps() {
    let old = text(3, 5 << 20);
    let mut new = old[1..].to_vec();
    new.splice(3_000_001..3_000_020, *b"something else");
    let packed = pack(&new, &old);
    assert!(packed.bytes.len() < 100, "{}", packed.bytes.len());
    assert!(unpack(&packed, &old, new.len()).unwrap() == new);
}

/// Hashes of packages that were made anew, and text around them.
fn packages(seed: u64) -> Vec<u8> {
    let mut numbers = numbers(seed);
    let mut out = Vec::new();
    for package in 0..6 {
        let digest: Vec<u8> = (0..4).flat_map(|_| numbers().to_le_bytes()).collect();
        let hash = crate::hash::base32(&digest);
        out.extend_from_slice(format!("  package {package} sha256 = \"{hash}\";\n").as_bytes());
    }
    out
}

#[test]
fn hashes_that_are_new_travel_as_bytes() {
    let (old, new) = (packages(1), packages(2));
    let packed = pack(&new, &old);
    assert!(packed.filter.hashes && packed.bytes.len() < 6 * 34 + 60, "{}", packed.bytes.len());
    assert!(unpack(&packed, &old, new.len()).unwrap() == new);
    every_change_gives_an_error_or_as_many_bytes(&packed, &old, new.len());
}

#[test]
fn packed_bytes_that_were_changed_give_an_error_or_as_many_bytes() {
    let old = text(1, 3_000);
    let new = changed(&old, 5, 12);
    let packed = pack(&new, &old);
    let refused = every_change_gives_an_error_or_as_many_bytes(&packed, &old, new.len());
    assert!(refused * 10 > packed.bytes.len() * 8, "{refused}");
}

/// Cuts and flips of all bytes: how many of the flips are refused.
fn every_change_gives_an_error_or_as_many_bytes(packed: &Edit, run: &[u8], raw: usize) -> usize {
    let changed = |bytes: Vec<u8>| unpack(&Edit { bytes, ..packed.clone() }, run, raw);
    let bytes = &packed.bytes;
    let mut refused = 0;
    for at in 0..bytes.len() {
        assert!(changed(bytes[..at].to_vec()).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            match changed(bad) {
                Ok(bytes) => assert_eq!(bytes.len(), raw),
                Err(_) => refused += 1,
            }
        }
    }
    assert_eq!(changed([bytes.as_slice(), &[0]].concat()), Err(CodecError::GoesOn));
    refused
}

#[test]
fn another_run_or_length_is_refused_or_gives_as_many_bytes() {
    let old = text(1, 3_000);
    let new = changed(&old, 5, 12);
    let packed = pack(&new, &old);
    for len in [0, 1, new.len() - 1, new.len() + 1, new.len() + 40, 1 << 20] {
        assert!(unpack(&packed, &old, len).is_err(), "{len}");
    }
    for run in [&old[..0], &old[..2_000], &old[1..]] {
        if let Ok(raw) = unpack(&packed, run, new.len()) {
            assert_eq!(raw.len(), new.len());
        }
    }
}

#[test]
fn claims_are_refused_before_memory_is_taken_for_them() {
    let old = text(1, 3_000);
    // Order, marks, margin, reach, shared, then copies.
    let head = |numbers: &[u64]| {
        let mut bytes = vec![16, 0, 1];
        numbers.iter().for_each(|number| leb128::put(&mut bytes, *number));
        bytes.extend_from_slice(&[0; 64]);
        bytes
    };
    for numbers in [
        // More copies than the frame has room for.
        &[0, 0, 0, 1 << 40][..],
        &[0, 0, 0, 101],
        // Lengths of more bytes than copies.
        &[0, 0, 0, 2, 3, 3],
        // More literals than the frame has.
        &[0, 0, 0, 0, 1 << 40],
        &[0, 0, 0, 0, 6_401],
        // A prime beyond the run, or nothing of it.
        &[1 << 40, 0, 0, 0, 3_200],
        &[0, 1 << 40, 0, 0, 3_200],
        &[0, 0, 1 << 40, 0, 3_200],
    ] {
        assert_eq!(
            unpack_edit(&head(numbers), &old, 3_200, 1, Filter::NONE),
            Err(CodecError::Damaged("edit")),
            "{numbers:?}"
        );
    }
    let long = vec![0; LONGEST_PRIME + 1];
    let whole = head(&[0, long.len() as u64, 0, 0, 3_200]);
    assert_eq!(unpack_edit(&whole, &long, 3_200, 1, Filter::NONE), Err(CodecError::Damaged("edit")));
    for order in [0, 1, 65] {
        let mut bytes = pack(&old, &old[..100]).bytes;
        bytes[0] = order;
        assert!(
            matches!(unpack_edit(&bytes, &old[..100], 3_000, 1, Filter::NONE), Err(CodecError::Parameters(_))),
            "{order}"
        );
    }
}

#[test]
fn copies_beyond_the_run_and_longer_than_the_frame_are_refused() {
    let old = text(1, 3_000);
    let with = |copies: &[(usize, usize)], raw: u64| {
        let copies: Vec<Copied> =
            copies.iter().map(|(from, len)| Copied { literals: 0, from: *from, len: *len }).collect();
        let mut bytes = vec![2, 0, 1];
        for number in [0, 0, 0, copies.len() as u64] {
            leb128::put(&mut bytes, number);
        }
        put_numbers(&mut bytes, &copies).unwrap();
        leb128::put(&mut bytes, copies.len() as u64);
        let (_, shared, literals) = primed(2, &[], &vec![0; copies.len()], false).unwrap();
        bytes[5] = shared as u8;
        bytes.extend_from_slice(&literals);
        unpack_edit(&bytes, &old, raw, 1, Filter::NONE)
    };
    assert_eq!(with(&[(100, 200), (0, 3_000)], 3_200).unwrap(), [&old[100..300], &old].concat());
    let damaged = Err(CodecError::Damaged("edit"));
    assert_eq!(with(&[(100, 2_901)], 2_901), damaged);
    assert_eq!(with(&[(3_001, 32)], 2_901), damaged);
    assert_eq!(with(&[(100, 200), (0, 3_000)], 3_199), damaged);
    assert!(with(&[(100, 200), (0, 3_000)], 3_201).is_err());
}

/// Half a MiB that is in no run, with a copy of 300 bytes in each 5,000.
fn far(old: &[u8]) -> Vec<u8> {
    let mut numbers = numbers(99);
    let other: Vec<u8> = (0..500_000).map(|_| b'a' + (numbers() >> 60) as u8).collect();
    let piece = |(n, other): (usize, &[u8])| [other, &old[n * 1_000..n * 1_000 + 300]].concat();
    other.chunks(5_000).enumerate().flat_map(piece).collect()
}

#[test]
fn copies_that_are_far_between_are_found_from_their_first_byte() {
    let old = text(5, 120_000);
    let new = far(&old);
    let copies = find(&new, &old);
    // A byte may be as the one before the copy is.
    assert_eq!(copies.iter().filter(|copy| (300..330).contains(&copy.len)).count(), 100);
    let packed = pack(&new, &old);
    assert!(unpack(&packed, &old, new.len()).unwrap() == new);
}

#[test]
fn the_prime_of_a_frame_that_is_far_is_a_part_of_it() {
    let old = text(5, 1 << 20);
    let new = far(&old);
    let copies = find(&new, &old);
    let literals = Literals::of(&new, &copies).bytes.len();
    let primes = Prime::choices(&copies, old.len(), new.len(), literals).unwrap();
    assert_eq!(primes.len(), 1);
    assert!(primes[0].len <= 208 << 10, "{}", primes[0].len);
}

#[test]
fn a_glance_tells_what_the_start_packs_to() {
    let old = text(5, 120_000);
    let new = far(&old);
    let plan = EditPlan::new(&new, &old, EditOf::Contents, false);
    let sample = plan.glance().unwrap();
    let whole = plan.pack().unwrap().bytes.len();
    // All of it is alike, so the start costs its share.
    let share = whole * sample.raw_bytes / new.len();
    assert!(sample.packed_bytes.abs_diff(share) < share / 10, "{sample:?} {share}");
    assert!((131_072..150_000).contains(&sample.raw_bytes), "{sample:?}");
    assert!(!plan.is_dense());
    // Of what is in the run there is a separator to look at.
    let all = EditPlan::new(&old, &old, EditOf::Contents, false);
    assert_eq!((all.literals(), all.glance().unwrap().raw_bytes), (1, old.len()));
}
