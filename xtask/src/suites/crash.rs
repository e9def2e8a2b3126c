//! Power cuts at every state of the journal and at moments spread over a switch and a revert. After each the host
//! boots, runs the system before or the new one, and `firn recover` leaves nothing half done.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use super::observed::Observed;
use super::{Checks, Scene, systems};
use crate::bed::{Host, Shell, until};

/// Longest time until a state is reached.
const PATIENCE: Duration = Duration::from_secs(60);

/// Power cuts at moments of an import, of a switch after it, and of a revert.
const IMPORTS: u32 = 5;
const SWITCHES: u32 = 20;
const REVERTS: u32 = 25;

/// States of the journal, and a command that comes by them.
pub(super) const STATES: &[(&str, &str)] = &[
    ("realised", SWITCH),
    ("testing", SWITCH),
    ("healthy", SWITCH),
    ("committing", SWITCH),
    ("done", SWITCH),
    ("awaiting", "firn switch B.firn --settle 0s --confirm-within 10m"),
    ("awaiting-reboot", "firn boot --once K.export"),
    ("reverting", REVERT),
    ("reverted", REVERT),
    ("refused", "firn switch C1.export --settle 0s"),
    ("needs-reboot", "firn switch C100.export --settle 0s"),
    ("committing", "firn boot --once K.export"),
    ("committing", "firn boot B.firn"),
];

pub(super) const SWITCH: &str = "firn switch B.firn --settle 0s";
/// Comes as far as the boot loader, and all the way back.
pub(super) const REVERT: &str = "firn switch C1b.export --settle 0s";

/// When the power is cut.
enum Moment {
    /// When the journal says so.
    State(&'static str),
    /// This part of the time that it takes until the journal is begun.
    OfImport(f64),
    /// This part of the time from there to the end.
    OfSwitch(f64),
    /// This part of the time from the beginning of the revert to the end.
    OfRevert(f64),
}

/// How long things take.
#[derive(Clone, Copy)]
struct Lengths {
    import: Duration,
    switch: Duration,
    revert: Duration,
}

struct Crash {
    command: &'static str,
    moment: Moment,
}

/// What the journals said when the power was gone.
type Count = Mutex<BTreeMap<String, u32>>;

/// Names of the checks, after that of the suite; of those at random moments without the moment.
pub(super) fn names() -> Vec<String> {
    let states = STATES.iter().map(|(state, command)| Crash { command, moment: Moment::State(state) }.name());
    let moments = [("an import", IMPORTS), ("a switch", SWITCHES), ("a revert", REVERTS)].into_iter();
    let moments = moments.flat_map(|(what, count)| (0..count).map(move |_| format!("power cut during {what}")));
    states.chain(moments).map(|name| format!("crash: {name}")).collect()
}

/// All crashes, each on a copy of a host that runs A.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let template = checks.step("a host that runs A", || systems::on_a(scene))?;
    let lengths = checks.step("how long a switch and a revert take", || measured(scene, &template))?;
    let mut random = Random(1);
    let mut crashes: Vec<Crash> =
        STATES.iter().map(|(state, command)| Crash { command, moment: Moment::State(state) }).collect();
    // One moment at random in each of equal parts: spread, and not the same in each.
    let mut spread =
        |count: u32| -> Vec<f64> { (0..count).map(|n| (f64::from(n) + random.next()) / f64::from(count)).collect() };
    crashes.extend(spread(IMPORTS).into_iter().map(|part| Crash { command: SWITCH, moment: Moment::OfImport(part) }));
    crashes.extend(spread(SWITCHES).into_iter().map(|part| Crash { command: SWITCH, moment: Moment::OfSwitch(part) }));
    crashes.extend(spread(REVERTS).into_iter().map(|part| Crash { command: REVERT, moment: Moment::OfRevert(part) }));
    let numbered: Vec<(usize, Crash)> = crashes.into_iter().enumerate().collect();
    let count = Count::default();
    checks.each(
        3,
        &numbered,
        |(_, crash)| crash.name(),
        |(number, crash)| {
            let host = scene.bed.host_like(&template, &format!("x{number}"))?;
            one(&host, crash, lengths, &count)?;
            host.remove()
        },
    );
    let count = count.into_inner().unwrap_or_else(PoisonError::into_inner);
    let found: Vec<String> = count.iter().map(|(state, times)| format!("{state} {times}")).collect();
    println!("{} power cuts; found after them: {}", numbered.len(), found.join(", "));
    Ok(())
}

impl Crash {
    fn name(&self) -> String {
        match self.moment {
            Moment::State(state) => format!("power cut when {state}, of {}", self.command),
            Moment::OfImport(part) => format!("power cut at {:.0} % of the import of {}", part * 100.0, self.command),
            Moment::OfSwitch(part) => format!("power cut at {:.0} % of {}", part * 100.0, self.command),
            Moment::OfRevert(part) => format!("power cut at {:.0} % of the revert of {}", part * 100.0, self.command),
        }
    }
}

/// Measures as many hosts at once as are made to fail at once.
fn measured(scene: &Scene, template: &Host<'_>) -> Result<Lengths> {
    // When the journal is begun, comes to a state, and is at its end.
    let one = |name: &str, command: &'static str, wanted: &'static str| {
        let host = scene.bed.host_like(template, name)?;
        let start = Instant::now();
        let mut begun = host.begin(&format!("cd; {command}"))?;
        let (mut first, mut second, mut last) = (None, None, None);
        until("the end of it", PATIENCE, || {
            let state = state(&host)?;
            first = first.or_else(|| state.as_ref().map(|_| start.elapsed()));
            second = second.or_else(|| (state.as_deref() == Some(wanted)).then(|| start.elapsed()));
            let is_final = state.is_some_and(|state| rank(&state) == ORDER.len());
            last = last.or_else(|| is_final.then(|| start.elapsed()));
            Ok(!begun.goes_on()?)
        })?;
        host.remove()?;
        let (first, second) = (first.context("no journal")?, second.context("it did not come so far")?);
        Ok::<_, anyhow::Error>((first, second, last.context("it did not come to its end")?))
    };
    thread::scope(|scope| {
        let switch = scope.spawn(|| one("m1", SWITCH, "done"));
        let again = scope.spawn(|| one("m2", SWITCH, "done"));
        let (_, reverting, end) = one("m3", REVERT, "reverting")?;
        let joined =
            |run: thread::Result<Result<(Duration, Duration, Duration)>>| run.unwrap_or_else(|_| bail!("panicked"));
        let (a, b) = (joined(switch.join())?, joined(again.join())?);
        Ok(Lengths { import: (a.0 + b.0) / 2, switch: (a.2 - a.0 + b.2 - b.0) / 2, revert: end - reverting })
    })
}

fn one(host: &Host<'_>, crash: &Crash, lengths: Lengths, count: &Count) -> Result<()> {
    let begun = host.begin(&format!("cd; {}", crash.command))?;
    let wait = |wanted: &'static str| until(wanted, PATIENCE, || Ok(state(host)?.as_deref() == Some(wanted)));
    match crash.moment {
        // The shortest states are over before they are seen: the cut comes a little later then.
        Moment::State(wanted) => {
            until(wanted, PATIENCE, || Ok(state(host)?.is_some_and(|state| rank(&state) >= rank(wanted))))?
        }
        Moment::OfImport(part) => thread::sleep(lengths.import.mul_f64(part)),
        Moment::OfSwitch(part) => {
            until("a journal", PATIENCE, || Ok(state(host)?.is_some()))?;
            thread::sleep(lengths.switch.mul_f64(part));
        }
        Moment::OfRevert(part) => {
            wait("reverting")?;
            thread::sleep(lengths.revert.mul_f64(part));
        }
    }
    host.cut_power()?;
    drop(begun);
    let left = state(host)?.unwrap_or_else(|| "nothing".to_owned());
    *count.lock().unwrap_or_else(PoisonError::into_inner).entry(left.clone()).or_default() += 1;
    host.boot()?;
    let recovered = judge(host).with_context(|| format!("the journal said {left}"))?;
    host.root("firn recover")?.ok()?;
    ensure!(Observed::of(host)? == recovered, "a second firn recover changed something");
    Ok(())
}

/// What has to be so after every power cut, on a host that has booted again; gives what can be seen of it then.
pub(super) fn judge(host: &dyn Shell) -> Result<Observed> {
    let booted = Observed::of(host)?;
    ensure!(booted.runs == booted.boots || (booted.runs == "K" && booted.boots == "A"), "booted: {booted}");
    // The boot loader of C1b fails: it is never what boots.
    ensure!(["A", "B", "K"].contains(&booted.runs.as_str()), "booted: {booted}");
    ensure!(booted.unrooted == "-", "booted: {booted}");
    ensure!(!booted.status.contains("though"), "booted: {booted}");
    // What waits for a person, or for a restart that has come, is not half done.
    let tried = booted.status.starts_with("awaiting-reboot") && booted.runs == "K";
    host.root("firn recover")?.ok().with_context(|| format!("booted: {booted}"))?;
    let recovered = Observed::of(host)?;
    let good = if tried {
        recovered == booted
    } else {
        let b = Observed::settled(&["A", "B"], "done");
        let finals = ["-", "refused", "reverted", "needs-reboot"].map(|status| Observed::settled(&["A"], status));
        recovered == b || finals.contains(&recovered)
    };
    ensure!(good, "recovered: {recovered}\n      booted: {booted}");
    Ok(recovered)
}

/// The state of the newest journal, read from the disk of the host.
fn state(host: &Host<'_>) -> Result<Option<String>> {
    let folder = host.written("/nix/var/firn/journal");
    if !folder.exists() {
        return Ok(None);
    }
    let mut journals: Vec<_> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    journals.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    let Some(newest) = journals.into_iter().max() else { return Ok(None) };
    let json: serde_json::Value = serde_json::from_slice(&fs::read(newest)?)?;
    Ok(json["state"].as_str().map(str::to_owned))
}

/// States in which something more is to be done, in their order.
const ORDER: &[&str] = &["realised", "testing", "healthy", "awaiting", "committing", "awaiting-reboot", "reverting"];

/// How far a state is on the way.
pub(super) fn rank(state: &str) -> usize {
    ORDER.iter().position(|known| *known == state).unwrap_or(ORDER.len())
}

/// Numbers from 0 to 1, the same in each run: xorshift64*.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        bits as f64 / f64::from(1 << 24)
    }
}
