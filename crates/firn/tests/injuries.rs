//! Everything in tests/fixtures/injuries, with the exact words that a person sees.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use clap::Parser;
use firn::{Event, Session, Silent, Sink, cli::Cli};
use firn_core::{
    MemorySpool, StorePath,
    codec::{Codec, DICTIONARIES, Filter, Packed},
    format::{FileReader, FileWriter, FrameHeader, Limits, PackedFrame, Section},
    hash,
};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Mutex,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/injuries")
}

/// Runs firn with these arguments: its exit code, and what it says beside results.
fn firn(arguments: &[&str]) -> (u8, String) {
    #[derive(Default)]
    struct Warnings(Mutex<String>);
    impl Sink for Warnings {
        fn event(&self, event: Event<'_>) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push_str(&format!("warning: {text}\n"));
            }
        }
    }
    let cli = Cli::try_parse_from([&["firn"], arguments].concat()).unwrap();
    let warnings = Warnings::default();
    let session = Session::new(cli.globals, &warnings, std::io::sink());
    let result = cli.command.run(&session);
    drop(session);
    let mut said = warnings.0.into_inner().unwrap();
    let Err(error) = result else { return (0, said) };
    said.push_str(&format!("error: {error}\n"));
    for hint in error.hints() {
        said.push_str(&format!("hint: {hint}\n"));
    }
    (error.code().number(), said)
}

#[test]
fn every_injury_has_its_words_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out.firn");
    let mut names: Vec<_> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let mut page = String::new();
    for name in names.iter().map(|name| name.to_str().unwrap()).chain(["."]) {
        if name.ends_with(".md") {
            continue;
        }
        let input = fixtures().join(name);
        let (code, said) = firn(&["convert", input.to_str().unwrap(), target.to_str().unwrap()]);
        let said = said.replace(input.to_str().unwrap(), "FILE");
        page.push_str(&format!("{name}: {code}\n"));
        said.lines().for_each(|line| page.push_str(&format!("    {line}\n")));
        assert_eq!(
            name.starts_with("good-") || name.contains("split-export") || name == "stream-of-an-output",
            code == 0
        );
        if code == 0 {
            fs::remove_file(&target).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{name}");
    }
    insta::assert_snapshot!("injuries", page);
}

#[test]
fn whatever_carries_the_same_paths_gives_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let firn_file = |name: &str| {
        let target = dir.path().join(name);
        let input = fixtures().join(name);
        assert_eq!(firn(&["convert", "--to", "firn", input.to_str().unwrap(), target.to_str().unwrap()]).0, 0);
        fs::read(target).unwrap()
    };
    let plain = firn_file("good-plain");
    for name in [
        "good-identical-duplicates",
        "good-pieces-of-a-split-export",
        "good-several-gzip-members",
        "good-several-xz-streams",
        "good-several-zstd-frames",
    ] {
        assert!(firn_file(name) == plain, "{name}");
    }
    assert!(firn_file("good-two-whole-systems") == firn_file("good-two-whole-systems-in-one-stream"));
}

/// A front in the making: what stands before its digests, and the frames behind them.
struct Front {
    head: Vec<u8>,
    frames: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

impl Front {
    fn of(file: &[u8]) -> Self {
        let reader = FileReader::new(file, Limits::default()).unwrap();
        let known: Vec<_> = reader.front().frames.iter().filter_map(|frame| frame.known).collect();
        let first = file.len() - 1 - known.iter().map(|frame| frame.packed_bytes as usize).sum::<usize>();
        let mut at = first;
        let mut frames = Vec::new();
        for frame in &known {
            frames.push(file[at..at + frame.packed_bytes as usize].to_vec());
            at += frame.packed_bytes as usize;
        }
        Self { head: file[..first - 40].to_vec(), frames, tail: file[at..].to_vec() }
    }

    /// The file, with digests that fit.
    fn file(&self) -> Vec<u8> {
        let mut file = self.head.clone();
        file.extend_from_slice(&hash::sha256(&self.head)[..8]);
        let mut all = file.clone();
        for frame in &self.frames {
            all.extend_from_slice(&hash::sha256(frame));
        }
        file.extend_from_slice(&hash::sha256(&all));
        self.frames.iter().for_each(|frame| file.extend_from_slice(frame));
        file.extend_from_slice(&self.tail);
        file
    }

    fn replace(mut self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.head.windows(from.len()).position(|window| window == from).unwrap();
        self.head[at..at + from.len()].copy_from_slice(to);
        self.file()
    }
}

/// The file again, with other claims about its last frame.
fn claiming(file: &[u8], claim: impl Fn(&mut FrameHeader)) -> Vec<u8> {
    let mut reader = FileReader::new(file, Limits::default()).unwrap();
    let header = reader.front().header.clone();
    let mut frames: Vec<PackedFrame> = std::iter::from_fn(|| reader.next_frame().unwrap()).collect();
    claim(&mut frames.last_mut().unwrap().header);
    let mut writer = FileWriter::new(MemorySpool::new());
    frames.iter().for_each(|frame| writer.push(frame).unwrap());
    let mut out = Vec::new();
    writer.finish(&header, &mut out).unwrap();
    out
}

/// The raw bytes of a section that has no patches.
fn section(file: &[u8], section: Section) -> Vec<u8> {
    let (mut reader, limits) = (FileReader::new(file, Limits::default()).unwrap(), Limits::default());
    let mut raw = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        if frame.header.section == section {
            frame.unpack(&limits, DICTIONARIES).unwrap().read_to_end(&mut raw).unwrap();
        }
    }
    raw
}

/// The file with these bytes as a section, stored, and with digests that fit.
fn with_section(file: &[u8], section: Section, raw: &[u8]) -> Vec<u8> {
    let mut reader = FileReader::new(file, Limits::default()).unwrap();
    let header = reader.front().header.clone();
    let mut writer = FileWriter::new(MemorySpool::new());
    while let Some(frame) = reader.next_frame().unwrap() {
        if frame.header.section != section {
            writer.push(&frame).unwrap();
        }
    }
    let packed = Packed { codec: Codec::Stored, filter: Filter::default(), bytes: raw.to_vec() };
    writer.push(&PackedFrame::new(section, raw.len() as u64, packed)).unwrap();
    let mut out = Vec::new();
    writer.finish(&header, &mut out).unwrap();
    out
}

#[test]
fn damage_is_told_of_the_section_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, base) = (at("f"), fixtures().join("../v1/page.firn"));
    let page = fs::read(&base).unwrap();
    let delta = fs::read(fixtures().join("../v1/deltas/page-server.firn")).unwrap();
    let (names, hashes) = (section(&page, Section::SourceNames), section(&page, Section::Hashes));
    let (records, travelled) = (section(&page, Section::Derivations), section(&delta, Section::Sources));
    let sourceless = [Section::SourceNames, Section::Sources];
    let sourceless = sourceless.iter().fold(page.clone(), |file, section| with_section(&file, *section, &[]));
    let cases = [
        (Section::SourceNames, with_section(&page, Section::SourceNames, &names[..names.len() - 1])),
        // One content is like itself.
        (Section::Copies, with_section(&page, Section::Copies, &[1, 2, 1])),
        (Section::Copies, with_section(&page, Section::Copies, &[0x80])),
        (Section::Hashes, with_section(&page, Section::Hashes, &hashes[1..])),
        (Section::Hashes, with_section(&page, Section::Hashes, &[&hashes[..], b"h"].concat())),
        (Section::Derivations, with_section(&page, Section::Derivations, &records[..records.len() - 1])),
        // Four contents, of a closure that has two.
        (Section::Origins, with_section(&delta, Section::Origins, &[2, 0, 2, 0, 0, 2, 3, 2, 1])),
        // The one that is kept is of 16 bytes, this of 14.
        (Section::Origins, with_section(&delta, Section::Origins, &[1, 0, 1, 2, 1, 1])),
        (Section::Sources, with_section(&delta, Section::Sources, &travelled[1..])),
        (Section::Sources, with_section(&delta, Section::Sources, &[&travelled[..], b"t"].concat())),
        // Without sources nothing can be a copy.
        (Section::Copies, with_section(&sourceless, Section::Copies, &[1, 0, 1])),
    ];
    for (number, (section, bytes)) in cases.into_iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        let (code, said) = firn(&["verify", "--base", base.to_str().unwrap(), &file]);
        assert_eq!(code, 5, "{number}: {said}");
        assert!(said.contains(&format!("the section {section} is not right")), "{number}: {said}");
    }
}

#[test]
fn contents_and_copies_of_no_sources_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let path = path.to_str().unwrap();
    let page = fs::read(fixtures().join("../v1/page.firn")).unwrap();
    // The first derivation of the page needs no other path.
    let mut records = section(&page, Section::Derivations);
    records.truncate(records.windows(3).position(|bytes| bytes == [0x0b, 0, 0x0f]).unwrap());
    let reader = FileReader::new(&page[..], Limits::default()).unwrap();
    let mut header = reader.front().header.clone();
    header.roots = vec![StorePath::from_base_name(b"h6rwy5a1n3gfwm4cj3779cfwsfrpirzg-zlib-1.2.tar.gz.drv").unwrap()];
    (header.counts.derivations, header.counts.sources, header.counts.files) = (1, 0, 0);
    let mut empty = Vec::new();
    FileWriter::new(MemorySpool::new()).finish(&header, &mut empty).unwrap();
    let good = with_section(&empty, Section::Hashes, &section(&page, Section::Hashes));
    let good = with_section(&good, Section::Derivations, &records);
    let verify = |bytes: &[u8]| {
        fs::write(path, bytes).unwrap();
        firn(&["verify", path])
    };
    assert_eq!(verify(&good), (0, String::new()));
    for (section, bytes) in [(Section::Sources, &b"x"[..]), (Section::Copies, &[1, 0, 1])] {
        let (code, said) = verify(&with_section(&good, section, bytes));
        assert_eq!(code, 5, "{section}: {said}");
    }
}

#[test]
fn every_injury_of_a_firn_file_has_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let path = path.to_str().unwrap();
    assert_eq!(firn(&["convert", "--to", "firn", fixtures().join("good-plain").to_str().unwrap(), path]).0, 0);
    let good = fs::read(path).unwrap();
    let reader = FileReader::new(&good[..], Limits::default()).unwrap();
    let root = reader.front().header.roots[0].digest();
    assert!(Front::of(&good).file() == good);
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let start = good.len() - 1 - Front::of(&good).frames.iter().map(Vec::len).sum::<usize>();
    let frame = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut front = Front::of(&good);
        change(&mut front.frames);
        front.file()
    };
    let cases = [
        ("cut within the magic", good[..5].to_vec()),
        ("cut within the header", good[..100].to_vec()),
        ("cut within a frame", good[..good.len() - 20].to_vec()),
        ("without its last byte", good[..good.len() - 1].to_vec()),
        ("with a byte behind it", [&good[..], b"\n"].concat()),
        ("line ends changed", [&good[..5], b"\n", &good[7..]].concat()),
        ("character set changed", [b"\xc2", &good[..]].concat()),
        ("a flip in the header", flipped(40)),
        ("a flip in the digest", flipped(start - 1)),
        ("a flip in a frame", flipped(start + 3)),
        ("frames swapped", frame(|frames| frames.swap(0, 1))),
        ("of a later major version", [&good[..8], &[2, 0, 1, 4], &good[12..]].concat()),
        ("a forged root", Front::of(&good).replace(&root, &[7; 20])),
        ("more sources than there are", Front::of(&good).replace(&[9, 6, 3, 2], &[9, 6, 3, 3])),
        ("an unknown contents kind", Front::of(&good).replace(&[3, 1, 0], &[3, 1, 9])),
        ("a frame that claims 100 GB", claiming(&good, |frame| frame.raw_bytes = 100 << 30)),
        (
            "PPMd memory beyond the limit",
            claiming(&good, |frame| frame.codec = Codec::Ppmd7 { order: 64, memory_mib: 4095 }),
        ),
        ("a frame that claims one byte more", claiming(&good, |frame| frame.raw_bytes += 1)),
    ];
    let mut page = String::new();
    for (what, bytes) in cases {
        fs::write(path, bytes).unwrap();
        let (code, said) = firn(&["verify", path]);
        let said = said.replace(path, "FILE");
        page.push_str(&format!("{what}: {code}\n"));
        said.lines().for_each(|line| page.push_str(&format!("    {line}\n")));
        assert_ne!(code, 0, "{what}");
    }
    insta::assert_snapshot!("firn_files", page);
}

#[test]
fn a_firn_file_that_is_cut_or_flipped_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let path = path.to_str().unwrap();
    // Without a dictionary, which would be unpacked two thousand times.
    let plain = fixtures().join("good-plain");
    assert_eq!(firn(&["convert", "--low-memory", "--to", "firn", plain.to_str().unwrap(), path]).0, 0);
    let good = fs::read(path).unwrap();
    let refused = |bytes: &[u8], what: String| {
        let reader = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let source = firn::Source::Stdin;
        let session = Session::new(Default::default(), &Silent, std::io::sink());
        let decoded =
            firn::Input::from_reader(source, reader, 1 << 26).map_err(firn::CommandError::from).and_then(|input| {
                let mut spool = session.spool(None)?;
                Ok(firn::decode(input, &mut spool, firn_core::codec::DICTIONARIES, &session.decode_options(), &Silent)?)
            });
        assert!(decoded.is_err(), "{what}");
    };
    for cut in 0..good.len() {
        refused(&good[..cut], format!("cut at {cut}"));
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        refused(&bytes, format!("flipped at {at}"));
    }
    refused(&[&good[..], b"\n"].concat(), "with a byte behind it".into());
}

#[test]
fn a_delta_that_is_cut_or_flipped_anywhere_is_refused_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (base, delta, out) = (at("base.firn"), at("delta.firn"), at("out.firn"));
    // Without a dictionary, which would be unpacked hundreds of times.
    let page = fixtures().join("../v1/page.firn");
    assert_eq!(firn(&["convert", "--low-memory", page.to_str().unwrap(), &base]).0, 0);
    let good = fs::read(fixtures().join("../v1/deltas/page-server.firn")).unwrap();
    let apply = |bytes: &[u8]| {
        fs::write(&delta, bytes).unwrap();
        let (code, said) = firn(&["convert", "--low-memory", "--base", &base, &delta, &out]);
        assert_eq!(Path::new(&out).exists(), code == 0, "{said}");
        (code, said)
    };
    assert_eq!(apply(&good).0, 0);
    fs::remove_file(&out).unwrap();
    // What is wrong before byte 12 tells another kind of file, or another version of it.
    let refused = |(code, said): (u8, String), at: usize| {
        assert!(if at < 12 { code != 0 } else { code == 5 }, "at {at}: {code}: {said}");
    };
    for cut in 0..good.len() {
        refused(apply(&good[..cut]), cut);
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        refused(apply(&bytes), at);
    }
    refused(apply(&[&good[..], b"\n"].concat()), good.len());
}
