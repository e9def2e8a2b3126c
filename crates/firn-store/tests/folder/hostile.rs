//! Links that would lead out of the folder, and names that would.

use crate::scene::{Closure, Folder, files, small};
use firn_core::{Address, ClaimedPath, MemorySpool, Node, Proven, Spool, StoreDir, StorePath, address_path};
use firn_store::direct::{DirectError, Step};
use std::{os::unix::fs::symlink, sync::Once};

const PLACES: [&str; 7] =
    ["nix", "nix/store", "nix/var", "nix/var/nix", "nix/var/nix/db", "nix/var/nix/gcroots", "nix/var/nix/gcroots/firn"];

#[test]
fn a_link_in_place_of_a_directory_is_refused_and_nothing_is_written_behind_it() {
    for place in PLACES {
        let (closure, folder, outside) = (small(&StoreDir::default()), Folder::new(), Folder::new());
        let place = folder.path().join(place);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(outside.path(), &place).unwrap();
        let error = closure.import(folder.path()).unwrap_err();
        assert!(matches!(error, DirectError::NotADirectory(_)), "{}: {error}", place.display());
        assert!(files(outside.path()).is_empty(), "{}", place.display());
    }
}

#[test]
fn a_link_in_place_of_a_file_is_refused_or_replaced_and_never_followed() {
    let closure = small(&StoreDir::default());
    let target = format!("nix/store/{}", closure.root());
    for place in [
        "nix/var/nix/db/db.sqlite",
        "nix/var/nix/db/db.sqlite-wal",
        "nix/var/nix/db/big-lock",
        "nix/var/nix/gc.lock",
        "nix/var/nix/gcroots/firn/system",
        "nix/var/nix/gcroots/firn/.system.new",
        "nix/var/nix/db/schema.new",
        "nix/store/.firn-staging",
        &target,
    ] {
        let (folder, outside) = (Folder::new(), Folder::new());
        let victim = outside.path().join("victim");
        std::fs::write(&victim, "").unwrap();
        let place = folder.path().join(place);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(&victim, &place).unwrap();
        let before = files(outside.path());
        let result = closure.import(folder.path());
        let replaced = result.is_ok();
        assert_eq!(files(outside.path()), before, "{}", place.display());
        let still_there = std::fs::read_link(&place).is_ok_and(|link| link == victim);
        assert!(still_there != replaced, "{}: {result:?}", place.display());
    }
}

#[test]
fn a_staging_link_to_a_directory_is_removed_and_what_is_behind_it_stays() {
    let (closure, folder, outside) = (small(&StoreDir::default()), Folder::new(), Folder::new());
    std::fs::create_dir_all(folder.store()).unwrap();
    std::fs::write(outside.path().join("precious"), "").unwrap();
    symlink(outside.path(), folder.store().join(".firn-staging")).unwrap();
    closure.import(folder.path()).unwrap();
    assert!(outside.path().join("precious").exists());
    assert_eq!(files(outside.path()).len(), 1);
}

#[test]
fn a_directory_swapped_for_a_link_during_the_import_leads_nowhere() {
    for place in PLACES {
        for moment in [Step::Wrote(0), Step::Placed, Step::Syncing] {
            let (closure, folder, outside) = (small(&StoreDir::default()), Folder::new(), Folder::new());
            let place = folder.path().join(place);
            let swap = || {
                std::fs::rename(&place, place.with_extension("away")).unwrap();
                symlink(outside.path(), &place).unwrap();
            };
            let once = Once::new();
            let result = closure.import_watched(folder.path(), &|step| {
                if std::mem::discriminant(&step) == std::mem::discriminant(&moment) {
                    once.call_once(swap);
                }
            });
            assert!(once.is_completed());
            assert!(files(outside.path()).is_empty(), "{} {moment:?}: {result:?}", place.display());
        }
    }
}

/// A closure of one directory with one entry of this name.
fn with_entry(name: &[u8]) -> Closure {
    let mut spool = MemorySpool::new();
    let file = Node::file(spool.put(b"evil").unwrap());
    one(Node::Directory { entries: vec![(name.into(), file)] }, spool)
}

fn one(content: Node, spool: MemorySpool) -> Closure {
    let dir = StoreDir::default();
    let (digest, _) = content.nar_hash(&spool).unwrap();
    let path: StorePath = address_path(&dir, Address::Recursive, &digest, &[], b"tree").unwrap().unwrap();
    let claimed = ClaimedPath { path, references: vec![], content, deriver: None, signatures: vec![] };
    let proven = Proven::new(dir.clone(), None, vec![claimed.prove(&dir, &spool).unwrap()]).unwrap();
    Closure { proven, spool, stream: Vec::new() }
}

#[test]
fn names_that_lead_out_of_a_directory_are_refused_with_nothing_left_behind() {
    for name in [&b".."[..], b".", b"", b"../../evil", b"/evil", b"a/b", b"a\0b"] {
        let (closure, folder) = (with_entry(name), Folder::new());
        let error = closure.import(folder.path()).unwrap_err();
        assert!(matches!(error, DirectError::Entry(_)), "{error}");
        assert!(files(&folder.store()).is_empty());
        assert_eq!(folder.ask("select count(*) from sqlite_master where name = 'ValidPaths'"), 0);
    }
}

#[test]
fn names_of_roots_that_lead_out_or_are_there_twice_are_refused() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    let store = firn_store::direct::StoreFolder::open(folder.path(), StoreDir::default(), &|_| ()).unwrap();
    for name in ["..", "a/b", "", ".hidden", "a\0"] {
        let root = firn_store::direct::Root { name, path: closure.root() };
        let error = store.import(&closure.proven, &closure.spool, &[root], &|_| ()).unwrap_err();
        assert!(matches!(error, DirectError::Root(_)), "{name:?}: {error}");
    }
    let root = firn_store::direct::Root { name: "web", path: closure.root() };
    let error = store.import(&closure.proven, &closure.spool, &[root, root], &|_| ()).unwrap_err();
    assert!(matches!(error, DirectError::RootTwice(_)), "{error}");
    assert!(files(&folder.store()).is_empty());
}

#[test]
fn a_deep_tree_is_written_and_read_back() {
    let deep = (0..400).fold(Node::Directory { entries: vec![] }, |node, _| Node::Directory {
        entries: vec![(b"d".as_slice().into(), node)],
    });
    let (closure, folder) = (one(deep, MemorySpool::new()), Folder::new());
    closure.import(folder.path()).unwrap();
    let path = folder.store().join(closure.root().as_str());
    let read = firn_store::read_tree(&path, &mut MemorySpool::new()).unwrap();
    assert_eq!(read, *closure.proven.paths()[0].content());
}
