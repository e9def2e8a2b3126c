//! `firn import`: from a file into a store.

use crate::{CommandError, ImportRequest, Imported, Loaded, Session, StoreTarget, import::import};
use clap::{ArgGroup, Args, ValueHint};
use firn_store::daemon::StoreUrl;
use serde_json::json;
use std::path::PathBuf;

/// Bring what a file holds into a store.
///
/// Nothing is written before the whole file is proven: every path recomputed from its contents, up to the root. A GC root
/// keeps what was imported. FILE may be a stream of nix-store --export too, and FILE#HOST names one of several hosts.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("link").args(["out_link", "no_root"]))]
pub struct Import {
    /// What to read, - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where to import, and how
    #[command(flatten)]
    pub target: Target,
    /// Where the GC root goes
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub out_link: Option<PathBuf>,
    /// Make no GC root: the next collection may delete what was imported
    #[arg(long)]
    pub no_root: bool,
    /// Say what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A store to write to, and what it may get.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("place").args(["store", "root"]))]
pub struct Target {
    /// The store's URL, as Nix has it.
    #[arg(long, value_name = "URL")]
    #[arg(help = "A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]")]
    pub store: Option<String>,
    /// Write into the store below DIR directly, without Nix
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Refuse any file but the one with this root: a .drv path, or a file that holds it
    #[arg(long, value_name = "ROOT")]
    pub expect: Option<String>,
}

impl Target {
    /// The store that is meant.
    pub fn store(&self) -> Result<StoreTarget, CommandError> {
        match (&self.root, &self.store) {
            (Some(root), _) => Ok(StoreTarget::Folder(root.clone())),
            (None, Some(url)) => Ok(StoreTarget::Daemon(url.parse()?)),
            (None, None) => Ok(StoreTarget::Daemon(StoreUrl::Auto)),
        }
    }
}

impl Import {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<(), CommandError> {
        let request = ImportRequest {
            target: self.target.store()?,
            expect: self.target.expect,
            out_link: self.out_link,
            no_root: self.no_root,
            dry_run: self.dry_run,
        };
        let loaded = session.load_host(&self.file, Some(&request.target))?;
        let imported = import(&loaded, &request, session)?;
        report(&loaded, &imported, &request, session)
    }
}

fn report(
    loaded: &Loaded,
    imported: &Imported,
    request: &ImportRequest,
    session: &Session<'_>,
) -> Result<(), CommandError> {
    let closure = &loaded.closure;
    let roots: Vec<String> = closure.roots().iter().map(|root| closure.store_dir().display(root)).collect();
    if session.globals.json {
        return session.json(&json!({
            "version": 1,
            "root": roots[0],
            "roots": roots,
            "present": imported.present,
            "added": imported.added,
            "bytes": imported.bytes,
            "links": imported.links,
            "round_trips": imported.round_trips,
            "dry_run": request.dry_run,
        }));
    }
    for root in &roots {
        session.result(root)?;
    }
    let verb = if request.dry_run { "would come" } else { "came" };
    let mut text = imported.counts(verb);
    for link in &imported.links {
        text.push_str(&format!("; kept by {}", link.display()));
    }
    session.sink.note(&text);
    if request.no_root && !request.dry_run {
        session.sink.warn("no GC root was made: the next collection may delete what was imported");
    }
    Ok(())
}
