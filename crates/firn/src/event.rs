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
