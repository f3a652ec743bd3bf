//! The routes but the phone's: from axum to the wallets and back.

use std::format;
use std::prelude::v1::*;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::customer::{self, PayError};
use super::wechat::Call;
use super::{Sandbox, alipay, wechat};

/// No call is longer.
const LONGEST_BODY: usize = 64 * 1024;

async fn read(request: Request) -> Option<http::Request<Vec<u8>>> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LONGEST_BODY).await.ok()?;
    Some(http::Request::from_parts(parts, body.to_vec()))
}

/// Runs in a task of its own: a client that hangs up must not stop a change half way.
async fn wechat_call(sandbox: Sandbox, call: Call, request: Request) -> Response<Body> {
    let Some(request) = read(request).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let inner = Arc::clone(&sandbox.inner);
    match tokio::spawn(async move { wechat::answer(&inner, call, &request).await }).await {
        Ok(response) => response.map(Body::from),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) async fn native(State(sandbox): State<Sandbox>, request: Request) -> Response<Body> {
    wechat_call(sandbox, Call::Native, request).await
}

pub(super) async fn query(
    State(sandbox): State<Sandbox>,
    Path(no): Path<String>,
    request: Request,
) -> Response<Body> {
    wechat_call(sandbox, Call::Query(no), request).await
}

pub(super) async fn close(
    State(sandbox): State<Sandbox>,
    Path(no): Path<String>,
    request: Request,
) -> Response<Body> {
    wechat_call(sandbox, Call::Close(no), request).await
}

pub(super) async fn refund(State(sandbox): State<Sandbox>, request: Request) -> Response<Body> {
    wechat_call(sandbox, Call::Refund, request).await
}

pub(super) async fn refund_query(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    wechat_call(sandbox, Call::RefundQuery(id), request).await
}

pub(super) async fn gateway(State(sandbox): State<Sandbox>, request: Request) -> Response<Body> {
    let Some(request) = read(request).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let inner = Arc::clone(&sandbox.inner);
    match tokio::spawn(async move { alipay::answer(&inner, &request).await }).await {
        Ok(response) => response.map(Body::from),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Deserialize)]
pub(super) struct ApiPay {
    code: String,
    password: String,
    /// What a coupon of the wallet pays for the customer, in fen.
    #[serde(default)]
    coupon_minor: u32,
}

pub(super) async fn api_pay(State(sandbox): State<Sandbox>, Json(order): Json<ApiPay>) -> Response<Body> {
    match customer::pay(&sandbox.inner, &order.code, &order.password, order.coupon_minor).await {
        Ok(paid) => Json(paid).into_response(),
        Err(error) => {
            let body = json!({ "error": error.code(), "message": format!("{error}") });
            (pay_status(error), Json(body)).into_response()
        }
    }
}

pub(super) fn pay_status(error: PayError) -> StatusCode {
    match error {
        PayError::UnknownCode => StatusCode::NOT_FOUND,
        PayError::WrongPassword => StatusCode::FORBIDDEN,
        PayError::Expired | PayError::Closed => StatusCode::GONE,
        PayError::AlreadyPaid => StatusCode::CONFLICT,
        PayError::OutOfOrder => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) async fn ledger(State(sandbox): State<Sandbox>) -> Json<Value> {
    Json(json!({ "entries": sandbox.ledger(), "faults": sandbox.fault_counts() }))
}
