//! `firn pack`: from a configuration to a file.

use crate::{
    CommandError, Session, cli,
    inspect::text::number_of,
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
    /// Write a delta against what pack --keep NAME kept here last
    #[arg(long, value_name = "NAME", conflicts_with_all = ["base", "base_host"])]
    pub base_name: Option<String>,
    /// Write a delta against what this host runs: it is asked over ssh, and its .drv must be in this store
    #[arg(long, value_name = "[USER@]HOST", conflicts_with = "base")]
    pub base_host: Option<String>,
    /// The file is for the machine with this /etc/machine-id: firn switch refuses it on another
    #[arg(long, value_name = "ID", value_parser = machine_id)]
    pub machine_id: Option<String>,
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
    /// Arguments for `nix-instantiate` (`flakes` false) or `nix` (true). What the old command knows only as settings is
    /// given as settings, before those of the person so that the person's hold (Nix: `initNix` and `main.cc`).
    pub fn arguments(&self, flakes: bool) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        // An expression is evaluated impurely anyhow.
        let switches: [(bool, &str, &[&str]); 4] = [
            (self.impure, "--impure", &[]),
            (self.offline, "--offline", &OFFLINE),
            (self.refresh, "--refresh", &REFRESH),
            (self.accept_flake_config, "--accept-flake-config", &["--option", "accept-flake-config", "true"]),
        ];
        for (_, switch, settings) in switches.into_iter().filter(|(given, ..)| *given) {
            if flakes { add(&[switch]) } else { add(settings) }
        }
        if self.show_trace {
            add(&["--show-trace"]);
        }
        if flakes && self.no_write_lock_file {
            add(&["--no-write-lock-file"]);
        }
        self.include.iter().for_each(|path| add(&["-I", path]));
        let pairs = [("--arg", &self.arg), ("--argstr", &self.argstr), ("--option", &self.option)];
        for (flag, values) in pairs.into_iter().chain(flakes.then_some(("--override-input", &self.override_input))) {
            values.chunks_exact(2).for_each(|pair| add(&[flag, &pair[0], &pair[1]]));
        }
        arguments
    }

    /// A given flag that a flake does not take.
    pub(crate) fn only_for_expressions(&self) -> Option<&'static str> {
        let argstr = (!self.argstr.is_empty()).then_some("--argstr");
        if self.arg.is_empty() { argstr } else { Some("--arg") }
    }

    /// A given flag that says nothing unless a flake is packed.
    pub(crate) fn only_for_flakes(&self) -> Option<&'static str> {
        let lock = self.no_write_lock_file.then_some("--no-write-lock-file");
        if self.override_input.is_empty() { lock } else { Some("--override-input") }
    }
}

/// What `--offline` of `nix` sets (Nix: `main.cc`).
const OFFLINE: [&str; 12] = [
    "--option",
    "substitute",
    "false",
    "--option",
    "tarball-ttl",
    "4294967295",
    "--option",
    "download-attempts",
    "0",
    "--option",
    "connect-timeout",
    "1",
];
/// What `--refresh` of `nix` sets.
const REFRESH: [&str; 9] = [
    "--option",
    "tarball-ttl",
    "0",
    "--option",
    "narinfo-cache-negative-ttl",
    "0",
    "--option",
    "narinfo-cache-positive-ttl",
    "0",
];

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
            base_name: self.base_name,
            base_host: self.base_host,
            machine_id: self.machine_id,
            provenance: self.provenance,
            nix: self.nix,
        };
        let packed = pack(&request, session)?;
        report(&request, &packed, session)
    }
}

/// machine-id(5): 32 hexadecimal digits, which some tools show as a UUID.
fn machine_id(text: &str) -> Result<String, String> {
    let id: String = text.trim().chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(id);
    }
    Err("a machine id is 32 hexadecimal digits: see /etc/machine-id of the host".to_owned())
}

fn report(request: &PackRequest, packed: &Packed, session: &Session<'_>) -> Result<(), CommandError> {
    let counts = &packed.encoded.header.counts;
    let (bytes, closure_bytes) = (packed.encoded.written.bytes, packed.closure_bytes);
    let roots: Vec<String> = packed.roots.iter().map(|root| packed.store_dir.display(root)).collect();
    let base = packed.encoded.header.base.iter().flat_map(|base| &base.roots);
    let base: Vec<String> = base.map(|root| packed.store_dir.display(root)).collect();
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
            "base": base,
        });
        report.to_string()
    } else {
        let delta = if base.is_empty() { String::new() } else { format!(", a delta of {}", base.join(" ")) };
        let share = bytes as f64 / closure_bytes.max(1) as f64 * 100.0;
        format!(
            "{}: {}, {}, {bytes} bytes, {share:.1} % of the closure's {closure_bytes}{delta}",
            roots.join(" "),
            number_of(counts.derivations, "derivation"),
            number_of(counts.sources, "source"),
        )
    };
    // Standard output may be the file.
    if request.output.as_os_str() == "-" {
        session.sink.note(&text);
        return Ok(());
    }
    session.result(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_as_etc_machine_id_has_it() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(machine_id(id).as_deref(), Ok(id));
        assert_eq!(machine_id("01234567-89AB-CDEF-0123-456789abcdef").as_deref(), Ok(id));
        assert!(machine_id("web").is_err() && machine_id(&id[1..]).is_err());
    }

    #[test]
    fn an_expression_gets_as_settings_what_its_command_does_not_know() {
        let pair = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let flags = NixFlags {
            include: vec!["nixos-config=x.nix".into()],
            argstr: pair("name", "a b"),
            option: pair("tarball-ttl", "7"),
            override_input: pair("nixpkgs", "path:/x"),
            impure: true,
            offline: true,
            show_trace: true,
            ..NixFlags::default()
        };
        let shared = "--show-trace -I nixos-config=x.nix --argstr name a b --option tarball-ttl 7";
        let offline = OFFLINE.join(" ");
        assert_eq!(flags.arguments(false).join(" "), format!("{offline} {shared}"));
        let flake = format!("--impure --offline {shared} --override-input nixpkgs path:/x");
        assert_eq!(flags.arguments(true).join(" "), flake);
        assert_eq!(flags.only_for_flakes(), Some("--override-input"));
        assert_eq!(flags.only_for_expressions(), Some("--argstr"));
        let none = NixFlags::default();
        assert_eq!((none.only_for_flakes(), none.only_for_expressions()), (None, None));
    }
}
