//! Eight hosts switched at once from one file, each to its own system.

use anyhow::{Result, ensure};

use super::observed::Observed;
use super::{Checks, Scene, systems};

/// Copies of a host that runs A, each called by a name of the fleet.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let template = checks.step("a host that runs A", || systems::on_a(scene))?;
    let mut hosts = Vec::new();
    for name in systems::FLEET {
        let host = scene.bed.host_like(&template, name)?;
        host.root(&format!("hostname {name}"))?.ok()?;
        hosts.push(host);
    }
    checks.check("the system of another host is refused", || {
        let Some(host) = hosts.last() else { return Ok(()) };
        host.root("cd; firn switch fleet.firn --settle 0s")?.fails_with(22)?;
        host.root("cd; firn switch fleet.firn#f2 --settle 0s")?.fails_with(22)?;
        Observed::settled(&["A"], "-").expect(host, "at the end")
    });
    let all = hosts.len();
    checks.each(
        all,
        &hosts,
        |host| format!("{} switches to its own B", host.name()),
        |host| {
            let name = host.name();
            host.root(&format!("cd; firn switch fleet.firn#{name} --settle 0s"))?.ok()?;
            Observed::settled(&["A", "B"], "done").expect(host, "at the end")?;
            let system = host.root("readlink -f /run/current-system")?.ok()?;
            ensure!(system.ends_with(&format!("-nixos-system-{name}-B")), "{system}");
            Ok(())
        },
    );
    Ok(())
}
