//! The outbox: side effects that follow from committed rows, at least once each, with effect once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore};

use super::{Engine, EngineError, lock, now_ms};
use crate::store::StoreError;

/// Jobs of one sort at once.
const PARALLEL: usize = 16;
/// A job that failed by our own fault is tried again after this, in milliseconds.
const FAULT_RETRY_MS: i64 = 1_000;
/// The table is looked at this often without being woken.
const POLL: Duration = Duration::from_millis(250);

/// What becomes of a job after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It has no more to do.
    Done,
    /// Again at this time.
    At(i64),
}

impl Engine {
    /// Looks for jobs at once instead of within a quarter of a second.
    pub(super) fn wake(&self) {
        self.inner.wake.iter().for_each(Notify::notify_one);
    }

    /// Does jobs until the future is dropped. A job cut off in the middle is done again after a restart.
    ///
    /// What concerns machines runs apart from what waits for wallets: a wallet that hangs must not keep a paid order from being
    /// vended.
    pub async fn run_jobs(&self) {
        let machines =
            "SELECT kind, subject FROM jobs WHERE due_ms <= $1 AND kind IN ('authorize', 'resend', 'silence')
             ORDER BY due_ms LIMIT 256";
        let wallets = "SELECT kind, subject FROM jobs WHERE due_ms <= $1 AND kind NOT IN ('authorize', 'resend', 'silence')
             ORDER BY due_ms LIMIT 256";
        let [first, second] = &self.inner.wake;
        futures_util::future::join(self.run_some(machines, first), self.run_some(wallets, second)).await;
    }

    async fn run_some(&self, due: &'static str, wake: &Notify) {
        let slots = Arc::new(Semaphore::new(PARALLEL));
        let running: Arc<Mutex<HashSet<(String, String)>>> = Arc::default();
        loop {
            match self.due(due).await {
                Ok(due) => {
                    for (kind, subject) in due {
                        // One job is never run twice at once: its steps would be right, but its calls wasted.
                        if !lock(&running).insert((kind.clone(), subject.clone())) {
                            continue;
                        }
                        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                        let (engine, running) = (self.clone(), Arc::clone(&running));
                        tokio::spawn(async move {
                            engine.run_job(&kind, &subject).await;
                            lock(&running).remove(&(kind, subject));
                            drop(slot);
                        });
                    }
                }
                Err(error) => tracing::error!(%error, "cannot read the jobs"),
            }
            let _ = tokio::time::timeout(POLL, wake.notified()).await;
        }
    }

    async fn due(&self, statement: &'static str) -> Result<Vec<(String, String)>, EngineError> {
        let rows = sqlx::query_as(statement)
            .bind(now_ms())
            .fetch_all(self.db().readers())
            .await
            .map_err(StoreError::from)?;
        Ok(rows)
    }

    async fn run_job(&self, kind: &str, subject: &str) {
        let started = now_ms();
        let result = match kind {
            "query" => self.run_query(subject).await,
            "close" => self.run_close(subject).await,
            "expire" => self.run_expire(subject).await,
            "authorize" => self.run_authorize(subject).await,
            "resend" => self.run_resend(subject).await,
            "silence" => self.run_silence(subject).await,
            "refund" => self.run_refund(subject).await,
            other => {
                tracing::error!(kind = other, "a job of an unlisted kind");
                Ok(Next::At(started + 60_000))
            }
        };
        let next = result.unwrap_or_else(|error| {
            tracing::error!(kind, subject, %error, "a job failed");
            Next::At(now_ms() + FAULT_RETRY_MS)
        });
        let (kind, subject) = (kind.to_owned(), subject.to_owned());
        let write = self.db().writer().write("job done", async move |conn| {
            // Guarded by the due time it ran for: one that was put off meanwhile stays as it is.
            let statement = match next {
                Next::Done => "DELETE FROM jobs WHERE kind = $1 AND subject = $2 AND due_ms <= $3 AND $4 = 0",
                Next::At(_) => "UPDATE jobs SET due_ms = $4, tries = tries + 1 WHERE kind = $1 AND subject = $2 AND due_ms <= $3",
            };
            let due = match next {
                Next::Done => 0,
                Next::At(due) => due,
            };
            sqlx::query(statement).bind(&kind).bind(&subject).bind(started).bind(due).execute(conn).await?;
            Ok(())
        });
        if let Err(error) = write.await {
            tracing::error!(%error, "cannot put a job away");
        }
    }
}
