//! What a machine's screen and its customers' phones show.

use std::time::Duration;

use vend_protocol::{Currency, MachineId, Money};

use super::super::{WebState, page::wallet_name, problem::Problem, qr};
use super::{currency, money, words};
use crate::engine::now_ms;

/// An order that has ended stays on the screen for this long, in milliseconds.
const ENDED_SHOWN_MS: i64 = 8_000;
/// Of the orders of a machine, so many newest ones are looked at for ones that have just ended.
const RECENT: i64 = 20;

/// A machine, as customers see it.
pub(in crate::web) struct Machine {
    pub(in crate::web) id: MachineId,
    pub(in crate::web) name: String,
    pub(in crate::web) place: String,
    pub(in crate::web) currency: Currency,
    /// Why nothing can be bought now, in words.
    pub(in crate::web) closed: Option<&'static str>,
}

/// A lane with its product.
pub(in crate::web) struct Tile {
    pub(in crate::web) slot: i64,
    pub(in crate::web) name: String,
    pub(in crate::web) price: Money,
    pub(in crate::web) sold_out: bool,
    /// Picked in the form that was refused.
    pub(in crate::web) picked: bool,
}

/// A live order on the machine's screen.
pub(in crate::web) struct Card {
    pub(in crate::web) order: i64,
    pub(in crate::web) token: String,
    pub(in crate::web) state: String,
    pub(in crate::web) words: &'static str,
    pub(in crate::web) names: Vec<String>,
    pub(in crate::web) amount: Money,
    pub(in crate::web) offer: Option<Offer>,
}

/// The code that pays an order.
pub(in crate::web) struct Offer {
    pub(in crate::web) wallet: String,
    pub(in crate::web) code: String,
    pub(in crate::web) seconds: i64,
}

impl Offer {
    /// The code as a picture.
    pub(in crate::web) fn svg(&self) -> String {
        qr::svg(&self.code, &format!("QR code to pay with {}", self.wallet))
    }
}

/// The machine with this number.
pub(in crate::web) async fn machine(web: &WebState, id: MachineId) -> Result<Machine, Problem> {
    let row: Option<(String, String, i64, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT name, place, currency, stopped,
                (SELECT quarantined FROM enrolments WHERE machine = machines.id AND active = 1)
         FROM machines WHERE id = $1",
    )
    .bind(i64::from(id.number()))
    .fetch_optional(web.engine.db().readers())
    .await?;
    let (name, place, number, stopped, quarantined) = row.ok_or_else(|| Problem::not_found("machine"))?;
    let closed = if stopped.is_some() || quarantined.is_some() {
        Some("This machine is out of service.")
    } else if !web.engine.is_connected(id) {
        Some("This machine is not connected at the moment.")
    } else {
        None
    };
    Ok(Machine { id, name, place, currency: currency(number)?, closed })
}

/// The lanes of a machine.
pub(in crate::web) async fn tiles(
    web: &WebState,
    machine: &Machine,
    picked: &[String],
) -> Result<Vec<Tile>, Problem> {
    let rows: Vec<(i64, String, i64, i64)> = sqlx::query_as(
        "SELECT slot, name, price_minor, stock - reserved FROM slots JOIN products ON products.id = product
         WHERE machine = $1 ORDER BY slot",
    )
    .bind(i64::from(machine.id.number()))
    .fetch_all(web.engine.db().readers())
    .await?;
    let tiles = rows.into_iter().map(|(slot, name, price, free)| {
        let sold_out = free <= 0;
        let picked = !sold_out && picked.contains(&slot.to_string());
        Ok(Tile { slot, name, price: money(price, machine.currency)?, sold_out, picked })
    });
    tiles.collect()
}

/// Orders to show on the screen: live ones, and ones that ended a moment ago.
pub(in crate::web) async fn cards(web: &WebState, machine: &Machine) -> Result<Vec<Card>, Problem> {
    let settings = web.engine.settings();
    let longest = settings.unpaid_after + settings.deadline + settings.max_vend + settings.silence_grace;
    let now = now_ms();
    let since = now - millis(longest);
    let rows: Vec<(i64, String, String, i64, i64)> = sqlx::query_as(
        "SELECT id, token, state, amount_minor, expires_ms FROM orders
         WHERE machine = $1 AND state NOT IN ('settled', 'closed', 'refused') AND created_ms > $2
         UNION ALL
         SELECT id, token, state, amount_minor, expires_ms FROM
             (SELECT * FROM orders WHERE machine = $1 ORDER BY id DESC LIMIT $3)
         WHERE state IN ('settled', 'closed') AND ended_ms > $4
         ORDER BY id",
    )
    .bind(i64::from(machine.id.number()))
    .bind(since)
    .bind(RECENT)
    .bind(now - ENDED_SHOWN_MS)
    .fetch_all(web.engine.db().readers())
    .await?;
    let mut cards = Vec::with_capacity(rows.len());
    for (order, token, state, amount, expires) in rows {
        let lines: Vec<(String, String)> =
            sqlx::query_as("SELECT name, state FROM lines WHERE order_id = $1 ORDER BY line")
                .bind(order)
                .fetch_all(web.engine.db().readers())
                .await?;
        let delivered = lines.iter().filter(|line| line.1 == "delivered").count();
        let offer = if state == "offered" { offer(web, order, expires).await? } else { None };
        cards.push(Card {
            order,
            token,
            words: words::order(&state, delivered == lines.len(), delivered > 0),
            state,
            names: lines.into_iter().map(|line| line.0).collect(),
            amount: money(amount, machine.currency)?,
            offer,
        });
    }
    Ok(cards)
}

/// The code that an order waits to be paid with.
pub(in crate::web) async fn offer(
    web: &WebState,
    order: i64,
    expires_ms: i64,
) -> Result<Option<Offer>, Problem> {
    let row: Option<(String, String)> = sqlx::query_as(
        "SELECT account, code FROM attempts
         WHERE order_id = $1 AND state = 'offered' AND code IS NOT NULL ORDER BY created_ms DESC LIMIT 1",
    )
    .bind(order)
    .fetch_optional(web.engine.db().readers())
    .await?;
    Ok(row.map(|(account, code)| {
        let wallets = web.engine.wallets();
        let wallet = wallets.iter().find(|wallet| wallet.account().as_str() == account);
        let wallet = wallet.map_or(account.as_str(), |wallet| wallet_name(wallet.provider())).to_owned();
        Offer { wallet, code, seconds: (expires_ms - now_ms()).max(0) / 1_000 }
    }))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
