//! Orders and their money, as operators see them.

use sqlx::{QueryBuilder, Sqlite, SqlitePool};
use vend_protocol::{Currency, MachineId, Money};

use super::super::{
    WebState,
    page::{Moment, Total},
    problem::Problem,
};
use super::{currency, day_start, money, words};
use crate::engine::{hex, now_ms};

/// Every state of an order, for the filter.
pub(in crate::web) const STATES: [&str; 10] = [
    "preparing",
    "offered",
    "paid",
    "authorizing",
    "authorized",
    "taken",
    "settling",
    "settled",
    "closed",
    "refused",
];

/// Which orders to list.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct Filter {
    pub(in crate::web) machine: Option<MachineId>,
    pub(in crate::web) state: Option<&'static str>,
    /// The number of an order, an attempt, a refund or a wallet's transaction.
    pub(in crate::web) text: String,
    /// Only orders with a lower number.
    pub(in crate::web) before: Option<i64>,
}

/// An order in the list.
pub(in crate::web) struct Row {
    pub(in crate::web) id: i64,
    pub(in crate::web) machine: i64,
    pub(in crate::web) state: String,
    pub(in crate::web) note: String,
    pub(in crate::web) amount: Money,
    pub(in crate::web) created: Moment,
    pub(in crate::web) lines: Vec<Line>,
}

/// One product of an order.
pub(in crate::web) struct Line {
    number: i64,
    pub(in crate::web) slot: i64,
    pub(in crate::web) name: String,
    pub(in crate::web) price: Money,
    pub(in crate::web) state: String,
    pub(in crate::web) verdict: String,
    pub(in crate::web) given_away: bool,
}

/// The newest orders that pass a filter.
pub(in crate::web) async fn orders(web: &WebState, filter: &Filter, limit: i64) -> Result<Vec<Row>, Problem> {
    let db = web.engine.db().readers();
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT id, machine, state, note, amount_minor, currency, created_ms FROM orders WHERE 1 = 1",
    );
    if let Some(machine) = filter.machine {
        query.push(" AND machine = ").push_bind(i64::from(machine.number()));
    }
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state);
    }
    if let Some(before) = filter.before {
        query.push(" AND id < ").push_bind(before);
    }
    if !filter.text.is_empty() {
        query.push(" AND id IN (SELECT order_id FROM attempts WHERE id = ").push_bind(filter.text.clone());
        query.push(" OR transaction_id = ").push_bind(filter.text.clone());
        query.push(" UNION SELECT order_id FROM refunds WHERE id = ").push_bind(filter.text.clone());
        query.push(" UNION SELECT ").push_bind(filter.text.parse::<i64>().unwrap_or(0)).push(")");
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    let rows: Vec<(i64, i64, String, String, i64, i64, i64)> = query.build_query_as().fetch_all(db).await?;
    let mut orders = Vec::with_capacity(rows.len());
    for (id, machine, state, note, amount, code, created) in rows {
        let currency = currency(code)?;
        orders.push(Row {
            id,
            machine,
            state,
            note,
            amount: money(amount, currency)?,
            created: Moment(created),
            lines: lines(db, id, currency).await?,
        });
    }
    Ok(orders)
}

async fn lines(db: &SqlitePool, order: i64, currency: Currency) -> Result<Vec<Line>, Problem> {
    let rows: Vec<(i64, i64, String, i64, String, Option<String>, bool)> = sqlx::query_as(
        "SELECT line, slot, name, price_minor, state, verdict, given_away FROM lines WHERE order_id = $1 ORDER BY line",
    )
    .bind(order)
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|(number, slot, name, price, state, verdict, given_away)| {
        let price = money(price, currency)?;
        Ok(Line { number, slot, name, price, state, verdict: verdict.unwrap_or_default(), given_away })
    });
    rows.collect()
}

/// What was paid on a day, and what became of it: paid = delivered + refunded + pending.
pub(in crate::web) struct Sums {
    pub(in crate::web) paid: Total,
    pub(in crate::web) delivered: Total,
    pub(in crate::web) refunded: Total,
    pub(in crate::web) pending: Total,
}

/// The sums of today's payments, one a currency.
pub(in crate::web) async fn sums_today(
    web: &WebState,
    machine: Option<MachineId>,
) -> Result<Vec<Sums>, Problem> {
    let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT currency, SUM(paid), SUM(delivered), SUM(refunded), SUM(paid - delivered - refunded) FROM (
             SELECT attempts.currency, attempts.amount_minor AS paid,
                    COALESCE((SELECT SUM(price_minor) FROM lines
                              WHERE lines.order_id = orders.id AND lines.state = 'delivered'
                                AND orders.sold_attempt = attempts.id), 0) AS delivered,
                    COALESCE((SELECT SUM(refunds.amount_minor) FROM refunds
                              WHERE attempt = attempts.id AND refunds.order_id = orders.id
                                AND refunds.state = 'succeeded'), 0) AS refunded
             FROM attempts JOIN orders ON orders.id = attempts.order_id
             WHERE paid_ms >= $1 AND ($2 IS NULL OR machine = $2))
         GROUP BY currency ORDER BY currency",
    )
    .bind(day_start(now_ms()))
    .bind(machine.map(|machine| i64::from(machine.number())))
    .fetch_all(web.engine.db().readers())
    .await?;
    let rows = rows.into_iter().map(|(code, paid, delivered, refunded, pending)| {
        let currency = currency(code)?;
        let total = |minor| Total { minor, currency };
        Ok(Sums {
            paid: total(paid),
            delivered: total(delivered),
            refunded: total(refunded),
            pending: total(pending),
        })
    });
    rows.collect()
}

/// Everything there is about an order.
pub(in crate::web) struct Order {
    pub(in crate::web) id: i64,
    pub(in crate::web) machine: i64,
    pub(in crate::web) machine_name: String,
    pub(in crate::web) state: String,
    pub(in crate::web) note: String,
    pub(in crate::web) source: String,
    pub(in crate::web) plan: i64,
    pub(in crate::web) amount: Money,
    sold_attempt: Option<String>,
    pub(in crate::web) created: Moment,
    pub(in crate::web) ended: Option<Moment>,
    pub(in crate::web) lines: Vec<Line>,
    history: Vec<Event>,
    pub(in crate::web) attempts: Vec<Attempt>,
    pub(in crate::web) refunds: Vec<Refund>,
    pub(in crate::web) authorization: Option<Authorization>,
    pub(in crate::web) receipts: Vec<Receipt>,
}

impl Order {
    /// What happened to the order as a whole, in time order.
    pub(in crate::web) fn events(&self) -> impl Iterator<Item = &Event> {
        self.history.iter().filter(|event| event.line.is_none())
    }

    /// What happened to one of its lines, in time order.
    pub(in crate::web) fn line_events(&self, line: &Line) -> impl Iterator<Item = &Event> {
        self.history.iter().filter(move |event| event.line == Some(line.number))
    }

    /// Whether this attempt is the one that sold it.
    pub(in crate::web) fn is_sold_by(&self, attempt: &Attempt) -> bool {
        self.sold_attempt.as_deref() == Some(&attempt.id)
    }
}

/// A line of an order's history.
pub(in crate::web) struct Event {
    line: Option<i64>,
    pub(in crate::web) at: Moment,
    pub(in crate::web) what: String,
}

/// One try to pay it.
pub(in crate::web) struct Attempt {
    pub(in crate::web) id: String,
    pub(in crate::web) account: String,
    pub(in crate::web) amount: Money,
    pub(in crate::web) state: String,
    pub(in crate::web) transaction: String,
    pub(in crate::web) paid: Option<Moment>,
    pub(in crate::web) created: Moment,
}

/// Money that goes back.
pub(in crate::web) struct Refund {
    pub(in crate::web) id: String,
    pub(in crate::web) attempt: String,
    pub(in crate::web) amount: Money,
    pub(in crate::web) words: &'static str,
    pub(in crate::web) reason: String,
    pub(in crate::web) tries: i64,
    pub(in crate::web) created: Moment,
    pub(in crate::web) ended: Option<Moment>,
}

/// The permission to vend it.
pub(in crate::web) struct Authorization {
    pub(in crate::web) enrolment: String,
    pub(in crate::web) seq: i64,
    pub(in crate::web) state: String,
    pub(in crate::web) deadline: Moment,
}

/// What the machine signed about it.
pub(in crate::web) struct Receipt {
    pub(in crate::web) journal: String,
    pub(in crate::web) number: i64,
    pub(in crate::web) hash: String,
    pub(in crate::web) quarantined: Option<String>,
    pub(in crate::web) received: Moment,
}

/// The order with this number.
pub(in crate::web) async fn order(web: &WebState, id: i64) -> Result<Order, Problem> {
    type Row = (i64, String, String, String, String, i64, i64, i64, Option<String>, i64, Option<i64>);
    let db = web.engine.db().readers();
    let row: Option<Row> = sqlx::query_as(
        "SELECT machine, name, state, note, source, orders.plan, amount_minor, orders.currency, sold_attempt,
                orders.created_ms, ended_ms
         FROM orders JOIN machines ON machines.id = machine WHERE orders.id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    let (machine, machine_name, state, note, source, plan, amount, code, sold_attempt, created, ended) =
        row.ok_or_else(|| Problem::not_found("order"))?;
    let currency = currency(code)?;
    let history: Vec<(Option<i64>, i64, String)> =
        sqlx::query_as("SELECT line, at_ms, what FROM history WHERE order_id = $1 ORDER BY id")
            .bind(id)
            .fetch_all(db)
            .await?;
    let event = |(line, at, what)| Event { line, at: Moment(at), what };
    Ok(Order {
        id,
        machine,
        machine_name,
        state,
        note,
        source,
        plan,
        amount: money(amount, currency)?,
        sold_attempt,
        created: Moment(created),
        ended: ended.map(Moment),
        lines: lines(db, id, currency).await?,
        history: history.into_iter().map(event).collect(),
        attempts: attempts(db, id, currency).await?,
        refunds: refunds(db, id, currency).await?,
        authorization: authorization(db, id).await?,
        receipts: receipts(db, id).await?,
    })
}

async fn attempts(db: &SqlitePool, order: i64, currency: Currency) -> Result<Vec<Attempt>, Problem> {
    let rows: Vec<(String, String, i64, String, Option<String>, Option<i64>, i64)> = sqlx::query_as(
        "SELECT id, account, amount_minor, state, transaction_id, paid_ms, created_ms FROM attempts
         WHERE order_id = $1 ORDER BY created_ms, id",
    )
    .bind(order)
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|(id, account, amount, state, transaction, paid, created)| {
        Ok(Attempt {
            id,
            account,
            amount: money(amount, currency)?,
            state,
            transaction: transaction.unwrap_or_default(),
            paid: paid.map(Moment),
            created: Moment(created),
        })
    });
    rows.collect()
}

async fn refunds(db: &SqlitePool, order: i64, currency: Currency) -> Result<Vec<Refund>, Problem> {
    let rows: Vec<(String, String, i64, String, String, i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT id, attempt, amount_minor, state, reason, tries, created_ms, ended_ms FROM refunds
         WHERE order_id = $1 ORDER BY created_ms, id",
    )
    .bind(order)
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|(id, attempt, amount, state, reason, tries, created, ended)| {
        Ok(Refund {
            id,
            attempt,
            amount: money(amount, currency)?,
            words: words::refund(&state),
            reason,
            tries,
            created: Moment(created),
            ended: ended.map(Moment),
        })
    });
    rows.collect()
}

async fn authorization(db: &SqlitePool, order: i64) -> Result<Option<Authorization>, Problem> {
    let row: Option<(Vec<u8>, i64, String, i64)> =
        sqlx::query_as("SELECT enrolment, seq, state, deadline_ms FROM authorizations WHERE order_id = $1")
            .bind(order)
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(enrolment, seq, state, deadline)| Authorization {
        enrolment: hex(&enrolment),
        seq,
        state,
        deadline: Moment(deadline),
    }))
}

async fn receipts(db: &SqlitePool, order: i64) -> Result<Vec<Receipt>, Problem> {
    let rows: Vec<(Vec<u8>, i64, Vec<u8>, Option<String>, i64)> = sqlx::query_as(
        "SELECT journal, number, hash, quarantined, received_ms FROM receipts WHERE order_id = $1 ORDER BY received_ms",
    )
    .bind(order)
    .fetch_all(db)
    .await?;
    let receipt =
        |(journal, number, hash, quarantined, received): (Vec<u8>, i64, Vec<u8>, Option<String>, i64)| {
            Receipt {
                journal: hex(&journal),
                number,
                hash: hex(&hash),
                quarantined,
                received: Moment(received),
            }
        };
    Ok(rows.into_iter().map(receipt).collect())
}
