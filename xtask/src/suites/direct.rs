//! `import --root` without Nix, then stock Nix on the store that it left; and streams that stock Nix takes.

use anyhow::{Result, ensure};

use super::{Checks, Scene, import, inspected};

/// A folder as root, a folder as alice, and a converted stream into the host's own store.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let host = scene.host("h1")?;
    for export in import::closures(&["examples", "tests/closures"])? {
        let name = export.file_name().unwrap_or_default().to_string_lossy().replace(".export.zst", "");
        host.push(&export, "/home/alice/in")?;
        let root = checks.step(&format!("{name}: root imports into a folder"), || {
            host.root("cd /home/alice; rm -rf /mnt/disk; firn convert in c.firn; firn import --root /mnt/disk c.firn")?
                .ok()?;
            Ok(inspected(&host, "/home/alice/c.firn")?.root)
        })?;
        checks.check(&format!("{name}: stock Nix verifies the folder, and keeps all in it"), || {
            let nix = "NIX_REMOTE='local?root=/mnt/disk'";
            host.root(&format!("{nix} nix-store --verify --check-contents"))?.ok()?;
            let paths = host.root(&format!("{nix} nix-store -qR {root} | wc -l"))?.ok()?;
            host.root(&format!("{nix} nix-store --gc"))?.ok()?;
            let kept = host.root(&format!("{nix} nix-store -qR {root} | wc -l"))?.ok()?;
            ensure!(paths == kept && kept != "0", "{paths} paths before the collection, {kept} after");
            Ok(())
        });
        checks.check(&format!("{name}: stock Nix imports the stream that firn writes"), || {
            host.root(
                "cd /home/alice; firn convert c.firn out.export; nix-store --import <out.export | tail -1 >root",
            )?
            .ok()?;
            ensure!(host.root("cat /home/alice/root")?.ok()? == root, "another root");
            Ok(())
        });
        checks.check(&format!("{name}: alice imports into a folder of hers"), || {
            host.alice("chmod -R u+w disk 2>/dev/null; rm -rf disk; firn import --root disk c.firn")?.ok()?;
            host.alice("NIX_REMOTE=\"local?root=$HOME/disk\" nix-store --verify --check-contents")?.ok()?;
            Ok(())
        });
    }
    Ok(())
}
