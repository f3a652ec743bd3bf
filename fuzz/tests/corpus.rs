//! The corpus: every file holds, there is one for everything, and it stays small.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use vend_fuzz::{
    TARGETS,
    layouts::{BODIES, CONTROL, Kind, MACHINE},
    seeds,
};

/// All of it together, so that a clone stays quick.
const FILES_MAX: usize = 200;
const BYTES_MAX: usize = 200_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The committed files of a target.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name.starts_with("seed-") || name.starts_with("found-"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_property_holds_for_its_corpus() {
    for target in TARGETS {
        for (name, bytes) in corpus(target.name) {
            // The harness shows what was printed last before a panic.
            println!("corpus/{}/{name}", target.name);
            (target.run)(&bytes);
        }
    }
}

#[test]
fn the_seeds_are_those_the_generator_writes() {
    for (target, seeds) in seeds::all() {
        let expected = seeds.into_iter().map(|(name, bytes)| (format!("seed-{name}"), bytes));
        let found = corpus(target).into_iter().filter(|(name, _)| name.starts_with("seed-"));
        let (expected, found): (BTreeMap<_, _>, BTreeMap<_, _>) = (expected.collect(), found.collect());
        let other = expected.keys().chain(found.keys()).find(|name| expected.get(*name) != found.get(*name));
        assert_eq!(other, None, "{target}: run `cargo run --no-default-features --example seed`");
    }
}

#[test]
fn the_corpus_stays_small() {
    let files: Vec<_> = TARGETS.iter().flat_map(|target| corpus(target.name)).collect();
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(files.len() < FILES_MAX && bytes < BYTES_MAX, "{} files, {bytes} bytes", files.len());
}

#[test]
fn every_target_has_its_file_and_its_binary() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        assert!(root().join("fuzz_targets").join(format!("{name}.rs")).exists(), "{name}");
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "{name}");
        assert!(seeds::all().iter().any(|(target, _)| *target == name), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

#[test]
fn every_message_and_body_of_the_protocol_is_fuzzed() {
    let source = root().join("../vend-protocol/src");
    let listed = |kinds: &[Kind]| kinds.iter().map(|kind| last(kind.layout.name)).collect::<BTreeSet<_>>();
    for (folder, kinds) in [("machine_link", listed(MACHINE)), ("control_link", listed(CONTROL))] {
        let mut text = String::new();
        read_all(&source.join(folder), &mut text);
        let messages = text.lines().filter_map(|line| line.strip_prefix("message!(")?.split(',').next());
        assert_eq!(kinds, messages.map(str::to_owned).collect(), "{folder}, and `layouts.rs` on the left");
    }
    let text = fs::read_to_string(source.join("signed.rs")).unwrap();
    let bodies = text.lines().filter_map(|line| line.strip_prefix("pub struct ")?.split([' ', '<']).next());
    let bodies: BTreeSet<_> = bodies.filter(|name| name.ends_with("Body")).map(str::to_owned).collect();
    assert_eq!(BODIES.iter().map(|body| last(body.name)).collect::<BTreeSet<_>>(), bodies);
}

/// A type's name without its path.
fn last(name: &str) -> String {
    name.rsplit("::").next().unwrap_or(name).trim().to_owned()
}

fn read_all(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            read_all(&entry.unwrap().path(), text);
        }
    } else {
        text.push_str(&fs::read_to_string(path).unwrap());
    }
}
