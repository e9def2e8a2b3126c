//! Which kind every error of a boundary is.

use super::CommandError;
use crate::{
    decode::DecodeError,
    encode::EncodeError,
    exit_code::ExitCode,
    input::{InputError, UnpackError},
    load::OTHER_MEMORY,
    output::ClosedPipe,
    spool_file::{SpoolError, SpoolFull},
};
use firn_core::{ClosureError, StorePathError, export::ExportError, format::FormatError, recipe::RecipeError};
use firn_store::{
    TreeError,
    daemon::{DaemonError, RunningError, WireError},
    database::DatabaseError,
    direct::DirectError,
    root::RootError,
};
use std::io;

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
        let error = Self::new(code, error);
        if code == ExitCode::Incomplete {
            return error.hint("pack or export the whole closure: firn pack, or nix-store -qR");
        }
        error
    }
}

impl From<StorePathError> for CommandError {
    fn from(error: StorePathError) -> Self {
        Self::new(ExitCode::Usage, error)
    }
}

impl From<SpoolError> for CommandError {
    fn from(error: SpoolError) -> Self {
        let code = match &error {
            SpoolError::Named { source, .. }
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                ExitCode::Usage
            }
            _ => ExitCode::Space,
        };
        Self::new(code, error)
    }
}

fn format_code(error: &FormatError) -> ExitCode {
    match error {
        FormatError::Read { source, .. } => io_code(source, ExitCode::Input),
        FormatError::Write(source) => io_code(source, ExitCode::Output),
        FormatError::NotFirn => ExitCode::WrongKind,
        FormatError::Version { .. } | FormatError::Unknown { .. } => ExitCode::Unsupported,
        FormatError::Limit { .. } | FormatError::Memory { .. } => ExitCode::Limit,
        FormatError::Unwritable { .. } => ExitCode::Failure,
        _ => ExitCode::Damaged,
    }
}

impl From<FormatError> for CommandError {
    fn from(error: FormatError) -> Self {
        let code = format_code(&error);
        match error {
            // It says itself what to do.
            FormatError::TextMode => Self::without_hints(code, error),
            FormatError::Memory { bytes, .. } => {
                let (all, own) = (bytes.saturating_add(OTHER_MEMORY).div_ceil(1 << 20), OTHER_MEMORY >> 20);
                let hint = format!(
                    "if the file is to be trusted, allow it: --max-memory {all}M, {own} of which are firn's own"
                );
                Self::new(code, error).hint(hint)
            }
            FormatError::Limit { .. } => Self::new(code, error)
                .hint("firn writes no such file: it was made by something else or forged; get another copy"),
            _ => Self::new(code, error),
        }
    }
}

impl From<DecodeError> for CommandError {
    fn from(error: DecodeError) -> Self {
        let code = match &error {
            DecodeError::Format(_) => ExitCode::Damaged,
            DecodeError::Spool(source) => io_code(source, ExitCode::Failure),
            DecodeError::Recipe { source: RecipeError::Io(source), .. } => io_code(source, ExitCode::Damaged),
            _ => ExitCode::Damaged,
        };
        match error {
            DecodeError::Format(error) => error.into(),
            error => Self::new(code, error),
        }
    }
}

impl From<EncodeError> for CommandError {
    fn from(error: EncodeError) -> Self {
        let code = match &error {
            EncodeError::Spool(source) => io_code(source, ExitCode::Failure),
            EncodeError::Format(error) => format_code(error),
            EncodeError::TooLarge { .. } => ExitCode::Limit,
            _ => ExitCode::Failure,
        };
        if let EncodeError::TooLarge { .. } = error {
            return Self::new(code, error).hint(
                "what takes the room is shown of a file without the limit: firn inspect, firn inspect --sources",
            );
        }
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
            DirectError::Io { source, .. } => io_code(source, ExitCode::Store),
            _ => ExitCode::Store,
        };
        Self::new(code, error)
    }
}

impl From<DaemonError> for CommandError {
    fn from(error: DaemonError) -> Self {
        let code = match &error {
            DaemonError::Url { .. } => ExitCode::Usage,
            DaemonError::NeedsTrust { .. } | DaemonError::KeyNotAccepted { .. } => ExitCode::Untrusted,
            DaemonError::OtherStore { .. } => ExitCode::StoreDir,
            DaemonError::LinksLeft { .. } | DaemonError::Root(_) => ExitCode::Root,
            DaemonError::Contents(source) => io_code(source, ExitCode::Failure),
            DaemonError::Wire(WireError::Io(source)) => io_code(source, ExitCode::Store),
            _ => ExitCode::Store,
        };
        Self::new(code, error)
    }
}

impl From<RunningError> for CommandError {
    fn from(error: RunningError) -> Self {
        Self::new(ExitCode::Store, error)
    }
}

impl From<RootError> for CommandError {
    fn from(error: RootError) -> Self {
        Self::new(ExitCode::Root, error)
    }
}

impl From<DatabaseError> for CommandError {
    fn from(error: DatabaseError) -> Self {
        let code = if matches!(error, DatabaseError::Busy(_)) { ExitCode::Busy } else { ExitCode::Store };
        Self::new(code, error)
    }
}

impl From<TreeError> for CommandError {
    fn from(error: TreeError) -> Self {
        let code = match &error {
            TreeError::Spool(source) => io_code(source, ExitCode::Failure),
            TreeError::Limit(_) => ExitCode::Limit,
            _ => ExitCode::Store,
        };
        Self::new(code, error)
    }
}
