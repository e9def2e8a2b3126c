//! The store that is packed from: roots against the collector, what it knows, what is on its disk.

use crate::{CommandError, ExitCode, error::About, event::Sink};
use firn_core::{StoreDir, StorePath, derivation::Derivation, hash};
use firn_store::{
    Environment,
    daemon::{self, DaemonError, PathInfo, SessionOptions, StoreUrl},
    database::{Database, DatabaseError, ValidPath},
    root::RootRequest,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The directory of store paths that Nix uses here: `NIX_STORE_DIR`, else `/nix/store`.
pub(crate) fn store_dir() -> Result<StoreDir, CommandError> {
    match std::env::var("NIX_STORE_DIR").ok().filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(StoreDir::new(&dir)?),
        None => Ok(StoreDir::default()),
    }
}

/// Where a store is on this machine.
#[derive(Debug, Clone)]
pub(crate) struct StorePlace {
    /// As the daemon's client knows it.
    pub(crate) url: StoreUrl,
    /// The directory in its paths.
    pub(crate) store_dir: StoreDir,
    /// Where that directory is.
    folder: PathBuf,
    /// Where its database is.
    state_dir: PathBuf,
    environment: Environment,
}

impl StorePlace {
    /// Finds the store that `--store` names, else the environment. `store_dir` is that of `NIX_STORE_DIR`.
    pub(crate) fn find(url: Option<&str>, store_dir: StoreDir, environment: Environment) -> Result<Self, CommandError> {
        let url: StoreUrl = url.unwrap_or("auto").parse()?;
        Self::at(url, store_dir, environment)
    }

    /// As [`StorePlace::find`], of a URL that was read.
    pub(crate) fn at(url: StoreUrl, store_dir: StoreDir, mut environment: Environment) -> Result<Self, CommandError> {
        // What Nix calls `local` is what we do without a daemon.
        environment.nix_remote.take_if(|remote| remote == "local" || remote == "auto");
        let mut place = url;
        if let (StoreUrl::Auto, Some(remote)) = (&place, &environment.nix_remote) {
            place = remote.parse().map_err(CommandError::from).about("NIX_REMOTE")?;
        }
        let (folder, state_dir) = match &place {
            StoreUrl::LocalRoot(root) => return Ok(Self::folder(root, store_dir, environment)),
            StoreUrl::Ssh(host) => {
                return Err(CommandError::new(ExitCode::Usage, "the contents of a store cannot be read over ssh")
                    .about(&host.destination)
                    .hint(format!("run firn on the host: ssh {} firn pack ... -o - > FILE", host.destination)));
            }
            _ => (store_dir.as_str().into(), environment.state_dir().to_owned()),
        };
        Ok(Self { url: place, store_dir, folder, state_dir, environment })
    }

    /// A store folder that is read without a daemon.
    pub(crate) fn folder(root: &Path, store_dir: StoreDir, environment: Environment) -> Self {
        let folder = root.join(store_dir.as_str().trim_start_matches('/'));
        let (url, state_dir) = (StoreUrl::LocalRoot(root.to_owned()), root.join("nix/var/nix"));
        Self { url, store_dir, folder, state_dir, environment }
    }

    /// Opens it by its database alone; nothing holds what is read. `None` where it has none.
    pub(crate) fn open_without_daemon(&self) -> Result<Option<Store>, CommandError> {
        match Database::open(&self.state_dir, self.store_dir.clone()) {
            Ok(database) => Ok(Some(Store { session: None, database: Some(database), place: self.clone() })),
            Err(DatabaseError::Absent(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Folders in which firn keeps GC roots by name: first the one that we would write to.
    pub(crate) fn root_folders(&self) -> Vec<PathBuf> {
        let own = (!matches!(self.url, StoreUrl::LocalRoot(_))).then(|| self.environment.user_state()).flatten();
        let mut folders: Vec<PathBuf> = own.map(|state| state.join("firn/roots")).into_iter().collect();
        let at = if self.environment.uid == 0 { 0 } else { folders.len() };
        folders.insert(at, self.state_dir.join("gcroots/firn"));
        folders
    }

    /// Whether there is a store on the disk.
    pub(crate) fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// What `NIX_REMOTE` must be for Nix to use this store.
    pub(crate) fn remote(&self) -> Option<String> {
        match &self.url {
            StoreUrl::LocalRoot(root) => Some(format!("local?root={}", root.display())),
            StoreUrl::Socket(socket) => Some(format!("unix://{}", socket.display())),
            StoreUrl::Daemon => Some("daemon".to_owned()),
            StoreUrl::Auto | StoreUrl::Ssh(_) => None,
        }
    }

    /// Opens it. `roots` are what [`Store::keep`] will make.
    pub(crate) fn open(&self, roots: Vec<RootRequest>, sink: &dyn Sink) -> Result<Store, CommandError> {
        let options = SessionOptions { roots, ..SessionOptions::default() };
        let session = match daemon::Session::open(&self.url, &self.environment, &self.store_dir, options) {
            Ok(session) => Some(session),
            // A machine without Nix has no collector that one must be safe from.
            Err(DaemonError::Spawn { .. }) if self.state_dir.join("db/db.sqlite").exists() => None,
            Err(error) => return Err(error.into()),
        };
        let mut store = Store { session, database: None, place: self.clone() };
        // The first answer tells that the daemon has opened its database, which makes ours readable.
        store.valid(&[])?;
        match Database::open(&self.state_dir, self.store_dir.clone()) {
            Ok(database) => store.database = Some(database),
            Err(error) if store.session.is_some() => sink.detail(&format!("asking the daemon: {error}")),
            Err(error) => return Err(error.into()),
        }
        Ok(store)
    }
}

/// An open store.
pub(crate) struct Store {
    session: Option<daemon::Session>,
    database: Option<Database>,
    place: StorePlace,
}

impl Store {
    /// Keeps paths from collection as long as the store is open, and says which of them are not valid.
    pub(crate) fn hold(&mut self, paths: &[StorePath]) -> Result<Vec<StorePath>, CommandError> {
        let valid = match &mut self.session {
            Some(session) => session.hold(paths, &mut |_| {})?.into_iter().collect(),
            None => self.valid(paths)?,
        };
        Ok(paths.iter().filter(|path| !valid.contains(path)).cloned().collect())
    }

    /// Those paths that are valid.
    pub(crate) fn valid(&mut self, paths: &[StorePath]) -> Result<Vec<StorePath>, CommandError> {
        match (&mut self.session, &self.database) {
            (Some(session), _) => Ok(session.valid_paths(paths, &mut |_| {})?.into_iter().collect()),
            (None, Some(database)) => Ok(database.valid(paths)?.into_iter().collect()),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The derivation that a path is an output of; a derivation is its own.
    pub(crate) fn derivation_of(&mut self, path: &StorePath) -> Result<StorePath, CommandError> {
        if path.is_derivation() {
            return Ok(path.clone());
        }
        let full = self.place.store_dir.display(path);
        let advice = "pass its .drv, or the flake or the expression that it comes from";
        let wrong = |why: String| CommandError::new(ExitCode::Absent, why).about(&full).hint(advice);
        if !self.hold(std::slice::from_ref(path))?.is_empty() {
            return Err(wrong("this path is not valid in the store".to_owned()));
        }
        let derivers = match &self.database {
            Some(database) => database.derivers(path)?,
            None => Vec::new(),
        };
        let named = self.infos(std::slice::from_ref(path))?.into_iter().flatten().find_map(|info| info.deriver);
        for deriver in &derivers {
            if self.hold(std::slice::from_ref(deriver))?.is_empty() && self.makes(deriver, &full)? {
                return Ok(deriver.clone());
            }
        }
        let Some(named) = named else {
            return Err(wrong("the store does not know which .drv made it".to_owned()));
        };
        if !self.hold(std::slice::from_ref(&named))?.is_empty() {
            return Err(wrong(format!("it was made by {named}, which is not in this store")));
        }
        if !self.makes(&named, &full)? {
            return Err(wrong(format!("{named} is said to have made it, and has no such output")));
        }
        Ok(named)
    }

    /// Whether a derivation has this output. One whose output is known only after the build is believed.
    fn makes(&self, deriver: &StorePath, output: &str) -> Result<bool, CommandError> {
        let file = self.place.folder.join(deriver.as_str());
        let text = fs_err::read(file).map_err(|error| CommandError::new(ExitCode::Store, error))?;
        let Ok(drv) = Derivation::parse(&text) else { return Ok(false) };
        Ok(drv.outputs.iter().any(|out| out.path.is_empty() || out.path == output.as_bytes()))
    }

    fn infos(&mut self, paths: &[StorePath]) -> Result<Vec<Option<ValidPath>>, CommandError> {
        if let Some(database) = &self.database {
            match paths.iter().map(|path| database.info(path)).collect() {
                Err(DatabaseError::Busy(_)) if self.session.is_some() => self.database = None,
                answer => return Ok(answer?),
            }
        }
        let Some(session) = &mut self.session else { return Ok(Vec::new()) };
        let infos = session.path_infos(paths, &mut |_| {})?;
        paths.iter().zip(infos).map(|(path, info)| info.map(|info| valid_path(path, info)).transpose()).collect()
    }

    /// What the store knows of every path that the roots lead to, ordered by path.
    pub(crate) fn closure(&mut self, roots: &[StorePath]) -> Result<Vec<ValidPath>, CommandError> {
        if let Some(database) = &self.database {
            match database.closure(roots) {
                Err(DatabaseError::Busy(_)) if self.session.is_some() => self.database = None,
                answer => return Ok(answer?),
            }
        }
        let mut known: BTreeMap<StorePath, ValidPath> = BTreeMap::new();
        let mut next: BTreeSet<StorePath> = roots.iter().cloned().collect();
        while !next.is_empty() {
            let paths: Vec<StorePath> = std::mem::take(&mut next).into_iter().collect();
            for (path, info) in paths.iter().zip(self.infos(&paths)?) {
                let info = info.ok_or_else(|| DatabaseError::NotValid(path.clone()))?;
                next.extend(info.references.iter().filter(|path| !known.contains_key(*path)).cloned());
                known.insert(path.clone(), info);
            }
            next.retain(|path| !known.contains_key(path));
        }
        Ok(known.into_values().collect())
    }

    /// Where its paths are on the disk.
    pub(crate) fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Where a path of the store is on the disk, with what is below it.
    pub(crate) fn on_disk(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(self.place.store_dir.as_str());
        below.map_or_else(|_| path.to_owned(), |below| self.place.folder.join(below))
    }

    /// Makes the roots that were asked for when it was opened.
    pub(crate) fn keep(&mut self) -> Result<Vec<PathBuf>, CommandError> {
        match &mut self.session {
            Some(session) => Ok(session.make_roots(&mut |_| {})?),
            None => {
                Err(CommandError::new(ExitCode::Root, "without Nix there is nobody who would heed a root")
                    .about("--keep"))
            }
        }
    }

    /// Ends the conversation: from here on paths may be collected.
    pub(crate) fn close(self) -> Result<(), CommandError> {
        self.session.map_or(Ok(()), |session| Ok(session.close(&mut |_| {})?))
    }
}

fn valid_path(path: &StorePath, info: PathInfo) -> Result<ValidPath, CommandError> {
    let field = || DatabaseError::Field { path: path.to_string(), field: "hash", value: info.nar_hash.clone() };
    let nar_hash =
        hash::from_hex(info.nar_hash.as_bytes()).and_then(|bytes| bytes.try_into().ok()).ok_or_else(field)?;
    let mut references = info.references;
    references.sort();
    Ok(ValidPath {
        path: path.clone(),
        nar_hash,
        nar_size: info.nar_size,
        content_address: Some(info.content_address).filter(|ca| !ca.is_empty()),
        deriver: info.deriver,
        references,
        signatures: info.signatures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_store_in_a_folder_is_read_there() {
        let place = StorePlace::folder(Path::new("/mnt"), StoreDir::default(), Environment::default());
        let store = Store { session: None, database: None, place };
        assert_eq!(store.on_disk(Path::new("/nix/store/x/flake.lock")), Path::new("/mnt/nix/store/x/flake.lock"));
        assert_eq!(store.on_disk(Path::new("/home/a")), Path::new("/home/a"));
    }
}
