//! What every measurement ends with: a table for people and, when asked for, a file for machines.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// One figure of ours, beside a peer's if there is one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What was measured, such as a message or an image.
    pub(crate) case: String,
    /// In which unit.
    pub(crate) metric: String,
    /// Our figure.
    pub(crate) ours: f64,
    /// Who else, and that figure.
    pub(crate) peer: Option<(String, f64)>,
}

impl Row {
    /// A figure that is compared with nothing.
    pub(crate) fn alone(case: &str, metric: &str, ours: f64) -> Self {
        Self { case: case.to_owned(), metric: metric.to_owned(), ours, peer: None }
    }

    /// A figure beside another one.
    pub(crate) fn beside(case: &str, metric: &str, ours: f64, peer: &str, theirs: f64) -> Self {
        Self { peer: Some((peer.to_owned(), theirs)), ..Self::alone(case, metric, ours) }
    }

    /// Ours divided by theirs.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|(_, theirs)| self.ours / theirs)
    }

    /// As an object, its members in the order in which a person reads them.
    fn json(&self) -> String {
        let (peer, theirs) = match &self.peer {
            Some((peer, theirs)) => (peer.as_str(), number(*theirs)),
            None => ("none", Value::Null),
        };
        let members = [
            ("case", json!(self.case)),
            ("metric", json!(self.metric)),
            ("ours", number(self.ours)),
            ("peer", json!(peer)),
            ("theirs", theirs),
            ("ratio", json!(self.ratio().map(|ratio| rounded(ratio, 1e4)))),
        ];
        let members = members.map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.join(","))
    }
}

/// A count without a decimal point, anything else with one digit behind it.
#[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(rounded(value, 10.0)) }
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Prints a table of all rows.
pub(crate) fn print(rows: &[Row]) {
    println!("{:<22} {:<16} {:>12} {:>12} {:>7}  peer", "case", "metric", "ours", "theirs", "ratio");
    for row in rows {
        let (peer, theirs) = row
            .peer
            .as_ref()
            .map_or(("", String::new()), |(peer, theirs)| (peer.as_str(), number(*theirs).to_string()));
        let ratio = row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.3}"));
        let ours = number(row.ours).to_string();
        println!("{:<22} {:<16} {ours:>12} {theirs:>12} {ratio:>7}  {peer}", row.case, row.metric);
    }
}

/// Writes all rows to a file, one line each.
pub(crate) fn write(path: &Path, bench: &str, rows: &[Row]) -> Result<()> {
    let rows: Vec<String> = rows.iter().map(|row| format!("  {}", row.json())).collect();
    let text = format!("{{\"bench\":{},\"rows\":[\n{}\n]}}\n", json!(bench), rows.join(",\n"));
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_one_shape_with_and_without_a_peer() {
        let with = Row::beside("receipt", "bytes", 101.0, "prost", 202.0).json();
        assert_eq!(
            with,
            r#"{"case":"receipt","metric":"bytes","ours":101,"peer":"prost","theirs":202,"ratio":0.5}"#
        );
        let alone = Row::alone("frame", "ns", 1.26).json();
        assert_eq!(
            alone,
            r#"{"case":"frame","metric":"ns","ours":1.3,"peer":"none","theirs":null,"ratio":null}"#
        );
    }
}
