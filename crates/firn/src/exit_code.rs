//! Exit codes: public contract, one for each kind of error. `docs/cli.md` and the man page print this table.

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum ExitCode {
    /// Done; also when the reader of our output went away.
    Success = 0,
    /// An error without a code of its own.
    Failure = 1,
    /// Wrong flags or arguments.
    Usage = 2,
    /// Input that cannot be opened or read.
    Input = 3,
    /// Input that is neither a firn file nor an export stream.
    WrongKind = 4,
    /// Input that is cut, changed, forged or malformed.
    Damaged = 5,
    /// A firn file that a later release must read.
    Unsupported = 6,
    /// A limit on memory or size.
    Limit = 7,
    /// A closure that lacks a path.
    Incomplete = 8,
    /// Another root than `--expect` names.
    Unexpected = 9,
    /// Paths that need a signature or a trusted user.
    Untrusted = 10,
    /// A store that cannot be reached or refuses.
    Store = 11,
    /// A store that is in use.
    Busy = 12,
    /// A store of another directory.
    StoreDir = 13,
    /// A full disk.
    Space = 14,
    /// A GC root that cannot be made.
    Root = 15,
    /// A system that does not evaluate, or is not there.
    Evaluation = 16,
    /// A build that failed.
    Build = 17,
    /// Something would have to be built, and `--no-build` forbids it.
    WouldBuild = 18,
    /// A result that cannot be written.
    Output = 19,
    /// A host, derivation or source that is not in the file.
    Absent = 20,
    /// The new system runs and is healthy; unless somebody confirms, it reverts by itself.
    Pending = 21,
    /// An activation that was refused; nothing was changed.
    Refused = 22,
    /// The new system was not good: the previous one is back.
    Reverted = 23,
    /// The new system was not good, and the previous one could not be put back.
    RevertFailed = 24,
    /// Only a restart gets to the new system; nothing was changed.
    NeedsReboot = 25,
    /// A person switched to another system while one was pending; it was left alone.
    Intervened = 26,
}

impl ExitCode {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::Input,
        Self::WrongKind,
        Self::Damaged,
        Self::Unsupported,
        Self::Limit,
        Self::Incomplete,
        Self::Unexpected,
        Self::Untrusted,
        Self::Store,
        Self::Busy,
        Self::StoreDir,
        Self::Space,
        Self::Root,
        Self::Evaluation,
        Self::Build,
        Self::WouldBuild,
        Self::Output,
        Self::Absent,
        Self::Pending,
        Self::Refused,
        Self::Reverted,
        Self::RevertFailed,
        Self::NeedsReboot,
        Self::Intervened,
    ];

    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// What it means, for the table.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done; also when the reader of the output went away",
            Self::Failure => "an error without a code of its own",
            Self::Usage => "wrong flags or arguments",
            Self::Input => "the input cannot be opened or read",
            Self::WrongKind => "the input is neither a firn file nor an export stream",
            Self::Damaged => "the input is cut, changed, forged or malformed",
            Self::Unsupported => "the file needs a later release of firn",
            Self::Limit => "a limit on memory or size was met",
            Self::Incomplete => "the closure lacks a path",
            Self::Unexpected => "the root is not the one that --expect names",
            Self::Untrusted => "paths need a signature or a trusted user",
            Self::Store => "the store cannot be reached, or refuses",
            Self::Busy => "the store is in use",
            Self::StoreDir => "the store has another directory",
            Self::Space => "the disk is full",
            Self::Root => "the GC root cannot be made",
            Self::Evaluation => "the system does not evaluate, or is not there",
            Self::Build => "a build failed",
            Self::WouldBuild => "something would have to be built, and --no-build forbids it",
            Self::Output => "the result cannot be written",
            Self::Absent => "the host, derivation or source is not in the file",
            Self::Pending => "the new system runs and is healthy; unless somebody confirms, it reverts by itself",
            Self::Refused => "the activation was refused, nothing was changed",
            Self::Reverted => "the new system was not good, the previous one is back",
            Self::RevertFailed => "the new system was not good, and the previous one could not be put back",
            Self::NeedsReboot => "only a restart gets to the new system, nothing was changed",
            Self::Intervened => "a person switched to another system while one was pending; it was left alone",
        }
    }

    /// The table as Markdown.
    pub fn markdown() -> String {
        let mut table = String::from("| code | meaning |\n|---|---|\n");
        for code in Self::ALL {
            table.push_str(&format!("| {} | {} |\n", code.number(), code.meaning()));
        }
        table
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_numbers_from_zero_on_in_order() {
        for (i, code) in ExitCode::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.number()), i);
        }
    }
}
