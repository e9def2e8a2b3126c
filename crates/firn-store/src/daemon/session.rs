//! A conversation with a daemon: from the first query to the GC root it is one connection, since what was added is safe
//! from collection only as long as that is open.

use super::{
    channel::{self, Channel, Links},
    connection::{Incoming, settled},
    error::{DaemonError, RemoteError},
    handshake::{Greeting, Trust},
    log::{Events, Idle},
    operation::{BuildResult, Missing, PathInfo, Replies, Requests, Settings},
    ssh,
    url::StoreUrl,
};
use crate::{
    environment::Environment,
    root::{RootError, RootRequest, check_link, link_path, replace_link},
};
use firn_core::{StoreDir, StorePath};
use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

/// How a session behaves.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Settings of the daemon for this connection.
    pub settings: Settings,
    /// Set to end whatever is running: the line is closed, the daemon stops its builds, and calls return
    /// [`DaemonError::Cancelled`].
    pub stop: Arc<AtomicBool>,
    /// Roots that [`Session::make_roots`] will make: said here, since a remote host makes the links at login.
    pub roots: Vec<RootRequest>,
}

/// An open conversation with a daemon.
pub struct Session {
    channel: Channel,
    store_dir: StoreDir,
    environment: Environment,
    options: SessionOptions,
    settled: bool,
}

impl Session {
    /// Connects, or starts the program that leads to the daemon. Nothing is waited for yet.
    pub fn open(
        url: &StoreUrl,
        environment: &Environment,
        store_dir: &StoreDir,
        options: SessionOptions,
    ) -> Result<Self, DaemonError> {
        let channel = channel::open(url, environment, store_dir, &options.roots, Arc::clone(&options.stop))?;
        let session =
            Self { channel, store_dir: store_dir.clone(), environment: environment.clone(), options, settled: false };
        session.check_places(session.roots())?;
        Ok(session)
    }

    /// Refuses roots whose links could not be made on this machine, before anything is done that they are to keep. A remote
    /// host has made them at login.
    pub fn check_places(&self, roots: &[RootRequest]) -> Result<(), DaemonError> {
        let Links::Local { gcroots } = &self.channel.links else { return Ok(()) };
        for root in roots {
            check_link(&link_path(&root.place, &self.environment, gcroots.as_deref())?)?;
        }
        Ok(())
    }

    /// Whom we speak to, as errors call it.
    pub fn peer(&self) -> &str {
        self.channel.connection.name()
    }

    /// What the daemon said about itself; `None` before its first answer.
    pub fn greeting(&self) -> Option<&Greeting> {
        self.channel.connection.greeting()
    }

    /// Times that an answer was waited for so far.
    pub fn round_trips(&self) -> u32 {
        self.channel.connection.round_trips()
    }

    /// The directory that the paths of this session are in.
    pub fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// Sends requests, the settings before the first, and reads their replies.
    pub(crate) fn exchange<T>(
        &mut self,
        events: Events<'_>,
        idle: Idle<'_>,
        write: impl FnOnce(&mut Requests<'_>) -> io::Result<()> + Send,
        read: impl FnOnce(&mut Replies<'_, Incoming>) -> Result<T, DaemonError>,
    ) -> Result<T, DaemonError> {
        let set = !std::mem::replace(&mut self.settled, true) && self.options.settings != Settings::default();
        let settings = &self.options.settings;
        let result = self.channel.connection.exchange(
            &self.store_dir,
            events,
            idle,
            |requests| {
                if set {
                    requests.set_options(settings)?;
                }
                write(requests)
            },
            |replies| {
                if set {
                    replies.done()?;
                }
                read(replies)
            },
        );
        result.map_err(|error| self.explain(error))
    }

    /// An error about the store directory is about the whole store.
    fn explain(&self, error: DaemonError) -> DaemonError {
        match error {
            DaemonError::Remote(source) if source.message.contains("is not in the Nix store") => {
                DaemonError::OtherStore { peer: self.peer().to_owned(), wanted: self.store_dir.clone(), source }
            }
            other => other,
        }
    }

    fn ask<T>(
        &mut self,
        events: Events<'_>,
        write: impl FnOnce(&mut Requests<'_>) -> io::Result<()> + Send,
        read: impl FnOnce(&mut Replies<'_, Incoming>) -> Result<T, DaemonError>,
    ) -> Result<T, DaemonError> {
        let result: Result<T, RemoteError> = self.exchange(events, &|_| {}, write, |replies| settled(read(replies)))?;
        result.map_err(|error| self.explain(DaemonError::Remote(error)))
    }

    /// One flight: temporary roots for some paths, then which of others are valid, then links that the daemon has to know,
    /// with all roots that it knows.
    pub(super) fn visit(
        &mut self,
        held: &[&StorePath],
        asked: Option<&[&StorePath]>,
        links: Option<&PlacedLinks>,
        events: Events<'_>,
    ) -> Result<Visited, DaemonError> {
        self.ask(
            events,
            |requests| {
                held.iter().try_for_each(|path| requests.add_temp_root(path))?;
                asked.map_or(Ok(()), |asked| requests.query_valid_paths(asked.iter().copied()))?;
                links.map_or(Ok(()), |links| links.write(requests))
            },
            |replies| {
                held.iter().try_for_each(|_| replies.number().map(|_| ()))?;
                let valid = if asked.is_some() { replies.paths()? } else { Vec::new() };
                let known = links.map_or(Ok(Vec::new()), |links| links.read(replies))?;
                Ok(Visited { valid: valid.into_iter().collect(), known })
            },
        )
    }

    /// Which of the paths are valid.
    pub fn valid_paths(&mut self, paths: &[StorePath], events: Events<'_>) -> Result<HashSet<StorePath>, DaemonError> {
        let paths: Vec<&StorePath> = paths.iter().collect();
        Ok(self.visit(&[], Some(&paths), None, events)?.valid)
    }

    /// What the store knows of each path, `None` for those that are not valid: one flight for all.
    pub fn path_infos(
        &mut self,
        paths: &[StorePath],
        events: Events<'_>,
    ) -> Result<Vec<Option<PathInfo>>, DaemonError> {
        self.exchange(
            events,
            &|_| {},
            |requests| paths.iter().try_for_each(|path| requests.query_path_info(path)),
            |replies| paths.iter().map(|_| replies.path_info()).collect(),
        )
    }

    /// Keeps paths, and what they refer to, from collection as long as the session is open, and says which are valid.
    pub fn hold(&mut self, paths: &[StorePath], events: Events<'_>) -> Result<HashSet<StorePath>, DaemonError> {
        let paths: Vec<&StorePath> = paths.iter().collect();
        Ok(self.visit(&paths, Some(&paths), None, events)?.valid)
    }

    /// Keeps paths, and what they refer to, from collection as long as the session is open.
    pub fn add_temp_roots(&mut self, paths: &[StorePath], events: Events<'_>) -> Result<(), DaemonError> {
        self.visit(&paths.iter().collect::<Vec<_>>(), None, None, events).map(|_| ())
    }

    /// What realising would do. Targets are `/nix/store/x.drv!out`, `x.drv!*`, or plain paths.
    pub fn missing(&mut self, targets: &[String], events: Events<'_>) -> Result<Missing, DaemonError> {
        self.ask(events, |requests| requests.query_missing(targets), |replies| replies.missing())
    }

    /// Builds or substitutes; a failed build is a result, not an error.
    pub fn build(&mut self, targets: &[String], events: Events<'_>) -> Result<Vec<BuildResult>, DaemonError> {
        self.ask(events, |requests| requests.build_paths_with_results(targets), |replies| replies.build_results())
    }

    /// Makes a path valid by substitution.
    pub fn ensure_path(&mut self, path: &StorePath, events: Events<'_>) -> Result<(), DaemonError> {
        self.ask(events, |requests| requests.ensure_path(path), |replies| replies.number().map(|_| ()))
    }

    /// Whether the daemon trusts us. One that is too old to say it is asked to repair nothing, which only a trusted user
    /// may; it closes the connection of others.
    pub(crate) fn find_trust(&mut self, events: Events<'_>) -> Result<Trust, DaemonError> {
        if let Some(trust) = self.greeting().map(|greeting| greeting.trust).filter(|trust| *trust != Trust::Unknown) {
            return Ok(trust);
        }
        let answer = self.ask(events, |requests| requests.repair_nothing(), |replies| replies.number());
        match answer {
            Ok(_) => Ok(Trust::Yes),
            Err(DaemonError::Remote(error)) if error.message.contains("repair") => Ok(Trust::No),
            Err(error) => Err(error),
        }
    }

    /// Makes the roots that were asked for and reads them back: a link that the daemon does not list keeps nothing.
    /// Gives the links in the order of the requests.
    pub fn make_roots(&mut self, events: Events<'_>) -> Result<Vec<PathBuf>, DaemonError> {
        if self.greeting().is_none() {
            // A remote host tells the links before its daemon's first answer.
            let targets: Vec<StorePath> = self.roots().iter().map(|root| root.target.clone()).collect();
            self.valid_paths(&targets, events)?;
        }
        let links = self.place_links()?;
        let known = self.visit(&[], None, Some(&links), events)?.known;
        links.check(&known, self.roots())
    }

    /// Makes the links of roots; those of a remote host are there.
    pub(super) fn place_links(&self) -> Result<PlacedLinks, DaemonError> {
        let roots = &self.options.roots;
        let mut placed = PlacedLinks::default();
        match &self.channel.links {
            Links::Local { gcroots } => {
                for root in roots {
                    let link = link_path(&root.place, &self.environment, gcroots.as_deref())?;
                    replace_link(&link, &self.store_dir.display(&root.target))?;
                    if !gcroots.as_ref().is_some_and(|gcroots| link.starts_with(gcroots)) {
                        placed.register.push(text_of(&link)?);
                    }
                    placed.listed.push(link.clone());
                    placed.links.push(link);
                }
            }
            Links::Remote => {
                let made = self.channel.connection.links();
                if made.len() != roots.len() {
                    return Err(DaemonError::LinksLeft { peer: self.peer().to_owned() });
                }
                for (process, link) in made {
                    let pending = ssh::pending(process, link);
                    if !link.starts_with("/nix/var/nix/gcroots/") {
                        placed.register.extend([pending.clone(), link.clone()]);
                    }
                    placed.listed.push(pending.into());
                    placed.links.push(link.into());
                }
            }
        }
        Ok(placed)
    }

    pub(super) fn roots(&self) -> &[RootRequest] {
        &self.options.roots
    }

    /// Ends the session and waits for a program that leads to the daemon. On a remote host the links of roots take
    /// their places now; an error says that one could not.
    pub fn close(self, events: Events<'_>) -> Result<(), DaemonError> {
        let remote_roots = matches!(self.channel.links, Links::Remote) && !self.options.roots.is_empty();
        let peer = self.peer().to_owned();
        let success = self.channel.connection.close(events)?;
        if remote_roots && !success {
            return Err(DaemonError::LinksLeft { peer });
        }
        Ok(())
    }
}

/// What a daemon says in one flight.
pub(super) struct Visited {
    pub(super) valid: HashSet<StorePath>,
    /// All roots, with their links.
    pub(super) known: Vec<(String, StorePath)>,
}

/// Links of roots that were made, of which the daemon has to know.
#[derive(Default)]
pub(super) struct PlacedLinks {
    links: Vec<PathBuf>,
    /// What the daemon is told of.
    register: Vec<String>,
    /// What it has to list then.
    listed: Vec<PathBuf>,
}

impl PlacedLinks {
    pub(super) fn write(&self, requests: &mut Requests<'_>) -> io::Result<()> {
        self.register.iter().try_for_each(|link| requests.add_indirect_root(link))?;
        requests.find_roots()
    }

    pub(super) fn read(&self, replies: &mut Replies<'_, Incoming>) -> Result<Vec<(String, StorePath)>, DaemonError> {
        self.register.iter().try_for_each(|_| replies.number().map(|_| ()))?;
        replies.roots()
    }

    /// The links, if the daemon lists all of them.
    pub(super) fn check(
        self,
        known: &[(String, StorePath)],
        roots: &[RootRequest],
    ) -> Result<Vec<PathBuf>, DaemonError> {
        for (link, root) in self.listed.iter().zip(roots) {
            if !known.iter().any(|(seen, path)| *path == root.target && same_link(Path::new(seen), link)) {
                let link = link.display().to_string();
                return Err(RootError::Unseen { link, path: root.target.clone() }.into());
            }
        }
        Ok(self.links)
    }
}

fn text_of(link: &Path) -> Result<String, RootError> {
    link.to_str().map(str::to_owned).ok_or_else(|| RootError::Quoting(link.to_string_lossy().into_owned()))
}

/// Whether two paths are one link: folders above it may be links themselves.
fn same_link(a: &Path, b: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|parent| parent.canonicalize().ok());
    a == b || (a.file_name() == b.file_name() && folder(a).is_some() && folder(a) == folder(b))
}
