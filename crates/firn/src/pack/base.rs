//! The base of a delta by another name than its file: what was kept here, or what a host runs.

use super::{PackRequest, StorePlace, kept, read_closure, store::Store};
use crate::{CommandError, ExitCode, Session, error::About, import::environment, spool_file::FileSpool};
use firn_core::{Proven, StorePath};
use firn_store::daemon::{Running, StoreUrl};

/// A base in the packer's store, held until it is read.
pub(super) struct HeldBase {
    store: Store,
    roots: Vec<StorePath>,
}

impl HeldBase {
    /// What `--base-name` or `--base-host` means; `None` without them.
    pub(super) fn find(
        request: &PackRequest,
        place: &StorePlace,
        session: &Session<'_>,
    ) -> Result<Option<Self>, CommandError> {
        match (&request.base_name, &request.base_host) {
            (Some(name), _) => Self::kept(name, place, session).map(Some),
            (None, Some(host)) => Self::running(host, place, session).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn kept(name: &str, place: &StorePlace, session: &Session<'_>) -> Result<Self, CommandError> {
        let found = kept::last(name, place);
        if found.is_empty() {
            let names: Vec<String> = kept::all(place).into_iter().map(|(name, _)| name).collect();
            let error = CommandError::new(ExitCode::Incomplete, format!("nothing is kept here as {name:?}"))
                .about("--base-name")
                .hint(format!("pack the whole file first, which keeps it: firn pack ... --keep {name}"));
            return Err(if names.is_empty() { error } else { error.hint(format!("kept are {}", names.join(", "))) });
        }
        let mut store = place.open(Vec::new(), session.sink)?;
        let roots: Vec<StorePath> = found.iter().map(|path| store.derivation_of(path)).collect::<Result<_, _>>()?;
        Self::hold(store, roots, place)?.map_err(|lost| {
            CommandError::new(ExitCode::Incomplete, format!("{lost}, kept as {name:?}, is not valid in this store"))
                .about("--base-name")
                .hint("name an earlier file of it with --base FILE, or pack the whole file")
        })
    }

    fn running(host: &str, place: &StorePlace, session: &Session<'_>) -> Result<Self, CommandError> {
        let url = if host.starts_with("ssh-ng://") { host.to_owned() } else { format!("ssh-ng://{host}") };
        let StoreUrl::Ssh(target) = url.parse()? else {
            return Err(CommandError::new(ExitCode::Usage, "this is no host").about("--base-host"));
        };
        let host = &target.destination;
        let refuse = |why: String| CommandError::new(ExitCode::Incomplete, why).about("--base-host");
        let whole = "name an earlier file of it with --base FILE, or pack the whole file";
        let running = Running::ask(&target, environment().ssh_options.as_deref())?;
        let Some(system) = running.system else {
            return Err(refuse(format!("{host} has no /run/current-system: it is no NixOS")).hint(whole));
        };
        let Some(derivation) = running.derivation else {
            let why = match running.deriver {
                Some(deriver) => format!("{host} runs {system}, and has not got {deriver}, which made it"),
                None => format!("{host} runs {system}, and does not know which .drv made it"),
            };
            return Err(refuse(why).hint("pack the whole file: a host that imported it knows it from then on"));
        };
        let root = place.store_dir.parse(derivation.as_bytes()).map_err(CommandError::from).about("--base-host")?;
        session.sink.note(&format!("{host} runs {derivation}"));
        let store = place.open(Vec::new(), session.sink)?;
        Self::hold(store, vec![root], place)?.map_err(|lost| {
            refuse(format!("{host} runs {lost}, which is not valid in this store"))
                .hint(format!("bring it: nix-copy-closure --from {host} {lost}"))
                .hint(format!("or {whole}"))
        })
    }

    /// Holds the roots; the other result is one that is not valid.
    fn hold(mut store: Store, roots: Vec<StorePath>, place: &StorePlace) -> Result<Result<Self, String>, CommandError> {
        let lost = store.hold(&roots)?;
        Ok(match lost.first() {
            Some(lost) => Err(place.store_dir.display(lost)),
            None => Ok(Self { store, roots }),
        })
    }

    /// Reads it.
    pub(super) fn read(
        mut self,
        place: &StorePlace,
        spool: &mut FileSpool,
        session: &Session<'_>,
    ) -> Result<Proven, CommandError> {
        let (closure, _) = read_closure(&mut self.store, place, &self.roots, spool, session).about("the base")?;
        self.store.close()?;
        Ok(closure)
    }
}
