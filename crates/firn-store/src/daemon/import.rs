//! Adding a proven closure: one flight to ask what is there, one to send what is missing; none but one if that is nothing.

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
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

/// How paths are sent.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// In one operation. Nix 2.8 loses step in it where somebody else has added a path meanwhile.
    Together,
    /// In one for each, still in one flight: every failure has a name, and a path that is there is no failure.
    Each,
}

/// What became of a flight.
struct Sent {
    /// What the daemon said, and the first path that it may be about.
    failure: Option<(StorePath, RemoteError)>,
    valid: HashSet<StorePath>,
}

/// What of a closure is in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For each path of the closure, in its order, whether it is there.
    present: Vec<bool>,
}

impl Plan {
    fn new(closure: &Proven, valid: &HashSet<StorePath>) -> Self {
        Self { present: closure.paths().iter().map(|path| valid.contains(path.path())).collect() }
    }

    /// That of a closure that is all there.
    fn whole(closure: &Proven) -> Self {
        Self { present: vec![true; closure.paths().len()] }
    }

    /// How many paths are there.
    pub fn present(&self) -> usize {
        self.present.iter().filter(|present| **present).count()
    }

    /// The paths that are not, references first.
    pub fn missing<'a>(&'a self, closure: &'a Proven) -> impl Iterator<Item = &'a ProvenPath> {
        closure.paths().iter().zip(&self.present).filter(|(_, present)| !**present).map(|(path, _)| path)
    }

    /// The same, as if all were there but paths that signatures decide about and what those refer to.
    fn signed(&self, closure: &Proven) -> Self {
        let mut wanted = HashSet::new();
        let mut present = self.present.clone();
        for (path, present) in closure.paths().iter().zip(&mut present).rev() {
            if path.content_address().is_none() || wanted.contains(path.path()) {
                wanted.extend(path.references());
            } else {
                *present = true;
            }
        }
        Self { present }
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

fn all(closure: &Proven) -> Vec<&StorePath> {
    closure.paths().iter().map(ProvenPath::path).collect()
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

/// Names of the keys that signed a path.
fn keys_of(path: &ProvenPath) -> String {
    let names = path.signatures().iter().map(|signature| signature.split(':').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(", ")
}

impl Session {
    /// Asks which paths of the closure are there, and holds it if it is all there. One round trip, the greeting in it.
    pub fn plan(&mut self, closure: &Proven, events: Events<'_>) -> Result<Plan, DaemonError> {
        let whole = Plan::whole(closure);
        let said = self.visit(&whole.tops(closure), Some(&all(closure)), None, events)?;
        Ok(Plan::new(closure, &said.valid))
    }

    /// Holds a closure that is there, as a database said, and makes the roots that were asked for. One round trip, the
    /// greeting in it. `None` where the daemon does not agree: then it is to be imported.
    pub fn keep_present(&mut self, closure: &Proven, events: Events<'_>) -> Result<Option<Vec<PathBuf>>, DaemonError> {
        let whole = Plan::whole(closure);
        let links = self.place_links()?;
        let said = self.visit(&whole.tops(closure), Some(&all(closure)), Some(&links), events)?;
        if Plan::new(closure, &said.valid) != whole {
            return Ok(None);
        }
        links.check(&said.known, self.roots()).map(Some)
    }

    /// Sends the paths that the plan lacks, in reference order, and checks that the whole closure is there then. Where
    /// the daemon fails it gets the rest again; where that does not help each path is sent by itself, and the error
    /// names the first that is not taken.
    pub fn add_missing(
        &mut self,
        closure: &Proven,
        spool: &dyn Spool,
        mut plan: Plan,
        events: Events<'_>,
    ) -> Result<ImportReport, DaemonError> {
        let present = plan.present();
        if present == closure.paths().len() {
            // Held since it was asked for.
            return Ok(ImportReport { present, added: 0, bytes: 0 });
        }
        let (mut without_signatures, signed) = self.check_trust(closure, &plan, events)?;
        let bytes = plan.missing(closure).map(ProvenPath::nar_size).sum();
        if let Some(first) = signed {
            // Only the daemon knows which keys it accepts: asked of these alone, before anything else comes.
            let sent = self.send(closure, spool, &first, (Way::Each, without_signatures), events)?;
            plan = Plan::new(closure, &sent.valid);
            let refused = sent.failure.and_then(|(path, source)| {
                let refused = first.missing(closure).find(|missing| *missing.path() == path)?;
                refused.content_address().is_none().then(|| (path, keys_of(refused), source))
            });
            if let Some((path, keys, source)) = refused {
                // A daemon that does not say whom it trusts closes the connection of others when asked: only now.
                if self.find_trust(events)? != Trust::Yes {
                    return Err(DaemonError::KeyNotAccepted { path, keys, source });
                }
                without_signatures = true;
            }
        }
        let mut failure = None;
        for way in [Way::Together, Way::Together, Way::Each] {
            let sent = self.send(closure, spool, &plan, (way, without_signatures), events)?;
            plan = Plan::new(closure, &sent.valid);
            failure = sent.failure;
            if plan.present() == closure.paths().len() {
                return Ok(ImportReport { present, added: closure.paths().len() - present, bytes });
            }
        }
        let lost = plan.missing(closure).next().map(|path| path.path().clone());
        match (failure, lost) {
            (Some((path, source)), _) => Err(DaemonError::Refused { path, source }),
            (None, Some(path)) => Err(DaemonError::Vanished { path }),
            (None, None) => Ok(ImportReport { present, added: closure.paths().len() - present, bytes }),
        }
    }

    /// Sends paths that are there and damaged once more; they take the place of what is there. For those whom the daemon
    /// trusts.
    pub fn repair(&mut self, paths: &[&ProvenPath], spool: &dyn Spool, events: Events<'_>) -> Result<(), DaemonError> {
        self.exchange(
            events,
            &|_| {},
            |requests| paths.iter().try_for_each(|path| requests.add_to_store_nar(path, spool, true, true)),
            |replies| {
                let mut failure = None;
                for path in paths {
                    if let Err(source) = settled(replies.done())? {
                        failure.get_or_insert_with(|| DaemonError::Refused { path: path.path().clone(), source });
                    }
                }
                failure.map_or(Ok(()), Err)
            },
        )
    }

    /// Refuses before anything is sent what the daemon would refuse later. Gives whether to ask for no signatures, and
    /// what has to be sent first since its signatures decide.
    fn check_trust(
        &mut self,
        closure: &Proven,
        plan: &Plan,
        events: Events<'_>,
    ) -> Result<(bool, Option<Plan>), DaemonError> {
        if plan.missing(closure).all(|path| path.content_address().is_some()) {
            return Ok((false, None));
        }
        let mut needing = plan.missing(closure).filter(|path| path.content_address().is_none());
        let unsigned = needing.find(|path| path.signatures().is_empty());
        if self.greeting().is_some_and(|greeting| greeting.trust == Trust::Yes) {
            return Ok((true, None));
        }
        match unsigned {
            None => Ok((false, Some(plan.signed(closure)))),
            Some(path) => match self.find_trust(events)? {
                Trust::Yes => Ok((true, None)),
                Trust::Unknown | Trust::No => Err(DaemonError::NeedsTrust { path: path.path().clone() }),
            },
        }
    }

    /// One flight: temporary roots for what is there, then the rest, and which paths are valid after it.
    fn send(
        &mut self,
        closure: &Proven,
        spool: &dyn Spool,
        plan: &Plan,
        (way, without_signatures): (Way, bool),
        events: Events<'_>,
    ) -> Result<Sent, DaemonError> {
        let tops = plan.tops(closure);
        let missing: Vec<&ProvenPath> = plan.missing(closure).collect();
        let progress = Progress::default();
        let result = self.exchange(
            events,
            &|events| progress.tell(events),
            |requests| {
                tops.iter().try_for_each(|path| requests.add_temp_root(path))?;
                match way {
                    Way::Together if missing.is_empty() => {}
                    Way::Together => {
                        let store_dir = requests.store_dir;
                        let mut framed = requests.add_multiple_to_store(without_signatures)?;
                        write_number(&mut framed, missing.len() as u64)?;
                        for path in &missing {
                            write_path_and_nar(&mut framed, store_dir, path, spool)?;
                            progress.sent(path);
                        }
                        framed.finish()?;
                    }
                    Way::Each => {
                        for path in &missing {
                            requests.add_to_store_nar(path, spool, without_signatures, false)?;
                            progress.sent(path);
                        }
                    }
                }
                requests.query_valid_paths(closure.paths().iter().map(ProvenPath::path))
            },
            |replies| {
                for _ in &tops {
                    replies.number()?;
                }
                // One reply for all, or one for each.
                let replied = if way == Way::Each { missing.len() } else { missing.len().min(1) };
                let mut failure = None;
                for path in &missing[..replied] {
                    if let Err(source) = settled(replies.done())? {
                        failure.get_or_insert_with(|| (path.path().clone(), source));
                    }
                }
                Ok(Sent { failure, valid: replies.paths()?.into_iter().collect() })
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
}
