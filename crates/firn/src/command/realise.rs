//! `firn realise`: from a file to a built system.

use super::import::Target;
use crate::{
    CommandError, ExitCode, ImportRequest, Session, default_threads,
    realise::{RealiseRequest, Subject, realise},
};
use clap::{ArgGroup, Args, ValueHint};
use firn_core::{StoreDir, StorePath};
use firn_store::daemon::Settings;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Import, then fetch or build the system.
///
/// Prints the path of what was built, and keeps it with a GC root. Says before it begins what is built and what fetched.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("link").args(["out_link", "no_root"]))]
pub struct Realise {
    /// A firn file, - for standard input, or the .drv path of a root that is in the store
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where to import, and how
    #[command(flatten)]
    pub target: Target,
    /// Where the GC root goes
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub out_link: Option<PathBuf>,
    /// Make no GC root
    #[arg(long)]
    pub no_root: bool,
    /// Say what would be built and fetched, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to build
    #[command(flatten)]
    pub building: Building,
}

/// How to build.
#[derive(Debug, Clone, Default, Args)]
pub struct Building {
    /// Only fetch; refuse when something must be built
    #[arg(long)]
    pub no_build: bool,
    /// Print the lines of build logs
    #[arg(short = 'L', long)]
    pub print_build_logs: bool,
    /// Builds at the same time
    #[arg(short = 'j', long, value_name = "N", help_heading = "Given to Nix")]
    pub max_jobs: Option<String>,
    /// Processors for each build
    #[arg(long, value_name = "N", help_heading = "Given to Nix")]
    pub cores: Option<u64>,
    /// Go on with other builds after one failed
    #[arg(short = 'k', long, help_heading = "Given to Nix")]
    pub keep_going: bool,
    /// Build what cannot be fetched
    #[arg(long, help_heading = "Given to Nix")]
    pub fallback: bool,
    /// Set an option of Nix
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"], help_heading = "Given to Nix")]
    pub option: Vec<String>,
}

impl Realise {
    /// Runs it.
    pub fn run(self, session: &Session<'_>) -> Result<(), CommandError> {
        let settings = self.building.settings()?;
        let import = ImportRequest {
            target: self.target.store()?,
            expect: self.target.expect.clone(),
            out_link: self.out_link,
            no_root: self.no_root,
            dry_run: self.dry_run,
        };
        let request =
            RealiseRequest { import, settings, no_build: self.building.no_build, logs: self.building.print_build_logs };
        let subject = match root_in_store(&self.file) {
            Some((store_dir, root)) => Subject::Path(store_dir, root),
            None => Subject::Loaded(Box::new(session.load_host(&self.file, Some(&request.import.target))?)),
        };
        let realised = realise(&subject, &request, session)?;
        let display = |path: &StorePath| subject.store_dir().display(path);
        if session.globals.json {
            return session.json(&json!({
                "version": 1,
                "roots": subject.roots().iter().map(display).collect::<Vec<_>>(),
                "added": realised.added,
                "present": realised.present,
                "outputs": realised.outputs.iter().map(display).collect::<Vec<_>>(),
                "links": realised.links,
                "built": realised.missing.build.len(),
                "fetched": realised.missing.substitute.len(),
                "download_bytes": realised.missing.download_size,
                "dry_run": request.import.dry_run,
            }));
        }
        for output in &realised.outputs {
            session.result(display(output))?;
        }
        for link in &realised.links {
            session.sink.note(&format!("kept by {}", link.display()));
        }
        Ok(())
    }
}

impl Building {
    /// Settings of the daemon.
    pub(crate) fn settings(&self) -> Result<Settings, CommandError> {
        let mut settings = Settings::default();
        if let Some(jobs) = &self.max_jobs {
            settings.max_jobs = Some(match jobs.as_str() {
                "auto" => default_threads() as u64,
                number => number.parse().map_err(|_| {
                    CommandError::new(ExitCode::Usage, format!("-j takes a number or auto, not {number:?}"))
                })?,
            });
        }
        settings.cores = self.cores;
        settings.keep_going = self.keep_going;
        settings.fallback = self.fallback;
        settings.overrides = self.option.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Ok(settings)
    }
}

/// A derivation of the store that is named by its path. A file of that name elsewhere is a file.
pub(super) fn root_in_store(file: &Path) -> Option<(StoreDir, StorePath)> {
    let (folder, name) = (file.parent()?.to_str()?, file.file_name()?.to_str()?);
    let path = StorePath::from_base_name(name.as_bytes()).ok().filter(StorePath::is_derivation)?;
    Some((StoreDir::new(folder).ok()?, path))
}
