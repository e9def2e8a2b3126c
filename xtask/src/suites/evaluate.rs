//! Everything that `pack` can be pointed at, with a flake and no network, no experimental feature in nix.conf.

use anyhow::{Result, ensure};

use super::{Checks, Scene, inspected, lay_systems};
use crate::workspace;

/// All of it as alice.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let host = scene.host("h1")?;
    host.push(&workspace::file("tests/nix/flake"), "/home/alice/flake")?;
    lay_systems(scene, &host, "/home/alice/flake")?;
    host.root(
        "mkdir -p /srv/site /home/alice/other; printf B >/srv/site/generation; printf A >/home/alice/other/generation; \
               mv /home/alice/flake/nix /home/alice/flake/systems; chown -R alice: /home/alice/flake",
    )?
    .ok()?;
    host.alice("git config --global user.name alice; git config --global user.email alice@bed; cd flake && git init -q && git add -A && git commit -qm hosts")?.ok()?;
    let flakes = "nix --extra-experimental-features nix-command --extra-experimental-features flakes";
    let expected = |flags: &str| {
        host.alice(&format!("cd flake; {flakes} eval {flags} --raw .#nixosConfigurations.web.config.system.build.toplevel.drvPath 2>/dev/null"))?.ok()
    };
    let root = |file: &str| Ok::<_, anyhow::Error>(inspected(&host, &format!("/home/alice/flake/{file}"))?.root);

    checks.step("a host of a flake", || {
        host.alice("cd flake; firn pack .#web -o web.firn")?.ok()?;
        ensure!(root("web.firn")? == expected("")?);
        Ok(())
    })?;
    checks.check("its attribute and its .drv give equal bytes", || {
        host.alice("cd flake; firn pack .#nixosConfigurations.web.config.system.build.toplevel -o attribute.firn; cmp web.firn attribute.firn")?.ok()?;
        let drv = expected("")?;
        host.alice(&format!("cd flake; firn pack {drv} -o drv.firn; cmp web.firn drv.firn"))?.ok()?;
        Ok(())
    });
    checks.check("a bare flake with several hosts is refused, with their names", || {
        let ended = host.alice("cd flake; firn pack . -o no.firn")?;
        ensure!(ended.code != 0 && ended.code < 100, "exit code {}", ended.code);
        ensure!(ended.stderr.contains("web") && ended.stderr.contains("db"), "{}", ended.stderr);
        host.alice("test ! -e flake/no.firn")?.ok().map(drop)
    });
    checks.check("an input overridden by a path", || {
        host.alice("cd flake; firn pack .#web --override-input site path:/home/alice/other -o other.firn")?.ok()?;
        ensure!(root("other.firn")? == expected("--override-input site path:/home/alice/other")?);
        ensure!(root("other.firn")? != root("web.firn")?);
        Ok(())
    });
    checks.check("a dirty tree, with a warning of what it leaves out", || {
        host.alice("cd flake; sed -i 's/good; one unit/good; some unit/; s/A = gen \"A\"/A = gen \"dirty\"/' systems/default.nix; touch forgotten.nix")?.ok()?;
        let ended = host.alice("cd flake; firn pack .#db -o dirty.firn")?;
        ensure!(ended.stderr.contains("forgotten.nix"), "{}", ended.stderr);
        ended.ok()?;
        ensure!(root("dirty.firn")?.ends_with("-nixos-system-db-dirty.drv"));
        host.alice("cd flake; git checkout -q systems; rm forgotten.nix")?.ok().map(drop)
    });
    checks.check("an expression and an attribute", || {
        host.alice(
            "cd flake; firn pack --file systems --attr B --arg tools ./tools --argstr hostName web -o file.firn",
        )?
        .ok()?;
        let drv =
            host.alice("cd flake; nix-instantiate systems -A B --arg tools ./tools --argstr hostName web")?.ok()?;
        ensure!(root("file.firn")? == drv);
        Ok(())
    });
    checks.check("./result", || {
        host.alice("cd flake; nix-build systems -A B --arg tools ./tools --argstr hostName web && firn pack ./result -o result.firn && cmp file.firn result.firn")?.ok().map(drop)
    });
    checks.check("a path without a deriver is refused, saying what to pass instead", || {
        let ended = host.alice("firn pack $(nix-store --add flake/flake.nix) -o no.firn")?;
        ensure!(ended.code != 0 && ended.code < 100, "exit code {}", ended.code);
        ensure!(ended.stderr.contains(".drv"), "{}", ended.stderr);
        Ok(())
    });
    checks.check("the text of an evaluation error reaches the person", || {
        let ended = host.alice("cd flake; firn pack .#broken -o no.firn")?;
        ensure!(ended.code != 0 && ended.code < 100, "exit code {}", ended.code);
        ensure!(ended.stderr.contains("the option `services.wbe' does not exist"), "{}", ended.stderr);
        host.alice("test ! -e flake/no.firn")?.ok().map(drop)
    });
    Ok(())
}
