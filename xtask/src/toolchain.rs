//! A Rust toolchain with a standard library for musl where rustup cannot be reached: Debian bookworm's own
//! (it follows Firefox), in a folder of its own, with the standard library built from its sources.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::dist::Processor;
use crate::install::{Missing, Need, is_root, provide};
use crate::{process, workspace};

const PACKAGES: &str = "rustc-web,cargo-web,rust-web-src,gcc,libc6-dev,musl-tools,gcc-aarch64-linux-gnu,libc6-dev-arm64-cross,libunwind-14-dev,ca-certificates";
const SOURCES: &str = "deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian-security bookworm-security main
";

/// glibc's checked `fprintf`, for a library that was compiled with it.
const PRINT: &str = "
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *file, int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int written = vfprintf(file, format, arguments);
    va_end(arguments);
    return written;
}
";

/// Enters the toolchain's folder with the checkout, the cache, cargo's downloads and the machine's certificates.
const ENTER: &str = r#"
set -e
root=$1 checkout=$2 cache=$3 registry=$4
shift 4
mkdir -p "$root/checkout" "$root/$cache" "$root/root/.cargo/registry" "$registry"
mount --bind "$checkout" "$root/checkout"
mount --bind "$cache" "$root/$cache"
mount --bind "$registry" "$root/root/.cargo/registry"
mount --bind /etc/ssl "$root/etc/ssl"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/"
exec chroot "$root" env -i -C /checkout HOME=/root PATH=/usr/bin:/bin "$@"
"#;

/// Builds the release binary for `processor` in the toolchain's folder; `environment` is for cargo. Gives the
/// binary's path below the checkout.
pub fn build(processor: Processor, environment: &[(&str, String)]) -> Result<String> {
    let folder = folder()?;
    complete(&folder, processor)?;
    let target = processor.target();
    let checkout = workspace::file("").canonicalize()?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).context("no home folder")?;
    let mut enter = process::command("unshare", ["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]);
    enter.arg(&folder).arg(checkout).arg(workspace::cache()).arg(home.join("registry"));
    enter.args(["RUSTC_BOOTSTRAP=1", "CARGO_TARGET_DIR=/checkout/target/debian"]);
    enter.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
    enter.args(["cargo", "build", "--release", "--locked", "--package", "firn", "-Zbuild-std=std,panic_abort"]);
    process::quiet(enter.args(["--target", &target]))?;
    Ok(format!("target/debian/{target}/release/firn"))
}

/// The folder, made once: 1.5 GB.
fn folder() -> Result<PathBuf> {
    let folder = workspace::cache().join("debian-rust");
    if folder.exists() {
        return Ok(folder);
    }
    if !is_root() {
        return Err(Missing(
            "without rustup's musl targets, a toolchain is made of Debian's packages: needs root".into(),
        )
        .into());
    }
    provide(&[Need {
        program: "mmdebstrap",
        package: "mmdebstrap",
        why: "makes a folder with Debian's Rust toolchain",
    }])?;
    let new = workspace::cache().join(format!("debian-rust.{}", std::process::id()));
    let sources = workspace::cache().join("debian-rust.list");
    fs::write(&sources, SOURCES)?;
    let mut make = Command::new("mmdebstrap");
    make.args(["--mode=root", "--variant=minbase", "--quiet", "--aptopt=Acquire::Check-Valid-Until \"false\""]);
    process::run(make.arg(format!("--include={PACKAGES}")).arg("bookworm").arg(&new).arg(&sources))?;
    fs::rename(&new, &folder)?;
    Ok(folder)
}

/// Puts the C library's and the compiler's start files where rustc looks for its own.
fn complete(folder: &Path, processor: Processor) -> Result<()> {
    let name = processor.name();
    let to = folder.join(format!("usr/lib/rustlib/{}/lib/self-contained", processor.target()));
    let (packages, gcc, cc) = match processor {
        Processor::X86_64 => (folder.to_path_buf(), "usr/lib/gcc/x86_64-linux-gnu/12", "gcc"),
        Processor::Aarch64 => {
            (crate::dist::packages_aarch64()?, "usr/lib/gcc-cross/aarch64-linux-gnu/12", "aarch64-linux-gnu-gcc")
        }
    };
    let (musl, gcc) = (packages.join(format!("usr/lib/{name}-linux-musl")), folder.join(gcc));
    fs::create_dir_all(&to)?;
    for file in ["crt1.o", "crti.o", "crtn.o", "Scrt1.o", "rcrt1.o", "libc.a"] {
        fs::copy(musl.join(file), to.join(file))?;
    }
    for file in ["crtbegin.o", "crtbeginS.o", "crtbeginT.o", "crtend.o", "crtendS.o"] {
        fs::copy(gcc.join(file), to.join(file))?;
    }
    // GCC's unwinder needs glibc; LLVM's needs one function of it.
    fs::copy(packages.join("usr/lib/llvm-14/lib/libunwind.a"), to.join("libunwind.a"))?;
    fs::write(to.join("print.c"), PRINT)?;
    let script = format!(
        "{cc} -O2 -U_FORTIFY_SOURCE -c print.c -o print.o && {} r libunwind.a print.o",
        cc.replace("gcc", "ar")
    );
    let mut compile = process::command("chroot", [folder.as_os_str(), "sh".as_ref(), "-c".as_ref()]);
    process::quiet(compile.arg(format!("cd /{} && {script}", to.strip_prefix(folder)?.display())))
}
