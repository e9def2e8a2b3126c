//! The bed's systems as firn files, made once for a run; and a host that runs one of them, to make copies of.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use fs_err as fs;

use super::{Scene, lay_systems};
use crate::bed::Host;
use crate::process;
use crate::workspace;

/// Systems of tests/testbed/nix that can be built.
const BUILT: &[&str] = &[
    "A", "B", "C1", "C1b", "C2", "C4", "C4late", "C4sure", "C5", "C5deaf", "C100", "Cagain", "Calways", "Cdie", "Cjob",
    "Cloop", "D1", "D2", "D3", "D4", "K", "Kdead", "O", "O2", "R", "S",
];

/// Those of which some derivation does not build, or has to be built where it is switched to.
const UNBUILT: &[&str] = &["E", "E2", "F", "F2", "G"];

/// Hosts of a fleet, each with a system of its own in one file.
pub(super) const FLEET: &[&str] = &["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8"];

/// Those that are packed. firn takes streams of stock Nix as well, which cost nothing to make.
const PACKED: &[&str] = &["A", "B", "E"];

/// The `switch-to-configuration` of systems.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    /// The one of tests/testbed/nix.
    Bed,
    /// The one of nixpkgs 19.09, which is a source in the closure of the example; or the one that `FIRN_REAL_SWITCH` names.
    Nixos,
}

/// Lays NixOS's script into a host; gives the argument that makes systems with it.
fn lay_script(host: &Host<'_>) -> Result<&'static str> {
    if let Some(script) = std::env::var_os("FIRN_REAL_SWITCH") {
        host.push(Path::new(&script), "/root/script.pl")?;
    } else {
        host.push(&workspace::file("examples/nixos-19.09-minimal-2019-12.export.zst"), "/root/example")?;
        host.root(
            "set -e; cd; zstd -dc <example | nix-store --import >/dev/null; rm example
             cp /nix/store/*-switch-to-configuration.pl script.pl",
        )?
        .ok()?;
    }
    Ok("--arg realSwitch ./script.pl")
}

/// A folder with `NAME.firn` or `NAME.export` of every system; `B.delta.firn`, B against A; `arm.firn`, A for another kind
/// of machine; `fleet.firn`, with B for each host of the fleet; and `built`, a stream with everything that can be built.
///
/// Derivations are the same under every version of Nix, so the first suite that asks makes it for all.
fn folder(scene: &Scene, script: Script) -> Result<&'static Path> {
    static FOLDERS: [OnceLock<Result<PathBuf, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let [ours, real] = &FOLDERS;
    let folder = if script == Script::Nixos { real } else { ours };
    let made = folder.get_or_init(|| make(scene, script).map_err(|error| format!("{error:#}")));
    made.as_deref().map_err(|error| anyhow!("the bed's systems: {error}"))
}

fn make(scene: &Scene, script: Script) -> Result<PathBuf> {
    let desk = scene.host("desk")?;
    lay_systems(scene, &desk, "/root")?;
    let real = if script == Script::Nixos { lay_script(&desk)? } else { "" };
    let exported: Vec<&str> = BUILT.iter().chain(UNBUILT).copied().filter(|name| !PACKED.contains(name)).collect();
    let (packed, exported) = (PACKED.join(" "), exported.join(" "));
    let attributes = BUILT.iter().map(|name| format!("-A {name} ")).collect::<String>();
    let fleet = FLEET.join(" ");
    desk.root(&format!(
        "set -e; cd; mkdir out
         pack() {{ firn pack --quiet --file nix --arg tools ./tools {real} \"$@\"; }}
         instantiate() {{ nix-instantiate nix --arg tools ./tools {real} -A \"$@\" 2>/dev/null; }}
         for system in {packed}; do pack --attr $system -o out/$system.firn; done
         pack --attr B --base out/A.firn -o out/B.delta.firn
         for system in {exported}; do
           nix-store --export $(nix-store -qR $(instantiate $system)) | zstd -q -1 >out/$system.export
         done
         pack --attr A --argstr system aarch64-linux -o out/arm.firn
         drvs=; for host in {fleet}; do
           drvs=\"$drvs $(instantiate B --argstr hostName $host)\"
         done
         firn pack --quiet $drvs -o out/fleet.firn
         nix-build --no-out-link nix {attributes} --arg tools ./tools {real} >systems 2>log || {{ tail -n 20 log >&2; exit 1; }}
         payload=$(nix-store -q --outputs $(nix-store -qR $(instantiate A) | grep -e -payload.drv))
         nix-store --export $(nix-store -qR $(cat systems)) $payload >out/built
         tar -C out -cf out.tar ."
    ))?
    .ok()?;
    let folder = workspace::file(if script == Script::Nixos { "target/activation-real" } else { "target/activation" });
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    desk.pull("/root/out.tar", &folder.join("out.tar"))?;
    process::quiet(process::command("tar", ["-xf", "out.tar"]).current_dir(&folder))?;
    fs::remove_file(folder.join("out.tar"))?;
    desk.remove()?;
    Ok(folder)
}

/// Starts a host with the files in `/root` and all outputs in its store, but none of the systems ever activated.
pub(super) fn fresh<'bed>(scene: &'bed Scene, name: &str) -> Result<Host<'bed>> {
    with(scene, name, folder(scene, Script::Bed)?)
}

fn with<'bed>(scene: &'bed Scene, name: &str, files: &Path) -> Result<Host<'bed>> {
    let host = scene.host(name)?;
    host.push(files, "/root/systems")?;
    host.root("set -e; cd; mv systems/* .; nix-store --import <built >/dev/null; rm built")?.ok()?;
    Ok(host)
}

/// A host like [`fresh`], called h1, that runs A, booted from it, as stock tools make it; then switched off. Copies of
/// it are what systems are switched to on.
pub(super) fn on_a(scene: &Scene) -> Result<Host<'_>> {
    booted(fresh(scene, "h1")?)
}

/// The same, of systems with a switch-to-configuration.pl of NixOS.
pub(super) fn on_a_of_nixos(scene: &Scene) -> Result<Host<'_>> {
    booted(with(scene, "h1", folder(scene, Script::Nixos)?)?)
}

fn booted(host: Host<'_>) -> Result<Host<'_>> {
    host.root(
        "set -e; system=$(echo /nix/store/*-nixos-system-h1-A)
         nix-env -p /nix/var/nix/profiles/system --set $system; $system/bin/switch-to-configuration boot",
    )?
    .ok()?;
    host.cut_power()?;
    Ok(host)
}
