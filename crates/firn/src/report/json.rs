//! One JSON object a line, for programs.

use firn::{CommandError, Event, cli::Globals};
use serde_json::{Value, json};
use std::io::Write;

pub(crate) struct Json {
    quiet: bool,
    verbose: bool,
    progress: bool,
}

impl Json {
    pub(crate) fn new(globals: &Globals) -> Self {
        let progress = !globals.quiet && !globals.no_progress;
        Self { quiet: globals.quiet, verbose: globals.verbose > 0, progress }
    }

    pub(crate) fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Begin { work, bytes, paths } if self.progress => {
                json!({"event": "begin", "work": work.to_string(), "bytes": bytes, "paths": paths})
            }
            // Only programs that asked for details get a line for every step.
            Event::Progress { bytes, paths } if self.progress && self.verbose => {
                json!({"event": "progress", "bytes": bytes, "paths": paths})
            }
            Event::Warning(text) => json!({"event": "warning", "text": text}),
            Event::Note(text) if !self.quiet => json!({"event": "note", "text": text}),
            Event::Detail(text) if self.verbose => json!({"event": "detail", "text": text}),
            Event::Log { derivation, line } => json!({"event": "log", "derivation": derivation, "line": line}),
            _ => return,
        };
        print(&line);
    }

    pub(crate) fn error(&self, error: &CommandError) {
        let code = error.code().number();
        print(&json!({"event": "error", "code": code, "text": error.to_string(), "hints": error.hints()}));
    }
}

fn print(line: &Value) {
    // Nobody may be listening; that is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
