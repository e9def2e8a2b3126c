//! Closures and trees read back from a store folder.

use crate::scene::{Folder, Nix, real, small};
use firn_core::{MemorySpool, StoreDir};
use firn_store::{
    database::{Database, DatabaseError},
    read_tree,
};

#[test]
fn a_closure_is_read_back_as_it_was_imported() {
    for closure in [small(&StoreDir::default()), real("ekaos-minimal-2026-08")] {
        let folder = Folder::new();
        closure.import(folder.path()).unwrap();
        let db = Database::open(&folder.path().join("nix/var/nix"), StoreDir::default()).unwrap();
        let read = db.closure(closure.proven.roots()).unwrap();
        assert_eq!(read.len(), closure.proven.paths().len());
        assert!(read.is_sorted_by(|a, b| a.path < b.path));
        for path in closure.proven.paths() {
            let found = &read[read.binary_search_by(|p| p.path.cmp(path.path())).unwrap()];
            assert_eq!(found.references, path.references());
            assert_eq!((found.nar_hash, found.nar_size), (*path.nar_hash(), path.nar_size()));
            assert_eq!(found.content_address, path.content_address());
            assert_eq!(db.info(path.path()).unwrap().as_ref(), Some(found));
            let mut spool = MemorySpool::new();
            let node = read_tree(&folder.store().join(path.path().as_str()), &mut spool).unwrap();
            assert_eq!(node.nar_hash(&spool).unwrap(), (*path.nar_hash(), path.nar_size()));
        }
    }
}

#[test]
fn the_derivers_of_an_output_are_found_and_an_absent_path_is_said_to_be() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    closure.import(folder.path()).unwrap();
    let db = Database::open(&folder.path().join("nix/var/nix"), StoreDir::default()).unwrap();
    let output = folder.database().query_row("select path from DerivationOutputs", [], |row| row.get::<_, String>(0));
    let output = StoreDir::default().parse(output.unwrap().as_bytes()).unwrap();
    assert_eq!(db.derivers(&output).unwrap(), [closure.root().clone()]);
    assert!(!db.is_valid(&output).unwrap());
    assert!(db.info(&output).unwrap().is_none());
    assert!(matches!(db.closure(&[output]), Err(DatabaseError::NotValid(_))));
    assert!(db.is_valid(closure.root()).unwrap());
}

#[test]
fn a_database_is_read_while_nix_has_it_open_and_after_it_closed_it() {
    let Some(nix) = Nix::find() else { return };
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    closure.import(folder.path()).unwrap();
    nix.verify(folder.path());
    let state = folder.path().join("nix/var/nix");
    let read =
        |state: &std::path::Path| Database::open(state, StoreDir::default()).unwrap().closure(closure.proven.roots());
    let writer = folder.database();
    writer.execute_batch("pragma journal_mode = wal; update ValidPaths set registrationTime = 1").unwrap();
    assert_eq!(read(&state).unwrap().len(), closure.proven.paths().len());
    drop(writer);
    assert_eq!(read(&state).unwrap().len(), closure.proven.paths().len());
}

#[test]
fn a_pipe_in_a_tree_is_refused_and_not_opened() {
    let folder = Folder::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert!(matches!(read_tree(folder.path(), &mut MemorySpool::new()), Err(firn_store::TreeError::Kind(_))));
}
