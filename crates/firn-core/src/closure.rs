//! Closures: what was read and is not yet proven, and what is.
//!
//! A [`ProvenPath`] can only be made here, from content that reproduced its own address, or from content that waits for
//! a signature and says so ([`Address::Trusted`]). A [`Proven`] closure is complete and in reference order. Stores take
//! nothing else.

use crate::{
    archive::Node,
    hash::{self, Sha256},
    spool::Spool,
    store_path::{StoreDir, StorePath, StorePathError},
};
use std::{
    collections::{HashMap, HashSet},
    io,
};

/// How the content of a path gives the path its name (Nix: `content-address.hh`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// The bytes of a flat file and its references: derivations, `builtins.toFile`.
    Text,
    /// The bytes of a flat file.
    Flat,
    /// The NAR: what evaluation copies to the store.
    Recursive,
    /// The content does not give the address: an output. A store takes it from a trusted user or with a signature.
    Trusted,
}

/// A path as a file or stream claims it to be.
#[derive(Debug, Clone)]
pub struct ClaimedPath {
    /// The path.
    pub path: StorePath,
    /// What it refers to, itself included where it does.
    pub references: Vec<StorePath>,
    /// Its content.
    pub content: Node,
    /// The derivation that made it, where known.
    pub deriver: Option<StorePath>,
    /// Signatures, `key:base64`.
    pub signatures: Vec<String>,
}

/// A path whose content was hashed and whose address follows from it, or which says that it needs trust.
#[derive(Debug, Clone)]
pub struct ProvenPath {
    path: StorePath,
    references: Vec<StorePath>,
    content: Node,
    deriver: Option<StorePath>,
    signatures: Vec<String>,
    address: Address,
    /// Digest that stands in the `ca` field: of the bytes, or of the NAR.
    digest: Sha256,
    nar_hash: Sha256,
    nar_size: u64,
}

/// Why a closure is not what it claims.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClosureError {
    /// Contents could not be read back.
    #[error("reading contents back")]
    Io(#[from] io::Error),
    /// A name cannot be that of a store path.
    #[error(transparent)]
    Path(#[from] StorePathError),
    /// A derivation's text does not give its path.
    #[error("the content of {path} does not belong to it: it gives {computed}")]
    Forged {
        /// The claimed path.
        path: StorePath,
        /// What the content gives.
        computed: StorePath,
    },
    /// A reference is not in the closure.
    #[error("{wanted_by} refers to {missing}, which is not there")]
    Missing {
        /// The absent path.
        missing: StorePath,
        /// Who wants it.
        wanted_by: StorePath,
    },
    /// A root is not in the closure.
    #[error("the root {0} is not there")]
    MissingRoot(StorePath),
    /// One path with two contents.
    #[error("{0} is there twice, with different contents")]
    Conflict(StorePath),
    /// References go round in a circle.
    #[error("the references of {0} lead back to itself")]
    Cycle(StorePath),
    /// No root leads to a path.
    #[error("no root leads to {0}")]
    Unreached(StorePath),
    /// Nothing at all.
    #[error("there is no path in it")]
    Empty,
}

/// Path that content of this kind and these references has; `None` when the kind cannot have such references.
///
/// `text` hashes the bytes and the references, `fixed:r:sha256` the NAR and the references (a `:self` is not supported:
/// the digest would have to be taken with the own hash blanked), `fixed:sha256` the bytes alone.
pub fn address_path(
    store_dir: &StoreDir,
    address: Address,
    digest: &Sha256,
    references: &[StorePath],
    name: &[u8],
) -> Result<Option<StorePath>, StorePathError> {
    let with_references = |kind: &str| {
        let mut kind = kind.to_owned();
        for reference in references {
            kind.push(':');
            kind.push_str(store_dir.as_str());
            kind.push('/');
            kind.push_str(reference.as_str());
        }
        kind
    };
    let path = match address {
        Address::Text => store_dir.make_path(&with_references("text"), digest, name)?,
        Address::Recursive => store_dir.make_path(&with_references("source"), digest, name)?,
        Address::Flat if references.is_empty() => {
            let inner = hash::sha256(format!("fixed:out:sha256:{}:", hash::hex(digest)).as_bytes());
            store_dir.make_path("output:out", &inner, name)?
        }
        Address::Flat | Address::Trusted => return Ok(None),
    };
    Ok(Some(path))
}

impl ClaimedPath {
    /// Hashes the content and finds how it gives the path. What gives no address needs trust, except a file named
    /// `.drv`, whose text must give its path.
    pub fn prove(mut self, store_dir: &StoreDir, spool: &dyn Spool) -> Result<ProvenPath, ClosureError> {
        self.references.sort();
        self.references.dedup();
        self.references.shrink_to_fit();
        let (nar_hash, nar_size) = self.content.nar_hash(spool)?;
        let mut address = Address::Trusted;
        let mut digest = nar_hash;
        let name = self.path.name().as_bytes().to_vec();
        let mut computed = None;
        if let Node::Regular { executable: false, contents } = &self.content {
            let mut hasher = hash::HashWriter::new();
            crate::for_each_piece(spool, *contents, |piece| io::Write::write_all(&mut hasher, piece))?;
            let (flat, _) = hasher.finish();
            for kind in [Address::Text, Address::Flat] {
                let path = address_path(store_dir, kind, &flat, &self.references, &name)?;
                if path.as_ref() == Some(&self.path) {
                    (address, digest) = (kind, flat);
                    break;
                }
                computed = computed.or(path);
            }
        }
        if address == Address::Trusted {
            let path = address_path(store_dir, Address::Recursive, &nar_hash, &self.references, &name)?;
            if path.as_ref() == Some(&self.path) {
                address = Address::Recursive;
            } else if self.path.is_derivation() {
                let computed = computed.or(path).unwrap_or_else(|| self.path.clone());
                return Err(ClosureError::Forged { path: self.path, computed });
            }
        }
        let Self { path, references, content, deriver, signatures } = self;
        Ok(ProvenPath { path, references, content, deriver, signatures, address, digest, nar_hash, nar_size })
    }
}

impl ProvenPath {
    /// A path made from its content: what a reader of firn files does, which has no path to compare with.
    pub(crate) fn compute(
        store_dir: &StoreDir,
        address: Address,
        name: &[u8],
        references: Vec<StorePath>,
        content: Node,
        digests: (Sha256, Sha256, u64),
    ) -> Result<Option<Self>, StorePathError> {
        let path = address_path(store_dir, address, &digests.0, &references, name)?;
        Ok(path.map(|path| Self::computed(path, address, references, content, digests)))
    }

    /// As [`ProvenPath::compute`], where the path was computed from this digest and these references already.
    pub(crate) fn computed(
        path: StorePath,
        address: Address,
        references: Vec<StorePath>,
        content: Node,
        digests: (Sha256, Sha256, u64),
    ) -> Self {
        let (digest, nar_hash, nar_size) = digests;
        let (deriver, signatures) = (None, Vec::new());
        Self { path, references, content, deriver, signatures, address, digest, nar_hash, nar_size }
    }

    /// A path that needs trust, with the digest and size of its NAR.
    pub(crate) fn trusted(claimed: ClaimedPath, nar: (Sha256, u64)) -> Self {
        let ClaimedPath { path, references, content, deriver, signatures } = claimed;
        let (nar_hash, nar_size) = nar;
        let (address, digest) = (Address::Trusted, nar_hash);
        Self { path, references, content, deriver, signatures, address, digest, nar_hash, nar_size }
    }

    /// The store path.
    pub fn path(&self) -> &StorePath {
        &self.path
    }

    /// What it refers to, sorted, itself included where it does.
    pub fn references(&self) -> &[StorePath] {
        &self.references
    }

    /// Its files.
    pub fn content(&self) -> &Node {
        &self.content
    }

    /// The derivation that made it, where known.
    pub fn deriver(&self) -> Option<&StorePath> {
        self.deriver.as_ref()
    }

    /// Signatures, `key:base64`.
    pub fn signatures(&self) -> &[String] {
        &self.signatures
    }

    /// How the content gives the path.
    pub fn address(&self) -> Address {
        self.address
    }

    /// SHA-256 of the NAR.
    pub fn nar_hash(&self) -> &Sha256 {
        &self.nar_hash
    }

    /// Digest that the address is made of: of the bytes, or of the NAR.
    pub(crate) fn digest(&self) -> &Sha256 {
        &self.digest
    }

    /// Size of the NAR in bytes.
    pub fn nar_size(&self) -> u64 {
        self.nar_size
    }

    /// The `ca` field, as the worker protocol and the database have it; `None` for a path that needs trust.
    pub fn content_address(&self) -> Option<String> {
        let digest = hash::base32(&self.digest);
        match self.address {
            Address::Text => Some(format!("text:sha256:{digest}")),
            Address::Flat => Some(format!("fixed:sha256:{digest}")),
            Address::Recursive => Some(format!("fixed:r:sha256:{digest}")),
            Address::Trusted => None,
        }
    }

    /// Whether it is a derivation: named so, and a text.
    pub fn is_derivation(&self) -> bool {
        self.path.is_derivation() && self.address == Address::Text
    }
}

/// A complete closure, every path proven, in reference order: what a path refers to comes before it.
#[derive(Debug, Clone)]
pub struct Proven {
    store_dir: StoreDir,
    roots: Vec<StorePath>,
    paths: Vec<ProvenPath>,
}

impl Proven {
    /// Joins proven paths to a closure. Equal duplicates are taken once. Without `roots`, those paths are roots that no
    /// other refers to, in the order given. The result does not depend on the order of `paths`, but for those roots.
    pub fn new(
        store_dir: StoreDir,
        roots: Option<Vec<StorePath>>,
        paths: Vec<ProvenPath>,
    ) -> Result<Self, ClosureError> {
        if paths.is_empty() {
            return Err(ClosureError::Empty);
        }
        let mut index: HashMap<&StorePath, usize> = HashMap::with_capacity(paths.len());
        for (i, path) in paths.iter().enumerate() {
            if let Some(first) = index.insert(&path.path, i) {
                if paths[first].nar_hash != path.nar_hash || paths[first].references != path.references {
                    return Err(ClosureError::Conflict(path.path.clone()));
                }
                index.insert(&path.path, first);
            }
        }
        let mut references = References::default();
        let mut wanted = vec![false; paths.len()];
        for path in &paths {
            for reference in &path.references {
                let Some(place) = index.get(reference) else {
                    return Err(ClosureError::Missing { missing: reference.clone(), wanted_by: path.path.clone() });
                };
                wanted[*place] |= *reference != path.path;
                references.places.push(*place as u32);
            }
            references.ends.push(references.places.len());
        }
        let roots = roots.unwrap_or_else(|| {
            // A duplicate has the place of the first.
            let free = paths.iter().enumerate().filter(|(i, path)| !wanted[*i] && index.get(&path.path) == Some(i));
            free.map(|(_, path)| path.path.clone()).collect()
        });
        let mut starts = Vec::with_capacity(roots.len());
        for root in &roots {
            starts.push(*index.get(root).ok_or_else(|| ClosureError::MissingRoot(root.clone()))?);
        }
        if starts.is_empty() {
            return Err(ClosureError::Cycle(paths[0].path.clone()));
        }
        let order = reference_order(&paths, &references, &starts)?;
        if order.len() < index.len() {
            let reached: HashSet<usize> = order.iter().copied().collect();
            let lost = index.values().find(|i| !reached.contains(i)).map_or(0, |i| *i);
            return Err(ClosureError::Unreached(paths[lost].path.clone()));
        }
        drop((references, index));
        let mut slots: Vec<Option<ProvenPath>> = paths.into_iter().map(Some).collect();
        let paths = order.into_iter().filter_map(|i| slots[i].take()).collect();
        Ok(Self { store_dir, roots, paths })
    }

    /// The directory that all paths are in.
    pub fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// What the closure is the closure of.
    pub fn roots(&self) -> &[StorePath] {
        &self.roots
    }

    /// All paths, references first.
    pub fn paths(&self) -> &[ProvenPath] {
        &self.paths
    }

    /// The same without what stores say of paths that need trust: only paths and contents.
    pub(crate) fn bare(&self) -> Self {
        let mut bare = self.clone();
        for path in &mut bare.paths {
            path.deriver = None;
            path.signatures.clear();
        }
        bare
    }

    /// The closure of some of the roots alone, or of any of its paths.
    pub fn restrict(self, roots: Vec<StorePath>) -> Result<Self, ClosureError> {
        let Self { store_dir, paths, .. } = self;
        let mut wanted: HashSet<StorePath> = roots.iter().cloned().collect();
        // Referrers come after what they refer to, so one pass from the end finds all.
        for path in paths.iter().rev() {
            if wanted.contains(&path.path) {
                wanted.extend(path.references.iter().cloned());
            }
        }
        let paths = paths.into_iter().filter(|p| wanted.contains(&p.path)).collect();
        Self::new(store_dir, Some(roots), paths)
    }

    /// Paths that a store takes only with a signature or from a trusted user.
    pub fn needing_trust(&self) -> impl Iterator<Item = &ProvenPath> {
        self.paths.iter().filter(|p| p.address == Address::Trusted)
    }
}

/// Places of what paths refer to.
#[derive(Default)]
struct References {
    places: Vec<u32>,
    /// Where those of each path end.
    ends: Vec<usize>,
}

impl References {
    fn of(&self, path: usize) -> &[u32] {
        let begin = path.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.places[begin..self.ends[path]]
    }
}

/// Depth-first post-order from the roots in sorted reference order, without recursion. What no root reaches is left out.
fn reference_order(paths: &[ProvenPath], references: &References, roots: &[usize]) -> Result<Vec<usize>, ClosureError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; paths.len()];
    let mut order = Vec::with_capacity(paths.len());
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for root in roots {
        if marks[*root] == Mark::New {
            marks[*root] = Mark::Open;
            stack.push((*root, 0));
        }
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            let Some(child) = references.of(node).get(*next) else {
                marks[node] = Mark::Done;
                order.push(node);
                stack.pop();
                continue;
            };
            *next += 1;
            let child = *child as usize;
            match marks[child] {
                Mark::New => {
                    marks[child] = Mark::Open;
                    stack.push((child, 0));
                }
                Mark::Open if child != node => return Err(ClosureError::Cycle(paths[child].path.clone())),
                Mark::Open | Mark::Done => {}
            }
        }
    }
    Ok(order)
}
