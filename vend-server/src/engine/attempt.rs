//! Attempts that wait for payment: asked about on a schedule, closed when their order is given up.

use std::sync::Arc;

use vend_payments::wallet::{
    AccountId, AttemptId, CallError, CloseOutcome, ClosePayment, CloseReason, PaymentClaim, QueryResult,
    Wallet,
};

use super::{
    Engine, EngineError,
    jobs::Next,
    millis, now_ms,
    rows::{alarm, machine_id, note, order_id, release, want},
};
use crate::store::StoreError;

/// A closed attempt that its wallet did not know is looked at this long after its code expired, in milliseconds.
const LATE_LOOK_MS: i64 = 60_000;
/// Try again after this when the wallet did not answer, in milliseconds.
const RETRY_MS: i64 = 2_000;

/// What is known of an attempt after asking its wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its claim was applied.
    Paid,
    /// It can never be paid.
    Closed,
    /// It waits for payment.
    Open,
    /// The wallet knows nothing of it.
    Nowhere,
}

struct Row {
    id: AttemptId,
    wallet: Arc<dyn Wallet>,
    queries: i64,
    /// A customer has seen its code.
    shown: bool,
    /// Closed here, while the wallet did not know it: one late look is left.
    closed: bool,
    expires_ms: i64,
}

impl Engine {
    /// Asks whether an attempt was paid: a lost notification must not lose a sale.
    pub(super) async fn run_query(&self, attempt: &str) -> Result<Next, EngineError> {
        let Some(row) = self.attempt_row(attempt).await? else { return Ok(Next::Done) };
        match self.ask(&row).await? {
            Ok(Standing::Paid) => return Ok(Next::Done),
            Ok(Standing::Closed) => {
                self.attempt_closed(attempt).await?;
                self.expire_now(attempt).await?;
                return Ok(Next::Done);
            }
            Ok(Standing::Open | Standing::Nowhere) if row.closed => return Ok(Next::Done),
            Ok(Standing::Open | Standing::Nowhere) => {}
            Err(error) => tracing::info!(attempt, %error, "query failed"),
        }
        let (id, done) = (attempt.to_owned(), row.queries + 1);
        self.db()
            .writer()
            .write("count query", async move |conn| {
                sqlx::query("UPDATE attempts SET queries = $2 WHERE id = $1")
                    .bind(&id)
                    .bind(done)
                    .execute(conn)
                    .await?;
                Ok(())
            })
            .await?;
        let plan = &self.settings().query_after;
        let at = usize::try_from(done).unwrap_or(usize::MAX).min(plan.len().saturating_sub(1));
        let gap = match (at.checked_sub(1).and_then(|before| plan.get(before)), plan.get(at)) {
            (Some(before), Some(after)) => millis(after.saturating_sub(*before)),
            _ => RETRY_MS,
        };
        Ok(Next::At(now_ms() + gap.max(50)))
    }

    /// Closes an attempt that nobody is meant to pay any more.
    pub(super) async fn run_close(&self, attempt: &str) -> Result<Next, EngineError> {
        let Some(row) = self.attempt_row(attempt).await?.filter(|row| !row.closed) else {
            return Ok(Next::Done);
        };
        Ok(if self.end_attempt(&row).await? { Next::Done } else { Next::At(now_ms() + RETRY_MS) })
    }

    /// Gives an unpaid order up: first its attempts are closed at the wallet, then its stock is released.
    pub(super) async fn run_expire(&self, order: &str) -> Result<Next, EngineError> {
        let Ok(id) = order.parse::<i64>() else { return Ok(Next::Done) };
        let attempts: Vec<String> = sqlx::query_scalar(
            "SELECT attempts.id FROM attempts JOIN orders ON orders.id = order_id
             WHERE order_id = $1 AND orders.state IN ('preparing', 'offered')
               AND attempts.state IN ('created', 'offered', 'unknown')",
        )
        .bind(id)
        .fetch_all(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        for attempt in attempts {
            let Some(row) = self.attempt_row(&attempt).await? else { continue };
            if !self.end_attempt(&row).await? {
                return Ok(Next::At(now_ms() + RETRY_MS));
            }
        }
        let now = now_ms();
        let write = self.db().writer().write("expire", async move |conn| {
            // Guarded by the attempts too: one that was paid just now has made the order 'paid'.
            let machine: Option<i64> = sqlx::query_scalar(
                "UPDATE orders SET state = 'closed', ended_ms = $2 WHERE id = $1 AND state IN ('preparing', 'offered')
                 AND NOT EXISTS (SELECT 1 FROM attempts WHERE order_id = $1 AND state IN ('created', 'offered', 'unknown'))
                 RETURNING machine",
            )
            .bind(id)
            .bind(now)
            .fetch_optional(&mut *conn)
            .await?;
            if machine.is_some() {
                release(conn, id).await?;
                note(conn, id, None, now, "closed unpaid").await?;
            }
            let waiting: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE id = $1 AND state IN ('preparing', 'offered')")
                    .bind(id)
                    .fetch_one(conn)
                    .await?;
            Ok((machine, waiting))
        });
        let (machine, waiting) = write.await?;
        if let Some(machine) = machine {
            self.changed(machine_id(machine)?, Some(order_id(id)?));
        }
        Ok(if waiting == 0 { Next::Done } else { Next::At(now_ms() + RETRY_MS) })
    }

    /// Brings an attempt to an end: paid, or closed for ever. `false`: try again.
    async fn end_attempt(&self, row: &Row) -> Result<bool, EngineError> {
        let reason = match self.ask(row).await? {
            Ok(Standing::Paid) => return Ok(true),
            Ok(Standing::Closed) => {
                self.attempt_closed(row.id.as_str()).await?;
                return Ok(true);
            }
            Ok(Standing::Open) => CloseReason::Unpaid,
            // Cancelling gives back what is paid in the same moment, so it is for codes that nobody has seen. One that was
            // shown, and not scanned, is closed like an unpaid one; until it expires it may still be paid, and is then
            // refunded.
            Ok(Standing::Nowhere) if row.shown => CloseReason::Unpaid,
            Ok(Standing::Nowhere) => CloseReason::Unknown,
            Err(error) => {
                tracing::info!(attempt = row.id.as_str(), %error, "query before closing failed");
                return Ok(false);
            }
        };
        let close = ClosePayment { attempt: &row.id, reason };
        let request = row.wallet.close_request(&super::context()?, &close);
        match self.exchange(request, |answer| row.wallet.read_close(now_ms(), &close, answer)).await {
            Ok(CloseOutcome::Closed | CloseOutcome::Refunded) => {
                self.attempt_closed(row.id.as_str()).await?;
                Ok(true)
            }
            Ok(CloseOutcome::NotFound) => {
                self.attempt_nowhere(row).await?;
                Ok(true)
            }
            // Paid in this very moment: the next query brings the claim.
            Ok(other) => {
                tracing::info!(attempt = row.id.as_str(), ?other, "not closed");
                Ok(false)
            }
            Err(error) => {
                tracing::info!(attempt = row.id.as_str(), %error, "close failed");
                Ok(false)
            }
        }
    }

    /// Asks the wallet, and applies a claim that it brings.
    async fn ask(&self, row: &Row) -> Result<Result<Standing, CallError>, EngineError> {
        let request = row.wallet.query_request(&super::context()?, &row.id);
        let result = self.exchange(request, |answer| row.wallet.read_query(now_ms(), &row.id, answer)).await;
        Ok(match result {
            Ok(QueryResult::Paid(claim)) => {
                self.apply_claim(claim).await?;
                Ok(Standing::Paid)
            }
            // Only attempts that are unpaid here are asked about, so this refund is none of ours: a cancel that came after the
            // payment, or an operator at the wallet's own pages. The money is back; selling now would be giving away.
            Ok(QueryResult::Refunded(claim)) => {
                self.note_returned(&claim).await?;
                Ok(Standing::Closed)
            }
            Ok(QueryResult::Closed) => Ok(Standing::Closed),
            Ok(QueryResult::NotPaid) => Ok(Standing::Open),
            Ok(QueryResult::NotFound) => Ok(Standing::Nowhere),
            Ok(_) => Err(CallError::unknown("an answer of an unlisted kind")),
            Err(error) => Err(error),
        })
    }

    async fn attempt_row(&self, attempt: &str) -> Result<Option<Row>, EngineError> {
        let row: Option<(String, i64, String, i64)> = sqlx::query_as(
            "SELECT account, queries, state, expires_ms FROM attempts WHERE id = $1 AND state <> 'paid' AND transaction_id IS NULL",
        )
        .bind(attempt)
        .fetch_optional(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        let Some((account, queries, state, expires_ms)) = row else { return Ok(None) };
        let bad = || EngineError::Row("attempts");
        let account = AccountId::new(&account).map_err(|_| bad())?;
        let wallet = self.wallet(&account).ok_or_else(bad)?;
        Ok(Some(Row {
            id: AttemptId::new(attempt).map_err(|_| bad())?,
            wallet,
            queries,
            shown: state == "offered",
            closed: state == "closed",
            expires_ms,
        }))
    }

    /// The wallet does not know it (Alipay: nobody scanned the code), and a code that was shown lives until it expires: it is
    /// closed here, and looked at once more after that. A payment found then is refunded.
    async fn attempt_nowhere(&self, row: &Row) -> Result<(), EngineError> {
        self.attempt_closed(row.id.as_str()).await?;
        let (id, due) = (row.id.as_str().to_owned(), row.expires_ms + LATE_LOOK_MS);
        let write =
            self.db().writer().write("late look", async move |conn| want(conn, "query", &id, due).await);
        Ok(write.await?)
    }

    /// Tells the operator of money that came and went without us.
    async fn note_returned(&self, claim: &PaymentClaim) -> Result<(), EngineError> {
        let (attempt, now) = (claim.attempt().as_str().to_owned(), now_ms());
        let write = self.db().writer().write("returned", async move |conn| {
            let order: Option<i64> = sqlx::query_scalar("SELECT order_id FROM attempts WHERE id = $1")
                .bind(&attempt)
                .fetch_optional(&mut *conn)
                .await?;
            let what = format!(
                "attempt {attempt} was paid and given back at the wallet, not by us: nothing is sold for it"
            );
            alarm(conn, None, order, now, &what).await
        });
        Ok(write.await?)
    }

    /// An order without a code that can be paid has no reason to wait.
    async fn expire_now(&self, attempt: &str) -> Result<(), EngineError> {
        let (id, now) = (attempt.to_owned(), now_ms());
        let write = self.db().writer().write("expire now", async move |conn| {
            sqlx::query(
                "UPDATE jobs SET due_ms = MIN(due_ms, $2) WHERE kind = 'expire' AND subject =
                 (SELECT CAST(order_id AS TEXT) FROM attempts WHERE id = $1)",
            )
            .bind(&id)
            .bind(now)
            .execute(conn)
            .await?;
            Ok(())
        });
        write.await?;
        self.wake();
        Ok(())
    }

    async fn attempt_closed(&self, attempt: &str) -> Result<(), EngineError> {
        let id = attempt.to_owned();
        let write = self.db().writer().write("attempt closed", async move |conn| {
            sqlx::query(
                "UPDATE attempts SET state = 'closed' WHERE id = $1 AND state IN ('created', 'offered', 'unknown')",
            )
            .bind(&id)
            .execute(&mut *conn)
            .await?;
            sqlx::query("DELETE FROM jobs WHERE kind IN ('query', 'close') AND subject = $1")
                .bind(&id)
                .execute(conn)
                .await?;
            Ok(())
        });
        Ok(write.await?)
    }
}
