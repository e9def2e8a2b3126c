//! What firn does with closures that are larger than any at hand: made, pressed, checked by stock Nix, measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::install::Need;
use crate::{install, process, workspace};

const PAGE: &str = "docs/design/scale.md";
const HEAD: &str = "# At scale

Closures that nobody has by accident, made by `crates/firn/examples/scale.rs`. `cargo xtask scale` makes them, measures and
writes this page; it needs 10 GB and the better part of an hour, so CI leaves it out. `--text DIR` is where the words of the
tree and of the large text come from; without it the sources of all dependencies (`cargo vendor`) are.

| closure | holds |
|---|---|
| tree | one source of 50,000 files and 400 MB |
| text | one file of 1 GB, text |
| random | one file of 1 GB that does not compress |
| tiny | 50,000 files of 15 bytes in 1,020 directories |
| flat | 50,000 files in one directory |
| derivations | 100,000 derivations, 7,400 sources |

Every row of the table was packed from a store folder (`pack`) and from an export stream (`convert`), verified, imported with
`--root`, verified there by stock `nix-store --verify --check-contents`, and turned back into a stream that was the first one
byte for byte. Seconds are those of processors, not of a clock, since a machine may be busy; `MB/s` of `import` counts raw
bytes by processor seconds, all threads and the system's own included. Peak memory is in MB of resident set, at most 300 for
`pack` and `convert`, 150 for `verify` and `import`.

| closure | export | firn | gzip -9 | xz -9e | pack | MB | convert | MB | verify | MB | import | MB | MB/s | xz, s |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

const CLOSURES: [&str; 6] = ["tree", "text", "random", "tiny", "flat", "derivations"];

/// Most memory in kB of a writer, and of a reader.
const MEMORY: [u64; 2] = [300_000, 150_000];

/// Measures and writes the page. `only` names closures to measure; rows of the others stay.
pub fn run(folder: Option<&Path>, text: Option<&Path>, only: &[String]) -> Result<()> {
    install::provide(&[
        Need::nix("to check what was imported"),
        Need { program: "xz", package: "xz-utils", why: "the stock tool to compare with" },
        Need { program: "/usr/bin/time", package: "time", why: "to measure time and memory" },
    ])?;
    process::quiet(&mut process::cargo(["build", "--release", "--locked", "--quiet", "--package", "firn", "--bins"]))?;
    let build = ["build", "--release", "--locked", "--quiet", "--package", "firn", "--example", "scale"];
    process::quiet(&mut process::cargo(build))?;
    let folder = folder.map_or_else(|| workspace::file("target/scale"), Path::to_owned);
    fs::create_dir_all(&folder)?;
    let folder = fs::canonicalize(&folder)?;
    let text = text.map_or_else(|| vendored(&folder), |text| Ok(fs::canonicalize(text)?))?;
    let old = fs::read_to_string(workspace::file(PAGE)).unwrap_or_default();
    let (table, below) = old.split_once("\n## ").map_or((old.as_str(), None), |(table, below)| (table, Some(below)));
    let mut page = HEAD.to_owned();
    let mut broken = Vec::new();
    for name in CLOSURES {
        let row = if only.is_empty() || only.iter().any(|other| other == name) {
            let (row, over) = measure(&folder, &text, name).with_context(|| name.to_owned())?;
            broken.extend(over.into_iter().map(|what| format!("{name}: {what}")));
            println!("{row}");
            row
        } else {
            table
                .lines()
                .find(|line| line.starts_with(&format!("| {name} | ")) && line.matches('|').count() > 3)
                .unwrap_or_default()
                .to_owned()
        };
        if !row.is_empty() {
            page.push_str(&row);
            page.push('\n');
        }
    }
    // What a person wrote below the table is not ours.
    if let Some(rest) = below {
        page.push_str("\n## ");
        page.push_str(rest);
    }
    fs::write(workspace::file(PAGE), page)?;
    ensure!(broken.is_empty(), "over budget: {}", broken.join(", "));
    Ok(())
}

/// The sources of all dependencies, as `Cargo.lock` fixes them.
fn vendored(folder: &Path) -> Result<PathBuf> {
    let vendor = folder.join("vendor");
    if !vendor.exists() {
        let mut cargo = process::cargo(["vendor", "--locked", "--quiet"]);
        process::quiet(cargo.arg(&vendor).stdout(Stdio::null()))?;
    }
    Ok(vendor)
}

/// Time and memory of one command.
struct Cost {
    seconds: f64,
    kilobytes: u64,
}

impl Cost {
    fn shown(&self) -> String {
        format!("{:.1} | {:.0}", self.seconds, self.kilobytes as f64 / 1000.0)
    }
}

fn cost(folder: &Path, line: &str) -> Result<Cost> {
    let report = folder.join("cost");
    let mut time = Command::new("/usr/bin/time");
    time.current_dir(folder).args(["-o", "cost", "-f", "%U %S %M", "sh", "-ec", line]).stdout(Stdio::null());
    process::quiet(&mut time)?;
    let text = fs::read_to_string(report)?;
    let [user, system, peak] = text.split_whitespace().collect::<Vec<_>>()[..] else { bail!("time said {text:?}") };
    Ok(Cost { seconds: user.parse::<f64>()? + system.parse::<f64>()?, kilobytes: peak.parse()? })
}

/// A row of the table, and which budgets were not kept.
fn measure(folder: &Path, text: &Path, name: &str) -> Result<(String, Vec<String>)> {
    let scale = workspace::file("target/release/examples/scale").display().to_string();
    let firn = format!("{} -q", workspace::file("target/release/firn").display());
    let cost = |line: &str| cost(folder, line);
    let size = |file: &str| Ok::<_, anyhow::Error>(fs::metadata(folder.join(file))?.len());
    let words = if ["tree", "text"].contains(&name) { text.display().to_string() } else { String::new() };
    // A stream of its own making need not be in the order of stock Nix, so the one to compare with is a converted one.
    cost(&format!("TMPDIR=$PWD {scale} {name} {words} >made; {firn} convert made e.export; rm made"))?;
    let convert = cost(&format!("{firn} convert e.export c.firn"))?;
    let verify = cost(&format!("{firn} verify c.firn"))?;
    cost("if [ -e r ]; then chmod -R u+w r; rm -rf r; fi")?;
    let import = cost(&format!("{firn} import --root r c.firn"))?;
    cost("NIX_REMOTE=\"local?root=$PWD/r\" nix-store --verify --check-contents")?;
    let pack = cost(&format!(
        "{firn} pack \"$({firn} inspect --json c.firn | sed -n 's/^ *\"root\": \"\\(.*\\)\",$/\\1/p')\" \
         --store \"local?root=$PWD/r\" -o p.firn"
    ))?;
    cost(&format!("cmp c.firn p.firn; {firn} convert c.firn b.export; cmp e.export b.export; rm b.export p.firn"))?;
    cost("chmod -R u+w r; rm -rf r")?;
    cost("gzip -9c e.export >o.gz")?;
    let xz = cost("xz -9e -T1 -c e.export >o.xz")?;
    let (export, ours, xz_bytes) = (size("e.export")?, size("c.firn")?, size("o.xz")?);
    let rate = export as f64 / 1e6 / import.seconds;
    let mut over = Vec::new();
    for (what, cost, most) in [
        ("pack", &pack, MEMORY[0]),
        ("convert", &convert, MEMORY[0]),
        ("verify", &verify, MEMORY[1]),
        ("import", &import, MEMORY[1]),
    ] {
        if cost.kilobytes > most {
            over.push(format!("{what} takes {} kB", cost.kilobytes));
        }
    }
    if ours > xz_bytes && name == "tree" {
        over.push(format!("{ours} bytes, and xz makes {xz_bytes}"));
    }
    let row = format!(
        "| {name} | {export} | **{ours}** | {} | {xz_bytes} | {} | {} | {} | {} | {rate:.0} | {:.0} |",
        size("o.gz")?,
        pack.shown(),
        convert.shown(),
        verify.shown(),
        import.shown(),
        xz.seconds,
    );
    cost("rm -f o.gz o.xz e.export c.firn")?;
    Ok((row, over))
}
