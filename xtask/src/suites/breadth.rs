//! A closure that holds everything a closure can hold, made by the host's own Nix, with a tree of 50,000 files.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Result, ensure};

use super::{Checks, Inspected, Scene, inspected};
use crate::{process, workspace};

/// Packed as alice on one host, taken by alice on another; what needs trust is named and refused.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let desk = scene.host("desk")?;
    let web = scene.host("web")?;
    desk.push(&tree()?, "/home/alice/tree")?;
    desk.push(&scene.bed.tools(scene.release)?, "/home/alice/tools")?;
    desk.push(&workspace::file("tests/nix/breadth"), "/home/alice/breadth")?;
    let instantiate = |attribute: &str| {
        desk.alice(&format!("nix-instantiate breadth -A {attribute} --arg tools ./tools --arg tree ./tree"))?.ok()
    };
    let root = instantiate("all")?;
    let told = checks.step("alice packs it", || {
        let ended = desk.alice(&format!("firn pack {root} -o all.firn"))?;
        let told = ended.stderr.clone();
        ended.ok()?;
        desk.alice("firn verify all.firn")?.ok()?;
        let Inspected { root: packed, paths } = inspected(&desk, "/home/alice/all.firn")?;
        let closure = desk.alice(&format!("nix-store -qR {root} | wc -l"))?.ok()?;
        ensure!(packed == root && closure == paths.to_string(), "{packed} with {paths} paths, {root} with {closure}");
        Ok(told)
    })?;
    checks.check("the source that weighs most is named", || {
        ensure!(told.contains("-source"), "{told}");
        Ok(())
    });
    checks.check("from a stream of stock Nix, it is the same file", || {
        desk.alice(&format!(
            "nix-store --export $(nix-store -qR {root}) | firn convert - stream.firn && cmp all.firn stream.firn"
        ))?
        .ok()
        .map(drop)
    });
    let carried = workspace::file(&format!("target/breadth-{}-{}.firn", scene.release.name(), std::process::id()));
    desk.pull("/home/alice/all.firn", &carried)?;
    web.push(&carried, "/home/alice/all.firn")?;
    fs_err::remove_file(&carried)?;
    checks.step("alice imports it on another host", || web.alice("firn import all.firn")?.ok())?;
    checks.check("stock Nix verifies the contents there, and has the same closure", || {
        web.root("nix-store --verify --check-contents")?.ok()?;
        let closure = format!(
            "cd; nix-store -qR {root} | sort | xargs nix-store -q --hash >hashes; \
             nix-store -q --graph {root} | grep -- '->' | sort >references; sha256sum hashes references"
        );
        ensure!(web.root(&closure)?.ok()? == desk.root(&closure)?.ok()?, "other hashes or references");
        Ok(())
    });
    checks.check(
        "an output among the sources is named as needing trust, and alice's import of it refused before a write",
        || {
            let trusting = instantiate("trusting")?;
            let ended = desk.alice(&format!("firn pack {trusting} -o trusting.firn"))?;
            ensure!(ended.stderr.contains("-written.nix"), "{}", ended.stderr);
            ended.ok()?;
            let file =
                workspace::file(&format!("target/trusting-{}-{}.firn", scene.release.name(), std::process::id()));
            desk.pull("/home/alice/trusting.firn", &file)?;
            web.push(&file, "/home/alice/trusting.firn")?;
            fs_err::remove_file(&file)?;
            let before = web.root("ls /nix/store | wc -l")?.ok()?;
            let refused = web.alice("firn import trusting.firn")?;
            ensure!(
                refused.code != 0 && refused.code < 100 && refused.stderr.contains("-written.nix"),
                "{}: {}",
                refused.code,
                refused.stderr
            );
            ensure!(web.root("ls /nix/store | wc -l")?.ok()? == before, "something was written");
            web.root("firn import /home/alice/trusting.firn")?.ok()?;
            web.root(&format!("nix-store -qR {trusting} >/dev/null && nix-store --verify --check-contents"))?
                .ok()
                .map(drop)
        },
    );
    Ok(())
}

/// The tree of 50,000 files, made once for a checkout.
fn tree() -> Result<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock();
    let tree = workspace::file("target/breadth-tree");
    if !tree.exists() {
        let new = tree.with_extension("new");
        process::run(process::command("sh", [workspace::file("tests/nix/breadth/tree.sh")]).arg(&new))?;
        fs_err::rename(&new, &tree)?;
    }
    Ok(tree)
}
