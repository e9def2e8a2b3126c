//! `cargo xtask demo`: the main job on real input, as a person would type it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::bed::{self, Bed, Ended, Host, Release};
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
    let web_system = "firn pack --file nix --arg tools ./tools --argstr hostName web";
    line(&desk, "root", &format!("{web_system} --attr A -o web.firn"))?;
    line(&desk, "root", &format!("{web_system} --attr C4 -o bad.firn"))?;
    line(&desk, "root", &format!("{web_system} --attr B -o better.firn"))?;
    for name in ["web.firn", "bad.firn", "better.firn"] {
        desk.carry(&format!("/root/{name}"), &web, &format!("/home/alice/{name}"))?;
    }
    println!("\n(the files are carried to the host \"web\")");
    line(&web, "alice", "firn inspect web.firn")?;
    line(&web, "alice", "firn import web.firn")?;
    line(&web, "alice", "firn realise web.firn")?;
    line(&web, "alice", "ls $(firn realise -q web.firn)")?;
    println!("\n== From the file to the running system, with a way back");
    line(&web, "root", "firn switch /home/alice/web.firn")?;
    println!("\n(a system in which a service fails)");
    ends(&web, web.root("firn switch /home/alice/bad.firn")?, "root", "firn switch /home/alice/bad.firn", 23)?;
    println!("\n(the next one comes over ssh: it stays only if somebody can still come in)");
    over_ssh(&web, "firn switch /home/alice/better.firn --confirm-within 1m")?;
    over_ssh(&web, "firn confirm")?;
    line(&web, "root", "firn generations")
}

/// Runs one line of the transcript over ssh, in a connection of its own.
fn over_ssh(host: &Host<'_>, line: &str) -> Result<()> {
    ends(host, host.ssh("root", line)?, "ssh root", line, 0)
}

/// Shows one line of the transcript that was run, and its end.
fn ends(host: &Host<'_>, ended: Ended, user: &str, line: &str, code: i32) -> Result<()> {
    println!("\n{user}@{}$ {line}", host.name());
    eprint!("{}", ended.stderr);
    print!("{}", String::from_utf8_lossy(&ended.stdout));
    if code != 0 {
        println!("(exit code {code})");
    }
    ended.fails_with(code).map(drop).with_context(|| line.to_owned())
}

/// Runs one line of the transcript in a host.
fn line(host: &Host<'_>, user: &str, line: &str) -> Result<()> {
    println!("\n{user}@{}$ {line}", host.name());
    let ended = if user == "root" { host.root(&format!("cd; {line}"))? } else { host.user(user, line)? };
    eprint!("{}", ended.stderr);
    println!("{}", ended.ok().with_context(|| line.to_owned())?);
    Ok(())
}
