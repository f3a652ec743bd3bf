//! Holds `docs/spec/wire.md` to the golden bytes and to the code: whoever implements the page implements the wire.

mod decode;
mod grammar;
#[cfg(test)]
mod tests;
mod vectors;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};

use decode::Leaf;
use grammar::{Definition, Field, Grammar};
use vectors::Vector;

const PAGE: &str = "docs/spec/wire.md";
const VECTORS: &str = "vend-protocol/tests/vectors";

/// Decodes every golden payload by the blocks of the page, and compares the numbers that may grow with those of the code.
pub(crate) fn run(root: &Path) -> Result<()> {
    let page = fs::read_to_string(root.join(PAGE)).context(PAGE)?;
    let grammar = Grammar::read(&page).context(PAGE)?;
    let mut seen = BTreeSet::new();
    let mut read = 0;
    for file in ["machine_link.txt", "control_link.txt"] {
        for vector in vectors::read(&root.join(VECTORS).join(file))? {
            let kind = vector.kind().with_context(|| format!("{file}: [{}]", vector.name))?;
            let (_, fields) =
                grammar.messages.get(&kind).with_context(|| format!("{PAGE} has no kind {kind:#04x}"))?;
            compare(&grammar, fields, &vector).with_context(|| format!("{file}: [{}]", vector.name))?;
            seen.insert(kind);
            read += 1;
        }
    }
    if let Some((kind, (name, _))) = grammar.messages.iter().find(|(kind, _)| !seen.contains(kind)) {
        bail!("{PAGE} has {name} ({kind:#04x}), and no golden bytes do");
    }
    for vector in vectors::read(&root.join(VECTORS).join("signed_bodies.txt"))? {
        let name = vector.name.split('.').next().unwrap_or("");
        let body = grammar.types.get(&format!("{}_body", name.replace('-', "_")));
        let Some(Definition::Fields(fields)) = body else { bail!("{PAGE} has no {name} body") };
        compare(&grammar, fields, &vector)
            .with_context(|| format!("signed_bodies.txt: [{}]", vector.name))?;
        read += 1;
    }
    let open = open_numbers(&root.join("vend-protocol/src"))?;
    compare_open(&grammar, &open)?;
    println!(
        "{read} golden payloads of {} messages read by {PAGE} alone; {} tables of open numbers are those of the code",
        grammar.messages.len(),
        open.len()
    );
    Ok(())
}

fn compare(grammar: &Grammar, fields: &[Field], vector: &Vector) -> Result<()> {
    let leaves = decode::payload(grammar, fields, &vector.payload)?;
    ensure!(
        leaves.len() == vector.fields.len(),
        "{} values by the page, {} in the file",
        leaves.len(),
        vector.fields.len()
    );
    for (ours, theirs) in leaves.iter().zip(&vector.fields) {
        ensure!(
            same_name(ours, &theirs.name) && same_value(ours, &theirs.value),
            "the page reads `{} = {}`, the file says `{} = {}`",
            ours.name,
            ours.value,
            theirs.name,
            theirs.value
        );
    }
    Ok(())
}

/// The file calls what a case or a message holds without a name by the case's name or `value`.
fn same_name(leaf: &Leaf, name: &str) -> bool {
    leaf.name == name || name == "value" || name.starts_with(char::is_uppercase)
}

/// A case has the name that the code gives it, in the page's spelling.
fn same_value(leaf: &Leaf, value: &str) -> bool {
    let case = value.split_once(' ').filter(|(_, name)| name.starts_with(char::is_uppercase));
    match case {
        Some((number, name)) => leaf.value == format!("{number} {}", snake(name)),
        None => leaf.value == value,
    }
}

/// `NotReady` is `not_ready`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

type Numbers = BTreeMap<u64, String>;

fn compare_open(grammar: &Grammar, code: &BTreeMap<String, Numbers>) -> Result<()> {
    for (name, numbers) in code {
        match grammar.types.get(name) {
            Some(Definition::Open(_, listed)) if listed == numbers => {}
            Some(Definition::Open(_, listed)) => {
                bail!("{name}: {PAGE} lists {listed:?}, the code has {numbers:?}")
            }
            _ => bail!("{PAGE} has no open number {name}"),
        }
    }
    let listed = grammar.types.iter().filter(|(_, definition)| matches!(definition, Definition::Open(..)));
    match listed.map(|(name, _)| name).find(|name| !code.contains_key(*name)) {
        Some(name) => bail!("{PAGE} has the open number {name}, and the code has not"),
        None => Ok(()),
    }
}

/// The numbers of every `open_number!` in a folder of sources.
fn open_numbers(folder: &Path) -> Result<BTreeMap<String, Numbers>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.append(&mut open_numbers(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path)?;
            for block in source.split("\nopen_number").skip(1).filter(|block| block.contains("! {\n")) {
                let block = block.split("\n}\n").next().unwrap_or("");
                let mut lines = block.lines().map(str::trim).filter(|line| !line.starts_with("///")).skip(1);
                let name = lines.next().and_then(|line| line.strip_suffix(" {"));
                let name =
                    name.with_context(|| format!("{}: an open number without a name", path.display()))?;
                let numbers = lines.filter_map(|line| {
                    let (name, number) = line.split_once(" = ")?;
                    Some((number.split(' ').next()?.parse().ok()?, name.to_lowercase()))
                });
                found.insert(snake(name), numbers.collect());
            }
        }
    }
    Ok(found)
}
