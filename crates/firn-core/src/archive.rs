//! File trees and their NAR serialisation, with contents in a [`Spool`].
//!
//! Our own reader, since a NAR inside an export stream has no length and nothing after it may be consumed; agreement
//! with the `nix-archive` crate is tested.

use crate::{
    hash::{HashWriter, Sha256},
    spool::{Blob, Spool, for_each_piece},
};
use std::io::{self, Read, Write};

/// Deepest nesting of directories; Linux paths end at 2048 components.
pub const MAX_DEPTH: usize = 2048;
/// Longest name of a directory entry, in bytes.
pub const MAX_ENTRY_NAME: u64 = 255;
/// Longest target of a symlink, in bytes.
pub const MAX_TARGET: u64 = 4095;
/// Largest number of nodes in one tree.
pub const MAX_NODES: u64 = 10_000_000;

/// A file system object as Nix sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A regular file.
    Regular {
        /// Whether it may be executed.
        executable: bool,
        /// Its contents.
        contents: Blob,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to: any bytes but NUL.
        target: Box<[u8]>,
    },
    /// A directory.
    Directory {
        /// Name and node, names strictly ascending by bytes.
        entries: Vec<(Box<[u8]>, Node)>,
    },
}

/// Why bytes are no NAR.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Reading or spooling failed; `UnexpectedEof` means that the archive is cut.
    #[error("reading the archive")]
    Io(#[from] io::Error),
    /// The first string is not `nix-archive-1`.
    #[error("not an archive of Nix: it does not begin with \"nix-archive-1\"")]
    Magic,
    /// A string of the grammar was expected.
    #[error("malformed archive: expected {expected}, found {found:?}")]
    Token {
        /// What the grammar asks for.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Bytes between a string and the next multiple of eight are not zero.
    #[error("malformed archive: padding is not zero")]
    Padding,
    /// A length is beyond what the grammar allows at this place.
    #[error("malformed archive: a {what} of {len} bytes, at most {limit} are allowed")]
    TooLong {
        /// Which string.
        what: &'static str,
        /// Its claimed length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A directory entry may not be called so.
    #[error("malformed archive: {0:?} is no name for a directory entry")]
    EntryName(String),
    /// Entries of a directory are not strictly ascending.
    #[error("malformed archive: entry {0:?} is out of order or there twice")]
    EntryOrder(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("malformed archive: directories nested deeper than {MAX_DEPTH}")]
    Depth,
    /// More nodes than [`MAX_NODES`].
    #[error("malformed archive: more than {MAX_NODES} files")]
    Nodes,
}

/// Checks the name of a directory entry: not empty, not `.` or `..`, no slash, no NUL, at most 255 bytes.
pub fn check_entry_name(name: &[u8]) -> Result<(), ArchiveError> {
    if name.is_empty()
        || name == b"."
        || name == b".."
        || name.len() as u64 > MAX_ENTRY_NAME
        || name.iter().any(|b| *b == b'/' || *b == 0)
    {
        return Err(ArchiveError::EntryName(String::from_utf8_lossy(name).into_owned()));
    }
    Ok(())
}

impl Node {
    /// A plain file.
    pub fn file(contents: Blob) -> Self {
        Self::Regular { executable: false, contents }
    }

    /// Writes the NAR of this tree.
    pub fn write_nar(&self, spool: &dyn Spool, out: &mut dyn Write) -> io::Result<()> {
        write_string(out, b"nix-archive-1")?;
        self.write_node(spool, out)
    }

    fn write_node(&self, spool: &dyn Spool, out: &mut dyn Write) -> io::Result<()> {
        write_string(out, b"(")?;
        write_string(out, b"type")?;
        match self {
            Self::Regular { executable, contents } => {
                write_string(out, b"regular")?;
                if *executable {
                    write_string(out, b"executable")?;
                    write_string(out, b"")?;
                }
                write_string(out, b"contents")?;
                out.write_all(&contents.len.to_le_bytes())?;
                for_each_piece(spool, *contents, |piece| out.write_all(piece))?;
                out.write_all(&[0; 8][..pad(contents.len)])?;
            }
            Self::Symlink { target } => {
                write_string(out, b"symlink")?;
                write_string(out, b"target")?;
                write_string(out, target)?;
            }
            Self::Directory { entries } => {
                write_string(out, b"directory")?;
                for (name, node) in entries {
                    write_string(out, b"entry")?;
                    write_string(out, b"(")?;
                    write_string(out, b"name")?;
                    write_string(out, name)?;
                    write_string(out, b"node")?;
                    node.write_node(spool, out)?;
                    write_string(out, b")")?;
                }
            }
        }
        write_string(out, b")")
    }

    /// SHA-256 and size in bytes of the NAR.
    pub fn nar_hash(&self, spool: &dyn Spool) -> io::Result<(Sha256, u64)> {
        // Small strings are gathered first: hashing eight bytes at a time costs more than the hash.
        let mut out = io::BufWriter::with_capacity(1 << 15, HashWriter::new());
        self.write_nar(spool, &mut out)?;
        Ok(out.into_inner().map_err(io::IntoInnerError::into_error)?.finish())
    }

    /// Size in bytes of the NAR.
    pub fn nar_size(&self) -> u64 {
        fn string(len: u64) -> u64 {
            8 + len + pad(len) as u64
        }
        fn size(node: &Node) -> u64 {
            let tokens = |list: &[&str]| list.iter().map(|t| string(t.len() as u64)).sum::<u64>();
            tokens(&["(", "type", ")"])
                + match node {
                    Node::Regular { executable, contents } => {
                        let marker = if *executable { tokens(&["executable", ""]) } else { 0 };
                        tokens(&["regular", "contents"]) + marker + string(contents.len)
                    }
                    Node::Symlink { target } => tokens(&["symlink", "target"]) + string(target.len() as u64),
                    Node::Directory { entries } => {
                        let each = |(name, node): &(Box<[u8]>, Node)| {
                            tokens(&["entry", "(", "name", "node", ")"]) + string(name.len() as u64) + size(node)
                        };
                        tokens(&["directory"]) + entries.iter().map(each).sum::<u64>()
                    }
                }
        }
        string(13) + size(self)
    }

    /// Calls `visit` with the path below the root and the node, for every node, parents first, in order of names.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&[u8], &'a Node)) {
        fn go<'a>(node: &'a Node, path: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8], &'a Node)) {
            visit(path, node);
            if let Node::Directory { entries } = node {
                for (name, child) in entries {
                    let len = path.len();
                    if len > 0 {
                        path.push(b'/');
                    }
                    path.extend_from_slice(name);
                    go(child, path, visit);
                    path.truncate(len);
                }
            }
        }
        go(self, &mut Vec::new(), visit);
    }

    /// Number of regular files in the tree and the bytes in them.
    pub fn file_count(&self) -> (u64, u64) {
        let (mut files, mut bytes) = (0, 0);
        self.walk(&mut |_, node| {
            if let Self::Regular { contents, .. } = node {
                files += 1;
                bytes += contents.len;
            }
        });
        (files, bytes)
    }

    /// Reads one NAR and not a byte after it; contents go to the spool.
    pub fn read_nar(input: &mut dyn Read, spool: &mut dyn Spool) -> Result<Self, ArchiveError> {
        let mut parser = Parser { input, spool, token: Vec::new(), nodes: 0, buf: vec![0; 1 << 16] };
        parser.token("nix-archive-1", 13).map_err(|error| match error {
            ArchiveError::TooLong { .. } => ArchiveError::Magic,
            other => other,
        })?;
        if parser.token != b"nix-archive-1" {
            return Err(ArchiveError::Magic);
        }
        parser.node(0)
    }
}

/// Writes the NAR of a plain file that is in memory.
pub(crate) fn write_file_nar(contents: &[u8], out: &mut dyn Write) -> io::Result<()> {
    for token in ["nix-archive-1", "(", "type", "regular", "contents"] {
        write_string(out, token.as_bytes())?;
    }
    write_string(out, contents)?;
    write_string(out, b")")
}

/// Bytes of zero padding after a string of `len` bytes.
pub(crate) fn pad(len: u64) -> usize {
    (len.wrapping_neg() & 7) as usize
}

/// Writes a string as NARs, export streams and the worker protocol have it: length, bytes, zeros to a multiple of 8.
pub fn write_string(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let len = bytes.len() as u64;
    if bytes.len() <= 48 {
        // One call for the short strings that make up almost all of a NAR.
        let mut buf = [0; 64];
        buf[..8].copy_from_slice(&len.to_le_bytes());
        buf[8..8 + bytes.len()].copy_from_slice(bytes);
        return out.write_all(&buf[..8 + bytes.len() + pad(len)]);
    }
    out.write_all(&len.to_le_bytes())?;
    out.write_all(bytes)?;
    out.write_all(&[0; 8][..pad(len)])
}

struct Parser<'a> {
    input: &'a mut dyn Read,
    spool: &'a mut dyn Spool,
    token: Vec<u8>,
    nodes: u64,
    buf: Vec<u8>,
}

impl Parser<'_> {
    fn length(&mut self) -> Result<u64, ArchiveError> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn padding(&mut self, len: u64) -> Result<(), ArchiveError> {
        let mut zeros = [0; 8];
        let zeros = &mut zeros[..pad(len)];
        self.input.read_exact(zeros)?;
        if zeros.iter().any(|b| *b != 0) { Err(ArchiveError::Padding) } else { Ok(()) }
    }

    fn token(&mut self, what: &'static str, limit: u64) -> Result<(), ArchiveError> {
        let len = self.length()?;
        if len > limit {
            return Err(ArchiveError::TooLong { what, len, limit });
        }
        self.token.resize(len as usize, 0);
        self.input.read_exact(&mut self.token)?;
        self.padding(len)
    }

    fn found(&self, expected: &'static str) -> ArchiveError {
        ArchiveError::Token { expected, found: String::from_utf8_lossy(&self.token).into_owned() }
    }

    fn expect(&mut self, expected: &'static str) -> Result<(), ArchiveError> {
        self.token(expected, 16)?;
        if self.token == expected.as_bytes() { Ok(()) } else { Err(self.found(expected)) }
    }

    fn node(&mut self, depth: usize) -> Result<Node, ArchiveError> {
        if depth > MAX_DEPTH {
            return Err(ArchiveError::Depth);
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(ArchiveError::Nodes);
        }
        self.expect("(")?;
        self.expect("type")?;
        self.token("type of node", 16)?;
        match self.token.as_slice() {
            b"regular" => {
                self.token("contents", 16)?;
                let executable = self.token == b"executable";
                if executable {
                    self.expect("")?;
                    self.token("contents", 16)?;
                }
                if self.token != b"contents" {
                    return Err(self.found("contents"));
                }
                let contents = self.contents()?;
                self.expect(")")?;
                Ok(Node::Regular { executable, contents })
            }
            b"symlink" => {
                self.expect("target")?;
                self.token("symlink target", MAX_TARGET)?;
                if self.token.is_empty() || self.token.contains(&0) {
                    return Err(self.found("a symlink target"));
                }
                let target = self.token.as_slice().into();
                self.expect(")")?;
                Ok(Node::Symlink { target })
            }
            b"directory" => self.directory(depth),
            _ => Err(self.found("regular, symlink or directory")),
        }
    }

    fn directory(&mut self, depth: usize) -> Result<Node, ArchiveError> {
        let mut entries: Vec<(Box<[u8]>, Node)> = Vec::new();
        loop {
            self.token("entry", 16)?;
            match self.token.as_slice() {
                b")" => return Ok(Node::Directory { entries }),
                b"entry" => {}
                _ => return Err(self.found("entry")),
            }
            self.expect("(")?;
            self.expect("name")?;
            self.token("name of an entry", MAX_ENTRY_NAME)?;
            check_entry_name(&self.token)?;
            let name: Box<[u8]> = self.token.as_slice().into();
            if entries.last().is_some_and(|(last, _)| *last >= name) {
                return Err(ArchiveError::EntryOrder(String::from_utf8_lossy(&name).into_owned()));
            }
            self.expect("node")?;
            let node = self.node(depth + 1)?;
            self.expect(")")?;
            entries.push((name, node));
        }
    }

    fn contents(&mut self) -> Result<Blob, ArchiveError> {
        let len = self.length()?;
        let blob = Blob { offset: self.spool.len(), len };
        let mut left = len;
        while left > 0 {
            let n = left.min(self.buf.len() as u64) as usize;
            self.input.read_exact(&mut self.buf[..n])?;
            self.spool.append(&self.buf[..n])?;
            left -= n as u64;
        }
        self.padding(len)?;
        Ok(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::MemorySpool;
    use nix_archive::nar;

    fn sample(spool: &mut MemorySpool) -> Node {
        let a = spool.put(b"hello").unwrap();
        let b = spool.put(&[7; 70_000]).unwrap();
        Node::Directory {
            entries: vec![
                (b"a".as_slice().into(), Node::file(a)),
                (b"b\xff".as_slice().into(), Node::Regular { executable: true, contents: b }),
                (b"empty".as_slice().into(), Node::Directory { entries: vec![] }),
                (b"link".as_slice().into(), Node::Symlink { target: b"../a".as_slice().into() }),
            ],
        }
    }

    #[test]
    fn a_nar_is_what_the_library_writes_and_reads_back_to_the_same_tree() {
        let mut spool = MemorySpool::new();
        let node = sample(&mut spool);
        let mut ours = Vec::new();
        node.write_nar(&spool, &mut ours).unwrap();
        let big = [7; 70_000];
        let theirs = nar::Node::Directory(&[
            nar::NamedNode { name: b"a", node: nar::Node::Regular { executable: false, contents: b"hello" } },
            nar::NamedNode { name: b"b\xff", node: nar::Node::Regular { executable: true, contents: &big } },
            nar::NamedNode { name: b"empty", node: nar::Node::Directory(&[]) },
            nar::NamedNode { name: b"link", node: nar::Node::Symlink { target: b"../a" } },
        ]);
        let mut expected = Vec::new();
        nar::encode_tree(&mut expected, &theirs).unwrap();
        assert_eq!(ours, expected);
        assert_eq!(node.nar_size(), ours.len() as u64);
        assert_eq!(node.nar_hash(&spool).unwrap(), (crate::hash::sha256(&ours), ours.len() as u64));

        let mut again = MemorySpool::new();
        let mut input: &[u8] = &ours;
        assert_eq!(Node::read_nar(&mut input, &mut again).unwrap(), node);
        assert!(input.is_empty());
    }

    #[test]
    fn every_cut_of_a_nar_is_an_error() {
        let mut spool = MemorySpool::new();
        let node = Node::Directory { entries: vec![(b"f".as_slice().into(), Node::file(spool.put(b"xy").unwrap()))] };
        let mut nar = Vec::new();
        node.write_nar(&spool, &mut nar).unwrap();
        for cut in 0..nar.len() {
            assert!(Node::read_nar(&mut &nar[..cut], &mut MemorySpool::new()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn names_that_leave_the_tree_are_refused() {
        for bad in [&b".."[..], b".", b"", b"a/b", b"a\0", &[b'x'; 256]] {
            assert!(check_entry_name(bad).is_err());
        }
    }
}
