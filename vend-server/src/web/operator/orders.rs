//! Orders, and everything about one.

use askama::Template;
use axum::{extract::State, response::Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::{
    WebState, assets,
    form::{OrderPath, Params},
    login::Operator,
    page::page,
    problem::Problem,
    views::{book, order::row_id},
};
use crate::engine::Login;

/// Orders on one page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "operator/orders.html")]
struct OrdersPage {
    assets: &'static str,
    login: Login,
    filter: book::Filter,
    /// The filter as part of an address.
    query: String,
    sums: Vec<book::Sums>,
    orders: Vec<book::Row>,
    /// Where older ones start.
    older: Option<i64>,
}

#[derive(Template)]
#[template(path = "operator/order.html")]
struct OrderPage {
    assets: &'static str,
    login: Login,
    order: book::Order,
}

impl OrdersPage {
    fn machine(&self) -> String {
        self.filter.machine.map(|machine| machine.to_string()).unwrap_or_default()
    }

    fn states(&self) -> impl Iterator<Item = (&'static str, bool)> {
        book::STATES.into_iter().map(|state| (state, self.filter.state == Some(state)))
    }
}

/// `GET /operator/orders?machine=&state=&q=&before=`.
pub(in crate::web) async fn list(
    State(web): State<WebState>,
    Operator(login): Operator,
    Params(params): Params,
) -> Result<Response, Problem> {
    let machine = match params.one("machine") {
        "" => None,
        text => Some(text.parse().map_err(|_| Problem::unprocessable("A machine's number is in digits."))?),
    };
    let state = book::STATES.into_iter().find(|state| *state == params.one("state"));
    let text = params.one("q").to_owned();
    let filter = book::Filter { machine, state, text, before: super::before(&params) };
    let mut orders = book::orders(&web, &filter, i64::try_from(PAGE + 1).unwrap_or(i64::MAX)).await?;
    let more = orders.len() > PAGE;
    orders.truncate(PAGE);
    let older = orders.last().filter(|_| more).map(|order| order.id);
    let query = format!(
        "machine={}&state={}&q={}",
        filter.machine.map(|machine| machine.to_string()).unwrap_or_default(),
        filter.state.unwrap_or_default(),
        utf8_percent_encode(&filter.text, NON_ALPHANUMERIC)
    );
    let sums = book::sums_today(&web, filter.machine).await?;
    page(&OrdersPage { assets: assets::VERSION.as_str(), login, filter, query, sums, orders, older })
}

/// `GET /operator/orders/{id}`.
pub(in crate::web) async fn show(
    State(web): State<WebState>,
    Operator(login): Operator,
    path: OrderPath,
) -> Result<Response, Problem> {
    let order = book::order(&web, row_id(path.order)).await?;
    page(&OrderPage { assets: assets::VERSION.as_str(), login, order })
}
