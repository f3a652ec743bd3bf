//! What pages read from the database. Nothing here writes.

pub(super) mod book;
pub(super) mod fleet;
pub(super) mod order;
pub(super) mod shop;
pub(super) mod words;

use vend_protocol::{Currency, MachineId, Money};

use super::problem::Problem;
use crate::store::StoreError;

/// A row that this version cannot read.
fn bad(table: &str) -> Problem {
    StoreError::other(format!("a row of {table} does not decode")).into()
}

/// The currency of a row.
pub(super) fn currency(number: i64) -> Result<Currency, Problem> {
    u16::try_from(number).ok().and_then(|number| Currency::new(number).ok()).ok_or_else(|| bad("machines"))
}

/// An amount of a row.
fn money(minor: i64, currency: Currency) -> Result<Money, Problem> {
    u32::try_from(minor).map(|minor| Money::new(minor, currency)).map_err(|_| bad("orders"))
}

/// The machine of a row.
fn machine_id(id: i64) -> Result<MachineId, Problem> {
    u64::try_from(id).ok().and_then(|id| MachineId::new(id).ok()).ok_or_else(|| bad("machines"))
}

/// When the day of a moment began, in UTC; both in milliseconds.
fn day_start(now_ms: i64) -> i64 {
    const DAY_MS: i64 = 24 * 3_600_000;
    now_ms - now_ms.rem_euclid(DAY_MS)
}
