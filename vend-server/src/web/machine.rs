//! What machines, wallets and monitors call.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use vend_payments::wallet::AccountId;
use vend_protocol::{
    frame::{self, Frame, MACHINE_FRAME_MAX},
    machine_link::Claim,
};

use super::{
    WebState,
    form::{Segment, bad_body},
    problem::Problem,
};
use crate::engine::{ClaimRefused, NotifyError};

/// A body as it was sent.
async fn body(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        let status = rejection.into_response().status();
        Problem::new(status, bad_body(status))
    })
}

/// `POST /enrol`: a frame with a claim; the answer is a frame with what was granted.
pub(super) async fn enrol(State(web): State<WebState>, request: Request) -> Result<Response, Problem> {
    let body = body(request).await?;
    let claim = Frame::parse(&body).and_then(|frame| frame.decode::<Claim>());
    let Claim(signed) = claim
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("That is no claim: {error}.")))?;
    let granted = match web.engine.claim(&signed).await {
        Ok(granted) => granted,
        Err(ClaimRefused::Engine(error)) => return Err(error.into()),
        Err(refused) => {
            tracing::warn!(%refused, "a claim was refused");
            // Which check failed is not told to whoever asks.
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "The claim is refused: the code is unknown, used up or older than 24 hours, or the claim was not made with it.",
            ));
        }
    };
    let mut out = [0; MACHINE_FRAME_MAX];
    let len = frame::write(0, 0, &granted, &mut out).map_err(crate::engine::EngineError::from)?;
    let frame = out.get(..len).unwrap_or_default().to_vec();
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], frame).into_response())
}

/// `POST /notify/{account}`: a wallet says that money moved.
pub(super) async fn notify(
    State(web): State<WebState>,
    Segment(account): Segment,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let no_account = || Problem::not_found("wallet account");
    let account = AccountId::new(account).map_err(|_| no_account())?;
    let wallet = web.engine.wallets().into_iter().find(|wallet| *wallet.account() == account);
    let wallet = wallet.ok_or_else(no_account)?;
    let body = body(request).await?;
    let (status, answer) = match web.engine.notification(&account, &headers, &body).await {
        Ok(()) => (None, wallet.acknowledge(true)),
        Err(NotifyError::NoAccount) => return Err(no_account()),
        Err(NotifyError::Refused(error)) => {
            tracing::warn!(account = account.as_str(), %error, "a notification was refused");
            (Some(StatusCode::UNAUTHORIZED), wallet.acknowledge(false))
        }
        Err(error) => {
            tracing::error!(account = account.as_str(), %error, "a notification could not be stored");
            (Some(StatusCode::SERVICE_UNAVAILABLE), wallet.acknowledge(false))
        }
    };
    let mut response = answer.map(Body::from);
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    Ok(response)
}

/// `GET /health`: whether the database answers.
pub(super) async fn health(State(web): State<WebState>) -> Result<&'static str, Problem> {
    sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM machines WHERE id = 0")
        .fetch_one(web.engine.db().readers())
        .await?;
    Ok("ok\n")
}
