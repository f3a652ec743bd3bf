//! Opening the SQLite database: one owner, one writer, a few readers.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;

use super::{Migration, StoreError, Writer};

/// How to open a database. The default is a working set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseOptions {
    /// Connections for reading (4).
    pub readers: u32,
    /// How long a statement waits for a lock before it fails with [`StoreError::Busy`] (5 s).
    pub busy_timeout: Duration,
    /// Writes that wait for the writer (1,024). One more waits in [`Writer::write`] itself.
    pub queue: usize,
    /// Writes that share a commit (256).
    pub batch: usize,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self { readers: 4, busy_timeout: Duration::from_secs(5), queue: 1_024, batch: 256 }
    }
}

/// An open SQLite database, owned by this process alone.
#[derive(Debug)]
pub struct Database {
    writer: Writer,
    readers: SqlitePool,
}

impl Database {
    /// Opens the database at `path`, makes it where it is missing, and applies `migrations`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where another process (or this one) has it open, and whatever opening it or
    /// [`migrate`](super::migrate) meets.
    pub async fn open(
        path: impl AsRef<Path>,
        options: DatabaseOptions,
        migrations: &[Migration],
    ) -> Result<Self, StoreError> {
        let _ = (path.as_ref(), options, migrations);
        Err(StoreError::Closed)
    }

    /// The one way to write.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Connections for reading; a write through them fails with [`StoreError::ReadOnly`].
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Writes what is queued, closes the connections and gives the database free. Later writes through a clone of
    /// the writer fail with [`StoreError::Closed`].
    pub async fn close(self) {
        self.readers.close().await;
    }
}
