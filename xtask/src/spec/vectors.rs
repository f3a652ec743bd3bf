//! The files of golden bytes, as far as they are needed here.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::decode::Leaf;

pub(super) struct Vector {
    pub(super) name: String,
    pub(super) kind: Option<String>,
    pub(super) payload: Vec<u8>,
    /// The last part of each path, and the value.
    pub(super) fields: Vec<Leaf>,
}

impl Vector {
    pub(super) fn kind(&self) -> Result<u8> {
        let text = self.kind.as_deref().context("no kind")?;
        let text = text.split(' ').next().unwrap_or("");
        u8::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).context("the kind")
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<Vector>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut vectors: Vec<Vector> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            vectors.push(Vector { name: name.into(), kind: None, payload: Vec::new(), fields: Vec::new() });
            continue;
        }
        let vector = vectors.last_mut().context("a line before the first [name]")?;
        if let Some(field) = line.strip_prefix("  ") {
            let (path, rest) = field.split_once(": ").context("a field without a type")?;
            let (_, value) = rest.split_once(" = ").context("a field without a value")?;
            let name = path.rsplit('.').next().unwrap_or(path);
            let name = name.split('[').next().unwrap_or(name);
            vector.fields.push(Leaf { name: name.into(), value: value.into() });
        } else if let Some((key, value)) = line.split_once(" =") {
            match key {
                "kind" => vector.kind = Some(value.trim().into()),
                "payload" => {
                    vector.payload = unhex(value.trim()).with_context(|| format!("[{}]", vector.name))?;
                }
                _ => {}
            }
        }
    }
    Ok(vectors)
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    anyhow::ensure!(rest.is_empty(), "half a byte");
    pairs.iter().map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}
