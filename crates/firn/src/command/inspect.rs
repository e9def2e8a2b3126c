//! `firn inspect`: what is in a file.

use crate::{
    About, CommandError, Content, DecodeError, ExitCode, FileSpool, Input, Session, Source,
    decode::decode_sources,
    encode::{EncodeOptions, manifest},
    inspect::{Order, Pattern, SourceFiles, Style, Summary, Way, Ways, derivation_json, derivation_text},
    read_export,
};
use clap::{ArgGroup, Args, ValueHint};
use firn_core::{
    Node, Proven, ProvenPath, Spool, StoreDir, StorePath,
    codec::DICTIONARIES,
    derivation::Derivation,
    format::{FileReader, FormatError, FrameHeader, Front, IndexReader, Limits, PackedFrame, Section},
    recipe::{RecipeLimits, SourceList},
};
use serde_json::{Map, Value, json};
use std::{
    io::{self, IsTerminal, Read},
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
/// Names that a message lists.
const NAMES: usize = 6;

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
            let summary = self.summary(session)?;
            if session.globals.json {
                return session.json(&summary);
            }
            session.with_results(|out| out.write_all(summary.text(style).as_bytes()))
        }
    }

    fn summary(&self, session: &Session<'_>) -> Result<Summary, CommandError> {
        let (source, host) = Source::with_host(&self.file);
        if host.is_some() {
            let loaded = session.load_host(&self.file, None)?;
            let bytes = loaded.front.as_ref().map_or(0, |front| front.frames_end() + 1);
            return closure_summary(&loaded.closure, &loaded.spool, bytes);
        }
        let input = session.open(source)?;
        if input.content() == Content::Firn {
            let source = input.source().clone();
            if session.globals.base.is_empty() && session.globals.base_dir.is_none() {
                return front_summary(input).about(source);
            }
            return whole_summary(input, session);
        }
        let position = input.position();
        let mut spool = session.spool(None)?;
        let closure = read_export(input, &mut spool, session.threads(), session.sink)?;
        closure_summary(&closure, &spool, position.get())
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
        let Sources { store_dir, paths, spool, source } = self.load_sources(session)?;
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

    /// Sources of a firn file are read without its derivations.
    fn load_sources(&self, session: &Session<'_>) -> Result<Sources, CommandError> {
        let (source, host) = Source::with_host(&self.file);
        if host.is_none() {
            let input = session.open(source)?;
            let (source, mut spool) = (input.source().clone(), session.spool(None)?);
            if input.content() == Content::Firn {
                let options = session.decode_options();
                let reader = FileReader::new(input, options.limits.clone()).about(&source)?;
                if reader.front().header.base.is_none() {
                    let decoded = decode_sources(reader, &mut spool, DICTIONARIES, &options, session.sink);
                    let (front, paths) = decoded.about(&source)?;
                    return Ok(Sources { store_dir: front.header.store_dir, paths, spool, source });
                }
                let (closure, _) = session.read_firn(reader, &source, &mut spool, &session.bases(None), 0)?;
                let (store_dir, paths) = (closure.store_dir().clone(), closure.paths().to_vec());
                return Ok(Sources { store_dir, paths, spool, source });
            }
            let closure = read_export(input, &mut spool, session.threads(), session.sink)?;
            return Ok(Sources {
                store_dir: closure.store_dir().clone(),
                paths: closure.paths().to_vec(),
                spool,
                source,
            });
        }
        let loaded = session.load_host(&self.file, None)?;
        let (store_dir, paths) = (loaded.closure.store_dir().clone(), loaded.closure.paths().to_vec());
        Ok(Sources { store_dir, paths, spool: loaded.spool, source: loaded.source })
    }
}

/// Paths of a file, and where their contents are.
struct Sources {
    store_dir: StoreDir,
    paths: Vec<ProvenPath>,
    spool: FileSpool,
    source: Source,
}

fn closure_summary(closure: &Proven, spool: &dyn Spool, bytes: u64) -> Result<Summary, CommandError> {
    let manifest = manifest(closure, spool, &EncodeOptions::default())?;
    Ok(Summary::of_closure(closure, spool, &manifest, bytes)?)
}

/// As [`front_summary`], of a file that may be a delta whose base was named: with it everything is known.
fn whole_summary(input: Input, session: &Session<'_>) -> Result<Summary, CommandError> {
    let (source, size) = (input.source().clone(), input.size().filter(|_| input.compression().is_none()));
    let limits = session.decode_options().limits;
    let reader = FileReader::new(input, limits.clone()).about(&source)?;
    let mut front = reader.front().clone();
    let trusted = if front.header.base.is_none() {
        trusted(&front, reader, &limits).about(&source)?
    } else {
        let mut spool = session.spool(None)?;
        let (closure, completed) = session.read_firn(reader, &source, &mut spool, &session.bases(None), 0)?;
        front = completed;
        closure.needing_trust().map(|path| path.path().clone()).collect()
    };
    Ok(Summary::of_front(&front, &trusted, size.unwrap_or_else(|| front.frames_end() + 1)))
}

/// Reads the front of a firn file, and no more, unless there are paths that need trust: their names are in a section.
pub(crate) fn front_summary(input: Input) -> Result<Summary, CommandError> {
    // A file that takes more memory than there is may still be looked at.
    let limits = Limits { memory_bytes: u64::MAX, ..Limits::default() };
    let plain = input.compression().is_none();
    let size = input.size().filter(|_| plain);
    let seekable = size.is_some() && matches!(input.source(), Source::File(_));
    let (front, trusted) = match seekable.then(|| input.source().clone()) {
        Some(source) => {
            let file =
                input.into_file().ok_or_else(|| CommandError::new(ExitCode::Input, "cannot go back").about(source))?;
            let mut reader = IndexReader::new(file, &limits)?;
            let front = reader.front().clone();
            let frames = (0..front.frames.len()).filter_map(|number| reader.frame(number).transpose());
            let trusted = trusted(&front, frames, &limits)?;
            (front, trusted)
        }
        None => {
            let reader = FileReader::new(input, limits.clone())?;
            let front = reader.front().clone();
            let trusted = trusted(&front, reader, &limits)?;
            (front, trusted)
        }
    };
    // From a pipe the length is that of a file without anything in its tail, as this release writes them.
    let bytes = size.unwrap_or_else(|| front.frames_end() + 1);
    Ok(Summary::of_front(&front, &trusted, bytes))
}

/// Paths that need trust, from the first section; no frame is asked for when the header counts none.
fn trusted(
    front: &Front,
    frames: impl Iterator<Item = Result<PackedFrame, FormatError>>,
    limits: &Limits,
) -> Result<Vec<StorePath>, CommandError> {
    let counts = front.header.counts;
    let in_names = |header: &FrameHeader| header.section == Section::SourceNames;
    let number = front.frames.iter().filter_map(|f| f.known).filter(in_names).count();
    // A delta's are known with its base.
    if counts.trusted == 0 || number == 0 || front.header.base.is_some() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for frame in frames.take(number) {
        let frame = frame?;
        frame.unpack(limits, DICTIONARIES)?.read_to_end(&mut names)?;
    }
    let limits = RecipeLimits { paths: counts.sources, ..RecipeLimits::default() };
    let in_names = |source| DecodeError::Recipe { section: Section::SourceNames, source };
    let list = SourceList::read(&mut names.as_slice(), &mut io::empty(), 0, &limits).map_err(in_names)?;
    list.needing_trust().map_err(|error| in_names(error.into()).into())
}

/// Paths that a pattern fits; if it fits none, the derivations of outputs that it fits.
fn fitting<'a>(
    paths: &[&'a ProvenPath],
    store_dir: &StoreDir,
    spool: &dyn Spool,
    pattern: &Pattern,
) -> Result<Vec<&'a ProvenPath>, CommandError> {
    let found: Vec<&ProvenPath> = paths.iter().copied().filter(|p| pattern.fits(store_dir, p.path())).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut found = Vec::new();
    for path in paths.iter().copied().filter(|p| p.is_derivation()) {
        let drv = Derivation::parse(&text_of(path, spool)?).unwrap_or_default();
        let outputs = drv.outputs.iter().filter_map(|o| store_dir.parse(&o.path).ok());
        if outputs.into_iter().any(|output| pattern.fits(store_dir, &output)) {
            found.push(path);
        }
    }
    Ok(found)
}

fn text_of(path: &ProvenPath, spool: &dyn Spool) -> io::Result<Vec<u8>> {
    match path.content() {
        Node::Regular { contents, .. } => spool.get(*contents),
        _ => Ok(Vec::new()),
    }
}

/// Nothing fits: says what nearly does.
fn absent<'a>(what: &str, pattern: &Pattern, paths: impl Iterator<Item = &'a StorePath>) -> CommandError {
    let error = CommandError::new(ExitCode::Absent, format!("no {what} fits {:?}", pattern.as_str()));
    let mut near: Vec<&str> = paths.map(StorePath::name).filter(|name| pattern.nearly_fits(name)).collect();
    near.sort_by_key(|name| (name.len(), *name));
    near.dedup();
    if near.is_empty() {
        return error.hint("a pattern is a part of a name or store path, or a glob with * and ? for all of one");
    }
    let more = if near.len() > NAMES { ", ..." } else { "" };
    near.truncate(NAMES);
    error.hint(format!("these are near it: {}{more}", near.join(", ")))
}
