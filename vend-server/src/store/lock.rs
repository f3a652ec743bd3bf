//! The lock that makes this process the only owner of a database.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::StoreError;

/// A lock on the side file `<database>.lock`, held until it is dropped. The system drops it with the process, however
/// that ends. The file stays: removing it would let two owners lock two files of one name.
#[derive(Debug)]
pub(super) struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Takes the lock, and makes the database file first where it is missing: only a file that exists has one
    /// true path, which two names for it share.
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let failed =
            |path: &Path, error: &std::io::Error| StoreError::other(format!("{}: {error}", path.display()));
        File::options()
            .append(true)
            .create(true)
            .open(database)
            .and_then(|_| database.canonicalize())
            .map_err(|error| failed(database, &error))
            .and_then(|database| {
                let lock = lock_path(&database);
                let file = File::options()
                    .append(true)
                    .create(true)
                    .open(&lock)
                    .map_err(|error| failed(&lock, &error))?;
                match file.try_lock() {
                    Ok(()) => Ok(Self { _file: file }),
                    Err(TryLockError::WouldBlock) => Err(StoreError::Locked { lock }),
                    Err(TryLockError::Error(error)) => Err(failed(&lock, &error)),
                }
            })
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
