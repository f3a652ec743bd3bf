//! What went wrong, and its one way to the client: a page, JSON or a line of text, as it asked.

use askama::Template;
use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};

use crate::{engine::EngineError, store::StoreError};

/// An answer that is not what was asked for, in words for whoever asked.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no such {what}."))
    }

    pub(super) fn unprocessable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, text)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = status.into_response();
        // `finish` makes the body of it: only there is known what the client reads.
        response.extensions_mut().insert(self);
        response
    }
}

/// The server's own trouble: logged in full, told in a sentence.
fn own_trouble(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a page could not be served");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The server cannot do this at the moment. Nothing was lost; please try again.",
    )
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        own_trouble(&error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        own_trouble(&error)
    }
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        own_trouble(&error)
    }
}

/// The fallback of all routes.
pub(super) async fn not_found() -> Problem {
    Problem::not_found("page")
}

/// The fallback for a method that a route does not have.
pub(super) async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take that method.")
}

/// What a client wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A page.
    Html,
    /// Data.
    Json,
    /// A line of text: command-line tools and machines, which say nothing or `*/*`.
    Text,
}

impl Wanted {
    /// The first type of the header that we have. Weights are not looked at: nobody sends JSON and pages with weights.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let known = accept.split(',').find_map(|part| match part.split(';').next().map(str::trim) {
            Some("application/json") => Some(Self::Json),
            Some("text/html" | "application/xhtml+xml") => Some(Self::Html),
            Some("text/plain" | "application/octet-stream") => Some(Self::Text),
            _ => None,
        });
        known.unwrap_or(Self::Text)
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    status: StatusCode,
    text: &'a str,
}

impl Problem {
    fn render(&self, wanted: Wanted) -> Response {
        match wanted {
            Wanted::Html => match (ProblemPage { status: self.status, text: &self.text }).render() {
                Ok(page) => Html(page).into_response(),
                Err(_) => self.text.clone().into_response(),
            },
            Wanted::Json => Json(ErrorBody { error: &self.text }).into_response(),
            Wanted::Text => format!("{}\n", self.text).into_response(),
        }
    }
}

#[derive(serde::Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
}

/// Everything on a page is ours: nothing foreign is loaded, framed or posted to.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
);

/// The outermost layer: renders problems, and adds the headers that every answer has.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let wanted = Wanted::of(request.headers());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let (mut parts, _) = response.into_parts();
        let (rendered, body) = problem.render(wanted).into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.extend(rendered.headers);
        response = Response::from_parts(parts, body);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Addresses of orders contain their tokens.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
