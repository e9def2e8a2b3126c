use super::*;
use crate::{
    codec::{FramePolicy, Packed, frame_cuts},
    hash,
    recipe::Lane,
};
use proptest::prelude::*;
use std::io::Read;

fn plans() -> Vec<(bool, Option<WordPlan>)> {
    let plan = |tokens, pages| Some(WordPlan { tokens, pages, eighths: 16 });
    let words = [None, plan(Tokens::Letters, 0), plan(Tokens::Letters, 32), plan(Tokens::Runs, 4)];
    words.into_iter().flat_map(|words| [(false, words), (true, words)]).collect()
}

fn pack(raw: &[u8], (hashes, words): (bool, Option<WordPlan>)) -> (Filter, Vec<u8>) {
    let mut filtered = Filtered::new(raw);
    if hashes {
        filtered.take_hashes().unwrap();
    }
    if let Some(plan) = words {
        filtered.replace_words(plan).unwrap();
    }
    (filtered.filter, [&filtered.head(), &*filtered.stream].concat())
}

fn unpack(codec: Codec, filter: Filter, packed: &[u8], raw_bytes: u64) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let reader = FilterReader::new(codec, filter, packed, raw_bytes, &[])?;
    // One byte more than declared would show.
    reader.take(raw_bytes + 1).read_to_end(&mut out).map_err(CodecError::from_io)?;
    assert!(out.len() as u64 <= raw_bytes);
    Ok(out)
}

/// Text of words with hashes in every spelling, and with bytes that filters use themselves.
fn sample() -> Vec<u8> {
    let mut out = Vec::new();
    for n in 0..400u32 {
        let digest = hash::sha256(&(n % 300).to_le_bytes());
        let spelling = match n % 6 {
            0 => hash::base32(&digest),
            1 => hash::hex(&digest),
            2 => hash::base32(&digest[..20]),
            3 => hash::hex(&digest[..16]),
            4 => format!("sha256-{}", hash::base64(&digest)),
            _ => format!("sha1-{}", hash::base64(&digest[..20])),
        };
        out.extend_from_slice(
            format!("  fetchurl {{ name = \"package-{n}\"; hash = \"{spelling}\"; }}; # Überall\n").as_bytes(),
        );
    }
    out.extend(0..=255);
    out
}

#[test]
fn every_filter_comes_back_in_pieces_of_any_size() {
    let raw = sample();
    for plan in plans() {
        let (filter, packed) = pack(&raw, plan);
        assert_eq!(filter, Filter { hashes: plan.0, words: plan.1.is_some() });
        assert!(unpack(Codec::Stored, filter, &packed, raw.len() as u64).unwrap() == raw, "{filter:?}");
        for size in [1, 2, 3, 7, 50] {
            let mut reader = FilterReader::new(Codec::Stored, filter, &packed, raw.len() as u64, &[]).unwrap();
            let (mut out, mut piece) = (Vec::new(), vec![0; size]);
            loop {
                match reader.read(&mut piece).unwrap() {
                    0 => break,
                    n => out.extend_from_slice(&piece[..n]),
                }
            }
            assert!(out == raw, "{filter:?} in pieces of {size}");
        }
    }
}

#[test]
fn hashes_leave_one_byte_in_the_text() {
    let digest = hash::sha256(b"x");
    let text = format!("a {} b sha256-{} c", hash::base32(&digest), hash::base64(&digest));
    let (stream, side) = hashes::take_out(text.as_bytes());
    assert_eq!(stream, b"a \x14 b sha256-\x18 c");
    assert_eq!(side, [digest, digest].concat());
}

#[test]
fn what_looks_like_a_hash_and_is_none_stays() {
    let digest = hash::sha256(b"x");
    let long = format!("{}z", hash::base32(&digest));
    let upper = hash::hex(&digest).to_uppercase();
    for text in [long.as_str(), upper.as_str(), "sha256-short=", &"z".repeat(52)] {
        let (stream, side) = hashes::take_out(text.as_bytes());
        assert!(stream == text.as_bytes() && side.is_empty(), "{text}");
    }
}

#[test]
fn a_raw_size_that_is_not_the_true_one_is_refused() {
    let raw = sample();
    for plan in plans() {
        let (filter, packed) = pack(&raw, plan);
        for wrong in [0, 1, raw.len() as u64 - 1, raw.len() as u64 + 1, 1 << 62] {
            assert!(unpack(Codec::Stored, filter, &packed, wrong).is_err(), "{filter:?} as {wrong}");
        }
    }
}

#[test]
fn cut_or_continued_parts_are_refused() {
    let raw = sample();
    for plan in plans() {
        let (filter, mut packed) = pack(&raw, plan);
        for cut in (0..packed.len()).step_by(7) {
            assert!(
                unpack(Codec::Stored, filter, &packed[..cut], raw.len() as u64).is_err(),
                "{filter:?} cut at {cut}"
            );
        }
        packed.push(b'x');
        assert!(unpack(Codec::Stored, filter, &packed, raw.len() as u64).is_err(), "{filter:?}");
    }
}

#[test]
fn flipped_bits_neither_panic_nor_give_more_than_declared() {
    let raw = &sample()[..4000];
    for plan in plans() {
        let (filter, packed) = pack(raw, plan);
        for at in 0..packed.len() {
            for bit in [1, 0x80] {
                let mut damaged = packed.clone();
                damaged[at] ^= bit;
                if let Ok(out) = unpack(Codec::Stored, filter, &damaged, raw.len() as u64) {
                    assert_eq!(out.len(), raw.len());
                }
            }
        }
    }
}

/// One part of a prefix, stored.
fn blob(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    leb128::put(&mut out, bytes.len() as u64);
    leb128::put(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn hostile_parts_are_refused_by_name() {
    let hashes = Filter { hashes: true, words: false };
    let words = Filter { hashes: false, words: true };
    let refuse = |filter, packed: &[u8], raw| match unpack(Codec::Stored, filter, packed, raw) {
        Err(CodecError::Filtered(what)) => what,
        other => panic!("{other:?}"),
    };
    let with = |first: &[u8], part: &[u8], stream: &[u8]| {
        let mut out = [first, &blob(part)].concat();
        leb128::put(&mut out, stream.len() as u64);
        out.extend_from_slice(stream);
        out
    };
    assert_eq!(refuse(hashes, &[], 9), "a number is beyond its end");
    assert_eq!(refuse(hashes, &[0x80, 0], 9), "a number is not in its shortest form");
    assert_eq!(refuse(hashes, &[0xff; 12], 9), "a number does not fit into 64 bits");
    assert_eq!(refuse(hashes, &[10, 10], 9), "a part is too long");
    assert_eq!(refuse(hashes, &[9, 9, 1], 9), "a part is beyond its end");
    assert_eq!(refuse(hashes, &with(&[], &[1; 31], &[0x14]), 52), "a hash is missing");
    assert_eq!(refuse(hashes, &with(&[], &[], &[0x1a, b'x']), 1), "a byte is escaped that need not be");
    assert_eq!(refuse(hashes, &[0, 0, 37], 9), "the stream is too long");
    assert_eq!(refuse(words, &[65, 0, 0, 0], 9), "there are too many pages of words");
    for dictionary in [&b"abc"[..], b"\0", b"abc\0\0", b"a\0b"] {
        let what = refuse(words, &with(&[0], dictionary, b"x"), 1);
        assert_eq!(what, "the dictionary of words is not well-formed", "{dictionary:?}");
    }
    assert_eq!(refuse(words, &with(&[0], &b"a\0".repeat(128), b"x"), 1), "the dictionary of words is not well-formed");
    assert_eq!(refuse(words, &with(&[0], b"abc\0", &[0x81]), 3), "there is no word of that code");
    assert_eq!(refuse(words, &with(&[0], b"abc\0", &[0xff]), 1), "a code is cut");
    assert_eq!(refuse(words, &with(&[1], b"abc\0", &[0xfe]), 3), "a code is cut");

    assert_eq!(unpack(Codec::Stored, words, &with(&[0], b"abc\0", &[0x80]), 3).unwrap(), b"abc");
    // Hashes that are left over, and a word that goes on after the declared end.
    let left = unpack(Codec::Stored, hashes, &with(&[], &[1; 3], b"abc"), 3);
    assert_eq!(left, Err(CodecError::GoesOn));
    assert_eq!(unpack(Codec::Stored, words, &with(&[0], b"abc\0", &[0x80]), 2), Err(CodecError::GoesOn));
    assert_eq!(unpack(Codec::Stored, words, &with(&[0], b"abc\0", &[0x80]), 4), Err(CodecError::Ends { missing: 1 }));
}

#[test]
fn a_bomb_of_words_stops_at_the_declared_size() {
    // A dictionary word of 100 kB, named by each byte of a stream that unpacks to 4 MB: 400 GB.
    let mut word = vec![b'a'; 100_000];
    word.push(0);
    let (codec, stream) = Encoding::Lzma2 { window: 1 << 16 }.pack(&vec![0x80; 4_000_000], None).unwrap();
    let mut packed = vec![0];
    put_blob(&mut packed, &word, Encoding::Ppmd7 { order: 4, memory_mib: 1 }).unwrap();
    leb128::put(&mut packed, 4_000_000);
    packed.extend_from_slice(&stream);
    assert!(packed.len() < 2000, "{}", packed.len());
    let words = Filter { hashes: false, words: true };
    assert_eq!(unpack(codec, words, &packed, 10_000_000), Err(CodecError::GoesOn));
}

#[test]
fn the_vector_of_the_format_is_read_and_written() {
    let page = include_str!("../../../../../docs/format.md");
    let (_, block) = page.split_once("```hex filters\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let digits: String = block.lines().flat_map(|line| line.split(';').next().unwrap().split_whitespace()).collect();
    let packed = hash::from_hex(digits.as_bytes()).unwrap();
    let raw = format!("fetchurl {{ sha256 = \"{}\"; }} # fetchurl, é\n", hash::base32(&hash::sha256(b"")));
    let both = Filter { hashes: true, words: true };
    assert_eq!(unpack(Codec::Stored, both, &packed, raw.len() as u64).unwrap(), raw.as_bytes());
    let (stream, side) = hashes::take_out(raw.as_bytes());
    assert_eq!((side.as_slice(), stream[21]), (&packed[2..34], 0x14));
}

#[test]
fn filters_are_numbered_by_their_bits() {
    for bits in 0..4 {
        assert_eq!(Filter::from_bits(bits).map(Filter::bits), Some(bits));
    }
    assert_eq!(Filter::from_bits(4), None);
    assert_eq!(Filter::default(), Filter::NONE);
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 7u64;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..len).map(next).collect()
}

fn contents(lane: Lane, raw: &[u8]) -> Packed {
    let packed = FramePolicy::Contents { lane, low_memory: false }.pack(raw, None).unwrap();
    assert!(unpack(packed.codec, packed.filter, &packed.bytes, raw.len() as u64).unwrap() == raw);
    assert_eq!(FramePolicy::Contents { lane, low_memory: false }.pack(raw, None).unwrap(), packed);
    packed
}

#[test]
fn each_lane_has_its_codec_and_filter() {
    let text = sample().repeat(4);
    let both = Filter { hashes: true, words: true };
    let small = contents(Lane::Small, &text);
    assert!(matches!(small.codec, Codec::Ppmd7 { order: 12, .. }) && small.filter == both, "{small:?}");
    let tree = contents(Lane::Tree, &text);
    assert!(matches!(tree.codec, Codec::Lzma2 { .. }) && tree.filter == both, "{tree:?}");
    let markup = "<listitem>\n      <para>The option</para>\n    </listitem>\n".repeat(20_000);
    let large = contents(Lane::Large, markup.as_bytes());
    assert!(matches!(large.codec, Codec::Ppmd7 { .. }) && large.filter.words, "{} {:?}", large.codec, large.filter);
    for lane in [Lane::Small, Lane::Tree, Lane::Large, Lane::Dense] {
        let packed = contents(lane, &noise(70_000));
        assert!(packed.codec == Codec::Stored && packed.filter == Filter::NONE, "{lane:?}");
        assert_eq!(contents(lane, &[]).bytes, []);
        contents(lane, b"a");
        // Compressible, and no text.
        let bytes: Vec<u8> = noise(70_000).iter().map(|b| b & 0x8f).collect();
        assert_eq!(contents(lane, &bytes).filter, Filter::NONE, "{lane:?}");
    }
    let low = FramePolicy::Contents { lane: Lane::Small, low_memory: true }.pack(&text, None).unwrap();
    assert!(low.codec.memory_bytes() <= 8 << 20, "{}", low.codec);
}

#[test]
fn contents_of_a_real_closure_come_back_from_every_lane() {
    let export = include_bytes!("../../../../../tests/closures/ekaos-minimal-2026-08.export.zst");
    let mut context = zstd::zstd_safe::DCtx::create();
    let mut raw = Vec::with_capacity(8 << 20);
    context.decompress(&mut raw, export).unwrap();
    // The middle, where sources and derivations meet.
    let middle = &raw[3 << 20..][..1 << 20];
    for lane in [Lane::Small, Lane::Tree, Lane::Large] {
        let packed = contents(lane, middle);
        assert!(packed.bytes.len() * 5 < middle.len(), "{lane:?} {} {}", packed.codec, packed.bytes.len());
    }
}

#[test]
fn frames_are_cut_between_small_files_and_around_large_ones() {
    const MIB: u64 = 1 << 20;
    let cuts = |lane, lengths: &[u64]| frame_cuts(lane, lengths.iter().map(|n| (n * MIB, false)));
    let mib = |cuts: &[u64]| cuts.iter().map(|n| n * MIB).collect::<Vec<_>>();
    assert_eq!(cuts(Lane::Tree, &[]), []);
    assert_eq!(cuts(Lane::Tree, &[10, 6, 1]), mib(&[16, 17]));
    assert_eq!(cuts(Lane::Tree, &[10, 7, 1]), mib(&[10, 18]));
    assert_eq!(cuts(Lane::Small, &[1, 40, 1]), mib(&[1, 17, 33, 41, 42]));
    assert_eq!(cuts(Lane::Large, &[3, 32, 4]), mib(&[3, 19, 35, 39]));
    let alike = |lengths: &[u64]| frame_cuts(Lane::Large, lengths.iter().map(|n| (n * MIB, true)));
    assert_eq!(alike(&[3, 15, 14, 1, 18, 3]), mib(&[32, 33, 49, 51, 54]));
    assert_eq!(alike(&[18, 16, 2, 3]), mib(&[16, 18, 34, 39]));
    assert_eq!(cuts(Lane::Dense, &[1, 5, 3]), mib(&[4, 8, 9]));
    assert_eq!(frame_cuts(Lane::Small, [(0, false); 2]), []);
}

#[test]
fn words_are_the_same_in_every_run() {
    let text = sample().repeat(3);
    let first = pack(&text, (true, plans()[7].1));
    for _ in 0..5 {
        // Each table has hash keys of its own.
        assert!(pack(&text, (true, plans()[7].1)) == first);
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back(raw in prop::collection::vec(any::<u8>(), 0..600)) {
        for plan in plans() {
            let (filter, packed) = pack(&raw, plan);
            prop_assert!(unpack(Codec::Stored, filter, &packed, raw.len() as u64).unwrap() == raw);
        }
    }

    #[test]
    fn any_text_comes_back(
        parts in prop::collection::vec("[a-f0-9]{32}|[a-f0-9]{40}|[a-z0-9]{52}|sha512-[A-Za-z0-9+/]{86}==|[\\x0e-\\x1a]|[a-zé]{1,9}|[ \n\"=-]", 0..300)
    ) {
        let raw = parts.concat().into_bytes();
        for plan in plans() {
            let (filter, packed) = pack(&raw, plan);
            prop_assert!(unpack(Codec::Stored, filter, &packed, raw.len() as u64).unwrap() == raw);
        }
    }

    #[test]
    fn any_packed_bytes_are_read_or_refused(bits in 1..4u64, packed in prop::collection::vec(any::<u8>(), 0..200), raw_bytes in 0..5000u64) {
        let _ = unpack(Codec::Stored, Filter::from_bits(bits).unwrap(), &packed, raw_bytes);
        let _ = unpack(Codec::Ppmd7 { order: 4, memory_mib: 1 }, Filter::from_bits(bits).unwrap(), &packed, raw_bytes);
    }
}
