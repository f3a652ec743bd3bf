//! What the observer writes down: one line an event, written through before anyone can act on it.
//!
//! The process may be killed at any moment; a line that was written stays, and a last line that was cut off is dropped.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// One event, in the order of things at its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Seen {
    /// The demo was started.
    Started,
    /// A frame to the server (hexadecimal).
    Up { frame: String },
    /// A frame from the server.
    Down { frame: String },
    /// A vend request or its answer on the control link.
    Control { to_control: bool, frame: String },
    /// A line of the plant's log.
    Plant { event: String },
    /// The link was cut.
    LinkCut { order: u64 },
    /// A board lost power.
    PowerCut { order: u64, board: String },
    /// A frame between the boards was garbled; `noticed`: its receiver could not take it for the one that was sent.
    Garbled { noticed: bool },
    /// A motor or item was told to fail.
    Injected { order: u64, line: u8, fault: String },
    /// Customers: an order was placed and is about to be paid.
    Placed { order: u64, machine: u32, attempt_code: String, wallet: String, lines: Vec<(u16, u32)> },
}

/// An event and when it was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    #[serde(flatten)]
    pub(crate) seen: Seen,
}

/// A file of records.
pub(crate) struct Recorder {
    file: Mutex<File>,
}

impl Recorder {
    /// Opens or makes a file, and cuts a torn last line off.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Writes one record. A write that fails ends the demo: its books would be wrong.
    pub(crate) fn write(&self, seen: Seen) {
        self.write_at(now_ms(), seen);
    }

    /// The same for something that was seen at another time.
    pub(crate) fn write_at(&self, at_ms: i64, seen: Seen) {
        let mut line = serde_json::to_vec(&Record { at_ms, seen }).unwrap_or_default();
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&line) {
            tracing::error!(%error, "the observer cannot write");
            std::process::abort();
        }
    }
}

/// Reads a file of records; none when it does not exist.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    text.get(..whole).unwrap_or("").lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}
