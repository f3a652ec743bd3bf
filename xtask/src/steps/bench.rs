//! Our encoding beside others: `xtask/bench` on this host, and `xtask/mcu`'s image `instructions` under QEMU.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{
    bench::{self, Row},
    command::Run,
    options::Options,
    toolchain::{EMULATOR, Toolchain},
    workspace::Workspace,
};

/// A board with a Cortex-M4. One instruction takes one nanosecond of virtual time, whatever the host does meanwhile.
const BOARD: &str = "-machine mps2-an386 -cpu cortex-m4 -display none -monitor none -serial none \
                     -icount shift=0 -chardev stdio,id=out \
                     -semihosting-config enable=on,target=native,chardev=out -kernel";
/// The image takes a second or two.
const BOARD_LIMIT: Duration = Duration::from_secs(120);

/// How a ratio is bounded.
enum Bound {
    AtMost(f64),
    Below(f64),
}

/// What must hold: case, metric, peer, bound of ours divided by theirs.
const LIMITS: &[(&str, &str, &str, Bound)] = &[
    ("receipt", "roundtrip_ns", "serde_json", Bound::AtMost(0.2)),
    ("receipt", "roundtrip_ns", "prost", Bound::AtMost(1.0)),
    ("receipt", "roundtrip_ns", "postcard", Bound::AtMost(1.1)),
    ("receipt", "bytes", "serde_json", Bound::AtMost(0.45)),
    ("receipt", "bytes", "prost", Bound::Below(1.0)),
];

/// Measures, prints, and gives an error when a limit does not hold.
pub(crate) fn protocol(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut rows = rows(&on_host(workspace, options.quick)?)?;
    rows.extend(instructions(&on_board(workspace)?)?);
    bench::print(&rows);
    if let Some(path) = &options.json {
        bench::write(path, "protocol", &rows)?;
    }
    if options.docs {
        document(workspace, &rows)?;
    }
    let faults: Vec<String> = LIMITS.iter().filter_map(|limit| fault(&rows, limit)).collect();
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

fn document(workspace: &Workspace, rows: &[Row]) -> Result<()> {
    let ours = |row: &Row| bench::grouped(row.ours);
    let theirs =
        |row: &Row| row.peer.as_ref().map_or_else(String::new, |(_, theirs)| bench::grouped(*theirs));
    let ratio = |row: &Row| row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    let bytes = bench::table(rows, "bytes", "bytes", Some(ours), theirs);
    let times = bench::table(rows, "roundtrip_ns", "ours / theirs", None, ratio);
    let counts = bench::table(rows, "m4_instructions", "instructions", Some(ours), theirs);
    for (name, table) in [("bytes", bytes), ("times", times), ("instructions", counts)] {
        bench::document(&workspace.root, name, &table)?;
    }
    Ok(())
}

fn on_host(workspace: &Workspace, quick: bool) -> Result<String> {
    let run = workspace.cargo("run --quiet --release --target-dir").arg(workspace.target.join("bench"));
    run.dir(&workspace.root.join("xtask/bench")).args(if quick { "-- --quick" } else { "" }).output()
}

/// Runs the image twice: what differs between two runs is no count.
fn on_board(workspace: &Workspace) -> Result<String> {
    let toolchain = Toolchain::ready(workspace)?;
    let build = toolchain.build(workspace)?.dir(&workspace.root.join("xtask/mcu"));
    build.args("--bin instructions").run()?;
    let image = toolchain.built(workspace).join("instructions");
    let run = || Run::program(EMULATOR).args(BOARD).arg(&image).output_within(BOARD_LIMIT);
    let (first, second) = (run()?, run()?);
    if first.is_empty() {
        bail!("the image under QEMU printed nothing");
    }
    if first != second {
        bail!("two runs under QEMU count differently:\n{first}\n{second}");
    }
    Ok(first)
}

/// One figure in what a contest prints: case, metric, contestant, value.
fn figure(line: &str) -> Option<(&str, &str, &str, f64)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?, words.next()?, words.next()?.parse().ok()?))
}

/// Each of our figures stands before those that it is compared with.
fn rows(printed: &str) -> Result<Vec<Row>> {
    let (mut rows, mut ours) = (Vec::new(), BTreeMap::new());
    for line in printed.lines() {
        let (case, metric, who, value) = figure(line).with_context(|| format!("no figure: {line}"))?;
        if who == "ours" {
            ours.insert((case, metric), value);
            if case == "frame" {
                rows.push(Row::alone(case, metric, value));
            }
        } else {
            let ours =
                ours.get(&(case, metric)).with_context(|| format!("nothing of ours beside `{line}`"))?;
            rows.push(Row::beside(case, metric, *ours, who, value));
        }
    }
    Ok(rows)
}

/// The same, where the second word says whether a message was written or read.
fn instructions(printed: &str) -> Result<Vec<Row>> {
    let mut rows = rows(printed)?;
    for row in &mut rows {
        row.case = format!("{} {}", row.case, row.metric);
        "m4_instructions".clone_into(&mut row.metric);
    }
    Ok(rows)
}

/// What is wrong by one limit.
fn fault(rows: &[Row], (case, metric, peer, bound): &(&str, &str, &str, Bound)) -> Option<String> {
    let row = rows.iter().find(|row| {
        row.case == *case && row.metric == *metric && row.peer.as_ref().is_some_and(|(name, _)| name == peer)
    });
    let Some(ratio) = row.and_then(Row::ratio) else {
        return Some(format!("no figure for {case}, {metric}, {peer}"));
    };
    let (holds, wanted) = match bound {
        Bound::AtMost(limit) => (ratio <= *limit, format!("at most {limit}")),
        Bound::Below(limit) => (ratio < *limit, format!("below {limit}")),
    };
    (!holds).then(|| format!("{case}, {metric}: {ratio:.3} of {peer}'s, and must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_rows_beside_ours() {
        let rows =
            rows("frame bytes ours 27\na bytes ours 10\na bytes x 20\na ns ours 3.5\na ns x 7").unwrap();
        let expected = [
            Row::alone("frame", "bytes", 27.0),
            Row::beside("a", "bytes", 10.0, "x", 20.0),
            Row::beside("a", "ns", 3.5, "x", 7.0),
        ];
        assert_eq!(rows, expected);
        for wrong in ["a bytes x 20", "a bytes ours", "a bytes ours 1\nb bytes x 2", "words"] {
            assert!(super::rows(wrong).is_err(), "{wrong}");
        }
        let counts = instructions("a read ours 10\na read x 20").unwrap();
        assert_eq!(counts, [Row::beside("a read", "m4_instructions", 10.0, "x", 20.0)]);
    }

    #[test]
    fn a_limit_that_does_not_hold_or_was_not_measured_is_told() {
        let told = |ours: f64, bound: Bound| {
            fault(&[Row::beside("a", "ns", ours, "x", 10.0)], &("a", "ns", "x", bound)).is_some()
        };
        assert!(!told(10.0, Bound::AtMost(1.0)));
        assert!(told(10.1, Bound::AtMost(1.0)));
        assert!(told(10.0, Bound::Below(1.0)));
        assert!(!told(9.9, Bound::Below(1.0)));
        assert!(fault(&[], &("a", "ns", "x", Bound::AtMost(1.0))).is_some());
    }
}
