//! What ends a command: a kind, a sentence with its causes, and what to do.

mod kind;

pub use kind::io_code;

use crate::exit_code::ExitCode;
use std::{
    error::Error,
    fmt::{self, Display},
};

type Source = Box<dyn Error + Send + Sync>;

/// An error on its way to the person. Every error of a boundary becomes one with `?`.
pub struct CommandError {
    code: ExitCode,
    source: Source,
    /// What was being done, the outermost last.
    context: Vec<String>,
    hints: Vec<String>,
}

impl CommandError {
    /// An error of this kind; a text will do as error.
    pub fn new(code: ExitCode, error: impl Into<Source>) -> Self {
        let hints = match code {
            ExitCode::Damaged => vec!["it was cut or changed on its way, or by what wrote it: get it again".to_owned()],
            _ => Vec::new(),
        };
        Self { code, source: error.into(), context: Vec::new(), hints }
    }

    /// Without what is advised for every error of this kind.
    pub(crate) fn without_hints(code: ExitCode, error: impl Into<Source>) -> Self {
        Self { hints: Vec::new(), ..Self::new(code, error) }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says what it is about: a file, a host, a store.
    pub fn about(mut self, what: impl Display) -> Self {
        self.context.push(what.to_string());
        self
    }

    /// The kind.
    pub fn code(&self) -> ExitCode {
        self.code
    }

    /// What to do about it.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Whether only the reader of our output went away.
    pub fn is_closed_pipe(&self) -> bool {
        self.code == ExitCode::Success
    }
}

impl fmt::Display for CommandError {
    /// One line: what it is about, the error, its causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in self.context.iter().rev() {
            write!(f, "{what}: ")?;
        }
        write!(f, "{}", self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {self}", self.code)
    }
}

/// Says what a result is about.
pub trait About<T> {
    /// As [`CommandError::about`].
    fn about(self, what: impl Display) -> Result<T, CommandError>;
}

impl<T, E: Into<CommandError>> About<T> for Result<T, E> {
    fn about(self, what: impl Display) -> Result<T, CommandError> {
        self.map_err(|error| error.into().about(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{InputError, UnpackError};
    use firn_core::export::ExportError;
    use std::io;

    #[test]
    fn an_error_is_one_line_of_what_it_is_about_and_its_causes() {
        let cause = io::Error::other("the disk is on fire");
        let error = InputError::Read { input: crate::input::Source::Stdin, source: cause };
        let error = CommandError::from(error).about("web.firn").hint("run");
        assert_eq!(error.to_string(), "web.firn: standard input cannot be read: the disk is on fire");
        assert_eq!((error.code(), error.hints().len()), (ExitCode::Input, 1));
    }

    #[test]
    fn a_file_over_its_limit_and_a_folder_that_is_not_there_have_their_codes() {
        let error = CommandError::from(crate::EncodeError::TooLarge { bytes: 2, limit: 1 });
        assert_eq!((error.code(), error.hints().len()), (ExitCode::Limit, 1));
        let named = |kind: io::ErrorKind| {
            let (dir, source) = ("/nosuch".into(), kind.into());
            CommandError::from(crate::spool_file::SpoolError::Named { dir, source }).code()
        };
        assert_eq!(named(io::ErrorKind::NotFound), ExitCode::Usage);
        assert_eq!(named(io::ErrorKind::StorageFull), ExitCode::Space);
    }

    #[test]
    fn a_damaged_gzip_inside_a_read_error_is_damage() {
        let inner = UnpackError::Cut { compression: "gzip", offset: 7 };
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, inner);
        let error = CommandError::from(ExportError::Read { offset: 3, source });
        assert_eq!(error.code(), ExitCode::Damaged);
        assert_eq!(error.to_string(), "reading the stream at byte 3: the gzip data is cut off at byte 7");
    }
}
