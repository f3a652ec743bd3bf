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

/// A table in Markdown of one metric: a line a case, a column a peer, and one of ours before them where `ours` says what
/// stands in it.
pub(crate) fn table(
    rows: &[Row],
    metric: &str,
    corner: &str,
    ours: Option<fn(&Row) -> String>,
    theirs: fn(&Row) -> String,
) -> String {
    let (mut cases, mut peers) = (Vec::new(), Vec::new());
    let rows: Vec<(&Row, &String)> = rows
        .iter()
        .filter(|row| row.metric == metric)
        .filter_map(|row| Some((row, &row.peer.as_ref()?.0)))
        .collect();
    for (row, peer) in &rows {
        if !cases.contains(&&row.case) {
            cases.push(&row.case);
        }
        if !peers.contains(peer) {
            peers.push(peer);
        }
    }
    let mut lines = vec![vec![corner.to_owned()]];
    lines.extend(cases.iter().map(|case| vec![(*case).clone()]));
    if let (Some(ours), Some(head)) = (ours, lines.first_mut()) {
        head.push("ours".to_owned());
        for (line, case) in lines.iter_mut().skip(1).zip(&cases) {
            line.extend(rows.iter().find(|(row, _)| row.case == **case).map(|(row, _)| ours(row)));
        }
    }
    for peer in peers {
        if let Some(head) = lines.first_mut() {
            head.push(format!("`{peer}`"));
        }
        for (line, case) in lines.iter_mut().skip(1).zip(&cases) {
            let row = rows.iter().find(|(row, name)| row.case == **case && *name == peer);
            line.push(row.map_or_else(String::new, |(row, _)| theirs(row)));
        }
    }
    markdown(&lines)
}

/// Lines of cells as a table, the first line being its head.
pub(crate) fn markdown(lines: &[Vec<String>]) -> String {
    let mut table: Vec<String> = lines.iter().map(|cells| format!("| {} |", cells.join(" | "))).collect();
    if let Some(head) = lines.first() {
        table.insert(1.min(table.len()), format!("|{}", "---|".repeat(head.len())));
    }
    table.join("\n")
}

/// A number as people read it: commas between thousands.
pub(crate) fn grouped(value: f64) -> String {
    let digits = number(value).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !digits.contains('.') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Puts a table into the document of all measurements, between `<!-- name -->` and the next comment.
pub(crate) fn document(root: &Path, name: &str, table: &str) -> Result<()> {
    let path = root.join("docs/measurements.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text =
        with_table(&text, name, table).with_context(|| format!("no place for {name} in the document"))?;
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn with_table(text: &str, name: &str, table: &str) -> Option<String> {
    let begin = format!("<!-- {name} -->\n");
    let (before, rest) = text.split_once(&begin)?;
    let end = rest.find("<!--")?;
    Some(format!("{before}{begin}{table}\n{}", rest.get(end..)?))
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

    #[test]
    fn a_table_has_a_line_a_case_and_a_column_a_peer() {
        let rows = [
            Row::alone("frame", "bytes", 27.0),
            Row::beside("a", "bytes", 1_000.0, "x", 2_000.0),
            Row::beside("a", "bytes", 1_000.0, "y", 4_000.0),
            Row::beside("b", "bytes", 10.0, "x", 20.0),
            Row::beside("b", "ns", 1.0, "x", 2.0),
        ];
        let theirs = |row: &Row| row.peer.as_ref().map_or_else(String::new, |(_, theirs)| grouped(*theirs));
        let table = table(&rows, "bytes", "bytes", Some(|row| grouped(row.ours)), theirs);
        let expected = "| bytes | ours | `x` | `y` |\n|---|---|---|---|\n| a | 1,000 | 2,000 | 4,000 |\n| b | 10 | 20 |  |";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let text = "a\n<!-- size -->\n| old |\n<!-- end -->\nb\n";
        let expected = "a\n<!-- size -->\n| new |\n<!-- end -->\nb\n";
        assert_eq!(with_table(text, "size", "| new |").unwrap(), expected);
        assert_eq!(with_table(text, "time", "| new |"), None);
    }

    #[test]
    fn thousands_are_grouped() {
        for (value, text) in
            [(7.0, "7"), (123.0, "123"), (1_234.0, "1,234"), (1_234_567.0, "1,234,567"), (1_234.5, "1234.5")]
        {
            assert_eq!(grouped(value), text);
        }
    }
}
