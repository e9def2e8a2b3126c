//! Stock Nix takes a folder that we wrote for one of its own.

use crate::scene::{Closure, Folder, Nix, files, real, small};
use firn_core::StoreDir;
use firn_store::direct::Imported;
use std::collections::BTreeSet;

const REAL: [&str; 2] = ["ekaos-minimal-2026-08", "nixos-19.09-web-2019-12"];

fn dump(folder: &Folder, query: &str) -> Vec<String> {
    let db = folder.database();
    let mut select = db.prepare(query).unwrap();
    let columns = select.column_count();
    let line = |row: &rusqlite::Row<'_>| {
        let value = |n| row.get::<_, rusqlite::types::Value>(n).map(|value| format!("{value:?}"));
        (0..columns).map(value).collect::<Result<Vec<_>, _>>().map(|values| values.join(" "))
    };
    select.query_map([], line).unwrap().map(Result::unwrap).collect()
}

fn count(closure: &Closure) -> u64 {
    closure.proven.paths().len() as u64
}

#[test]
fn stock_nix_verifies_queries_keeps_and_exports_what_was_imported() {
    let Some(nix) = Nix::find() else { return };
    for name in REAL {
        let (closure, folder) = (real(name), Folder::new());
        let dir = folder.path();
        let imported = closure.import(dir).unwrap();
        assert_eq!((imported.present, imported.added), (0, count(&closure)));
        let root = closure.proven.store_dir().display(closure.root());
        nix.verify(dir);
        let closure_of_root = nix.lines(dir, &["-qR", &root]);
        assert_eq!(closure_of_root.len() as u64, count(&closure));
        assert!(!nix.lines(dir, &["-q", "--outputs", &root]).is_empty());
        let plan = nix.store(dir, &["-r", "--dry-run", &root]);
        assert!(String::from_utf8_lossy(&plan.stderr).contains("will be built"), "{plan:?}");

        nix.store(dir, &["--gc"]);
        assert_eq!(nix.lines(dir, &["-qR", &root]), closure_of_root);
        nix.verify(dir);

        let mut export = vec!["--export"];
        export.extend(closure_of_root.iter().map(String::as_str));
        assert!(nix.store(dir, &export).stdout == closure.stream, "{name}: exports to another stream");

        // Without its root all of it is garbage: nothing else holds it.
        std::fs::remove_file(dir.join("nix/var/nix/gcroots/firn/system")).unwrap();
        nix.store(dir, &["--gc"]);
        assert_eq!(folder.ask("select count(*) from ValidPaths"), 0);
    }
}

#[test]
fn the_rows_and_files_are_those_of_an_import_by_nix() {
    let Some(nix) = Nix::find() else { return };
    for name in REAL {
        let (closure, ours, theirs) = (real(name), Folder::new(), Folder::new());
        closure.import(ours.path()).unwrap();
        nix.import(theirs.path(), &closure.stream);
        for query in [
            "select path, hash, deriver, narSize, ultimate, sigs from ValidPaths order by path",
            "select a.path, b.path from Refs join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference
                order by a.path, b.path",
            "select v.path, o.id, o.path from DerivationOutputs o join ValidPaths v on v.id = o.drv
                order by v.path, o.id",
            "select type, name, tbl_name from sqlite_master where name not like 'sqlite_%' order by name",
            "pragma journal_mode",
            "pragma user_version",
        ] {
            assert!(dump(&ours, query) == dump(&theirs, query), "{name}: {query}");
        }
        assert_eq!(ours.ask("select count(*) from ValidPaths where ca is null"), 0);
        assert!(files(&ours.store()) == files(&theirs.store()), "{name}: files differ");
    }
}

#[test]
fn all_shapes_of_files_are_as_nix_leaves_them() {
    let Some(nix) = Nix::find() else { return };
    let (closure, ours, theirs) = (small(&StoreDir::default()), Folder::new(), Folder::new());
    closure.import(ours.path()).unwrap();
    nix.verify(ours.path());
    let mut stream = Vec::new();
    firn_core::export::write(&closure.proven, &closure.spool, &mut stream).unwrap();
    nix.import(theirs.path(), &stream);
    assert_eq!(files(&ours.store()), files(&theirs.store()));
}

#[test]
fn a_second_import_changes_nothing() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    closure.import(folder.path()).unwrap();
    let rows = "select * from ValidPaths order by id";
    let (rows_before, files_before) = (dump(&folder, rows), files(&folder.store()));
    let imported = closure.import(folder.path()).unwrap();
    assert_eq!(imported, Imported { present: count(&closure), ..Imported::default() });
    assert_eq!(dump(&folder, rows), rows_before);
    assert_eq!(files(&folder.store()), files_before);
}

#[test]
fn the_content_addresses_that_an_import_by_nix_lost_are_filled_in() {
    let Some(nix) = Nix::find() else { return };
    let (closure, folder) = (real(REAL[0]), Folder::new());
    nix.import(folder.path(), &closure.stream);
    let missing = "select count(*) from ValidPaths where ca is null";
    assert_eq!(folder.ask(missing), closure.proven.paths().len() as i64);
    let imported = closure.import(folder.path()).unwrap();
    assert_eq!((imported.present, imported.added), (count(&closure), 0));
    assert_eq!(folder.ask(missing), 0);
    nix.verify(folder.path());
}

#[test]
fn what_lies_unregistered_where_a_path_belongs_is_replaced() {
    let (closure, folder, clean) = (small(&StoreDir::default()), Folder::new(), Folder::new());
    closure.import(clean.path()).unwrap();
    std::fs::create_dir_all(folder.store()).unwrap();
    for (n, path) in closure.proven.paths().iter().enumerate() {
        let target = folder.store().join(path.path().as_str());
        if n % 2 == 0 {
            std::fs::create_dir_all(target.join("old/older")).unwrap();
        } else {
            std::fs::write(target, "old").unwrap();
        }
    }
    std::fs::create_dir_all(folder.store().join(".firn-staging/0/rest")).unwrap();
    closure.import(folder.path()).unwrap();
    assert_eq!(files(&folder.store()), files(&clean.store()));
}

#[test]
fn a_valid_path_whose_files_are_gone_is_made_whole() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    closure.import(folder.path()).unwrap();
    let before = files(&folder.store());
    std::fs::remove_file(folder.store().join(closure.root().as_str())).unwrap();
    let imported = closure.import(folder.path()).unwrap();
    assert_eq!(imported.added, 0);
    assert_eq!(files(&folder.store()), before);
}

#[test]
fn two_closures_share_what_they_have_in_common() {
    let Some(nix) = Nix::find() else { return };
    let folder = Folder::new();
    let (first, second) = (small(&StoreDir::default()), real(REAL[0]));
    first.import(folder.path()).unwrap();
    second.import(folder.path()).unwrap();
    nix.verify(folder.path());
    let valid: BTreeSet<_> = first.proven.paths().iter().chain(second.proven.paths()).map(|p| p.path()).collect();
    assert_eq!(folder.ask("select count(*) from ValidPaths"), valid.len() as i64);
}

#[test]
fn another_store_directory_has_its_state_beside_it() {
    let Some(nix) = Nix::find() else { return };
    let folder = Folder::new();
    let closure = small(&StoreDir::new("/opt/nix/store").unwrap());
    closure.import(folder.path()).unwrap();
    let root = folder.path().join("opt/nix");
    assert!(root.join("store").join(closure.root().as_str()).exists());
    let dir = root.display();
    let remote = format!("local?real={dir}/store&state={dir}/var/nix&log={dir}/var/log");
    let verify = nix
        .command("nix-store", folder.path())
        .env("NIX_REMOTE", remote)
        .env("NIX_STORE_DIR", "/opt/nix/store")
        .args(["--verify", "--check-contents"])
        .output()
        .unwrap();
    assert!(verify.status.success() && !String::from_utf8_lossy(&verify.stderr).contains("error"), "{verify:?}");
}
