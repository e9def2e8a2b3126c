//! What ends a command: a kind, a sentence with its causes, and what to do.

use crate::{
    decode::DecodeError,
    encode::EncodeError,
    exit_code::ExitCode,
    input::{InputError, UnpackError},
    output::ClosedPipe,
    spool_file::{SpoolError, SpoolFull},
};
use firn_core::{ClosureError, StorePathError, export::ExportError, format::FormatError, recipe::RecipeError};
use firn_store::{daemon::DaemonError, direct::DirectError};
use std::{
    error::Error,
    fmt::{self, Display},
    io,
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
        Self { code, source: error.into(), context: Vec::new(), hints: Vec::new() }
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

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::new(io_code(&error, ExitCode::Failure), error)
    }
}

/// Code of an I/O error: what our own readers and writers wrapped into it, else its kind, else `other`.
pub fn io_code(error: &io::Error, other: ExitCode) -> ExitCode {
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<ClosedPipe>()) {
        return ExitCode::Success;
    }
    match inner.and_then(|inner| inner.downcast_ref()) {
        Some(UnpackError::Memory { .. }) => return ExitCode::Limit,
        Some(_) => return ExitCode::Damaged,
        None => {}
    }
    if inner.is_some_and(|inner| inner.is::<SpoolFull>()) {
        return ExitCode::Space;
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ExitCode::Space,
        _ => other,
    }
}

impl From<InputError> for CommandError {
    fn from(error: InputError) -> Self {
        let code = match &error {
            InputError::Wrong { .. } => ExitCode::WrongKind,
            InputError::Read { source, .. } => io_code(source, ExitCode::Input),
            InputError::Terminal => ExitCode::Usage,
        };
        Self::new(code, error)
    }
}

impl From<ExportError> for CommandError {
    fn from(error: ExportError) -> Self {
        let code = match &error {
            ExportError::Read { source, .. } => io_code(source, ExitCode::Input),
            ExportError::Spool { source, .. } => io_code(source, ExitCode::Failure),
            ExportError::Limit { .. } => ExitCode::Limit,
            _ => ExitCode::Damaged,
        };
        Self::new(code, error)
    }
}

impl From<ClosureError> for CommandError {
    fn from(error: ClosureError) -> Self {
        let code = match &error {
            ClosureError::Io(error) => io_code(error, ExitCode::Failure),
            ClosureError::Missing { .. } | ClosureError::MissingRoot(_) | ClosureError::Empty => ExitCode::Incomplete,
            _ => ExitCode::Damaged,
        };
        Self::new(code, error)
    }
}

impl From<StorePathError> for CommandError {
    fn from(error: StorePathError) -> Self {
        Self::new(ExitCode::Usage, error)
    }
}

impl From<SpoolError> for CommandError {
    fn from(error: SpoolError) -> Self {
        Self::new(ExitCode::Space, error)
    }
}

impl From<FormatError> for CommandError {
    fn from(error: FormatError) -> Self {
        let code = match &error {
            FormatError::Read { source, .. } => io_code(source, ExitCode::Input),
            FormatError::Write(source) => io_code(source, ExitCode::Output),
            FormatError::Empty | FormatError::NotFirn => ExitCode::WrongKind,
            FormatError::Version { .. } | FormatError::Unknown { .. } => ExitCode::Unsupported,
            FormatError::Limit { .. } | FormatError::Memory { .. } => ExitCode::Limit,
            _ => ExitCode::Damaged,
        };
        Self::new(code, error)
    }
}

impl From<DecodeError> for CommandError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Format(error) => error.into(),
            DecodeError::Spool(ref source) => Self::new(io_code(source, ExitCode::Failure), error),
            DecodeError::Recipe { source: RecipeError::Io(ref source), .. } => {
                Self::new(io_code(source, ExitCode::Failure), error)
            }
            _ => Self::new(ExitCode::Damaged, error),
        }
    }
}

impl From<EncodeError> for CommandError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Format(error) => error.into(),
            EncodeError::Spool(ref source) => Self::new(io_code(source, ExitCode::Failure), error),
            _ => Self::new(ExitCode::Failure, error),
        }
    }
}

impl From<DaemonError> for CommandError {
    fn from(error: DaemonError) -> Self {
        let code = match &error {
            DaemonError::Url { .. } => ExitCode::Usage,
            DaemonError::NeedsTrust { .. } => ExitCode::Untrusted,
            DaemonError::OtherStore { .. } => ExitCode::StoreDir,
            DaemonError::Contents(source) => io_code(source, ExitCode::Failure),
            DaemonError::Root(_) | DaemonError::LinksLeft { .. } => ExitCode::Root,
            _ => ExitCode::Store,
        };
        Self::new(code, error)
    }
}

impl From<DirectError> for CommandError {
    fn from(error: DirectError) -> Self {
        let code = match &error {
            DirectError::Full { .. } | DirectError::Space { .. } | DirectError::Inodes { .. } => ExitCode::Space,
            DirectError::Daemon(_) | DirectError::InUse(_) | DirectError::Collector(_) => ExitCode::Busy,
            DirectError::StoreDir { .. } => ExitCode::StoreDir,
            DirectError::Root(_) => ExitCode::Root,
            _ => ExitCode::Store,
        };
        Self::new(code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_what_it_is_about_and_its_causes() {
        let cause = io::Error::other("the disk is on fire");
        let error = InputError::Read { input: crate::input::Source::Stdin, source: cause };
        let error = CommandError::from(error).about("web.firn").hint("run");
        assert_eq!(error.to_string(), "web.firn: standard input cannot be read: the disk is on fire");
        assert_eq!((error.code(), error.hints().len()), (ExitCode::Input, 1));
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
