//! From a decision to a process of its own: our copy of the binary, the journal, the unit.

use crate::{
    clock::{Clock, Moment},
    error::ActivateError,
    facts::Facts,
    goal::Goal,
    hold::{Hold, Lock},
    host::{Host, make_folder, replace_link, sync_file_system, sync_parent},
    imported,
    journal::Journal,
    log::Log,
    machine::{Machine, TICK, Unit},
    record::make_roots,
    script::watcher,
};
use sha2::{Digest, Sha256};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest time from the start of the unit until it has the activation in hand.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes down what is about to be done: roots, the store on disk, then the journal in the state realised.
pub fn prepare(host: &Host, mut goal: Goal, facts: &Facts, now: Moment) -> Result<Journal, ActivateError> {
    if goal.action.only_boots() {
        // None runs of it, so none is remembered.
        goal.specialisation = None;
    }
    let target = host.resolve(goal.top()).unwrap_or_else(|| goal.top());
    let journal = Journal::new(goal, target, facts.before(), facts.unproven.clone(), now);
    make_roots(host, &journal)?;
    sync_file_system(&host.path("/nix/store"))?;
    make_folder(&host.logs())?;
    make_folder(&host.journals())?;
    journal.make_reserve(host)?;
    journal.write(host)?;
    // All that was imported for it is on disk now.
    imported::end(host)?;
    Ok(journal)
}

/// Starts the process that brings an activation to its end. It has it in hand when this returns.
pub fn launch(
    host: &Host,
    machine: &Machine,
    clock: &dyn Clock,
    binary: &Path,
    journal: &Journal,
    begin: Option<Hold>,
) -> Result<(), ActivateError> {
    install_binary(host, binary)?;
    let log = Log::open(host, journal.log.clone());
    let command: [OsString; 3] = [watcher(host).into(), "__activate".into(), journal.id.clone().into()];
    let before = serde_json::to_string(&journal.state).unwrap_or_default();
    if host.path("/run/systemd/system").is_dir() {
        // Killed by whatever is no decision of a person, it starts again and goes on by its journal.
        let properties = ["Restart=on-abnormal", "RestartSec=1s", "OOMScoreAdjust=-900", "IgnoreSIGPIPE=no"];
        // Stopped by a person, it puts back what it began; each run of a script on that way has this limit of its own.
        let back = journal.goal.options.back_timeout() * 5 + Duration::from_secs(60);
        let stopped = format!("ExecStopPost={} __activate --stopped {}", watcher(host).display(), journal.id);
        let mut properties = properties.map(str::to_owned).to_vec();
        properties.extend([stopped, format!("TimeoutStopSec={}s", back.as_secs())]);
        let name = journal.unit();
        machine.start(&Unit {
            name: &name,
            properties: &properties,
            environment: &[],
            log: &log.path,
            command: &command,
        })?;
    } else {
        // In a process group of its own, the end of the caller's terminal does not reach it.
        drop(machine.spawn(&command, &[], &log.path)?);
    }
    let end = clock.now().after(PATIENCE);
    loop {
        let state =
            Journal::read(host, &journal.id).map(|now| serde_json::to_string(&now.state).unwrap_or_default())?;
        if state != before || Lock::Work.is_taken(host)? || clock.now().until(&end).is_zero() {
            break;
        }
        clock.sleep(TICK / 4);
    }
    drop(begin);
    Ok(())
}

/// Copies the running binary to where nothing replaces it: the caller's may be on a stick, or not be on the new PATH.
/// Named by its contents, so that a copy is made once; `firn` beside it is the newest.
pub fn install_binary(host: &Host, binary: &Path) -> Result<PathBuf, ActivateError> {
    let folder = host.binaries();
    make_folder(&folder)?;
    let digest = digest(binary).map_err(ActivateError::file("read", binary))?;
    let copy = folder.join(format!("firn-{digest}"));
    let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    if size(&copy).is_none() || size(&copy) != size(binary) {
        let temporary = folder.join(format!(".firn-{digest}.{}", std::process::id()));
        let write = || {
            fs::copy(binary, &temporary)?;
            fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
            File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &copy)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&temporary);
            ActivateError::file("write", &copy)(error)
        })?;
        sync_parent(&copy)?;
    }
    let link = watcher(host);
    let name = PathBuf::from(copy.file_name().unwrap_or_default());
    if fs::read_link(&link).ok().as_ref() != Some(&name) {
        replace_link(&link, &name)?;
    }
    Ok(copy)
}

fn digest(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
