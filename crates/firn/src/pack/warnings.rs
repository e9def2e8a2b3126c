//! What a person should know of a pack although it is no error.

use super::what::FlakeRef;
use crate::{Encoded, event::Sink};
use firn_core::{Node, Proven, ProvenPath, StorePath};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Names in one warning.
const NAMED: usize = 5;
/// A source that costs less is not worth a word, even if it is most of the file.
const WORTH_SAYING: u64 = 1 << 20;

/// Files of Nix that Git does not track are not seen by the evaluation of a flake.
pub(super) fn untracked(flake: &FlakeRef, sink: &dyn Sink) {
    let Some(folder) = folder(&flake.flake) else { return };
    let listed = Command::new("git")
        .arg("-C")
        .arg(&folder)
        .args(["ls-files", "--others", "--exclude-standard", "-z", "--", ":/*.nix"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(listed) = listed else { return };
    let files: Vec<String> = listed
        .stdout
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    if !files.is_empty() {
        sink.warn(&format!(
            "Git does not track {} in {}: a flake does not see what is untracked; git add it if it belongs to the system",
            some(&files),
            folder.display()
        ));
    }
}

/// Folder of a flake that Nix reads through Git.
fn folder(flake: &str) -> Option<PathBuf> {
    let flake = flake.split('?').next().unwrap_or(flake);
    let path = flake.strip_prefix("git+file://").unwrap_or(flake);
    (path.starts_with(['/', '.']) && Path::new(path).is_dir()).then(|| path.into())
}

fn some(names: &[String]) -> String {
    let mut text = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}

/// Names outputs among the sources.
pub(super) fn trusted(closure: &Proven, sink: &dyn Sink) {
    for path in closure.needing_trust() {
        let signed = if path.signatures().is_empty() { "unsigned" } else { "signed" };
        sink.warn(&format!(
            "{} is an output that the evaluation itself built ({signed}): a host takes it only from root or a trusted \
             user, or with a signature it knows",
            path.path()
        ));
    }
}

/// Names derivations whose text holds a secret of some kind.
pub(super) fn secrets(closure: &Proven, found: &HashMap<StorePath, &str>, sink: &dyn Sink) {
    for path in closure.paths() {
        if let Some(kind) = found.get(path.path()) {
            sink.warn(&format!(
                "{} looks as if it held {kind}: everybody who gets the file, and every user of a host, can read it",
                path.path()
            ));
        }
    }
}

/// Names a source that is most of the file.
pub(super) fn heavy(closure: &Proven, encoded: &Encoded, sink: &dyn Sink) {
    let sources = closure.paths().iter().filter(|path| !path.is_derivation());
    let Some((cost, heaviest)) =
        sources.map(|path| (cost(path.content(), &encoded.costs), path)).max_by_key(|(cost, _)| *cost)
    else {
        return;
    };
    if cost < WORTH_SAYING || cost * 2 < encoded.written.bytes {
        return;
    }
    let referrers: Vec<&StorePath> = closure
        .paths()
        .iter()
        .filter(|path| path.path() != heaviest.path() && path.references().contains(heaviest.path()))
        .map(ProvenPath::path)
        .collect();
    sink.warn(&weight(heaviest, cost, encoded.written.bytes, &referrers));
}

/// Bytes of the file that the contents of a tree take. What two trees share is counted for the one that was packed.
fn cost(tree: &Node, costs: &[(u64, u64)]) -> u64 {
    let mut sum = 0;
    tree.walk(&mut |_, node| {
        if let Node::Regular { contents, .. } = node {
            let first = costs.partition_point(|(offset, _)| *offset < contents.offset);
            let inside = costs[first..].iter().take_while(|(offset, _)| *offset < contents.offset + contents.len);
            sum += inside.map(|(_, cost)| cost).sum::<u64>();
        }
    });
    sum
}

fn weight(heaviest: &ProvenPath, cost: u64, file: u64, referrers: &[&StorePath]) -> String {
    let names: Vec<String> = referrers.iter().map(|path| path.name().to_owned()).collect();
    let (files, _) = heaviest.content().file_count();
    let registry = names.iter().any(|name| name.ends_with("registry.json.drv"));
    let cure = if registry {
        "nix.registry refers to it; nixpkgs.flake.setFlakeRegistry = false and nixpkgs.flake.setNixPath = false leave it \
         out, or another nix.registry"
    } else {
        "a filter (lib.fileset, builtins.path) or a fetcher leaves out what is not needed of it"
    };
    let wanted = if names.is_empty() { "nothing".to_owned() } else { some(&names) };
    format!(
        "{} ({files} files, {} bytes) is most of the file: about {cost} of {file} bytes; wanted by {wanted}; {cure}",
        heaviest.path(),
        heaviest.nar_size()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Sink for Heard {
        fn event(&self, event: Event<'_>) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }

    #[test]
    fn a_tree_costs_what_its_pieces_cost() {
        let file = |offset, len| Node::file(firn_core::Blob { offset, len });
        let costs = [(0, 1), (10, 20), (15, 300), (20, 4000)];
        let tree = Node::Directory {
            entries: vec![(b"a".as_slice().into(), file(10, 10)), (b"b".as_slice().into(), file(12, 0))],
        };
        assert_eq!(cost(&tree, &costs), 320);
    }

    #[test]
    fn only_flakes_that_nix_reads_through_git_are_looked_at() {
        assert_eq!(folder("."), Some(".".into()));
        assert_eq!(folder("git+file:///?dir=a"), Some("/".into()));
        for other in ["path:/", "github:a/b", "nixpkgs", "./absent"] {
            assert_eq!(folder(other), None, "{other}");
        }
    }

    #[test]
    fn an_untracked_file_is_named_and_a_tracked_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            assert!(Command::new("git").arg("-C").arg(dir.path()).args(arguments).status().unwrap().success());
        };
        git(&["init", "-q"]);
        for name in ["flake.nix", "forgotten.nix", "notes.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        git(&["add", "flake.nix"]);
        let heard = Heard::default();
        let flake = FlakeRef { flake: dir.path().to_str().unwrap().to_owned(), fragment: None };
        untracked(&flake, &heard);
        let said = heard.0.into_inner().unwrap();
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("Git does not track forgotten.nix in"), "{}", said[0]);
    }
}
