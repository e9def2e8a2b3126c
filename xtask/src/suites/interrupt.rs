//! Switches that people, lines and machines interrupt; and hosts on which something is wrong before.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::observed::Observed;
use super::{Checks, Scene, systems};
use crate::bed::{Bed, Ended, Host, until};

/// Longest time until something happens by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A story on a copy of the host that runs A.
type Story = (&'static str, fn(&Bed, &Host<'_>) -> Result<()>);

const STORIES: &[Story] = &[
    ("over ssh without a flag: pending, and confirmed over a new connection", over_ssh),
    ("sudo by alice over ssh: pending all the same; the test host reverts what nobody confirms", by_sudo),
    ("a shared ControlMaster confirms nothing, a new connection does", shared_connection),
    ("the ssh client is killed: the switch goes on", client_killed),
    ("the ssh client is killed: unconfirmed, it reverts", client_killed_pending),
    ("the line is cut in the middle: unconfirmed, it reverts", line_cut),
    ("Ctrl-C while it builds: nothing changed", interrupted_build),
    ("Ctrl-C while it is tested: the switch goes on", |_, host| {
        interrupted(host, "testing", "firn switch B.firn --settle 2s")
    }),
    ("Ctrl-C while it waits for a confirmation, then confirmed", interrupted_wait),
    ("Ctrl-C while it reverts: the revert goes on", interrupted_revert),
    ("two switches at once: one is refused", two_at_once),
    ("a switch while another waits for its confirmation is refused", second_while_pending),
    ("nix-collect-garbage -d all along a switch", collected_switch),
    ("nix-collect-garbage -d all along a revert", collected_revert),
    ("nix-collect-garbage -d while it waits, then reverted", collected_wait),
    ("/boot is full: refused, nothing changed", full_boot),
    ("/nix/var/firn cannot be written: refused, nothing changed", unwritable),
    ("/nix/var/firn is full: refused, nothing changed", full),
    ("/nix/var/firn fills up in the middle: what is said is so", filled),
    ("a file for another host is refused; forced, it is taken", wrong_host),
    ("a file for another kind of machine is refused", wrong_system),
    ("a unit that fails again and again all along is nobody's fault", unrelated),
    ("firn is deleted in the middle, confirmed with the copy", deleted),
    ("firn is replaced by something else in the middle", replaced),
    ("a person switches by hand while one is pending: left alone", by_hand),
    ("the clock jumps by ten years while one is pending: the window is what it was", |_, host| clock(host)),
    ("the process that has it in hand is killed: it goes on", killed),
    ("taken back by rollback while pending", taken_back),
    ("its unit is stopped while it tests: it reverts", stopped),
    ("its unit is stopped while pending: it reverts", stopped_pending),
    ("the host is restarted in good order while one is pending: A boots", restarted),
    ("a specialisation: it runs, the base boots, and it is kept", specialisation),
    ("cut off by D1 and without power: A boots", lost_and_cut),
    ("an import that was cut left damaged paths: deleted, or sent again where something keeps them", damaged),
    ("rollback only says its steps, by sudo goes back, and after a test too; a bad config.toml is no obstacle", back),
    ("a derivation and a built system are guarded as a file is", no_file),
    ("another file on standard input; --expect of another root is refused", expected),
];

/// Names of the checks, after that of the suite.
pub(super) fn names() -> Vec<String> {
    STORIES.iter().map(|(name, _)| format!("interrupt: {name}")).collect()
}

/// All of them.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let template = checks.step("a host that runs A", || systems::on_a(scene))?;
    let numbered: Vec<(usize, &Story)> = STORIES.iter().enumerate().collect();
    checks.each(
        3,
        &numbered,
        |(_, (name, _))| (*name).to_owned(),
        |(number, (_, story))| {
            let host = scene.bed.host_like(&template, &format!("i{number}"))?;
            story(&scene.bed, &host)?;
            host.remove()
        },
    );
    Ok(())
}

fn b() -> Observed {
    Observed::settled(&["A", "B"], "done")
}

fn a(status: &str) -> Observed {
    Observed::settled(&["A"], status)
}

fn pending() -> Observed {
    a("awaiting").but(|seen| (seen.runs, seen.app) = ("B".into(), "B".into()))
}

/// Waits until the last activation is in a state.
fn reaches(host: &Host<'_>, state: &str) -> Result<()> {
    host.until(&format!("firn status --json | grep -q '\"state\": *\"{state}\"'"), PATIENCE)
}

/// The same now and after a power cut.
fn lasts(host: &Host<'_>, seen: &Observed) -> Result<()> {
    seen.expect(host, "at the end")?;
    host.cut_power()?;
    host.boot()?;
    seen.expect(host, "after a power cut")
}

/// Ended with the code, and said the words.
fn says(ended: Ended, code: i32, words: &[&str]) -> Result<()> {
    let said = ended.fails_with(code)?;
    for words in words {
        ensure!(said.contains(words), "it does not say {words:?}:\n{said}");
    }
    Ok(())
}

fn over_ssh(_: &Bed, host: &Host<'_>) -> Result<()> {
    says(
        host.ssh("root", "firn switch B.firn --settle 0s")?,
        21,
        &["NOT CONFIRMED", "/nix/var/firn/bin/firn confirm"],
    )?;
    pending().expect(host, "pending")?;
    host.ssh("root", "/nix/var/firn/bin/firn confirm")?.ok()?;
    lasts(host, &b())
}

fn by_sudo(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root(
        "cp /root/B.firn /home/alice; mkdir -p /etc/firn; echo 'confirm-within = \"3s\"' >/etc/firn/config.toml",
    )?
    .ok()?;
    says(host.ssh("alice", "firn switch B.firn")?, 22, &["root"])?;
    says(host.ssh("alice", "sudo firn switch B.firn --settle 0s")?, 21, &["NOT CONFIRMED"])?;
    reaches(host, "reverted")?;
    a("reverted").expect(host, "unconfirmed")?;
    host.root("rm /etc/firn/config.toml")?.ok()?;
    says(host.ssh("alice", "firn switch B.firn --settle 0s --elevate sudo")?, 21, &["NOT CONFIRMED"])?;
    host.ssh("alice", "sudo firn confirm")?.ok()?;
    lasts(host, &b())
}

fn shared_connection(bed: &Bed, host: &Host<'_>) -> Result<()> {
    let name = host.name();
    let config = bed.ssh_config();
    let socket = std::env::temp_dir().join(format!("firn-master-{}", std::process::id()));
    let shared = format!("ssh -F {} -S {} root@{name}", config.display(), socket.display());
    let master = bed.begin_hub(&format!("{shared} -M -N"))?;
    crate::bed::until("the master connection", PATIENCE, || Ok(socket.exists()))?;
    bed.hub(&format!("{shared} firn switch B.firn --settle 0s --confirm-within 10m"))?.ok()?;
    says(bed.hub(&format!("{shared} firn confirm"))?, 22, &["ControlMaster"])?;
    // A multiplexer that was there before proves nothing either.
    host.root("systemd-run --quiet --wait --collect --pipe firn confirm")?.fails_with(22)?;
    pending().expect(host, "not confirmed")?;
    host.ssh("root", "firn confirm")?.ok()?;
    master.kill()?;
    lasts(host, &b())
}

fn client_killed(_: &Bed, host: &Host<'_>) -> Result<()> {
    let client = host.begin_ssh("root", "firn switch B.firn --settle 2s --no-confirm")?;
    reaches(host, "testing")?;
    client.kill()?;
    reaches(host, "done")?;
    lasts(host, &b())
}

fn client_killed_pending(_: &Bed, host: &Host<'_>) -> Result<()> {
    let client = host.begin_ssh("root", "firn switch B.firn --settle 1s --confirm-within 1s")?;
    reaches(host, "testing")?;
    client.kill()?;
    reaches(host, "reverted")?;
    lasts(host, &a("reverted"))
}

fn line_cut(_: &Bed, host: &Host<'_>) -> Result<()> {
    let client = host.begin_ssh("root", "firn switch B.firn --settle 2s --confirm-within 1s")?;
    reaches(host, "testing")?;
    host.fate("cut")?;
    reaches(host, "reverted")?;
    host.fate("restore")?;
    client.kill()?;
    lasts(host, &a("reverted"))
}

/// Sends what Ctrl-C sends once a script ends with 0; gives what the client ended with.
fn interrupt(host: &Host<'_>, command: &str, when: &str) -> Result<Ended> {
    let ended = host.root(&format!(
        "cd; setsid -w env --default-signal=INT {command} & wrapper=$!
         until {{ {when}; }} >/dev/null 2>&1; do kill -0 $wrapper || exit 99; sleep 0.02; done
         kill -INT $(pgrep -f '^firn ' | head -n 1); wait $wrapper"
    ))?;
    ensure!(ended.code != 99, "it ended by itself before: {}", ended.stderr);
    Ok(ended)
}

fn interrupted(host: &Host<'_>, state: &str, command: &str) -> Result<()> {
    let ended = interrupt(host, command, &format!("firn status --json | grep -q '\"state\": *\"{state}\"'"))?;
    ensure!(ended.code != 0, "the client ended with 0");
    reaches(host, "done")?;
    lasts(host, &b())
}

fn interrupted_build(_: &Bed, host: &Host<'_>) -> Result<()> {
    // The two that do not build are over at once; with them alone so would be all of it.
    let command = "firn switch E2.export --max-jobs 3 --keep-going";
    let ended = interrupt(host, command, "pgrep -U nixbld1,nixbld2,nixbld3")?;
    ensure!(![0, 17].contains(&ended.code), "the client ended with {}: {}", ended.code, ended.stderr);
    lasts(host, &a("-"))
}

fn interrupted_wait(_: &Bed, host: &Host<'_>) -> Result<()> {
    let when = "firn status --json | grep -q '\"state\": *\"awaiting\"'";
    let ended = interrupt(host, "firn switch B.firn --settle 0s --confirm-within 10m --wait-confirm", when)?;
    ensure!(ended.code != 0, "the client ended with 0");
    pending().expect(host, "interrupted")?;
    host.ssh("root", "firn confirm")?.ok()?;
    lasts(host, &b())
}

fn interrupted_revert(_: &Bed, host: &Host<'_>) -> Result<()> {
    let when = "firn status --json | grep -q '\"state\": *\"revert'";
    interrupt(host, "firn switch C1b.export --settle 0s", when)?;
    reaches(host, "reverted")?;
    lasts(host, &a("reverted"))
}

fn two_at_once(_: &Bed, host: &Host<'_>) -> Result<()> {
    let ended = host.root(
        "cd; for n in 1 2; do { firn switch B.firn --settle 2s >/dev/null; echo $? >code$n; } & done 2>/dev/null; wait; cat code1 code2",
    )?;
    let codes = ended.ok()?;
    ensure!(codes == "0\n22" || codes == "22\n0", "exit codes {codes:?}");
    lasts(host, &b())
}

fn second_while_pending(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch B.firn --settle 0s --confirm-within 10m")?.ok()?;
    says(host.root("cd; firn switch R.export --settle 0s")?, 22, &["confirm", "rollback"])?;
    pending().expect(host, "still pending")?;
    host.root("firn confirm")?.ok()?;
    lasts(host, &b())
}

/// A command while the collector deletes whatever it may.
fn collected(host: &Host<'_>, command: &str, code: i32) -> Result<()> {
    let ended = host.root(&format!(
        "cd; while [ ! -e over ]; do nix-collect-garbage -d >/dev/null 2>&1; done & collector=$!
         {command}; code=$?; touch over; wait $collector; exit $code"
    ))?;
    ended.fails_with(code).map(drop)
}

/// In this system and nothing but it, whatever its generation is numbered.
fn only(host: &Host<'_>, label: &str, status: &str, when: &str) -> Result<()> {
    let seen = Observed::of(host)?;
    ensure!(seen.agrees() && seen.runs == label && seen.unrooted == "-" && seen.status == status, "{when}: {seen}");
    Ok(())
}

fn collected_switch(_: &Bed, host: &Host<'_>) -> Result<()> {
    collected(host, "firn switch B.firn --settle 0s", 0)?;
    only(host, "B", "done", "at the end")?;
    host.cut_power()?;
    host.boot()?;
    only(host, "B", "done", "after a power cut")
}

fn collected_revert(_: &Bed, host: &Host<'_>) -> Result<()> {
    collected(host, "firn switch C1b.export --settle 0s", 23)?;
    only(host, "A", "reverted", "at the end")?;
    host.cut_power()?;
    host.boot()?;
    only(host, "A", "reverted", "after a power cut")
}

fn collected_wait(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch B.firn --settle 0s --confirm-within 10m")?.ok()?;
    host.root("nix-collect-garbage -d")?.ok()?;
    pending().expect(host, "collected")?;
    host.root("firn rollback")?.ok()?;
    lasts(host, &a("reverted"))
}

fn full_boot(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root(
        "set -e; cp -a /boot /boot.disk; mount -t tmpfs -o size=64k tmpfs /boot; cp -a /boot.disk/. /boot
         dd if=/dev/zero of=/boot/filler bs=4k 2>/dev/null || true",
    )?
    .ok()?;
    says(host.root("cd; firn switch K.export --settle 0s")?, 22, &["/boot"])?;
    a("-").expect(host, "at the end")
}

fn unwritable(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("mkdir -p /nix/var/firn && mount -t tmpfs -o ro tmpfs /nix/var/firn")?.ok()?;
    says(host.root("cd; firn switch B.firn --settle 0s")?, 22, &["/nix/var/firn"])?;
    host.root("umount /nix/var/firn")?.ok()?;
    lasts(host, &a("-"))
}

fn full(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("mkdir -p /nix/var/firn && mount -t tmpfs -o size=64k tmpfs /nix/var/firn")?.ok()?;
    let ended = host.root("cd; firn switch B.firn --settle 0s")?;
    ensure!([14, 22].contains(&ended.code), "exit code {}: {}", ended.code, ended.stderr);
    let seen = Observed::of(host)?;
    ensure!(seen.agrees() && seen.runs == "A", "{seen}");
    host.root("umount /nix/var/firn")?.ok()?;
    lasts(host, &a("-"))
}

fn filled(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("mkdir -p /nix/var/firn && mount -t tmpfs -o size=60m tmpfs /nix/var/firn")?.ok()?;
    // A check is run when it is half way.
    let fills = "dd if=/dev/zero of=/nix/var/firn/filler bs=1M; dd if=/dev/zero of=/nix/var/firn/filler2 bs=1; true";
    let ended = host.root(&format!("cd; firn switch B.firn --settle 0s --check '{fills}'"))?;
    // Room for the journal may have been kept, or not: what it says has to be so.
    let label = if ended.code == 0 { "B" } else { "A" };
    ensure!([0, 23].contains(&ended.code), "exit code {}: {}", ended.code, ended.stderr);
    let settled = |when| {
        let seen = Observed::of(host)?;
        ensure!(seen.agrees() && seen.runs == label, "{when}: {seen}\n{}", ended.stderr);
        Ok(())
    };
    settled("at the end")?;
    host.root("rm /nix/var/firn/filler*; firn recover")?.ok()?;
    settled("recovered")
}

fn wrong_host(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("hostname other")?.ok()?;
    says(host.root("cd; firn switch B.firn --settle 0s")?, 22, &["h1", "other", "--force-host"])?;
    a("-").expect(host, "refused")?;
    host.root("cd; firn switch B.firn --settle 0s --force-host")?.ok()?;
    lasts(host, &b())
}

fn back(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch B.firn --settle 0s")?.ok()?;
    host.root("firn rollback --dry-run")?.ok()?;
    b().expect(host, "said only")?;
    says(host.ssh("alice", "firn rollback --settle 0s")?, 22, &["--elevate"])?;
    let refused = "NIX_SUDOOPTS=--no-such-option firn rollback --settle 0s --elevate sudo";
    says(host.ssh("alice", refused)?, 22, &["sudo did not make firn root", "nothing was changed"])?;
    b().expect(host, "refused")?;
    host.ssh("alice", "firn rollback --settle 0s --elevate sudo --no-confirm")?.ok()?;
    let is_a = |when| {
        let seen = Observed::of(host)?;
        ensure!(seen.agrees() && seen.runs == "A", "{when}: {seen}");
        Ok(())
    };
    is_a("by sudo")?;
    host.root("cd; firn test B.firn --settle 0s; mkdir -p /etc/firn; echo nonsense >/etc/firn/config.toml")?.ok()?;
    says(host.root("cd; firn switch B.firn --settle 0s")?, 22, &["config.toml", "nothing was changed"])?;
    says(host.root("firn rollback --settle 0s")?, 0, &["config.toml", "going back without it"])?;
    is_a("after a test")?;
    host.cut_power()?;
    host.boot()?;
    is_a("after a power cut")
}

fn no_file(_: &Bed, host: &Host<'_>) -> Result<()> {
    let switch = |what: &str, more: &str| {
        host.root(&format!(
            "cd; drv=$(firn import -q B.firn); out=$(nix-store -q --outputs $drv); other=$(firn import -q arm.firn)
             firn switch --settle 0s {what} {more}"
        ))
    };
    host.root("hostname other")?.ok()?;
    for what in ["$drv", "$out"] {
        says(switch(what, "")?, 22, &["h1", "other", "--force-host"])?;
    }
    host.root("hostname h1")?.ok()?;
    for what in ["$drv", "$out"] {
        says(switch(what, "--expect $other")?, 9, &["B"])?;
    }
    says(switch("$other", "")?, 22, &["aarch64-linux", "--force-system"])?;
    says(switch("$out", "--store ssh-ng://far")?, 22, &["ssh-ng://far"])?;
    says(host.root("firn confirm")?, 22, &["nothing"])?;
    let seen = Observed::of(host)?;
    ensure!(seen.agrees() && seen.runs == "A", "{seen}");
    for what in ["$drv", "$out"] {
        switch(what, "--expect $drv")?.ok()?;
    }
    lasts(host, &b())
}

fn wrong_system(_: &Bed, host: &Host<'_>) -> Result<()> {
    says(host.root("cd; firn switch arm.firn --settle 0s")?, 22, &["aarch64-linux", "--force-system"])?;
    lasts(host, &a("-"))
}

fn unrelated(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root(
        "systemd-run --quiet --unit=flaky -p Restart=always -p RestartSec=200ms -p StartLimitIntervalSec=0 \
         sh -c 'sleep 0.5; false'",
    )?
    .ok()?;
    host.until("[ $(systemctl show -P NRestarts flaky) -gt 2 ]", PATIENCE)?;
    host.root("cd; firn switch B.firn --settle 3s")?.ok()?;
    b().expect(host, "at the end")
}

fn deleted(_: &Bed, host: &Host<'_>) -> Result<()> {
    let begun = host.begin("cd; cp /usr/bin/firn here; ./here switch B.firn --settle 2s --confirm-within 10m")?;
    reaches(host, "testing")?;
    host.root("rm /root/here; mv /usr/bin/firn /usr/bin/gone")?.ok()?;
    begun.end()?.ok()?;
    host.root("/nix/var/firn/bin/firn confirm")?.ok()?;
    host.root("mv /usr/bin/gone /usr/bin/firn")?.ok()?;
    lasts(host, &b())
}

fn replaced(_: &Bed, host: &Host<'_>) -> Result<()> {
    let begun = host.begin("cd; cp /usr/bin/firn here; ./here switch C4late.export")?;
    reaches(host, "testing")?;
    host.root("cd; printf '#!/bin/sh\\nexit 0\\n' >other; chmod +x other; mv other here")?.ok()?;
    begun.end()?.fails_with(23)?;
    lasts(host, &a("reverted"))
}

fn by_hand(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch B.firn --settle 0s --confirm-within 8s")?.ok()?;
    host.root(
        "set -e; system=$(echo /nix/store/*-nixos-system-h1-R); nix-env -p /nix/var/nix/profiles/system --set $system
         $system/bin/switch-to-configuration switch",
    )?
    .ok()?;
    reaches(host, "intervened")?;
    lasts(host, &Observed::settled(&["A", "R"], "intervened"))
}

/// No namespace has a clock of its own: instead of the clock, what was written down by it is moved.
fn clock(host: &Host<'_>) -> Result<()> {
    for years in ["+ 315360000000", "- 315360000000"] {
        host.root("cd; firn switch B.firn --settle 0s --confirm-within 5s")?.ok()?;
        host.root(&format!(
            "set -e; cd /nix/var/firn/journal; newest=$(ls | tail -n 1); systemctl kill -s STOP 'firn*'
             perl -pe 's/(\"unix_ms\": *)(\\d+)/$1.($2 {years})/ge' $newest >/tmp/journal; cat /tmp/journal >$newest
             systemctl kill -s KILL 'firn*'"
        ))?
        .ok()?;
        reaches(host, "reverted")?;
        a("reverted").expect(host, years)?;
    }
    Ok(())
}

fn killed(_: &Bed, host: &Host<'_>) -> Result<()> {
    let begun = host.begin("cd; firn switch B.firn --settle 3s --confirm-within 10m")?;
    reaches(host, "testing")?;
    host.root("pkill -KILL -f '[_]_activate'")?.ok()?;
    let ended = begun.end()?;
    host.until("firn status --json | grep -q '\"state\": *\"\\(awaiting\\|reverted\\)\"'", PATIENCE)?;
    if Observed::of(host)?.status == "awaiting" {
        ensure!(ended.code == 0, "exit code {}", ended.code);
        host.root("firn confirm")?.ok()?;
        return lasts(host, &b());
    }
    ended.fails_with(23)?;
    lasts(host, &a("reverted"))
}

fn taken_back(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch B.firn --settle 0s --confirm-within 10m")?.ok()?;
    host.root("firn rollback")?.ok()?;
    lasts(host, &a("reverted"))
}

fn stopped(_: &Bed, host: &Host<'_>) -> Result<()> {
    let begun = host.begin("cd; firn switch B.firn --settle 10s")?;
    host.until("grep -q B /run/app.version", PATIENCE)?;
    host.root("systemctl stop 'firn-activate-*'")?.ok()?;
    a("reverted").expect(host, "when the stop is over")?;
    ensure!(begun.end()?.fails_with(23)?.contains("its unit was stopped"));
    lasts(host, &a("reverted"))
}

fn stopped_pending(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch B.firn --settle 0s --confirm-within 10m")?.ok()?;
    host.root("systemctl stop 'firn-activate-*'")?.ok()?;
    lasts(host, &a("reverted"))
}

fn restarted(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch B.firn --settle 0s --confirm-within 10m; : >/run/before; systemctl reboot")?;
    until("a restart", PATIENCE, || Ok(host.root("[ ! -e /run/before ]").is_ok_and(|ended| ended.code == 0)))?;
    host.fate("wait")?;
    host.root("firn recover")?.ok()?;
    lasts(host, &a("reverted"))
}

fn specialisation(_: &Bed, host: &Host<'_>) -> Result<()> {
    says(host.root("cd; firn switch A.firn --settle 0s --specialisation none")?, 22, &["debug"])?;
    host.root("cd; firn switch A.firn --settle 0s --specialisation debug")?.ok()?;
    let debug = a("done").but(|seen| seen.runs = "A-debug".into());
    debug.expect(host, "switched")?;
    // Kept where nothing else is said.
    host.root("cd; firn switch A.firn --settle 0s")?.ok()?;
    debug.expect(host, "switched again")?;
    host.root("cd; firn switch A.firn --settle 0s --no-specialisation")?.ok()?;
    lasts(host, &a("done"))
}

fn lost_and_cut(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch D1.export --settle 0s --confirm-within 10m")?.ok()?;
    host.cut_power()?;
    host.boot()?;
    host.ssh("root", "firn recover")?.ok()?;
    a("reverted").expect(host, "recovered")
}

/// What NixOS/nix#1218 leaves: the power cut itself leaves nothing damaged here, as no page cache is lost.
fn damaged(_: &Bed, host: &Host<'_>) -> Result<()> {
    host.root(
        "set -e; cd; nix-store --delete $(nix-store -q --referrers-closure /nix/store/*-app-B)
         firn import -q B.firn; root=/nix/store/00000000000000000000000000000000-x.drv
         text=$(echo /nix/store/*-app-B.drv) source=$(nix-store -qR $text | grep busybox-static)
         nix-store --add-root /nix/var/nix/gcroots/kept -r $source; chmod u+w $text $source; : >$text; : >$source
         mkdir -p /nix/var/firn; cd /nix/var/firn; paths=\"$text\\\",\\\"$source\"
         echo \"{\\\"root\\\":\\\"$root\\\",\\\"boot_id\\\":\\\"x\\\",\\\"paths\\\":[\\\"$paths\\\"]}\" >importing.json",
    )?
    .ok()?;
    says(host.root("firn recover")?, 11, &["busybox-static damaged", "sends it again"])?;
    host.root("! ls /nix/store/*-app-B.drv")?.ok().context("what nothing keeps is deleted")?;
    says(host.root("cd; firn switch B.firn --settle 0s")?, 0, &["sent again: 1 paths"])?;
    host.root(
        "nix-store --verify-path $(readlink /nix/var/nix/gcroots/kept) && [ ! -e /nix/var/firn/importing.json ]",
    )?
    .ok()?;
    lasts(host, &b())
}

fn expected(_: &Bed, host: &Host<'_>) -> Result<()> {
    let root = host
        .root("firn verify --json --quiet /root/B.firn | sed -n 's/.*\"root\": *\"\\([^\"]*\\)\".*/\\1/p'")?
        .ok()?;
    ensure!(root.ends_with(".drv"), "{root}");
    host.root("cd; firn switch - --settle 0s --expect /nix/store/00000000000000000000000000000000-x.drv <B.firn")?
        .fails_with(9)
        .context("another root")?;
    a("-").expect(host, "refused")?;
    host.root(&format!("cd; firn switch - --settle 0s --expect {root} <B.firn"))?.ok()?;
    lasts(host, &b())
}
