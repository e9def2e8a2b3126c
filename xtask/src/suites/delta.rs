//! An update against what a host runs: the host is asked, and brought up to date by a delta.

use anyhow::{Result, ensure};

use super::{Checks, Scene, inspected, lay_systems, systems};

/// Packs on `desk` against what `web` runs, switches `web` by it.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let template = checks.step("a host that runs A", || systems::on_a(scene))?;
    let web = scene.bed.host_like(&template, "web")?;
    let desk = scene.host("desk")?;
    lay_systems(scene, &desk, "/root")?;
    let pack = |what: &str| desk.root(&format!("cd; firn pack --file nix --arg tools ./tools {what}"));
    let a = inspected(&web, "/root/A.firn")?.root;
    checks.check("a host that has lost the .drv of what it runs is no base", || {
        let said = pack("--attr B --base-host root@web -o update.firn")?.fails_with(8)?;
        ensure!(said.contains(&format!("has not got {a}, which made it")), "{said}");
        desk.root("test ! -e /root/update.firn")?.ok().map(drop)
    });
    checks.step("nor is one whose .drv is not here, which is told with how to bring it", || {
        web.root("cd; firn import A.firn")?.ok()?;
        let said = pack("--attr B --base-host root@web -o update.firn")?.fails_with(8)?;
        let cure = format!("nix-copy-closure --from root@web {a}");
        ensure!(said.contains(&cure), "{said}");
        desk.root(&cure)?.ok()
    })?;
    checks.step("packed against what the host runs, and against what was kept by name", || {
        pack("--attr B -o whole.firn")?.ok()?;
        pack("--attr B --base-host root@web -o update.firn")?.ok()?;
        let nothing = pack("--attr B --base-name web -o named.firn")?.fails_with(8)?;
        ensure!(nothing.contains("--keep web"), "{nothing}");
        pack("--attr A --keep web -o old.firn")?.ok()?;
        ensure!(inspected(&desk, "/root/old.firn")?.root == a, "the systems of the two hosts are not the same");
        pack("--attr B --keep web --base-name web -o named.firn")?.ok()?;
        desk.root(
            "set -e; cd; cmp update.firn named.firn
             firn convert --base old.firn update.firn again.firn; cmp whole.firn again.firn",
        )?
        .ok()?;
        let [whole, update] = ["whole", "update"].map(|file| desk.root(&format!("stat -c %s /root/{file}.firn")));
        let (whole, update): (u64, u64) = (whole?.ok()?.parse()?, update?.ok()?.parse()?);
        ensure!(update < 1000 && update * 5 < whole, "{update} bytes against {whole}");
        Ok(())
    })?;
    desk.carry("/root/update.firn", &web, "/root/update.firn")?;
    checks.check("what it changes is shown before anything is done", || {
        let ended = web.root("cd; firn switch --dry-run update.firn")?;
        ensure!(ended.stderr.contains("against current: "), "{}", ended.stderr);
        ended.ok()?;
        web.root("cd; firn diff current update.firn --exit-code")?.fails_with(1)?;
        web.root("cd; cat update.firn | firn diff current - --exit-code")?.fails_with(1)?;
        let ended = web.root("readlink /run/current-system")?.ok()?;
        ensure!(ended.ends_with("-nixos-system-h1-A"), "{ended}");
        Ok(())
    });
    checks.check("switched to by the delta, it runs and is the next base", || {
        web.root("cd; firn switch update.firn --settle 0s")?.ok()?;
        let system = web.root("readlink /run/current-system")?.ok()?;
        ensure!(system.ends_with("-nixos-system-h1-B"), "{system}");
        web.root("cd; firn diff current update.firn --exit-code")?.ok()?;
        pack("--attr C1 --base-host root@web -o next.firn")?.ok()?;
        Ok(())
    });
    Ok(())
}
