//! In which order the contents of source files travel. Reader and writer compute it from names and sizes alone.

use crate::spool::Blob;

/// What the order of a file's contents depends on.
#[derive(Debug, Clone)]
pub(super) struct FileKey {
    /// Path below the source's root.
    pub(super) path: Vec<u8>,
    /// Length in bytes.
    pub(super) len: u64,
    /// Marked by the writer as not compressible.
    pub(super) dense: bool,
    /// Whether its source is a [`Lane::Tree`].
    pub(super) tree: bool,
}

/// Contents of a file among those that travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Travelling {
    /// Where they are.
    pub blob: Blob,
    /// Which frames they share.
    pub lane: Lane,
    /// Whether they are like those before them.
    pub like_last: bool,
}

/// A source with more files than this is a tree.
pub(super) const TREE_FILES: u64 = 1000;

/// Files of at least this many bytes come last, each in its own frames.
pub const LARGE: u64 = 2 << 20;

/// Which frames the contents of a file share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Text and the like, sorted by extension.
    Small,
    /// Files of large trees, in the order of the tree: the reader is fast there, and order gains nothing (docs/design).
    Tree,
    /// What does not compress, whatever its size.
    Dense,
    /// At least [`LARGE`] bytes.
    Large,
}

impl FileKey {
    pub(super) fn lane(&self) -> Lane {
        match (self.dense, self.len) {
            (true, _) => Lane::Dense,
            (false, LARGE..) => Lane::Large,
            (false, _) if self.tree => Lane::Tree,
            (false, _) => Lane::Small,
        }
    }

    fn file_name(&self) -> &[u8] {
        let slash = self.path.iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
        &self.path[slash..]
    }

    fn extension(&self) -> &[u8] {
        let name = self.file_name();
        name.iter().rposition(|b| *b == b'.').map_or(&[], |dot| &name[dot + 1..])
    }
}

/// Positions in order of travel: by lane; small files by extension, then path; then beside the content that each is like,
/// which `original` tells; then by place in the list.
pub(super) fn order(files: &[FileKey], original: &dyn Fn(u32) -> u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..files.len() as u32).collect();
    let key = |i: &u32| {
        let file = &files[*i as usize];
        let lane = file.lane();
        let name = if lane == Lane::Small { (file.extension(), file.path.as_slice()) } else { Default::default() };
        (lane, name, original(*i), *i)
    };
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_stand_behind_what_they_are_like_in_their_own_lane() {
        let file = |path: &str, len, tree| FileKey { path: path.as_bytes().to_vec(), len, dense: false, tree };
        let files = [
            file("/b.nix", 1, false),
            file("/1/x", 1, true),
            file("/1/y", 1, true),
            file("/1/z", LARGE, true),
            file("/2/x", 1, true),
            file("/2/y", 1, true),
            file("/2/z", LARGE - 1, true),
            file("/a.nix", 1, false),
        ];
        assert_eq!(order(&files, &|n| n), [7, 0, 1, 2, 4, 5, 6, 3]);
        let original = |n| if (4..7).contains(&n) { n - 3 } else { 0 };
        assert_eq!(order(&files, &|n| if n < 4 { n } else { original(n) }), [7, 0, 1, 4, 2, 5, 6, 3]);
    }
}
