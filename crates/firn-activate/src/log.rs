//! The log of an activation: what firn does, line by line, and the output of what it runs between.

use crate::{
    error::ActivateError,
    health::printed,
    host::{Host, make_folder},
};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::PathBuf,
    time::Duration,
};

/// What our own lines begin with.
pub const MARK: &str = "firn: ";

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
        let file = OpenOptions::new().append(true).create(true).open(&path).ok();
        Self { path, file }
    }

    /// One line.
    pub(crate) fn line(&mut self, text: &str) {
        if let Some(file) = &mut self.file {
            let _ = file.write_all(format!("{MARK}{text}\n").as_bytes());
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
