//! The worked vectors of docs/format.md, read from the page itself: what the page shows is what is written and read.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod page;

use firn_core::{
    MemorySpool, StorePath,
    codec::{DICTIONARIES, Edit, EditOf, Encoding, FramePolicy, pack_edit, unpack_edit},
    format::{Counts, FileReader, FileWriter, Header, Limits, Manifest, Section, pack_frame},
    hash::{hex, sha256},
};
use std::io::Read;

const PAGE: &str = include_str!("../../../docs/format.md");

fn vector(name: &str) -> Vec<u8> {
    page::vector(PAGE, name)
}

fn root() -> StorePath {
    StorePath::from_base_name(b"0c9y8z7x6w5v4s3r2q1p0n9m8l7k6j5i-a.drv").expect("a path")
}

fn write(header: &Header, frames: &[(Section, &[u8], Encoding)]) -> Vec<u8> {
    let mut writer = FileWriter::new(MemorySpool::new());
    for (section, raw, encoding) in frames {
        writer
            .push(&pack_frame(*section, raw, &FramePolicy::fixed(*encoding), None).expect("it works"))
            .expect("it works");
    }
    let mut out = Vec::new();
    writer.finish(header, &mut out).expect("it works");
    out
}

fn read(bytes: &[u8]) -> (Header, Vec<(Section, Vec<u8>)>) {
    let mut reader = FileReader::new(bytes, Limits::default()).expect("it works");
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().expect("it works") {
        let mut raw = Vec::new();
        frame.unpack(&Limits::default(), &[]).expect("it works").read_to_end(&mut raw).expect("it works");
        frames.push((frame.header.section, raw));
    }
    (reader.front().header.clone(), frames)
}

fn assert_vector(name: &str, header: Header, frames: &[(Section, &[u8], Encoding)]) {
    let written = write(&header, frames);
    let shown = vector(name);
    assert!(written == shown, "{name} is written as\n{}", dump(&written));
    let raw: Vec<_> = frames.iter().map(|(section, raw, _)| (*section, raw.to_vec())).collect();
    assert_eq!(read(&shown), (header, raw));
}

fn dump(bytes: &[u8]) -> String {
    bytes.chunks(16).map(|row| row.iter().map(|b| format!("{b:02x} ")).collect::<String>() + "\n").collect()
}

#[test]
fn the_smallest_file_of_the_page_is_what_is_written_and_read() {
    assert_vector("smallest", Header { roots: vec![root()], ..Header::default() }, &[]);
}

#[test]
fn the_file_with_a_frame_of_each_codec_is_what_is_written_and_read() {
    let header = Header {
        roots: vec![root()],
        counts: Counts { derivations: 1, sources: 1, files: 2, trusted: 0, text_bytes: 56 },
        manifest: Manifest { host: Some("web".into()), system: Some("x86_64-linux".into()), ..Manifest::default() },
        ..Header::default()
    };
    let text = |word: &str| word.repeat(8).into_bytes();
    assert_vector(
        "codecs",
        header,
        &[
            (Section::SourceNames, &text("name "), Encoding::Ppmd7 { order: 6, memory_mib: 1 }),
            (Section::Sources, &text("source "), Encoding::Lzma2 { window: 4096 }),
            (Section::Sources, &text("other "), Encoding::Zstd { level: 19, window_log: 23 }),
            (Section::Hashes, &[0xaa; 8], Encoding::Stored),
            (Section::Derivations, &text("record "), Encoding::Ppmd7 { order: 32, memory_mib: 2 }),
        ],
    );
}

#[test]
fn the_edit_of_the_page_is_what_is_written_and_read() {
    let old = "{ stdenv, fetchurl }: stdenv.mkDerivation { name = \"hello-2.10\"; src = fetchurl { url = \"mirror://gnu/hello\"; }; }\n";
    let new = old.replace("2.10", "2.12.1").replace("; }; }", "; }; doCheck = true; }");
    let edit = pack_edit(new.as_bytes(), old.as_bytes(), EditOf::All, false).expect("it works");
    let Edit { memory_mib, filter, bytes } = edit;
    assert!(bytes == vector("edit"), "{memory_mib} {} it is written as\n{}", new.len(), dump(&bytes));
    let raw = unpack_edit(&vector("edit"), old.as_bytes(), new.len() as u64, memory_mib, filter).expect("it works");
    assert_eq!((memory_mib, String::from_utf8(raw).as_deref()), (1, Ok(new.as_str())));
}

#[test]
fn the_limits_of_the_page_are_those_of_the_reader() {
    let limits = Limits::default();
    for (what, value) in [
        ("bytes of the header", limits.header_bytes),
        ("frames", limits.frames),
        ("raw bytes of a frame", limits.frame_raw_bytes),
        ("raw bytes of all frames", limits.raw_bytes),
        ("memory to unpack a frame, with its packed bytes", limits.memory_bytes),
        ("bytes of the tail", limits.tail_bytes),
        ("bytes of a text", Limits::TEXT_BYTES as u64),
        ("roots", Limits::ROOTS as u64),
        ("entries of provenance", Limits::PROVENANCE as u64),
    ] {
        let row = format!("| {what} | {value} |");
        assert!(PAGE.contains(&row), "the page lacks the row {row}");
    }
}

#[test]
fn the_dictionaries_of_the_page_are_those_of_the_codec() {
    for dictionary in DICTIONARIES {
        let text = dictionary.raw(64).expect("it is a stream");
        let row = format!(
            "| {} | `derivations` | {} | {} | {} | `{}` |",
            dictionary.id,
            dictionary.order,
            dictionary.raw_bytes,
            dictionary.packed.len(),
            hex(&sha256(&text))
        );
        assert!(PAGE.contains(&row), "the page lacks the row {row}");
    }
}
