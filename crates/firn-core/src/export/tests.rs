use super::*;
use crate::{
    closure::{Address, address_path},
    hash,
    spool::{Blob, MemorySpool},
};

fn text(spool: &mut MemorySpool, name: &str, bytes: &str, references: &[&StorePath]) -> ClaimedPath {
    let mut references: Vec<StorePath> = references.iter().map(|path| (*path).clone()).collect();
    references.sort();
    let digest = hash::sha256(bytes.as_bytes());
    let path = address_path(&StoreDir::default(), Address::Text, &digest, &references, name.as_bytes());
    let content = Node::file(spool.put(bytes.as_bytes()).unwrap());
    ClaimedPath { path: path.unwrap().unwrap(), references, content, deriver: None, signatures: vec![] }
}

fn prove(paths: Vec<ClaimedPath>, spool: &MemorySpool) -> Proven {
    let dir = StoreDir::default();
    let paths = paths.into_iter().map(|path| path.prove(&dir, spool).unwrap()).collect();
    Proven::new(dir, None, paths).unwrap()
}

/// A stream of three paths, `c` referring to `b` and `a`, `b` to `a`.
fn sample() -> Vec<u8> {
    let mut spool = MemorySpool::new();
    let a = text(&mut spool, "a", "one", &[]);
    let b = text(&mut spool, "b", "two", &[&a.path]);
    let c = text(&mut spool, "c", "", &[&a.path, &b.path]);
    let closure = prove(vec![c, b, a], &spool);
    let mut stream = Vec::new();
    write(&closure, &spool, &mut stream).unwrap();
    stream
}

fn names(exported: &Exported) -> Vec<&str> {
    exported.paths.iter().map(|path| path.path.name()).collect()
}

#[test]
fn a_stream_reads_back_to_the_closure_it_was_written_from() {
    let stream = sample();
    let mut spool = MemorySpool::new();
    let exported = read(&stream[..], &mut spool).unwrap();
    assert_eq!(names(&exported), ["a", "b", "c"]);
    assert_eq!((exported.streams, exported.bytes), (1, stream.len() as u64));
    let mut again = Vec::new();
    write(&prove(exported.paths, &spool), &spool, &mut again).unwrap();
    assert_eq!(again, stream);
}

#[test]
fn every_cut_is_refused_with_its_offset() {
    let stream = sample();
    assert!(matches!(read(&stream[..0], &mut MemorySpool::new()), Err(ExportError::Empty)));
    for cut in 1..stream.len() {
        match read(&stream[..cut], &mut MemorySpool::new()) {
            Err(ExportError::Cut { offset }) => assert_eq!(offset, cut as u64),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn all_concatenated_streams_are_read_and_identical_duplicates_taken_once() {
    let one = sample();
    let mut spool = MemorySpool::new();
    let other = prove(vec![text(&mut spool, "d", "four", &[])], &spool);
    let mut several = one.clone();
    several.extend_from_slice(&0u64.to_le_bytes());
    write(&other, &spool, &mut several).unwrap();
    several.extend_from_slice(&one);
    let exported = read(&several[..], &mut MemorySpool::new()).unwrap();
    assert_eq!(names(&exported), ["a", "b", "c", "d"]);
    assert_eq!((exported.streams, exported.pieces), (3, false));
}

#[test]
fn streams_that_need_one_another_are_pieces() {
    let stream = sample();
    let first = text(&mut MemorySpool::new(), "a", "one", &[]).content.nar_size() as usize;
    // The first path: flag, archive, marker, its name padded to 48 and its length, no reference, deriver, flag.
    let cut = 8 + first + 8 + (8 + 48) + 8 + 8 + 8;
    let pieces = [&stream[..cut], &[0; 8], &stream[cut..]].concat();
    let exported = read(&pieces[..], &mut MemorySpool::new()).unwrap();
    assert_eq!((names(&exported), exported.streams, exported.pieces), (vec!["a", "b", "c"], 2, true));
}

#[test]
fn the_same_path_with_other_contents_is_refused() {
    let mut stream = sample();
    let good = stream.len() as u64;
    let mut other = stream.clone();
    let contents = other.windows(3).position(|window| window == b"two").unwrap();
    other[contents] = b'T';
    stream.extend_from_slice(&other);
    match read(&stream[..], &mut MemorySpool::new()) {
        Err(ExportError::Conflict { path, offset }) => {
            assert_eq!(path.name(), "b");
            assert!(offset > good);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_after_the_last_stream_are_refused() {
    let mut stream = sample();
    let end = stream.len() as u64;
    stream.extend_from_slice(b"more than eight bytes");
    match read(&stream[..], &mut MemorySpool::new()) {
        Err(ExportError::Follows { offset }) => assert_eq!(offset, end),
        other => panic!("{other:?}"),
    }
    assert!(matches!(read(&b"some text, long"[..], &mut MemorySpool::new()), Err(ExportError::Magic { .. })));
}

/// Everything before the reference count of the first path.
fn head() -> Vec<u8> {
    let mut head = 1u64.to_le_bytes().to_vec();
    let empty = Node::file(Blob::default());
    empty.write_nar(&MemorySpool::new(), &mut head).unwrap();
    head.extend_from_slice(&MARKER.to_le_bytes());
    write_string(&mut head, b"/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo").unwrap();
    head
}

#[test]
fn lengths_beyond_the_limit_are_refused_before_memory_is_taken() {
    for claimed in [1 << 63, u64::MAX, MAX_REFERENCES + 1] {
        let mut stream = head();
        stream.extend_from_slice(&claimed.to_le_bytes());
        assert!(
            matches!(read(&stream[..], &mut MemorySpool::new()), Err(ExportError::Limit { count, .. }) if count == claimed)
        );
    }
    let mut stream = head();
    stream.extend_from_slice(&1u64.to_le_bytes());
    stream.extend_from_slice(&(1u64 << 63).to_le_bytes());
    let error = read(&stream[..], &mut MemorySpool::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 192: 9223372036854775808 is too much for the length of a reference, at most 4341 are allowed"
    );
}

#[test]
fn an_old_signature_is_skipped_and_another_flag_refused() {
    for (flag, good) in [(1u64, true), (2, false)] {
        let mut stream = head();
        stream.extend_from_slice(&[0; 16]);
        stream.extend_from_slice(&flag.to_le_bytes());
        write_string(&mut stream, b"rsa").unwrap();
        stream.extend_from_slice(&[0; 8]);
        assert_eq!(read(&stream[..], &mut MemorySpool::new()).is_ok(), good);
    }
}

#[test]
fn paths_of_another_store_directory_are_read_but_not_of_two() {
    let stream = sample();
    let moved = |from: &[u8], to: &[u8], stream: &[u8], times: usize| {
        let mut stream = stream.to_vec();
        let mut at = 0;
        for _ in 0..times {
            let Some(next) = stream[at..].windows(from.len()).position(|window| window == from) else { break };
            stream[at + next..at + next + from.len()].copy_from_slice(to);
            at += next + 1;
        }
        stream
    };
    let gnu = moved(b"/nix/store/", b"/gnu/store/", &stream, usize::MAX);
    let exported = read(&gnu[..], &mut MemorySpool::new()).unwrap();
    assert_eq!(exported.store_dir.unwrap().as_str(), "/gnu/store");
    let two = moved(b"/nix/store/", b"/gnu/store/", &stream, 1);
    assert!(matches!(
        read(&two[..], &mut MemorySpool::new()),
        Err(ExportError::Path { source: StorePathError::OutsideStore { .. }, .. })
    ));
}

#[test]
fn a_full_spool_is_not_blamed_on_the_stream() {
    struct Full;
    impl Spool for Full {
        fn append(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn len(&self) -> u64 {
            0
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
    }
    assert!(matches!(read(&sample()[..], &mut Full), Err(ExportError::Spool { .. })));
}

proptest::proptest! {
    #[test]
    fn the_reader_is_total(mut stream: Vec<u8>, at in 0usize..900, byte: u8) {
        let _ = read(&stream[..], &mut MemorySpool::new());
        stream = sample();
        let at = at % stream.len();
        stream[at] = byte;
        let _ = read(&stream[..], &mut MemorySpool::new());
    }
}

#[test]
fn what_follows_a_stream_is_told_and_zeros_come_to_an_end() {
    let empty = [0; 8];
    let read = |bytes: &[u8]| super::read(bytes, &mut crate::spool::MemorySpool::default());
    assert!(read(&empty.repeat(3)).is_ok());
    for junk in [&b"\n"[..], b"and more", b"\x01\0\0\0\0\0\0\x01"] {
        let error = read(&[&empty[..], junk].concat()).unwrap_err();
        assert!(matches!(error, ExportError::Follows { offset: 8 }), "{error}");
    }
    assert!(matches!(read(&[&empty[..], &[1, 0]].concat()), Err(ExportError::Cut { .. })));
    let zeros = io::BufReader::new(io::repeat(0));
    let error = super::read(zeros, &mut crate::spool::MemorySpool::default()).unwrap_err();
    assert!(matches!(error, ExportError::Zeros { .. }), "{error}");
}
