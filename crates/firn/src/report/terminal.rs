//! Lines and bars for a person. Bars only where standard error is a terminal.

use firn::{CommandError, Event, Work, cli::Globals, plain};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

pub(crate) struct Terminal {
    quiet: bool,
    verbose: bool,
    color: bool,
    bars: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    pub(crate) fn new(globals: &Globals) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = globals.colours(terminal);
        let bars = terminal && !globals.no_progress && !globals.quiet;
        Self { quiet: globals.quiet, verbose: globals.verbose > 0, color, bars, bar: Mutex::new(None) }
    }

    pub(crate) fn event(&self, event: Event<'_>) {
        match event {
            Event::Begin { work, bytes, paths } => self.begin(work, bytes, paths),
            Event::Progress { bytes, paths } => {
                if let Some(bar) = &*self.bar() {
                    // A bar of bytes shows paths as its message, one without bytes counts paths.
                    if bar.length().is_some() && bytes == 0 {
                        bar.set_position(paths);
                    } else {
                        bar.set_position(bytes);
                        bar.set_message(if paths > 0 { format!("{paths} paths") } else { String::new() });
                    }
                }
            }
            Event::End => {
                if let Some(bar) = self.bar().take() {
                    bar.finish_and_clear();
                }
            }
            Event::Warning(text) => self.line(&format!("{} {text}", self.paint("warning:", "35;1"))),
            Event::Note(text) if !self.quiet => self.line(text),
            Event::Detail(text) if self.verbose => self.line(text),
            Event::Log { derivation, line } => self.line(&format!("{}> {}", self.paint(derivation, "36"), plain(line))),
            _ => {}
        }
    }

    pub(crate) fn error(&self, error: &CommandError) {
        self.line(&format!("{} {error}", self.paint("error:", "31;1")));
        for hint in error.hints() {
            self.line(&format!("{} {hint}", self.paint("hint:", "36")));
        }
    }

    fn begin(&self, work: Work, bytes: Option<u64>, paths: Option<u64>) {
        let mut slot = self.bar();
        if let Some(bar) = slot.take() {
            bar.finish_and_clear();
        }
        if !self.bars {
            return;
        }
        let bar = ProgressBar::with_draw_target(bytes.or(paths), ProgressDrawTarget::stderr_with_hz(8));
        let template = match (bytes, paths) {
            (Some(_), _) => "{prefix:>16} {bar:30} {bytes}/{total_bytes} {msg} {eta}",
            (None, Some(_)) => "{prefix:>16} {bar:30} {pos}/{len} paths {eta}",
            (None, None) => "{prefix:>16} {spinner} {bytes} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(work.to_string());
        *slot = Some(bar);
    }

    fn bar(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        // Nobody may be listening; that is no reason to stop.
        let print = || drop(writeln!(std::io::stderr().lock(), "{text}"));
        match &*self.bar() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn paint(&self, text: &str, style: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
