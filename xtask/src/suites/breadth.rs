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
    desk.push(&scene.bed.tools(scene.tools)?, "/home/alice/tools")?;
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
    let carry = |name: &str| desk.carry(&format!("/home/alice/{name}"), &web, &format!("/home/alice/{name}"));
    carry("all.firn")?;
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
    let trusting = instantiate("trusting")?;
    let files = || web.root("ls /nix/store | wc -l")?.ok();
    checks.check("an output among the sources is named as needing trust", || {
        let ended = desk.alice(&format!("firn pack {trusting} -o trusting.firn"))?;
        ensure!(ended.stderr.contains("-written.nix"), "{}", ended.stderr);
        ended.ok()?;
        carry("trusting.firn")
    });
    checks.check("without a signature, alice's import of it is refused before a write, with the cures", || {
        let before = files()?;
        let refused = web.alice("firn import trusting.firn")?.fails_with(10)?;
        for word in ["-written.nix", "root", "trusted-users", "sign"] {
            ensure!(refused.contains(word), "no {word:?} in: {refused}");
        }
        ensure!(files()? == before, "something was written");
        Ok(())
    });
    checks.check("with a signature that the host accepts, alice imports it", || {
        let output = desk.root(&format!("nix-store -qR {trusting} | grep -e '-written.nix$'"))?.ok()?;
        desk.root("cd; nix-store --generate-binary-cache-key desk-1 secret public")?.ok()?;
        desk.root(&format!("cd; nix --extra-experimental-features nix-command store sign --key-file secret {output}"))?
            .ok()?;
        desk.alice(&format!("firn pack {trusting} -o signed.firn"))?.ok()?;
        carry("signed.firn")?;
        let key = desk.root("cat /root/public")?.ok()?;
        let before = files()?;
        let refused = web.alice("firn import signed.firn")?.fails_with(10)?;
        ensure!(refused.contains("signed by desk-1"), "{refused}");
        ensure!(files()? == before, "something was written by a key that is not accepted");
        web.root(&format!(
            "echo 'extra-trusted-public-keys = {key}' >>/etc/nix/nix.conf; systemctl restart nix-daemon"
        ))?
        .ok()?;
        web.alice("firn import signed.firn")?.ok()?;
        web.root("nix-store --gc >/dev/null 2>&1")?.ok()?;
        web.root(&format!("nix-store -qR {trusting} >/dev/null && nix-store --verify --check-contents"))?.ok()?;
        ensure!(
            web.root(&format!("nix path-info --extra-experimental-features nix-command --sigs {output}"))?
                .ok()?
                .contains("desk-1:"),
            "the signature is lost"
        );
        Ok(())
    });
    checks.check("root imports it, with a signature that means nothing there or none", || {
        let forget = "rm -rf /home/alice/.local/state/firn /nix/var/nix/gcroots/firn; nix-store --gc >/dev/null 2>&1";
        web.root("sed -i '/desk-1/d' /etc/nix/nix.conf; systemctl restart nix-daemon")?.ok()?;
        web.root(&format!("{forget}; firn import /home/alice/signed.firn"))?.ok()?;
        web.root(&format!("{forget}; firn import /home/alice/trusting.firn"))?.ok()?;
        web.root(&format!("nix-store -qR {trusting} >/dev/null && nix-store --verify --check-contents"))?.ok().map(drop)
    });
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
