//! Killed, full, read-only, locked: nothing invalid is registered, and the next run succeeds.

use crate::scene::{Folder, Nix, files, not_tested, small};
use firn_core::StoreDir;
use firn_store::direct::{DirectError, Step, StoreFolder};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

/// What `child` is to do; it does nothing when this is unset.
const CHILD: &str = "FIRN_TEST_CHILD";
const CHILD_DIR: &str = "FIRN_TEST_CHILD_DIR";

fn command(wrapper: &[&str], task: &str, dir: &Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&this),
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args).arg(&this);
            command
        }
    };
    command.args(["--exact", "faults::child", "--nocapture"]).env(CHILD, task).env(CHILD_DIR, dir);
    command
}

/// Runs in a process of its own, started by other tests.
#[test]
fn child() {
    let (Ok(task), Some(dir)) = (std::env::var(CHILD), std::env::var_os(CHILD_DIR)) else { return };
    let dir = Path::new(&dir);
    let closure = small(&StoreDir::default());
    let (task, at) = task.split_once(' ').unwrap_or((&task, "0"));
    let (at, step) = (at.parse::<usize>().unwrap(), AtomicUsize::new(0));
    let now = |_: Step<'_>| step.fetch_add(1, Ordering::Relaxed) == at;
    match task {
        "die" => {
            let die = |s: Step<'_>| {
                if now(s) {
                    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                }
            };
            closure.import_watched(dir, &die).unwrap();
        }
        "fill" => {
            let filler = dir.join("filler");
            let committing = AtomicBool::new(false);
            let result = closure.import_watched(dir, &|s| {
                if now(s) {
                    committing.store(matches!(s, Step::Registering), Ordering::Relaxed);
                    // Ends when nothing more fits, which is the aim.
                    let _ = std::io::copy(&mut std::io::repeat(0), &mut File::create(&filler).unwrap());
                }
            });
            match result {
                // The file system was filled when everything was written.
                Ok(_) => assert!(at > 3, "{at}"),
                Err(error) => {
                    assert!(matches!(error, DirectError::Full { .. }), "{at}: {error:?}");
                    // After a commit that failed nobody knows what is on the disk, so the files stay.
                    assert!(committing.into_inner() || files(&dir.join("nix/store")).is_empty());
                    let db = rusqlite::Connection::open(dir.join("nix/var/nix/db/db.sqlite")).unwrap();
                    assert!(!db.table_exists(None, "ValidPaths").unwrap());
                    drop(db);
                    std::fs::remove_file(&filler).unwrap();
                    closure.import(dir).unwrap();
                }
            }
        }
        "fit" => {
            let error = closure.import(dir).unwrap_err();
            assert!(matches!(error, DirectError::Space { .. } | DirectError::Inodes { .. }), "{error:?}");
            assert!(files(&dir.join("nix/store")).is_empty());
        }
        "read" => {
            let error = closure.import(dir).unwrap_err();
            assert!(matches!(error, DirectError::ReadOnly(_)), "{error:?}");
        }
        other => panic!("{other}"),
    }
    println!("done");
}

/// Runs a task of `child` with a small file system of its own at `dir`; `options` are those of its mount.
fn on_small_disk(task: &str, dir: &Path, options: &str) {
    let script = "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"";
    on_mount(task, dir, script, options);
}

fn on_mount(task: &str, dir: &Path, script: &str, options: &str) {
    let wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, options, dir.to_str().unwrap()];
    match Command::new("unshare").args(["--map-root-user", "--mount", "true"]).status() {
        Ok(status) if status.success() => {}
        _ => return not_tested("mount", "this user may not have a mount namespace"),
    }
    let output = command(&wrapper, task, dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("done"),
        "{task}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Every valid path is there, has the content it was registered with, and nothing else is in the store.
fn assert_whole(folder: &Folder, nix: Option<&Nix>) {
    let tables = folder.ask("select count(*) from sqlite_master where name = 'ValidPaths'");
    let valid = if tables == 0 { 0 } else { folder.ask("select count(*) from ValidPaths") };
    let all = small(&StoreDir::default()).proven.paths().len() as i64;
    assert!(valid == 0 || valid == all, "{valid} of {all} are valid");
    if valid == all {
        assert_eq!(folder.ask("select count(*) from ValidPaths where ca is null"), 0);
        let names: Vec<_> = std::fs::read_dir(folder.path().join("nix/var/nix/gcroots/firn")).unwrap().collect();
        assert_eq!(names.len(), 1, "valid, so it has a root");
    }
    if let Some(nix) = nix {
        nix.verify(folder.path());
    }
}

#[test]
fn killed_at_every_step_it_leaves_a_whole_store_and_the_next_run_succeeds() {
    let nix = Nix::find();
    let (closure, clean) = (small(&StoreDir::default()), Folder::new());
    closure.import(clean.path()).unwrap();
    let clean = files(&clean.store());
    let steps = AtomicUsize::new(0);
    closure
        .import_watched(Folder::new().path(), &|_| {
            steps.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    for step in 0..steps.into_inner() {
        let folder = Folder::new();
        let output = command(&[], &format!("die {step}"), folder.path()).output().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(9), "{step}: {output:?}");
        assert_whole(&folder, nix.as_ref());
        closure.import(folder.path()).unwrap();
        assert_whole(&folder, nix.as_ref());
        assert_eq!(files(&folder.store()), clean, "killed at step {step}");
        let roots = folder.path().join("nix/var/nix/gcroots/firn");
        assert_eq!(std::fs::read_dir(roots).unwrap().count(), 1);
    }
}

#[test]
fn a_disk_that_fills_up_at_any_step_gives_an_error_and_leaves_nothing() {
    let folder = Folder::new();
    for step in 0..12 {
        on_small_disk(&format!("fill {step}"), folder.path(), "size=4m");
    }
}

#[test]
fn a_disk_that_is_too_small_is_found_before_anything_is_written() {
    let folder = Folder::new();
    on_small_disk("fit", folder.path(), "size=256k");
    on_small_disk("fit", folder.path(), "size=4m,nr_inodes=24");
}

#[test]
fn a_read_only_store_is_said_to_be_one() {
    let folder = Folder::new();
    small(&StoreDir::default()).import(folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("nix/var/nix/db/db.sqlite")).unwrap();
    let script = "mount --bind \"$1\" \"$1\" && mount -o \"remount,bind,$0\" \"$1\" && shift && exec \"$@\"";
    on_mount("read", folder.path(), script, "ro");
}

#[test]
fn a_second_import_says_that_it_waits_and_then_finds_all_there() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    let first = StoreFolder::open(folder.path(), StoreDir::default(), &|_| ()).unwrap();
    let (says, said) = mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let open = StoreFolder::open(folder.path(), StoreDir::default(), &|step| {
                if let Step::Waiting(_) = step {
                    says.send(()).unwrap();
                }
            });
            open.unwrap().import(&closure.proven, &closure.spool, &[], &|_| ()).unwrap()
        });
        said.recv().unwrap();
        let imported = first.import(&closure.proven, &closure.spool, &[], &|_| ()).unwrap();
        drop(first);
        let second = second.join().unwrap();
        assert_eq!((imported.added, second.added), (second.present, 0));
    });
}

#[test]
fn a_live_store_is_refused_and_says_why() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    closure.import(folder.path()).unwrap();
    let state = folder.path().join("nix/var/nix");
    let before = files(folder.path());

    let nix_process = File::open(state.join("db/big-lock")).unwrap();
    flock(&nix_process, FlockOperation::NonBlockingLockShared).unwrap();
    assert!(matches!(closure.import(folder.path()), Err(DirectError::InUse(_))));
    flock(&nix_process, FlockOperation::Unlock).unwrap();

    let collector = File::open(state.join("gc.lock")).unwrap();
    flock(&collector, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(matches!(closure.import(folder.path()), Err(DirectError::Collector(_))));
    flock(&collector, FlockOperation::Unlock).unwrap();

    assert_eq!(files(folder.path()), before);
    std::fs::create_dir(state.join("daemon-socket")).unwrap();
    let daemon = UnixListener::bind(state.join("daemon-socket/socket")).unwrap();
    assert!(matches!(closure.import(folder.path()), Err(DirectError::Daemon(_))));
    drop(daemon);
    // The socket of a daemon that is no more.
    closure.import(folder.path()).unwrap();
}

#[test]
fn a_database_of_an_unknown_schema_is_not_touched() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    closure.import(folder.path()).unwrap();
    let schema = folder.path().join("nix/var/nix/db/schema");
    for version in ["9", "11", "", "10x"] {
        std::fs::write(&schema, version).unwrap();
        let before = files(folder.path());
        assert!(matches!(closure.import(folder.path()), Err(DirectError::Schema { .. })), "{version:?}");
        assert_eq!(files(folder.path()), before);
    }
}

#[test]
fn a_valid_path_registered_with_another_content_is_an_error() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    closure.import(folder.path()).unwrap();
    let wrong = format!("update ValidPaths set hash = 'sha256:{}' where id = 1", "0".repeat(64));
    folder.database().execute(&wrong, []).unwrap();
    assert!(matches!(closure.import(folder.path()), Err(DirectError::Damaged(_))));
}

#[test]
fn a_folder_that_cannot_be_one_is_refused() {
    let (closure, folder) = (small(&StoreDir::default()), Folder::new());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(closure.import(&file), Err(DirectError::NotADirectory(_))));
    assert!(matches!(closure.import(&folder.path().join("a/b")), Err(DirectError::NoParent(_))));
    closure.import(&folder.path().join("a")).unwrap();
}
