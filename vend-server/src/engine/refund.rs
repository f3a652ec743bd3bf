//! Refunds: reserved under a persisted id, then made until the wallet says that they are.

use sqlx::SqliteConnection;
use vend_payments::wallet::{AccountId, AttemptId, CallError, RefundId, RefundPayment, RefundStatus, Wallet};
use vend_protocol::Money;

use super::{
    Engine, EngineError,
    jobs::Next,
    millis, now_ms,
    rows::{alarm, currency_of, machine_id, money_text, note, order_id, want},
};
use crate::store::StoreError;

/// A refund that needs an operator is tried again after this, in milliseconds.
const STUCK_RETRY_MS: i64 = 3_600_000;

/// A refund to reserve.
pub(super) struct RefundOrder<'a> {
    pub(super) attempt: &'a str,
    pub(super) account: &'a str,
    pub(super) order: i64,
    pub(super) paid: i64,
    pub(super) amount: i64,
    pub(super) currency: i64,
    pub(super) reason: &'a str,
    pub(super) now: i64,
    pub(super) due: i64,
}

/// Reserves a refund and wants it made. All refunds of an attempt's own payment (an orphan that names it is another) together cannot exceed what was paid: the guard is in the
/// statement, and a refund that does not fit is an error of ours, not a smaller refund.
pub(super) async fn reserve_refund(
    conn: &mut SqliteConnection,
    refund: &RefundOrder<'_>,
) -> Result<(), StoreError> {
    let number: i64 = sqlx::query_scalar("SELECT COUNT(*) + 1 FROM refunds WHERE attempt = $1")
        .bind(refund.attempt)
        .fetch_one(&mut *conn)
        .await?;
    let id = format!("R{}_{number}", refund.attempt);
    let reserved = sqlx::query(
        "INSERT INTO refunds (id, attempt, account, order_id, paid_minor, amount_minor, currency, state, reason, created_ms)
         SELECT $1, $2, $3, $4, $5, $6, $7, 'reserved', $8, $9
         WHERE (SELECT COALESCE(SUM(amount_minor), 0) FROM refunds
                WHERE attempt = $2 AND account = $3 AND order_id IS NOT NULL AND state <> 'replaced') + $6 <= $5",
    )
    .bind(&id)
    .bind(refund.attempt)
    .bind(refund.account)
    .bind(refund.order)
    .bind(refund.paid)
    .bind(refund.amount)
    .bind(refund.currency)
    .bind(refund.reason)
    .bind(refund.now)
    .execute(&mut *conn)
    .await?;
    if reserved.rows_affected() != 1 {
        return Err(StoreError::other(format!("refunds of {} would exceed what was paid", refund.attempt)));
    }
    want(conn, "refund", &id, refund.due).await
}

/// Gives the money of some lines of a paid order back: marks them and reserves one refund for their sum. Lines that have ended
/// already are left alone. Returns the sum.
pub(super) async fn refund_lines(
    conn: &mut SqliteConnection,
    order: i64,
    lines: Option<&[i64]>,
    reason: &str,
    now: i64,
    due: i64,
) -> Result<i64, StoreError> {
    let open: Vec<(i64, i64)> =
        sqlx::query_as("SELECT line, price_minor FROM lines WHERE order_id = $1 AND state = 'open'")
            .bind(order)
            .fetch_all(&mut *conn)
            .await?;
    let mut sum = 0;
    for (line, price) in open.into_iter().filter(|(line, _)| lines.is_none_or(|lines| lines.contains(line))) {
        sum += price;
        sqlx::query(
            "UPDATE lines SET state = 'refunding' WHERE order_id = $1 AND line = $2 AND state = 'open'",
        )
        .bind(order)
        .bind(line)
        .execute(&mut *conn)
        .await?;
        sqlx::query(
            "UPDATE slots SET reserved = MAX(0, reserved - 1)
             WHERE machine = (SELECT machine FROM orders WHERE id = $1)
               AND slot = (SELECT slot FROM lines WHERE order_id = $1 AND line = $2)",
        )
        .bind(order)
        .bind(line)
        .execute(&mut *conn)
        .await?;
    }
    if sum > 0 {
        let (attempt, account, paid, currency): (String, String, i64, i64) = sqlx::query_as(
            "SELECT attempts.id, account, attempts.amount_minor, attempts.currency FROM attempts
             JOIN orders ON orders.sold_attempt = attempts.id WHERE orders.id = $1",
        )
        .bind(order)
        .fetch_one(&mut *conn)
        .await?;
        let refund = RefundOrder {
            attempt: &attempt,
            account: &account,
            order,
            paid,
            amount: sum,
            currency,
            reason,
            now,
            due,
        };
        reserve_refund(conn, &refund).await?;
        note(conn, order, None, now, &format!("refund of {} reserved: {reason}", money_text(sum, currency)))
            .await?;
    }
    Ok(sum)
}

/// Ends an order whose every line has ended.
pub(super) async fn settle_if_done(
    conn: &mut SqliteConnection,
    order: i64,
    now: i64,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE orders SET state = 'settled', ended_ms = $2 WHERE id = $1 AND state = 'settling'
         AND NOT EXISTS (SELECT 1 FROM lines WHERE order_id = $1 AND state NOT IN ('delivered', 'refunded'))",
    )
    .bind(order)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 1 {
        note(conn, order, None, now, "settled").await?;
    }
    Ok(())
}

struct Row {
    attempt: AttemptId,
    refund: RefundId,
    paid: Money,
    amount: Money,
    reason: String,
    tries: i64,
    wallet: std::sync::Arc<dyn Wallet>,
}

impl Row {
    fn payment(&self) -> RefundPayment<'_> {
        RefundPayment {
            attempt: &self.attempt,
            refund: &self.refund,
            paid: self.paid,
            amount: self.amount,
            reason: &self.reason,
        }
    }
}

impl Engine {
    /// One try at a refund. After any earlier try the wallet is asked first, since that one may have had its effect.
    pub(super) async fn run_refund(&self, id: &str) -> Result<Next, EngineError> {
        let Some(row) = self.refund_row(id).await? else { return Ok(Next::Done) };
        if row.tries > 0 {
            let request = row.wallet.refund_query_request(&super::context()?, &row.payment());
            let read = |answer: &_| row.wallet.read_refund_query(now_ms(), &row.payment(), answer);
            let status = self.exchange(request, read).await;
            if status != Ok(RefundStatus::NotFound) {
                return self.refund_result(id, &row, status).await;
            }
        }
        // Counted before it is sent: a server that dies in between asks first.
        let subject = id.to_owned();
        let counted = self.db().writer().write("refund try", async move |conn| {
            let done = sqlx::query(
                "UPDATE refunds SET tries = tries + 1, state = CASE state WHEN 'reserved' THEN 'sent' ELSE state END
                 WHERE id = $1 AND state IN ('reserved', 'sent', 'needs_operator')",
            )
            .bind(&subject)
            .execute(conn)
            .await?;
            Ok(done.rows_affected() == 1)
        });
        if !counted.await? {
            return Ok(Next::Done);
        }
        let request = row.wallet.refund_request(&super::context()?, &row.payment());
        let status =
            self.exchange(request, |answer| row.wallet.read_refund(now_ms(), &row.payment(), answer)).await;
        self.refund_result(id, &row, status).await
    }

    async fn refund_row(&self, id: &str) -> Result<Option<Row>, EngineError> {
        let row: Option<(String, String, i64, i64, i64, String, i64)> = sqlx::query_as(
            "SELECT attempt, account, paid_minor, amount_minor, currency, reason, tries FROM refunds
             WHERE id = $1 AND state IN ('reserved', 'sent', 'needs_operator')",
        )
        .bind(id)
        .fetch_optional(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        let Some((attempt, account, paid, amount, currency, reason, tries)) = row else { return Ok(None) };
        let bad = || EngineError::Row("refunds");
        let account = AccountId::new(&account).map_err(|_| bad())?;
        let currency = currency_of(currency).ok_or_else(bad)?;
        let money = |minor| u32::try_from(minor).map(|minor| Money::new(minor, currency)).map_err(|_| bad());
        let Some(wallet) = self.wallet(&account) else {
            tracing::error!(
                refund = id,
                account = account.as_str(),
                "a refund waits for a wallet that is not configured"
            );
            return Err(bad());
        };
        Ok(Some(Row {
            attempt: AttemptId::new(&attempt).map_err(|_| bad())?,
            refund: RefundId::new(id).map_err(|_| bad())?,
            paid: money(paid)?,
            amount: money(amount)?,
            reason,
            tries,
            wallet,
        }))
    }

    async fn refund_result(
        &self,
        id: &str,
        row: &Row,
        status: Result<RefundStatus, CallError>,
    ) -> Result<Next, EngineError> {
        let tries = u32::try_from(row.tries.min(6)).unwrap_or(6);
        let later = Next::At(now_ms() + (millis(self.settings().refund_retry) << tries));
        match status {
            Ok(RefundStatus::Succeeded) => {
                self.refund_succeeded(id).await?;
                Ok(Next::Done)
            }
            Ok(RefundStatus::Closed) => {
                self.replace_refund(id).await?;
                Ok(Next::Done)
            }
            Ok(RefundStatus::NeedsOperator) => {
                self.refund_needs_operator(id, "the wallet wants a person").await
            }
            Err(CallError::Rejected { code })
                if !(CallError::Rejected { code: code.clone() }).is_rate_limit() =>
            {
                self.refund_needs_operator(id, &format!("the wallet refused it: {code}")).await
            }
            other => {
                tracing::info!(refund = id, ?other, "refund not finished");
                Ok(later)
            }
        }
    }

    /// Books a refund that the wallet says is made. Once; a repeat changes nothing.
    pub(super) async fn refund_succeeded(&self, id: &str) -> Result<(), EngineError> {
        let (subject, now) = (id.to_owned(), now_ms());
        let write = self.db().writer().write("refund made", async move |conn| {
            let row: Option<(Option<i64>, i64, i64)> = sqlx::query_as(
                "UPDATE refunds SET state = 'succeeded', ended_ms = $2
                 WHERE id = $1 AND state IN ('reserved', 'sent', 'needs_operator') RETURNING order_id, amount_minor, currency",
            )
            .bind(&subject)
            .bind(now)
            .fetch_optional(&mut *conn)
            .await?;
            sqlx::query("DELETE FROM jobs WHERE kind = 'refund' AND subject = $1")
                .bind(&subject)
                .execute(&mut *conn)
                .await?;
            let Some((Some(order), amount, currency)) = row else { return Ok(None) };
            note(conn, order, None, now, &format!("refund of {} made ({subject})", money_text(amount, currency))).await?;
            // An order's lines are refunded when nothing of the order is on its way back any more.
            sqlx::query(
                "UPDATE lines SET state = 'refunded' WHERE order_id = $1 AND state = 'refunding' AND NOT EXISTS
                 (SELECT 1 FROM refunds WHERE order_id = $1 AND state IN ('reserved', 'sent', 'needs_operator'))",
            )
            .bind(order)
            .execute(&mut *conn)
            .await?;
            settle_if_done(conn, order, now).await?;
            let machine: i64 = sqlx::query_scalar("SELECT machine FROM orders WHERE id = $1")
                .bind(order)
                .fetch_one(conn)
                .await?;
            Ok(Some((machine, order)))
        });
        if let Some((machine, order)) = write.await? {
            self.changed(machine_id(machine)?, Some(order_id(order)?));
        }
        Ok(())
    }

    /// The wallet has definitely closed it: the same reservation under a new id.
    async fn replace_refund(&self, id: &str) -> Result<(), EngineError> {
        let (subject, now) = (id.to_owned(), now_ms());
        let write = self.db().writer().write("refund again", async move |conn| {
            let replaced = sqlx::query("UPDATE refunds SET state = 'replaced', ended_ms = $2 WHERE id = $1 AND state IN ('sent', 'needs_operator')")
                .bind(&subject)
                .bind(now)
                .execute(&mut *conn)
                .await?;
            if replaced.rows_affected() != 1 {
                return Ok(());
            }
            let id: String = sqlx::query_scalar(
                "INSERT INTO refunds (id, attempt, account, order_id, paid_minor, amount_minor, currency, state, reason, created_ms)
                 SELECT 'R' || attempt || '_' || (SELECT COUNT(*) + 1 FROM refunds AS r WHERE r.attempt = refunds.attempt),
                        attempt, account, order_id, paid_minor, amount_minor, currency, 'reserved', reason, $2
                 FROM refunds WHERE id = $1 RETURNING id",
            )
            .bind(&subject)
            .bind(now)
            .fetch_one(&mut *conn)
            .await?;
            want(conn, "refund", &id, now).await
        });
        Ok(write.await?)
    }

    async fn refund_needs_operator(&self, id: &str, why: &str) -> Result<Next, EngineError> {
        let (subject, now, why) = (id.to_owned(), now_ms(), why.to_owned());
        let write = self.db().writer().write("refund stuck", async move |conn| {
            let order: Option<Option<i64>> = sqlx::query_scalar(
                "UPDATE refunds SET state = 'needs_operator' WHERE id = $1 AND state = 'sent' RETURNING order_id",
            )
            .bind(&subject)
            .fetch_optional(&mut *conn)
            .await?;
            let Some(order) = order else { return Ok(()) };
            alarm(conn, None, order, now, &format!("refund {subject} needs an operator: {why}")).await?;
            if let Some(order) = order {
                note(conn, order, None, now, &format!("refund {subject} needs an operator: {why}")).await?;
            }
            Ok(())
        });
        write.await?;
        // Pending always ends: what the operator mends at the wallet (an empty balance, say) is found within the hour.
        Ok(Next::At(now + STUCK_RETRY_MS))
    }
}
