//! Texts, line by line.

use crate::inspect::text::{Style, printable};
use firn_core::{HASH_CHARS, hash};
use serde::Serialize;
use similar::{Algorithm, DiffTag, capture_diff_slices, group_diff_ops};

/// Lines beyond which texts are only said to differ: the comparison takes the product of what differs.
const MOST: usize = 20_000;
/// Characters of a line that a person is shown.
const WIDTH: usize = 160;
/// Characters of a hash that a person is shown.
const HASH: usize = 5;

/// A line of a difference, with its mark: ` `, `-`, `+`, or `@` between two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Line(pub String);

/// The difference of two texts with one line around each place.
pub(super) fn difference(old: &[u8], new: &[u8]) -> Vec<Line> {
    let (old, new) = (split(old), split(new));
    // Tabs are no danger to a terminal, and patches and makefiles are full of them.
    let shown = |bytes: &[u8]| bytes.split(|byte| *byte == b'\t').map(printable).collect::<Vec<_>>().join("\t");
    let line = |mark: char, bytes: &[u8]| Line(format!("{mark}{}", shown(bytes)));
    if old.len() + new.len() > MOST {
        return vec![line('@', format!(" {} lines were, {} come", old.len(), new.len()).as_bytes())];
    }
    let mut lines = Vec::new();
    for (number, group) in group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), 1).iter().enumerate() {
        if number > 0 {
            lines.push(Line("@".to_owned()));
        }
        for op in group {
            if op.tag() == DiffTag::Equal {
                lines.extend(old[op.old_range()].iter().map(|text| line(' ', text)));
                continue;
            }
            lines.extend(old[op.old_range()].iter().map(|text| line('-', text)));
            lines.extend(new[op.new_range()].iter().map(|text| line('+', text)));
        }
    }
    lines
}

/// Lines of a text; one that is too long to show in pieces, as lists and JSON have them.
fn split(text: &[u8]) -> Vec<&[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut lines: Vec<&[u8]> = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|_| !text.is_empty()) {
        let end = if line.contains(&b'}') { b'}' } else { b' ' };
        match line.len() {
            0..=WIDTH => lines.push(line),
            _ => lines.extend(line.split_inclusive(|byte| *byte == end)),
        }
    }
    lines
}

impl Line {
    /// For a person: hashes and the line itself shortened.
    pub(super) fn text(&self, style: Style) -> String {
        let short = without_hashes(&self.0);
        let mut text: String = short.chars().take(WIDTH).collect();
        if text.len() < short.len() {
            text.push('…');
        }
        match text.chars().next() {
            Some('-') => style.paint(&text, "31"),
            Some('+') => style.paint(&text, "32"),
            _ => style.dim(&text),
        }
    }
}

/// Leaves the first characters of hashes in store paths.
fn without_hashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/store/") {
        let (before, after) = rest.split_at(at + "/store/".len());
        out.push_str(before);
        rest = after;
        let hash = after.as_bytes().get(..HASH_CHARS).filter(|hash| hash.iter().all(|c| hash::is_base32_digit(*c)));
        if hash.is_some() && after.as_bytes().get(HASH_CHARS) == Some(&b'-') {
            out.push_str(&after[..HASH]);
            out.push('…');
            rest = &after[HASH_CHARS..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_changed_stand_with_one_around_them() {
        let lines = difference(b"a\nb\nc\nd\ne\n", b"a\nb\nx\nd\ne\n");
        let lines: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
        assert_eq!(lines, [" b", "-c", "+x", " d"]);
        assert_eq!(difference(b"", b"x\n"), [Line("+x".into())]);
    }

    #[test]
    fn hashes_are_shortened_and_what_looks_like_one_is_not() {
        let text = "x=/nix/store/5d2x9hymlmyxvbyyxhgxvpmzv5wqxwpc-bash/bin /nix/store/short";
        assert_eq!(without_hashes(text), "x=/nix/store/5d2x9…-bash/bin /nix/store/short");
    }
}
