//! Power cuts that lose the page cache, on virtual machines with disks: at every state of the journal, as soon as it is
//! on the disk, and at moments of a switch and of a revert. What has to be so after each is what the suite `crash` wants, and
//! every path of the store has its contents.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use super::crash::{REVERT, Random, STATES, SWITCH, judge, rank};
use super::{Checks, Scene, systems};
use crate::bed::Shell;
use crate::vm::parts::{self, Kernel};
use crate::vm::{Machine, Said, Snapshot};

/// Power cuts at moments of a switch and of a revert.
const SWITCHES: u32 = 4;
const REVERTS: u32 = 4;

/// Machines at once: most of the time one of them waits for a disk.
const AT_ONCE: usize = 4;

/// States that the suite `crash` does not come by, and commands that do.
const MORE: &[(&str, &str)] = &[("reverted", "firn boot --once K.export && firn rollback")];

/// When the power is cut.
enum Moment {
    /// When the disk says so.
    Synced(&'static str),
    /// This part of the time from the first state of the journal to the last.
    Of(f64),
}

struct Cut {
    command: &'static str,
    moment: Moment,
}

/// How long things take, from the first state of the journal to the last.
struct Lengths {
    switch: Duration,
    revert: Duration,
}

/// Names of the checks, after that of the suite; of those at random moments without the moment.
pub(super) fn names() -> Vec<String> {
    let states = at_states().map(|cut| cut.name());
    let moments = [("a switch", SWITCHES), ("a revert", REVERTS)].into_iter();
    let moments = moments.flat_map(|(what, count)| (0..count).map(move |_| format!("power cut during {what}")));
    states.chain(moments).map(|name| format!("power: {name}")).collect()
}

fn at_states() -> impl Iterator<Item = Cut> {
    STATES.iter().chain(MORE).map(|(state, command)| Cut { command, moment: Moment::Synced(state) })
}

/// All power cuts, each on a copy of a machine that runs A.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let folder = scene.bed.folder("vm")?;
    let kernel = Kernel::new(&folder)?;
    let snapshot = checks.step("a machine that runs A", || on_a(scene, &kernel, &folder))?;
    let lengths = checks.step("how long a switch and a revert take", || {
        let length = |command: &'static str, name: &'static str| length(&kernel, &folder, &snapshot, command, name);
        thread::scope(|scope| {
            let switch = scope.spawn(|| length(SWITCH, "m1"));
            let revert = length(REVERT, "m2")?;
            let switch = switch.join().unwrap_or_else(|_| bail!("panicked"))?;
            Ok(Lengths { switch, revert })
        })
    })?;
    let mut random = Random(3);
    let mut spread = |count: u32, command: &'static str| -> Vec<Cut> {
        let parts = (0..count).map(|n| (f64::from(n) + random.next()) / f64::from(count));
        parts.map(|part| Cut { command, moment: Moment::Of(part) }).collect()
    };
    let mut cuts: Vec<Cut> = at_states().collect();
    cuts.extend(spread(SWITCHES, SWITCH));
    cuts.extend(spread(REVERTS, REVERT));
    let cuts: Vec<(usize, Cut)> = cuts.into_iter().enumerate().collect();
    let count = Mutex::new(BTreeMap::<String, u32>::new());
    checks.each(
        AT_ONCE,
        &cuts,
        |(_, cut)| cut.name(),
        |(number, cut)| {
            let name = format!("x{number}");
            let left = one(&kernel, &folder, &snapshot, cut, &lengths, &name)?;
            *count.lock().unwrap_or_else(PoisonError::into_inner).entry(left).or_default() += 1;
            Ok(())
        },
    );
    let count = count.into_inner().unwrap_or_else(PoisonError::into_inner);
    let found: Vec<String> = count.iter().map(|(state, times)| format!("{state} {times}")).collect();
    println!("{} power cuts; on the disk after them: {}", cuts.len(), found.join(", "));
    Ok(())
}

impl Cut {
    fn name(&self) -> String {
        match self.moment {
            Moment::Synced(state) => format!("power cut when {state} is on the disk, of {}", self.command),
            Moment::Of(part) => format!("power cut at {:.0} % of {}", part * 100.0, self.command),
        }
    }
}

fn on_a(scene: &Scene, kernel: &Kernel, folder: &Path) -> Result<Snapshot> {
    let host = systems::on_a(scene)?;
    let files = parts::disks(&host, folder)?;
    host.remove()?;
    let disks = parts::disks_like(&files, "raw", folder, "a")?;
    let machine = Machine::boot(kernel, folder, "a", &disks)?;
    machine.root("firn status && nix-store --verify --check-contents && sync")?.ok()?;
    machine.snapshot(disks)
}

/// A command and the end of what has the activation in hand: the command may see the last state before the disk has it.
fn to_its_end(command: &str) -> String {
    let goes_on = "systemctl list-units --plain --no-legend 'firn-activate-*' | grep -q .";
    format!("{command}; code=$?; while {goes_on}; do sleep 0.2; done; exit $code")
}

/// How long a command takes from the first state of its journal to its end.
fn length(kernel: &Kernel, folder: &Path, from: &Snapshot, command: &str, name: &str) -> Result<Duration> {
    let (machine, disks) = Machine::go_on(kernel, folder, name, from)?;
    let id = machine.begin(&to_its_end(command))?;
    machine.wait(id, |_| true)?.context("no journal")?;
    let start = Instant::now();
    let is_last = |said: &Said| matches!(said, Said::Synced(state) if rank(state) == rank("done"));
    if machine.wait(id, is_last)?.is_none() {
        let ended = machine.ended(id)?;
        bail!("it ended with {} and did not come to its end: {}", ended.code, ended.stderr);
    }
    let length = start.elapsed();
    machine.cut_power()?;
    disks.iter().try_for_each(fs::remove_file)?;
    Ok(length)
}

/// Cuts the power of a machine and looks at what boots; gives what its journal says then.
fn one(kernel: &Kernel, folder: &Path, from: &Snapshot, cut: &Cut, lengths: &Lengths, name: &str) -> Result<String> {
    let (machine, disks) = Machine::go_on(kernel, folder, name, from)?;
    let id = machine.begin(&to_its_end(cut.command))?;
    // The shortest states may be over before they are seen: the cut comes a little later then.
    let comes = match cut.moment {
        Moment::Synced(wanted) => {
            machine.wait(id, |said| matches!(said, Said::Synced(s) if rank(s) >= rank(wanted)))?
        }
        Moment::Of(part) => {
            let first = machine.wait(id, |_| true)?;
            let length = if cut.command == REVERT { lengths.revert } else { lengths.switch };
            thread::sleep(length.mul_f64(part));
            first
        }
    };
    if comes.is_none() {
        let ended = machine.ended(id)?;
        bail!("it ended with {} and did not come there: {}", ended.code, ended.stderr);
    }
    machine.cut_power()?;
    let machine = Machine::boot(kernel, folder, name, &disks)?;
    let left = machine.root(
        "cd /nix/var/firn/journal && newest=$(ls | grep json | tail -n 1) && [ -n \"$newest\" ] || { echo nothing; exit; }
         sed -n 's/.*\"state\": *\"\\([^\"]*\\)\".*/\\1/p' \"$newest\" | head -n 1",
    )?;
    let left = left.ok()?;
    judge(&machine).with_context(|| format!("the disk's journal said {left}"))?;
    let verified = machine.root("nix-store --verify --check-contents")?;
    ensure!(verified.code == 0, "the disk's journal said {left}; the store: {}", verified.stderr.trim());
    machine.cut_power()?;
    disks.iter().try_for_each(fs::remove_file)?;
    Ok(left)
}
