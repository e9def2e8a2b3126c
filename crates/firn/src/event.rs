//! What pipelines tell while they work. Only the binary knows a terminal.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// A kind of work with an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Work {
    /// Evaluating with Nix.
    Evaluate,
    /// Reading a file, a stream or a closure from a store.
    Read,
    /// Recomputing paths from their contents.
    Prove,
    /// Encoding frames.
    Encode,
    /// Writing a file.
    Write,
    /// Asking a store what it has.
    Query,
    /// Sending or writing paths to a store.
    Import,
    /// Fetching what caches have.
    Fetch,
    /// Building.
    Build,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evaluate => "evaluating",
            Self::Read => "reading",
            Self::Prove => "verifying",
            Self::Encode => "encoding",
            Self::Write => "writing",
            Self::Query => "asking the store",
            Self::Import => "importing",
            Self::Fetch => "fetching",
            Self::Build => "building",
        })
    }
}

/// A line that a script or a builder said, safe to show on a terminal: without its escape sequences, other control
/// characters but tabs spelled out.
pub fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // ECMA-48: a control sequence ends with a character from @ to ~.
            '\x1b' if rest.next_if_eq(&'[').is_some() => {
                while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
                rest.next_if(|c| ('@'..='~').contains(c));
            }
            '\r' => {}
            c if c.is_control() && c != '\t' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Work begins, of so many bytes and paths where that is known.
    Begin {
        /// What kind.
        work: Work,
        /// Total bytes.
        bytes: Option<u64>,
        /// Total paths.
        paths: Option<u64>,
    },
    /// How far the work that began last has come, in all.
    Progress {
        /// Bytes done.
        bytes: u64,
        /// Paths done.
        paths: u64,
    },
    /// The work that began last is done.
    End,
    /// Something a person should know although it is no error.
    Warning(&'a str),
    /// What was done, in a sentence.
    Note(&'a str),
    /// Said only with `-v`.
    Detail(&'a str),
    /// A line of a build log.
    Log {
        /// Name of the derivation.
        derivation: &'a str,
        /// The line.
        line: &'a str,
    },
}

/// Takes events, from any thread.
pub trait Sink: Sync {
    /// Takes one.
    fn event(&self, event: Event<'_>);

    /// Shorthand for [`Event::Warning`].
    fn warn(&self, text: &str) {
        self.event(Event::Warning(text));
    }

    /// Shorthand for [`Event::Note`].
    fn note(&self, text: &str) {
        self.event(Event::Note(text));
    }

    /// Shorthand for [`Event::Detail`].
    fn detail(&self, text: &str) {
        self.event(Event::Detail(text));
    }
}

/// Drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// Adds up what several threads have done of one work and tells the total.
pub(crate) struct Meter<'a> {
    sink: &'a dyn Sink,
    bytes: AtomicU64,
    paths: AtomicU64,
}

impl<'a> Meter<'a> {
    /// Begins a work.
    pub(crate) fn begin(sink: &'a dyn Sink, work: Work, bytes: Option<u64>, paths: Option<u64>) -> Self {
        sink.event(Event::Begin { work, bytes, paths });
        Self { sink, bytes: AtomicU64::new(0), paths: AtomicU64::new(0) }
    }

    /// So much more is done.
    pub(crate) fn add(&self, bytes: u64, paths: u64) {
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let paths = self.paths.fetch_add(paths, Ordering::Relaxed) + paths;
        self.sink.event(Event::Progress { bytes, paths });
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.sink.event(Event::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor() {
        assert_eq!(
            plain("\x1b[31;1mred\x1b[0m\tand \0\x1b]0;title\x07 50 %\r"),
            "red\tand \\x00\\x1b]0;title\\x07 50 %"
        );
        assert_eq!(plain("é \x1b[2J\u{9b}x"), "é \\x9bx");
    }
}
