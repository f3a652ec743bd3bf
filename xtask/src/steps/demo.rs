//! The whole stack, selling.

use std::{env, fs, path::Path, process, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace::Workspace;

/// Building in release, and 50 sales, take a few minutes; a demo that never ends is a failure.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The report's figures worth a line, in this order.
const FIGURES: &[&str] = &[
    "sales",
    "lines",
    "delivered",
    "refunded",
    "pending",
    "lost",
    "doubled",
    "given_away",
    "unknown",
    "paid_minor",
    "delivered_minor",
    "refunded_minor",
    "faults",
    "pay_to_motor_ms",
    "uplink_bytes_per_sale",
    "downlink_bytes_per_sale",
    "seconds",
    "violations",
];

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let dir = env::temp_dir().join(format!("vend-demo-{}", process::id()));
    fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let result = sell(workspace, &dir);
    if result.is_ok() {
        fs::remove_dir_all(&dir)?;
    } else {
        println!("its data stays in {}", dir.display());
    }
    result
}

fn sell(workspace: &Workspace, dir: &Path) -> Result<()> {
    let report = dir.join("report.json");
    let demo = workspace
        .cargo("run --release --quiet -p evaluation -- --sales 50 --faults default")
        .arg("--report")
        .arg(&report)
        .arg("--data")
        .arg(dir.join("data"))
        .run_within(LIMIT);
    // A run whose books do not balance has a report too, and that one matters most.
    match fs::read_to_string(&report) {
        Ok(text) => show(&serde_json::from_str(&text).context("the report")?),
        Err(error) if demo.is_ok() => return Err(error).context("the demo wrote no report"),
        Err(_) => {}
    }
    demo
}

pub(super) fn show(report: &Value) {
    for name in FIGURES {
        println!("{name:<24} {}", report.get(name).map_or_else(|| "-".to_owned(), one_line));
    }
}

fn one_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(one_line).collect::<Vec<_>>().join("; "),
        Value::Object(members) => {
            let shown = members.iter().map(|(name, value)| match value {
                Value::Object(_) => format!("{name} ({})", one_line(value)),
                _ => format!("{name} {}", one_line(value)),
            });
            shown.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_figures_fit_on_a_line() {
        let text = r#"{"faults": {"jam": {"injected": 3, "bit": 2}}, "violations": []}"#;
        let report: Value = serde_json::from_str(text).unwrap();
        assert_eq!(one_line(report.get("faults").unwrap()), "jam (bit 2, injected 3)");
        assert_eq!(one_line(report.get("violations").unwrap()), "none");
    }
}
