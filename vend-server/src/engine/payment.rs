//! Payments coming in: the only way from a wallet's word to a paid order.

use sqlx::SqliteConnection;
use vend_payments::wallet::{
    AccountId, AttemptId, ExpectedPayment, MerchantId, Notification, NotificationError, PaidEvidence,
    PaymentClaim, RefundStatus,
};
use vend_protocol::Money;

use super::{
    Engine, EngineError, now_ms,
    refund::{RefundOrder, reserve_refund},
    rows::{alarm, currency_of, hasten, machine_id, money_text, note, order_id, want},
};
use crate::store::StoreError;

/// What a payment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It pays its order, which will be vended.
    Sold,
    /// It was known; nothing changed.
    Repeat,
    /// It is real money for an order that is not sold for it: it goes back.
    Refunding,
    /// It fits nothing we asked for: kept as an orphan, and it goes back.
    Orphan,
}

/// Why a notification was not accepted. The wallet will send it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// No such account.
    #[error("no such wallet account")]
    NoAccount,
    /// It is not believed.
    #[error(transparent)]
    Refused(#[from] NotificationError),
    /// It could not be stored.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a claim is compared with, read before the transaction: these columns never change.
struct Known {
    order: i64,
    machine: i64,
    expected: ExpectedPayment,
}

impl Engine {
    /// Takes a wallet's notification for one of our accounts. After `Ok` it is in the database, and the answer to it is
    /// [`vend_payments::wallet::Wallet::acknowledge`]`(true)`.
    ///
    /// # Errors
    /// [`NotifyError`]: nothing changed.
    pub async fn notification(
        &self,
        account: &AccountId,
        headers: &http::HeaderMap,
        body: &[u8],
    ) -> Result<(), NotifyError> {
        let wallet = self.wallet(account).ok_or(NotifyError::NoAccount)?;
        match wallet.parse_notification(now_ms(), headers, body)? {
            Notification::Paid(claim) => {
                self.apply_claim(claim).await?;
            }
            Notification::Refund { refund, status } => self.refund_news(refund.as_str(), status).await?,
            // Genuine, and nothing to do.
            _ => {}
        }
        Ok(())
    }

    /// Applies a verified claim: once, whoever brings it.
    pub(super) async fn apply_claim(&self, claim: PaymentClaim) -> Result<Applied, EngineError> {
        let Some(known) = self.known_attempt(claim.attempt()).await? else {
            return self.keep_orphan(&claim, "unknown order", None).await;
        };
        let evidence = match PaidEvidence::check(&known.expected, claim) {
            Ok(evidence) => evidence,
            Err(mismatch) => {
                let why = format!("another {}", mismatch.field);
                return self.keep_orphan(mismatch.claim(), &why, Some(&known)).await;
            }
        };
        let now = now_ms();
        let paid = Paid {
            order: known.order,
            machine: known.machine,
            attempt: evidence.attempt().as_str().to_owned(),
            account: evidence.account().as_str().to_owned(),
            transaction: evidence.transaction().to_owned(),
            amount: i64::from(evidence.amount().minor()),
            currency: i64::from(evidence.amount().currency().number()),
            at_ms: evidence.paid_at_ms().min(now),
            sealed: evidence.seal(&self.inner.keys.seal).as_bytes().to_vec(),
            now,
        };
        let applied =
            self.db().writer().write("apply payment", async move |conn| record(conn, &paid).await).await?;
        if applied != Applied::Repeat {
            self.changed(machine_id(known.machine)?, Some(order_id(known.order)?));
            self.wake();
        }
        Ok(applied)
    }

    async fn known_attempt(&self, attempt: &AttemptId) -> Result<Option<Known>, EngineError> {
        let row: Option<(i64, i64, String, String, i64, i64)> = sqlx::query_as(
            "SELECT order_id, machine, account, merchant, attempts.amount_minor, attempts.currency
             FROM attempts JOIN orders ON orders.id = order_id WHERE attempts.id = $1",
        )
        .bind(attempt.as_str())
        .fetch_optional(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        let Some((order, machine, account, merchant, amount, currency)) = row else { return Ok(None) };
        let bad = || EngineError::Row("attempts");
        let currency = currency_of(currency).ok_or_else(bad)?;
        let expected = ExpectedPayment {
            order: order_id(order)?,
            account: AccountId::new(&account).map_err(|_| bad())?,
            merchant: MerchantId::new(&merchant).map_err(|_| bad())?,
            attempt: attempt.clone(),
            amount: Money::new(u32::try_from(amount).map_err(|_| bad())?, currency),
        };
        Ok(Some(Known { order, machine, expected }))
    }

    async fn keep_orphan(
        &self,
        claim: &PaymentClaim,
        why: &str,
        known: Option<&Known>,
    ) -> Result<Applied, EngineError> {
        let now = now_ms();
        let (account, transaction) = (claim.account().as_str().to_owned(), claim.transaction().to_owned());
        let (attempt, why) = (claim.attempt().as_str().to_owned(), why.to_owned());
        let (amount, currency) =
            (i64::from(claim.amount().minor()), i64::from(claim.amount().currency().number()));
        let place = known.map(|known| (known.machine, known.order));
        let write = self.db().writer().write("keep orphan", async move |conn| {
            let refund = format!("O{now}_{}", transaction.chars().rev().take(24).collect::<String>());
            let kept = sqlx::query(
                "INSERT INTO orphans (account, transaction_id, attempt, amount_minor, currency, why, refund, created_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            )
            .bind(&account)
            .bind(&transaction)
            .bind(&attempt)
            .bind(amount)
            .bind(currency)
            .bind(&why)
            .bind(&refund)
            .bind(now)
            .execute(&mut *conn)
            .await?;
            // The attempt was paid in its own account, and not as it asked: it cannot be paid again, so it does not wait.
            sqlx::query(
                "UPDATE attempts SET state = 'closed' WHERE id = $1 AND account = $2 AND state IN ('created', 'offered', 'unknown')",
            )
            .bind(&attempt)
            .bind(&account)
            .execute(&mut *conn)
            .await?;
            if kept.rows_affected() == 0 {
                return Ok(Applied::Repeat);
            }
            sqlx::query(
                "INSERT INTO refunds (id, attempt, account, order_id, paid_minor, amount_minor, currency, state, reason, created_ms)
                 VALUES ($1, $2, $3, NULL, $4, $4, $5, 'reserved', $6, $7)",
            )
            .bind(&refund)
            .bind(&attempt)
            .bind(&account)
            .bind(amount)
            .bind(currency)
            .bind(&why)
            .bind(now)
            .execute(&mut *conn)
            .await?;
            want(conn, "refund", &refund, now).await?;
            let text = format!("a payment fits no order ({why}): attempt {attempt}, refunding {}", money_text(amount, currency));
            alarm(conn, place.map(|p| p.0), place.map(|p| p.1), now, &text).await?;
            Ok(Applied::Orphan)
        });
        let applied = write.await?;
        self.wake();
        Ok(applied)
    }

    async fn refund_news(&self, refund: &str, status: RefundStatus) -> Result<(), EngineError> {
        if status == RefundStatus::Succeeded {
            return self.refund_succeeded(refund).await;
        }
        // Anything else is looked into by the refund's own job, which asks the wallet.
        let (id, now) = (refund.to_owned(), now_ms());
        let write =
            self.db().writer().write("refund news", async move |conn| hasten(conn, "refund", &id, now).await);
        Ok(write.await?)
    }
}

struct Paid {
    order: i64,
    machine: i64,
    attempt: String,
    account: String,
    transaction: String,
    amount: i64,
    currency: i64,
    at_ms: i64,
    sealed: Vec<u8>,
    now: i64,
}

async fn record(conn: &mut SqliteConnection, paid: &Paid) -> Result<Applied, StoreError> {
    let first = sqlx::query(
        "UPDATE attempts SET state = 'paid', transaction_id = $2, paid_ms = $3, evidence = $4
         WHERE id = $1 AND transaction_id IS NULL",
    )
    .bind(&paid.attempt)
    .bind(&paid.transaction)
    .bind(paid.at_ms)
    .bind(&paid.sealed)
    .execute(&mut *conn)
    .await?;
    if first.rows_affected() == 0 {
        // A wallet pays one attempt once, so another number of the same payment is the same payment.
        return Ok(Applied::Repeat);
    }
    sqlx::query("DELETE FROM jobs WHERE kind IN ('query', 'close') AND subject = $1")
        .bind(&paid.attempt)
        .execute(&mut *conn)
        .await?;
    let sold = sqlx::query(
        "UPDATE orders SET state = 'paid', sold_attempt = $2 WHERE id = $1 AND state = 'offered'",
    )
    .bind(paid.order)
    .bind(&paid.attempt)
    .execute(&mut *conn)
    .await?;
    if sold.rows_affected() == 1 {
        let others: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM attempts WHERE order_id = $1 AND state IN ('created', 'offered', 'unknown')",
        )
        .bind(paid.order)
        .fetch_all(&mut *conn)
        .await?;
        for other in others {
            want(conn, "close", &other, paid.now).await?;
        }
        sqlx::query("DELETE FROM jobs WHERE kind = 'expire' AND subject = $1")
            .bind(paid.order.to_string())
            .execute(&mut *conn)
            .await?;
        want(conn, "authorize", &paid.order.to_string(), paid.now).await?;
        note(conn, paid.order, None, paid.now, &format!("paid with {} ({})", paid.account, paid.transaction))
            .await?;
        return Ok(Applied::Sold);
    }
    let refund = RefundOrder {
        attempt: &paid.attempt,
        account: &paid.account,
        order: paid.order,
        paid: paid.amount,
        amount: paid.amount,
        currency: paid.currency,
        reason: "paid after the order had ended",
        now: paid.now,
        due: paid.now,
    };
    reserve_refund(conn, &refund).await?;
    note(conn, paid.order, None, paid.now, "paid after the order had ended: refunding all of it").await?;
    alarm(conn, Some(paid.machine), Some(paid.order), paid.now, "paid after the order had ended, refunding")
        .await?;
    Ok(Applied::Refunding)
}
