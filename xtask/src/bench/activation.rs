//! What firn adds to a switch: time and memory against the stock commands, in a host of the test bed.

use anyhow::{Context, Result};

use super::hosts::{clocked, seconds};
use crate::bed::{self, Bed, Host, Release};
use crate::dist::{self, Processor, Toolchain};
use crate::install::Missing;
use crate::workspace;

/// Title of this part of the page; it is the last.
pub const TITLE: &str = "\n## Switching\n";

const ROUNDS: usize = 7;

/// Most that firn may add, in milliseconds and MB.
const BUDGET: (f64, f64) = (300.0, 25.0);

/// Address space of a host with little memory, in KiB.
const SMALL: u32 = 256 << 10;

/// What nixos-rebuild does with a built system.
const STOCK: &str = "nix-env -p /nix/var/nix/profiles/system --set $1 && systemd-run --collect --wait --quiet \
                     --service-type=exec $1/bin/switch-to-configuration switch";

/// This part of the page, in Markdown.
pub fn page() -> Result<String> {
    match measured() {
        Err(error) if error.is::<Missing>() => Ok(format!("{TITLE}\nNOT TESTED: {error:#}\n")),
        other => other,
    }
}

fn measured() -> Result<String> {
    bed::prepare()?;
    bed::image(Release::Trixie)?;
    let firn = dist::build(Processor::X86_64, Toolchain::Rustup)?;
    let bed = Bed::new("bench-switch")?;
    let host = bed.host(Release::Trixie, "h1")?;
    host.push(&firn, "/usr/bin/firn")?;
    host.push(&bed.tools(Release::Trixie)?, "/root/tools")?;
    host.push(&workspace::file("tests/testbed/nix"), "/root/nix")?;
    host.root(
        "cd; for g in A B; do nix-build nix -A $g --arg tools ./tools -o $g; firn switch -q ./$g --settle 0s; done",
    )?
    .ok()?;
    let (mut stock, mut ours, mut back) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        stock = stock
            .min(took(&host, &format!("set -- $(readlink -f A); {STOCK}; set -- $(readlink -f B); {STOCK}"))? / 2.0);
        let switches = "firn switch -q ./A --settle 0s >/dev/null; firn switch -q ./B --settle 0s >/dev/null";
        ours = ours.min(took(&host, switches)? / 2.0);
        back = back.min(took(&host, "! firn switch -q ./A --settle 0s --check false >/dev/null 2>&1")?);
    }
    let (client, unit) = memory(&host)?;
    let small = format!(
        "firn pack -q --file nix --attr A --arg tools ./tools -o a.firn; ulimit -v {SMALL}; firn switch -q a.firn --settle 0s"
    );
    host.root(&format!("cd; {small}"))?.ok().context("a switch of a file in 256 MB")?;
    let row =
        |what: &str, value: f64, most: f64, unit: &str| format!("| {what} | {value:.0} {unit} | {most:.0} {unit} |\n");
    let mut page = format!(
        "{TITLE}\nBetween A and B of the test bed, built before, `--settle 0s`, against `nix-env --set` and `switch-to-configuration \
         switch`\nin a transient unit, as nixos-rebuild has it; the best of {ROUNDS} rounds. Load when it was measured: {}.\n\n\
         | | | at most |\n|---|---|---|\n",
        fs_err::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default(),
    );
    page.push_str(&format!("| the stock commands | {:.0} ms | |\n| firn | {:.0} ms | |\n", stock * 1e3, ours * 1e3));
    page.push_str(&row("firn adds", (ours - stock) * 1e3, BUDGET.0, "ms"));
    page.push_str(&row("a failed switch, the revert with it", back * 1e3, (ours * 3.0) * 1e3, "ms"));
    page.push_str(&row("memory of the command and of the unit", client + unit, BUDGET.1, "MB"));
    page.push_str("| import and switch of a file, with 256 MB of address space | works | |\n");
    print!("{page}");
    Ok(page)
}

/// Seconds of a script in root's home.
fn took(host: &Host<'_>, script: &str) -> Result<f64> {
    seconds(&host.root(&format!("cd; {}", clocked(script)))?.ok()?)
}

/// Peak memory in MB of the command, and of what runs in units.
fn memory(host: &Host<'_>) -> Result<(f64, f64)> {
    let script = "cd; firn switch -q ./A --settle 1s >/dev/null & \
                  c=$!; peak=0; while kill -0 $c 2>/dev/null; do \
                  for p in $c $(cat /sys/fs/cgroup/system.slice/firn-*/cgroup.procs 2>/dev/null); do \
                  sed -n \"s/VmHWM: */$p /p\" /proc/$p/status 2>/dev/null; done; sleep 0.02; done | \
                  awk -v c=$c '{ if ($2 > m[$1]) m[$1] = $2 } END { for (p in m) if (p == c) own = m[p]; else if (m[p] > u) u = m[p]; print own, u }'";
    let answer = host.root(script)?.ok()?;
    let mut numbers =
        answer.lines().last().unwrap_or_default().split(' ').map(|n| n.parse::<f64>().unwrap_or(0.0) / 1000.0);
    Ok((numbers.next().unwrap_or(0.0), numbers.next().unwrap_or(0.0)))
}
