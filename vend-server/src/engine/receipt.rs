//! Receipts coming in: stored for ever, acknowledged always, and each moves money once.

use sqlx::SqliteConnection;
use vend_payments::receipt::receipt_hash;
use vend_protocol::{
    ReceiptHash,
    machine_link::Acknowledgement,
    signed::{Authority, ReceiptBody, Signed},
};

use super::{
    Engine, EngineError,
    authorize::encode,
    millis, now_ms,
    refund::{refund_lines, settle_if_done},
    rows::{alarm, db_machine, machine_id, note, order_id},
};
use crate::store::StoreError;

struct Incoming {
    enrolment: Vec<u8>,
    machine: i64,
    journal: Vec<u8>,
    number: i64,
    hash: Vec<u8>,
    previous: Vec<u8>,
    signed: Vec<u8>,
    /// Sequence and order of the authorization it answers; `None` for other authorities.
    authorization: Option<(i64, i64)>,
    lines: Vec<Line>,
    now: i64,
    limits: DoubtLimits,
}

/// How many unknown outcomes a machine may have a day, and how long further ones wait for the operator.
#[derive(Clone, Copy)]
pub(super) struct DoubtLimits {
    per_day: i64,
    operator_wait_ms: i64,
}

struct Line {
    slot: i64,
    verdict: String,
    delivered: bool,
    doubtful: bool,
}

/// Why a receipt has no effect: its authorization is not in this database.
const NOT_GIVEN: &str = "it answers an authorization that was not given";
/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

impl Engine {
    pub(super) fn doubt_limits(&self) -> DoubtLimits {
        DoubtLimits {
            per_day: i64::from(self.settings().doubtful_per_day),
            operator_wait_ms: millis(self.settings().operator_wait),
        }
    }

    /// Stores a receipt whose signature and enrolment were verified, and gives the acknowledgement for it.
    pub(super) async fn book_receipt(
        &self,
        machine: vend_protocol::MachineId,
        body: &ReceiptBody,
        signed: &Signed,
    ) -> Result<Acknowledgement, EngineError> {
        let hash = receipt_hash(signed);
        let incoming = Incoming {
            enrolment: body.enrolment.0.to_vec(),
            machine: db_machine(machine),
            journal: body.journal.0.to_vec(),
            number: i64::try_from(body.number.number()).map_err(|_| EngineError::Row("receipts"))?,
            hash: hash.0.to_vec(),
            previous: body.previous.0.to_vec(),
            signed: encode(signed)?,
            authorization: match body.authority {
                Authority::Authorization { seq, order } => {
                    Some((i64::try_from(seq.number()).unwrap_or(i64::MAX), super::rows::db_order(order)))
                }
                _ => None,
            },
            lines: body
                .lines
                .iter()
                .map(|line| {
                    let verdict = line.outcome.verdict();
                    Line {
                        slot: i64::from(line.slot.number()),
                        verdict: describe(line.outcome),
                        delivered: verdict.is_delivered(),
                        doubtful: verdict.is_doubtful(),
                    }
                })
                .collect(),
            now: now_ms(),
            limits: self.doubt_limits(),
        };
        let order =
            self.db().writer().write("book receipt", async move |conn| book(conn, &incoming).await).await?;
        if let Some((machine, order)) = order {
            self.changed(machine_id(machine)?, Some(order_id(order)?));
        }
        self.wake();
        Ok(Acknowledgement { journal: body.journal, number: body.number, hash })
    }
}

fn describe(outcome: vend_protocol::Outcome) -> String {
    let verdict = outcome.verdict();
    match outcome.start {
        vend_protocol::Start::NotStarted(reason) => format!("{verdict}: {reason}"),
        vend_protocol::Start::Started if outcome.motor != vend_protocol::MotorCode::OK => {
            format!("{verdict}: motor {}", outcome.motor)
        }
        vend_protocol::Start::Started => verdict.to_string(),
    }
}

/// Stores it and, unless something about it is wrong, books it. Returns the machine and order it changed.
async fn book(conn: &mut SqliteConnection, receipt: &Incoming) -> Result<Option<(i64, i64)>, StoreError> {
    let known: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM receipts WHERE enrolment = $1 AND journal = $2 AND number = $3 AND hash = $4",
    )
    .bind(&receipt.enrolment)
    .bind(&receipt.journal)
    .bind(receipt.number)
    .bind(&receipt.hash)
    .fetch_one(&mut *conn)
    .await?;
    if known > 0 {
        return Ok(None);
    }
    let fault = match chain_fault(conn, receipt).await? {
        Some(fault) => Some(fault),
        None => authority_fault(conn, receipt).await?,
    };
    let (seq, order) = receipt.authorization.unzip();
    let order_exists: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE id = $1")
        .bind(order)
        .fetch_one(&mut *conn)
        .await?;
    let order = order.filter(|_| order_exists > 0);
    sqlx::query(
        "INSERT INTO receipts (enrolment, journal, number, hash, signed, order_id, seq, quarantined, received_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&receipt.enrolment)
    .bind(&receipt.journal)
    .bind(receipt.number)
    .bind(&receipt.hash)
    .bind(&receipt.signed)
    .bind(order)
    .bind(seq)
    .bind(fault)
    .bind(receipt.now)
    .execute(&mut *conn)
    .await?;
    if let Some(fault) = fault {
        // What was sold between a backup and its restoration is not in this database. Such receipts are expected, and stop
        // nothing.
        let quarantined = sqlx::query(
            "UPDATE enrolments SET quarantined = COALESCE(quarantined, $2)
             WHERE id = $1 AND NOT ($3 IS NOT NULL AND $3 <= restored_below AND $2 = $4)",
        )
        .bind(&receipt.enrolment)
        .bind(fault)
        .bind(seq)
        .bind(NOT_GIVEN)
        .execute(&mut *conn)
        .await?;
        let stops = if quarantined.rows_affected() == 1 { "; no more authorizations" } else { "" };
        let what = format!("receipt {} is kept without effect: {fault}{stops}", receipt.number);
        alarm(conn, Some(receipt.machine), order, receipt.now, &what).await?;
        return Ok(None);
    }
    match (receipt.authorization, order) {
        (Some((seq, _)), Some(order)) => {
            apply(conn, receipt, seq, order).await?;
            Ok(Some((receipt.machine, order)))
        }
        _ => Ok(None),
    }
}

/// A gap, a fork, or a link to another receipt than the one before it.
async fn chain_fault(
    conn: &mut SqliteConnection,
    receipt: &Incoming,
) -> Result<Option<&'static str>, StoreError> {
    let at = |number: i64| {
        sqlx::query_scalar::<_, Vec<u8>>(
            "SELECT hash FROM receipts WHERE enrolment = $1 AND journal = $2 AND number = $3 LIMIT 1",
        )
        .bind(&receipt.enrolment)
        .bind(&receipt.journal)
        .bind(number)
    };
    if at(receipt.number).fetch_optional(&mut *conn).await?.is_some() {
        return Ok(Some("another receipt of the same number exists"));
    }
    let before = if receipt.number == 1 {
        Some(ReceiptHash::START.0.to_vec())
    } else {
        at(receipt.number - 1).fetch_optional(&mut *conn).await?
    };
    Ok(match before {
        None => Some("the receipt before it is missing"),
        Some(hash) if hash != receipt.previous => Some("it does not follow the receipt before it"),
        Some(_) => None,
    })
}

/// An authority we did not give, or lines that are not the order's.
async fn authority_fault(
    conn: &mut SqliteConnection,
    receipt: &Incoming,
) -> Result<Option<&'static str>, StoreError> {
    let Some((seq, order)) = receipt.authorization else {
        return Ok(Some("an authority that is not in use here"));
    };
    let ours: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM authorizations WHERE enrolment = $1 AND seq = $2 AND order_id = $3
         AND (signed IS NOT NULL OR void IS NOT NULL)",
    )
    .bind(&receipt.enrolment)
    .bind(seq)
    .bind(order)
    .fetch_one(&mut *conn)
    .await?;
    if ours != 1 {
        return Ok(Some(NOT_GIVEN));
    }
    let moved: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM receipts WHERE enrolment = $1 AND seq = $2 AND quarantined IS NULL",
    )
    .bind(&receipt.enrolment)
    .bind(seq)
    .fetch_one(&mut *conn)
    .await?;
    if moved > 0 {
        return Ok(Some("the authorization has its final receipt already"));
    }
    let slots: Vec<i64> = sqlx::query_scalar("SELECT slot FROM lines WHERE order_id = $1 ORDER BY line")
        .bind(order)
        .fetch_all(&mut *conn)
        .await?;
    let told: Vec<i64> = receipt.lines.iter().map(|line| line.slot).collect();
    // A voided authorization is answered without lines: the machine never knew them.
    Ok(if told.is_empty() || told == slots { None } else { Some("its lines are not the order's") })
}

async fn apply(
    conn: &mut SqliteConnection,
    receipt: &Incoming,
    seq: i64,
    order: i64,
) -> Result<(), StoreError> {
    let now = receipt.now;
    let open = sqlx::query(
        "UPDATE authorizations SET state = 'received' WHERE enrolment = $1 AND seq = $2 AND state IN ('signed', 'taken')",
    )
    .bind(&receipt.enrolment)
    .bind(seq)
    .execute(&mut *conn)
    .await?
    .rows_affected()
        == 1;
    note(conn, order, None, now, &format!("receipt {} received", receipt.number)).await?;
    for (number, line) in (0i64..).zip(&receipt.lines) {
        note(conn, order, Some(number), now, &line.verdict).await?;
        sqlx::query("UPDATE lines SET verdict = $3 WHERE order_id = $1 AND line = $2")
            .bind(order)
            .bind(number)
            .bind(&line.verdict)
            .execute(&mut *conn)
            .await?;
        if line.delivered {
            deliver(conn, order, number, now).await?;
        }
    }
    if !open {
        // It was given up before: its money is on its way back, and what fell was given away.
        sqlx::query("UPDATE authorizations SET state = 'received' WHERE enrolment = $1 AND seq = $2 AND state = 'given_up'")
            .bind(&receipt.enrolment)
            .bind(seq)
            .execute(&mut *conn)
            .await?;
        return Ok(());
    }
    sqlx::query("UPDATE orders SET state = 'settling' WHERE id = $1 AND state IN ('authorized', 'taken')")
        .bind(order)
        .execute(&mut *conn)
        .await?;
    sqlx::query("DELETE FROM jobs WHERE kind IN ('resend', 'silence') AND subject = $1")
        .bind(order.to_string())
        .execute(&mut *conn)
        .await?;
    let due = if receipt.lines.iter().any(|line| line.doubtful) {
        doubt(conn, receipt.machine, order, now, receipt.limits).await?
    } else {
        now
    };
    refund_lines(conn, order, None, "not delivered", now, due).await?;
    settle_if_done(conn, order, now).await
}

/// Books a delivery: the product is out of stock; where its money went back already, it was given away.
async fn deliver(conn: &mut SqliteConnection, order: i64, line: i64, now: i64) -> Result<(), StoreError> {
    let booked = sqlx::query(
        "UPDATE lines SET state = 'delivered' WHERE order_id = $1 AND line = $2 AND state = 'open'",
    )
    .bind(order)
    .bind(line)
    .execute(&mut *conn)
    .await?
    .rows_affected()
        == 1;
    sqlx::query(
        "UPDATE slots SET stock = MAX(0, stock - 1), reserved = MAX(0, reserved - $3)
         WHERE machine = (SELECT machine FROM orders WHERE id = $1)
           AND slot = (SELECT slot FROM lines WHERE order_id = $1 AND line = $2)",
    )
    .bind(order)
    .bind(line)
    // The refund of a line has given its reservation back already.
    .bind(i64::from(booked))
    .execute(&mut *conn)
    .await?;
    if !booked {
        sqlx::query("UPDATE lines SET given_away = 1 WHERE order_id = $1 AND line = $2")
            .bind(order)
            .bind(line)
            .execute(&mut *conn)
            .await?;
        note(conn, order, Some(line), now, "given away: delivered although refunded").await?;
    }
    Ok(())
}

/// When the refund of an outcome that nobody knows may be made: now, unless the machine has had too many of them today. Then it
/// also stops selling: someone may have found out how to be paid for what they took.
pub(super) async fn doubt(
    conn: &mut SqliteConnection,
    machine: i64,
    order: i64,
    now: i64,
    limits: DoubtLimits,
) -> Result<i64, StoreError> {
    let today: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM alarms WHERE machine = $1 AND what = 'an outcome is unknown' AND at_ms > $2",
    )
    .bind(machine)
    .bind(now - DAY_MS)
    .fetch_one(&mut *conn)
    .await?;
    alarm(conn, Some(machine), Some(order), now, "an outcome is unknown").await?;
    if today < limits.per_day {
        return Ok(now);
    }
    sqlx::query("UPDATE machines SET stopped = 'too many unknown outcomes' WHERE id = $1")
        .bind(machine)
        .execute(&mut *conn)
        .await?;
    note(conn, order, None, now, "the refund waits for the operator: too many unknown outcomes").await?;
    Ok(now + limits.operator_wait_ms)
}
