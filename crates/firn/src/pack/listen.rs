//! What Nix says while it evaluates: warnings and traces are told from the rest, whole and each once.

use crate::event::Sink;
use firn_store::daemon::plain;
use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read},
    sync::{Mutex, PoisonError},
};

/// As much as a pipe holds: a message that Nix writes at once is read at once.
const BUFFER: usize = 1 << 16;

/// Beginnings of lines that are neither a warning nor go on with one.
const OTHERS: [&str; 17] = [
    "error:",
    "building ",
    "copying ",
    "copied ",
    "created ",
    "downloading ",
    "evaluating ",
    "evaluated ",
    "fetching ",
    "querying ",
    "this derivation will be built",
    "this path will be fetched",
    "these ",
    "unpacking ",
    "waiting for ",
    "using ",
    "instantiated ",
];

/// Takes what programs of Nix say, of several runs of one evaluation.
#[derive(Default)]
pub(super) struct Listener {
    /// Nix may run twice, and says again what it said.
    told: Mutex<HashSet<Said>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Said {
    Warning(String),
    Trace(String),
}

impl Said {
    /// The message that a line begins.
    fn begins(line: &str) -> Option<Self> {
        let warning = |text: &str| {
            text.strip_prefix("warning: ").or_else(|| text.strip_prefix("evaluation warning: ")).map(str::to_owned)
        };
        match line.strip_prefix("trace: ") {
            Some(trace) => Some(warning(trace).map_or_else(|| Self::Trace(trace.to_owned()), Self::Warning)),
            None => warning(line).map(Self::Warning),
        }
    }

    fn text(&mut self) -> &mut String {
        let (Self::Warning(text) | Self::Trace(text)) = self;
        text
    }
}

impl Listener {
    /// Reads to the end. Warnings and traces go to the sink as they come; the rest is told as details, and returned.
    pub(super) fn listen(&self, stderr: impl Read, sink: &dyn Sink) -> String {
        let mut rest = String::new();
        let mut reader = BufReader::with_capacity(BUFFER, stderr);
        let mut line = Vec::new();
        let mut message: Option<Said> = None;
        // A line may be of any bytes: what a trace prints is not ours.
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = plain(&String::from_utf8_lossy(&line));
            let text = text.trim_end();
            if let Some(begun) = Said::begins(text) {
                self.tell(message.replace(begun), sink);
            } else if let Some(message) =
                message.as_mut().filter(|_| !OTHERS.iter().any(|other| text.starts_with(other)))
            {
                message.text().push('\n');
                message.text().push_str(text);
            } else {
                self.tell(message.take(), sink);
                sink.detail(text);
                rest.push_str(text);
                rest.push('\n');
            }
            // What is written later is a message of its own.
            if reader.buffer().is_empty() {
                self.tell(message.take(), sink);
            }
            line.clear();
        }
        self.tell(message, sink);
        rest
    }

    fn tell(&self, message: Option<Said>, sink: &dyn Sink) {
        let Some(mut message) = message else { return };
        let length = message.text().trim_end().len();
        message.text().truncate(length);
        if !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(message.clone()) {
            return;
        }
        match &message {
            // What is evaluated is held by ourselves.
            Said::Warning(text) if text.contains("--add-root") => {}
            Said::Warning(text) => sink.warn(text),
            Said::Trace(text) => sink.note(&format!("trace: {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Sink for Heard {
        fn event(&self, event: Event<'_>) {
            let text = match event {
                Event::Warning(text) => format!("warning: {text}"),
                Event::Note(text) => text.to_owned(),
                _ => return,
            };
            self.0.lock().unwrap().push(text);
        }
    }

    #[test]
    fn warnings_and_traces_are_told_whole_and_once() {
        let said = "warning: creating lock file '/f/flake.lock':\n\u{2022} Added input 'nixpkgs':\n    'path:/n'\n\
                    warning: Git tree '/f' is dirty\n\
                    trace: warning: \u{1b}[1;31mold option\u{1b}[0m\n\
                    evaluation warning: the option `a' is gone\n\nuse b\n\
                    trace: evaluation warning: from lib.warn\n\
                    trace: { a = 1; }\n\
                    building '/nix/store/x.drv'...\n\
                    warning: you did not specify '--add-root'; the result might be removed\n\
                    error: no\n\n  at line 3\n";
        let wanted = [
            "warning: creating lock file '/f/flake.lock':\n\u{2022} Added input 'nixpkgs':\n    'path:/n'",
            "warning: Git tree '/f' is dirty",
            "warning: old option",
            "warning: the option `a' is gone\n\nuse b",
            "warning: from lib.warn",
            "trace: { a = 1; }",
        ];
        let (heard, listener) = (Heard::default(), Listener::default());
        let rest = "building '/nix/store/x.drv'...\nerror: no\n\n  at line 3\n";
        for _ in 0..2 {
            assert_eq!(listener.listen(said.as_bytes(), &heard), rest);
        }
        assert_eq!(*heard.0.lock().unwrap(), wanted);
    }
}
