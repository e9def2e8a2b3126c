//! Benchmarks: ratios against stock tools on the same closure, side by side in one run, in memory.

mod activation;
mod hosts;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fs_err as fs;

use crate::install::Need;
use crate::{install, process, workspace};

const PAGE: &str = "docs/benchmarks.md";
const CLOSURE: &str = "tests/closures/nixos-19.09-desktop-2019-12.export.zst";
const ROUNDS: usize = 3;

/// One line of the table: ours, theirs, and how many times faster ours has to be.
struct Line {
    what: &'static str,
    ours: String,
    stock: &'static str,
    theirs: String,
    wanted: f64,
}

/// Measures switching only, and puts it in its place in the page.
pub fn switching() -> Result<()> {
    let page = fs::read_to_string(workspace::file(PAGE))?;
    let before = page.split(activation::TITLE).next().unwrap_or_default();
    fs::write(workspace::file(PAGE), format!("{before}{}", activation::page()?))?;
    Ok(())
}

/// Measures and writes the page.
pub fn run() -> Result<()> {
    install::provide(&[
        Need::nix("the stock tool to compare with"),
        Need { program: "xz", package: "xz-utils", why: "the stock tool to compare with" },
        Need { program: "/usr/bin/time", package: "time", why: "to measure peak memory" },
    ])?;
    process::quiet(&mut process::cargo(["build", "--release", "--locked", "--quiet", "--package", "firn"]))?;
    let folder = Folder(PathBuf::from(format!("/dev/shm/firn-bench-{}", std::process::id())));
    fs::create_dir_all(&folder.0)?;
    let firn = workspace::file("target/release/firn").display().to_string();
    let firn = format!("{firn} -q --tmp-dir {}", folder.0.display());
    let sh = |line: &str| process::quiet(&mut shell(&folder.0, line));
    sh(&format!("{firn} convert {} d.export && gzip -9k d.export", workspace::file(CLOSURE).display()))?;
    sh(&format!("{firn} convert d.export d.firn && {firn} convert --low-memory d.export l.firn"))?;
    sh(&format!("{firn} import d.firn --root packer >root"))?;
    let root = fs::read_to_string(folder.0.join("root"))?.trim().to_owned();
    let clean = "rm -rf r && ";
    let store = "NIX_REMOTE=\"local?root=$PWD/r\"";
    let packer = "NIX_REMOTE=\"local?root=$PWD/packer\"";
    let stock_import = format!("gunzip -c d.export.gz | {store} nix-store --import >/dev/null");
    let lines = [
        Line {
            what: "convert to a firn file",
            ours: format!("{firn} convert d.export o.firn"),
            stock: "gzip -9",
            theirs: "gzip -9c d.export >o.gz".into(),
            wanted: 1.0,
        },
        Line {
            what: "convert to a firn file",
            ours: format!("{firn} convert d.export o.firn"),
            stock: "xz -9e",
            theirs: "xz -9ec d.export >o.xz".into(),
            wanted: 8.0,
        },
        Line {
            what: "pack from a store",
            ours: format!("{firn} pack {root} --store \"local?root=$PWD/packer\" -o p.firn"),
            stock: "-qR, --export, gzip -9",
            theirs: format!("{packer} nix-store --export $({packer} nix-store -qR {root}) | gzip -9 >o.gz"),
            wanted: 1.0,
        },
        Line {
            what: "import --root, decoding",
            ours: format!("{clean}{firn} import d.firn --root r"),
            stock: "gunzip, nix-store --import",
            theirs: format!("{clean}{stock_import}"),
            wanted: 2.5,
        },
        Line {
            what: "import --root, of the export",
            ours: format!("{clean}{firn} import d.export --root r"),
            stock: "gunzip, nix-store --import",
            theirs: format!("{clean}{stock_import}"),
            wanted: 4.0,
        },
        Line {
            what: "verify",
            ours: format!("{firn} verify d.firn"),
            stock: "gunzip alone",
            theirs: "gunzip -c d.export.gz >/dev/null".into(),
            wanted: 0.0,
        },
    ];
    let mut page = format!(
        "# Benchmarks\n\nThe desktop closure (3888 paths, 25 MB), on tmpfs, {} processors, Nix {}; the best of {ROUNDS} rounds, ours and\n\
         theirs by turns. `cargo xtask bench` writes this page. Load when it began: {}.\n\n\
         | job | firn, s | stock | stock, s | times faster | wanted |\n|---|---|---|---|---|---|\n",
        std::thread::available_parallelism()?,
        process::output(&mut process::command("nix-store", ["--version"]))?.replace("nix-store (Nix) ", ""),
        fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default(),
    );
    for line in &lines {
        let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            ours = ours.min(timed(&folder.0, &line.ours)?);
            theirs = theirs.min(timed(&folder.0, &line.theirs)?);
        }
        let (ours, theirs) = (ours.as_secs_f64(), theirs.as_secs_f64());
        let wanted = if line.wanted > 0.0 { line.wanted.to_string() } else { "-".to_owned() };
        let row =
            format!("| {} | {ours:.2} | {} | {theirs:.2} | {:.1} | {wanted} |\n", line.what, line.stock, theirs / ours);
        print!("{row}");
        page.push_str(&row);
    }
    let inspect =
        (0..10).map(|_| timed(&folder.0, &format!("{firn} inspect d.firn >/dev/null"))).collect::<Result<Vec<_>>>()?;
    let inspect = inspect.into_iter().min().unwrap_or_default();
    let version = (0..10).map(|_| timed(&folder.0, &format!("{firn} --version"))).collect::<Result<Vec<_>>>()?;
    let version = version.into_iter().min().unwrap_or_default();
    page.push_str(&format!(
        "\n`inspect` without decoding: {:.1} ms; `--version`: {:.1} ms; a shell's start is in both.\n\n| peak memory | MB | at most |\n|---|---|---|\n",
        inspect.as_secs_f64() * 1e3,
        version.as_secs_f64() * 1e3
    ));
    for (what, command, most) in [
        ("convert, desktop", format!("{firn} convert d.export o.firn"), 300),
        ("verify, desktop", format!("{firn} verify d.firn"), 110),
        ("import --root, desktop", format!("rm -rf r; /usr/bin/time -o peak -f %M {firn} import d.firn --root r"), 110),
        ("verify, desktop packed with --low-memory", format!("{firn} verify l.firn"), 40),
        (
            "import --root, desktop packed with --low-memory",
            format!("rm -rf r; /usr/bin/time -o peak -f %M {firn} import l.firn --root r"),
            40,
        ),
    ] {
        let line =
            if command.contains("/usr/bin/time") { command } else { format!("/usr/bin/time -o peak -f %M {command}") };
        sh(&format!("{line} >/dev/null"))?;
        let peak: u64 = fs::read_to_string(folder.0.join("peak"))?.trim().parse().context("peak memory")?;
        let row = format!("| {what} | {:.0} | {most} |\n", peak as f64 / 1000.0);
        print!("{row}");
        page.push_str(&row);
    }
    page.push_str(&hosts::tables(&folder.0, &root)?);
    page.push_str(&activation::page()?);
    fs::write(workspace::file(PAGE), page)?;
    Ok(())
}

/// A folder in memory that goes with us.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Store folders are read-only.
        let _ = process::quiet(&mut shell(Path::new("/"), &format!("chmod -R u+w {0}; rm -rf {0}", self.0.display())));
    }
}

fn shell(folder: &Path, line: &str) -> std::process::Command {
    let mut command = process::command("sh", ["-ec", line]);
    command.current_dir(folder).stdout(std::process::Stdio::null());
    command
}

fn timed(folder: &Path, line: &str) -> Result<Duration> {
    let start = Instant::now();
    process::quiet(&mut shell(folder, line))?;
    Ok(start.elapsed())
}
