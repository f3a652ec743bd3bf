//! Lints, feature sets, documentation and packages.

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// Checked alone, so that no other crate's features hide what they are missing.
const ALONE: &[&str] = &["vend-protocol", "vend-payments", "vend-hal", "vend-firmware"];

/// Files every package must hold; the crate's front page is its README.
const IN_PACKAGE: &[&str] = &["Cargo.toml", "README.md", "src/lib.rs"];

/// Workspaces of their own, beside the one around them.
const OTHERS: &[&str] = &["xtask/bench", "xtask/mcu"];

pub(super) fn fmt(workspace: &Workspace) -> Result<()> {
    workspace.cargo("fmt --all -- --check").run()?;
    OTHERS.iter().try_for_each(|dir| workspace.cargo("fmt -- --check").dir(&workspace.root.join(dir)).run())
}

/// `xtask/mcu` is left out: a host's clippy cannot check what holds instructions of a microcontroller.
pub(super) fn clippy(workspace: &Workspace) -> Result<()> {
    workspace.cargo("clippy --workspace --all-targets --all-features -- -D warnings").run()?;
    let run = workspace.cargo("clippy --all-targets --target-dir").arg(workspace.target.join("bench"));
    run.dir(&workspace.root.join("xtask/bench")).args("-- -D warnings").run()
}

/// With clippy and not `check`: what only some feature set leaves unused is a warning, and must not pass.
pub(super) fn features(workspace: &Workspace) -> Result<()> {
    for name in ALONE {
        for set in workspace.package(name)?.feature_sets() {
            let mut run = workspace.cargo("clippy --quiet --no-default-features").args("-p").arg(name);
            if !set.is_empty() {
                run = run.arg("--features").arg(set.join(","));
            }
            run.args("-- -D warnings").run()?;
        }
    }
    Ok(())
}

/// The pages docs.rs would show, and the ones of the host board.
pub(super) fn docs(workspace: &Workspace) -> Result<()> {
    let run =
        workspace.cargo("doc --workspace --no-deps --all-features --exclude xtask --exclude evaluation");
    run.env("RUSTDOCFLAGS", "-D warnings").run()
}

/// Makes every published crate's package at once: cargo then takes the ones they depend on from among them and not from the
/// registry. They are not built from the package: that would compile everything once more, and `--list` shows what
/// could be missing.
pub(super) fn package(workspace: &Workspace) -> Result<()> {
    let mut run = workspace.cargo("package --quiet --no-verify --allow-dirty");
    for package in workspace.published() {
        let list =
            workspace.cargo("package --quiet --list --allow-dirty").args("-p").arg(&package.name).output()?;
        let files: Vec<&str> = list.lines().collect();
        println!("{}: {} files", package.name, files.len());
        if let Some(missing) = IN_PACKAGE.iter().find(|file| !files.contains(file)) {
            bail!("the package of {} has no {missing}", package.name);
        }
        run = run.args("-p").arg(&package.name);
    }
    run.run()
}
