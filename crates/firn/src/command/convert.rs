//! `firn convert`: between stock streams and firn files.

use crate::{CommandError, EncodeOptions, ExitCode, Output, Session, Source, StoreTarget};
use clap::{Args, ValueEnum, ValueHint};
use firn_core::{Proven, Spool, export};
use firn_store::daemon::StoreUrl;
use serde_json::json;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Turn a stock stream into a firn file, or back.
///
/// IN is a stream of nix-store --export or several after one another, plain or compressed with gzip, xz or zstd, or a
/// firn file: told by its content, never by its name. With --base, IN decides: of a delta the whole is written, of anything
/// else that is written as a firn file a delta.
#[derive(Debug, Args)]
pub struct Convert {
    /// What to read, - for standard input
    #[arg(value_name = "IN", value_hint = ValueHint::FilePath)]
    pub input: PathBuf,
    /// What to write, - for standard output; its ending says the format
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// The format to write, whatever OUT is called
    #[arg(long, value_name = "FORMAT")]
    pub to: Option<Format>,
    /// Write a file that is decoded in 40 MB of memory
    #[arg(long)]
    pub low_memory: bool,
}

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A firn file.
    Firn,
    /// A stream of nix-store --export.
    Export,
    /// The same, gzip-compressed.
    #[value(name = "export.gz")]
    ExportGz,
    /// The same, xz-compressed.
    #[value(name = "export.xz")]
    ExportXz,
    /// The same, zstd-compressed.
    #[value(name = "export.zst")]
    ExportZst,
}

impl Format {
    /// The format that a name asks for by its ending; firn for `-`.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let endings = [
            (".firn", Self::Firn),
            (".export", Self::Export),
            (".export.gz", Self::ExportGz),
            (".export.xz", Self::ExportXz),
            (".export.zst", Self::ExportZst),
        ];
        if name == "-" {
            return Some(Self::Firn);
        }
        endings.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }
}

impl Convert {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<(), CommandError> {
        let format = self.to.or_else(|| Format::of(&self.output)).ok_or_else(|| {
            let text = format!("{} has no ending that tells a format", self.output.display());
            CommandError::new(ExitCode::Usage, text)
                .hint("end it in .firn, .export, .export.gz, .export.xz or .export.zst, or say --to FORMAT")
        })?;
        if format == Format::Firn {
            session.prime_ahead(self.low_memory);
        }
        let spool = session.spool(Some(&self.output))?;
        let mut loaded = session.load_with(&self.input, Some(spool), &session.bases(None))?;
        if format != Format::Firn {
            let bytes = write_export(format, &loaded.closure, &loaded.spool, &self.output)?;
            return self.report(&loaded.closure, bytes, session);
        }
        let is_part = Source::with_host(&self.input).1.is_some();
        let manifest = loaded.front.as_ref().map(|front| &front.header);
        let options = EncodeOptions {
            low_memory: self.low_memory,
            // That of a whole file is the host of its first system.
            host: manifest.filter(|_| !is_part).and_then(|header| header.manifest.host.clone()),
            machine_id: manifest.and_then(|header| header.manifest.machine_id.clone()),
            provenance: manifest.map(|header| header.provenance.clone()).unwrap_or_default(),
            ..session.encode_options()
        };
        let encoded = if manifest.is_some_and(|header| header.base.is_some()) {
            session.write_firn(&loaded.closure, &loaded.spool, &options, &self.output)?
        } else {
            let store = StoreTarget::Daemon(StoreUrl::Auto);
            session.write_against_base(&loaded.closure, &mut loaded.spool, &options, &store, &self.output)?
        };
        self.report(&loaded.closure, encoded.written.bytes, session)
    }

    fn report(&self, closure: &Proven, bytes: u64, session: &Session<'_>) -> Result<(), CommandError> {
        // Standard output may be the file.
        if !session.globals.json || self.output.as_os_str() == "-" {
            return Ok(());
        }
        let roots: Vec<String> = closure.roots().iter().map(|root| closure.store_dir().display(root)).collect();
        session.json(&json!({
            "version": 1,
            "root": roots.first(),
            "roots": roots,
            "paths": closure.paths().len(),
            "file_bytes": bytes,
        }))
    }
}

/// Writes a closure as an export stream, compressed as `format` says. How many bytes these were.
pub fn write_export(format: Format, closure: &Proven, spool: &dyn Spool, target: &Path) -> Result<u64, CommandError> {
    let write = || -> io::Result<u64> {
        let mut output = Output::create(target)?;
        match format {
            Format::ExportGz => {
                let mut packer = flate2::write::GzEncoder::new(&mut output, flate2::Compression::best());
                export::write(closure, spool, &mut packer)?;
                packer.finish()?;
            }
            Format::ExportXz => {
                let mut packer = liblzma::write::XzEncoder::new(&mut output, 9);
                export::write(closure, spool, &mut packer)?;
                packer.finish()?;
            }
            Format::ExportZst => {
                let mut packer = zstd::Encoder::new(&mut output, 19)?;
                packer.long_distance_matching(true)?;
                packer.include_checksum(true)?;
                export::write(closure, spool, &mut packer)?;
                packer.finish()?;
            }
            Format::Firn | Format::Export => export::write(closure, spool, &mut output)?,
        }
        output.flush()?;
        let bytes = output.written();
        output.commit()?;
        Ok(bytes)
    };
    write().map_err(|error| output_error(target, error))
}

/// An error while a result was written.
pub fn output_error(target: &Path, error: io::Error) -> CommandError {
    CommandError::new(crate::io_code(&error, ExitCode::Output), error).about(target.display())
}
