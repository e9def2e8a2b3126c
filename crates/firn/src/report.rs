//! Events for a person, or for a program.

mod json;
mod terminal;

use firn::{CommandError, Event, Sink, cli::Globals};

/// Shows events on standard error.
pub(crate) enum Report {
    Terminal(terminal::Terminal),
    Json(json::Json),
}

impl Report {
    pub(crate) fn new(globals: &Globals) -> Self {
        if globals.json {
            Self::Json(json::Json::new(globals))
        } else {
            Self::Terminal(terminal::Terminal::new(globals))
        }
    }

    pub(crate) fn error(&self, error: &CommandError) {
        match self {
            Self::Terminal(terminal) => terminal.error(error),
            Self::Json(json) => json.error(error),
        }
    }

    /// Takes what shows progress from the screen.
    pub(crate) fn finish(&self) {
        self.event(Event::End);
    }
}

impl Sink for Report {
    fn event(&self, event: Event<'_>) {
        match self {
            Self::Terminal(terminal) => terminal.event(event),
            Self::Json(json) => json.event(event),
        }
    }
}
