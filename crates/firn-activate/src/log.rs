//! The log of an activation: what firn does, line by line, and the output of what it runs between.

use crate::{
    error::ActivateError,
    health::printed,
    host::{Host, make_folder},
};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::PathBuf,
    time::Duration,
};

/// What our own lines begin with.
pub const MARK: &str = "firn: ";

/// What our line begins with, after the mark, when the output of an own check follows.
pub const CHECK: &str = "running check ";

/// A log that is written to its end.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    file: Option<File>,
}

impl Log {
    /// Opens it; a log that cannot be written (a full disk) keeps nothing from being done.
    pub(crate) fn open(host: &Host, path: PathBuf) -> Self {
        let path = host.path(path);
        let _ = make_folder(&host.logs());
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).ok();
        Self { path, file }
    }

    /// One line.
    pub(crate) fn line(&mut self, text: &str) {
        if let Some(file) = &mut self.file {
            // What ran may not have ended its last line.
            let mut last = [b'\n'];
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            let _ = length.checked_sub(1).map(|at| file.read_exact_at(&mut last, at));
            let gap = if last == [b'\n'] { "" } else { "\n" };
            let _ = file.write_all(format!("{gap}{MARK}{text}\n").as_bytes());
        }
    }

    /// What was done, and how long it took.
    pub(crate) fn done(&mut self, text: &str, took: Duration) {
        self.line(&format!("{text} ({:.1} s)", took.as_secs_f64()));
    }

    /// What went wrong on the way.
    pub(crate) fn error(&mut self, error: &ActivateError) {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.line(&format!("error: {text}"));
    }

    /// That a person is waited for.
    pub(crate) fn waiting(&mut self, window: Duration) {
        self.line(&format!("waiting {} for firn confirm", printed(window)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ours_begins_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let mut log = Log::open(&host, "/nix/var/firn/log/a.log".into());
        log.line("testing");
        std::fs::OpenOptions::new().append(true).open(&log.path).unwrap().write_all(b"no end").unwrap();
        log.line("reverting");
        log.line("reverted");
        let text = std::fs::read_to_string(&log.path).unwrap();
        assert_eq!(text, "firn: testing\nno end\nfirn: reverting\nfirn: reverted\n");
    }
}
