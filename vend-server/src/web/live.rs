//! Server-sent events: a word that something changed. What it is, the page reads anew.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use tokio::sync::broadcast::error::RecvError;

use super::{
    WebState,
    form::{MachinePath, OrderPath, Params},
    login::Operator,
    problem::Problem,
    views,
};
use crate::engine::Changed;

/// A comment is sent after this much silence, so that nobody in between drops the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// `GET /m/{id}/events`.
pub(super) async fn machine(
    State(web): State<WebState>,
    MachinePath(machine): MachinePath,
) -> Result<Response, Problem> {
    views::shop::machine(&web, machine).await?;
    stream(&web, move |changed| changed.machine == machine)
}

/// `GET /o/{order}/events?t=`.
pub(super) async fn order(
    State(web): State<WebState>,
    OrderPath { order, .. }: OrderPath,
    Params(params): Params,
) -> Result<Response, Problem> {
    views::order::check_token(&web, order, params.one("t")).await?;
    stream(&web, move |changed| changed.order == Some(order))
}

/// `GET /operator/events`: of all machines.
pub(super) async fn operator(State(web): State<WebState>, _operator: Operator) -> Result<Response, Problem> {
    stream(&web, |_| true)
}

/// A stream of the changes that `concerns` picks. A receiver that lagged is told too: it may have missed one.
fn stream(web: &WebState, concerns: impl Fn(&Changed) -> bool + Send + 'static) -> Result<Response, Problem> {
    let permit = web.streams.clone().try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Too many pages are being kept live at once.")
    })?;
    let start = (web.engine.changes(), concerns, permit);
    let events = futures_util::stream::unfold(start, async |(mut changes, concerns, permit)| {
        loop {
            match changes.recv().await {
                Ok(changed) if !concerns(&changed) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return None,
            }
        }
        let event = Event::default().event("changed").data("1");
        Some((Ok::<_, Infallible>(event), (changes, concerns, permit)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}
