use super::*;
use std::io::{self, Read};

fn text(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let word = (state >> 59) as usize;
        out.extend_from_slice(
            [&b"buildInputs "[..], b"/nix/store/", b"out", b"\0", b"configurePhase = \"", b"-1.2.", b"lib"][word % 7],
        );
        if word > 28 {
            out.push((state >> 40) as u8);
        }
    }
    out.truncate(len);
    out
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 7u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u8
        })
        .collect()
}

fn unpack(codec: Codec, packed: &[u8], raw_bytes: u64) -> Result<Vec<u8>, CodecError> {
    unpack_with(codec, packed, raw_bytes, &[])
}

fn unpack_with(codec: Codec, packed: &[u8], raw: u64, known: &[Dictionary<'_>]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    Unpacker::new(codec, packed, raw, known)?.read_to_end(&mut out).map_err(CodecError::from_io)?;
    Ok(out)
}

fn encodings() -> Vec<Encoding> {
    vec![
        Encoding::Stored,
        Encoding::Ppmd7 { order: 2, memory_mib: 1 },
        Encoding::Ppmd7 { order: 32, memory_mib: 1 },
        Encoding::Zstd { level: 3, window_log: 10 },
        Encoding::Zstd { level: 19, window_log: 23 },
        Encoding::Lzma2 { window: 1 << 16 },
    ]
}

#[test]
fn every_encoding_comes_back() {
    for raw in [text(1), text(2), text(300), text(200_000), noise(100_000), vec![0; 1 << 20]] {
        for encoding in encodings() {
            let (codec, packed) = encoding.pack(&raw, None).unwrap();
            assert!(unpack(codec, &packed, raw.len() as u64).unwrap() == raw, "{encoding:?} of {} bytes", raw.len());
        }
    }
}

#[test]
fn a_raw_size_that_is_not_the_true_one_is_refused() {
    let raw = text(50_000);
    for encoding in encodings() {
        let (codec, packed) = encoding.pack(&raw, None).unwrap();
        // The last symbols of a PPMd stream may cost less than a byte: the header's digest is what guards its size.
        let close: &[u64] = if codec.name() == "ppmd7" { &[] } else { &[49_999, 50_001] };
        for wrong in [1, 49_000, 51_000, 1 << 63].iter().chain(close).copied() {
            assert!(unpack(codec, &packed, wrong).is_err(), "{encoding:?} as {wrong}");
        }
        assert_eq!(unpack(codec, &packed, 0), Err(CodecError::GoesOn));
    }
}

#[test]
fn packed_bytes_cut_or_followed_by_others_are_refused() {
    let raw = text(3000);
    for encoding in encodings() {
        let (codec, mut packed) = encoding.pack(&raw, None).unwrap();
        for cut in 0..packed.len() {
            assert!(unpack(codec, &packed[..cut], 3000).is_err(), "{encoding:?} cut at {cut}");
        }
        packed.push(0);
        assert_eq!(unpack(codec, &packed, 3000), Err(CodecError::GoesOn), "{encoding:?}");
    }
}

#[test]
fn flipped_bits_neither_panic_nor_give_more_than_declared() {
    let raw = text(600);
    for encoding in encodings() {
        let (codec, packed) = encoding.pack(&raw, None).unwrap();
        for bit in 0..packed.len() * 8 {
            let mut bad = packed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(out) = unpack(codec, &bad, 600) {
                assert_eq!(out.len(), 600);
            }
        }
    }
}

#[test]
fn a_window_larger_than_the_codec_declares_is_refused() {
    let raw = text(300_000);
    let (codec, packed) = Encoding::Zstd { level: 3, window_log: 18 }.pack(&raw, None).unwrap();
    assert_eq!(codec, Codec::Zstd { window_log: 18 });
    assert_eq!(unpack(Codec::Zstd { window_log: 17 }, &packed, 300_000), Err(CodecError::Damaged("zstd")));
    let (codec, packed) = Encoding::Lzma2 { window: 1 << 18 }.pack(&raw, None).unwrap();
    assert_eq!(codec, Codec::Lzma2 { window: LzmaWindow::holding(1 << 18) });
    assert!(unpack(Codec::Lzma2 { window: LzmaWindow::holding(1 << 12) }, &packed, 300_000).is_err());
}

#[test]
fn impossible_parameters_are_refused() {
    for (order, memory_mib) in [(0, 1), (1, 1), (65, 1), (16, 0), (16, 4096)] {
        let codec = Codec::Ppmd7 { order, memory_mib };
        assert_eq!(unpack(codec, &[0; 16], 1), Err(CodecError::Parameters(codec)));
    }
    let codec = Codec::Zstd { window_log: 32 };
    assert_eq!(unpack(codec, &[0; 16], 1), Err(CodecError::Parameters(codec)));
}

#[test]
fn lzma_windows_are_those_of_the_xz_format() {
    let bytes = |b| LzmaWindow::from_property(b).map(LzmaWindow::bytes);
    assert_eq!(bytes(0), Some(4096));
    assert_eq!(bytes(1), Some(6144));
    assert_eq!(bytes(39), Some(3 << 30));
    assert_eq!(bytes(40), Some(u64::from(u32::MAX)));
    assert_eq!(bytes(41), None);
    assert_eq!(LzmaWindow::holding(4097).bytes(), 6144);
}

#[test]
fn a_primed_frame_costs_what_the_dictionary_does_not_know() {
    let known = text(60_000);
    let mut raw = known[20_000..40_000].to_vec();
    raw.extend_from_slice(&noise(100));
    let packed_text = Dictionary::pack(&known, 24, 2).unwrap();
    let dictionary = Dictionary { id: 1, order: 24, raw_bytes: 60_000, packed: &packed_text };
    assert!(dictionary.raw(2).unwrap() == known);

    // The packed dictionary made with one memory serves frames of another: no model filled its memory.
    for memory_mib in [2, 16] {
        let (codec, packed) = Encoding::PrimedPpmd7 { memory_mib }.pack(&raw, Some(&dictionary)).unwrap();
        let Codec::PrimedPpmd7 { shared, .. } = codec else { panic!("{codec:?}") };
        assert!(shared as usize + 8 >= packed_text.len(), "{shared} of {}", packed_text.len());
        let alone = Encoding::Ppmd7 { order: 24, memory_mib }.pack(&raw, None).unwrap().1;
        assert!(packed.len() * 2 < alone.len(), "{} against {}", packed.len(), alone.len());
        assert!(unpack_with(codec, &packed, raw.len() as u64, &[dictionary]).unwrap() == raw);

        assert_eq!(unpack(codec, &packed, raw.len() as u64), Err(CodecError::Dictionary(1)));
        let beyond = Codec::PrimedPpmd7 { dictionary: 1, memory_mib, shared: shared + 100 };
        assert!(unpack_with(beyond, &packed, raw.len() as u64, &[dictionary]).is_err());
        for cut in [0, 1, packed.len() - 1] {
            assert!(unpack_with(codec, &packed[..cut], raw.len() as u64, &[dictionary]).is_err());
        }
    }
}

#[test]
fn a_policy_keeps_the_smallest_and_stores_what_does_not_pack() {
    let policy = FramePolicy::derivations(20_000, 64);
    let packed = policy.pack(&text(20_000), None).unwrap();
    assert!(matches!(packed.codec, Codec::Ppmd7 { memory_mib: 1, .. }), "{}", packed.codec);
    let FramePolicy::Smallest(candidates) = &policy else { panic!("{policy:?}") };
    for encoding in candidates {
        assert!(encoding.pack(&text(20_000), None).unwrap().1.len() >= packed.bytes.len());
    }
    assert_eq!(policy.pack(&noise(20_000), None).unwrap().codec, Codec::Stored);
    assert_eq!(policy.pack(&[], None).unwrap().codec, Codec::Stored);
}

#[test]
fn model_memory_follows_the_stream_up_to_the_cap() {
    let memory = |bytes, max| super::policy::model_memory(bytes, 50, max);
    assert_eq!(memory(0, 64), 1);
    assert_eq!(memory(582_173, 64), 28);
    assert_eq!(memory(9_549_711, 64), 64);
    assert_eq!(memory(9_549_711, 16), 16);
    assert_eq!(memory(u64::MAX, 64), 64);
}

/// Position and length of the packed stream in a `.7z` of one file: it stands between the 32-byte signature header and
/// the header whose offset that one gives.
fn seven_zip_stream(archive: &[u8]) -> &[u8] {
    assert_eq!(&archive[..6], b"7z\xbc\xaf\x27\x1c");
    let len = u64::from_le_bytes(archive[12..20].try_into().unwrap());
    &archive[32..32 + len as usize]
}

#[test]
fn ppmd7_is_that_of_7_zip_in_both_directions() {
    // `7z a -mhc=off -mtm=off -m0=PPMd:o=16:mem=20 ppmd7-o16.7z text`, 7-Zip 26.02. The model fills its memory on the way.
    let raw = text(60_000);
    for (archive, order) in [
        (&include_bytes!("../../tests/fixtures/ppmd7-o6.7z")[..], 6),
        (&include_bytes!("../../tests/fixtures/ppmd7-o16.7z")[..], 16),
        (&include_bytes!("../../tests/fixtures/ppmd7-o32.7z")[..], 32),
    ] {
        let theirs = seven_zip_stream(archive);
        let codec = Codec::Ppmd7 { order, memory_mib: 1 };
        assert!(unpack(codec, theirs, raw.len() as u64).unwrap() == raw);
        let ours = Encoding::Ppmd7 { order, memory_mib: 1 }.pack(&raw, None).unwrap().1;
        assert!(ours == theirs, "order {order}: {} and {} bytes", ours.len(), theirs.len());
    }
}

#[test]
fn reading_in_small_pieces_gives_the_same() {
    let raw = text(5000);
    for encoding in encodings() {
        let (codec, packed) = encoding.pack(&raw, None).unwrap();
        let mut unpacker = Unpacker::new(codec, &packed, 5000, &[]).unwrap();
        let mut out = Vec::new();
        let mut piece = [0; 7];
        loop {
            match unpacker.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => out.extend_from_slice(&piece[..n]),
                Err(e) => panic!("{e}"),
            }
        }
        assert!(out == raw);
        assert_eq!(unpacker.read(&mut piece).map_err(|e: io::Error| e.kind()), Ok(0));
    }
}
