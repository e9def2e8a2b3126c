//! Adding a proven closure: one flight to ask what is there, one to send what is missing.

use super::{
    connection::settled,
    error::{DaemonError, RemoteError},
    handshake::Trust,
    log::{Event, Events},
    operation::write_path_and_nar,
    session::Session,
    wire::write_number,
};
use firn_core::{Proven, ProvenPath, Spool, StorePath};
use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

/// Flights that may fail without bringing a path before each path is sent by itself.
const PATIENCE: u32 = 2;

/// What of a closure is in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For each path of the closure, in its order, whether it is there.
    present: Vec<bool>,
}

impl Plan {
    fn new(closure: &Proven, valid: Vec<StorePath>) -> Self {
        let valid: HashSet<StorePath> = valid.into_iter().collect();
        Self { present: closure.paths().iter().map(|path| valid.contains(path.path())).collect() }
    }

    /// How many paths are there.
    pub fn present(&self) -> usize {
        self.present.iter().filter(|present| **present).count()
    }

    /// The paths that are not, references first.
    pub fn missing<'a>(&'a self, closure: &'a Proven) -> impl Iterator<Item = &'a ProvenPath> {
        closure.paths().iter().zip(&self.present).filter(|(_, present)| !**present).map(|(path, _)| path)
    }

    /// Paths that are there and that no other such path refers to: a temporary root for each keeps all of them.
    fn tops<'a>(&'a self, closure: &'a Proven) -> Vec<&'a StorePath> {
        let there = || closure.paths().iter().zip(&self.present).filter(|(_, present)| **present).map(|(path, _)| path);
        let mut below = HashSet::new();
        for path in there() {
            below.extend(path.references().iter().filter(|reference| *reference != path.path()));
        }
        there().map(ProvenPath::path).filter(|path| !below.contains(path)).collect()
    }
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportReport {
    /// Paths that were there before.
    pub present: usize,
    /// Paths that were added.
    pub added: usize,
    /// Bytes of the NARs of those.
    pub bytes: u64,
}

/// How far the writing thread is.
#[derive(Default)]
struct Progress {
    paths: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    fn sent(&self, path: &ProvenPath) {
        self.paths.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(path.nar_size(), Ordering::Relaxed);
    }

    fn tell(&self, events: Events<'_>) {
        let (paths, bytes) = (self.paths.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        events(Event::Sent { paths, bytes });
    }
}

impl Session {
    /// Asks which paths of the closure are there. One round trip, the greeting in it.
    pub fn plan(&mut self, closure: &Proven, events: Events<'_>) -> Result<Plan, DaemonError> {
        let valid = self.exchange(
            events,
            &|_| {},
            |requests| requests.query_valid_paths(closure.paths().iter().map(ProvenPath::path)),
            |replies| replies.paths(),
        )?;
        Ok(Plan::new(closure, valid))
    }

    /// Sends the paths that the plan lacks, in reference order, and checks that the whole closure is there then. Where
    /// the daemon fails (Nix 2.8 loses step if somebody else added a path meanwhile) it is asked again and gets the
    /// rest; where that does not help each path is sent by itself, and the error names the first that is not taken.
    pub fn add_missing(
        &mut self,
        closure: &Proven,
        spool: &dyn Spool,
        mut plan: Plan,
        events: Events<'_>,
    ) -> Result<ImportReport, DaemonError> {
        let without_signatures = self.check_trust(closure, &plan, events)?;
        let present = plan.present();
        let bytes = plan.missing(closure).map(ProvenPath::nar_size).sum();
        let mut patience = PATIENCE;
        loop {
            let (failure, valid) = self.send(closure, spool, &plan, without_signatures, events)?;
            let before = plan.present();
            plan = Plan::new(closure, valid);
            let Some(lost) = plan.missing(closure).next() else {
                return Ok(ImportReport { present, added: closure.paths().len() - present, bytes });
            };
            if plan.present() <= before {
                patience = patience.saturating_sub(1);
            }
            if patience == 0 {
                return match failure {
                    Some(_) => {
                        self.send_each(closure, spool, &plan, without_signatures, events)?;
                        Ok(ImportReport { present, added: closure.paths().len() - present, bytes })
                    }
                    None => Err(DaemonError::Vanished { path: lost.path().clone() }),
                };
            }
        }
    }

    /// Refuses before anything is sent what the daemon would refuse later. Gives whether to ask for no signatures.
    fn check_trust(&mut self, closure: &Proven, plan: &Plan, events: Events<'_>) -> Result<bool, DaemonError> {
        let needs = |path: &&ProvenPath| path.content_address().is_none();
        let Some(first) = plan.missing(closure).filter(needs).find(|path| path.signatures().is_empty()) else {
            return Ok(false);
        };
        match self.find_trust(events)? {
            Trust::Yes => Ok(true),
            Trust::Unknown | Trust::No => Err(DaemonError::NeedsTrust { path: first.path().clone() }),
        }
    }

    /// One flight: temporary roots for what is there, the rest in one operation, and which paths are valid after it.
    fn send(
        &mut self,
        closure: &Proven,
        spool: &dyn Spool,
        plan: &Plan,
        without_signatures: bool,
        events: Events<'_>,
    ) -> Result<(Option<RemoteError>, Vec<StorePath>), DaemonError> {
        let tops = plan.tops(closure);
        let missing: Vec<&ProvenPath> = plan.missing(closure).collect();
        let progress = Progress::default();
        let result = self.exchange(
            events,
            &|events| progress.tell(events),
            |requests| {
                tops.iter().try_for_each(|path| requests.add_temp_root(path))?;
                if !missing.is_empty() {
                    let store_dir = requests.store_dir;
                    let mut framed = requests.add_multiple_to_store(without_signatures)?;
                    write_number(&mut framed, missing.len() as u64)?;
                    for path in &missing {
                        write_path_and_nar(&mut framed, store_dir, path, spool)?;
                        progress.sent(path);
                    }
                    framed.finish()?;
                }
                requests.query_valid_paths(closure.paths().iter().map(ProvenPath::path))
            },
            |replies| {
                for _ in &tops {
                    replies.number()?;
                }
                let failure = if missing.is_empty() { None } else { settled(replies.done())?.err() };
                Ok((failure, replies.paths()?))
            },
        );
        progress.tell(events);
        result.map_err(|error| match error {
            DaemonError::Broken { peer, words, source } => DaemonError::ImportBroken {
                peer,
                words,
                present: plan.present(),
                sent: progress.paths.load(Ordering::Relaxed),
                total: closure.paths().len(),
                source,
            },
            other => other,
        })
    }

    /// One operation for each path, all in one flight: slower, and every failure has a name.
    fn send_each(
        &mut self,
        closure: &Proven,
        spool: &dyn Spool,
        plan: &Plan,
        without_signatures: bool,
        events: Events<'_>,
    ) -> Result<(), DaemonError> {
        let missing: Vec<&ProvenPath> = plan.missing(closure).collect();
        let progress = Progress::default();
        let failure = self.exchange(
            events,
            &|events| progress.tell(events),
            |requests| {
                for path in &missing {
                    requests.add_to_store_nar(path, spool, without_signatures)?;
                    progress.sent(path);
                }
                Ok(())
            },
            |replies| {
                let mut first = None;
                for path in &missing {
                    if let Err(source) = settled(replies.done())? {
                        first.get_or_insert_with(|| (path.path().clone(), source));
                    }
                }
                Ok(first)
            },
        )?;
        match failure {
            Some((path, source)) => Err(DaemonError::Refused { path, source }),
            None => Ok(()),
        }
    }
}
