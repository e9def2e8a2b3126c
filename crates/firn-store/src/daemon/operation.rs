//! Requests and their replies, typed (`worker-protocol.hh`, `daemon.cc` of Nix).

use super::{
    error::DaemonError,
    handshake::Greeting,
    log::{Events, Idle, drain},
    wire::{Framed, Input, Reader, write_number, write_text, write_texts},
};
use firn_core::{ProvenPath, Spool, StoreDir, StorePath, hash};
use std::io::{self, Write};

mod number {
    pub(super) const BUILD_PATHS: u64 = 9;
    pub(super) const ENSURE_PATH: u64 = 10;
    pub(super) const ADD_TEMP_ROOT: u64 = 11;
    pub(super) const ADD_INDIRECT_ROOT: u64 = 12;
    pub(super) const FIND_ROOTS: u64 = 14;
    pub(super) const SET_OPTIONS: u64 = 19;
    pub(super) const QUERY_PATH_INFO: u64 = 26;
    pub(super) const QUERY_VALID_PATHS: u64 = 31;
    pub(super) const ADD_TO_STORE_NAR: u64 = 39;
    pub(super) const QUERY_MISSING: u64 = 40;
    pub(super) const ADD_MULTIPLE_TO_STORE: u64 = 44;
    pub(super) const BUILD_PATHS_WITH_RESULTS: u64 = 46;
}

/// Settings of one connection. Where none is set nothing is sent and the daemon's `nix.conf` holds; the protocol has no
/// way to set one alone, so where one is, the others are as Nix has them without a `nix.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Keep the folders of failed builds.
    pub keep_failed: bool,
    /// Go on with other builds after a failure.
    pub keep_going: bool,
    /// Build where a substitution fails.
    pub fallback: bool,
    /// Messages up to this level are sent; 3 is info.
    pub verbosity: u64,
    /// Builds at the same time; else 1.
    pub max_jobs: Option<u64>,
    /// Seconds of silence after which a build is stopped; 0 for never.
    pub max_silent_time: u64,
    /// Processors for each build; 0 for all, as without it.
    pub cores: Option<u64>,
    /// Whether substituters are asked.
    pub substitute: bool,
    /// Other settings by name. From users without trust a daemon takes only a few.
    pub overrides: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_failed: false,
            keep_going: false,
            fallback: false,
            verbosity: 3,
            max_jobs: None,
            max_silent_time: 0,
            cores: None,
            substitute: true,
            overrides: Vec::new(),
        }
    }
}

/// What a store knows of a valid path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The derivation that made it.
    pub deriver: Option<StorePath>,
    /// SHA-256 of the NAR, in hexadecimal.
    pub nar_hash: String,
    /// What it refers to.
    pub references: Vec<StorePath>,
    /// Size of the NAR in bytes.
    pub nar_size: u64,
    /// Signatures, `key:base64`.
    pub signatures: Vec<String>,
    /// The `ca` field; empty for outputs.
    pub content_address: String,
}

/// What would have to be done to realise something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Derivations that would be built.
    pub build: Vec<StorePath>,
    /// Paths that would be fetched.
    pub substitute: Vec<StorePath>,
    /// Paths of which nothing is known.
    pub unknown: Vec<StorePath>,
    /// Bytes to download.
    pub download_size: u64,
    /// Bytes of the NARs of what is downloaded.
    pub nar_size: u64,
}

/// How the realisation of one thing ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildResult {
    /// What was asked for, as it was asked: `/nix/store/x.drv!out`.
    pub target: String,
    /// How it ended.
    pub status: BuildStatus,
    /// What the daemon says of a failure; the end of the log is in it.
    pub message: String,
    /// Name and path of the outputs that are there, where the daemon says them.
    pub outputs: Vec<(String, StorePath)>,
}

/// `BuildResult::Status` of Nix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of Nix say it")]
pub enum BuildStatus {
    Built,
    Substituted,
    AlreadyValid,
    PermanentFailure,
    InputRejected,
    OutputRejected,
    TransientFailure,
    CachedFailure,
    TimedOut,
    MiscFailure,
    DependencyFailed,
    LogLimitExceeded,
    NotDeterministic,
    ResolvesToAlreadyValid,
    NoSubstituters,
    Other(u64),
}

impl BuildStatus {
    /// Whether the outputs are there.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Built | Self::Substituted | Self::AlreadyValid | Self::ResolvesToAlreadyValid)
    }
}

impl From<u64> for BuildStatus {
    fn from(number: u64) -> Self {
        match number {
            0 => Self::Built,
            1 => Self::Substituted,
            2 => Self::AlreadyValid,
            3 => Self::PermanentFailure,
            4 => Self::InputRejected,
            5 => Self::OutputRejected,
            6 => Self::TransientFailure,
            7 => Self::CachedFailure,
            8 => Self::TimedOut,
            9 => Self::MiscFailure,
            10 => Self::DependencyFailed,
            11 => Self::LogLimitExceeded,
            12 => Self::NotDeterministic,
            13 => Self::ResolvesToAlreadyValid,
            14 => Self::NoSubstituters,
            other => Self::Other(other),
        }
    }
}

/// Writes requests, one after the other: replies come in the same order.
pub(crate) struct Requests<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) store_dir: &'a StoreDir,
}

impl Requests<'_> {
    fn operation(&mut self, operation: u64) -> io::Result<()> {
        write_number(self.out, operation)
    }

    fn path(&mut self, path: &StorePath) -> io::Result<()> {
        write_text(self.out, &self.store_dir.display(path))
    }

    pub(crate) fn set_options(&mut self, settings: &Settings) -> io::Result<()> {
        self.operation(number::SET_OPTIONS)?;
        let flag = u64::from;
        // Fields 7, 9 and 10 have no meaning any more; 8 is the level of build logs on the daemon's own error stream.
        let numbers = [
            flag(settings.keep_failed),
            flag(settings.keep_going),
            flag(settings.fallback),
            settings.verbosity,
            settings.max_jobs.unwrap_or(1),
            settings.max_silent_time,
            1,
            7,
            0,
            0,
            settings.cores.unwrap_or(0),
            flag(settings.substitute),
        ];
        numbers.iter().try_for_each(|number| write_number(self.out, *number))?;
        write_number(self.out, settings.overrides.len() as u64)?;
        settings.overrides.iter().try_for_each(|(name, value)| {
            write_text(self.out, name)?;
            write_text(self.out, value)
        })
    }

    pub(crate) fn query_valid_paths<'p>(
        &mut self,
        paths: impl ExactSizeIterator<Item = &'p StorePath>,
    ) -> io::Result<()> {
        self.operation(number::QUERY_VALID_PATHS)?;
        write_number(self.out, paths.len() as u64)?;
        for path in paths {
            self.path(path)?;
        }
        write_number(self.out, 0)
    }

    pub(crate) fn query_path_info(&mut self, path: &StorePath) -> io::Result<()> {
        self.operation(number::QUERY_PATH_INFO)?;
        self.path(path)
    }

    pub(crate) fn add_temp_root(&mut self, path: &StorePath) -> io::Result<()> {
        self.operation(number::ADD_TEMP_ROOT)?;
        self.path(path)
    }

    pub(crate) fn add_indirect_root(&mut self, link: &str) -> io::Result<()> {
        self.operation(number::ADD_INDIRECT_ROOT)?;
        write_text(self.out, link)
    }

    pub(crate) fn find_roots(&mut self) -> io::Result<()> {
        self.operation(number::FIND_ROOTS)
    }

    pub(crate) fn ensure_path(&mut self, path: &StorePath) -> io::Result<()> {
        self.operation(number::ENSURE_PATH)?;
        self.path(path)
    }

    pub(crate) fn query_missing(&mut self, targets: &[String]) -> io::Result<()> {
        self.operation(number::QUERY_MISSING)?;
        write_texts(self.out, targets)
    }

    /// Repairs nothing: only a trusted user may ask for it.
    pub(crate) fn repair_nothing(&mut self) -> io::Result<()> {
        const REPAIR: u64 = 1;
        self.operation(number::BUILD_PATHS)?;
        write_number(self.out, 0)?;
        write_number(self.out, REPAIR)
    }

    pub(crate) fn build_paths_with_results(&mut self, targets: &[String]) -> io::Result<()> {
        const NORMAL: u64 = 0;
        self.operation(number::BUILD_PATHS_WITH_RESULTS)?;
        write_texts(self.out, targets)?;
        write_number(self.out, NORMAL)
    }

    /// Begins AddMultipleToStore: the number of paths and then each of them ([`write_path_and_nar`]) goes into the
    /// frames.
    pub(crate) fn add_multiple_to_store(&mut self, without_signatures: bool) -> io::Result<Framed<'_>> {
        self.operation(number::ADD_MULTIPLE_TO_STORE)?;
        write_number(self.out, 0)?;
        write_number(self.out, without_signatures.into())?;
        Ok(Framed::new(self.out))
    }

    pub(crate) fn add_to_store_nar(
        &mut self,
        path: &ProvenPath,
        spool: &dyn Spool,
        without_signatures: bool,
        repair: bool,
    ) -> io::Result<()> {
        self.operation(number::ADD_TO_STORE_NAR)?;
        self.path(path.path())?;
        write_path_info(self.out, self.store_dir, path)?;
        write_number(self.out, repair.into())?;
        write_number(self.out, without_signatures.into())?;
        let mut framed = Framed::new(self.out);
        path.content().write_nar(spool, &mut framed)?;
        framed.finish()
    }
}

fn write_path_info(out: &mut dyn Write, store_dir: &StoreDir, path: &ProvenPath) -> io::Result<()> {
    write_text(out, &path.deriver().map(|deriver| store_dir.display(deriver)).unwrap_or_default())?;
    write_text(out, &hash::hex(path.nar_hash()))?;
    write_number(out, path.references().len() as u64)?;
    for reference in path.references() {
        write_text(out, &store_dir.display(reference))?;
    }
    // Registration time 0 becomes "now".
    write_number(out, 0)?;
    write_number(out, path.nar_size())?;
    const ULTIMATE: u64 = 0;
    write_number(out, ULTIMATE)?;
    write_texts(out, path.signatures())?;
    write_text(out, &path.content_address().unwrap_or_default())
}

/// One item of AddMultipleToStore.
pub(crate) fn write_path_and_nar(
    out: &mut dyn Write,
    store_dir: &StoreDir,
    path: &ProvenPath,
    spool: &dyn Spool,
) -> io::Result<()> {
    write_text(out, &store_dir.display(path.path()))?;
    write_path_info(out, store_dir, path)?;
    path.content().write_nar(spool, out)
}

/// Reads the replies to [`Requests`].
pub(crate) struct Replies<'a, I> {
    pub(crate) reader: &'a mut Reader<I>,
    pub(crate) events: Events<'a>,
    pub(crate) idle: Idle<'a>,
    pub(crate) greeting: &'a Greeting,
    pub(crate) store_dir: &'a StoreDir,
}

impl<I: Input> Replies<'_, I> {
    /// Waits for the reply: what the daemon does until then goes to the events.
    pub(crate) fn done(&mut self) -> Result<(), DaemonError> {
        drain(self.reader, self.events, self.idle)
    }

    /// A reply that is one number.
    pub(crate) fn number(&mut self) -> Result<u64, DaemonError> {
        self.done()?;
        Ok(self.reader.number()?)
    }

    pub(crate) fn paths(&mut self) -> Result<Vec<StorePath>, DaemonError> {
        self.done()?;
        Ok(self.reader.paths(self.store_dir)?)
    }

    /// Links and what they keep.
    pub(crate) fn roots(&mut self) -> Result<Vec<(String, StorePath)>, DaemonError> {
        self.done()?;
        Ok(self.reader.list(|reader| Ok((reader.text()?, reader.path(self.store_dir)?)))?)
    }

    pub(crate) fn path_info(&mut self) -> Result<Option<PathInfo>, DaemonError> {
        self.done()?;
        let reader = &mut *self.reader;
        if !reader.boolean()? {
            return Ok(None);
        }
        let deriver = reader.optional_path(self.store_dir)?;
        let nar_hash = reader.text()?;
        let references = reader.paths(self.store_dir)?;
        let _registration_time = reader.number()?;
        let nar_size = reader.number()?;
        let _ultimate = reader.boolean()?;
        let signatures = reader.texts()?;
        let content_address = reader.text()?;
        Ok(Some(PathInfo { deriver, nar_hash, references, nar_size, signatures, content_address }))
    }

    pub(crate) fn missing(&mut self) -> Result<Missing, DaemonError> {
        self.done()?;
        Ok(Missing {
            build: self.reader.paths(self.store_dir)?,
            substitute: self.reader.paths(self.store_dir)?,
            unknown: self.reader.paths(self.store_dir)?,
            download_size: self.reader.number()?,
            nar_size: self.reader.number()?,
        })
    }

    pub(crate) fn build_results(&mut self) -> Result<Vec<BuildResult>, DaemonError> {
        self.done()?;
        let with_times = self.greeting.minor >= 37;
        Ok(self.reader.list(|reader| {
            let target = reader.text()?;
            let status = reader.number()?.into();
            let message = super::log::plain(&reader.text()?);
            for _times_nondeterministic_start_stop in 0..4 {
                reader.number()?;
            }
            for _processor_user_system in 0..if with_times { 2 } else { 0 } {
                match reader.number()? {
                    0 => {}
                    1 => {
                        reader.number()?;
                    }
                    other => return Err(reader.invalid("tag of an optional value", other)),
                }
            }
            let outputs = reader.list(|reader| Ok((reader.text()?, reader.text()?)))?;
            let outputs = outputs.iter().filter_map(|(id, realisation)| built_output(id, realisation)).collect();
            Ok(BuildResult { target, status, message, outputs })
        })?)
    }
}

/// Name and path of an output, from `sha256:...!name` and the JSON of its realisation.
fn built_output(id: &str, realisation: &str) -> Option<(String, StorePath)> {
    let (_, name) = id.rsplit_once('!')?;
    let json: serde_json::Value = serde_json::from_str(realisation).ok()?;
    let path = json.get("outPath")?.as_str()?;
    // The base name; a full path was sent by some versions between 2.4 and 2.8.
    let base = path.rsplit('/').next()?;
    Some((name.to_owned(), StorePath::from_base_name(base.as_bytes()).ok()?))
}
