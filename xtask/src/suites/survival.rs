//! The table "what survives what" of docs/activation.md, with the number of checks behind each of its lines.

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use super::{activate, crash, interrupt, power};
use crate::workspace;

const PAGE: &str = "docs/activation.md";
const BEGIN: &str = "<!-- begin: what survives what, by cargo xtask generate -->\n";
const END: &str = "<!-- end: what survives what -->\n";

/// A line: what happens, what the host is left with, and the beginnings of the names of the checks that say so.
struct Line {
    what: &'static str,
    left: &'static str,
    checks: &'static [&'static str],
}

const LINES: &[Line] = &[
    Line {
        what: "Ctrl-C, a killed client, a cut line",
        left: "the activation goes on; over ssh it reverts unless confirmed",
        checks: &["interrupt: Ctrl-C", "interrupt: the ssh client", "interrupt: the line is cut"],
    },
    Line {
        what: "the network gone, sshd elsewhere, keys gone",
        left: "the old system, when the window is over or at the next boot",
        checks: &["activate: D1", "activate: D2", "activate: D3", "interrupt: cut off by D1"],
    },
    Line {
        what: "nobody confirms, or by a connection that proves nothing",
        left: "the old system",
        checks: &[
            "activate: nobody confirms",
            "activate: B waits for its confirmation",
            "interrupt: over ssh without a flag",
            "interrupt: sudo by alice",
            "interrupt: a shared ControlMaster",
            "interrupt: taken back",
        ],
    },
    Line {
        what: "a script that refuses, fails, hangs, is killed, or cannot be run",
        left: "the old system; where it is sure that nothing was touched, it says so",
        checks: &["activate: C1:", "activate: C2", "activate: C5", "activate: C100", "activate: Cdie"],
    },
    Line { what: "a script that restarts the host", left: "the old system, by booting it", checks: &["activate: D4"] },
    Line {
        what: "units that fail, at once or later; own checks that fail",
        left: "the old system; units that failed before or may fail are nobody's fault",
        checks: &[
            "activate: C4",
            "activate: Cloop",
            "activate: Cagain",
            "activate: Calways",
            "activate: Cjob",
            "activate: O, O2",
            "activate: a check of",
            "interrupt: a unit that fails again",
        ],
    },
    Line {
        what: "a boot loader that cannot be written, a full `/boot`",
        left: "the old system, profile and boot entries",
        checks: &["activate: C1b", "interrupt: /boot is full"],
    },
    Line {
        what: "a kernel that does not boot, tried by `boot --once`",
        left: "the old system at the next boot",
        checks: &["activate: boot --once"],
    },
    Line {
        what: "builds that fail, sources that are gone",
        left: "the same as before",
        checks: &["activate: E", "activate: F", "activate: G: no server", "interrupt: Ctrl-C while it builds"],
    },
    Line {
        what: "a power cut at every state of the journal",
        left: "the old system, or the new one if it had been found healthy",
        checks: &["crash: power cut when"],
    },
    Line {
        what: "a power cut at moments of an import, a switch, a revert",
        left: "the same",
        checks: &["crash: power cut during"],
    },
    Line {
        what: "the same where it loses all that was not synced (nightly)",
        left: "the same, and every store path has its contents",
        checks: &["power: "],
    },
    Line {
        what: "the switch-to-configuration.pl of nixpkgs 19.09 instead of the bed's (nightly)",
        left: "the same as with the bed's",
        checks: &["real: "],
    },
    Line { what: "a power cut after each of these ends", left: "what it says", checks: &["activate: "] },
    Line {
        what: "paths that a power cut left damaged",
        left: "they come again",
        checks: &["interrupt: an import that was cut"],
    },
    Line {
        what: "the process that has it in hand killed, firn deleted or replaced",
        left: "it goes on, or reverts",
        checks: &["interrupt: the process", "interrupt: firn is"],
    },
    Line {
        what: "`nix-collect-garbage -d` at any moment",
        left: "the same as without it",
        checks: &["interrupt: nix-collect-garbage"],
    },
    Line {
        what: "a disk that is full, becomes full, or cannot be written; a clock that jumps",
        left: "what it says: nothing begun, or a switch, or a revert",
        checks: &["interrupt: /nix/var/firn", "interrupt: the clock"],
    },
    Line {
        what: "another switch meanwhile; a file for another host or machine",
        left: "refused, nothing changed",
        checks: &["interrupt: two switches", "interrupt: a switch while", "interrupt: a file for another"],
    },
    Line {
        what: "a person who switches by hand meanwhile",
        left: "the person's system",
        checks: &["interrupt: a person switches by hand"],
    },
];

/// The page with the table as it should be. A line without a check is an error: the check has gone or has another name.
pub fn page() -> Result<Vec<(String, String)>> {
    let page = fs::read_to_string(workspace::file(PAGE))?;
    let (before, rest) = page.split_once(BEGIN).context("docs/activation.md has lost the mark of its table")?;
    let (_, after) = rest.split_once(END).context("docs/activation.md has lost the end of its table")?;
    Ok(vec![(PAGE.to_owned(), format!("{before}{BEGIN}{}{END}{after}", table()?))])
}

fn table() -> Result<String> {
    let checks =
        [activate::names(), activate::names_real(), interrupt::names(), crash::names(), power::names()].concat();
    let mut table = "| | the host is left with | checks |\n|---|---|---|\n".to_owned();
    for Line { what, left, checks: wanted } in LINES {
        for beginning in *wanted {
            ensure!(checks.iter().any(|name| name.starts_with(beginning)), "no check is called {beginning:?}");
        }
        let count = checks.iter().filter(|name| wanted.iter().any(|beginning| name.starts_with(beginning))).count();
        table.push_str(&format!("| {what} | {left} | {count} |\n"));
    }
    table.push_str("| data that services wrote meanwhile | is not undone, and the message says so | |\n");
    Ok(table)
}
