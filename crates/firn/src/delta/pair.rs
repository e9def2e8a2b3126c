//! Which contents of a base a changed content is likely to be made from: by source and path, then by name.

use firn_core::{Blob, Node, Proven, Spool};
use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    io,
};

/// A file of a closure: what its source is called, its path below that, where its contents are.
struct File<'a> {
    source: usize,
    path: Vec<u8>,
    name: &'a [u8],
    blob: Blob,
}

/// The regular files of all sources of a closure.
struct Files<'a> {
    sources: Vec<&'a [u8]>,
    files: Vec<File<'a>>,
}

impl<'a> Files<'a> {
    fn of(closure: &'a Proven) -> Self {
        let mut all = Self { sources: Vec::new(), files: Vec::new() };
        for path in closure.paths().iter().filter(|path| !path.is_derivation()) {
            let name = path.path().name().as_bytes();
            all.add(path.content(), name, &mut Vec::new());
            all.sources.push(name);
        }
        all
    }

    fn add(&mut self, node: &'a Node, name: &'a [u8], path: &mut Vec<u8>) {
        match node {
            Node::Directory { entries } => {
                for (name, child) in entries {
                    let len = path.len();
                    path.push(b'/');
                    path.extend_from_slice(name);
                    self.add(child, name, path);
                    path.truncate(len);
                }
            }
            Node::Symlink { .. } => {}
            Node::Regular { contents, .. } => {
                self.files.push(File { source: self.sources.len(), path: path.clone(), name, blob: *contents });
            }
        }
    }
}

/// The most that is read of a file to compare it with others.
const SAMPLE: u64 = 64 << 10;

/// Hashes of the lines of a sample.
fn lines(spool: &dyn Spool, blob: Blob) -> io::Result<HashSet<u64>> {
    let sample = spool.get(Blob { len: blob.len.min(SAMPLE), ..blob })?;
    let hash = |line: &[u8]| {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        hasher.finish()
    };
    Ok(sample.split(|byte| *byte == b'\n').filter(|line| line.len() > 3).map(hash).collect())
}

/// For each of the `wanted` contents of a closure those of its base that it may be made from, the likeliest first. All are
/// given and told by where they are in the spool.
pub(super) fn pairs(
    closure: &Proven,
    base: &Proven,
    wanted: &HashSet<Blob>,
    spool: &dyn Spool,
) -> io::Result<HashMap<Blob, Blob>> {
    let (new, old) = (Files::of(closure), Files::of(base));
    let by_path: HashMap<(usize, &[u8]), Blob> =
        old.files.iter().map(|file| ((file.source, file.path.as_slice()), file.blob)).collect();
    let mut by_name: HashMap<&[u8], Vec<&File<'_>>> = HashMap::new();
    for file in old.files.iter().filter(|file| file.blob.len > 0) {
        by_name.entry(file.name).or_default().push(file);
    }
    let partners = partners(&new, &old);
    let mut found = HashMap::with_capacity(wanted.len());
    for file in new.files.iter().filter(|file| wanted.contains(&file.blob) && file.blob.len > 0) {
        let partner = partners.get(&file.source);
        // A source that is one file has no path to tell it by.
        let there = partner.filter(|_| !file.path.is_empty());
        let same_path = there.and_then(|source| by_path.get(&(*source, file.path.as_slice())));
        let pair = match same_path {
            Some(blob) => Some(*blob),
            None => likeliest(file, by_name.get(file.name).map_or(&[], Vec::as_slice), spool)?,
        };
        if let Some(pair) = pair {
            found.entry(file.blob).or_insert(pair);
        }
    }
    Ok(found)
}

/// Of some files with the name of another the one that has most of its lines.
fn likeliest(file: &File<'_>, candidates: &[&File<'_>], spool: &dyn Spool) -> io::Result<Option<Blob>> {
    /// More of them are no name that tells anything: `default.nix`.
    const MOST: usize = 16;
    if candidates.len() <= 1 {
        return Ok(candidates.first().map(|other| other.blob));
    }
    let own = lines(spool, file.blob)?;
    let mut best = (0, None);
    for other in candidates.iter().take(MOST) {
        let common = lines(spool, other.blob)?.intersection(&own).count();
        if common > best.0 {
            best = (common, Some(other.blob));
        }
    }
    Ok(best.1)
}

/// For trees the source of the base with the same name that has most of its paths.
fn partners(new: &Files<'_>, old: &Files<'_>) -> HashMap<usize, usize> {
    let mut by_path: HashMap<(&[u8], &[u8]), Vec<usize>> = HashMap::new();
    for file in &old.files {
        by_path.entry((old.sources[file.source], &file.path)).or_default().push(file.source);
    }
    let mut common: HashMap<(usize, usize), usize> = HashMap::new();
    for file in &new.files {
        for other in by_path.get(&(new.sources[file.source], file.path.as_slice())).into_iter().flatten() {
            *common.entry((file.source, *other)).or_default() += 1;
        }
    }
    let mut partners: HashMap<usize, usize> = HashMap::new();
    let count = |source: usize, other: usize| common.get(&(source, other)).copied().unwrap_or(0);
    let mut sorted: Vec<(usize, usize)> = common.keys().copied().collect();
    sorted.sort_unstable();
    for (source, other) in sorted {
        let best = partners.entry(source).or_insert(other);
        if count(source, other) > count(source, *best) {
            *best = other;
        }
    }
    partners
}
