//! The section `source-names`: for each source its name, kind, references and file tree, without contents.

mod write;

use super::{
    RecipeError, RecipeLimits,
    contents::{FileKey, TREE_FILES, order},
    copies::Originals,
    input::Input,
    source_paths::SourcePaths,
};
use crate::{
    archive::{MAX_DEPTH, MAX_ENTRY_NAME, MAX_NODES, MAX_TARGET, Node, check_entry_name},
    closure::{Address, ClaimedPath, ClosureError, ProvenPath},
    hash::{HashWriter, Sha256},
    spool::{Blob, Spool, for_each_piece},
    store_path::{MAX_NAME, StoreDir, StorePath, StorePathError},
};
use std::io::{self, Read, Write};
pub(super) use write::{IsDense, write};

const KINDS: [Address; 4] = [Address::Recursive, Address::Text, Address::Flat, Address::Trusted];

fn kind_code(address: Address) -> u8 {
    KINDS.iter().position(|k| *k == address).unwrap_or(0) as u8
}

/// Gives places in the spool for contents of such lengths.
pub type PlaceAll<'a> = &'a mut dyn FnMut(&[u64]) -> Result<Vec<Blob>, RecipeError>;

/// The sources of a recipe whose contents are still to come.
pub struct SourceList {
    sources: Vec<Source>,
    /// Bytes of all contents together.
    contents_len: u64,
    files: u64,
}

struct Source {
    name: Vec<u8>,
    address: Address,
    refers_to_itself: bool,
    references: Vec<SourceReference>,
    trusted: Option<Box<TrustedSource>>,
    content: Node,
}

struct TrustedSource {
    digest: [u8; 20],
    nar_hash: Sha256,
    deriver: Option<StorePath>,
    signatures: Vec<String>,
}

enum SourceReference {
    Source(u32),
    Path(StorePath),
}

/// Digests of one source.
#[derive(Debug, Clone)]
pub struct SourceDigest {
    nar_hash: Sha256,
    nar_size: u64,
    flat: Option<Sha256>,
}

impl SourceList {
    /// Reads the sections `source-names` and `copies`; without the former there are no sources. Contents are expected one
    /// after the other in the spool, from `base` on.
    pub fn read(
        names: &mut dyn Read,
        copies: &mut dyn Read,
        base: u64,
        limits: &RecipeLimits,
    ) -> Result<Self, RecipeError> {
        Self::read_placed(names, copies, limits, &mut |lengths| {
            let mut offset = base;
            let place = |len: &u64| {
                let blob = Blob { offset, len: *len };
                offset += len;
                blob
            };
            Ok(lengths.iter().map(place).collect())
        })
    }

    /// As [`SourceList::read`]. `place` is given the lengths of all contents in their order of travel, and gives as many
    /// places in the spool.
    pub fn read_placed(
        names: &mut dyn Read,
        copies: &mut dyn Read,
        limits: &RecipeLimits,
        place_all: PlaceAll<'_>,
    ) -> Result<Self, RecipeError> {
        let mut input = Input::new(names);
        if input.is_at_end()? {
            Originals::read(copies, 0)?;
            return Ok(Self { sources: Vec::new(), contents_len: 0, files: 0 });
        }
        let mut tree = TreeReader { input: &mut input, files: Vec::new(), nodes: 0, path_bytes: 0, first: 0 };
        let count = tree.input.number()?;
        if count > limits.paths {
            return Err(tree.input.error("there are too many sources"));
        }
        let mut sources: Vec<Source> = Vec::new();
        for _ in 0..count {
            let source = tree.source(sources.len())?;
            sources.push(source);
        }
        let mut files = tree.files;
        let mut contents_len = 0u64;
        for file in &mut files {
            file.len = input.number()?;
            contents_len = contents_len
                .checked_add(file.len)
                .filter(|len| *len <= limits.contents)
                .ok_or_else(|| input.error("the contents of sources are larger than declared"))?;
        }
        let (mut at, mut dense) = (0usize, false);
        loop {
            let run = input.number()?;
            let end = usize::try_from(run).ok().and_then(|run| at.checked_add(run)).filter(|end| *end <= files.len());
            let Some(end) = end else { return Err(input.error("a run of files is too long")) };
            files[at..end].iter_mut().for_each(|file| file.dense = dense);
            at = end;
            if at == files.len() {
                break;
            }
            dense = !dense;
        }
        if !input.is_at_end()? {
            return Err(input.error("there are bytes after the end"));
        }
        let mut blobs = vec![Blob::default(); files.len()];
        let originals = Originals::read(copies, files.len())?;
        let order = order(&files, &|content| originals.of(content));
        let lengths: Vec<u64> = order.iter().map(|number| files[*number as usize].len).collect();
        for (number, blob) in order.iter().zip(place_all(&lengths)?) {
            blobs[*number as usize] = blob;
        }
        for source in &mut sources {
            place(&mut source.content, &blobs);
        }
        Ok(Self { sources, contents_len, files: blobs.len() as u64 })
    }

    /// Number of sources.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Bytes of the section `sources`.
    pub fn contents_len(&self) -> u64 {
        self.contents_len
    }

    /// Number of different contents.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Names and trees, for those who only look.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.sources.iter().map(|s| (s.name.as_slice(), &s.content))
    }

    /// Paths of the sources that need trust: contents do not give them, so the list has them.
    pub fn needing_trust(&self) -> Result<Vec<StorePath>, StorePathError> {
        let trusted = self.sources.iter().filter_map(|s| Some((s.trusted.as_ref()?, &s.name)));
        trusted.map(|(trusted, name)| StorePath::from_parts(&trusted.digest, name)).collect()
    }

    /// Hashes one source, whose contents are in the spool by now.
    pub fn digest(&self, number: usize, spool: &dyn Spool) -> io::Result<SourceDigest> {
        let Some(source) = self.sources.get(number) else { return Err(io::ErrorKind::InvalidInput.into()) };
        let (nar_hash, nar_size) = source.content.nar_hash(spool)?;
        let flat = match &source.content {
            Node::Regular { executable: false, contents } if source.address != Address::Recursive => {
                let mut hasher = HashWriter::new();
                for_each_piece(spool, *contents, |piece| hasher.write_all(piece))?;
                Some(hasher.finish().0)
            }
            _ => None,
        };
        Ok(SourceDigest { nar_hash, nar_size, flat })
    }

    /// The digests of one source that has the content of a proven path, in the same places of the same spool; `None` where
    /// it has not, or another kind of address.
    pub fn digest_of(&self, number: usize, path: &ProvenPath) -> Option<SourceDigest> {
        let source = self.sources.get(number)?;
        (source.content == *path.content() && source.address == path.address()).then(|| {
            let flat = matches!(source.address, Address::Text | Address::Flat).then(|| *path.digest());
            SourceDigest { nar_hash: *path.nar_hash(), nar_size: path.nar_size(), flat }
        })
    }

    /// Contents of the sources whose paths are not told: those that a reader of paths alone needs. In no order, and some of
    /// them several times.
    pub fn contents_untold(&self, told: &SourcePaths) -> Vec<Blob> {
        let mut contents = Vec::new();
        for (_, source) in self.untold(told) {
            source.content.walk(&mut |_, node| {
                if let Node::Regular { contents: blob, .. } = node {
                    contents.push(*blob);
                }
            });
        }
        contents
    }

    /// Numbers of the sources whose paths are not told and must be computed.
    pub fn numbers_untold(&self, told: &SourcePaths) -> Vec<usize> {
        self.untold(told).map(|(number, _)| number).collect()
    }

    fn untold(&self, told: &SourcePaths) -> impl Iterator<Item = (usize, &Source)> {
        self.sources.iter().enumerate().filter(|(number, s)| s.trusted.is_none() && told.of(*number).is_none())
    }

    /// Computes the paths, from the digests of all sources in order.
    pub fn resolve(self, store_dir: &StoreDir, digests: Vec<SourceDigest>) -> Result<Vec<ProvenPath>, RecipeError> {
        let mut proven: Vec<ProvenPath> = Vec::with_capacity(self.sources.len());
        for (source, digest) in self.sources.into_iter().zip(digests) {
            let path = source.prove(store_dir, digest, &|number| proven.get(number).map(ProvenPath::path))?;
            proven.push(path);
        }
        Ok(proven)
    }

    /// The paths alone, from the digests of those that are not told. Those that are told are as good as the proof that
    /// derivations made with them give the root.
    pub fn paths(
        self,
        store_dir: &StoreDir,
        told: &SourcePaths,
        digests: Vec<SourceDigest>,
    ) -> Result<Vec<StorePath>, RecipeError> {
        let mut paths: Vec<StorePath> = Vec::with_capacity(self.sources.len());
        let mut digests = digests.into_iter();
        for (number, source) in self.sources.into_iter().enumerate() {
            let digest = source.trusted.as_ref().map(|trusted| &trusted.digest).or_else(|| told.of(number));
            let path = match digest {
                Some(digest) => StorePath::from_parts(digest, &source.name)?,
                None => {
                    let digest = digests.next().ok_or_else(|| source.is_wrong("it was not hashed"))?;
                    source.prove(store_dir, digest, &|number| paths.get(number))?.path().clone()
                }
            };
            paths.push(path);
        }
        Ok(paths)
    }
}

impl Source {
    fn is_wrong(&self, what: &'static str) -> RecipeError {
        RecipeError::Source { name: String::from_utf8_lossy(&self.name).into_owned(), what }
    }

    /// Its path; `earlier` gives those of the sources before it.
    fn prove<'a>(
        mut self,
        store_dir: &StoreDir,
        digest: SourceDigest,
        earlier: &dyn Fn(usize) -> Option<&'a StorePath>,
    ) -> Result<ProvenPath, RecipeError> {
        let mut references = Vec::with_capacity(self.references.len());
        for reference in std::mem::take(&mut self.references) {
            references.push(match reference {
                SourceReference::Path(path) => path,
                SourceReference::Source(number) => {
                    let path = earlier(number as usize).cloned();
                    path.ok_or_else(|| self.is_wrong("it refers to a later source"))?
                }
            });
        }
        if let Some(trusted) = self.trusted.take() {
            let path = StorePath::from_parts(&trusted.digest, &self.name)?;
            if digest.nar_hash != trusted.nar_hash {
                return Err(self.is_wrong("its contents do not have the hash that it came with"));
            }
            if self.refers_to_itself {
                references.push(path.clone());
            }
            references.sort();
            return Ok(ProvenPath::trusted(
                ClaimedPath {
                    path,
                    references,
                    content: self.content,
                    deriver: trusted.deriver,
                    signatures: trusted.signatures,
                },
                (digest.nar_hash, digest.nar_size),
            ));
        }
        references.sort();
        let own = match self.address {
            Address::Recursive => digest.nar_hash,
            _ => digest.flat.ok_or_else(|| self.is_wrong("only a plain file can have this kind of address"))?,
        };
        let digests = (own, digest.nar_hash, digest.nar_size);
        let content = std::mem::replace(&mut self.content, Node::Directory { entries: Vec::new() });
        let path = ProvenPath::compute(store_dir, self.address, &self.name, references, content, digests)?;
        path.ok_or_else(|| self.is_wrong("it has references, and its kind can have none"))
    }
}

impl From<ClosureError> for RecipeError {
    fn from(error: ClosureError) -> Self {
        Self::Closure(error)
    }
}

/// Replaces content numbers by places in the spool.
fn place(node: &mut Node, blobs: &[Blob]) {
    match node {
        Node::Regular { contents, .. } => *contents = blobs.get(contents.offset as usize).copied().unwrap_or_default(),
        Node::Directory { entries } => entries.iter_mut().for_each(|(_, child)| place(child, blobs)),
        Node::Symlink { .. } => {}
    }
}

/// Bytes of the paths of all files that are not in trees: a short name below deep folders has a long one.
const MAX_PATH_BYTES: usize = 256 << 20;

struct TreeReader<'a, 'b> {
    input: &'a mut Input<'b>,
    files: Vec<FileKey>,
    /// Nodes, references and signatures so far.
    nodes: u64,
    path_bytes: usize,
    /// Number of the first file of the source at hand.
    first: usize,
}

impl TreeReader<'_, '_> {
    fn source(&mut self, number: usize) -> Result<Source, RecipeError> {
        let name = self.input.string(MAX_NAME)?;
        crate::check_name(&name)?;
        let code = self.input.byte()?;
        let address = KINDS.get(usize::from(code & 0x7f)).copied();
        let address = address.ok_or_else(|| self.input.error("a source of unknown kind"))?;
        let mut references = Vec::new();
        for _ in 0..self.input.number()? {
            self.count()?;
            references.push(match self.input.number()? {
                0 => SourceReference::Path(StorePath::from_base_name(&self.input.string(MAX_NAME + 33)?)?),
                other if other <= number as u64 => SourceReference::Source(other as u32 - 1),
                _ => return Err(self.input.error("a reference to a later source")),
            });
        }
        let trusted = (address == Address::Trusted).then(|| self.trusted()).transpose()?;
        let refers_to_itself = code & 0x80 != 0;
        if refers_to_itself && trusted.is_none() {
            return Err(self.input.error("a source that refers to itself"));
        }
        self.first = self.files.len();
        let content = self.node(&mut Vec::new(), 0)?;
        if content.file_count().0 > TREE_FILES {
            for file in &mut self.files[self.first..] {
                // The order of a tree's files is that of the tree, whatever their paths.
                self.path_bytes -= std::mem::take(&mut file.path).len();
                file.tree = true;
            }
        }
        Ok(Source { name, address, refers_to_itself, references, trusted, content })
    }

    fn trusted(&mut self) -> Result<Box<TrustedSource>, RecipeError> {
        let mut digest = [0; 20];
        self.input.exact(&mut digest)?;
        let mut nar_hash = [0; 32];
        self.input.exact(&mut nar_hash)?;
        let deriver = self.input.string(MAX_NAME + 33)?;
        let deriver = if deriver.is_empty() { None } else { Some(StorePath::from_base_name(&deriver)?) };
        let mut signatures = Vec::new();
        for _ in 0..self.input.number()? {
            self.count()?;
            let signature = self.input.string(1024)?;
            signatures.push(String::from_utf8(signature).map_err(|_| self.input.error("a malformed signature"))?);
        }
        Ok(Box::new(TrustedSource { digest, nar_hash, deriver, signatures }))
    }

    /// Counts what takes memory and may be there any number of times.
    fn count(&mut self) -> Result<(), RecipeError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.input.error("there are too many files, references and signatures"));
        }
        Ok(())
    }

    fn node(&mut self, path: &mut Vec<u8>, depth: usize) -> Result<Node, RecipeError> {
        self.count()?;
        if depth > MAX_DEPTH {
            return Err(self.input.error("a tree is too deep"));
        }
        let code = self.input.byte()?;
        let executable = matches!(code, b'x' | b'X');
        match code {
            b'd' => {
                let mut entries: Vec<(Box<[u8]>, Node)> = Vec::new();
                loop {
                    let name = self.input.string(MAX_ENTRY_NAME as usize)?;
                    if name.is_empty() {
                        return Ok(Node::Directory { entries });
                    }
                    check_entry_name(&name).map_err(|_| self.input.error("a name that leaves its directory"))?;
                    if entries.last().is_some_and(|(last, _)| **last >= *name) {
                        return Err(self.input.error("names out of order"));
                    }
                    let len = path.len();
                    path.push(b'/');
                    path.extend_from_slice(&name);
                    let child = self.node(path, depth + 1)?;
                    path.truncate(len);
                    entries.push((name.into(), child));
                }
            }
            b'l' => {
                let target = self.input.string(MAX_TARGET as usize)?;
                if target.is_empty() {
                    return Err(self.input.error("a symlink to nowhere"));
                }
                Ok(Node::Symlink { target: target.into() })
            }
            b'f' | b'x' => {
                let number = self.files.len() as u64;
                // More files than this make a tree, where paths do not matter.
                let in_tree = (self.files.len() - self.first) as u64 > TREE_FILES;
                let path = if in_tree { Vec::new() } else { path.clone() };
                self.path_bytes += path.len();
                if self.path_bytes > MAX_PATH_BYTES {
                    return Err(self.input.error("the names of all files together are too long"));
                }
                self.files.push(FileKey { path, len: 0, dense: false, tree: false });
                Ok(Node::Regular { executable, contents: Blob { offset: number, len: 0 } })
            }
            b'F' | b'X' => {
                let back = self.input.number()?;
                let number = (self.files.len() as u64).checked_sub(back).filter(|_| back > 0);
                let offset = number.ok_or_else(|| self.input.error("contents of no earlier file"))?;
                Ok(Node::Regular { executable, contents: Blob { offset, len: 0 } })
            }
            _ => Err(self.input.error("a file of unknown kind")),
        }
    }
}
