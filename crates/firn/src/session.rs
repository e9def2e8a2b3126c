//! What every command is run with.

use crate::{
    cli::Globals,
    error::{CommandError, io_code},
    event::Sink,
    exit_code::ExitCode,
    input::{Input, Source},
    output::mark_closed_pipe,
    spool_file::{FileSpool, SpoolPlace},
};
use std::{fmt, io::Write, num::NonZero, path::Path, sync::Mutex};

/// Memory for unpacking a stock stream when `--max-memory` does not say another, as for frames of a firn file. What
/// `zstd --long=27` and `xz -9` write needs half of it.
const DEFAULT_MEMORY: u64 = 256 << 20;

/// The flags that every command has, a place for events and one for results.
pub struct Session<'a> {
    /// The flags.
    pub globals: Globals,
    /// Takes events.
    pub sink: &'a dyn Sink,
    results: Mutex<Box<dyn Write + Send + 'a>>,
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("globals", &self.globals).finish_non_exhaustive()
    }
}

impl<'a> Session<'a> {
    /// A session whose results go to `results`.
    pub fn new(globals: Globals, sink: &'a dyn Sink, results: impl Write + Send + 'a) -> Self {
        Self { globals, sink, results: Mutex::new(Box::new(results)) }
    }

    /// Writes a result, a line end after it.
    pub fn result(&self, text: impl fmt::Display) -> Result<(), CommandError> {
        self.with_results(|out| writeln!(out, "{text}"))
    }

    /// Writes a result as JSON.
    pub fn json(&self, value: &impl serde::Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| CommandError::new(ExitCode::Output, error))?;
        self.result(text)
    }

    /// Hands out the writer of results.
    pub fn with_results(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), CommandError> {
        let mut out = self.results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        write(&mut **out).and_then(|()| out.flush()).map_err(|error| {
            let error = mark_closed_pipe(error);
            CommandError::new(io_code(&error, ExitCode::Output), error).about("standard output")
        })
    }

    /// Opens an input.
    pub fn open(&self, source: Source) -> Result<Input, CommandError> {
        Ok(Input::open(source, self.globals.max_memory.unwrap_or(DEFAULT_MEMORY))?)
    }

    /// Opens a spool; `target` is what the command writes.
    pub fn spool(&self, target: Option<&Path>) -> Result<FileSpool, CommandError> {
        let place = SpoolPlace { named: self.globals.tmp_dir.clone(), target: target.map(Path::to_path_buf) };
        Ok(place.open()?)
    }

    /// Number of threads for work that can be split.
    pub fn threads(&self) -> usize {
        let available = || std::thread::available_parallelism().map_or(1, NonZero::get);
        self.globals.threads.map_or_else(available, NonZero::get)
    }
}
