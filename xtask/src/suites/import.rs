//! Every closure, imported by alice through the daemon; stock Nix then finds nothing wrong with her store.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use fs_err as fs;

use super::{Checks, Inspected, Scene, inspected};
use crate::bed::Host;
use crate::workspace;

/// Imports, then asks stock Nix: verify, closure, dry run, collection, export.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let host = scene.host("h1")?;
    let closures = closures(&["examples", "tests/closures", "../shared/closures"])?;
    for export in &closures {
        one(&host, export, checks)?;
    }
    checks.check("stock Nix verifies the contents of the store", || {
        host.root("nix-store --verify --check-contents")?.ok()?;
        let without =
            host.root("sqlite3 /nix/var/nix/db/db.sqlite 'select count(*) from ValidPaths where ca is null'")?.ok()?;
        ensure!(without == "0", "{without} paths are registered without their content address");
        Ok(())
    });
    checks.check("the collector keeps all of them", || {
        let before = host.root("ls /nix/store | wc -l")?.ok()?;
        host.root("nix-store --gc")?.ok()?;
        let after = host.root("ls /nix/store | wc -l")?.ok()?;
        ensure!(before == after, "{before} files in the store before, {after} after");
        Ok(())
    });
    Ok(())
}

/// The streams in folders of the checkout, or beside it; of the same name, the first.
pub(super) fn closures(folders: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let folder = workspace::file(folder);
        if !folder.exists() {
            continue;
        }
        let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        files.retain(|file| file.to_string_lossy().ends_with(".export.zst"));
        files.retain(|file| found.iter().all(|other| other.file_name() != file.file_name()));
        found.extend(files);
    }
    Ok(found)
}

fn one(host: &Host<'_>, export: &Path, checks: &mut Checks) -> Result<()> {
    let name = export.file_name().unwrap_or_default().to_string_lossy().replace(".export.zst", "");
    host.push(export, "/home/alice/in")?;
    let root = checks.step(&format!("{name}: alice converts, verifies, imports"), || {
        host.alice("firn convert in c.firn")?.ok()?;
        host.alice("firn verify c.firn")?.ok()?;
        // Several are of one host, and a root of the same name is replaced.
        host.alice(&format!("firn import c.firn --out-link roots/{name}"))?.ok()?;
        let Inspected { root, paths } = inspected(host, "/home/alice/c.firn")?;
        let found = host.alice(&format!("nix-store -qR {root} | wc -l"))?.ok()?;
        ensure!(found == paths.to_string(), "{found} paths in the store, {paths} in the file");
        Ok(root)
    })?;
    checks.check(&format!("{name}: nothing is missing to build it"), || {
        let plan = host.alice(&format!("nix-store -r --dry-run {root}"))?;
        let text = plan.stderr.clone();
        plan.ok()?;
        ensure!(text.contains("will be built"), "{text}");
        Ok(())
    });
    checks.check(&format!("{name}: exported by stock Nix, it gives the same file"), || {
        host.alice(&format!("nix-store --export $(nix-store -qR {root}) | firn convert - again.firn"))?.ok()?;
        host.alice("cmp c.firn again.firn")?.ok()?;
        Ok(())
    });
    checks.check(&format!("{name}: a second import changes nothing"), || {
        let count = "sqlite3 /nix/var/nix/db/db.sqlite 'select count(*), max(id) from ValidPaths'";
        let before = host.root(count)?.ok()?;
        host.alice("firn import c.firn")?.ok()?;
        ensure!(host.root(count)?.ok()? == before, "rows were {before}");
        Ok(())
    });
    Ok(())
}
