//! The ledger's file: written through before anyone can see what it says, many lines to one sync.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::prelude::v1::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::SandboxError;
use super::book::{Book, Key, Line};

/// Lines that wait for one sync together, at most.
const BATCH: usize = 256;

/// The disk refused. What the sandbox knows is then older than the file may be, so nothing more is written.
#[derive(Debug)]
pub(super) struct LedgerFailed;

struct Job {
    lines: Vec<u8>,
    done: oneshot::Sender<bool>,
}

pub(super) struct Store {
    book: Mutex<Book>,
    gates: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    writer: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Store {
    /// Reads the ledger of a folder and starts its writer. A last line that a kill tore is cut off: nobody was
    /// told of it.
    pub(super) fn open(dir: &Path) -> Result<Self, SandboxError> {
        let path = dir.join("ledger.jsonl");
        let io = |source| SandboxError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(SandboxError::InUse),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (book, good) = replay(&bytes)?;
        if good < bytes.len() {
            file.set_len(u64::try_from(good).unwrap_or(u64::MAX))
                .and_then(|()| file.sync_all())
                .map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(String::from("sandbox-ledger"))
            .spawn(move || write_all(file, &receiver))
            .map_err(io)?;
        Ok(Self {
            book: Mutex::new(book),
            gates: Mutex::default(),
            writer: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Holds off every other change of one order. Take it before reading what the change depends on.
    pub(super) async fn gate(&self, key: &Key) -> tokio::sync::OwnedMutexGuard<()> {
        let gate = Arc::clone(lock(&self.gates).entry(key.clone()).or_default());
        gate.lock_owned().await
    }

    /// Writes lines through to the disk, then takes them into the book. The caller holds the order's gate and
    /// must not be cancelled in between: run it in a task of its own.
    pub(super) async fn commit(&self, lines: Vec<Line>) -> Result<(), LedgerFailed> {
        let mut text = Vec::with_capacity(lines.len() * 256);
        for line in &lines {
            serde_json::to_writer(&mut text, line).map_err(|_| LedgerFailed)?;
            text.push(b'\n');
        }
        let (done, written) = oneshot::channel();
        let sender = lock(&self.writer).clone().ok_or(LedgerFailed)?;
        sender.send(Job { lines: text, done }).map_err(|_| LedgerFailed)?;
        drop(sender);
        if !written.await.unwrap_or(false) {
            return Err(LedgerFailed);
        }
        let mut book = self.book();
        for line in lines {
            book.apply(line);
        }
        Ok(())
    }

    /// Lets go of the file, after what is being written. Later commits fail.
    pub(super) fn close(&self) {
        drop(lock(&self.writer).take());
        if let Some(thread) = lock(&self.thread).take() {
            // A panic in the writer has been seen by every commit already.
            let _ = thread.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// A panic elsewhere while holding one of these leaves nothing half done: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The book of a ledger's bytes, and how many of them are whole lines.
fn replay(bytes: &[u8]) -> Result<(Book, usize), SandboxError> {
    let mut book = Book::default();
    let mut good = 0;
    for (number, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        // Only a line without its end was torn by a kill. Any other that cannot be read is damage: cutting it off would take
        // back what somebody has seen.
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let read = serde_json::from_slice::<Line>(text).ok();
        if !read.is_some_and(|line| book.apply(line)) {
            return Err(SandboxError::Damaged { line: number + 1 });
        }
        good += line.len();
    }
    Ok((book, good))
}

fn write_all(mut file: File, jobs: &mpsc::Receiver<Job>) {
    let mut healthy = true;
    while let Ok(first) = jobs.recv() {
        let mut batch = Vec::from([first]);
        batch.extend(jobs.try_iter().take(BATCH - 1));
        if healthy {
            let lines: Vec<u8> = batch.iter().flat_map(|job| job.lines.iter().copied()).collect();
            healthy = file.write_all(&lines).and_then(|()| file.sync_data()).is_ok();
        }
        for job in batch {
            // Nobody waits any more: the line stays, and the next opening reads it.
            let _ = job.done.send(healthy);
        }
    }
}
