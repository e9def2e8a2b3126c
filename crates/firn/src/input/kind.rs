//! What bytes are, judged by their beginning.

use firn_core::format::MAGIC;

/// What firn reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A firn file.
    Firn,
    /// One or several streams of `nix-store --export`.
    Export,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, one or several members.
    Gzip,
    /// The .xz format, one or several streams.
    Xz,
    /// RFC 8878, one or several frames.
    Zstd,
}

impl Compression {
    /// Tells it by the first bytes.
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // A frame, or a skippable one before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// With its article, for messages.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Gzip => "a gzip file",
            Self::Xz => "an xz file",
            Self::Zstd => "a zstd file",
        }
    }
}

/// What people hand in by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongKind {
    /// No bytes.
    Empty,
    /// Bytes that are all zero, as of a file system after a crash.
    Zeros,
    /// A folder.
    Directory,
    /// `nix-store --dump`, `nix store dump-path`.
    Nar,
    /// The second version of the export format, which only Determinate Nix writes.
    Nario2,
    /// The text of one derivation.
    Derivation,
    /// JSON, most likely of `nix derivation show`.
    Json,
    /// A `.narinfo` of a binary cache.
    NarInfo,
    /// The output of `nix-store -qR`.
    PathList,
    /// A tar archive.
    Tar,
    /// A zip archive.
    Zip,
    /// Compressed twice.
    Compressed,
    /// Compressed with what firn does not unpack.
    Foreign,
    /// A program.
    Elf,
    /// The database of a store.
    Database,
    /// Any other text.
    Text,
    /// Any other bytes.
    Unknown,
}

impl WrongKind {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Empty,
        Self::Zeros,
        Self::Directory,
        Self::Nar,
        Self::Nario2,
        Self::Derivation,
        Self::Json,
        Self::NarInfo,
        Self::PathList,
        Self::Tar,
        Self::Zip,
        Self::Compressed,
        Self::Foreign,
        Self::Elf,
        Self::Database,
        Self::Text,
        Self::Unknown,
    ];

    /// What it is, with its article.
    pub fn what(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Zeros => "nothing but zeros",
            Self::Directory => "a directory",
            Self::Nar => "a bare NAR, as nix store dump-path writes it",
            Self::Nario2 => "an export stream of version 2",
            Self::Derivation => "the text of a single derivation",
            Self::Json => "JSON, as nix derivation show prints it",
            Self::NarInfo => "a .narinfo of a binary cache",
            Self::PathList => "a list of paths",
            Self::Tar => "a tar archive",
            Self::Zip => "a zip archive",
            Self::Compressed => "a compressed file",
            Self::Foreign => "a file compressed in a way that firn does not know",
            Self::Elf => "a program",
            Self::Database => "an SQLite database",
            Self::Text => "a text",
            Self::Unknown => "neither a firn file nor an export stream",
        }
    }

    /// Why it cannot be used, and what to do.
    pub fn cure(self) -> &'static str {
        match self {
            Self::Empty | Self::Zeros => "what wrote it failed, or the copy did; write it again",
            Self::Directory => "firn reads files; to press a system into one, use firn pack",
            Self::Nar => {
                "it has neither the name of the path nor its references; use firn pack PATH, or nix-store --export \
                 $(nix-store -qR PATH)"
            }
            Self::Nario2 => "write it as version 1, which every Nix reads: nix nario export --format 1",
            Self::Derivation => "what it refers to is missing; use firn pack with the path of the .drv in its store",
            Self::Json => {
                "it does not have the sources, nor the derivations byte for byte; use firn pack with the path of the \
                 .drv, or with the flake"
            }
            Self::NarInfo => "it only describes a path; use firn pack, or nix-store --export $(nix-store -qR PATH)",
            Self::PathList => "it only names them; use nix-store --export $(cat LIST)",
            Self::Tar => {
                "files that are unpacked and added again get other paths; use firn pack PATH, or nix-store --export \
                 $(nix-store -qR PATH)"
            }
            Self::Zip => "unpack it, then give firn the file that was in it",
            Self::Compressed => "unpack it until one layer of gzip, xz or zstd is left",
            Self::Foreign => "unpack it and pipe it in, as in bzip2 -dc FILE | firn verify -",
            Self::Elf => "give firn a file that firn pack or nix-store --export wrote",
            Self::Database => "to read a store, use firn pack --store",
            Self::Text => "give firn a file that firn pack or nix-store --export wrote",
            Self::Unknown => "if it was one, its beginning is damaged; copy it again",
        }
    }
}

/// Whether it is a firn file, one that is cut within its magic, or one that was copied as text: its reader says which.
fn is_firn(head: &[u8]) -> bool {
    let start = &head[..head.len().min(MAGIC.len())];
    MAGIC.starts_with(start)
        || start.starts_with(b"FIRN\n")
        || (1..4).any(|at| start[at.min(start.len())..].starts_with(b"FIRN"))
}

/// Tells firn files and export streams from the rest.
pub(super) fn tell(head: &[u8], unpacked: bool) -> Result<Content, WrongKind> {
    if head.is_empty() {
        return Err(WrongKind::Empty);
    }
    if is_firn(head) {
        return Ok(Content::Firn);
    }
    // Exports of nothing are no more than a few.
    if head.len() >= 64 && head.iter().all(|byte| *byte == 0) {
        return Err(WrongKind::Zeros);
    }
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    match number(head) {
        // The second number is the length of "nix-archive-1"; a cut stream is for its reader to refuse.
        Some(1) if number(&head[8..]).is_none_or(|len| len == 13) => return Ok(Content::Export),
        Some(0) if head.len() == 8 || matches!(number(&head[8..]), Some(0 | 1)) => return Ok(Content::Export),
        _ => {}
    }
    Err(wrong(head, unpacked))
}

fn wrong(head: &[u8], unpacked: bool) -> WrongKind {
    const MARKS: &[(&[u8], WrongKind)] = &[
        (b"\x0d\0\0\0\0\0\0\0nix-archive-1", WrongKind::Nar),
        (b"NARIO2\0\0", WrongKind::Nario2),
        (b"Derive(", WrongKind::Derivation),
        (b"DrvWithVersion(", WrongKind::Derivation),
        (b"StorePath: ", WrongKind::NarInfo),
        (b"PK\x03\x04", WrongKind::Zip),
        (b"\x7fELF", WrongKind::Elf),
        (b"SQLite format 3\0", WrongKind::Database),
        (b"BZh", WrongKind::Foreign),
        (b"\x04\x22\x4d\x18", WrongKind::Foreign),
        (b"LZIP", WrongKind::Foreign),
        (b"\xce\xb2\xcf\x81", WrongKind::Foreign),
    ];
    if let Some((_, kind)) = MARKS.iter().find(|(mark, _)| head.starts_with(mark)) {
        return *kind;
    }
    if unpacked && Compression::of(head).is_some() {
        return WrongKind::Compressed;
    }
    if head.get(257..262) == Some(b"ustar") {
        return WrongKind::Tar;
    }
    if !is_text(head) {
        return WrongKind::Unknown;
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start();
    if text.starts_with('{') || text.starts_with("[{") || text.starts_with("[\n") {
        return WrongKind::Json;
    }
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with('/') && first.contains("/store/") && !first.contains(' ') {
        return WrongKind::PathList;
    }
    WrongKind::Text
}

/// UTF-8 without control characters; the last character may be cut.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b'))
}
