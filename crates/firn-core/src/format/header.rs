//! The fields of the header: what the writer says about the whole.

use super::{
    FormatError, Limits, Release, Section,
    wire::{Cursor, put_bytes},
};
use crate::{
    leb128,
    store_path::{StoreDir, StorePath},
};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contents {
    /// Derivations and their sources: proves itself.
    #[default]
    Recipe,
    /// Built paths: need signatures or trust.
    Outputs,
    /// A recipe and some built paths.
    Mix,
}

impl Contents {
    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Outputs => "outputs",
            Self::Mix => "mix",
        }
    }
}

/// How much there is in a file; readers compare it with what they decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Derivations.
    pub derivations: u64,
    /// Sources: store paths that are no derivations.
    pub sources: u64,
    /// Regular files in the sources.
    pub files: u64,
    /// Paths whose content does not give their address, so that a store has to trust somebody for them.
    pub trusted: u64,
    /// Bytes of the derivations' texts.
    pub text_bytes: u64,
}

/// Names for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Name of the system.
    pub name: Option<String>,
    /// Host it is for.
    pub host: Option<String>,
    /// Nix system, `x86_64-linux`.
    pub system: Option<String>,
    /// Path that building the first root gives.
    pub toplevel: Option<StorePath>,
    /// Id of the machine it is for (machine-id(5)), where its maker named one.
    pub machine_id: Option<String>,
}

/// What a delta changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Number of the layout in which the sections of the base are references.
    pub layout: u64,
    /// Sections that are those of the base: not in the file.
    pub unchanged: Vec<Section>,
    /// Roots of the base: what proves it.
    pub roots: Vec<StorePath>,
}

impl Base {
    /// The layout that this release writes, and the only one that it reads.
    pub const LAYOUT: u64 = 1;
}

/// Sections that may be unchanged, by their bit in the field.
const UNCHANGED: [Section; 4] = [Section::SourceNames, Section::Sources, Section::Hashes, Section::Derivations];

/// The header of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// What the file holds.
    pub contents: Contents,
    /// Store directory of all its paths.
    pub store_dir: StoreDir,
    /// What the closure is the closure of, at least one.
    pub roots: Vec<StorePath>,
    /// How much there is.
    pub counts: Counts,
    /// Names for people.
    pub manifest: Manifest,
    /// Where it came from, only when asked for: keys and values.
    pub provenance: Vec<(String, String)>,
    /// What it changes, where it is a delta.
    pub base: Option<Base>,
}

/// Numbers of the fields. The tag in the file is the number times two, plus one where a reader must know the field.
pub(super) mod field {
    pub(in crate::format) const CONTENTS: u64 = 1;
    pub(in crate::format) const STORE_DIR: u64 = 2;
    pub(in crate::format) const ROOTS: u64 = 3;
    pub(in crate::format) const COUNTS: u64 = 4;
    pub(in crate::format) const NAME: u64 = 5;
    pub(in crate::format) const HOST: u64 = 6;
    pub(in crate::format) const SYSTEM: u64 = 7;
    pub(in crate::format) const TOPLEVEL: u64 = 8;
    pub(in crate::format) const PROVENANCE: u64 = 9;
    pub(in crate::format) const FRAMES: u64 = 10;
    pub(in crate::format) const MACHINE_ID: u64 = 11;
    pub(in crate::format) const BASE: u64 = 16;
}

/// Appends one field.
pub(super) fn put_field(out: &mut Vec<u8>, number: u64, required: bool, value: &[u8]) {
    leb128::put(out, number << 1 | u64::from(required));
    put_bytes(out, value);
}

fn put_path(out: &mut Vec<u8>, path: &StorePath) {
    out.extend_from_slice(&path.digest());
    put_bytes(out, path.name().as_bytes());
}

fn take_path(cursor: &mut Cursor<'_>) -> Result<StorePath, FormatError> {
    let offset = cursor.offset();
    let digest = cursor.array()?;
    let name = cursor.nested()?.rest();
    StorePath::from_parts(&digest, name).map_err(|source| FormatError::Path { offset, source })
}

const TEXT_RULE: &str = "a text is at most 4096 bytes of UTF-8 without control characters";

fn is_text(text: &str) -> bool {
    text.len() <= Limits::TEXT_BYTES && !text.chars().any(char::is_control)
}

fn take_text(mut cursor: Cursor<'_>) -> Result<String, FormatError> {
    let error = cursor.error(TEXT_RULE);
    match std::str::from_utf8(cursor.rest()) {
        Ok(text) if is_text(text) => Ok(text.to_owned()),
        _ => Err(error),
    }
}

impl Header {
    /// Appends the fields after the frame table.
    pub(super) fn put_last(&self, out: &mut Vec<u8>) {
        if let Some(id) = &self.manifest.machine_id {
            put_field(out, field::MACHINE_ID, false, id.as_bytes());
        }
        self.put_base(out);
    }

    /// Appends the fields before the frame table. What has its default value is left out, so a header has one encoding.
    pub(super) fn put(&self, out: &mut Vec<u8>) -> Result<(), FormatError> {
        self.check()?;
        put_field(out, field::CONTENTS, true, &[self.contents as u8]);
        if self.store_dir != StoreDir::default() {
            put_field(out, field::STORE_DIR, true, self.store_dir.as_str().as_bytes());
        }
        let mut value = Vec::new();
        for root in &self.roots {
            put_path(&mut value, root);
        }
        put_field(out, field::ROOTS, true, &value);
        value.clear();
        let Counts { derivations, sources, files, trusted, text_bytes } = self.counts;
        for count in [derivations, sources, files, trusted, text_bytes] {
            leb128::put(&mut value, count);
        }
        put_field(out, field::COUNTS, true, &value);
        let Manifest { name, host, system, toplevel, machine_id: _ } = &self.manifest;
        for (number, text) in [(field::NAME, name), (field::HOST, host), (field::SYSTEM, system)] {
            if let Some(text) = text {
                put_field(out, number, false, text.as_bytes());
            }
        }
        if let Some(path) = toplevel {
            value.clear();
            put_path(&mut value, path);
            put_field(out, field::TOPLEVEL, false, &value);
        }
        if !self.provenance.is_empty() {
            value.clear();
            for (key, text) in &self.provenance {
                put_bytes(&mut value, key.as_bytes());
                put_bytes(&mut value, text.as_bytes());
            }
            put_field(out, field::PROVENANCE, false, &value);
        }
        Ok(())
    }

    fn put_base(&self, out: &mut Vec<u8>) {
        let Some(base) = &self.base else { return };
        let mut value = Vec::new();
        leb128::put(&mut value, base.layout);
        let bit = |(bit, section): (usize, &Section)| u8::from(base.unchanged.contains(section)) << bit;
        value.push(UNCHANGED.iter().enumerate().map(bit).sum());
        for (root, own) in base.roots.iter().zip(self.roots.iter().map(Some).chain(std::iter::repeat(None))) {
            value.extend_from_slice(&root.digest());
            // A name that is the same needs not be told: it is never empty.
            let same = own.is_some_and(|own| own.name() == root.name());
            put_bytes(&mut value, if same { b"" } else { root.name().as_bytes() });
        }
        put_field(out, field::BASE, true, &value);
    }

    fn check(&self) -> Result<(), FormatError> {
        let Manifest { name, host, system, machine_id, .. } = &self.manifest;
        let texts = [name, host, system, machine_id].into_iter().flatten();
        if !texts.chain(self.provenance.iter().flat_map(|(k, v)| [k, v])).all(|text| is_text(text)) {
            return Err(FormatError::Unwritable { field: "manifest", rule: TEXT_RULE });
        }
        if self.roots.is_empty() || self.roots.len() > Limits::ROOTS {
            return Err(FormatError::Unwritable { field: "list of roots", rule: "there are 1 to 4096 of them" });
        }
        if self.base.as_ref().is_some_and(|base| base.roots.is_empty() || base.roots.len() > Limits::ROOTS) {
            return Err(FormatError::Unwritable { field: "base", rule: "it has 1 to 4096 roots" });
        }
        if self.provenance.len() > Limits::PROVENANCE {
            return Err(FormatError::Unwritable { field: "provenance", rule: "it has at most 256 entries" });
        }
        Ok(())
    }

    /// Takes the fields apart and gives the frame table, not yet read.
    pub(super) fn take<'a>(mut cursor: Cursor<'a>, release: Release) -> Result<(Self, Cursor<'a>), FormatError> {
        let mut header = Self::default();
        let mut table = None;
        let mut last = 0;
        let mut contents = None;
        while !cursor.is_empty() {
            let offset = cursor.offset();
            let tag = cursor.varint()?;
            let (number, required) = (tag >> 1, tag & 1 == 1);
            if number <= last {
                return Err(FormatError::Header { offset, rule: "fields are not in ascending order" });
            }
            last = number;
            let mut value = cursor.nested()?;
            match number {
                field::CONTENTS => contents = Some(take_contents(&mut value, release)?),
                field::STORE_DIR => header.store_dir = take_store_dir(&mut value)?,
                field::ROOTS => {
                    while !value.is_empty() {
                        if header.roots.len() == Limits::ROOTS {
                            return Err(value.error("there are more than 4096 roots"));
                        }
                        header.roots.push(take_path(&mut value)?);
                    }
                }
                field::COUNTS => {
                    header.counts = Counts {
                        derivations: value.varint()?,
                        sources: value.varint()?,
                        files: value.varint()?,
                        trusted: value.varint()?,
                        text_bytes: value.varint()?,
                    };
                }
                field::NAME => header.manifest.name = Some(take_text(take_all(&mut value))?),
                field::HOST => header.manifest.host = Some(take_text(take_all(&mut value))?),
                field::SYSTEM => header.manifest.system = Some(take_text(take_all(&mut value))?),
                field::TOPLEVEL => header.manifest.toplevel = Some(take_path(&mut value)?),
                field::PROVENANCE => {
                    while !value.is_empty() {
                        if header.provenance.len() == Limits::PROVENANCE {
                            return Err(value.error("there are more than 256 entries of provenance"));
                        }
                        header.provenance.push((take_text(value.nested()?)?, take_text(value.nested()?)?));
                    }
                }
                field::FRAMES => table = Some(take_all(&mut value)),
                field::MACHINE_ID => header.manifest.machine_id = Some(take_text(take_all(&mut value))?),
                field::BASE => header.base = Some(take_base(&mut value, &header.roots, release)?),
                _ if required => return Err(FormatError::Unknown { what: "a field", number, offset, release }),
                _ => value = Cursor::new(&[], 0),
            }
            if !value.is_empty() {
                return Err(value.error("a field is longer than its value"));
            }
        }
        header.contents = contents.ok_or_else(|| cursor.error("the kind of contents is missing"))?;
        if header.roots.is_empty() {
            return Err(cursor.error("there is no root"));
        }
        Ok((header, table.ok_or_else(|| cursor.error("the frame table is missing"))?))
    }
}

fn take_all<'a>(cursor: &mut Cursor<'a>) -> Cursor<'a> {
    let offset = cursor.offset();
    Cursor::new(cursor.rest(), offset)
}

fn take_base(value: &mut Cursor<'_>, own: &[StorePath], release: Release) -> Result<Base, FormatError> {
    let offset = value.offset();
    let layout = value.varint()?;
    if layout != Base::LAYOUT {
        return Err(FormatError::Unknown { what: "a base in layout", number: layout, offset, release });
    }
    let [bits] = value.array()?;
    if bits >= 1 << UNCHANGED.len() {
        return Err(value.error("sections of the base that there are not"));
    }
    let unchanged = (0..).zip(UNCHANGED).filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, section)| section).collect();
    let mut roots: Vec<StorePath> = Vec::new();
    while !value.is_empty() {
        if roots.len() == Limits::ROOTS {
            return Err(value.error("the base has more than 4096 roots"));
        }
        let offset = value.offset();
        let digest = value.array()?;
        let name = value.nested()?.rest();
        let same = own.get(roots.len()).filter(|_| name.is_empty()).map(StorePath::name);
        let name = same.map_or(name, str::as_bytes);
        roots.push(StorePath::from_parts(&digest, name).map_err(|source| FormatError::Path { offset, source })?);
    }
    if roots.is_empty() {
        return Err(value.error("the base has no root"));
    }
    Ok(Base { layout, unchanged, roots })
}

fn take_contents(value: &mut Cursor<'_>, release: Release) -> Result<Contents, FormatError> {
    let offset = value.offset();
    match value.array()? {
        [0] => Ok(Contents::Recipe),
        [1] => Ok(Contents::Outputs),
        [2] => Ok(Contents::Mix),
        [n] => Err(FormatError::Unknown { what: "contents of kind", number: n.into(), offset, release }),
    }
}

fn take_store_dir(value: &mut Cursor<'_>) -> Result<StoreDir, FormatError> {
    let offset = value.offset();
    let text = String::from_utf8_lossy(value.rest());
    StoreDir::new(&text).map_err(|source| FormatError::Path { offset, source })
}
