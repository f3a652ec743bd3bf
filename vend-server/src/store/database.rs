//! Opening the SQLite database: one owner, one writer, a few readers.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

use super::lock::DatabaseLock;
use super::{Migration, StoreError, Writer, migrate};

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
///
/// Dropping it closes the database in the background once the last [`Writer`] is gone too; [`close`](Self::close)
/// does it now, and says when it is done.
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
    /// [`migrate`] meets.
    pub async fn open(
        path: impl AsRef<Path>,
        options: DatabaseOptions,
        migrations: &[Migration],
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let lock = DatabaseLock::take(path)?;
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(options.busy_timeout);
        let mut conn = connect.connect().await?;
        check_durability(&mut conn).await?;
        migrate(&mut conn, migrations).await?;
        // The writer connects for itself; with this one still open the file stays in WAL mode until it has.
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .connect_lazy_with(connect.clone().pragma("query_only", "ON"));
        let writer = Writer::start(conn, connect, lock, &options)?;
        Ok(Self { writer, readers })
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
        self.writer.close().await;
    }
}

/// Refuses a database on which a commit would promise too much. SQLite does not fail where it cannot have WAL, as on
/// some network file systems: it keeps the mode it had.
async fn check_durability(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    const FULL: i64 = 2;
    let journal_mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *conn).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *conn).await?;
    if journal_mode != "wal" || synchronous < FULL {
        return Err(StoreError::other(format!(
            "the database cannot be made durable: journal_mode {journal_mode}, synchronous {synchronous}"
        )));
    }
    Ok(())
}
