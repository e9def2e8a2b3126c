//! How the caller reached this host: at its console, or over ssh, by which connection. sudo, su and run0 drop
//! `SSH_CONNECTION`, so the processes above are asked, and systemd-logind's sessions.

use crate::host::Host;
use std::{fs, path::Path};

/// Where a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// At the host itself: a console, or entered from the machine that runs it.
    Console,
    /// Over ssh; by a connection whose process started at this time, in milliseconds since the host started.
    Ssh {
        /// Start of the connection's process.
        since_boot_ms: u64,
    },
    /// In a multiplexer, a service or a timer: it says nothing of who is there.
    Unknown,
}

impl Caller {
    /// Whether it proves that the host can be reached, after a moment in milliseconds since the host started.
    pub fn proves(&self, after_boot_ms: u64) -> bool {
        match self {
            Self::Console => true,
            Self::Ssh { since_boot_ms } => *since_boot_ms >= after_boot_ms,
            Self::Unknown => false,
        }
    }
}

/// Clock ticks a second in `/proc`: fixed for user space on every Linux that Nix runs on.
const TICKS: u64 = 100;

/// One process of `/proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    name: String,
    parent: u32,
    tty: u64,
    start_ms: u64,
}

/// Finds where the caller is. `sudo_uid` is what sudo and run0 leave in `SUDO_UID`.
pub fn caller(host: &Host, sudo_uid: Option<u32>) -> Caller {
    let sessions = sessions(host);
    let own = own_session(host).and_then(|id| sessions.iter().find(|session| session.id == id));
    let mut pid = std::process::id();
    let mut console = false;
    // The nearest sshd belongs to the connection even where a master shares it or the listener is a socket unit.
    while let Some(found) = process(host, pid) {
        if matches!(found.name.as_str(), "sshd" | "sshd-session" | "dropbear") {
            return Caller::Ssh { since_boot_ms: found.start_ms };
        }
        // sudo gives its command a terminal of its own; the one of the login is further up.
        console |= is_console(found.tty);
        match found.parent {
            // From outside of this host's processes: whoever can do that has the machine.
            0 if pid != 1 => return Caller::Console,
            0 => break,
            parent => pid = parent,
        }
    }
    let remote = |session: &Session| {
        let start = process(host, session.leader).map_or(0, |leader| leader.start_ms);
        Caller::Ssh { since_boot_ms: start }
    };
    match own {
        Some(session) if session.remote => return remote(session),
        _ if console => return Caller::Console,
        _ => {}
    }
    // run0 starts from PID 1: of the sessions of the one who called it, the newest remote one.
    let theirs = sessions.iter().filter(|session| session.remote && Some(session.uid) == sudo_uid);
    if let Some(newest) = theirs.max_by_key(|session| process(host, session.leader).map_or(0, |p| p.start_ms)) {
        return remote(newest);
    }
    Caller::Unknown
}

/// Virtual consoles (4:0 to 4:63), serial lines (4:64 on; 204, 229 are others) and /dev/console (5:1).
fn is_console(tty: u64) -> bool {
    let (major, minor) = ((tty >> 8) & 0xfff, (tty & 0xff) | ((tty >> 12) & 0xfff00));
    matches!(major, 4 | 204 | 229) || (major == 5 && minor == 1)
}

/// Start of a process in ticks since the host started.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|process| process.start_ms * TICKS / 1000)
}

fn process(host: &Host, pid: u32) -> Option<Process> {
    parse(&fs::read_to_string(host.path(format!("/proc/{pid}/stat"))).ok()?)
}

/// proc(5): the name is in parentheses and may hold any characters; then state, parent, ..., start time as field 22.
fn parse(stat: &str) -> Option<Process> {
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let fields: Vec<&str> = stat.get(close + 1..)?.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        name: stat.get(open + 1..close)?.to_owned(),
        parent: u32::try_from(number(4)?).ok()?,
        tty: number(7)?,
        start_ms: number(22)?.checked_mul(1000 / TICKS)?,
    })
}

/// A session of systemd-logind, by its file: no program is needed to read it.
struct Session {
    id: String,
    uid: u32,
    remote: bool,
    leader: u32,
}

fn sessions(host: &Host) -> Vec<Session> {
    let entries = fs::read_dir(host.path("/run/systemd/sessions")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            Some(Session {
                id: entry.file_name().into_string().ok()?,
                uid: value("UID")?.parse().ok()?,
                remote: value("REMOTE") == Some("1"),
                leader: value("LEADER")?.parse().ok()?,
            })
        })
        .collect()
}

/// `session-7.scope` of our control group.
fn own_session(host: &Host) -> Option<String> {
    let text = fs::read_to_string(host.path(Path::new("/proc/self/cgroup"))).ok()?;
    text.split(['/', '\n']).find_map(|part| Some(part.strip_prefix("session-")?.strip_suffix(".scope")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "0 0 0 0 0 0 0 0 0 0 0 20 0 1 0";

    fn host(processes: &[(u32, &str, u32, u64, u64)]) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        for (pid, name, parent, tty, ticks) in processes {
            let folder = host.path(format!("/proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            let text = format!("{pid} ({name}) S {parent} 1 1 {tty} {TAIL} 0 {ticks} 0 0\n");
            // Fields 8 to 21 are fourteen numbers.
            let text = text.replace(TAIL, "0 0 0 0 0 0 0 0 0 0 0 20 0");
            fs::write(folder.join("stat"), text).unwrap();
        }
        (dir, host)
    }

    fn at(host: &Host) -> Caller {
        caller(host, None)
    }

    #[test]
    fn the_nearest_sshd_above_sudo_is_the_connection() {
        let own = std::process::id();
        let (_dir, host) = host(&[
            (own, "firn", 50, 34816, 900),
            (50, "sudo", 40, 34816, 890),
            (40, "bash) S (x", 30, 34816, 800),
            (30, "sshd-session", 20, 0, 700),
            (20, "sshd", 1, 0, 10),
            (1, "systemd", 0, 0, 0),
        ]);
        let ssh = at(&host);
        assert_eq!(ssh, Caller::Ssh { since_boot_ms: 7000 });
        assert!(ssh.proves(6_999) && !ssh.proves(7_001));
    }

    #[test]
    fn a_multiplexer_proves_nothing_and_a_virtual_console_does() {
        let own = std::process::id();
        let systemd = (1, "systemd", 0, 0, 0);
        let (_dir, tmux) = host(&[(own, "firn", 40, 34816, 9), (40, "tmux: server", 1, 0, 8), systemd]);
        assert_eq!(at(&tmux), Caller::Unknown);
        let (_dir, login) = host(&[(own, "firn", 40, 1025, 9), (40, "bash", 1, 1025, 8), systemd]);
        assert_eq!(at(&login), Caller::Console);
        let (_dir, sudo) = host(&[(own, "firn", 40, 34816, 9), (40, "bash", 1, 1025, 8), systemd]);
        assert_eq!(at(&sudo), Caller::Console);
        let (_dir, entered) = host(&[(own, "firn", 0, 0, 9), systemd]);
        assert_eq!(at(&entered), Caller::Console);
    }

    #[test]
    fn run0_is_found_by_the_remote_session_of_its_caller() {
        let own = std::process::id();
        let (_dir, host) =
            host(&[(own, "firn", 1, 34816, 900), (1, "systemd", 0, 0, 0), (77, "sshd-session", 1, 0, 500)]);
        fs::create_dir_all(host.path("/run/systemd/sessions")).unwrap();
        fs::write(host.path("/run/systemd/sessions/3"), "UID=1000\nREMOTE=1\nLEADER=77\n").unwrap();
        assert_eq!(caller(&host, Some(1000)), Caller::Ssh { since_boot_ms: 5000 });
        assert_eq!(caller(&host, Some(1001)), Caller::Unknown);
    }
}
