//! Whole sessions with a daemon of our own that can be told to fail.

use super::{
    handshake::Trust,
    wire::{Reader, write_number, write_text},
    *,
};
use crate::{
    Environment,
    root::{RootError, RootPlace, RootRequest},
};
use firn_core::{ClaimedPath, MemorySpool, Node, Proven, Spool, StoreDir, StorePath, address_path, hash};
use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
};

const LAST: u64 = 0x616c_7473;
const ERROR: u64 = 0x6378_7470;

/// What goes wrong.
#[derive(Clone, PartialEq)]
enum Fault {
    None,
    /// Another importer adds the first path after the query, and the daemon loses step at it as Nix 2.8 does.
    Race,
    /// This path is never taken.
    Refuses(String),
    /// The line ends after so many paths.
    DiesAfter(usize),
    /// The store is another one.
    OtherStore,
    /// No link is ever seen.
    SeesNoRoot,
    /// It says nothing after the greeting.
    Hangs,
}

#[derive(Default)]
struct Store {
    valid: BTreeMap<String, Valid>,
    temporary_roots: Vec<String>,
    links: Vec<String>,
    operations: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Valid {
    references: Vec<String>,
    content_address: String,
    without_signatures: bool,
}

struct Fake {
    dir: tempfile::TempDir,
    store: Arc<Mutex<Store>>,
}

impl wire::Input for UnixStream {
    fn wait(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// The inside of frames.
struct Unframed<'a> {
    reader: &'a mut Reader<UnixStream>,
    left: u64,
    ended: bool,
}

impl Read for Unframed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.left = self.reader.number().map_err(io::Error::other)?;
            self.ended = self.left == 0;
        }
        let n = (buf.len() as u64).min(self.left) as usize;
        self.reader.exact(&mut buf[..n]).map_err(io::Error::other)?;
        self.left -= n as u64;
        Ok(n)
    }
}

impl wire::Input for &mut Unframed<'_> {
    fn wait(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Fake {
    fn start(minor: u64, trust: u64, fault: Fault) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let store = Arc::new(Mutex::new(Store::default()));
        let shared = Arc::clone(&store);
        thread::spawn(move || {
            let mut fault = fault;
            for stream in listener.incoming() {
                // A client that goes away is no failure of the test.
                drop(serve(stream.unwrap(), minor, trust, &mut fault, &shared));
            }
        });
        Self { dir, store }
    }

    fn session(&self, store_dir: &StoreDir, roots: Vec<RootRequest>) -> Session {
        let environment = Environment { uid: 1000, ..Environment::default() };
        let options = SessionOptions { roots, ..SessionOptions::default() };
        Session::open(&StoreUrl::Socket(self.dir.path().join("socket")), &environment, store_dir, options).unwrap()
    }

    fn link(&self) -> PathBuf {
        self.dir.path().join("links/web")
    }
}

fn serve(
    stream: UnixStream,
    minor: u64,
    trust: u64,
    fault: &mut Fault,
    store: &Mutex<Store>,
) -> Result<(), DaemonError> {
    let mut out = stream.try_clone()?;
    let mut reader = Reader::new(stream);
    for expected in [0x6e69_7863, 0x125, 0, 0] {
        assert_eq!(reader.number()?, expected);
    }
    write_number(&mut out, 0x6478_696f)?;
    write_number(&mut out, 0x100 | minor)?;
    write_text(&mut out, "9.9")?;
    if minor >= 35 {
        write_number(&mut out, trust)?;
    }
    write_number(&mut out, LAST)?;
    let error = |out: &mut UnixStream, message: &str| {
        let mut bytes = Vec::new();
        write_number(&mut bytes, ERROR)?;
        write_text(&mut bytes, "Error")?;
        write_number(&mut bytes, 0)?;
        write_text(&mut bytes, "Error")?;
        write_text(&mut bytes, &format!("\x1b[31;1merror:\x1b[0m {message}"))?;
        write_number(&mut bytes, 0)?;
        write_number(&mut bytes, 0)?;
        out.write_all(&bytes)
    };
    loop {
        reader.begin();
        let operation = reader.number()?;
        store.lock().unwrap().operations.push(operation);
        if *fault == Fault::Hangs {
            drop(reader.skip_rest());
            return Ok(());
        }
        match operation {
            9 => {
                assert_eq!((reader.number()?, reader.number()?), (0, 1));
                if trust != 1 {
                    error(&mut out, "repairing is not allowed because you are not in 'trusted-users'")?;
                    return Ok(());
                }
                write_number(&mut out, LAST)?;
                write_number(&mut out, 1)?;
            }
            11 | 12 => {
                let text = reader.text()?;
                let mut store = store.lock().unwrap();
                if operation == 11 {
                    store.temporary_roots.push(text)
                } else {
                    store.links.push(text)
                }
                write_number(&mut out, LAST)?;
                write_number(&mut out, 1)?;
            }
            14 => {
                write_number(&mut out, LAST)?;
                let links = if *fault == Fault::SeesNoRoot { vec![] } else { store.lock().unwrap().links.clone() };
                write_number(&mut out, links.len() as u64)?;
                for link in links {
                    write_text(&mut out, &link)?;
                    write_text(&mut out, std::fs::read_link(&link)?.to_str().unwrap())?;
                }
            }
            19 => {
                for _ in 0..12 {
                    reader.number()?;
                }
                assert_eq!(reader.number()?, 0);
                write_number(&mut out, LAST)?;
            }
            31 => {
                let paths = reader.texts()?;
                assert_eq!(reader.number()?, 0);
                if *fault == Fault::OtherStore {
                    error(&mut out, &format!("path '{}' is not in the Nix store", paths[0]))?;
                    return Ok(());
                }
                write_number(&mut out, LAST)?;
                let mut store = store.lock().unwrap();
                let valid: Vec<&String> = paths.iter().filter(|path| store.valid.contains_key(*path)).collect();
                wire::write_texts(&mut out, &valid)?;
                if *fault == Fault::Race {
                    let valid = Valid { references: vec![], content_address: String::new(), without_signatures: false };
                    store.valid.insert(paths[0].clone(), valid);
                }
            }
            39 => {
                let path = reader.text()?;
                let (info, _) = read_info(&mut reader)?;
                let (_, without_signatures) = (reader.number()?, reader.boolean()?);
                let mut nar = Unframed { reader: &mut reader, left: 0, ended: false };
                Node::read_nar(&mut nar, &mut MemorySpool::new()).unwrap();
                io::copy(&mut nar, &mut io::sink())?;
                let refused = *fault == Fault::Refuses(path.clone());
                let store = &mut store.lock().unwrap().valid;
                if refused || info.references.iter().any(|r| *r != path && !store.contains_key(r)) {
                    error(&mut out, &format!("cannot add {path}"))?;
                } else {
                    store.insert(path, Valid { without_signatures, ..info });
                    write_number(&mut out, LAST)?;
                }
            }
            44 => {
                let (_, without_signatures) = (reader.number()?, reader.boolean()?);
                let mut inside = Unframed { reader: &mut reader, left: 0, ended: false };
                let failure = read_paths(&mut inside, without_signatures, fault, store);
                if failure == Err("dies".to_owned()) {
                    return Ok(());
                }
                while !inside.ended {
                    io::copy(&mut inside, &mut io::sink())?;
                }
                match failure {
                    Ok(()) => write_number(&mut out, LAST)?,
                    Err(message) => error(&mut out, &message)?,
                }
            }
            other => panic!("operation {other}"),
        }
    }
}

fn read_info<I: wire::Input>(reader: &mut Reader<I>) -> Result<(Valid, u64), WireError> {
    let (_deriver, nar_hash) = (reader.text()?, reader.text()?);
    assert_eq!(nar_hash.len(), 64);
    let references = reader.texts()?;
    let (_time, nar_size, _ultimate) = (reader.number()?, reader.number()?, reader.number()?);
    let (_signatures, content_address) = (reader.texts()?, reader.text()?);
    Ok((Valid { references, content_address, without_signatures: false }, nar_size))
}

fn read_paths(
    inside: &mut Unframed<'_>,
    without_signatures: bool,
    fault: &mut Fault,
    store: &Mutex<Store>,
) -> Result<(), String> {
    let text = |error: &dyn Error| error.to_string();
    let mut reader = Reader::new(inside);
    let count = reader.number().map_err(|e| text(&e))?;
    for done in 0..count as usize {
        if *fault == Fault::DiesAfter(done) {
            return Err("dies".to_owned());
        }
        reader.begin();
        let path = reader.text().map_err(|e| text(&e))?;
        let (info, nar_size) = read_info(&mut reader).map_err(|e| text(&e))?;
        let mut nar = vec![0; nar_size as usize];
        reader.exact(&mut nar).map_err(|e| text(&e))?;
        let mut store = store.lock().unwrap();
        if store.valid.contains_key(&path) {
            *fault = Fault::None;
            return Err("not an absolute path: 'nix-archive-1'".to_owned());
        }
        if *fault == Fault::Refuses(path.clone()) {
            return Err("no".to_owned());
        }
        if info.references.iter().any(|r| *r != path && !store.valid.contains_key(r)) {
            return Err(format!("a reference of {path} is not valid"));
        }
        store.valid.insert(path, Valid { without_signatures, ..info });
    }
    Ok(())
}

/// `count` texts, each referring to the one before it, and an output if `output`.
fn closure(count: usize, output: bool) -> (Proven, MemorySpool) {
    let store_dir = StoreDir::default();
    let mut spool = MemorySpool::new();
    let mut paths = Vec::new();
    let mut references: Vec<StorePath> = Vec::new();
    for i in 0..count {
        let text = format!("text {i}{}", "x".repeat(i * 100 % 5000));
        let digest = hash::sha256(text.as_bytes());
        let path = address_path(&store_dir, firn_core::Address::Text, &digest, &references, format!("t{i}").as_bytes());
        let path = path.unwrap().unwrap();
        let content = Node::file(spool.put(text.as_bytes()).unwrap());
        let before = std::mem::replace(&mut references, vec![path.clone()]);
        paths.push(ClaimedPath { path, references: before, content, deriver: None, signatures: vec![] });
    }
    if output {
        let path = StorePath::from_base_name(b"7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-out").unwrap();
        let content = Node::file(spool.put(b"built").unwrap());
        paths.push(ClaimedPath { path, references, content, deriver: None, signatures: vec![] });
    }
    let proven = paths.into_iter().map(|path| path.prove(&store_dir, &spool).unwrap()).collect();
    (Proven::new(store_dir, None, proven).unwrap(), spool)
}

fn import(session: &mut Session, closure: &Proven, spool: &dyn Spool) -> Result<ImportReport, DaemonError> {
    let plan = session.plan(closure, &mut |_| {})?;
    session.add_missing(closure, spool, plan, &mut |_| {})
}

#[test]
fn a_closure_arrives_with_its_content_addresses_and_root_in_three_round_trips() {
    let fake = Fake::start(38, 2, Fault::None);
    let (closure, spool) = closure(300, false);
    let root = RootRequest { place: RootPlace::Link(fake.link()), target: closure.roots()[0].clone() };
    let mut session = fake.session(closure.store_dir(), vec![root]);
    let report = import(&mut session, &closure, &spool).unwrap();
    assert_eq!((report.present, report.added), (0, 300));
    assert_eq!(session.make_roots(&mut |_| {}).unwrap(), [fake.link()]);
    assert_eq!(session.round_trips(), 3);
    assert_eq!(session.greeting().unwrap().trust, Trust::No);
    session.close(&mut |_| {}).unwrap();
    let store = fake.store.lock().unwrap();
    for path in closure.paths() {
        let valid = &store.valid[&closure.store_dir().display(path.path())];
        assert_eq!(Some(&valid.content_address), path.content_address().as_ref());
    }
}

#[test]
fn what_is_there_is_held_by_one_temporary_root_and_not_sent_again() {
    let fake = Fake::start(34, 0, Fault::None);
    let (closure, spool) = closure(50, false);
    import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap();
    let report = import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap();
    assert_eq!(report, ImportReport { present: 50, added: 0, bytes: 0 });
    let store = fake.store.lock().unwrap();
    let root = closure.store_dir().display(&closure.roots()[0]);
    assert_eq!(store.temporary_roots, [root.clone(), root]);
    assert_eq!(store.operations, [11, 31, 44, 31, 11, 31]);
}

#[test]
fn what_is_all_there_gets_its_root_in_one_round_trip() {
    let fake = Fake::start(38, 2, Fault::None);
    let (closure, spool) = closure(50, false);
    let root = || vec![RootRequest { place: RootPlace::Link(fake.link()), target: closure.roots()[0].clone() }];
    let mut session = fake.session(closure.store_dir(), root());
    assert_eq!(session.keep_present(&closure, &mut |_| {}).unwrap(), None);
    import(&mut session, &closure, &spool).unwrap();
    session.close(&mut |_| {}).unwrap();
    std::mem::take(&mut fake.store.lock().unwrap().operations);
    let mut session = fake.session(closure.store_dir(), root());
    assert_eq!(session.keep_present(&closure, &mut |_| {}).unwrap(), Some(vec![fake.link()]));
    assert_eq!(session.round_trips(), 1);
    assert_eq!(fake.store.lock().unwrap().operations, [11, 31, 12, 14]);
}

#[test]
fn a_daemon_that_loses_step_over_a_path_of_somebody_else_gets_the_rest_again() {
    let fake = Fake::start(34, 0, Fault::Race);
    let (closure, spool) = closure(20, false);
    let report = import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap();
    assert_eq!(report.added, 20);
    assert_eq!(fake.store.lock().unwrap().operations, [11, 31, 44, 31, 11, 44, 31]);
}

#[test]
fn the_path_that_is_not_taken_is_named_with_what_the_daemon_says() {
    let (closure, spool) = closure(10, false);
    let culprit = closure.paths()[6].path().clone();
    let fake = Fake::start(38, 2, Fault::Refuses(closure.store_dir().display(&culprit)));
    let error = import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap_err();
    assert_eq!(error.to_string(), format!("the daemon does not take {culprit}"));
    assert_eq!(error.source().unwrap().to_string(), format!("cannot add /nix/store/{culprit}"));
    assert_eq!(fake.store.lock().unwrap().valid.len(), 6);
}

#[test]
fn a_broken_line_says_how_far_it_came_and_the_second_run_sends_the_rest() {
    let (closure, spool) = closure(40, false);
    let fake = Fake::start(38, 2, Fault::DiesAfter(25));
    let error = import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap_err();
    assert!(matches!(error, DaemonError::ImportBroken { present: 0, total: 40, .. }), "{error:?}");
    // The fault stays, and counts the paths of one operation.
    let report = import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap();
    assert_eq!((report.present, report.added), (25, 15));
}

#[test]
fn an_output_without_signature_is_refused_before_anything_is_sent_unless_we_are_trusted() {
    let (closure, spool) = closure(3, true);
    for (minor, trust) in [(38, 2), (34, 0)] {
        let fake = Fake::start(minor, trust, Fault::None);
        let error = import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap_err();
        assert!(matches!(error, DaemonError::NeedsTrust { .. }), "{error:?}");
        assert!(!fake.store.lock().unwrap().operations.contains(&44));
    }
    for minor in [34, 38] {
        let fake = Fake::start(minor, 1, Fault::None);
        import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap();
        assert!(fake.store.lock().unwrap().valid.values().all(|valid| valid.without_signatures));
    }
}

#[test]
fn a_link_that_the_daemon_does_not_list_is_no_root() {
    let fake = Fake::start(38, 2, Fault::SeesNoRoot);
    let (closure, spool) = closure(2, false);
    let root = RootRequest { place: RootPlace::Link(fake.link()), target: closure.roots()[0].clone() };
    let mut session = fake.session(closure.store_dir(), vec![root]);
    import(&mut session, &closure, &spool).unwrap();
    let error = session.make_roots(&mut |_| {}).unwrap_err();
    assert!(matches!(error, DaemonError::Root(RootError::Unseen { .. })), "{error:?}");
}

#[test]
fn a_store_of_another_directory_is_told_apart() {
    let fake = Fake::start(38, 2, Fault::OtherStore);
    let (closure, spool) = closure(2, false);
    let error = import(&mut fake.session(closure.store_dir(), vec![]), &closure, &spool).unwrap_err();
    assert_eq!(error.to_string(), "the paths are of /nix/store, the store of the Nix daemon is not");
}

#[test]
fn a_silent_daemon_can_be_left() {
    let fake = Fake::start(38, 2, Fault::Hangs);
    let (closure, spool) = closure(2, false);
    let environment = Environment { uid: 1000, ..Environment::default() };
    let options = SessionOptions::default();
    let stop = Arc::clone(&options.stop);
    let url = StoreUrl::Socket(fake.dir.path().join("socket"));
    let mut session = Session::open(&url, &environment, closure.store_dir(), options).unwrap();
    let client = thread::spawn(move || import(&mut session, &closure, &spool));
    while fake.store.lock().unwrap().operations.is_empty() {
        thread::yield_now();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(client.join().unwrap(), Err(DaemonError::Cancelled)));
}

#[test]
fn no_daemon_is_told_with_its_socket() {
    let url = StoreUrl::Socket("/nowhere/socket".into());
    let options = SessionOptions::default();
    let error = Session::open(&url, &Environment::default(), &StoreDir::default(), options).err().unwrap();
    assert_eq!(error.to_string(), "cannot connect to the Nix daemon at /nowhere/socket: it does not run");
}

#[test]
fn sent_paths_are_told_once_each() {
    let fake = Fake::start(38, 2, Fault::None);
    let (closure, spool) = closure(30, false);
    let mut session = fake.session(closure.store_dir(), vec![]);
    let plan = session.plan(&closure, &mut |_| {}).unwrap();
    let mut seen = HashSet::new();
    let mut last = 0;
    let mut events = |event| match event {
        Event::Sent { paths, .. } => last = paths,
        other => drop(seen.insert(format!("{other:?}"))),
    };
    session.add_missing(&closure, &spool, plan, &mut events).unwrap();
    assert_eq!(last, 30);
    assert!(seen.is_empty());
}

#[test]
fn roots_can_be_the_first_thing_that_is_asked_for() {
    let fake = Fake::start(38, 2, Fault::None);
    let (closure, _) = closure(2, false);
    let root = RootRequest { place: RootPlace::Link(fake.link()), target: closure.roots()[0].clone() };
    let mut session = fake.session(closure.store_dir(), vec![root]);
    assert_eq!(session.make_roots(&mut |_| {}).unwrap(), [fake.link()]);
}

#[test]
fn settings_are_sent_once_and_only_where_one_is_set() {
    let fake = Fake::start(38, 2, Fault::None);
    let environment = Environment { uid: 1000, ..Environment::default() };
    let url = StoreUrl::Socket(fake.dir.path().join("socket"));
    for max_jobs in [None, Some(1)] {
        let settings = Settings { max_jobs, ..Settings::default() };
        let options = SessionOptions { settings, ..SessionOptions::default() };
        let mut session = Session::open(&url, &environment, &StoreDir::default(), options).unwrap();
        for _ in 0..2 {
            session.valid_paths(&[], &mut |_| {}).unwrap();
        }
    }
    assert_eq!(fake.store.lock().unwrap().operations, [31, 31, 19, 31, 31]);
}
