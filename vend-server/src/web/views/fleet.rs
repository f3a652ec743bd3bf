//! Machines, as operators see them.

use std::collections::HashMap;

use vend_protocol::{Currency, MachineId};

use super::super::{
    WebState,
    page::{Moment, Total},
    problem::Problem,
};
use super::{currency, day_start, machine_id};
use crate::engine::{hex, now_ms};

/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

/// A machine in the list.
pub(in crate::web) struct Row {
    pub(in crate::web) id: MachineId,
    pub(in crate::web) name: String,
    pub(in crate::web) place: String,
    pub(in crate::web) connected: bool,
    pub(in crate::web) plan: i64,
    pub(in crate::web) applied: i64,
    pub(in crate::web) stopped: Option<String>,
    pub(in crate::web) paid_today: Total,
    pub(in crate::web) alarms_today: i64,
}

/// All machines, by number.
pub(in crate::web) async fn machines(web: &WebState) -> Result<Vec<Row>, Problem> {
    let db = web.engine.db().readers();
    let now = now_ms();
    let rows: Vec<(i64, String, String, i64, i64, i64, Option<String>)> = sqlx::query_as(
        "SELECT machines.id, name, place, currency, plan, plan_applied, COALESCE(stopped, quarantined)
         FROM machines LEFT JOIN enrolments ON enrolments.machine = machines.id AND active = 1 ORDER BY machines.id",
    )
    .fetch_all(db)
    .await?;
    let paid: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT machine, SUM(attempts.amount_minor) FROM attempts JOIN orders ON sold_attempt = attempts.id
         WHERE paid_ms >= $1 GROUP BY machine",
    )
    .bind(day_start(now))
    .fetch_all(db)
    .await?;
    let paid: HashMap<i64, i64> = paid.into_iter().collect();
    let alarms: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT machine, COUNT(*) FROM alarms WHERE at_ms > $1 AND machine IS NOT NULL GROUP BY machine",
    )
    .bind(now - DAY_MS)
    .fetch_all(db)
    .await?;
    let alarms: HashMap<i64, i64> = alarms.into_iter().collect();
    let rows = rows.into_iter().map(|(number, name, place, code, plan, applied, stopped)| {
        let id = machine_id(number)?;
        let minor = paid.get(&number).copied().unwrap_or(0);
        Ok(Row {
            id,
            name,
            place,
            connected: web.engine.is_connected(id),
            plan,
            applied,
            stopped,
            paid_today: Total { minor, currency: currency(code)? },
            alarms_today: alarms.get(&number).copied().unwrap_or(0),
        })
    });
    rows.collect()
}

/// One machine with its planogram.
pub(in crate::web) struct Machine {
    pub(in crate::web) id: MachineId,
    pub(in crate::web) name: String,
    pub(in crate::web) place: String,
    pub(in crate::web) currency: Currency,
    pub(in crate::web) connected: bool,
    pub(in crate::web) plan: i64,
    pub(in crate::web) applied: i64,
    pub(in crate::web) stopped: Option<String>,
    pub(in crate::web) seen: Option<Moment>,
    pub(in crate::web) enrolment: Option<Enrolment>,
    pub(in crate::web) slots: Vec<Slot>,
}

/// The board that speaks for a machine.
pub(in crate::web) struct Enrolment {
    pub(in crate::web) fingerprint: String,
    pub(in crate::web) since: Moment,
    pub(in crate::web) quarantined: Option<String>,
}

/// A lane in the planogram's form: numbers as the operator sees and writes them.
#[derive(Clone)]
pub(in crate::web) struct Slot {
    pub(in crate::web) number: i64,
    pub(in crate::web) product: i64,
    pub(in crate::web) price: String,
    pub(in crate::web) capacity: String,
    pub(in crate::web) stock: String,
    pub(in crate::web) reserved: i64,
    /// What it was when the form was made: see [`Slot::now`].
    pub(in crate::web) was: String,
}

impl Slot {
    /// The four editable values in one string. A form carries it back, so that saving changes only what the operator has
    /// changed: sales go on while the form is open.
    pub(in crate::web) fn now(&self) -> String {
        format!("{} {} {} {}", self.product, self.price, self.capacity, self.stock)
    }

    /// Takes the values that the operator has left as they were from the row as it is now.
    pub(in crate::web) fn keep_unchanged(&mut self, current: &Self) {
        let mut was = self.was.split(' ');
        let mut unchanged = |entered: &str| was.next() == Some(entered);
        if unchanged(&self.product.to_string()) {
            self.product = current.product;
        }
        if unchanged(&self.price) {
            self.price.clone_from(&current.price);
        }
        if unchanged(&self.capacity) {
            self.capacity.clone_from(&current.capacity);
        }
        if unchanged(&self.stock) {
            self.stock.clone_from(&current.stock);
        }
    }
}

/// The machine with this number.
pub(in crate::web) async fn machine(web: &WebState, id: MachineId) -> Result<Machine, Problem> {
    let db = web.engine.db().readers();
    let row_id = i64::from(id.number());
    let row: Option<(String, String, i64, i64, i64, Option<String>, Option<i64>)> = sqlx::query_as(
        "SELECT name, place, currency, plan, plan_applied, stopped, seen_ms FROM machines WHERE id = $1",
    )
    .bind(row_id)
    .fetch_optional(db)
    .await?;
    let (name, place, code, plan, applied, stopped, seen) =
        row.ok_or_else(|| Problem::not_found("machine"))?;
    let currency = currency(code)?;
    let enrolment: Option<(Vec<u8>, i64, Option<String>)> = sqlx::query_as(
        "SELECT id, created_ms, quarantined FROM enrolments WHERE machine = $1 AND active = 1",
    )
    .bind(row_id)
    .fetch_optional(db)
    .await?;
    let rows: Vec<(i64, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT slot, product, price_minor, capacity, stock, reserved FROM slots WHERE machine = $1 ORDER BY slot",
    )
    .bind(row_id)
    .fetch_all(db)
    .await?;
    let slots = rows.into_iter().map(|(number, product, price, capacity, stock, reserved)| {
        let price = super::money(price, currency)?.decimal().to_string();
        let (capacity, stock) = (capacity.to_string(), stock.to_string());
        let mut slot = Slot { number, product, price, capacity, stock, reserved, was: String::new() };
        slot.was = slot.now();
        Ok(slot)
    });
    Ok(Machine {
        id,
        name,
        place,
        currency,
        connected: web.engine.is_connected(id),
        plan,
        applied,
        stopped,
        seen: seen.map(Moment),
        enrolment: enrolment.map(|(id, since, quarantined)| Enrolment {
            fingerprint: hex(&id),
            since: Moment(since),
            quarantined,
        }),
        slots: slots.collect::<Result<_, Problem>>()?,
    })
}

/// A product and how many slots hold it.
pub(in crate::web) struct Product {
    pub(in crate::web) id: i64,
    pub(in crate::web) name: String,
    pub(in crate::web) slots: i64,
}

/// Products whose name contains a text, by name.
pub(in crate::web) async fn products(
    web: &WebState,
    containing: &str,
    limit: i64,
) -> Result<Vec<Product>, Problem> {
    let rows: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT id, name, (SELECT COUNT(*) FROM slots WHERE product = products.id) FROM products
         WHERE $1 = '' OR INSTR(LOWER(name), LOWER($1)) > 0 ORDER BY name, id LIMIT $2",
    )
    .bind(containing)
    .bind(limit)
    .fetch_all(web.engine.db().readers())
    .await?;
    Ok(rows.into_iter().map(|(id, name, slots)| Product { id, name, slots }).collect())
}

/// An alarm.
pub(in crate::web) struct Alarm {
    pub(in crate::web) id: i64,
    pub(in crate::web) machine: Option<i64>,
    pub(in crate::web) order: Option<i64>,
    pub(in crate::web) at: Moment,
    pub(in crate::web) what: String,
}

/// Alarms older than the one with the number `before`, newest first.
pub(in crate::web) async fn alarms(web: &WebState, before: i64, limit: i64) -> Result<Vec<Alarm>, Problem> {
    let rows: Vec<(i64, Option<i64>, Option<i64>, i64, String)> = sqlx::query_as(
        "SELECT id, machine, order_id, at_ms, what FROM alarms WHERE id < $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(web.engine.db().readers())
    .await?;
    let alarm = |(id, machine, order, at, what)| Alarm { id, machine, order, at: Moment(at), what };
    Ok(rows.into_iter().map(alarm).collect())
}
