//! Answers of real daemons, recorded and read again.

use super::{
    connection::read_preamble,
    error::DaemonError,
    handshake::{Greeting, read_greeting},
    log::Events,
    operation::{BuildResult, Missing, Replies},
    wire::Reader,
};
use firn_core::{StoreDir, StorePath};

/// What the answers say.
#[derive(Debug)]
pub(super) struct Replayed {
    links: Vec<(String, String)>,
    greeting: Greeting,
    before: Vec<StorePath>,
    after: Vec<StorePath>,
    roots: Vec<(String, StorePath)>,
    missing: Missing,
    results: Vec<BuildResult>,
}

/// Reads the answers to: the remote script, the greeting, QueryValidPaths, AddMultipleToStore, QueryValidPaths, an
/// AddIndirectRoot for each link and its pending one, FindRoots, QueryMissing, BuildPathsWithResults.
pub(super) fn replay(bytes: &[u8], events: Events<'_>) -> Result<Replayed, DaemonError> {
    let mut reader = Reader::new(bytes);
    let links = read_preamble(&mut reader, events)?;
    let greeting = read_greeting(&mut reader, "the recording", events)?;
    let store_dir = StoreDir::default();
    let mut replies =
        Replies { reader: &mut reader, events, idle: &|_| {}, greeting: &greeting, store_dir: &store_dir };
    let before = replies.paths()?;
    replies.done()?;
    let after = replies.paths()?;
    for _ in 0..links.len() * 2 {
        replies.number()?;
    }
    let roots = replies.roots()?;
    let missing = replies.missing()?;
    let results = replies.build_results()?;
    Ok(Replayed { links, greeting, before, after, roots, missing, results })
}

mod tests {
    use super::{
        super::{Activity, BuildStatus, Event, ResultKind},
        *,
    };
    use proptest::prelude::*;

    const RECORDED: [(&[u8], &str, u64); 3] = [
        (include_bytes!("recorded/nix-2.8"), "2.8.0", 34),
        (include_bytes!("recorded/nix-2.26"), "2.26.3", 37),
        (include_bytes!("recorded/nix-2.34"), "2.34.8", 37),
    ];

    #[test]
    fn an_import_and_a_failing_build_by_alice_as_three_daemons_told_it() {
        for (bytes, nix, minor) in RECORDED {
            let (mut builds, mut log) = (0, Vec::new());
            let mut events = |event| match event {
                Event::Start { kind: Activity::Build, .. } => builds += 1,
                Event::Result { kind: ResultKind::BuildLogLine, fields, .. } => log.extend(fields),
                _ => {}
            };
            let replayed = replay(bytes, &mut events).unwrap();
            assert_eq!((replayed.greeting.nix.as_deref(), replayed.greeting.minor), (Some(nix), minor));
            assert_eq!((replayed.before.len(), replayed.after.len()), (0, 25));
            assert_eq!(replayed.links, [("4711".to_owned(), "/home/alice/.local/state/firn/roots/e".to_owned())]);
            let pending = format!("{}.new", replayed.links[0].1);
            assert!(replayed.roots.iter().any(|(link, path)| *link == pending && replayed.after.contains(path)));
            assert_eq!((replayed.missing.build.len(), replayed.missing.unknown.len()), (19, 0), "{nix}");
            assert!(builds > 1);
            assert_eq!(log.last().and_then(|field| field.text()), Some("src/main.c:42: error: expected expression"));
            let [result] = replayed.results.as_slice() else { panic!("{:?}", replayed.results) };
            assert_eq!(result.status, BuildStatus::DependencyFailed);
            assert!(!result.message.contains('\x1b'));
        }
    }

    #[test]
    fn a_recording_that_is_cut_is_an_error_wherever_it_is() {
        for (bytes, ..) in RECORDED {
            for cut in (0..bytes.len()).step_by(31) {
                assert!(replay(&bytes[..cut], &mut |_| {}).is_err(), "cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_recording_with_any_changed_bytes_is_read_or_refused(
            which in 0..RECORDED.len(),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = RECORDED[which].0.to_vec();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            drop(replay(&bytes, &mut |_| {}));
        }
    }
}
