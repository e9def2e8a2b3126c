//! A broken bed must not look like a broken firn.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::{Checks, Scene, lay_systems};
use crate::bed::Release;

/// The host runs systemd, the expected Nix, a sandbox; alice may use the daemon but is not trusted; firn starts.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let host = checks.step("host is up", || scene.host("h1"))?;
    checks.check("its Nix is the expected one", || {
        let version = host.root("nix-store --version")?.ok()?;
        let expected = match scene.release {
            Release::Bookworm => version.ends_with(" 2.8.0"),
            Release::Trixie => version.contains(" 2.26."),
            Release::Sid => !version.contains(" 2.8.") && !version.contains(" 2.26."),
        };
        ensure!(expected, "{version}");
        Ok(())
    });
    checks.check("no experimental feature is on", || {
        let features =
            host.root("nix --extra-experimental-features nix-command show-config | grep ^experimental-features")?;
        let features = features.ok()?;
        ensure!(!features.contains("flakes"), "{features}");
        Ok(())
    });
    checks.check("ssh answers, as root and as alice", || {
        ensure!(host.ssh("root", "id -un")?.ok()? == "root");
        ensure!(host.ssh("alice", "id -un")?.ok()? == "alice");
        Ok(())
    });
    let system = checks.step("alice builds a system in the sandbox", || {
        lay_systems(scene, &host, "/home/alice")?;
        let system = host.alice("nix-build --no-out-link nix -A A --arg tools ./tools")?.ok()?;
        ensure!(system.ends_with("-nixos-system-h1-A"), "{system}");
        Ok(system)
    })?;
    checks.check("alice is not trusted: what she built, she cannot import", || {
        host.alice(&format!("nix-store --export {system} >system"))?.ok()?;
        host.root(&format!("nix-store --delete {system}"))?.ok()?;
        let refusal = host.alice("nix-store --import <system")?.fails_with(1)?;
        ensure!(refusal.contains("lacks a"), "{refusal}");
        Ok(())
    });
    checks.check("the static firn starts", || {
        let version = host.root("firn --version")?.ok()?;
        ensure!(version.starts_with("firn "), "{version}");
        Ok(())
    });
    checks.check("a host that is off takes no process with it that has its number", || {
        host.cut_power()?;
        let mut other = Command::new("cat").stdin(Stdio::piped()).spawn()?;
        host.mistake_for(other.id())?;
        host.cut_power()?;
        drop(other.stdin.take());
        let ended = other.wait()?;
        ensure!(ended.success(), "cat: {ended}");
        Ok(())
    });
    Ok(())
}
