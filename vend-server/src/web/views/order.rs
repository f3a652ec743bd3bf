//! An order, for its customer.

use subtle::ConstantTimeEq;
use vend_protocol::{Money, OrderId};

use super::super::{WebState, page::Moment, problem::Problem};
use super::{currency, money, shop, words};

/// What a customer sees of an order.
pub(in crate::web) struct Order {
    pub(in crate::web) id: i64,
    pub(in crate::web) machine: i64,
    pub(in crate::web) machine_name: String,
    pub(in crate::web) amount: Money,
    pub(in crate::web) state: String,
    pub(in crate::web) words: &'static str,
    /// Why it was refused.
    pub(in crate::web) note: String,
    pub(in crate::web) created: Moment,
    pub(in crate::web) lines: Vec<Line>,
    pub(in crate::web) refunds: Vec<(Money, &'static str)>,
    pub(in crate::web) offer: Option<shop::Offer>,
}

impl Order {
    /// Whether nothing will change any more.
    pub(in crate::web) fn ended(&self) -> bool {
        matches!(self.state.as_str(), "settled" | "closed" | "refused")
    }
}

/// One product of it.
pub(in crate::web) struct Line {
    pub(in crate::web) slot: i64,
    pub(in crate::web) name: String,
    pub(in crate::web) price: Money,
    pub(in crate::web) state: String,
    pub(in crate::web) verdict: Option<String>,
}

impl Line {
    pub(in crate::web) fn words(&self) -> &'static str {
        words::line(&self.state)
    }

    pub(in crate::web) fn verdict_words(&self) -> &'static str {
        words::verdict(self.verdict.as_deref().unwrap_or_default())
    }
}

/// The order's number in rows.
pub(in crate::web) fn row_id(order: OrderId) -> i64 {
    // Below 2^53 by its type.
    i64::try_from(order.number()).unwrap_or(i64::MAX)
}

/// Refuses whoever does not know the order's token, in the words for an order that does not exist.
pub(in crate::web) async fn check_token(web: &WebState, order: OrderId, token: &str) -> Result<(), Problem> {
    let known: Option<String> = sqlx::query_scalar("SELECT token FROM orders WHERE id = $1")
        .bind(row_id(order))
        .fetch_optional(web.engine.db().readers())
        .await?;
    let right = known.is_some_and(|known| bool::from(known.as_bytes().ct_eq(token.as_bytes())));
    if right { Ok(()) } else { Err(Problem::not_found("order")) }
}

/// An order with its lines and refunds, for whoever knows its token.
pub(in crate::web) async fn order(web: &WebState, order: OrderId, token: &str) -> Result<Order, Problem> {
    check_token(web, order, token).await?;
    let id = row_id(order);
    let db = web.engine.db().readers();
    let (machine, machine_name, number, amount, state, note, created_ms, expires_ms): (
        i64,
        String,
        i64,
        i64,
        String,
        String,
        i64,
        i64,
    ) = sqlx::query_as(
        "SELECT machine, name, orders.currency, amount_minor, state, note, orders.created_ms, expires_ms
         FROM orders JOIN machines ON machines.id = machine WHERE orders.id = $1",
    )
    .bind(id)
    .fetch_one(db)
    .await?;
    let currency = currency(number)?;
    let rows: Vec<(i64, String, i64, String, Option<String>)> = sqlx::query_as(
        "SELECT slot, name, price_minor, state, verdict FROM lines WHERE order_id = $1 ORDER BY line",
    )
    .bind(id)
    .fetch_all(db)
    .await?;
    let lines = rows.into_iter().map(|(slot, name, price, state, verdict)| {
        Ok(Line { slot, name, price: money(price, currency)?, state, verdict })
    });
    let lines = lines.collect::<Result<Vec<_>, Problem>>()?;
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT amount_minor, state FROM refunds WHERE order_id = $1 AND state <> 'replaced' ORDER BY created_ms, id",
    )
    .bind(id)
    .fetch_all(db)
    .await?;
    let refunds =
        rows.into_iter().map(|(amount, state)| Ok((money(amount, currency)?, words::refund(&state))));
    let refunds = refunds.collect::<Result<Vec<_>, Problem>>()?;
    let offer = if state == "offered" { shop::offer(web, id, expires_ms).await? } else { None };
    let delivered = lines.iter().filter(|line| line.state == "delivered").count();
    Ok(Order {
        id,
        machine,
        machine_name,
        amount: money(amount, currency)?,
        words: words::order(&state, delivered == lines.len(), delivered > 0),
        state,
        note,
        created: Moment(created_ms),
        lines,
        refunds,
        offer,
    })
}
