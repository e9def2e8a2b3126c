//! Benchmarks in hosts of the test bed: imports by the daemon of each release, and over a long line.

use anyhow::{Context, Result};

use super::ROUNDS;
use crate::bed::{self, Bed, Host, Release};
use crate::dist::{self, Processor, Toolchain};
use crate::install::Missing;
use crate::workspace;
use std::path::Path;

const FORGET: &str = "rm -rf /home/*/.local/state/firn /nix/var/nix/gcroots/firn; nix-store --gc >/dev/null 2>&1; ";
/// Round trip of the long line, in milliseconds.
const ROUND_TRIP: u32 = 100;

/// Tables of the page, in Markdown. `folder` holds the desktop closure as `d.firn`, `d.export.gz` and in the store
/// folder `packer`, whose root is `root`.
pub fn tables(folder: &Path, root: &str) -> Result<String> {
    match measured(folder, root) {
        Err(error) if error.is::<Missing>() => Ok(format!("\nImport by daemons: NOT TESTED: {error:#}\n")),
        other => other,
    }
}

fn measured(folder: &Path, root: &str) -> Result<String> {
    bed::prepare()?;
    let firn = dist::build(Processor::X86_64, Toolchain::Rustup)?;
    let mut page = format!(
        "\n## By the daemon\n\nThe same closure into the empty store of a host of the test bed, by an ordinary user; against \
         `gunzip | nix-store --import`\nby root, with the daemon (`NIX_REMOTE=daemon`) and without it. The best of {ROUNDS} rounds.\n\n\
         | Nix | firn, s | by the daemon, s | times faster | wanted | without it, s | times faster |\n|---|---|---|---|---|---|---|\n"
    );
    for release in Release::ALL {
        match by_daemon(folder, &firn, release) {
            Err(error) if error.is::<Missing>() => {
                page.push_str(&format!("| {} | NOT TESTED: {error:#} | | | | | |\n", release.name()));
            }
            row => page.push_str(&row?),
        }
    }
    page.push_str(&over_a_line(folder, &firn, root)?);
    Ok(page)
}

fn by_daemon(folder: &Path, firn: &Path, release: Release) -> Result<String> {
    bed::image(release)?;
    let bed = Bed::new(&format!("bench-{}", release.name()))?;
    let host = bed.host(release, "host")?;
    host.push(firn, "/usr/bin/firn")?;
    for file in ["d.firn", "d.export.gz"] {
        host.push(&folder.join(file), &format!("/srv/{file}"))?;
    }
    let version = host.root("nix-store --version")?.ok()?.replace("nix-store (Nix) ", "");
    let stock = "gunzip -c /srv/d.export.gz | nix-store --import >/dev/null";
    let (mut ours, mut daemon, mut alone) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        ours = ours.min(timed(&host, "alice", "firn -q import /srv/d.firn >/dev/null")?);
        daemon = daemon.min(timed(&host, "root", &format!("export NIX_REMOTE=daemon; {stock}"))?);
        alone = alone.min(timed(&host, "root", stock)?);
    }
    let wanted = if release == Release::Bookworm { 1.0 } else { 1.5 };
    let row = format!(
        "| {version} | {ours:.2} | {daemon:.2} | {:.1} | {wanted} | {alone:.2} | {:.1} |\n",
        daemon / ours,
        alone / ours
    );
    print!("{row}");
    Ok(row)
}

/// Seconds of a command in an emptied store.
fn timed(host: &Host<'_>, user: &str, line: &str) -> Result<f64> {
    host.root(FORGET)?.ok()?;
    let script = clocked(line);
    let ended = if user == "root" { host.root(&script)? } else { host.user(user, &script)? };
    seconds(&ended.ok()?)
}

/// A script that says last how many nanoseconds a line took.
pub(super) fn clocked(line: &str) -> String {
    format!("set -e; start=$(date +%s%N); {line}; echo $(($(date +%s%N) - start))")
}

/// The seconds that such a script said.
pub(super) fn seconds(said: &str) -> Result<f64> {
    let nanoseconds = said.lines().last().unwrap_or_default();
    Ok(nanoseconds.trim().parse::<f64>().with_context(|| format!("a time: {said:?}"))? / 1e9)
}

fn over_a_line(folder: &Path, firn: &Path, root: &str) -> Result<String> {
    let bed = Bed::new("bench-line")?;
    let far = bed.host(Release::Trixie, "far")?;
    // In a file, since Nix 2.8 knows no quotes in NIX_SSHOPTS.
    let config = folder.join("ssh_config");
    let text = format!(
        "Host *\n  ProxyCommand {} %h %p --delay {}\nInclude {}\n",
        workspace::file("tests/testbed/slowpipe").display(),
        ROUND_TRIP / 2,
        bed.ssh_config().display()
    );
    fs_err::write(&config, text)?;
    let line = format!(
        "cd {}; export NIX_SSHOPTS='-F {}'; export XDG_STATE_HOME=$PWD/state; ",
        folder.display(),
        config.display()
    );
    let from = "NIX_REMOTE=\"local?root=$PWD/packer\"";
    let mut page = format!(
        "\n## Over a line of {ROUND_TRIP} ms\n\nThe same closure from this machine into the empty store of a host with Nix 2.26, one \
         run each, no limit of bandwidth.\n\n| job | s |\n|---|---|\n"
    );
    for (what, command) in [
        (
            "`firn import --store ssh-ng://alice@far`",
            format!("{} -q import d.firn --store ssh-ng://alice@far", firn.display()),
        ),
        ("`nix-copy-closure --to root@far`", format!("{from} nix-copy-closure --to root@far {root}")),
        (
            "`nix copy --derivation --to ssh-ng://root@far`",
            format!(
                "{from} nix --extra-experimental-features nix-command copy --derivation --to ssh-ng://root@far {root}"
            ),
        ),
    ] {
        // Once: stock tools need minutes, and the line decides.
        far.root(FORGET)?.ok()?;
        let said = bed.hub(&format!("{line}{}", clocked(&format!("{command} >/dev/null 2>&1"))))?.ok()?;
        let row = format!("| {what} | {:.1} |\n", seconds(&said)?);
        print!("{row}");
        page.push_str(&row);
    }
    Ok(page)
}
