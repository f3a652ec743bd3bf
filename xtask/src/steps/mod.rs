//! The steps of the suite, cheapest first.

pub(crate) mod bench;
mod build;
mod demo;
mod device;
pub(crate) mod fuzz;
pub(crate) mod kills;
pub(crate) mod size;
mod tests;
mod tidy;

use anyhow::Result;

use crate::{options::Options, summary::Summary, workspace::Workspace};

/// One step.
pub(crate) struct Step {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// Does it.
    pub(crate) run: fn(&Workspace, &mut Summary) -> Result<()>,
}

/// All of them, in the order they run.
///
/// What is compiled is chosen so that little is compiled twice: `clippy`, `features` and `docs` share one set of checked
/// dependencies, only `tests` builds for the dev profile, only `demo` for release, and `device` is small.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "setup",
        about: "what the other steps need is there, or is installed (Debian, as root)",
        run: |workspace, _| device::set_up(workspace),
    },
    Step {
        name: "tidy",
        about: "links and file names in the documents lead somewhere; the device crates are no_std",
        run: |workspace, _| tidy::run(&workspace.root),
    },
    Step {
        name: "spec",
        about: "docs/spec/wire.md alone reads every golden payload, and lists the code's open numbers",
        run: |workspace, _| crate::spec::run(&workspace.root),
    },
    Step { name: "fmt", about: "the code is formatted", run: |workspace, _| build::fmt(workspace) },
    Step {
        name: "clippy",
        about: "no warnings: all crates, all targets, all features",
        run: |workspace, _| build::clippy(workspace),
    },
    Step {
        name: "features",
        about: "no warnings: device crates and vend-payments alone, with none, each, each two and all features",
        run: |workspace, _| build::features(workspace),
    },
    Step {
        name: "device",
        about: "the device crates build for a Cortex-M4 (thumbv7em-none-eabihf, release)",
        run: |workspace, _| device::build(workspace),
    },
    Step {
        name: "size",
        about: "what the wire weighs on a Cortex-M4 is within its limits, and no decoder can panic (`cargo xtask size`)",
        run: |workspace, _| size::run(workspace, &Options::default()),
    },
    Step {
        name: "docs",
        about: "rustdoc of every crate without a warning",
        run: |workspace, _| build::docs(workspace),
    },
    Step { name: "tests", about: "all tests, then all examples in the documentation", run: tests::run },
    Step {
        name: "fuzz",
        about: "the wire fuzzed for five minutes, from a corpus that holds (`cargo xtask fuzz` for more)",
        run: fuzz::step,
    },
    Step {
        name: "demo",
        about: "50 sales of the whole stack with faults; the books must balance",
        run: |workspace, _| demo::run(workspace),
    },
    Step {
        name: "kills",
        about: "the stack killed three times while it sells; nothing is lost or doubled (`cargo xtask kills` for more)",
        run: |workspace, _| kills::run(workspace, 3, "default"),
    },
    Step {
        name: "bench",
        about: "our encoding beside others, in short; the limits hold (`cargo xtask bench protocol`)",
        run: |workspace, _| bench::protocol(workspace, &Options { quick: true, ..Options::default() }),
    },
    Step {
        name: "package",
        about: "what each published crate would upload",
        run: |workspace, _| build::package(workspace),
    },
];
