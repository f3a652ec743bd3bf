//! The one writer of the database, with group commit.
//!
//! A thread of its own takes what is queued and runs it in one transaction, so that many writes share one fsync.
//! Nothing is answered before COMMIT returned success. On any error in a batch it is rolled back, and the writes
//! run again one by one, each in its own transaction: a savepoint around each would not do, since SQLite rolls the
//! whole transaction back where the disk is full.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::lock::DatabaseLock;
use super::{DatabaseOptions, StoreError};

/// Queues writes for the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Request>,
    counters: Arc<Counters>,
}

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

#[derive(Debug, Default)]
struct Counters {
    writes: AtomicU64,
    commits: AtomicU64,
    reruns: AtomicU64,
}

enum Request {
    Write(Box<dyn Item>),
    /// Close, and drop the sender when that is done.
    Close(oneshot::Sender<()>),
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
        let (answer, answered) = oneshot::channel();
        let item = Queued { label, work, output: None, answer };
        self.queue.send(Request::Write(Box::new(item))).await.map_err(|_| StoreError::Closed)?;
        // An item dropped without an answer was in a batch when the writer's thread ended: its commit may have been.
        answered.await.unwrap_or_else(|_| Err(StoreError::unknown("the writer ended")))
    }

    /// What the writer has done so far.
    pub fn stats(&self) -> WriterStats {
        WriterStats {
            writes: self.counters.writes.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
            reruns: self.counters.reruns.load(Ordering::Relaxed),
        }
    }

    /// Starts the writer's thread. It holds the lock until it ends.
    pub(super) fn start(
        conn: SqliteConnection,
        connect: SqliteConnectOptions,
        lock: DatabaseLock,
        options: &DatabaseOptions,
    ) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(options.queue.max(1));
        let counters = Arc::new(Counters::default());
        let mut task = Task {
            requests,
            batch_len: options.batch.max(1),
            conn: Some(conn),
            connect,
            counters: Arc::clone(&counters),
        };
        // A thread and not a task: the futures of the closures need not be `Send` then (there is no way yet to ask
        // that of an `AsyncFn`), and a closure that computes for long holds up no other task.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::other(error.to_string()))?;
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                let closed = runtime.block_on(task.run());
                // In this order: who waits for the end finds the database free.
                drop(lock);
                drop(closed);
            })
            .map_err(|error| StoreError::other(error.to_string()))?;
        Ok(Self { queue, counters })
    }

    /// Lets the writer finish its queue, and waits for the end of its thread.
    pub(super) async fn close(&self) {
        let (sender, ended) = oneshot::channel();
        if self.queue.send(Request::Close(sender)).await.is_ok() {
            // Nothing is sent: the sender is dropped at the end.
            let _ = ended.await;
        }
    }
}

/// A queued write, whatever its output.
trait Item: Send {
    /// Runs the closure and keeps its output. The error says that the transaction must not be committed.
    fn run<'a>(
        &'a mut self,
        conn: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

    /// Hands the output of the last run over, or an error instead.
    fn answer(self: Box<Self>, result: Result<(), StoreError>);
}

struct Queued<T, F> {
    label: &'static str,
    work: F,
    output: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Item for Queued<T, F>
where
    T: Send + 'static,
    F: AsyncFn(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
{
    fn run<'a>(
        &'a mut self,
        conn: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>> {
        Box::pin(async move {
            let work = &self.work;
            // The call itself may panic too, so it is made inside.
            let run = AssertUnwindSafe(async { work(conn).await }).catch_unwind();
            let output = run.await.map_err(|panic| {
                tracing::error!(label = self.label, panic = panic_message(&*panic), "a write panicked");
                StoreError::Panicked { label: self.label }
            })?;
            self.output = Some(output?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, result: Result<(), StoreError>) {
        let Self { label, output, answer, .. } = *self;
        let result =
            result.and_then(|()| output.ok_or_else(|| StoreError::other(format!("`{label}` never ran"))));
        // The caller may have gone; the write stands.
        let _ = answer.send(result);
    }
}

struct Task {
    requests: mpsc::Receiver<Request>,
    batch_len: usize,
    /// `None` after an error that left the connection in doubt.
    conn: Option<SqliteConnection>,
    connect: SqliteConnectOptions,
    counters: Arc<Counters>,
}

/// Why a transaction was not committed.
enum Failure {
    /// It certainly was not.
    NotCommitted(StoreError),
    /// It may have been.
    Unknown(StoreError),
}

impl Task {
    /// Serves until the last [`Writer`] is gone, or one asks for the end; then returns who waits for that.
    async fn run(&mut self) -> Option<oneshot::Sender<()>> {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = self.requests.recv().await else { break };
            let mut batch = Vec::new();
            let mut next = Some(first);
            while let Some(request) = next.take() {
                match request {
                    Request::Write(item) => batch.push(item),
                    Request::Close(sender) => {
                        closing = Some(sender);
                        break;
                    }
                }
                if batch.len() < self.batch_len {
                    next = self.requests.try_recv().ok();
                }
            }
            self.write_batch(batch).await;
        }
        self.requests.close();
        // What was queued behind the request to close was never begun.
        while let Ok(request) = self.requests.try_recv() {
            if let Request::Write(item) = request {
                item.answer(Err(StoreError::Closed));
            }
        }
        if let Some(conn) = self.conn.take()
            && let Err(error) = conn.close().await
        {
            tracing::warn!(%error, "closing the database failed");
        }
        closing
    }

    async fn write_batch(&mut self, mut batch: Vec<Box<dyn Item>>) {
        if batch.is_empty() {
            return;
        }
        let failure = match self.transact(&mut batch).await {
            Ok(()) => {
                self.counters.writes.fetch_add(count(batch.len()), Ordering::Relaxed);
                return answer_all(batch, &Ok(()));
            }
            Err(failure) => failure,
        };
        match failure {
            Failure::Unknown(error) => answer_all(batch, &Err(error)),
            Failure::NotCommitted(error) if batch.len() == 1 => answer_all(batch, &Err(error)),
            Failure::NotCommitted(error) => {
                tracing::debug!(%error, writes = batch.len(), "a batch failed, its writes run one by one");
                self.counters.reruns.fetch_add(count(batch.len()), Ordering::Relaxed);
                for item in batch {
                    let mut single = vec![item];
                    let result = match self.transact(&mut single).await {
                        Ok(()) => {
                            self.counters.writes.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        }
                        Err(Failure::NotCommitted(error) | Failure::Unknown(error)) => Err(error),
                    };
                    answer_all(single, &result);
                }
            }
        }
    }

    /// Runs the items in one transaction and commits it.
    async fn transact(&mut self, items: &mut [Box<dyn Item>]) -> Result<(), Failure> {
        let mut conn = self.connection().await.map_err(Failure::NotCommitted)?;
        // IMMEDIATE takes the write lock now: taken later, it fails where a reader has moved on meanwhile.
        let mut transaction = match conn.begin_with("BEGIN IMMEDIATE").await {
            Ok(transaction) => transaction,
            // The connection is not kept: whatever is wrong with it, the next one starts afresh.
            Err(error) => return Err(Failure::NotCommitted(error.into())),
        };
        for item in items {
            if let Err(error) = item.run(&mut transaction).await {
                if roll_back(transaction).await {
                    self.conn = Some(conn);
                }
                return Err(Failure::NotCommitted(error));
            }
        }
        match transaction.commit().await {
            Ok(()) => {
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.conn = Some(conn);
                Ok(())
            }
            Err(error) => {
                let error = StoreError::from(error);
                // The connection is dropped, and with it whatever it still holds open.
                tracing::error!(%error, "a commit failed");
                drop(conn);
                Err(match error {
                    // A deferred foreign key: checked before anything is written, so this one is certain.
                    StoreError::Constraint { .. } => Failure::NotCommitted(error),
                    other => Failure::Unknown(StoreError::unknown(other.to_string())),
                })
            }
        }
    }

    async fn connection(&mut self) -> Result<SqliteConnection, StoreError> {
        match self.conn.take() {
            Some(conn) => Ok(conn),
            None => Ok(self.connect.connect().await?),
        }
    }
}

/// Rolls back; `false` where the connection is in doubt and must not be used again. SQLite may have rolled back by
/// itself, as on a full disk, and then refuses to do so again.
async fn roll_back(transaction: Transaction<'_, Sqlite>) -> bool {
    match transaction.rollback().await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "a rollback failed, the connection is replaced");
            false
        }
    }
}

fn answer_all(batch: Vec<Box<dyn Item>>, result: &Result<(), StoreError>) {
    for item in batch {
        item.answer(result.clone());
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
