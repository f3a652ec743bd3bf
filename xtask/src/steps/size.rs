//! What the wire weighs on a chip: an image per role, built for size, and no panic in what decodes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    bench::{self, Row},
    elf::{Image, Symbol},
    options::Options,
    toolchain::Toolchain,
    workspace::Workspace,
};

/// An image and what it must keep to.
struct Role {
    name: &'static str,
    /// The most bytes it may weigh.
    limit: Option<u32>,
    /// What it may weigh as long as it does not keep to its limit, so that it gets no heavier meanwhile.
    at_present: Option<u32>,
}

const ROLES: &[Role] = &[
    Role { name: "main-board", limit: Some(28 * 1024), at_present: Some(34_500) },
    Role { name: "control-board", limit: Some(12 * 1024), at_present: None },
    Role { name: "decode-only", limit: None, at_present: None },
];

/// What weighs, and nothing else may be on the chip.
const SECTIONS: [&str; 3] = [".text", ".rodata", ".data"];

/// Panics that may be there: image, beginning of the symbol, reason.
const EXPLAINED: &[(&str, &str, &str)] = &[];

/// Builds the images, prints what they weigh, and gives an error when one is too heavy or may panic.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let toolchain = Toolchain::ready(workspace)?;
    let build = toolchain.build(workspace)?.dir(&workspace.root.join("xtask/mcu"));
    ROLES.iter().fold(build, |build, role| build.args("--bin").arg(role.name)).run()?;
    println!("built by {}", toolchain.version()?);
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for role in ROLES {
        let path = toolchain.built(workspace).join(role.name);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let image = Image::read(bytes).with_context(|| path.display().to_string())?;
        weigh(role, &image, &mut rows, &mut faults)?;
        let panics = panics(role, &image, &mut faults)?;
        rows.push(Row::alone(role.name, "panic_symbols", f64::from(panics)));
        top(role, &image, options.top);
    }
    bench::print(&rows);
    if let Some(path) = &options.json {
        bench::write(path, "size", &rows)?;
    }
    if options.docs {
        bench::document(&workspace.root, "size", &table(&rows))?;
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

/// A line an image: what it weighs, what it may weigh, and how many symbols of panics it holds.
fn table(rows: &[Row]) -> String {
    let head = ["image", "`.text` + `.rodata` + `.data`", "limit", "symbols of panics"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for role in ROLES {
        let figure = |metric| rows.iter().find(|row| row.case == role.name && row.metric == metric);
        let limit = role.limit.map_or_else(|| "none".to_owned(), |limit| bench::grouped(limit.into()));
        let [bytes, panics] = ["bytes", "panic_symbols"]
            .map(|metric| figure(metric).map_or_else(String::new, |row| bench::grouped(row.ours)));
        lines.push(vec![format!("`{}`", role.name), bytes, limit, panics]);
    }
    bench::markdown(&lines)
}

fn weigh(role: &Role, image: &Image, rows: &mut Vec<Row>, faults: &mut Vec<String>) -> Result<()> {
    let mut total = 0;
    for section in image.sections.iter().filter(|section| section.stored() && section.size > 0) {
        if !SECTIONS.contains(&section.name.as_str()) {
            bail!("{} has a section {} that the linker script does not place", role.name, section.name);
        }
        rows.push(Row::alone(role.name, &section.name, f64::from(section.size)));
        total += section.size;
    }
    rows.push(match role.limit {
        Some(limit) => Row::beside(role.name, "bytes", f64::from(total), "limit", f64::from(limit)),
        None => Row::alone(role.name, "bytes", f64::from(total)),
    });
    if let Some(limit) = role.limit.filter(|limit| total > *limit) {
        let message = format!("{} weighs {total} bytes, and may weigh {limit}", role.name);
        match role.at_present {
            Some(present) if total <= present => {
                println!("NOT YET: {message}; until it does, no more than {present}");
            }
            _ => faults.push(message),
        }
    }
    Ok(())
}

/// Lists the panics of an image, each with who reaches it, and counts them.
fn panics(role: &Role, image: &Image, faults: &mut Vec<String>) -> Result<u32> {
    let mut count = 0;
    let callers = image.callers()?;
    for (place, symbol) in image.symbols.iter().enumerate().filter(|(_, symbol)| is_panic(&symbol.name)) {
        count += 1;
        println!("{} may panic: {}", role.name, symbol.name);
        let explained =
            |(image, start, _): &&(&str, &str, &str)| *image == role.name && symbol.name.starts_with(start);
        match EXPLAINED.iter().find(explained) {
            Some((_, _, reason)) => println!("    allowed: {reason}"),
            None => faults.push(format!("{} holds {}", role.name, symbol.name)),
        }
        let reached = reached(place, image, &callers);
        reached.iter().take(SHOWN).for_each(|name| println!("    reached from {name}"));
        if reached.len() > SHOWN {
            println!("    and from {} more", reached.len() - SHOWN);
        }
    }
    Ok(count)
}

/// How many callers of a panic are worth a line.
const SHOWN: usize = 12;

/// Who reaches a symbol, nearest first, as far as to code of this repository: who calls that is no news.
fn reached<'a>(place: usize, image: &'a Image, callers: &BTreeMap<usize, BTreeSet<usize>>) -> Vec<&'a str> {
    let (mut seen, mut names) = (BTreeSet::from([place]), Vec::new());
    let mut open = VecDeque::from([place]);
    while let Some(callee) = open.pop_front() {
        for caller in callers.get(&callee).into_iter().flatten() {
            let Some(symbol) = image.symbols.get(*caller) else { continue };
            if is_panic(&symbol.name) || !seen.insert(*caller) {
                continue;
            }
            if !names.contains(&symbol.name.as_str()) {
                names.push(&symbol.name);
            }
            if !symbol.name.contains("vend_") {
                open.push_back(*caller);
            }
        }
    }
    names
}

/// Whether a symbol of that name is there only for the sake of a panic.
fn is_panic(name: &str) -> bool {
    name.contains("panic") || name.ends_with("_fail") || name.ends_with("_failed") || name.contains("unwind")
}

/// The heaviest symbols.
fn top(role: &Role, image: &Image, count: usize) {
    let mut symbols: Vec<&Symbol> = image.symbols.iter().collect();
    symbols.sort_by_key(|symbol| std::cmp::Reverse(symbol.size));
    for symbol in symbols.iter().take(count) {
        println!("{:<14} {:>6} {}", role.name, symbol.size, symbol.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_known_by_its_name() {
        for name in [
            "core::panicking::panic_fmt",
            "core::panicking::panic_const::panic_const_add_overflow",
            "core::option::unwrap_failed",
            "core::option::expect_failed",
            "core::slice::index::slice_index_fail",
            "core::slice::index::slice_end_index_len_fail",
            "core::str::slice_error_fail",
            "core::slice::copy_from_slice_impl::len_mismatch_fail",
            "rust_begin_unwind",
        ] {
            assert!(is_panic(name), "{name}");
        }
        for name in ["vend_mcu::decode_body", "memcpy", "core::str::converts::from_utf8"] {
            assert!(!is_panic(name), "{name}");
        }
    }
}
