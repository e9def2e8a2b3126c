//! What changed in sources, file by file.

use super::{
    End,
    lines::{Line, difference},
};
use crate::inspect::{
    Pattern,
    text::{Style, counted, printable},
};
use firn_core::{Node, ProvenPath, Spool};
use serde::Serialize;
use std::{collections::BTreeMap, io};

/// Bytes of a file beyond which it is only said to differ.
const MOST: u64 = 4 << 20;

/// Files of sources that differ.
#[derive(Debug, Clone, Serialize)]
pub struct SourceChanges {
    /// Version of this JSON.
    pub version: u32,
    /// By path: name of the source, then the path in it.
    pub files: Vec<FileChange>,
}

/// One file.
#[derive(Debug, Clone, Serialize)]
pub struct FileChange {
    /// Name of the source and the path in it.
    pub path: String,
    /// `changed`, `added` or `removed`.
    pub change: &'static str,
    /// Lines with their mark; empty for what is no text, or too long.
    pub lines: Vec<Line>,
    /// Why there are no lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unshown: Option<&'static str>,
}

/// A file as far as it can be compared.
type File = (bool, Vec<u8>, u64);

impl SourceChanges {
    /// Of the sources that a pattern fits; `None` where it fits none of either end.
    pub(crate) fn new(old: &End, new: &End, pattern: &Pattern) -> io::Result<Option<Self>> {
        let fitting =
            |end: &End, path: &&ProvenPath| !path.is_derivation() && pattern.fits(&end.store_dir, path.path());
        if ![old, new].iter().any(|end| end.paths.iter().any(|path| fitting(end, &path))) {
            return Ok(None);
        }
        let mut files: BTreeMap<String, [Option<File>; 2]> = BTreeMap::new();
        for (place, end, other) in [(0, old, new), (1, new, old)] {
            let there = |path: &ProvenPath| other.paths.iter().any(|theirs| theirs.path() == path.path());
            for source in end.paths.iter().filter(|path| fitting(end, path) && !there(path)) {
                for (path, file) in files_of(source, &end.spool)? {
                    files.entry(path).or_default()[place] = Some(file);
                }
            }
        }
        let changed = files.into_iter().filter(|(_, [old, new])| old != new);
        let files = changed.map(|(path, [old, new])| {
            let change = match (&old, &new) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            };
            let unshown = [&old, &new].into_iter().flatten().find_map(|(_, bytes, place)| {
                let why = if *place > 0 { "too long to show" } else { "no text" };
                bytes.contains(&0).then_some(why)
            });
            let (old, new) = (old.map_or_else(Vec::new, |file| file.1), new.map_or_else(Vec::new, |file| file.1));
            let lines = if unshown.is_none() { difference(&old, &new) } else { Vec::new() };
            FileChange { path, change, lines, unshown }
        });
        Ok(Some(Self { version: 1, files: files.collect() }))
    }

    /// Below the path of each file its lines.
    pub fn text(&self, style: Style) -> String {
        let mut out = String::new();
        for file in &self.files {
            let change = file.unshown.map_or_else(|| file.change.to_owned(), |why| format!("{}, {why}", file.change));
            out.push_str(&format!("{} {}\n", style.bold(&printable(file.path.as_bytes())), style.dim(&change)));
            file.lines.iter().for_each(|line| out.push_str(&format!("{}\n", line.text(style))));
        }
        out + &format!("{} changed\n", counted(self.files.len() as u64, "file"))
    }
}

fn files_of(source: &ProvenPath, spool: &dyn Spool) -> io::Result<Vec<(String, File)>> {
    let mut nodes = Vec::new();
    source.content().walk(&mut |below, node| nodes.push((String::from_utf8_lossy(below).into_owned(), node)));
    let mut files = Vec::new();
    for (below, node) in nodes {
        let path = if below.is_empty() {
            source.path().name().to_owned()
        } else {
            format!("{}/{below}", source.path().name())
        };
        match node {
            Node::Regular { executable, contents } if contents.len <= MOST => {
                files.push((path, (*executable, spool.get(*contents)?, 0)));
            }
            // Its place stands for what it holds: two of one length may be taken to differ.
            Node::Regular { executable, contents } => files.push((path, (*executable, vec![0], contents.offset))),
            Node::Symlink { target } => files.push((path, (false, [b"-> ", target.as_ref()].concat(), 0))),
            Node::Directory { .. } => {}
        }
    }
    Ok(files)
}
