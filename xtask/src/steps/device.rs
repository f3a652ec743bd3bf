//! Building for the microcontroller, and the compiler that can.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{command::Run, workspace::Workspace};

const TARGET: &str = "thumbv7em-none-eabihf";

/// What is built, each alone.
const BUILDS: &[&str] = &[
    "-p vend-protocol",
    "-p vend-payments --no-default-features",
    "-p vend-hal",
    "-p vend-firmware --no-default-features --features control",
    "-p vend-firmware --no-default-features --features main",
    "-p vend-firmware --no-default-features --features main,control",
];

/// Debian's compiler with the source of its library, from which cargo builds `core` itself.
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// A compiler that can build for the target.
enum Toolchain {
    /// The one in use has the target's library.
    Own,
    /// Debian's, which builds the library.
    Debian,
}

fn find() -> Result<Option<Toolchain>> {
    let sysroot = Run::program("rustc").args("--print sysroot").output()?;
    let library: PathBuf = [sysroot.trim(), "lib/rustlib", TARGET, "lib"].iter().collect();
    if library.is_dir() {
        return Ok(Some(Toolchain::Own));
    }
    let debian = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_LIBRARY].iter().all(|path| Path::new(path).exists());
    Ok(debian.then_some(Toolchain::Debian))
}

/// Finds what the steps need, or installs it.
pub(super) fn set_up(workspace: &Workspace) -> Result<()> {
    match find()? {
        Some(Toolchain::Own) => println!("the Rust toolchain in use builds for {TARGET}"),
        Some(Toolchain::Debian) => println!("Debian's Rust toolchain builds for {TARGET}"),
        None => install(workspace)?,
    }
    Ok(())
}

fn install(workspace: &Workspace) -> Result<()> {
    let packages = DEBIAN_PACKAGES.join(" ");
    let get = format!("install -y --no-install-recommends {packages}");
    if workspace.offline || !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "no compiler here builds for {TARGET}. Run one of\n  rustup target add {TARGET}\n  \
             sudo apt-get update && sudo apt-get {get}"
        );
    }
    let apt = || Run::program("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    apt().args("update").run()?;
    apt().args(&get).run()?;
    find()?
        .map(|_| ())
        .with_context(|| format!("{packages} are installed and still nothing builds for {TARGET}"))
}

fn is_root() -> bool {
    // The owner of our own process, without a dependency to ask for it.
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
    })
}

/// Builds the device crates in a target folder of their own: its compiler may be another one.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let toolchain = find()?.context("no compiler for it; `cargo xtask test --only setup` says what to do")?;
    for what in BUILDS {
        let run = match toolchain {
            Toolchain::Own => workspace.cargo("build --quiet"),
            Toolchain::Debian => debian(workspace)?,
        };
        run.args("--release --target").arg(TARGET).args("--target-dir target-thumb").args(what).run()?;
    }
    Ok(())
}

fn debian(workspace: &Workspace) -> Result<Run> {
    let path = env::var("PATH").context("no PATH")?;
    let mut run = Run::program(DEBIAN_CARGO)
        .args("build --quiet -Zbuild-std=core")
        .dir(&workspace.root)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", DEBIAN_RUSTC);
    // rustup's compilers come first on PATH, and cargo, running us, has pointed to its own libraries.
    run = run.quiet_env("PATH", format!("/usr/bin:{path}"));
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "RUSTC_WRAPPER", "RUSTFLAGS"] {
        run = run.without_env(name);
    }
    Ok(if workspace.offline { run.env("CARGO_NET_OFFLINE", "true") } else { run })
}
