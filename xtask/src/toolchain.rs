//! What it takes to build for the microcontroller and to run there: a compiler, a linker and an emulator.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{command::Run, workspace::Workspace};

/// A Cortex-M4 with its floating-point unit.
pub(crate) const TARGET: &str = "thumbv7em-none-eabihf";

/// Debian's compiler comes with the source of its library, from which cargo builds `core` itself.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";
const DEBIAN_LINKER: &str = "/usr/bin/ld.lld";
/// The emulator of a board with a Cortex-M4.
pub(crate) const EMULATOR: &str = "qemu-system-arm";

/// A compiler that can build for the target.
#[derive(Clone, Copy)]
pub(crate) enum Toolchain {
    /// The one in use has the target's library.
    Own,
    /// Debian's, which builds the library.
    Debian,
}

impl Toolchain {
    fn find() -> Result<Option<Self>> {
        let library: PathBuf = [&sysroot()?, "lib/rustlib", TARGET, "lib"].iter().collect();
        if library.is_dir() {
            return Ok(Some(Self::Own));
        }
        let debian = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_LIBRARY].iter().all(|path| Path::new(path).exists());
        Ok(debian.then_some(Self::Debian))
    }

    /// The one to use; what is missing is installed if that is possible.
    pub(crate) fn ready(workspace: &Workspace) -> Result<Self> {
        set_up(workspace)?;
        Self::find()?.context("no compiler for the target")
    }

    /// `cargo build` for the target. What it builds goes to a folder of this toolchain's own, since another compiler cannot
    /// use it.
    pub(crate) fn build(self, workspace: &Workspace) -> Result<Run> {
        let run = match self {
            Self::Own => workspace.cargo("build --quiet"),
            Self::Debian => debian(workspace)?,
        };
        let linker = linker()?.context("no linker for the target")?;
        // A difference in flags would be a difference in what is measured.
        let run = run.without_env("RUSTFLAGS").quiet_env("CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER", linker);
        Ok(run.args("--release --target").arg(TARGET).arg("--target-dir").arg(self.folder(workspace)))
    }

    /// Where `build` puts executables.
    pub(crate) fn built(self, workspace: &Workspace) -> PathBuf {
        self.folder(workspace).join(TARGET).join("release")
    }

    fn folder(self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(match self {
            Self::Own => "thumb",
            Self::Debian => "thumb-debian",
        })
    }

    /// Its version, for beside a measurement.
    pub(crate) fn version(self) -> Result<String> {
        let rustc = match self {
            Self::Own => Run::program("rustc"),
            // rustup's compilers come first on PATH.
            Self::Debian => Run::program(DEBIAN_RUSTC).without_env("LD_LIBRARY_PATH"),
        };
        Ok(rustc.args("--version").output()?.trim().to_owned())
    }
}

fn sysroot() -> Result<String> {
    Ok(Run::program("rustc").args("--print sysroot").output()?.trim().to_owned())
}

/// The linker of the toolchain in use, else Debian's.
fn linker() -> Result<Option<PathBuf>> {
    // One folder a target, of which the host is one.
    let targets = fs::read_dir(Path::new(&sysroot()?).join("lib/rustlib"))?;
    let own = targets.flatten().map(|target| target.path().join("bin/rust-lld"));
    Ok(own.chain([DEBIAN_LINKER.into()]).find(|path| path.exists()))
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).exists())
}

/// Something the steps need.
struct Need {
    what: &'static str,
    there: bool,
    /// Debian's packages that hold it.
    packages: &'static str,
    /// How else to get it.
    instead: &'static str,
}

fn needs() -> Result<[Need; 4]> {
    Ok([
        Need {
            what: "a compiler for thumbv7em-none-eabihf",
            there: Toolchain::find()?.is_some(),
            packages: "rustc-web cargo-web rust-web-src",
            instead: "rustup target add thumbv7em-none-eabihf",
        },
        Need {
            what: "a linker for it (lld)",
            there: linker()?.is_some(),
            packages: "lld",
            instead: "rustup component add llvm-tools",
        },
        Need {
            what: "an emulator for it (qemu-system-arm)",
            there: on_path(EMULATOR),
            packages: "qemu-system-arm",
            instead: "https://www.qemu.org/download/",
        },
        Need {
            what: "a C++ compiler, for libFuzzer",
            there: env::var_os("CXX").is_some() || on_path("c++"),
            packages: "g++",
            instead: "g++ or clang++, as `c++` on PATH or in CXX",
        },
    ])
}

/// Finds what the steps need, or installs it.
pub(crate) fn set_up(workspace: &Workspace) -> Result<()> {
    let missing: Vec<Need> = needs()?.into_iter().filter(|need| !need.there).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.iter().map(|need| need.packages).collect::<Vec<_>>().join(" ");
    let get = format!("install -y --no-install-recommends {packages}");
    if workspace.offline || !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        let list: Vec<String> =
            missing.iter().map(|need| format!("{}: {}", need.what, need.instead)).collect();
        bail!(
            "these are missing:\n  {}\nor all of it on Debian:\n  sudo apt-get update && sudo apt-get {get}",
            list.join("\n  ")
        );
    }
    let apt = || Run::program("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    apt().args("update").run()?;
    apt().args(&get).run()?;
    match needs()?.iter().find(|need| !need.there) {
        Some(need) => bail!("{packages} are installed and there is still not {}", need.what),
        None => Ok(()),
    }
}

fn is_root() -> bool {
    // The owner of our own process, without a dependency to ask for it.
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
    })
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
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "RUSTC_WRAPPER"] {
        run = run.without_env(name);
    }
    Ok(if workspace.offline { run.env("CARGO_NET_OFFLINE", "true") } else { run })
}
