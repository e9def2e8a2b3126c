//! What runs and how far it is: the daemon's stream of events added up as Nix's own progress bar does
//! (`progress-bar.cc`).

use super::log::{Activity, Event, Field, ResultKind};
use std::collections::{HashMap, HashSet, VecDeque};

/// Lines kept of the log of one build.
const LOG_LINES: usize = 25;
/// Most activities that are followed at the same time.
const RUNNING: usize = 100_000;
/// Builds that have ended whose logs are kept, and derivations that the daemon has named as failed.
const ENDED: usize = 64;

/// How far work of one kind is; bytes for copies and downloads, else a count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// What is done.
    pub done: u64,
    /// What will be done in all; may shrink.
    pub expected: u64,
    /// What runs.
    pub running: u64,
    /// What has failed.
    pub failed: u64,
}

/// A build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// The derivation, as a full path.
    pub derivation: String,
    /// The phase it is in, where it tells.
    pub phase: Option<String>,
    /// The last lines of its log.
    pub log: VecDeque<String>,
    /// Whether it has ended without its outputs.
    pub failed: bool,
}

#[derive(Debug)]
struct Running {
    kind: Activity,
    tally: Tally,
    expected: HashMap<Activity, u64>,
    build: Option<Build>,
}

#[derive(Debug, Default)]
struct Ended {
    done: u64,
    failed: u64,
    /// Told by activities that run, of this kind of work.
    expected: u64,
}

/// All that runs, kept up to date by [`Activities::event`].
#[derive(Debug, Default)]
pub struct Activities {
    running: HashMap<u64, Running>,
    kinds: HashMap<Activity, Ended>,
    ended: VecDeque<Build>,
    /// Failures that were counted and whose builds have not ended yet.
    failures: u64,
    /// Derivations that lines about a failure named.
    named: HashSet<String>,
}

impl Activities {
    /// Takes in what happened.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start { id, kind, fields, .. } if self.running.len() < RUNNING => {
                let derivation = fields.first().and_then(Field::text).filter(|_| *kind == Activity::Build);
                let build = derivation.map(|path| Build { derivation: path.to_owned(), ..Build::default() });
                let running = Running { kind: *kind, tally: Tally::default(), expected: HashMap::new(), build };
                self.running.insert(*id, running);
            }
            Event::Stop { id } => self.stop(*id),
            Event::Result { id, kind, fields } => self.result(*id, *kind, fields),
            Event::Line(line) => self.name_failed(line),
            Event::Start { .. } | Event::Sent { .. } => {}
        }
    }

    /// "builder for 'X.drv' failed with exit code 1", "Cannot build 'X.drv'": what failed, where builds that were only
    /// stopped end at the same time, in any order.
    fn name_failed(&mut self, line: &str) {
        if line.contains("failed") || line.contains("Cannot build") {
            let quoted = line.split('\'').skip(1).step_by(2).filter(|word| word.ends_with(".drv"));
            self.named.extend(quoted.take(ENDED.saturating_sub(self.named.len())).map(str::to_owned));
        }
    }

    fn stop(&mut self, id: u64) {
        let Some(running) = self.running.remove(&id) else { return };
        let ended = self.kinds.entry(running.kind).or_default();
        ended.done += running.tally.done;
        ended.failed += running.tally.failed;
        for (kind, expected) in running.expected {
            let ended = self.kinds.entry(kind).or_default();
            ended.expected = ended.expected.saturating_sub(expected);
        }
        if let Some(mut build) = running.build {
            // A failure is counted right before the activity of its build ends (seen with Nix 2.8 to 2.34).
            build.failed = self.failures > 0;
            self.failures = self.failures.saturating_sub(1);
            if self.ended.len() == ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(build);
        }
    }

    fn result(&mut self, id: u64, kind: ResultKind, fields: &[Field]) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let text = || fields.first().and_then(Field::text).map(str::to_owned);
        let number = |at: usize| fields.get(at).and_then(Field::number).unwrap_or(0);
        match (kind, &mut running.build) {
            (ResultKind::BuildLogLine, Some(build)) => {
                if build.log.len() == LOG_LINES {
                    build.log.pop_front();
                }
                build.log.extend(text());
            }
            (ResultKind::SetPhase, Some(build)) => build.phase = text(),
            (ResultKind::Progress, _) => {
                if running.kind == Activity::Builds {
                    self.failures += number(3).saturating_sub(running.tally.failed);
                }
                running.tally = Tally { done: number(0), expected: number(1), running: number(2), failed: number(3) };
            }
            (ResultKind::SetExpected, _) => {
                let ended = self.kinds.entry(number(0).into()).or_default();
                let before = running.expected.insert(number(0).into(), number(1)).unwrap_or(0);
                ended.expected = ended.expected.saturating_sub(before).saturating_add(number(1));
            }
            _ => {}
        }
    }

    fn tally(&self, kind: Activity) -> Tally {
        let none = Ended::default();
        let ended = self.kinds.get(&kind).unwrap_or(&none);
        let mut tally = Tally { done: ended.done, expected: ended.done, running: 0, failed: ended.failed };
        for running in self.running.values().filter(|running| running.kind == kind) {
            tally.done = tally.done.saturating_add(running.tally.done);
            tally.expected = tally.expected.saturating_add(running.tally.expected);
            tally.running = tally.running.saturating_add(running.tally.running);
            tally.failed = tally.failed.saturating_add(running.tally.failed);
        }
        tally.expected = tally.expected.max(ended.expected);
        tally
    }

    /// How many derivations are built.
    pub fn builds(&self) -> Tally {
        self.tally(Activity::Builds)
    }

    /// How many paths are fetched.
    pub fn copies(&self) -> Tally {
        self.tally(Activity::CopyPaths)
    }

    /// How many bytes of NARs are fetched.
    pub fn copied_bytes(&self) -> Tally {
        self.tally(Activity::CopyPath)
    }

    /// How many bytes are downloaded.
    pub fn downloaded_bytes(&self) -> Tally {
        self.tally(Activity::FileTransfer)
    }

    /// The builds that run, in the order of their beginning.
    pub fn running_builds(&self) -> Vec<&Build> {
        let mut builds: Vec<_> =
            self.running.iter().filter_map(|(id, running)| Some((id, running.build.as_ref()?))).collect();
        builds.sort_by_key(|(id, _)| **id);
        builds.into_iter().map(|(_, build)| build).collect()
    }

    /// The build of an activity that runs: whose log line this is.
    pub fn build(&self, id: u64) -> Option<&Build> {
        self.running.get(&id)?.build.as_ref()
    }

    /// The builds that failed by themselves, not by what they depend on, of the last 64 that have ended.
    pub fn failed_builds(&self) -> impl Iterator<Item = &Build> {
        let named = self.ended.iter().any(|build| self.named.contains(&build.derivation));
        self.ended.iter().filter(move |build| if named { self.named.contains(&build.derivation) } else { build.failed })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::replay::replay, *};

    #[test]
    fn builds_are_counted_and_the_end_of_a_failed_one_is_kept() {
        for bytes in [
            include_bytes!("recorded/nix-2.8").as_slice(),
            include_bytes!("recorded/nix-2.26"),
            include_bytes!("recorded/nix-2.34"),
        ] {
            let mut activities = Activities::default();
            let mut most = 0;
            let mut events = |event| {
                activities.event(&event);
                most = most.max(activities.running_builds().len());
            };
            replay(bytes, &mut events).unwrap();
            let builds = activities.builds();
            assert_eq!((builds.running, builds.failed), (0, 1));
            assert!(builds.done >= 1 && most >= 1, "{builds:?}, {most}");
            let broken = "/nix/store/1xg425xyd4j9kj5ff3dzm0kzibiij6ap-broken-package-1.0.drv";
            let failed: Vec<&Build> = activities.failed_builds().collect();
            let [Build { derivation, log, .. }] = failed.as_slice() else { panic!("{failed:?}") };
            assert_eq!(derivation, broken);
            assert_eq!(log.back().map(String::as_str), Some("src/main.c:42: error: expected expression"));
            assert!(activities.running.is_empty());
        }
    }

    #[test]
    fn what_the_daemon_names_has_failed_and_not_what_was_stopped_with_it() {
        let mut activities = Activities::default();
        for (id, name) in [(1, "/nix/store/a-slow.drv"), (2, "/nix/store/b-broken.drv")] {
            let fields = vec![Field::Text(name.to_owned())];
            activities.event(&Event::Start {
                id,
                level: 3,
                kind: Activity::Build,
                text: String::new(),
                fields,
                parent: 0,
            });
        }
        activities.failures = 1;
        activities.event(&Event::Line("error: builder for '/nix/store/b-broken.drv' failed with exit code 1;".into()));
        activities.event(&Event::Stop { id: 1 });
        activities.event(&Event::Stop { id: 2 });
        let failed: Vec<&str> = activities.failed_builds().map(|build| build.derivation.as_str()).collect();
        assert_eq!(failed, ["/nix/store/b-broken.drv"]);
    }

    #[test]
    fn expectations_of_what_has_ended_are_forgotten() {
        let mut activities = Activities::default();
        let result = |kind, fields: &[u64]| Event::Result {
            id: 1,
            kind,
            fields: fields.iter().map(|n| Field::Number(*n)).collect(),
        };
        let (text, fields) = (String::new(), vec![]);
        activities.event(&Event::Start { id: 1, level: 3, kind: Activity::Realise, text, fields, parent: 0 });
        activities.event(&result(ResultKind::SetExpected, &[101, 500]));
        assert_eq!(activities.downloaded_bytes().expected, 500);
        activities.event(&result(ResultKind::SetExpected, &[101, 300]));
        assert_eq!(activities.downloaded_bytes().expected, 300);
        activities.event(&Event::Stop { id: 1 });
        assert_eq!(activities.downloaded_bytes(), Tally::default());
    }
}
