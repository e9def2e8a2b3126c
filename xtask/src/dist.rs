//! The binaries that leave the house: static, so that they start on NixOS, in a rescue system and in any host.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::install::{Need, provide, which};
use crate::{process, toolchain, workspace};

/// Largest x86_64 binary, in bytes, that we hand out.
const MAX_BYTES: u64 = 6_000_000;

const MUSL: Need = Need { program: "musl-gcc", package: "musl-tools", why: "C compiler for the static x86_64 build" };

/// A processor that we build for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// What the hosts of the tests are.
    X86_64,
    /// Small servers and boards; runs here under qemu-user.
    Aarch64,
}

impl Processor {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name in Rust's target triples and in Nix's system names.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Rust's name for the processor with a static C library.
    pub fn target(self) -> String {
        format!("{}-unknown-linux-musl", self.name())
    }

    /// The release binary, whether made or not.
    pub fn binary(self) -> PathBuf {
        workspace::file(&format!("dist/firn-{}-linux", self.name()))
    }
}

/// Whose standard library for musl is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The installed toolchain's, which rustup adds if need be; Debian's where it cannot.
    Rustup,
    /// Debian's.
    Debian,
}

/// Builds the static binary for one processor into dist/ and returns its path. Nothing is built twice: cargo
/// knows what is stale.
pub fn build(processor: Processor, toolchain: Toolchain) -> Result<PathBuf> {
    let target = processor.target();
    let environment = if processor == Processor::Aarch64 { cross_compiler()? } else { Vec::new() };
    let built = if toolchain == Toolchain::Rustup && has_std(&target)? {
        provide(&[MUSL])?;
        let mut cargo = process::cargo(["build", "--release", "--locked", "--package", "firn", "--target", &target]);
        process::run(cargo.envs(environment))?;
        format!("target/{target}/release/firn")
    } else {
        toolchain::build(processor, &environment)?
    };
    let binary = deliver(&built, &processor.binary())?;
    let bytes = fs::metadata(&binary)?.len();
    if processor == Processor::X86_64 && bytes >= MAX_BYTES {
        bail!("{} has {bytes} bytes, at most {MAX_BYTES} are allowed", binary.display());
    }
    eprintln!("{}: {bytes} bytes", binary.display());
    Ok(binary)
}

/// Builds both static binaries at once where the installed toolchain can: the one's single-threaded end runs beside the other.
/// Where it cannot, nothing is built; [`build`] says why.
pub fn build_together() -> Result<()> {
    let targets = Processor::ALL.map(Processor::target);
    for target in &targets {
        if !has_std(target)? {
            return Ok(());
        }
    }
    let (Ok(environment), Ok(())) = (cross_compiler(), provide(&[MUSL])) else { return Ok(()) };
    let mut cargo = process::cargo(["build", "--release", "--locked", "--package", "firn"]);
    for target in &targets {
        cargo.args(["--target", target]);
    }
    process::run(cargo.envs(environment))
}

/// A static glibc binary for the hosts of a developer: built faster than a release, and never released.
pub fn build_quick() -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let mut cargo = process::cargo(["build", "--release", "--package", "firn", "--target", TARGET]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::run(&mut cargo)?;
    deliver(&format!("target/{TARGET}/release/firn"), &workspace::file("dist/quick/firn"))
}

/// Runs an aarch64 binary on this machine.
pub fn qemu_aarch64() -> Result<PathBuf> {
    const QEMU: &str = "qemu-aarch64-static";
    provide(&[Need { program: QEMU, package: "qemu-user-static", why: "runs the aarch64 build on this machine" }])?;
    which(QEMU).with_context(|| format!("no {QEMU}"))
}

fn deliver(built: &str, to: &Path) -> Result<PathBuf> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    // A host may be running the old file: replace it, never write into it.
    let next = to.with_extension("new");
    fs::copy(workspace::file(built), &next)?;
    fs::rename(&next, to)?;
    Ok(to.to_path_buf())
}

/// Has the toolchain a standard library for `target`, after asking rustup for it?
fn has_std(target: &str) -> Result<bool> {
    let sysroot = process::output(&mut process::command("rustc", ["--print", "sysroot"]))?;
    let folder = Path::new(&sysroot).join("lib/rustlib").join(target);
    if !folder.exists() && which("rustup").is_some() {
        eprintln!("adding {target} to the Rust toolchain: static binaries need its standard library");
        // Without a network it hangs rather than fails.
        if let Err(error) = process::run(&mut process::command("timeout", ["120", "rustup", "target", "add", target])) {
            eprintln!("{error:#}");
        }
    }
    Ok(folder.exists())
}

/// Environment for a C compiler that makes objects for musl on aarch64: Debian's cross compiler with the
/// headers of musl instead of glibc's.
fn cross_compiler() -> Result<Vec<(&'static str, String)>> {
    const GCC: &str = "aarch64-linux-gnu-gcc";
    provide(&[
        Need { program: GCC, package: "gcc-aarch64-linux-gnu", why: "C compiler and linker for the aarch64 build" },
        Need { program: "mmdebstrap", package: "mmdebstrap", why: "unpacks Debian packages of other processors" },
    ])?;
    let musl = packages_aarch64()?;
    let own = process::output(&mut process::command(GCC, ["-print-file-name=include"]))?;
    let headers = musl.join("usr/include/aarch64-linux-musl");
    // Outlined atomics would need a function of glibc's.
    let flags =
        format!("-nostdinc -isystem {} -isystem {own} -U_FORTIFY_SOURCE -mno-outline-atomics", headers.display());
    Ok(vec![
        ("CC_aarch64_unknown_linux_musl", GCC.into()),
        ("AR_aarch64_unknown_linux_musl", "aarch64-linux-gnu-ar".into()),
        ("CFLAGS_aarch64_unknown_linux_musl", flags),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", GCC.into()),
    ])
}

/// Debian's musl (and an unwinder, see [`toolchain`]) for arm64, unpacked once into the cache.
pub fn packages_aarch64() -> Result<PathBuf> {
    let folder = workspace::cache().join("packages-arm64");
    if folder.join("usr/lib/aarch64-linux-musl/libc.a").exists() {
        return Ok(folder);
    }
    fs::create_dir_all(workspace::cache())?;
    let new = workspace::cache().join(format!("packages-arm64.{}", std::process::id()));
    let mut unpack = Command::new("mmdebstrap");
    unpack.args([
        "--quiet",
        "--variant=extract",
        "--architectures=arm64",
        "--include=musl-dev,libunwind-14-dev",
        "bookworm",
    ]);
    process::run(unpack.arg(&new))?;
    if let Err(error) = fs::rename(&new, &folder) {
        // Another run was faster.
        fs::remove_dir_all(&new)?;
        if !folder.exists() {
            return Err(error.into());
        }
    }
    Ok(folder)
}
