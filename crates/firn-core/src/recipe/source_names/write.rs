//! The section from sources, with what goes beside it: copies, paths that are told, and the order of contents.

use super::{
    super::{
        alike::{self, Sketch, Sketcher},
        contents::{FileKey, LARGE, Lane, TREE_FILES, Travelling, order},
        copies::{self, Originals},
        source_paths,
    },
    kind_code,
};
use crate::{
    archive::Node,
    closure::{Address, ProvenPath},
    hash::{HashWriter, Sha256},
    leb128,
    spool::{Blob, Spool, for_each_piece},
    store_path::StorePath,
};
use std::{
    collections::HashMap,
    io::{self, Write},
};

/// The section, and the contents that go to the section `sources` in this order.
pub(in crate::recipe) struct WrittenNames {
    pub(in crate::recipe) section: Vec<u8>,
    /// The section `copies`.
    pub(in crate::recipe) copies: Vec<u8>,
    /// The section `source-paths`.
    pub(in crate::recipe) paths: Vec<u8>,
    pub(in crate::recipe) contents: Vec<Travelling>,
}

/// What order and lanes of contents depend on besides their names and lengths: `None` in layout 1 of a delta's base. Tells
/// whether contents will not compress.
pub(in crate::recipe) type IsDense<'a, 'b> = Option<&'a mut (dyn FnMut(Blob) -> io::Result<bool> + 'b)>;

/// Writes the sections. Only where `is_dense` is given are there copies and paths.
pub(in crate::recipe) fn write(
    sources: &[&ProvenPath],
    spool: &dyn Spool,
    is_dense: IsDense<'_, '_>,
) -> io::Result<WrittenNames> {
    let numbers: HashMap<&StorePath, usize> = sources.iter().enumerate().map(|(i, s)| (s.path(), i)).collect();
    let (whole, mut told) = (is_dense.is_some(), Vec::new());
    let mut tree = TreeWriter {
        spool,
        is_dense,
        out: Vec::new(),
        known: HashMap::new(),
        blobs: Vec::new(),
        files: Vec::new(),
        sketches: Vec::new(),
        tree: false,
        costly: false,
    };
    leb128::put(&mut tree.out, sources.len() as u64);
    for (number, source) in sources.iter().enumerate() {
        tree.out.extend_from_slice(source.path().name().as_bytes());
        tree.out.push(0);
        let own = source.references().iter().filter(|r| *r == source.path()).count();
        tree.out.push(kind_code(source.address()) | (own as u8) << 7);
        leb128::put(&mut tree.out, (source.references().len() - own) as u64);
        for reference in source.references().iter().filter(|r| *r != source.path()) {
            match numbers.get(reference) {
                Some(other) if *other < number => leb128::put(&mut tree.out, *other as u64 + 1),
                _ => {
                    leb128::put(&mut tree.out, 0);
                    tree.out.extend_from_slice(reference.as_str().as_bytes());
                    tree.out.push(0);
                }
            }
        }
        if source.address() == Address::Trusted {
            tree.out.extend_from_slice(&source.path().digest());
            tree.out.extend_from_slice(source.nar_hash());
            tree.out.extend_from_slice(source.deriver().map_or("", StorePath::as_str).as_bytes());
            tree.out.push(0);
            leb128::put(&mut tree.out, source.signatures().len() as u64);
            for signature in source.signatures() {
                tree.out.extend_from_slice(signature.as_bytes());
                tree.out.push(0);
            }
        }
        let (files, bytes) = source.content().file_count();
        (tree.tree, tree.costly) = (files > TREE_FILES, bytes >= COSTLY);
        tree.node(source.content(), &mut Vec::new())?;
        let tells = whole && tree.costly && source.address() != Address::Trusted;
        told.push(tells.then(|| source.path().digest()));
    }
    let TreeWriter { mut out, blobs, files, sketches, .. } = tree;
    // Sizes as a column of their own: among names they cost more.
    files.iter().for_each(|file| leb128::put(&mut out, file.len));
    let mut run = 0u64;
    let mut dense = false;
    for file in &files {
        if file.dense != dense {
            leb128::put(&mut out, run);
            (run, dense) = (0, file.dense);
        }
        run += 1;
    }
    leb128::put(&mut out, run);
    let like = alike::find(&files, &sketches);
    let originals = Originals::new(&like);
    let order = order(&files, &|content| originals.of(content));
    let mut last = None;
    let travelling = |content: u32| {
        let (blob, lane) = (blobs[content as usize], files[content as usize].lane());
        let like_last = last.replace(originals.of(content)) == last;
        Travelling { blob, lane, like_last }
    };
    let contents = order.into_iter().map(travelling).collect();
    Ok(WrittenNames { section: out, copies: copies::write(&like), paths: source_paths::write(&told), contents })
}

/// A source with so many bytes has its path told. So has one with contents in the frames of trees and large files.
const COSTLY: u64 = 1 << 20;

struct TreeWriter<'a, 'b> {
    spool: &'a dyn Spool,
    is_dense: IsDense<'a, 'b>,
    out: Vec<u8>,
    /// Number by length and digest.
    known: HashMap<(u64, Sha256), u64>,
    blobs: Vec<Blob>,
    files: Vec<FileKey>,
    /// Of each content; empty ones of those that stay where they are.
    sketches: Vec<Sketch>,
    /// Whether the source at hand is a tree.
    tree: bool,
    /// Whether unpacking its contents costs much.
    costly: bool,
}

impl TreeWriter<'_, '_> {
    fn node(&mut self, node: &Node, path: &mut Vec<u8>) -> io::Result<()> {
        match node {
            Node::Directory { entries } => {
                self.out.push(b'd');
                for (name, child) in entries {
                    self.out.extend_from_slice(name);
                    self.out.push(0);
                    let len = path.len();
                    path.push(b'/');
                    path.extend_from_slice(name);
                    self.node(child, path)?;
                    path.truncate(len);
                }
                self.out.push(0);
            }
            Node::Symlink { target } => {
                self.out.push(b'l');
                self.out.extend_from_slice(target);
                self.out.push(0);
            }
            Node::Regular { executable, contents } => {
                let mut hasher = HashWriter::new();
                let mut sketcher = Sketcher::default();
                let moves = self.is_dense.is_some() && (self.tree || contents.len >= LARGE);
                for_each_piece(self.spool, *contents, |piece| {
                    if moves {
                        sketcher.add(piece);
                    }
                    hasher.write_all(piece)
                })?;
                let digest = hasher.finish().0;
                let next = self.blobs.len() as u64;
                match self.known.get(&(contents.len, digest)) {
                    Some(number) => {
                        self.out.push(if *executable { b'X' } else { b'F' });
                        leb128::put(&mut self.out, next - number);
                        let lane = self.files.get(*number as usize).map(FileKey::lane);
                        self.costly |= matches!(lane, Some(Lane::Tree | Lane::Large));
                    }
                    None => {
                        self.out.push(if *executable { b'x' } else { b'f' });
                        self.known.insert((contents.len, digest), next);
                        self.blobs.push(*contents);
                        self.sketches.push(sketcher.finish());
                        let dense = self.is_dense.as_mut().map_or(Ok(false), |is_dense| is_dense(*contents))?;
                        self.files.push(FileKey { path: path.clone(), len: contents.len, dense, tree: self.tree });
                    }
                }
            }
        }
        Ok(())
    }
}
