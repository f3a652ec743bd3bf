//! An order's page for its customer, who has its token instead of a login.

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};

use super::super::{
    WebState, assets,
    form::{Fields, OrderPath, Params},
    page::page,
    problem::{Problem, Wanted},
    views::order,
};

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage<'a> {
    assets: &'static str,
    order: order::Order,
    token: &'a str,
}

#[derive(serde::Serialize)]
struct OrderBody<'a> {
    order: i64,
    state: &'a str,
    lines: Vec<LineBody<'a>>,
}

#[derive(serde::Serialize)]
struct LineBody<'a> {
    slot: i64,
    name: &'a str,
    price_minor: u32,
    state: &'a str,
    verdict: Option<&'a str>,
}

/// `GET /o/{order}?t=` and `GET /o/{order}.json?t=`.
pub(in crate::web) async fn order(
    State(web): State<WebState>,
    path: OrderPath,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = params.one("t");
    let order = order::order(&web, path.order, token).await?;
    if !path.json && Wanted::of(&headers) != Wanted::Json {
        return page(&OrderPage { assets: assets::VERSION.as_str(), order, token });
    }
    let lines = order.lines.iter().map(|line| LineBody {
        slot: line.slot,
        name: &line.name,
        price_minor: line.price.minor(),
        state: &line.state,
        verdict: line.verdict.as_deref(),
    });
    Ok(Json(OrderBody { order: order.id, state: &order.state, lines: lines.collect() }).into_response())
}

/// `POST /o/{order}/cancel` with the token as `t`. The wallet is asked before it is closed, so that takes a moment.
pub(in crate::web) async fn cancel(
    State(web): State<WebState>,
    path: OrderPath,
    fields: Fields,
) -> Result<Response, Problem> {
    let token = fields.one("t");
    let order = order::order(&web, path.order, token).await?;
    web.engine.cancel_order(path.order).await?;
    let back = match fields.one("from") {
        "screen" => format!("/m/{}/screen", order.machine),
        // The token is what we made it: hexadecimal digits.
        _ => format!("/o/{}?t={token}", path.order),
    };
    Ok(Redirect::to(&back).into_response())
}
