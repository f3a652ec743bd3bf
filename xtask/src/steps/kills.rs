//! The whole stack, killed while it sells and started again on the same folder.

use std::{
    env, fs,
    path::Path,
    process::{self, Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};

use super::demo;
use crate::workspace::Workspace;

/// The earliest and the latest moment of a kill after the start, in milliseconds.
const MOMENTS: (u64, u64) = (1_000, 10_000);
/// The last run has this long to bring every order to its end.
const LIMIT: Duration = Duration::from_secs(300);

/// Kills the demo `count` times with SIGKILL, then lets it finish; its books cover the whole history.
pub(crate) fn run(workspace: &Workspace, count: u32, faults: &str) -> Result<()> {
    workspace.cargo("build --release --quiet -p evaluation").run()?;
    let program = workspace.target.join("release/evaluation");
    let dir = env::temp_dir().join(format!("vend-kills-{}", process::id()));
    fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let result = kill(&program, &dir, count, faults);
    if result.is_ok() {
        fs::remove_dir_all(&dir)?;
    } else {
        println!("its data stays in {}", dir.display());
    }
    result
}

fn kill(program: &Path, dir: &Path, count: u32, faults: &str) -> Result<()> {
    let demo = |sales: &str, seed: u32| {
        let mut command = Command::new(program);
        command.args(["--sales", sales, "--faults", faults, "--seed", &seed.to_string()]);
        command.arg("--data").arg(dir.join("data"));
        command
    };
    for number in 1..=count {
        let moment = moment();
        let mut child =
            demo("1000", number).stdout(Stdio::null()).spawn().context("cannot start the demo")?;
        thread::sleep(Duration::from_millis(moment));
        if let Some(status) = child.try_wait()? {
            bail!("run {number} ended by itself with {status} before it was killed");
        }
        // SIGKILL: nothing is written or closed on the way out.
        child.kill()?;
        child.wait()?;
        println!("run {number} of {count} killed after {moment} ms");
    }
    let report = dir.join("report.json");
    let mut last = demo("3", 0).arg("--report").arg(&report).stdout(Stdio::null()).spawn()?;
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = last.try_wait()? {
            break status;
        }
        if waited > LIMIT {
            last.kill()?;
            bail!("the last run did not end within {} s", LIMIT.as_secs());
        }
        thread::sleep(Duration::from_millis(200));
        waited += Duration::from_millis(200);
    };
    let text = fs::read_to_string(&report).context("the last run wrote no report")?;
    demo::show(&serde_json::from_str(&text).context("the report")?);
    if status.success() { Ok(()) } else { bail!("the last run ended with {status}") }
}

/// Any moment will do, and another each time is better than the same.
fn moment() -> u64 {
    let nanos =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
    MOMENTS.0 + nanos % (MOMENTS.1 - MOMENTS.0)
}
