//! The one writer of the database, with group commit.

use sqlx::SqliteConnection;

use super::StoreError;

/// Queues writes for the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {}

/// What the writer has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WriterStats {
    /// Writes that were committed.
    pub writes: u64,
    /// Commits they took.
    pub commits: u64,
    /// Writes that ran again alone because their batch had an error.
    pub reruns: u64,
}

impl Writer {
    /// Runs `work` inside a transaction, together with others, and answers once that is committed.
    ///
    /// ```no_run
    /// # async fn example(writer: vend_server::store::Writer, order: i64) -> Result<(), vend_server::store::StoreError> {
    /// let paid = writer
    ///     .write("pay order", async move |conn| {
    ///         let done = sqlx::query("UPDATE orders SET state = 'paid' WHERE id = $1 AND state = 'offered'")
    ///             .bind(order)
    ///             .execute(&mut *conn)
    ///             .await?;
    ///         Ok(done.rows_affected() == 1)
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The closure may run more than once (only its last run counts), so it must have no effect but through `conn`,
    /// and it must wait for nothing else: every other write waits with it. A refusal that the caller expects is an
    /// `Ok` value. An `Err` writes nothing, and costs the whole batch its shared commit; so prefer
    /// `ON CONFLICT DO NOTHING` to a unique violation. Pass every error on: SQLite itself ends a transaction on some.
    ///
    /// # Errors
    ///
    /// What `work` returned; or [`StoreError::Unknown`] where the commit failed and the write may or may not have taken
    /// place; or another [`StoreError`], and then nothing was written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take a queued write back.
    pub async fn write<T, F>(&self, label: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let _ = (label, work);
        Err(StoreError::Closed)
    }

    /// What the writer has done so far.
    pub fn stats(&self) -> WriterStats {
        WriterStats::default()
    }
}
