//! `cargo xtask demo`: the main job on real input, as a person would type it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::bed::{self, Bed, Host, Release};
use crate::dist::{self, Processor, Toolchain};
use crate::install::Missing;
use crate::{process, workspace};

const EXPORT: &str = "examples/nixos-19.09-minimal-2019-12.export.zst";

/// Shows both halves; the second is NOT TESTED, and says why, where this machine cannot have hosts.
pub fn run() -> Result<()> {
    println!("== A real NixOS system, pressed into one file and unfolded again; no Nix on this machine is used");
    pressed()?;
    println!(
        "\n== The same between two hosts with Nix: packed from a store, carried, imported and built by an ordinary user"
    );
    match hosts() {
        Err(error) if error.is::<Missing>() => {
            println!("NOT TESTED: {error:#}");
            Ok(())
        }
        other => other,
    }
}

fn pressed() -> Result<()> {
    process::run(&mut process::cargo(["build", "--release", "--locked", "--package", "firn"]))?;
    let folder = workspace::file("target/demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let export = workspace::file(EXPORT);
    fs::copy(&export, folder.join("minimal.export.zst"))?;
    here(&folder, "firn convert minimal.export.zst minimal.export.gz    # today's way to carry it")?;
    here(&folder, "firn convert minimal.export.zst minimal.firn")?;
    here(&folder, "stat -c '%s bytes  %n' minimal.export.gz minimal.firn")?;
    here(&folder, "firn inspect minimal.firn")?;
    here(&folder, "firn verify minimal.firn")?;
    here(&folder, "firn import --root disk minimal.firn")?;
    here(&folder, "ls disk/nix/store | wc -l")?;
    here(&folder, "firn import --root disk minimal.firn    # again: everything is there")?;
    here(
        &folder,
        "firn convert minimal.firn again.export && zstd -dc minimal.export.zst | cmp - again.export && echo the same bytes",
    )
}

/// Runs one line of the transcript on this machine.
fn here(folder: &Path, line: &str) -> Result<()> {
    println!("\n$ {line}");
    let binaries = workspace::file("target/release");
    let mut path = vec![binaries];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let status =
        Command::new("sh").args(["-c", line]).current_dir(folder).env("PATH", std::env::join_paths(path)?).status()?;
    if !status.success() {
        bail!("{status}: {line}");
    }
    Ok(())
}

fn hosts() -> Result<()> {
    bed::prepare()?;
    bed::image(Release::Trixie)?;
    let firn = dist::build(Processor::X86_64, Toolchain::Rustup)?;
    let bed = Bed::new("demo")?;
    let desk = bed.host(Release::Trixie, "desk")?;
    let web = bed.host(Release::Trixie, "web")?;
    for host in [&desk, &web] {
        host.push(&firn, "/usr/bin/firn")?;
    }
    desk.push(&bed.tools(Release::Trixie)?, "/root/tools")?;
    desk.push(&workspace::file("tests/testbed/nix"), "/root/nix")?;
    line(&desk, "root", "firn pack --file nix --attr A --arg tools ./tools -o web.firn")?;
    let carried = workspace::file("target/demo/web.firn");
    desk.pull("/root/web.firn", &carried)?;
    web.push(&carried, "/home/alice/web.firn")?;
    println!("\n(web.firn is carried to the host \"web\")");
    line(&web, "alice", "firn inspect web.firn")?;
    line(&web, "alice", "firn import web.firn")?;
    line(&web, "alice", "firn realise web.firn")?;
    line(&web, "alice", "ls $(firn realise -q web.firn)")
}

/// Runs one line of the transcript in a host.
fn line(host: &Host<'_>, user: &str, line: &str) -> Result<()> {
    println!("\n{user}@{}$ {line}", host.name());
    let ended = if user == "root" { host.root(&format!("cd; {line}"))? } else { host.user(user, line)? };
    eprint!("{}", ended.stderr);
    println!("{}", ended.ok().with_context(|| line.to_owned())?);
    Ok(())
}
