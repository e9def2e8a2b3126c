//! `firn inspect`: what is in a file.

use crate::{
    CommandError, Session,
    inspect::{
        Order, Pattern, SourceFiles, Style, Way, Ways, derivation_json, derivation_text,
        find::{NAMES, absent, fitting, text_of},
        load::{self, Sources},
    },
};
use clap::{ArgGroup, Args, ValueHint};
use firn_core::{ProvenPath, derivation::Derivation};
use serde_json::{Map, Value, json};
use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

/// Show what is in a file.
///
/// Root, host, counts, and where the bytes go. FILE may be a stream of nix-store --export too. A delta says of what it is
/// one, and shows the rest with its base: --base or --base-dir. A PATTERN is a part of a
/// name or store path, or a glob with * and ? for all of one.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("look").args(["derivation", "source", "tree", "sources"]))]
pub struct Inspect {
    /// What to read, - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Print derivations, laid out; with --json as nix derivation show, with --cat byte for byte
    #[arg(long, value_name = "PATTERN")]
    pub derivation: Option<String>,
    /// List the files of sources; with --cat print their contents
    #[arg(long, value_name = "PATTERN")]
    pub source: Option<String>,
    /// Print contents as they are
    #[arg(long, requires = "look", conflicts_with_all = ["tree", "sources"])]
    pub cat: bool,
    /// Show why a path is in the file: the shortest way to it from the root
    #[arg(long, value_name = "PATTERN")]
    pub tree: Option<String>,
    /// List every file that travels, with its size
    #[arg(long)]
    pub sources: bool,
    /// How --sources and --source sort
    #[arg(long, value_name = "ORDER", conflicts_with_all = ["derivation", "tree"])]
    pub sort: Option<Order>,
}

/// Ways that are shown to a person when a pattern fits more.
const WAYS: usize = 3;

impl Inspect {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<(), CommandError> {
        let style = Style { colour: session.globals.colours(io::stdout().is_terminal()) };
        if let Some(pattern) = &self.derivation {
            self.show_derivations(session, &Pattern::new(pattern), style)
        } else if let Some(pattern) = &self.tree {
            self.show_ways(session, &Pattern::new(pattern), style)
        } else if self.sources || self.source.is_some() {
            self.show_sources(session, self.source.as_deref().map(Pattern::new).as_ref(), style)
        } else {
            let summary = load::summary(&self.file, session)?;
            if session.globals.json {
                return session.json(&summary);
            }
            session.with_results(|out| out.write_all(summary.text(style).as_bytes()))
        }
    }

    fn show_derivations(&self, session: &Session<'_>, pattern: &Pattern, style: Style) -> Result<(), CommandError> {
        let loaded = session.load_host(&self.file, None)?;
        let (closure, spool) = (&loaded.closure, &loaded.spool);
        let store_dir = closure.store_dir();
        let all: Vec<&ProvenPath> = closure.paths().iter().filter(|p| p.is_derivation()).collect();
        let found = fitting(&all, store_dir, spool, pattern)?;
        if found.is_empty() {
            let mut error = absent("derivation", pattern, all.iter().map(|p| p.path())).about(&loaded.source);
            if closure.paths().iter().any(|p| !p.is_derivation() && pattern.fits(store_dir, p.path())) {
                error = error.hint("a source is called so: see --source");
            }
            return Err(error);
        }
        let mut map = Map::new();
        for path in found {
            let text = text_of(path, spool)?;
            let full = store_dir.display(path.path());
            let drv = Derivation::parse(&text);
            if self.cat {
                session.with_results(|out| out.write_all(&text))?;
                continue;
            }
            let Ok(drv) = drv else {
                session.sink.warn(&format!("{full} is no derivation that Nix could read; --cat shows it"));
                continue;
            };
            if drv.versioned && session.globals.json {
                session.sink.warn(&format!("{full} is a dynamic derivation: its dynamic outputs are not shown"));
            }
            if session.globals.json {
                map.insert(full, derivation_json(path.path(), &drv));
            } else {
                session.with_results(|out| out.write_all(derivation_text(&full, &drv, style).as_bytes()))?;
            }
        }
        if session.globals.json && !self.cat { session.json(&Value::Object(map)) } else { Ok(()) }
    }

    fn show_ways(&self, session: &Session<'_>, pattern: &Pattern, style: Style) -> Result<(), CommandError> {
        let loaded = session.load_host(&self.file, None)?;
        let (closure, spool) = (&loaded.closure, &loaded.spool);
        let store_dir = closure.store_dir();
        let all: Vec<&ProvenPath> = closure.paths().iter().collect();
        let mut found = fitting(&all, store_dir, spool, pattern)?;
        if found.is_empty() {
            return Err(absent("path", pattern, all.iter().map(|p| p.path())).about(&loaded.source));
        }
        // The shortest name is the one that the pattern says most of.
        found.sort_by_key(|p| (p.path().name().len(), p.path()));
        let ways = Ways::new(closure, spool);
        let shown =
            if session.globals.json || session.globals.verbose > 0 { found.len() } else { WAYS.min(found.len()) };
        let (shown, rest) = found.split_at(shown);
        let shown: Vec<Way> = shown.iter().filter_map(|p| ways.to(p.path()).transpose()).collect::<io::Result<_>>()?;
        if session.globals.json {
            let ways: Vec<Value> = shown.iter().map(|way| way.json(store_dir)).collect();
            return session.json(&json!({"version": 1, "ways": ways}));
        }
        let texts: Vec<String> = shown.iter().map(|way| way.text(store_dir, style)).collect();
        session.with_results(|out| out.write_all(texts.join("\n").as_bytes()))?;
        if !rest.is_empty() {
            let names: Vec<&str> = rest.iter().map(|p| p.path().name()).take(NAMES).collect();
            let more = if rest.len() > NAMES { ", ..." } else { "" };
            session.sink.note(&format!("{} more fit, shown with -v: {}{more}", rest.len(), names.join(", ")));
        }
        Ok(())
    }

    fn show_sources(&self, session: &Session<'_>, pattern: Option<&Pattern>, style: Style) -> Result<(), CommandError> {
        let Sources { store_dir, paths, spool, source } = load::sources(&self.file, session)?;
        let all: Vec<&ProvenPath> = paths.iter().filter(|p| !p.is_derivation()).collect();
        let mut files = match pattern {
            Some(pattern) => SourceFiles::matching(&store_dir, &all, pattern),
            None => SourceFiles::all(&store_dir, all.iter().copied()),
        };
        if let Some(pattern) = pattern
            && files.sources == 0
        {
            return Err(absent("source", pattern, all.iter().map(|p| p.path()))
                .hint("--sources lists all of them; derivations are shown by --derivation")
                .about(&source));
        }
        let by_default = if pattern.is_some() { Order::Path } else { Order::Size };
        files.sort(self.sort.unwrap_or(by_default));
        match (session.globals.json, self.cat) {
            (true, true) => session.json(&files.json_contents(&spool)?),
            (true, false) => session.json(&files.json()),
            (false, true) => session.with_results(|out| files.write_contents(&spool, out, style)),
            (false, false) => session.with_results(|out| files.write_list(&mut io::BufWriter::new(out), style)),
        }
    }
}
