//! Switching to every system of the bed, good and bad: the exit code, and what can be seen of the host, at the end
//! and after a power cut and boot.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::observed::Observed;
use super::{Checks, Scene, systems};
use crate::bed::{Host, Release};

/// Longest time in which a host comes back by itself.
const BACK: Duration = Duration::from_secs(60);

/// A switch on a copy of the host that runs A.
struct Case {
    /// Name of the check.
    name: &'static str,
    /// Whether it is told on every release.
    everywhere: bool,
    /// What is done before it.
    before: &'static str,
    /// What is done; its exit code is compared.
    run: &'static str,
    /// The exit code.
    code: i32,
    /// Words that standard error must have.
    says: &'static [&'static str],
    /// What can be seen then.
    now: fn() -> Observed,
    /// And after a power cut and boot.
    booted: fn() -> Observed,
}

/// On trixie only, with nothing before it, and the same after a power cut.
const fn case(
    name: &'static str,
    run: &'static str,
    code: i32,
    says: &'static [&'static str],
    now: fn() -> Observed,
) -> Case {
    Case { name, everywhere: false, before: "", run, code, says, now, booted: now }
}

fn b() -> Observed {
    Observed::settled(&["A", "B"], "done")
}

fn refused() -> Observed {
    Observed::settled(&["A"], "refused")
}

fn reverted() -> Observed {
    Observed::settled(&["A"], "reverted")
}

fn needs_reboot() -> Observed {
    Observed::settled(&["A"], "needs-reboot")
}

fn untouched() -> Observed {
    Observed::settled(&["A"], "-")
}

const CASES: &[Case] = &[
    Case {
        everywhere: true,
        ..case(
            "B, as what it changes in A: done",
            "firn switch B.delta.firn --base A.firn --settle 0s",
            0,
            &["done"],
            b,
        )
    },
    case(
        "C1: its check refuses; nothing changed",
        "firn switch C1.export --settle 0s",
        22,
        &["NOTHING CHANGED", "pre-switch check says no"],
        refused,
    ),
    case(
        "C1b: no boot entry; profile and boot loader go back",
        "firn switch C1b.export --settle 0s",
        23,
        &["REVERTED", "no space left on /boot"],
        reverted,
    ),
    Case {
        everywhere: true,
        ..case(
            "C2: activation fails; reverted",
            "firn switch C2.export --settle 0s",
            23,
            &["REVERTED", "activation snippet fails", "was not undone"],
            reverted,
        )
    },
    case("C4: a unit fails; reverted", "firn switch C4.export --settle 0s", 23, &["REVERTED", "app.service"], reverted),
    Case {
        booted: || {
            Observed::settled(&["A", "C4-unit"], "done").but(|seen| {
                seen.failed = "app.service".into();
                seen.app = "-".into();
            })
        },
        ..case(
            "C4: a unit fails that may; done",
            "firn switch C4.export --settle 0s --allow-failed 'ap?'",
            0,
            &["done"],
            || Observed::settled(&["A", "C4-unit"], "done").but(|seen| seen.failed = "app.service".into()),
        )
    },
    Case {
        before: "mkdir -p /etc/firn && echo 'allow-failed = [\"app.service\"]' >/etc/firn/config.toml",
        booted: || {
            Observed::settled(&["A", "C4-unit"], "done").but(|seen| {
                seen.failed = "app.service".into();
                seen.app = "-".into();
            })
        },
        ..case(
            "C4: a unit fails that may by the host's own configuration; done",
            "firn switch C4.export --settle 0s",
            0,
            &["done"],
            || Observed::settled(&["A", "C4-unit"], "done").but(|seen| seen.failed = "app.service".into()),
        )
    },
    Case {
        before: "firn switch O.export --settle 0s --allow-failed legacy.service",
        ..case(
            "O, O2: a unit that failed before may fail again",
            "firn switch O2.export --settle 0s",
            0,
            &["done"],
            || Observed::settled(&["A", "O", "O2"], "done").but(|seen| seen.failed = "legacy.service".into()),
        )
    },
    case(
        "C4late: a unit fails after 3 s; reverted",
        "firn switch C4late.export",
        23,
        &["REVERTED", "app.service"],
        reverted,
    ),
    case(
        "Cloop: a unit fails and is restarted all the time; reverted, and nothing of it is left",
        "firn switch Cloop.export --settle 2s",
        23,
        &["REVERTED", "loop.service"],
        reverted,
    ),
    case(
        "Cagain: a unit fails after 3 s and is restarted; reverted",
        "firn switch Cagain.export",
        23,
        &["REVERTED", "again.service"],
        reverted,
    ),
    case(
        "Calways: the same, by a unit that is restarted after a good end as well; reverted",
        "firn switch Calways.export",
        23,
        &["REVERTED", "again.service"],
        reverted,
    ),
    case(
        "Cjob: what a timer started fails when the settle time is over; reverted",
        "firn switch Cjob.export --settle 1s",
        23,
        &["REVERTED", "job.service"],
        reverted,
    ),
    case(
        "C4sure: a unit does not start, and is in no state that tells; reverted",
        "firn switch C4sure.export --settle 0s",
        23,
        &["REVERTED", "sure.service"],
        reverted,
    ),
    case(
        "C5: activation hangs and holds the lock; reverted",
        "firn switch C5.export --settle 0s --activation-timeout 2s",
        23,
        &["REVERTED", "2 s"],
        reverted,
    ),
    case(
        "C5deaf: activation hangs and ignores signals; reverted",
        "firn switch C5deaf.export --settle 0s --activation-timeout 2s",
        23,
        &["REVERTED", "2 s"],
        reverted,
    ),
    case(
        "C100: needs a restart; nothing changed",
        "firn switch C100.export --settle 0s",
        25,
        &["NOTHING CHANGED", "boot --once"],
        needs_reboot,
    ),
    case(
        "Cdie: switch-to-configuration is killed half way; reverted",
        "firn switch Cdie.export --settle 0s",
        23,
        &["REVERTED"],
        reverted,
    ),
    Case {
        everywhere: true,
        ..case(
            "E: a build fails, says which and shows its log; nothing changed",
            "firn switch E.firn",
            17,
            &["broken-package-1.0", "error: expected expression"],
            untouched,
        )
    },
    case("E2: two builds fail; nothing changed", "firn switch E2.export", 17, &["broken-package-"], untouched),
    Case {
        everywhere: true,
        ..case(
            "F: a source is gone, says which; nothing changed",
            "firn switch F.export",
            17,
            &["gone-1.0.tar.gz"],
            untouched,
        )
    },
    case("F2: a source has changed; nothing changed", "firn switch F2.export", 17, &["changed-1.0.txt"], untouched),
    case("G: no server has the source; nothing changed", "firn switch G.export", 17, &["good.txt"], untouched),
    case("R: done", "firn switch R.export --settle 0s", 0, &["done"], || Observed::settled(&["A", "R"], "done")),
    case(
        "K: done, but its boot is unproven",
        "firn switch K.export --settle 0s",
        0,
        &["BOOT UNPROVEN", "kernel"],
        || Observed::settled(&["A", "K"], "done"),
    ),
    Case {
        booted: || Observed::settled(&["A"], "done"),
        ..case("test of B: what boots stays", "firn test B.firn --settle 0s", 0, &["done"], || {
            Observed::settled(&["A"], "done").but(|seen| {
                seen.runs = "B".into();
                seen.app = "B".into();
            })
        })
    },
    Case {
        booted: b,
        ..case("boot of B: what runs stays", "firn boot B.firn", 0, &["boots next"], || {
            Observed::settled(&["A", "B"], "done").but(|seen| {
                seen.runs = "A".into();
                seen.app = "A".into();
            })
        })
    },
    case("dry-activate of B: nothing changed", "firn dry-activate B.firn", 0, &[], untouched),
    Case {
        before: "firn switch B.firn --settle 0s",
        ..case(
            "rollback from B: A again, as a generation that was there",
            "firn rollback --settle 0s",
            0,
            &["done"],
            a_of_a_and_b,
        )
    },
    Case {
        before: "firn switch B.firn --settle 0s",
        ..case("B twice: the same generation", "firn switch B.firn --settle 0s", 0, &["done"], b)
    },
    case(
        "a check of the person fails; reverted",
        "firn switch B.firn --settle 0s --check true --check 'echo the page is empty; exit 3'",
        23,
        &["REVERTED", "the page is empty"],
        reverted,
    ),
    Case {
        before: "mkdir -p /etc/firn/checks.d && cd /etc/firn/checks.d && printf '#!/bin/sh\\necho no mail; exit 1\\n' >mail && chmod +x mail",
        ..case(
            "a check of the host fails; reverted",
            "firn switch B.firn --settle 0s",
            23,
            &["REVERTED", "no mail"],
            reverted,
        )
    },
    case(
        "nobody confirms B; reverted",
        "firn switch B.firn --settle 0s --confirm-within 1s --wait-confirm",
        23,
        &["REVERTED", "nobody confirmed"],
        reverted,
    ),
    Case {
        booted: || Observed::settled(&["A"], "awaiting, interrupted"),
        ..case(
            "B waits for its confirmation; a power cut takes it back",
            "firn switch B.firn --settle 0s --confirm-within 10m",
            0,
            &["NOT CONFIRMED", "/nix/var/firn/bin/firn confirm"],
            || {
                Observed::settled(&["A"], "awaiting").but(|seen| {
                    seen.runs = "B".into();
                    seen.app = "B".into();
                })
            },
        )
    },
];

fn a_of_a_and_b() -> Observed {
    Observed::settled(&["A", "B"], "done").but(|seen| {
        (seen.runs, seen.boots, seen.app) = ("A".into(), "A".into(), "A".into());
        seen.profile = "1=A".into();
    })
}

/// Systems that cut the host off, though they say that all is well.
const LOST: &[(&str, bool, &str)] = &[
    ("D1", true, "its address is gone"),
    ("D2", false, "its sshd is elsewhere"),
    ("D3", false, "its key is gone"),
    ("D4", false, "it restarts in the middle"),
];

/// First A on a host without any generation, then everything on copies of a host with A.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let everything = scene.release == Release::Trixie;
    checks.check("A: the first system of a host, which says that there is no way back", || first(scene));
    let template = checks.step("a host that runs A", || systems::on_a(scene))?;
    cases(scene, checks, &template, |case| everything || case.everywhere);
    let lost: Vec<(usize, _)> = LOST.iter().enumerate().filter(|(_, (_, all, _))| everything || *all).collect();
    checks.each(
        2,
        &lost,
        |(_, lost)| lost_name(lost),
        |(n, (name, _, _))| {
            let host = scene.bed.host_like(&template, &format!("d{n}"))?;
            comes_back(&host, name)?;
            host.remove()
        },
    );
    if everything {
        let tell: [fn(&Scene, &Host<'_>) -> Result<()>; 4] =
            [served, |_, host| once(host), |_, host| dead(host), |_, host| special(host)];
        for ((name, host), tell) in ALONE.iter().zip(tell) {
            checks.check(name, || tell(scene, &scene.bed.host_like(&template, host)?));
        }
    }
    Ok(())
}

fn cases(scene: &Scene, checks: &mut Checks, template: &Host<'_>, told_here: impl Fn(&Case) -> bool) {
    let cases: Vec<(usize, &Case)> = CASES.iter().enumerate().filter(|(_, case)| told_here(case)).collect();
    checks.each(
        3,
        &cases,
        |(_, case)| case.name.to_owned(),
        |(number, case)| {
            let host = scene.bed.host_like(template, &format!("c{number}"))?;
            told(&host, case)?;
            host.remove()
        },
    );
}

/// The script of NixOS has no check before the switch; a unit that multi-user.target only wants, and whose assertion is
/// wrong, is nothing to it; and it needs no builds that fail to show what it does.
fn is_real(case: &Case) -> bool {
    !["C1:", "C4sure:", "E:", "E2:", "F:", "F2:", "G:"].iter().any(|beginning| case.name.starts_with(beginning))
}

/// The same switches of systems with the script of NixOS.
pub(super) fn run_real(scene: &Scene, checks: &mut Checks) -> Result<()> {
    scene.bed.add_packages("perl,libnet-dbus-perl,libfile-slurp-perl")?;
    let template = checks.step("a host that runs A", || systems::on_a_of_nixos(scene))?;
    cases(scene, checks, &template, is_real);
    Ok(())
}

/// Names of the checks with the script of NixOS.
pub(super) fn names_real() -> Vec<String> {
    CASES.iter().filter(|case| is_real(case)).map(|case| format!("real: {}", case.name)).collect()
}

/// Stories that are no switches, on hosts of their own.
const ALONE: [(&str, &str); 4] = [
    ("G: done once a server has the source", "g"),
    ("boot --once of K: once, then A; confirmed, K stays", "k"),
    ("boot --once of Kdead: it does not boot, and A is back", "kd"),
    ("boot --once of S while a specialisation runs: S itself boots, and is confirmed", "s"),
];

/// Names of the checks on trixie, after that of the suite.
pub(super) fn names() -> Vec<String> {
    let cases = CASES.iter().map(|case| case.name.to_owned());
    let lost = LOST.iter().map(lost_name);
    cases.chain(lost).chain(ALONE.map(|(name, _)| name.to_owned())).map(|name| format!("activate: {name}")).collect()
}

fn lost_name((name, _, what): &(&str, bool, &str)) -> String {
    format!("{name}: {what}; with confirmation, A comes back")
}

fn first(scene: &Scene) -> Result<()> {
    let host = systems::fresh(scene, "h1")?;
    let ended = host.root("cd; firn switch A.firn --settle 0s")?;
    let said = ended.stderr.clone();
    ended.ok()?;
    ensure!(said.contains("no way back"), "{said}");
    let a = Observed::settled(&["A"], "done");
    a.expect(&host, "at the end")?;
    host.cut_power()?;
    host.boot()?;
    a.expect(&host, "after a power cut")?;
    host.remove()
}

fn told(host: &Host<'_>, case: &Case) -> Result<()> {
    if !case.before.is_empty() {
        host.root(&format!("cd; {}", case.before))?.ok()?;
    }
    let ended = host.root(&format!("cd; {}", case.run))?;
    let said = ended.stderr.clone();
    ended.fails_with(case.code)?;
    for words in case.says {
        ensure!(said.contains(words), "it does not say {words:?}:\n{said}");
    }
    (case.now)().expect(host, "at the end")?;
    host.cut_power()?;
    host.boot()?;
    (case.booted)().expect(host, "after a power cut")?;
    host.root("firn recover")?.ok()?;
    let status = Observed::of(host)?.status;
    ensure!(!status.contains("interrupted"), "firn recover left it {status}");
    Ok(())
}

/// Switches over ssh, which may end as it likes, and waits until the host is in A and can be reached.
fn comes_back(host: &Host<'_>, name: &str) -> Result<()> {
    host.ssh("root", &format!("firn switch {name}.export --settle 0s --confirm-within 3s"))?;
    if name == "D4" {
        host.fate("wait")?;
        ensure!(Observed::of(host)?.runs == "A", "it restarted into D4");
        host.root("firn recover")?.ok()?;
    } else {
        host.until("firn status --json | grep -q '\"state\": *\"reverted\"'", BACK)?;
    }
    host.fate("wait")?;
    reverted().expect(host, "at the end")?;
    if name == "D3" {
        // The key is data: nobody undoes what was done to it, and the message says so.
        host.root("cat /run/testbed/id >/dev/null && ssh-keygen -y -f /run/testbed/id >/etc/ssh/authorized_keys")?
            .ok()?;
    }
    ensure!(host.ssh("root", "id -un")?.ok()? == "root");
    host.cut_power()?;
    host.boot()?;
    reverted().expect(host, "after a power cut")
}

fn served(scene: &Scene, host: &Host<'_>) -> Result<()> {
    let folder = scene.bed.folder("mirror")?;
    fs_err::write(folder.join("good.txt"), "good\n")?;
    let serve = format!("cd {} && exec python3 -m http.server 8080 --bind 10.99.0.1", folder.display());
    let server = scene.bed.begin_hub(&serve)?;
    host.until("exec 3<>/dev/tcp/10.99.0.1/8080", BACK)?;
    host.root("cd; firn switch G.export --settle 0s")?.ok()?;
    server.kill()?;
    Observed::settled(&["A", "G"], "done").expect(host, "at the end")
}

fn once(host: &Host<'_>) -> Result<()> {
    host.root("cd; firn boot --once K.export")?.ok()?;
    let waiting = Observed::settled(&["A", "K"], "awaiting-reboot").but(|seen| {
        (seen.runs, seen.boots, seen.profile, seen.once) = ("A".into(), "A".into(), "1=A".into(), "K".into())
    });
    waiting.expect(host, "before the restart")?;
    host.root("firn confirm")?.fails_with(22)?;
    host.cut_power()?;
    host.boot()?;
    let tried = waiting.but(|seen| (seen.runs, seen.once) = ("K".into(), "-".into()));
    tried.expect(host, "booted once")?;
    host.root("firn confirm")?.ok()?;
    let kept = Observed::settled(&["A", "K"], "done");
    kept.expect(host, "confirmed")?;
    host.cut_power()?;
    host.boot()?;
    kept.expect(host, "after a power cut")
}

fn dead(host: &Host<'_>) -> Result<()> {
    host.root("cd; firn boot --once Kdead.export")?.ok()?;
    host.cut_power()?;
    host.fate("boot")?;
    ensure!(host.fate("wait").is_err(), "Kdead answers");
    host.boot()?;
    let seen = Observed::of(host)?;
    ensure!(seen.runs == "A" && seen.boots == "A" && seen.profile == "1=A", "{seen}");
    host.root("firn recover")?.ok()?;
    reverted().expect(host, "recovered")
}

/// Boot loaders start a system without its specialisation, whatever runs.
fn special(host: &Host<'_>) -> Result<()> {
    host.root("cd; firn switch A.firn --specialisation debug --settle 0s")?.ok()?;
    host.root("cd; firn boot --once S.export")?.ok()?;
    host.cut_power()?;
    host.boot()?;
    ensure!(host.root("firn status")?.ok()?.contains("booted once, NOT CONFIRMED"), "it is not told as booted once");
    let hint = host.root("cd; firn switch B.firn")?;
    ensure!(hint.stderr.contains("firn confirm makes it what boots"), "{}", hint.stderr);
    host.root("firn confirm")?.ok()?;
    Observed::settled(&["A", "S"], "done").expect(host, "confirmed")
}
