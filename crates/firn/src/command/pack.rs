//! `firn pack`: from a configuration to a file.

use crate::{
    CommandError, Session, cli,
    pack::{PackRequest, Packed, pack},
};
use clap::{Args, ValueHint};
use serde_json::json;
use std::path::PathBuf;

/// Press a system into a file.
///
/// WHAT is a flake reference (.#host), a .drv, a store path, or a link such as ./result; with --file or --attr nothing is
/// needed. Several make one file.
#[derive(Debug, Args)]
pub struct Pack {
    /// Systems to pack
    #[arg(value_name = "WHAT", required_unless_present_any = ["expression", "attr"], value_hint = ValueHint::AnyPath)]
    pub what: Vec<String>,
    /// The file to write, - for standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Evaluate this file; <nixpkgs/nixos> works too
    #[arg(id = "expression", short = 'f', long = "file", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<String>,
    /// Take this attribute of the file
    #[arg(short = 'A', long, value_name = "ATTR")]
    pub attr: Vec<String>,
    /// Read from this store: a daemon, or local?root=DIR
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Refuse to write more bytes than this
    #[arg(long, value_name = "SIZE", value_parser = cli::size)]
    pub max_size: Option<u64>,
    /// Write a file that is decoded in 40 MB of memory
    #[arg(long)]
    pub low_memory: bool,
    /// Keep the derivation here under this name, so that a later delta finds it
    #[arg(long, value_name = "NAME")]
    pub keep: Option<String>,
    /// Record the flake, its lock and its revision, without credentials
    #[arg(long)]
    pub provenance: bool,
    /// What goes through to Nix.
    #[command(flatten)]
    pub nix: NixFlags,
}

/// Flags of an evaluation, given to Nix as they are.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Given to Nix")]
pub struct NixFlags {
    /// Add to the search path
    #[arg(short = 'I', long = "include", value_name = "PATH")]
    pub include: Vec<String>,
    /// An argument of the expression
    #[arg(long, num_args = 2, value_names = ["NAME", "EXPR"])]
    pub arg: Vec<String>,
    /// An argument of the expression that is a string
    #[arg(long, num_args = 2, value_names = ["NAME", "TEXT"])]
    pub argstr: Vec<String>,
    /// Set an option of Nix
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"])]
    pub option: Vec<String>,
    /// Take another flake for an input
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"])]
    pub override_input: Vec<String>,
    /// Allow what a pure evaluation may not
    #[arg(long)]
    pub impure: bool,
    /// Fetch nothing
    #[arg(long)]
    pub offline: bool,
    /// Fetch again what was fetched
    #[arg(long)]
    pub refresh: bool,
    /// Take the settings that the flake asks for
    #[arg(long)]
    pub accept_flake_config: bool,
    /// Leave the lock file as it is
    #[arg(long)]
    pub no_write_lock_file: bool,
    /// Show where an evaluation error comes from
    #[arg(long)]
    pub show_trace: bool,
}

impl NixFlags {
    /// Arguments for `nix-instantiate` (`flakes` false) or `nix` (true), which share most spellings.
    pub fn arguments(&self, flakes: bool) -> Vec<String> {
        let mut arguments = Vec::new();
        for path in &self.include {
            arguments.extend(["-I".to_owned(), path.clone()]);
        }
        let pairs = [("--arg", &self.arg), ("--argstr", &self.argstr), ("--option", &self.option)];
        for (flag, values) in pairs.into_iter().chain(flakes.then_some(("--override-input", &self.override_input))) {
            for pair in values.chunks(2) {
                arguments.push(flag.to_owned());
                arguments.extend_from_slice(pair);
            }
        }
        let switches = [
            ("--impure", self.impure, true),
            ("--offline", self.offline, true),
            ("--refresh", self.refresh, true),
            ("--accept-flake-config", self.accept_flake_config, true),
            ("--no-write-lock-file", self.no_write_lock_file, true),
            ("--show-trace", self.show_trace, false),
        ];
        let given = switches.into_iter().filter(|(_, given, only_flakes)| *given && (flakes || !only_flakes));
        arguments.extend(given.map(|(flag, ..)| flag.to_owned()));
        arguments
    }
}

impl Pack {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<(), CommandError> {
        let request = PackRequest {
            what: self.what,
            file: self.file,
            attributes: self.attr,
            output: self.output,
            store: self.store,
            max_size: self.max_size,
            low_memory: self.low_memory,
            keep: self.keep,
            provenance: self.provenance,
            nix: self.nix,
        };
        let packed = pack(&request, session)?;
        report(&request, &packed, session)
    }
}

fn report(request: &PackRequest, packed: &Packed, session: &Session<'_>) -> Result<(), CommandError> {
    let counts = &packed.encoded.header.counts;
    let (bytes, closure_bytes) = (packed.encoded.written.bytes, packed.closure_bytes);
    let roots: Vec<String> = packed.roots.iter().map(|root| packed.store_dir.display(root)).collect();
    let text = if session.globals.json {
        let report = json!({
            "version": 1,
            "root": roots.first(),
            "roots": roots,
            "derivations": counts.derivations,
            "sources": counts.sources,
            "trusted": counts.trusted,
            "file_bytes": bytes,
            "closure_bytes": closure_bytes,
            "links": packed.links,
        });
        report.to_string()
    } else {
        let share = bytes as f64 / closure_bytes.max(1) as f64 * 100.0;
        format!(
            "{}: {} derivations, {} sources, {bytes} bytes, {share:.1} % of the closure's {closure_bytes}",
            roots.join(" "),
            counts.derivations,
            counts.sources,
        )
    };
    // Standard output may be the file.
    if request.output.as_os_str() == "-" {
        session.sink.note(&text);
        return Ok(());
    }
    session.result(text)
}
