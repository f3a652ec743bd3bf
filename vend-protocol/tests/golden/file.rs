//! The files of vectors: `[name]`, then lines of `key = value` or, behind two spaces, of a field; `#` begins a comment line.

use std::{
    fmt::{Display, Write as _},
    fs,
    io::Write as _,
    path::PathBuf,
};

/// One vector as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// In the order of the file. Keys may come again: `field` does.
    pub(crate) lines: Vec<(String, String)>,
}

impl Entry {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), lines: Vec::new() }
    }

    pub(crate) fn put(&mut self, key: &str, value: impl Display) {
        self.lines.push((key.into(), value.to_string()));
    }

    pub(crate) fn all(&self, key: &'static str) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.0 == key).map(|line| line.1.as_str())
    }

    /// The value of a key that must be there.
    pub(crate) fn text(&self, key: &'static str) -> &str {
        self.all(key).next().unwrap_or_else(|| panic!("[{}] has no {key}", self.name))
    }

    /// As [`Entry::text`], from hexadecimal.
    pub(crate) fn bytes(&self, key: &'static str) -> Vec<u8> {
        unhex(self.text(key)).unwrap_or_else(|| panic!("[{}] {key} is not hexadecimal", self.name))
    }
}

/// The path of a file of vectors.
pub(crate) fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", file].iter().collect()
}

/// Whether the tests were told to write: `VEND_GOLDEN=what`.
pub(crate) fn told_to(what: &str) -> bool {
    std::env::var("VEND_GOLDEN").is_ok_and(|told| told == what)
}

/// The entries of a file.
pub(crate) fn read(file: &str) -> Vec<Entry> {
    let text = fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in
        text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            entries.push(Entry::new(name));
            continue;
        }
        let entry = entries.last_mut().unwrap_or_else(|| panic!("{file}:{}: before any [name]", number + 1));
        if let Some(field) = line.strip_prefix("  ") {
            entry.put("field", field);
            continue;
        }
        let (key, value) = line.split_once(" =").unwrap_or_else(|| panic!("{file}:{}: no key", number + 1));
        entry.put(key, value.trim_start());
    }
    entries
}

/// Puts entries at the end of a file; what is there stays as it is.
pub(crate) fn append(file: &str, entries: &[Entry]) {
    let mut text = String::new();
    for entry in entries {
        writeln!(text, "\n[{}]", entry.name).expect("a string takes what it is given");
        for (key, value) in &entry.lines {
            let line = match key.as_str() {
                "field" => format!("  {value}"),
                _ => format!("{key} = {value}"),
            };
            writeln!(text, "{}", line.trim_end()).expect("a string takes what it is given");
        }
    }
    let mut file = fs::OpenOptions::new().append(true).open(path(file)).expect("the file, with its head");
    file.write_all(text.as_bytes()).expect("room for vectors");
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}
