//! Small statements that several steps share.

use sqlx::SqliteConnection;
use vend_protocol::{Currency, EnrolmentId, MachineId, Money, OrderId};

use super::EngineError;
use crate::store::StoreError;

/// Writes a line of an order's history.
pub(super) async fn note(
    conn: &mut SqliteConnection,
    order: i64,
    line: Option<i64>,
    now: i64,
    what: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO history (order_id, line, at_ms, what) VALUES ($1, $2, $3, $4)")
        .bind(order)
        .bind(line)
        .bind(now)
        .bind(what)
        .execute(conn)
        .await?;
    Ok(())
}

/// Raises an alarm for the operator.
pub(super) async fn alarm(
    conn: &mut SqliteConnection,
    machine: Option<i64>,
    order: Option<i64>,
    now: i64,
    what: &str,
) -> Result<(), StoreError> {
    tracing::warn!(machine, order, "{what}");
    sqlx::query("INSERT INTO alarms (machine, order_id, at_ms, what) VALUES ($1, $2, $3, $4)")
        .bind(machine)
        .bind(order)
        .bind(now)
        .bind(what)
        .execute(conn)
        .await?;
    Ok(())
}

/// Wants a job done; one that is wanted already keeps the earlier time.
pub(super) async fn want(
    conn: &mut SqliteConnection,
    kind: &'static str,
    subject: &str,
    due: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (kind, subject, due_ms) VALUES ($1, $2, $3)
         ON CONFLICT (kind, subject) DO UPDATE SET due_ms = MIN(due_ms, excluded.due_ms)",
    )
    .bind(kind)
    .bind(subject)
    .bind(due)
    .execute(conn)
    .await?;
    Ok(())
}

/// Has a job done now that was meant for later. One that nobody wants stays unwanted.
pub(super) async fn hasten(
    conn: &mut SqliteConnection,
    kind: &'static str,
    subject: &str,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE jobs SET due_ms = MIN(due_ms, $3) WHERE kind = $1 AND subject = $2")
        .bind(kind)
        .bind(subject)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives the stock that an unpaid order reserved back, and ends its lines.
pub(super) async fn release(conn: &mut SqliteConnection, order: i64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE slots SET reserved = MAX(0, reserved - (
            SELECT COUNT(*) FROM lines JOIN orders ON orders.id = lines.order_id
            WHERE lines.order_id = $1 AND lines.state = 'open' AND lines.slot = slots.slot))
         WHERE machine = (SELECT machine FROM orders WHERE id = $1)",
    )
    .bind(order)
    .execute(&mut *conn)
    .await?;
    sqlx::query("UPDATE lines SET state = 'released' WHERE order_id = $1 AND state = 'open'")
        .bind(order)
        .execute(conn)
        .await?;
    Ok(())
}

/// The currency in a column; `None` for what is none.
pub(super) fn currency_of(number: i64) -> Option<Currency> {
    u16::try_from(number).ok().and_then(|number| Currency::new(number).ok())
}

pub(super) fn order_id(id: i64) -> Result<OrderId, EngineError> {
    u64::try_from(id).ok().and_then(|id| OrderId::new(id).ok()).ok_or(EngineError::Row("orders"))
}

pub(super) fn machine_id(id: i64) -> Result<MachineId, EngineError> {
    u64::try_from(id).ok().and_then(|id| MachineId::new(id).ok()).ok_or(EngineError::Row("machines"))
}

pub(super) fn enrolment_id(id: &[u8]) -> Result<EnrolmentId, EngineError> {
    id.try_into().map(EnrolmentId).map_err(|_| EngineError::Row("enrolments"))
}

pub(super) fn db_order(order: OrderId) -> i64 {
    // Below 2^53 by its type.
    i64::try_from(order.number()).unwrap_or(i64::MAX)
}

pub(super) fn db_machine(machine: MachineId) -> i64 {
    i64::from(machine.number())
}

/// An amount as people write it, for history and alarms.
pub(super) fn money_text(minor: i64, currency: i64) -> String {
    match (u32::try_from(minor), currency_of(currency)) {
        (Ok(minor), Some(currency)) => Money::new(minor, currency).to_string(),
        _ => format!("{minor} minor units"),
    }
}
