//! What clients send: paths, queries and forms, taken apart without ever failing but as a [`Problem`].

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use vend_protocol::{MachineId, OrderId};

use super::problem::Problem;

/// The one variable part of a path, as text.
async fn path(parts: &mut Parts) -> Option<String> {
    let Path(text) = Path::<String>::from_request_parts(parts, &()).await.ok()?;
    Some(text)
}

/// The variable part of a path, whatever it names.
pub(super) struct Segment(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        path(parts).await.map(Self).ok_or_else(|| Problem::not_found("page"))
    }
}

/// The machine that a path names.
pub(super) struct MachinePath(pub(super) MachineId);

impl<S: Sync> FromRequestParts<S> for MachinePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let machine = path(parts).await.and_then(|text| text.parse().ok());
        machine.map(Self).ok_or_else(|| Problem::not_found("machine"))
    }
}

/// The order that a path names, and whether it does as `1.json`.
pub(super) struct OrderPath {
    pub(super) order: OrderId,
    pub(super) json: bool,
}

impl<S: Sync> FromRequestParts<S> for OrderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = path(parts).await.unwrap_or_default();
        let (number, json) =
            text.strip_suffix(".json").map_or((text.as_str(), false), |number| (number, true));
        let order = number.parse().map_err(|_| Problem::not_found("order"))?;
        Ok(Self { order, json })
    }
}

/// Names and values, in the order sent.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a name, trimmed; empty where there is none.
    pub(super) fn one(&self, name: &str) -> &str {
        self.0.iter().find(|field| field.0 == name).map_or("", |field| field.1.trim())
    }

    /// The first value of a name exactly as sent: for passwords.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|field| field.0 == name).map_or("", |field| field.1.as_str())
    }

    /// All values of a name, trimmed.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |field| field.0 == name).map(|field| field.1.trim())
    }
}

/// The query of an address.
pub(super) struct Params(pub(super) Fields);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(fields) = query
            .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "The address's query is not readable."))?;
        Ok(Self(Fields(fields)))
    }
}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match Form::<Vec<(String, String)>>::from_request(request, &()).await {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(rejection) => {
                let status = axum::response::IntoResponse::into_response(rejection).status();
                Err(Problem::new(status, bad_body(status)))
            }
        }
    }
}

/// A body that was refused before anything read it.
pub(super) fn bad_body(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "That is too long for this address.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "This address takes application/x-www-form-urlencoded.",
        _ => "The form is not readable.",
    }
}
