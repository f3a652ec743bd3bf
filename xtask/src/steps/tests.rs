//! All tests.

use anyhow::{Result, bail};

use crate::{summary::Summary, workspace::Workspace};

/// First the tests and then the documentation's examples, so that a failure in one does not hide the other's.
const RUNS: &[&str] = &[
    "test --workspace --all-features --all-targets --no-fail-fast",
    "test --workspace --all-features --doc --no-fail-fast",
];

pub(super) fn run(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let mut failed = Vec::new();
    for args in RUNS {
        let (lines, good) = workspace.cargo(args).run_and_read()?;
        summary.read_tests(&lines);
        if !good {
            failed.push(format!("`cargo {args}`"));
        }
    }
    if !failed.is_empty() {
        bail!("{} failed", failed.join(" and "));
    }
    if summary.passed() == 0 {
        bail!("not one test was found");
    }
    Ok(())
}
