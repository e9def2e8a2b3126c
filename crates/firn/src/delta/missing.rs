//! A base that is missing: which one, what is there instead, and what to do.

use crate::{
    CommandError, ExitCode, StoreTarget,
    import::environment,
    pack::{StorePlace, kept},
};
use firn_core::{StoreDir, StorePath};
use firn_store::daemon::StoreUrl;
use std::{fmt::Display, path::Path};

/// Files and roots that are named at most.
const MOST: usize = 6;

/// What was found while a base was looked for.
pub(super) struct Seen<'a> {
    store_dir: &'a StoreDir,
    wanted: &'a [StorePath],
    /// Files that are of something else.
    files: Vec<String>,
    places: Vec<String>,
    /// Whether a store was looked into.
    imported: bool,
}

impl<'a> Seen<'a> {
    pub(super) fn new(store_dir: &'a StoreDir, wanted: &'a [StorePath]) -> Self {
        Self { store_dir, wanted, files: Vec::new(), places: Vec::new(), imported: false }
    }

    fn list(&self, roots: &[StorePath]) -> String {
        roots.iter().map(|root| self.store_dir.display(root)).collect::<Vec<_>>().join(", ")
    }

    /// A file, or a derivation that was named, is of these.
    pub(super) fn file(&mut self, file: impl Display, roots: &[StorePath]) {
        self.files.push(format!("{file} is of {}", self.list(roots)));
    }

    /// A file is of it, as a delta of what is looked for itself.
    pub(super) fn leads_back(&mut self, file: impl Display) {
        self.files.push(format!("{file} is a delta of the same base, or of what needs it"));
    }

    /// The derivation that was named is the one, and the store has not got it.
    pub(super) fn not_valid(&mut self) {
        self.places.push("it is not valid in the store".to_owned());
    }

    /// A folder had no file of it.
    pub(super) fn folder(&mut self, folder: &Path) {
        self.places.push(format!("no file in {} is of it", folder.display()));
    }

    /// A store has not got it, or cannot be read.
    pub(super) fn store(&mut self, target: &StoreTarget) {
        // What another host has cannot be read from here: importing it would not help.
        self.imported = !matches!(target, StoreTarget::Daemon(StoreUrl::Ssh(_)));
        let place = match target {
            StoreTarget::Daemon(StoreUrl::Ssh(host)) => {
                return self.places.push(format!("the store of {} cannot be read from here", host.destination));
            }
            StoreTarget::Daemon(url) => StorePlace::at(url.clone(), self.store_dir.clone(), environment()),
            StoreTarget::Folder(root) => Ok(StorePlace::folder(root, self.store_dir.clone(), environment())),
        };
        let roots = place.map(|place| kept::all(&place)).unwrap_or_default();
        let roots = roots.iter().filter(|(_, root)| root.is_derivation());
        let roots = roots.map(|(name, root)| format!("{name} ({})", self.store_dir.display(root))).collect();
        let kept = match some(roots) {
            list if list.is_empty() => String::new(),
            list => format!(", where firn keeps {list}"),
        };
        self.places.push(format!("the store has not got it{kept}"));
    }

    /// The sentence.
    pub(super) fn error(self) -> CommandError {
        let wanted = self.list(self.wanted);
        let mut there = self.places;
        if !self.files.is_empty() {
            there.push(some(self.files));
        }
        if there.is_empty() {
            there.push("no file of it was named".to_owned());
        }
        let text = format!("it is a delta, and its base {wanted} is missing: {}", there.join("; "));
        CommandError::new(ExitCode::Incomplete, text)
            .hint(if self.imported {
                "send that base: import its file first, or hand it over with --base FILE or --base-dir DIR"
            } else {
                "hand that base over: --base FILE, or --base-dir DIR with earlier files"
            })
            .hint(
                "or send the whole file: pack it without --base, or make it where the base is: firn convert --base BASE DELTA WHOLE",
            )
    }
}

/// The first of them, and how many more there are.
fn some(mut items: Vec<String>) -> String {
    let more = items.len().saturating_sub(MOST);
    items.truncate(MOST);
    if more > 0 {
        items.push(format!("{more} more"));
    }
    items.join(", ")
}
