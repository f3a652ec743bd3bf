//! What no compiler checks: links between documents, the files they name, and `#![no_std]` without a condition.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

const NO_STD: &[&str] = &["vend-protocol", "vend-payments", "vend-hal", "vend-firmware"];

pub(super) fn run(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    for name in NO_STD {
        let path = root.join(name).join("src/lib.rs");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if !text.lines().any(|line| line == "#![no_std]") {
            faults.push(format!("{name}/src/lib.rs has no line `#![no_std]`"));
        }
    }
    let mut documents = Vec::new();
    collect(root, &mut documents)?;
    for document in &documents {
        let shown = document.strip_prefix(root).unwrap_or(document).display();
        let text = fs::read_to_string(document)?;
        for link in links(&text) {
            let Some(path) = file_of(&link.target) else { continue };
            if document.parent().is_some_and(|dir| dir.join(path).exists()) {
                continue;
            }
            // A picture of the running pages is made from a running demo, so it may come later than the text.
            if link.picture {
                println!("note: {shown} shows {path}, which is not there");
            } else {
                faults.push(format!("{shown} links to {path}, which is not there"));
            }
        }
        for path in named_files(root, &text) {
            faults.push(format!("{shown} names {path}, which is not there"));
        }
    }
    println!("{} documents, {} crates", documents.len(), NO_STD.len());
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

/// All Markdown files below a folder, without what is built or hidden.
fn collect(dir: &Path, documents: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if !(name.starts_with('.') || name.starts_with("target") || name == "vend-data") {
                collect(&path, documents)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    documents.sort();
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Link {
    target: String,
    picture: bool,
}

/// The targets of `[text](target)`, `![text](target)` and `[name]: target`, outside code.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        if let Some((name, target)) = line.split_once("]: ")
            && name.starts_with('[')
        {
            links.push(Link { target: target.trim().to_owned(), picture: false });
        }
        // Every second part stands between backquotes.
        let line: String = line.split('`').step_by(2).collect();
        let mut rest = line.as_str();
        while let Some((text, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap_or((after, ""));
            let picture = text.rfind('[').is_some_and(|at| text.get(..at).is_some_and(|t| t.ends_with('!')));
            links.push(Link { target: target.to_owned(), picture });
            rest = after;
        }
    }
    links
}

/// Paths between backquotes, such as `xtask/src`, that begin at one of our folders and lead nowhere.
fn named_files<'a>(root: &Path, text: &'a str) -> impl Iterator<Item = &'a str> {
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter(|span| {
        let path = span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let first = span.split('/').next().unwrap_or("");
        path && span.contains('/')
            && !first.is_empty()
            && root.join(first).is_dir()
            && !root.join(span).exists()
    })
}

/// The file a link leads to; `None` for another site or a place in the same document.
fn file_of(target: &str) -> Option<&str> {
    let path = target.split(['#', ' ']).next().unwrap_or("");
    (!path.is_empty() && !path.contains("://") && !path.starts_with("mailto:")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code_only() {
        let text =
            "See [a](a.md#part) and ![b](b.png \"B\"), `[c](c.md)`.\n```\n[d](d.md)\n```\n[e]: ../e.md\n";
        let found: Vec<_> = links(text)
            .into_iter()
            .map(|link| (file_of(&link.target).map(str::to_owned), link.picture))
            .collect();
        let file = |name: &str| Some(name.to_owned());
        assert_eq!(found, [(file("a.md"), false), (file("b.png"), true), (file("../e.md"), false)]);
    }

    #[test]
    fn a_named_file_must_be_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "`src/main.rs`, `src/no.rs` and `a/b`; `src`\nthe `src/steps`";
        assert_eq!(named_files(root, text).collect::<Vec<_>>(), ["src/no.rs"]);
    }

    #[test]
    fn other_sites_and_places_in_the_same_document_are_not_files() {
        for target in ["https://example.org/a.md", "#part", "mailto:a@example.org"] {
            assert_eq!(file_of(target), None, "{target}");
        }
    }
}
