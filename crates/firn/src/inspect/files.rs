//! The files of sources: what leaves the house when a file travels.

use super::{
    pattern::Pattern,
    text::{Style, Table, counted, grouped, printable},
};
use firn_core::{Blob, Node, ProvenPath, Spool, StoreDir, for_each_piece, hash};
use serde_json::{Value, json};
use std::io::{self, Write};

/// How a list of files is sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// The largest first.
    #[default]
    Size,
    /// By path.
    Path,
}

/// One file of a source.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Full path, store directory included.
    pub path: Vec<u8>,
    /// `regular`, `executable`, `symlink` or `directory`; a directory only where it is empty.
    pub kind: &'static str,
    /// Bytes of contents or of the target.
    pub size: u64,
    /// Where a symlink points to.
    pub target: Option<Vec<u8>>,
    contents: Option<Blob>,
}

/// Files, and from how many sources they come.
#[derive(Debug, Clone, Default)]
pub struct SourceFiles {
    /// The files.
    pub files: Vec<SourceFile>,
    /// Number of sources.
    pub sources: u64,
}

impl SourceFiles {
    /// All files of all sources, by path.
    pub fn all<'a>(store_dir: &StoreDir, sources: impl Iterator<Item = &'a ProvenPath>) -> Self {
        let mut sorted: Vec<&ProvenPath> = sources.collect();
        sorted.sort_by_key(|p| p.path());
        let mut all = Self::default();
        for source in sorted {
            all.sources += 1;
            let root = store_dir.display(source.path()).into_bytes();
            source.content().walk(&mut |below, node| all.files.extend(source_file(&root, below, node)));
        }
        all
    }

    /// The files of the sources that a pattern fits; if it fits none, the files that it fits.
    pub fn matching(store_dir: &StoreDir, sources: &[&ProvenPath], pattern: &Pattern) -> Self {
        let fitting = sources.iter().copied().filter(|s| pattern.fits(store_dir, s.path()));
        let found = Self::all(store_dir, fitting);
        if found.sources > 0 {
            return found;
        }
        let mut all = Self::all(store_dir, sources.iter().copied());
        all.files.retain(|file| pattern.fits_text(&file.path));
        let root = |file: &SourceFile| file.path.iter().skip(store_dir.as_str().len() + 1).position(|b| *b == b'/');
        let mut roots: Vec<&[u8]> = all
            .files
            .iter()
            .map(|f| &f.path[..root(f).map_or(f.path.len(), |n| n + store_dir.as_str().len() + 1)])
            .collect();
        roots.dedup();
        all.sources = roots.len() as u64;
        all
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Sorts them. Files of one size are by path.
    pub fn sort(&mut self, order: Order) {
        match order {
            Order::Size => self.files.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path))),
            Order::Path => self.files.sort_by(|a, b| a.path.cmp(&b.path)),
        }
    }

    /// A line for each: size, what else it is, path; the totals last.
    pub fn write_list(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut table = Table::new(&[true, false, false]);
        for file in &self.files {
            let mark = match file.kind {
                "executable" => "x",
                "symlink" => "l",
                "directory" => "d",
                _ => "",
            };
            let mut path = printable(&file.path);
            if let Some(target) = &file.target {
                path.push_str(&format!(" -> {}", printable(target)));
            }
            table.row([grouped(file.size), mark.to_owned(), path]);
        }
        for line in table.lines() {
            writeln!(out, "{line}")?;
        }
        let (sources, files) = (counted(self.sources, "source"), counted(self.files.len() as u64, "file"));
        let total = format!("{files} in {sources}, {} bytes", grouped(self.bytes()));
        writeln!(out, "\n  {}", style.bold(&total))
    }

    /// The list as JSON.
    pub fn json(&self) -> Value {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let files = self.files.iter().map(|file| {
            let mut entry = json!({"path": text(&file.path), "type": file.kind, "bytes": file.size});
            if let Some(target) = &file.target {
                entry["target"] = text(target).into();
            }
            entry
        });
        let files: Vec<Value> = files.collect();
        json!({"version": 1, "sources": self.sources, "bytes": self.bytes(), "files": files})
    }

    /// The list as JSON, contents included: as text where they are UTF-8, else in base 64.
    pub fn json_contents(&self, spool: &dyn Spool) -> io::Result<Value> {
        let mut value = self.json();
        for (number, file) in self.files.iter().enumerate() {
            let Some(blob) = file.contents else { continue };
            let entry = &mut value["files"][number];
            match String::from_utf8(spool.get(blob)?) {
                Ok(text) => entry["contents"] = text.into(),
                Err(error) => entry["contents_base64"] = hash::base64(error.as_bytes()).into(),
            }
        }
        Ok(value)
    }

    /// Contents one after the other; with more than one file, each below its path as `head` has it.
    pub fn write_contents(&self, spool: &dyn Spool, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let many = self.files.len() > 1;
        for (number, file) in self.files.iter().enumerate() {
            if many {
                let gap = if number > 0 { "\n" } else { "" };
                writeln!(out, "{gap}{}", style.bold(&format!("==> {} <==", printable(&file.path))))?;
            }
            if let Some(blob) = file.contents {
                for_each_piece(spool, blob, |piece| out.write_all(piece))?;
            } else if let Some(target) = &file.target {
                writeln!(out, "-> {}", printable(target))?;
            }
        }
        Ok(())
    }
}

fn source_file(root: &[u8], below: &[u8], node: &Node) -> Option<SourceFile> {
    let mut path = root.to_vec();
    if !below.is_empty() {
        path.push(b'/');
        path.extend_from_slice(below);
    }
    let file = |kind, size, contents| SourceFile { path: path.clone(), kind, size, target: None, contents };
    match node {
        Node::Regular { executable, contents } => {
            let kind = if *executable { "executable" } else { "regular" };
            Some(file(kind, contents.len, Some(*contents)))
        }
        Node::Symlink { target } => {
            let target_bytes = target.to_vec();
            Some(SourceFile { target: Some(target_bytes), ..file("symlink", target.len() as u64, None) })
        }
        Node::Directory { entries } if entries.is_empty() => Some(file("directory", 0, None)),
        Node::Directory { .. } => None,
    }
}
