//! Targets of firn.

#![allow(dead_code, reason = "each user calls some of them")]

use firn::{DecodeOptions, FileSpool, Silent, decode, decode_delta};
use firn_core::{
    MemorySpool, Proven, Spool,
    codec::{Codec, EditOf, Filter, Packed, PatchOf},
    format::{
        Base, Counts, FileReader, FileWriter, Header, Limits, PackedFrame, Section, pack_edit_frame, pack_patch_frame,
    },
    recipe::encode_base,
};
use std::{env::temp_dir, sync::OnceLock};

/// A name and what is called with any bytes.
type Target = (&'static str, fn(&[u8]));

/// Every target of this crate, by name.
pub(crate) const ALL: &[Target] = &[("delta", delta)];

/// The file whose closure every delta is against.
const BASE: &[u8] = include_bytes!("../../tests/fixtures/v1/page.firn");

/// The sections of a delta, as a byte numbers them.
const SECTIONS: [Section; 5] =
    [Section::SourceNames, Section::Sources, Section::Hashes, Section::Derivations, Section::Origins];

struct Known {
    base: Proven,
    /// The bytes of the spool that it is in.
    spooled: Vec<u8>,
    /// What patches of each section may refer to; of contents all there are.
    references: [Vec<u8>; 5],
}

fn known() -> &'static Known {
    static MADE: OnceLock<Known> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut spool = FileSpool::new(&temp_dir()).expect("a folder for what is put aside");
        let options = DecodeOptions { threads: 1, ..DecodeOptions::default() };
        let decoded = decode(BASE, &mut spool, firn_core::codec::DICTIONARIES, &options, &Silent);
        let base = decoded.expect("it is a file of this format").closure;
        let mut spooled = vec![0; usize::try_from(spool.len()).expect("it is small")];
        spool.read_at(0, &mut spooled).expect("it was written");
        let recipe = encode_base(&base, &spool).expect("it can be taken apart");
        let contents =
            recipe.contents.iter().flat_map(|content| spool.get(content.blob).expect("it is there")).collect();
        let references = [recipe.source_names, contents, recipe.hashes, recipe.derivations, Vec::new()];
        Known { base, spooled, references }
    })
}

/// So many bytes from the front, or what there is of them.
fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let len = N.min(data.len());
    out[..len].copy_from_slice(&data[..len]);
    *data = &data[len..];
    out
}

fn number(data: &mut &[u8]) -> u64 {
    u64::from(u16::from_le_bytes(take(data)))
}

/// A delta whose digests are right: what the header counts and says is unchanged, and its frames. A frame is stored, packed as
/// a patch or an edit here, or has what are told to be the packed bytes of one.
pub(crate) fn delta(mut data: &[u8]) {
    let Known { base, references, .. } = known();
    let [kind, unchanged, sources, derivations, files] = take(&mut data);
    if kind == 0 {
        return read(data);
    }
    let counts = Counts {
        derivations: derivations.into(),
        sources: sources.into(),
        files: files.into(),
        text_bytes: number(&mut data),
        ..Counts::default()
    };
    let unchanged = SECTIONS[..4].iter().enumerate().filter(|(bit, _)| unchanged >> bit & 1 == 1);
    let told =
        Base { layout: Base::LAYOUT, unchanged: unchanged.map(|(_, s)| *s).collect(), roots: base.roots().to_vec() };
    // Each of the base's paths is a root that may be proven.
    let root = base.paths()[usize::from(kind) % base.paths().len()].path().clone();
    let header = Header { roots: vec![root], counts, base: Some(told), ..Header::default() };
    let mut writer = FileWriter::new(MemorySpool::new());
    while !data.is_empty() {
        let [section, how] = take(&mut data);
        let section = usize::from(section) % SECTIONS.len();
        let (from, len, raw_bytes) = (number(&mut data), number(&mut data), number(&mut data));
        let bytes = usize::try_from(number(&mut data)).unwrap_or_default();
        let (bytes, rest) = data.split_at(bytes.min(data.len()));
        data = rest;
        let packed = |codec, raw_bytes| {
            PackedFrame::new(
                SECTIONS[section],
                raw_bytes,
                Packed { codec, filter: Filter::NONE, bytes: bytes.to_vec() },
            )
        };
        let run = references[section].get(from as usize..from.saturating_add(len) as usize).unwrap_or_default();
        let frame = match how % 5 {
            0 => Ok(packed(Codec::Stored, bytes.len() as u64)),
            1 => Ok(packed(Codec::Patch { from, len }, raw_bytes)),
            2 => pack_patch_frame(SECTIONS[section], PatchOf::Records, bytes, run, from),
            3 => Ok(packed(Codec::Edit { from, len, memory_mib: 1 }, raw_bytes)),
            _ => pack_edit_frame(SECTIONS[section], EditOf::All, true, bytes, run, from),
        };
        let Ok(frame) = frame else { return };
        if writer.push(&frame).is_err() {
            return;
        }
    }
    let mut file = Vec::new();
    if writer.finish(&header, &mut file).is_ok() {
        read(&file);
    }
}

/// Reads a delta: it gives a closure of the roots that it names, or nothing.
fn read(file: &[u8]) {
    let Known { base, spooled, .. } = known();
    let limits = Limits { memory_bytes: 8 << 20, frame_raw_bytes: 1 << 20, raw_bytes: 1 << 20, ..Limits::default() };
    let Ok(reader) = FileReader::new(file, limits.clone()) else { return };
    let roots = reader.front().header.roots.clone();
    let mut spool = FileSpool::new(&temp_dir()).expect("a folder for what is put aside");
    spool.append(spooled).expect("there is room");
    let options = DecodeOptions { threads: 1, limits, ..DecodeOptions::default() };
    if let Ok(decoded) = decode_delta(reader, base, &mut spool, &[], &options, &Silent) {
        assert_eq!(decoded.closure.roots(), roots);
        for path in decoded.closure.paths() {
            assert_eq!(path.content().nar_hash(&spool).expect("it is there"), (*path.nar_hash(), path.nar_size()));
        }
    }
}
