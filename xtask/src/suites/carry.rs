//! A system packed on one host, carried to another, imported and built there by someone whom Nix does not trust.

use anyhow::{Result, ensure};

use super::{Checks, Scene, inspected, lay_systems, update};

/// Packs as root on `desk`; imports and realises as alice on `web`, then over ssh on `far`.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let desk = scene.host("desk")?;
    let web = scene.host("web")?;
    lay_systems(scene, &desk, "/root")?;
    let (root, output) = checks.step("packed from an expression", || {
        let root = desk.root("cd; nix-instantiate nix -A A --arg tools ./tools")?.ok()?;
        let output = desk.root(&format!("nix-store -r {root}"))?.ok()?;
        desk.root("cd; firn pack --file nix --attr A --arg tools ./tools -o web.firn")?.ok()?;
        ensure!(inspected(&desk, "/root/web.firn")?.root == root, "another root than {root}");
        Ok((root, output))
    })?;
    checks.check("packed from its .drv, its output and ./result, it is the same file", || {
        desk.root(&format!("cd; firn pack {root} -o drv.firn && cmp web.firn drv.firn"))?.ok()?;
        desk.root(&format!("cd; firn pack {output} -o output.firn && cmp web.firn output.firn"))?.ok()?;
        desk.root(&format!("cd; ln -s {output} result; firn pack ./result -o - | cmp web.firn -"))?.ok()?;
        Ok(())
    });
    desk.carry("/root/web.firn", &web, "/home/alice/web.firn")?;
    checks.check("where no link can be made nothing is imported", || {
        let paths = || web.root("ls /nix/store | wc -l")?.ok();
        let before = paths()?;
        web.alice("firn import web.firn --out-link /etc/web")?.fails_with(15)?;
        ensure!(paths()? == before, "something was imported");
        Ok(())
    });
    checks.step("alice imports it", || web.alice("firn import web.firn")?.ok())?;
    checks.check("a collector that runs at once keeps it", || {
        let before = web.root("nix-store --gc >/dev/null 2>&1; ls /nix/store")?.ok()?;
        ensure!(before.contains(root.trim_start_matches("/nix/store/")), "{root} is gone");
        Ok(())
    });
    checks.check("where no link can be made nothing is built", || {
        web.alice("touch taken; firn realise web.firn --out-link taken")?.fails_with(15)?;
        web.root(&format!("! test -e {output}"))?.ok().map(drop)
    });
    checks.check("alice realises it, in the sandbox, to the same output", || {
        let built = web.alice("firn realise web.firn")?.ok()?;
        ensure!(built == output, "{built} instead of {output}");
        ensure!(
            web.root(&format!("nix-store -q --hash {output}"))?.ok()?
                == desk.root(&format!("nix-store -q --hash {output}"))?.ok()?
        );
        Ok(())
    });
    checks.check("the output has a root of hers", || {
        web.root("nix-store --gc >/dev/null 2>&1")?.ok()?;
        web.root(&format!("test -e {output}/bin/switch-to-configuration"))?.ok().map(drop)
    });
    checks.check("all outputs are built, printed and kept", || {
        let two = r#"derivation {
            name = "two"; system = builtins.currentSystem; outputs = [ "out" "dev" ];
            builder = ./tools/bash; args = [ "-c" "echo >$out; echo >$dev" ];
        }"#;
        desk.root(&format!("cd; echo '{two}' >two.nix; firn pack -q --file two.nix -o two.firn"))?.ok()?;
        let printed = desk.root("cd; firn realise -q two.firn --out-link two")?.ok()?;
        let kept = desk.root("cd; readlink two two-dev")?.ok()?;
        ensure!(printed == kept && printed.ends_with("-two-dev"), "printed {printed}, kept {kept}");
        Ok(())
    });
    let far = scene.bed.host(scene.release, "far")?;
    checks.check("over ssh, from desk into a host with stock Nix alone", || {
        desk.root("cd; firn import --store ssh-ng://root@far web.firn")?.ok()?;
        far.root(&format!(
            "nix-store --gc >/dev/null 2>&1; nix-store -qR {root} >/dev/null && nix-store --verify --check-contents"
        ))?
        .ok()?;
        Ok(())
    });
    update::run(&desk, &web, &far, &root, checks)
}
