//! What needs somebody's eye.

use askama::Template;
use axum::{extract::State, response::Response};

use super::super::{
    WebState, assets, form::Params, login::Operator, page::page, problem::Problem, views::fleet,
};
use crate::engine::Login;

/// Alarms on one page.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "operator/alarms.html")]
struct AlarmsPage {
    assets: &'static str,
    login: Login,
    alarms: Vec<fleet::Alarm>,
    before: Option<i64>,
    /// Where older ones start.
    older: Option<i64>,
}

/// `GET /operator/alarms?before=`.
pub(in crate::web) async fn list(
    State(web): State<WebState>,
    Operator(login): Operator,
    Params(params): Params,
) -> Result<Response, Problem> {
    let before = super::before(&params);
    let mut alarms =
        fleet::alarms(&web, before.unwrap_or(i64::MAX), i64::try_from(PAGE + 1).unwrap_or(i64::MAX)).await?;
    let more = alarms.len() > PAGE;
    alarms.truncate(PAGE);
    let older = alarms.last().filter(|_| more).map(|alarm| alarm.id);
    page(&AlarmsPage { assets: assets::VERSION.as_str(), login, alarms, before, older })
}
