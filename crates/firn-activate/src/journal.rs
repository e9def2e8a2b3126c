//! What is being done, on disk before it is done. One file for each activation, replaced as a whole and synced at every
//! state, so that whoever reads it after a crash knows what may have been begun.

use crate::{
    clock::Moment,
    error::ActivateError,
    goal::Goal,
    health::Baseline,
    host::{Host, make_folder, write_synced},
    loader::{BootDefault, OneShot},
    profile::Generation,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// How far an activation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The system is in the store, on disk and rooted; nothing was begun.
    Realised,
    /// Its script runs, or its health is judged.
    Testing,
    /// It runs and is healthy.
    Healthy,
    /// As healthy; somebody has to confirm before the deadline.
    Awaiting,
    /// Profile and boot loader are moved.
    Committing,
    /// It boots the next time, once; then somebody has to confirm.
    AwaitingReboot,
    /// What was there before is put back.
    Reverting,
    /// All that was wanted is done.
    Done,
    /// The system cannot be switched to without a restart; nothing was changed.
    NeedsReboot,
    /// The script refused before it changed anything.
    Refused,
    /// What was there before is back.
    Reverted,
    /// Putting it back failed.
    RevertFailed,
    /// A person had switched to another system meanwhile: nothing was done.
    Intervened,
}

/// How one stands that was booted once.
pub(crate) const BOOTED_ONCE: &str = "booted once, awaiting confirmation";

impl State {
    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Done | Self::NeedsReboot | Self::Refused | Self::Reverted | Self::RevertFailed | Self::Intervened
        )
    }

    /// As `firn status` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Realised => "realised",
            Self::Testing => "testing",
            Self::Healthy => "healthy",
            Self::Awaiting => "awaiting confirmation",
            Self::Committing => "committing",
            Self::AwaitingReboot => "awaiting a restart",
            Self::Reverting => "reverting",
            Self::Done => "done",
            Self::NeedsReboot => "needs a restart",
            Self::Refused => "refused",
            Self::Reverted => "reverted",
            Self::RevertFailed => "revert failed",
            Self::Intervened => "left alone",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The host before: what a revert goes back to. Exact paths and numbers, never "one back".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What ran.
    pub running: Option<PathBuf>,
    /// What the profile was at.
    pub generation: Option<Generation>,
    /// What would have booted.
    pub boot_default: BootDefault,
}

impl Before {
    /// The system whose script restores the boot loader: the one that booted by default, as far as it is known, else the
    /// one of the profile.
    pub fn boot_system(&self) -> Option<&Path> {
        self.boot_default.system().or_else(|| self.generation.as_ref().map(|generation| generation.path.as_path()))
    }
}

/// What may have been begun: set, and on disk, before it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The script's `test`.
    pub test: bool,
    /// The profile's link.
    pub profile: bool,
    /// The boot loader.
    pub boot: bool,
    /// The one-shot entry.
    pub once: bool,
}

/// An activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Version of this format.
    pub version: u32,
    /// Its name: the time when it was begun.
    pub id: String,
    /// What is wanted.
    pub goal: Goal,
    /// What `/run/current-system` leads to once it runs.
    pub target: PathBuf,
    /// What was there.
    pub before: Before,
    /// Parts of the system that only a restart proves: kernel, initrd, fstab.
    pub unproven: Vec<String>,
    /// How far it has come.
    pub state: State,
    /// Every state with the moment it was reached.
    pub history: Vec<(State, Moment)>,
    /// What may have been begun.
    pub begun: Begun,
    /// Units that failed before.
    pub baseline: Option<Baseline>,
    /// The new generation of the profile.
    pub generation: Option<Generation>,
    /// Whether that one was made by this activation.
    pub generation_made: bool,
    /// The one-shot entry that was set.
    pub once: Option<OneShot>,
    /// Latest moment of what is waited for. Until somebody has to confirm, the latest for the test and its health.
    pub deadline: Option<Moment>,
    /// When the new system was up: a connection made later proves that the host can be reached.
    pub activated: Option<Moment>,
    /// Why it did not come to its end.
    pub why: Option<String>,
    /// Why what was there is put back, without what went wrong on the way.
    #[serde(default)]
    pub cause: Option<String>,
    /// Its script said that only a restart gets there.
    #[serde(default)]
    pub needs_reboot: bool,
    /// Whether the boot loader was read back and named the system.
    pub boot_checked: bool,
    /// Its log, as an absolute path of the host.
    pub log: PathBuf,
}

/// Bytes that are set aside: a few journals.
const RESERVE: usize = 64 << 10;

/// Version of journals that we write, and the newest that we read.
pub const VERSION: u32 = 1;

impl Journal {
    /// A journal of what is about to begin, in the state realised.
    pub fn new(goal: Goal, target: PathBuf, before: Before, unproven: Vec<String>, now: Moment) -> Self {
        let id = stamp(now.unix_ms);
        let log = Path::new("/nix/var/firn/log").join(format!("{id}.log"));
        Self {
            version: VERSION,
            id,
            goal,
            target,
            before,
            unproven,
            state: State::Realised,
            history: vec![(State::Realised, now)],
            begun: Begun::default(),
            baseline: None,
            generation: None,
            generation_made: false,
            once: None,
            deadline: None,
            activated: None,
            why: None,
            cause: None,
            needs_reboot: false,
            boot_checked: false,
            log,
        }
    }

    /// Reads one by its name.
    pub fn read(host: &Host, id: &str) -> Result<Self, ActivateError> {
        let path = host.journals().join(format!("{id}.json"));
        let text = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ActivateError::NoJournal(id.to_owned()),
            _ => ActivateError::file("read", &path)(error),
        })?;
        serde_json::from_slice(&text).map_err(|source| ActivateError::Journal { path, source })
    }

    /// Names of all, oldest first.
    pub fn all(host: &Host) -> Vec<String> {
        let entries = fs::read_dir(host.journals()).into_iter().flatten().flatten();
        let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned());
        let mut names: Vec<String> = entries.filter_map(name).filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The newest.
    pub fn latest(host: &Host) -> Result<Option<Self>, ActivateError> {
        Self::all(host).last().map(|id| Self::read(host, id)).transpose()
    }

    /// Brings it to disk.
    pub fn write(&self, host: &Host) -> Result<(), ActivateError> {
        let folder = host.journals();
        make_folder(&folder)?;
        let path = folder.join(format!("{}.json", self.id));
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|source| ActivateError::Journal { path: path.clone(), source })?;
        text.push(b'\n');
        write_synced(&path, &text, 0o644)
    }

    /// Brings it to disk, giving up the reserve where there is no room.
    pub(crate) fn write_at_any_cost(&self, host: &Host) -> Result<(), ActivateError> {
        self.write(host).or_else(|_| {
            self.drop_reserve(host);
            self.write(host)
        })
    }

    /// Sets space aside, so that an activation that fills the disk can still be written down to its end.
    pub(crate) fn make_reserve(&self, host: &Host) -> Result<(), ActivateError> {
        write_synced(&self.reserve(host), &[0x5a; RESERVE], 0o600)
    }

    /// Gives it up.
    pub(crate) fn drop_reserve(&self, host: &Host) {
        let _ = fs::remove_file(self.reserve(host));
    }

    fn reserve(&self, host: &Host) -> PathBuf {
        host.journals().join(format!("{}.reserve", self.id))
    }

    /// Moves to a state.
    pub fn enter(&mut self, state: State, now: Moment) {
        if self.state != state {
            self.state = state;
            self.history.push((state, now));
        }
    }

    /// Whether a system is the new one, with or without its specialisation.
    pub fn is_new(&self, system: Option<&Path>) -> bool {
        system.is_some_and(|system| *system == self.target || *system == self.goal.system)
    }

    /// Whether the host was restarted since the last state was reached.
    pub fn restarted(&self, now: &Moment) -> bool {
        self.history.last().is_none_or(|(_, moment)| moment.boot_id != now.boot_id)
    }

    /// How it stands, in words. `running` is what runs now.
    pub fn word(&self, running: Option<&Path>, now: &Moment) -> &'static str {
        match self.state {
            State::AwaitingReboot if self.restarted(now) && self.is_new(running) => BOOTED_ONCE,
            State::AwaitingReboot if self.restarted(now) => "not kept",
            state => state.word(),
        }
    }

    /// Name of the systemd unit that does the work.
    pub fn unit(&self) -> String {
        format!("firn-activate-{}.service", self.id)
    }

    /// When it was begun, in milliseconds since 1970.
    pub fn began_ms(&self) -> u64 {
        self.history.first().map_or(0, |(_, moment)| moment.unix_ms)
    }
}

/// `20261124-122301-042`: sorts as time does, and goes into names of units and files.
fn stamp(unix_ms: u64) -> String {
    let (date, seconds) = (unix_ms / 86_400_000, unix_ms / 1000 % 86_400);
    let (year, month, day) = civil(date);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{:03}", unix_ms % 1000)
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// `2026-11-24 12:23:01` of a number of seconds since 1970, in UTC.
pub fn date(unix_seconds: u64) -> String {
    let (year, month, day) = civil(unix_seconds / 86_400);
    let seconds = unix_seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::goal::{Action, Options};

    /// A moment of a start of the host called `boot`.
    pub(crate) fn moment(boot: &str, ms: u64) -> Moment {
        Moment { unix_ms: 1_795_522_981_042 + ms, boot_ms: ms, monotonic_ms: ms, boot_id: boot.into() }
    }

    /// A switch from generation 41 to a new system.
    pub(crate) fn journal(action: Action) -> Journal {
        let goal = Goal {
            action,
            system: "/nix/store/new".into(),
            specialisation: None,
            generation: None,
            profile: "system".into(),
            file: Some("web.firn".into()),
            confirm: None,
            options: Options::default(),
        };
        let generation = Generation { number: 41, path: "/nix/store/old".into() };
        let before = Before {
            running: Some("/nix/store/old".into()),
            generation: Some(generation),
            boot_default: BootDefault::System("/nix/store/old".into()),
        };
        Journal::new(goal, "/nix/store/new".into(), before, Vec::new(), moment("one", 0))
    }

    #[test]
    fn a_journal_is_named_by_its_time_and_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert!(Journal::latest(&host).unwrap().is_none());
        let mut journal = journal(Action::Switch);
        assert_eq!(journal.id, "20261124-122301-042");
        assert_eq!(date(journal.began_ms() / 1000), "2026-11-24 12:23:01");
        journal.write(&host).unwrap();
        journal.enter(State::Testing, moment("one", 7));
        journal.write(&host).unwrap();
        assert_eq!(Journal::latest(&host).unwrap(), Some(journal));
        assert_eq!(fs::read_dir(host.journals()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59:59");
    }
}
