//! Building for the microcontroller.

use anyhow::Result;

use crate::{
    toolchain::{self, Toolchain},
    workspace::Workspace,
};

/// What is built, each alone.
const BUILDS: &[&str] = &[
    "-p vend-protocol",
    "-p vend-payments --no-default-features",
    "-p vend-hal",
    "-p vend-firmware --no-default-features --features control",
    "-p vend-firmware --no-default-features --features main",
    "-p vend-firmware --no-default-features --features main,control",
];

/// Finds what the steps need, or installs it.
pub(super) fn set_up(workspace: &Workspace) -> Result<()> {
    toolchain::set_up(workspace)?;
    let toolchain = Toolchain::ready(workspace)?;
    println!("{} builds for {}", toolchain.version()?, toolchain::TARGET);
    Ok(())
}

/// Builds the device crates.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let toolchain = Toolchain::ready(workspace)?;
    BUILDS.iter().try_for_each(|what| toolchain.build(workspace)?.args(what).run())
}
