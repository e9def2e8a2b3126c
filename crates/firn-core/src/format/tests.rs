use super::*;
use crate::{
    codec::{Codec, EditOf, Encoding, FramePolicy},
    hash::sha256,
    leb128,
    spool::MemorySpool,
    store_path::{StoreDir, StorePath},
};
use std::io::{Cursor, Read, Write};

fn path(name: &str) -> StorePath {
    StorePath::from_parts(&[7; 20], name.as_bytes()).unwrap()
}

fn header() -> Header {
    Header {
        roots: vec![path("nixos-system-web-19.09.drv")],
        counts: Counts { derivations: 3, sources: 2, files: 5, trusted: 0, text_bytes: 9 },
        manifest: Manifest { host: Some("web".into()), system: Some("x86_64-linux".into()), ..Manifest::default() },
        ..Header::default()
    }
}

fn ppmd(order: u8) -> FramePolicy {
    FramePolicy::fixed(Encoding::Ppmd7 { order, memory_mib: 1 })
}

fn contents() -> Vec<(Section, Vec<u8>, FramePolicy)> {
    let text = |s: &str, n| s.repeat(n).into_bytes();
    vec![
        (Section::SourceNames, text("builder.sh ", 4), ppmd(4)),
        (
            Section::Sources,
            text("#!/bin/sh\nexec true\n", 9),
            FramePolicy::fixed(Encoding::Zstd { level: 3, window_log: 10 }),
        ),
        (Section::Sources, text("<para>text</para>", 7), FramePolicy::fixed(Encoding::Lzma2 { window: 1 << 12 })),
        (Section::Hashes, sha256(b"hash").to_vec(), FramePolicy::stored()),
        (Section::Derivations, text("foo-1.0\0x86_64-linux\0", 8), ppmd(16)),
    ]
}

fn write(header: &Header, contents: &[(Section, Vec<u8>, FramePolicy)]) -> Vec<u8> {
    let mut writer = FileWriter::new(MemorySpool::new());
    for (section, raw, policy) in contents {
        writer.push(&pack_frame(*section, raw, policy, None).unwrap()).unwrap();
    }
    let mut out = Vec::new();
    let written = writer.finish(header, &mut out).unwrap();
    assert_eq!(written.bytes, out.len() as u64);
    out
}

fn small() -> Vec<u8> {
    write(&header(), &contents())
}

#[test]
fn a_file_needs_a_later_release_only_where_it_has_something_later() {
    let mut all = contents();
    assert_eq!(small()[8..12], [1, 0, 0, 1]);
    all.insert(1, (Section::Copies, vec![1, 0, 1], FramePolicy::stored()));
    let bytes = write(&header(), &all);
    assert_eq!(bytes[8..12], [1, 1, 0, 2]);
    let (front, sections) = read(&bytes).unwrap();
    assert_eq!(front.release, Release { major: 0, minor: 2 });
    assert_eq!(sections[1], (Section::Copies, vec![1, 0, 1]));
}

#[test]
fn an_edit_needs_a_later_release_and_the_memory_that_it_declares() {
    let run = "foo-1.0\0x86_64-linux\0".repeat(8);
    let frame = pack_edit_frame(Section::Derivations, EditOf::All, false, run.as_bytes(), run.as_bytes(), 7).unwrap();
    let mut writer = FileWriter::new(MemorySpool::new());
    writer.push(&frame).unwrap();
    let mut bytes = Vec::new();
    writer.finish(&header(), &mut bytes).unwrap();
    assert_eq!(bytes[8..12], [1, 1, 0, 2]);

    let memory_bytes = (run.len() * 4 + frame.bytes.len()) as u64 + (5 << 20);
    let read = |memory_bytes| {
        let limits = Limits { memory_bytes, ..Limits::default() };
        let frame = FileReader::new(&*bytes, limits.clone())?.next_frame()?.unwrap();
        assert_eq!(frame.header.codec, Codec::Edit { from: 7, len: run.len() as u64, memory_mib: 1 });
        assert!(frame.unpack(&limits, &[]).is_err());
        frame.unpack_from(&limits, run.as_bytes())
    };
    assert_eq!(read(memory_bytes).unwrap(), run.as_bytes());
    assert!(matches!(read(memory_bytes - 1), Err(FormatError::Memory { .. })));
}

type Parsed = (Front, Vec<(Section, Vec<u8>)>);

/// Reads and unpacks all of a file.
fn read_with(bytes: &[u8], limits: Limits) -> Result<Parsed, FormatError> {
    let mut reader = FileReader::new(bytes, limits.clone())?;
    let mut out = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        let mut raw = Vec::new();
        let mut unpacked = frame.unpack(&limits, &[])?;
        unpacked.read_to_end(&mut raw).map_err(|e| e.downcast::<FormatError>().unwrap())?;
        out.push((frame.header.section, raw));
    }
    Ok((reader.front().clone(), out))
}

fn read(bytes: &[u8]) -> Result<Parsed, FormatError> {
    read_with(bytes, Limits::default())
}

fn refusal(bytes: &[u8]) -> String {
    let error = read(bytes).expect_err("it was taken");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// A front around any header body, its own digest right, the file's digest too as long as there are no frames.
fn forge(fixed: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&fixed);
    leb128::put(&mut bytes, body.len() as u64);
    bytes.extend_from_slice(body);
    let check = sha256(&bytes);
    bytes.extend_from_slice(&check[..8]);
    let digest = sha256(&bytes);
    bytes.extend_from_slice(&digest);
    bytes.push(0);
    bytes
}

/// The least fields, then what is given.
fn forge_fields(extra: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    header().put(&mut body).unwrap();
    extra(&mut body);
    forge([1, 0, 0, 1], &body)
}

fn forge_table(numbers: &[u64]) -> Vec<u8> {
    let mut table = Vec::new();
    for n in numbers {
        leb128::put(&mut table, *n);
    }
    table.extend_from_slice(&[0; 8]);
    forge_fields(|body| super::header::put_field(body, 10, true, &table))
}

#[test]
fn a_file_comes_back_with_its_header_and_frames() {
    let bytes = small();
    let (front, sections) = read(&bytes).unwrap();
    assert_eq!(front.header, header());
    assert_eq!(front.frames_end() + 1, bytes.len() as u64);
    let expected: Vec<_> = contents().into_iter().map(|(section, raw, _)| (section, raw)).collect();
    assert_eq!(sections, expected);
    let summary: Vec<_> = front.sections().iter().map(|s| (s.section.name(), s.frames, s.raw_bytes)).collect();
    assert_eq!(summary, [("source-names", 1, 44), ("sources", 2, 299), ("hashes", 1, 32), ("derivations", 1, 168)]);
}

#[test]
fn every_field_comes_back() {
    let full = Header {
        contents: Contents::Mix,
        store_dir: StoreDir::new("/gnu/store").unwrap(),
        roots: vec![path("a.drv"), path("b.drv")],
        counts: Counts { derivations: 1 << 40, sources: 0, files: 77, trusted: 2, text_bytes: 3 },
        manifest: Manifest {
            name: Some("näme".into()),
            host: Some("web".into()),
            system: Some("x86_64-linux".into()),
            toplevel: Some(path("nixos-system")),
            machine_id: Some("0123456789abcdef0123456789abcdef".into()),
        },
        provenance: vec![("flake".into(), "github:a/b".into()), ("rev".into(), String::new())],
        base: Some(Base {
            layout: Base::LAYOUT,
            unchanged: vec![Section::SourceNames, Section::Derivations],
            roots: vec![path("a.drv"), path("c.drv"), path("d.drv")],
        }),
    };
    assert_eq!(read(&write(&full, &[])).unwrap().0.header, full);
}

#[test]
fn what_goes_around_the_frames_of_a_small_system_is_less_than_300_bytes() {
    let bytes = small();
    let (front, _) = read(&bytes).unwrap();
    let packed: u64 = front.frames.iter().map(|f| f.packed_bytes).sum();
    assert!(bytes.len() as u64 - packed < 300, "{}", bytes.len() as u64 - packed);
}

#[test]
fn the_order_in_which_sections_are_pushed_does_not_matter() {
    let mut shuffled = contents();
    shuffled.rotate_right(1);
    shuffled.push((Section::Hashes, Vec::new(), FramePolicy::stored()));
    assert!(write(&header(), &shuffled) == small());
}

#[test]
fn a_file_cut_at_any_byte_is_refused_with_the_place() {
    let bytes = small();
    for len in 1..bytes.len() {
        let error = read(&bytes[..len]).unwrap_err();
        let FormatError::Cut { offset, .. } = error else { panic!("cut at {len}: {error}") };
        assert_eq!(offset, len as u64);
        let error = IndexReader::new(Cursor::new(&bytes[..len]), &Limits::default()).map(|_| ()).unwrap_err();
        assert!(matches!(error, FormatError::Cut { offset, .. } if offset == len as u64), "{error}");
    }
    assert!(matches!(read(&[]), Err(FormatError::Empty)));
    assert_eq!(refusal(&bytes[..300]), format!("the file is cut: it ends at byte 300 of {}", bytes.len()));
}

#[test]
fn a_file_with_any_bit_flipped_is_refused() {
    let bytes = small();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&bad).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
}

#[test]
fn a_damaged_frame_is_named_with_its_place() {
    let mut bytes = small();
    let frame = read(&bytes).unwrap().0.frames[2];
    bytes[frame.position.offset as usize + 3] ^= 4;
    assert_eq!(
        refusal(&bytes),
        format!(
            "frame 1 of sources, at byte {}, is damaged: its bytes do not have the digest that the header declares",
            frame.position.offset
        )
    );
}

#[test]
fn swapped_frames_are_refused() {
    let twice =
        [&b"first frame "[..], b"second frame"].map(|raw| (Section::Sources, raw.to_vec(), FramePolicy::stored()));
    let bytes = write(&header(), &twice);
    let start = read(&bytes).unwrap().0.bytes as usize;
    let mut swapped = bytes[..start].to_vec();
    swapped.extend_from_slice(&bytes[start + 12..start + 24]);
    swapped.extend_from_slice(&bytes[start..start + 12]);
    swapped.push(0);
    assert!(matches!(read(&swapped), Err(FormatError::FrameDigest(p)) if p.index == 0));
}

#[test]
fn frames_with_right_checks_in_a_file_of_another_digest_are_refused() {
    let mut bytes = small();
    let at = read(&bytes).unwrap().0.bytes as usize - 1;
    bytes[at] ^= 1;
    assert!(matches!(read(&bytes), Err(FormatError::FileDigest { offset }) if offset as usize == at - 31));
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = small();
    let end = bytes.len();
    bytes.push(b'\n');
    assert_eq!(refusal(&bytes), format!("something follows the end of the file at byte {end}"));
    assert!(IndexReader::new(Cursor::new(&bytes), &Limits::default()).is_err());
}

#[test]
fn other_files_and_files_treated_as_text_are_told_apart() {
    assert_eq!(refusal(b""), "the file is empty");
    assert_eq!(refusal(b"hello"), "this is no firn file");
    assert_eq!(refusal(b"\x89FIRN\n\x1a\x01\0\0"), refusal(b"\xc2\x89FIRN\r\n"));
    assert!(refusal(b"\x89FIRN\r\r\n\x1a").starts_with("the file was changed as text on its way"));
}

#[test]
fn a_later_major_version_names_the_release_that_reads_it() {
    assert_eq!(
        refusal(&forge([2, 1, 3, 4], b"")),
        "the file is in format 2.1: firn 3.4 or later reads it, this release reads format 1.x"
    );
}

#[test]
fn a_later_minor_version_is_read_and_what_is_optional_in_it_skipped() {
    let mut bytes = forge_fields(|body| {
        // A section of kind 40 with one frame in a codec of number 9.
        super::header::put_field(body, 10, true, &[40 << 1, 1, 9 << 2 | 1, 5, 100, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
        super::header::put_field(body, 77, false, b"later");
    });
    assert_eq!(bytes.pop(), Some(0));
    let front = bytes.len() - 32;
    let mut covered = bytes[..front].to_vec();
    covered.extend_from_slice(&sha256(b"abc"));
    bytes.truncate(front);
    bytes.extend_from_slice(&sha256(&covered));
    // The frame, and a tail with one optional field.
    bytes.extend_from_slice(b"abc\x03\x04\x01x");
    let (front, sections) = read(&bytes).unwrap();
    assert_eq!((front.frames.len(), sections.len()), (1, 0));
    assert!(IndexReader::new(Cursor::new(&bytes), &Limits::default()).is_ok());

    let end = bytes.len();
    bytes[end - 3] |= 1;
    assert!(refusal(&bytes).contains("a field 2"));
}

#[test]
fn what_is_required_and_unknown_names_the_release_that_reads_it() {
    let bytes = forge_fields(|body| super::header::put_field(body, 77, true, b""));
    let text = refusal(&bytes);
    assert!(text.starts_with("the file has a field 77 (byte "), "{text}");
    assert!(text.ends_with("that this release does not know: firn 0.1 or later reads it"), "{text}");
    assert!(refusal(&forge_table(&[40 << 1 | 1, 1, 0, 1, 1])).contains("a section 40 "));
    assert!(refusal(&forge_table(&[16 << 1 | 1, 1, 9 << 2, 1, 1])).contains("a codec 9 "));
    assert!(refusal(&forge([1, 0, 0, 1], &[3, 1, 9])).contains("contents of kind 9 "));
}

#[test]
fn claims_beyond_the_limits_are_refused_before_anything_is_read() {
    let sources = 16 << 1 | 1;
    let huge = 1 << 63;
    for (numbers, text) in [
        (&[sources, huge, 0, 1, 1][..], "declares 9223372036854775808 frames"),
        (&[sources, 1, 0, huge, 1], "declares 9223372036854775808 raw bytes for one frame"),
        (&[sources, 1, 0, 100_000_000_000, 1], "declares 100000000000 raw bytes for one frame"),
        (&[sources, 1, 0, 1, huge], "longer than a file can be"),
        (&[sources, 1, 0, 1, 1 << 40], "takes 1099511627776 bytes of memory to unpack (stored)"),
        (&[sources, 1, 1 << 2 | 2, 16, 4095, 9, 9], "takes 4293918729 bytes of memory to unpack (ppmd7 o16 4095 MiB)"),
        (&[sources, 1, 3 << 2 | 1, 63, 9, 9], "bytes of memory to unpack (zstd w63)"),
        (&[sources, 1, 4 << 2 | 1, 40, 9, 9], "bytes of memory to unpack (lzma2 4194303 KiB)"),
        (&[sources, 1, 4 << 2 | 1, 41, 9, 9], "a parameter of a codec is out of its range"),
        (&[sources, 1, 1 << 2 | 2, 256, 1, 9, 9], "a parameter of a codec is out of its range"),
        (&[sources, 1, 0, 0, 1], "a frame is empty"),
        (&[sources, 0], "a section has no frames"),
        (&[sources, 7], "a length is beyond its end"),
    ] {
        let got = refusal(&forge_table(numbers));
        assert!(got.contains(text), "{got}");
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[1, 0, 0, 1]);
    leb128::put(&mut bytes, huge);
    assert_eq!(
        refusal(&bytes),
        "the file declares 9223372036854775808 bytes of header (byte 12), the limit is 4194304"
    );

    let limits = Limits { raw_bytes: 500, ..Limits::default() };
    assert!(matches!(read_with(&small(), limits), Err(FormatError::Limit { claim: 543, limit: 500, .. })));
    // Whatever the limit, the frame is told that takes most.
    let most = read(&small()).unwrap().0.memory_bytes();
    for memory_bytes in [1, 1 << 20, most - 1] {
        let limits = Limits { memory_bytes, ..Limits::default() };
        assert!(matches!(read_with(&small(), limits), Err(FormatError::Memory { bytes, .. }) if bytes == most));
    }
    let limits = Limits { memory_bytes: most, ..Limits::default() };
    assert!(read_with(&small(), limits).is_ok());
}

#[test]
fn sections_out_of_order_are_refused() {
    let frame = |section: u64| [section << 1 | 1, 1, 0, 1, 1];
    let mut table = Vec::new();
    for section in [32, 16] {
        table.extend(frame(section).map(|n| n as u8));
        table.extend_from_slice(&[0; 8]);
    }
    let bytes = forge_fields(|body| super::header::put_field(body, 10, true, &table));
    assert!(refusal(&bytes).ends_with("sections are not in their order"));
}

#[test]
fn headers_that_break_a_rule_are_refused() {
    let cases: [(&[u8], &str); 9] = [
        (&[], "the kind of contents is missing"),
        (&[3, 1, 0], "there is no root"),
        (&[3, 1, 0, 3, 1, 0], "fields are not in ascending order"),
        (&[3, 2, 0, 0], "a field is longer than its value"),
        (&[3, 9], "a length is beyond its end"),
        (&[0x83, 0], "a number is not in its shortest form"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "a number does not fit into 64 bits"),
        (&[3, 1, 0, 5, 1, b'x'], "not an absolute, canonical directory"),
        (&[3, 1, 0, 10, 2, 0x1b, b'['], "a text is at most 4096 bytes of UTF-8 without control characters"),
    ];
    for (body, rule) in cases {
        let text = refusal(&forge([1, 0, 0, 1], body));
        assert!(text.contains(rule), "{text}");
    }
    let text = refusal(&forge_fields(|_| ()));
    assert!(text.contains("the frame table is missing"), "{text}");
    let mut body = vec![3, 1, 0, 7, 23];
    body.extend_from_slice(&[0; 20]);
    body.extend_from_slice(b"\x02..");
    assert!(refusal(&forge([1, 0, 0, 1], &body)).contains("is not a name that a store path may have"));
}

#[test]
fn headers_that_no_reader_takes_are_not_written() {
    let finish = |header: Header| FileWriter::new(MemorySpool::new()).finish(&header, &mut Vec::new());
    assert!(finish(Header { roots: vec![], ..header() }).is_err());
    let manifest = Manifest { host: Some("a\x1b[31m".into()), ..Manifest::default() };
    assert!(finish(Header { manifest, ..header() }).is_err());
    assert!(finish(Header { provenance: vec![("k".into(), "v".repeat(5000))], ..header() }).is_err());
    assert!(finish(header()).is_ok());
}

#[test]
fn single_frames_are_read_by_position() {
    let bytes = small();
    let mut reader = IndexReader::new(Cursor::new(&bytes), &Limits::default()).unwrap();
    assert_eq!(reader.front(), &read(&bytes).unwrap().0);
    for (number, (section, raw, _)) in contents().into_iter().enumerate().rev() {
        let frame = reader.frame(number).unwrap().unwrap();
        let mut out = Vec::new();
        frame.unpack(&Limits::default(), &[]).unwrap().read_to_end(&mut out).unwrap();
        assert_eq!((frame.header.section, out), (section, raw));
    }
    assert!(reader.frame(5).unwrap().is_none());
}

#[test]
fn a_frame_that_no_encoder_made_says_where_it_is() {
    let mut frame = pack_frame(Section::Derivations, &[b'x'; 100], &ppmd(4), None).unwrap();
    frame.bytes = vec![1; 20];
    frame.digest = sha256(&frame.bytes);
    frame.header.packed_bytes = 20;
    frame.header.check = super::frame::check_of(&frame.digest);
    let mut writer = FileWriter::new(MemorySpool::new());
    writer.push(&frame).unwrap();
    let mut bytes = Vec::new();
    writer.finish(&header(), &mut bytes).unwrap();
    let offset = bytes.len() - 21;
    assert_eq!(
        refusal(&bytes),
        format!("frame 0 of derivations, at byte {offset}, cannot be unpacked: its packed bytes are no ppmd7 data")
    );
}

#[test]
fn a_pipe_that_gives_one_byte_at_a_time_or_fails_is_fine_or_named() {
    struct Drip<'a>(&'a [u8], bool);
    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            match self.0.split_first() {
                Some((byte, rest)) if !buf.is_empty() => {
                    self.0 = rest;
                    buf[0] = *byte;
                    Ok(1)
                }
                _ if self.1 => Err(std::io::ErrorKind::ConnectionReset.into()),
                _ => Ok(0),
            }
        }
    }
    let bytes = small();
    let frames: Result<Vec<_>, _> = FileReader::new(Drip(&bytes, false), Limits::default()).unwrap().collect();
    assert_eq!(frames.unwrap().len(), 5);
    let broken: Result<Vec<_>, _> = FileReader::new(Drip(&bytes[..340], true), Limits::default()).unwrap().collect();
    assert!(matches!(broken, Err(FormatError::Read { offset: 340, .. })), "{broken:?}");
}

#[test]
fn a_writer_that_is_full_says_so() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let result = FileWriter::new(MemorySpool::new()).finish(&header(), &mut Full);
    assert!(matches!(result, Err(FormatError::Write(_))));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body: Vec<u8>) {
        let _ = read(&body);
        let _ = read(&forge([1, 0, 0, 1], &body));
        let _ = read(&forge_fields(|out| super::header::put_field(out, 10, true, &body)));
    }
}
