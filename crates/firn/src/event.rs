//! What pipelines tell while they work. Only the binary turns it into bars, lines or JSON.

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Store paths.
    Paths,
    /// Builds and downloads.
    Jobs,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A step begins; the one before it is over.
    Step {
        /// In a few words: `reading`, `packing` ...
        name: &'static str,
        /// How much there is to do, where known.
        total: Option<u64>,
        /// What it is counted in.
        unit: Unit,
    },
    /// So much more of the step is done.
    Advance(u64),
    /// A person should know.
    Warning(String),
    /// A line of a build's or an evaluation's log.
    Log(String),
    /// The last step is over.
    Finished,
}

/// Takes events, from any thread.
pub trait Sink: Sync {
    /// One event.
    fn event(&self, event: Event);
}

/// A sink for those who do not listen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event) {}
}
