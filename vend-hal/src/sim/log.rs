//! Where a plant writes what happens, before it can be seen.

use std::boxed::Box;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::string::String;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

use super::PlantEvent;

/// Takes the events of a plant.
///
/// [`append`](Self::append) returns when the event can no longer be lost by the death of the process; only then do
/// pins show it. It is called with the plant locked and must not call back into it.
///
/// ```
/// use vend_hal::sim::{Plant, PlantConfig, PlantEvent, PlantLog, VirtualClock};
///
/// struct Print;
/// impl PlantLog for Print {
///     fn append(&mut self, event: &PlantEvent) -> std::io::Result<()> {
///         println!("{event}");
///         Ok(())
///     }
/// }
///
/// let plant = Plant::with_log(PlantConfig::default(), VirtualClock::new(), Print);
/// plant.refill(vend_hal::LaneId::new(0), 4);
/// ```
pub trait PlantLog {
    /// Writes one event.
    ///
    /// # Errors
    /// When it could not be written. The plant then cuts its power, so that nothing happens that is not in the log.
    fn append(&mut self, event: &PlantEvent) -> io::Result<()>;
}

impl<L: PlantLog + ?Sized> PlantLog for Box<L> {
    fn append(&mut self, event: &PlantEvent) -> io::Result<()> {
        (**self).append(event)
    }
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl PlantLog for NoLog {
    fn append(&mut self, _: &PlantEvent) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps events in memory. Clones are the same log.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<Vec<PlantEvent>>>);

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<PlantEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PlantLog for MemoryLog {
    fn append(&mut self, event: &PlantEvent) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*event);
        Ok(())
    }
}

/// A file of one line an event, each written by one call before it returns.
///
/// It outlives the process, at whatever moment that is killed. It does not wait for the disk: a computer that loses
/// its power may lose the newest lines.
#[derive(Debug)]
pub struct FileLog {
    file: File,
    line: String,
}

impl FileLog {
    /// Opens or creates a log and reads what it holds. A last line that was cut off is removed: the call that wrote
    /// it never returned, so nobody saw what it tells.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds a whole line that is no event.
    pub fn open(path: impl AsRef<Path>) -> io::Result<(Self, Vec<PlantEvent>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |newline| newline + 1);
        let events = text
            .get(..whole)
            .unwrap_or_default()
            .lines()
            .map(|line| line.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
            .collect::<io::Result<Vec<PlantEvent>>>()?;
        let whole = u64::try_from(whole).map_err(io::Error::other)?;
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        Ok((Self { file, line: String::new() }, events))
    }
}

impl PlantLog for FileLog {
    fn append(&mut self, event: &PlantEvent) -> io::Result<()> {
        use core::fmt::Write as _;

        self.line.clear();
        writeln!(self.line, "{event}").map_err(io::Error::other)?;
        self.file.write_all(self.line.as_bytes())
    }
}
