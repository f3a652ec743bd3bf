//! From a paid order to a signed authorization, and what follows when the machine stays silent.

use vend_payments::{
    mint::{Terms, mint},
    wallet::SealedEvidence,
};
use vend_protocol::{
    AuthSeq, EnrolmentId, List, PlanVersion, ProductId, SlotId, codec,
    machine_link::{Authorization, Void},
    signed::{AuthorizedLine, Signed, VoidBody},
};

use super::{
    Engine, EngineError,
    jobs::Next,
    millis, now_ms,
    receipt::doubt,
    refund::refund_lines,
    rows::{alarm, enrolment_id, machine_id, note, order_id, want},
};
use crate::store::StoreError;

/// The machine was busy with another order: try again after this, in milliseconds.
const BUSY_RETRY_MS: i64 = 500;
/// An answer to an authorization is expected within this; else it is sent again, in milliseconds.
const RESEND_MS: i64 = 5_000;
/// The longest encoded envelope.
const SIGNED_MAX: usize = 512;

/// What numbering an authorization came to.
enum Numbered {
    /// It has a number.
    Yes,
    /// Another one of this machine is open.
    Busy,
    /// It will never be issued; the money goes back. At this machine.
    Refunded(i64),
    /// The order is past this step.
    Passed,
}

impl Engine {
    /// Numbers, signs, stores and sends the authorization of a paid order: each step in a commit of its own, and each found
    /// done when it is done.
    pub(super) async fn run_authorize(&self, order: &str) -> Result<Next, EngineError> {
        let Ok(id) = order.parse::<i64>() else { return Ok(Next::Done) };
        match self.number(id).await? {
            Numbered::Busy => return Ok(Next::At(now_ms() + BUSY_RETRY_MS)),
            Numbered::Refunded(machine) => {
                self.wake();
                self.changed(machine_id(machine)?, Some(order_id(id)?));
                return Ok(Next::Done);
            }
            Numbered::Passed => return Ok(Next::Done),
            Numbered::Yes => {}
        }
        let Some((machine, signed)) = self.sign(id).await? else { return Ok(Next::Done) };
        self.send(machine, &Authorization(signed));
        self.changed(machine, Some(order_id(id)?));
        Ok(Next::Done)
    }

    async fn number(&self, order: i64) -> Result<Numbered, EngineError> {
        let now = now_ms();
        let (deadline, silence) = (
            millis(self.settings().deadline),
            millis(self.settings().max_vend) + millis(self.settings().silence_grace),
        );
        let write = self.db().writer().write("number authorization", async move |conn| {
            let row: Option<(String, Vec<u8>, i64, bool, Option<String>, i64)> = sqlx::query_as(
                "SELECT state, enrolment, orders.machine, active, quarantined,
                        (SELECT paid_ms FROM attempts WHERE attempts.id = sold_attempt)
                 FROM orders JOIN enrolments ON enrolments.id = enrolment WHERE orders.id = $1 AND sold_attempt IS NOT NULL",
            )
            .bind(order)
            .fetch_optional(&mut *conn)
            .await?;
            let Some((state, enrolment, machine, active, quarantined, paid_ms)) = row else { return Ok(Numbered::Passed) };
            if state == "authorizing" {
                return Ok(Numbered::Yes);
            }
            if state != "paid" {
                return Ok(Numbered::Passed);
            }
            let deadline_ms = paid_ms + deadline;
            let never = if !active {
                Some("the machine's board was replaced")
            } else if quarantined.is_some() {
                Some("the machine's receipts are in question")
            } else if now >= deadline_ms {
                Some("the payment came too late to vend")
            } else {
                None
            };
            if let Some(reason) = never {
                sqlx::query("UPDATE orders SET state = 'settling' WHERE id = $1 AND state = 'paid'")
                    .bind(order)
                    .execute(&mut *conn)
                    .await?;
                refund_lines(conn, order, None, reason, now, now).await?;
                return Ok(Numbered::Refunded(machine));
            }
            let open: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM authorizations WHERE enrolment = $1 AND state IN ('numbered', 'signed', 'taken')",
            )
            .bind(&enrolment)
            .fetch_one(&mut *conn)
            .await?;
            if open > 0 {
                return Ok(Numbered::Busy);
            }
            let seq: i64 = sqlx::query_scalar(
                "UPDATE enrolments SET issued_seq = issued_seq + 1 WHERE id = $1 AND active = 1 RETURNING issued_seq",
            )
            .bind(&enrolment)
            .fetch_one(&mut *conn)
            .await?;
            sqlx::query(
                "INSERT INTO authorizations (enrolment, seq, order_id, state, deadline_ms, created_ms)
                 VALUES ($1, $2, $3, 'numbered', $4, $5)",
            )
            .bind(&enrolment)
            .bind(seq)
            .bind(order)
            .bind(deadline_ms)
            .bind(now)
            .execute(&mut *conn)
            .await?;
            sqlx::query("UPDATE orders SET state = 'authorizing' WHERE id = $1 AND state = 'paid'")
                .bind(order)
                .execute(&mut *conn)
                .await?;
            want(conn, "silence", &order.to_string(), deadline_ms + silence).await?;
            note(conn, order, None, now, &format!("authorization {seq} numbered for machine {machine}")).await?;
            Ok(Numbered::Yes)
        });
        Ok(write.await?)
    }

    /// Signs what was numbered. The same row gives the same bytes, so a server that died here signs nothing else.
    async fn sign(&self, order: i64) -> Result<Option<(vend_protocol::MachineId, Signed)>, EngineError> {
        let db = self.db().readers();
        let row: Option<(Vec<u8>, i64, i64, i64, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT a.enrolment, seq, deadline_ms, plan, machine, evidence FROM authorizations a
             JOIN orders ON orders.id = a.order_id JOIN attempts ON attempts.id = sold_attempt
             WHERE a.order_id = $1 AND a.state = 'numbered'",
        )
        .bind(order)
        .fetch_optional(db)
        .await
        .map_err(StoreError::from)?;
        let Some((enrolment, seq, deadline_ms, plan, machine, evidence)) = row else { return Ok(None) };
        let lines: Vec<(i64, i64, i64)> =
            sqlx::query_as("SELECT slot, product, price_minor FROM lines WHERE order_id = $1 ORDER BY line")
                .bind(order)
                .fetch_all(db)
                .await
                .map_err(StoreError::from)?;
        let terms = terms(order, &enrolment, seq, plan, deadline_ms, &lines)
            .ok_or(EngineError::Row("authorizations"))?;
        let evidence = SealedEvidence::from_bytes(evidence).open(&self.inner.keys.seal);
        let minted = evidence.map_err(|error| error.to_string()).and_then(|evidence| {
            mint(&self.inner.keys.online, evidence, &terms).map_err(|error| error.to_string())
        });
        let signed = match minted {
            Ok(signed) => signed,
            // Somebody changed the database: never vend on it. The money is real, and goes back.
            Err(why) => {
                self.give_up_unsigned(order, machine, &why).await?;
                return Ok(None);
            }
        };
        let bytes = encode(&signed)?;
        let now = now_ms();
        let write = self.db().writer().write("store authorization", async move |conn| {
            let stored = sqlx::query(
                "UPDATE authorizations SET state = 'signed', signed = $2 WHERE order_id = $1 AND state = 'numbered'",
            )
            .bind(order)
            .bind(&bytes)
            .execute(&mut *conn)
            .await?;
            if stored.rows_affected() == 1 {
                sqlx::query("UPDATE orders SET state = 'authorized' WHERE id = $1 AND state = 'authorizing'")
                    .bind(order)
                    .execute(&mut *conn)
                    .await?;
                want(conn, "resend", &order.to_string(), now + RESEND_MS).await?;
                note(conn, order, None, now, "authorization signed").await?;
            }
            Ok(stored.rows_affected() == 1)
        });
        let stored = write.await?;
        Ok(if stored { Some((machine_id(machine)?, signed)) } else { None })
    }

    async fn give_up_unsigned(&self, order: i64, machine: i64, why: &str) -> Result<(), EngineError> {
        let (now, why) = (now_ms(), why.to_owned());
        let write = self.db().writer().write("give up unsigned", async move |conn| {
            let done = sqlx::query(
                "UPDATE authorizations SET state = 'given_up' WHERE order_id = $1 AND state = 'numbered'",
            )
            .bind(order)
            .execute(&mut *conn)
            .await?;
            if done.rows_affected() == 1 {
                sqlx::query("UPDATE orders SET state = 'settling' WHERE id = $1")
                    .bind(order)
                    .execute(&mut *conn)
                    .await?;
                refund_lines(conn, order, None, "no authorization could be made", now, now).await?;
                let what = format!("no authorization could be made: {why}");
                alarm(conn, Some(machine), Some(order), now, &what).await?;
            }
            Ok(())
        });
        Ok(write.await?)
    }

    /// Sends an authorization that was not answered again, while its machine is connected.
    pub(super) async fn run_resend(&self, order: &str) -> Result<Next, EngineError> {
        let Ok(id) = order.parse::<i64>() else { return Ok(Next::Done) };
        let row: Option<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT machine, signed FROM authorizations a JOIN orders ON orders.id = order_id
             WHERE order_id = $1 AND a.state = 'signed'",
        )
        .bind(id)
        .fetch_optional(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        let Some((machine, bytes)) = row else { return Ok(Next::Done) };
        let signed: Signed = codec::decode(&bytes).map_err(|_| EngineError::Row("authorizations"))?;
        self.send(machine_id(machine)?, &Authorization(signed));
        Ok(Next::At(now_ms() + RESEND_MS))
    }

    /// The machine has not told in time what became of an order: unknown. Its money goes back after a further wait, and the
    /// authorization is voided at the machine's next hello.
    pub(super) async fn run_silence(&self, order: &str) -> Result<Next, EngineError> {
        let Ok(id) = order.parse::<i64>() else { return Ok(Next::Done) };
        let now = now_ms();
        let further = millis(self.settings().unknown_refund_after);
        let row: Option<(Vec<u8>, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT a.enrolment, seq, machine, silent_ms FROM authorizations a JOIN orders ON orders.id = a.order_id
             WHERE a.order_id = $1 AND a.state IN ('numbered', 'signed', 'taken')",
        )
        .bind(id)
        .fetch_optional(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        let Some((enrolment, seq, machine, silent_ms)) = row else { return Ok(Next::Done) };
        let Some(silent_ms) = silent_ms else {
            let write = self.db().writer().write("silence", async move |conn| {
                let first = sqlx::query(
                    "UPDATE authorizations SET silent_ms = $2 WHERE order_id = $1 AND silent_ms IS NULL",
                )
                .bind(id)
                .bind(now)
                .execute(&mut *conn)
                .await?;
                if first.rows_affected() == 1 {
                    note(conn, id, None, now, "the machine is silent: the outcome is unknown").await?;
                    let what = "a machine does not say what became of a paid order";
                    alarm(conn, Some(machine), Some(id), now, what).await?;
                }
                Ok(())
            });
            write.await?;
            self.changed(machine_id(machine)?, Some(order_id(id)?));
            return Ok(Next::At(now + further));
        };
        if now < silent_ms + further {
            return Ok(Next::At(silent_ms + further));
        }
        let void = self.inner.keys.online.sign(&VoidBody {
            enrolment: enrolment_id(&enrolment)?,
            seq: auth_seq(seq)?,
            order: order_id(id)?,
        })?;
        let bytes = encode(&void)?;
        let limits = self.doubt_limits();
        let write = self.db().writer().write("give up", async move |conn| {
            let given_up: Option<i64> = sqlx::query_scalar(
                "UPDATE authorizations SET state = 'given_up', void = $2 WHERE order_id = $1 AND state IN ('numbered', 'signed', 'taken')
                 RETURNING (SELECT machine FROM orders WHERE id = $1)",
            )
            .bind(id)
            .bind(&bytes)
            .fetch_optional(&mut *conn)
            .await?;
            if given_up.is_some() {
                sqlx::query("UPDATE orders SET state = 'settling' WHERE id = $1").bind(id).execute(&mut *conn).await?;
                sqlx::query("UPDATE lines SET verdict = 'unknown' WHERE order_id = $1 AND state = 'open'")
                    .bind(id)
                    .execute(&mut *conn)
                    .await?;
                let due = doubt(conn, machine, id, now, limits).await?;
                refund_lines(conn, id, None, "the machine stayed silent", now, due).await?;
            }
            Ok(given_up)
        });
        if let Some(machine) = write.await? {
            let machine = machine_id(machine)?;
            self.send(machine, &Void(void));
            self.changed(machine, Some(order_id(id)?));
        }
        self.wake();
        Ok(Next::Done)
    }
}

pub(super) fn encode(signed: &Signed) -> Result<Vec<u8>, EngineError> {
    let mut bytes = vec![0; SIGNED_MAX];
    let len = codec::encode(signed, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

pub(super) fn auth_seq(seq: i64) -> Result<AuthSeq, EngineError> {
    u64::try_from(seq).ok().and_then(|seq| AuthSeq::new(seq).ok()).ok_or(EngineError::Row("authorizations"))
}

fn terms(
    order: i64,
    enrolment: &[u8],
    seq: i64,
    plan: i64,
    deadline_ms: i64,
    lines: &[(i64, i64, i64)],
) -> Option<Terms> {
    let lines = lines.iter().map(|(slot, product, price)| {
        Some(AuthorizedLine {
            slot: SlotId::new(u64::try_from(*slot).ok()?).ok()?,
            product: ProductId::new(u64::try_from(*product).ok()?).ok()?,
            price_minor: u32::try_from(*price).ok()?,
        })
    });
    Some(Terms {
        order: order_id(order).ok()?,
        enrolment: EnrolmentId(enrolment.try_into().ok()?),
        seq: auth_seq(seq).ok()?,
        plan: PlanVersion::new(u64::try_from(plan).ok()?).ok()?,
        deadline_ms: u64::try_from(deadline_ms).ok()?,
        lines: List::try_from_iter(lines.collect::<Option<Vec<_>>>()?).ok()?,
    })
}
