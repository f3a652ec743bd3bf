//! Operators' logins: the form, its limits, and the session that every operator page asks for.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use askama::Template;
use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use subtle::ConstantTimeEq;

use super::{
    WebState, assets,
    form::{Fields, Params},
    page::page,
    problem::{Problem, Wanted},
};
use crate::engine::Login;

/// The session's cookie.
const COOKIE: &str = "vend_session";
/// Where a login leads that did not come from a page.
const HOME: &str = "/operator/machines";
/// Tries at one name from one peer in [`WINDOW`].
const TRIES: u32 = 5;
/// What [`TRIES`] counts in.
const WINDOW: Duration = Duration::from_secs(60);
/// Names and peers counted at once; while there are more, logins are refused.
const COUNTED: usize = 4_096;
/// Password checks at once: each is a tenth of a second of computing.
pub(super) const CHECKS: usize = 2;
/// A login waits for its check this long.
const CHECK_WAIT: Duration = Duration::from_secs(5);
/// The longest name and password, in bytes.
const SECRET_MAX: usize = 256;

/// Counts tries to log in.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<HashMap<(String, Option<IpAddr>), (Instant, u32)>>);

impl Tries {
    /// Counts a try, and says whether it may be made.
    fn count(&self, name: &str, peer: Option<IpAddr>, now: Instant) -> bool {
        // A holder that panicked left whole entries.
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= COUNTED {
            tries.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        let key = (name.to_owned(), peer);
        if tries.len() >= COUNTED && !tries.contains_key(&key) {
            return false;
        }
        let (since, count) = tries.entry(key).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= TRIES
    }

    fn forget(&self, name: &str, peer: Option<IpAddr>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(name.to_owned(), peer));
    }
}

/// Whoever is logged in. A page that takes it redirects everybody else to the login.
pub(super) struct Operator(pub(super) Login);

impl FromRequestParts<WebState> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &WebState) -> Result<Self, Response> {
        if let Some(token) = cookie(&parts.headers) {
            let login =
                web.engine.session(token).await.map_err(|error| Problem::from(error).into_response())?;
            if let Some(login) = login {
                return Ok(Self(login));
            }
        }
        if Wanted::of(&parts.headers) == Wanted::Json {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "Log in first.").into_response());
        }
        let wanted = parts.uri.path_and_query().map_or(HOME, |wanted| wanted.as_str());
        let wanted = if parts.method == "GET" { wanted } else { HOME };
        let wanted = utf8_percent_encode(wanted, NON_ALPHANUMERIC);
        Err(Redirect::to(&format!("/login?next={wanted}")).into_response())
    }
}

/// A form from whoever is logged in, with the secret that only our own pages know.
pub(super) struct OperatorForm {
    pub(super) login: Login,
    pub(super) fields: Fields,
}

impl FromRequest<WebState> for OperatorForm {
    type Rejection = Response;

    async fn from_request(request: Request, web: &WebState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Operator(login) = Operator::from_request_parts(&mut parts, web).await?;
        let request = Request::from_parts(parts, body);
        let fields = Fields::from_request(request, web).await.map_err(IntoResponse::into_response)?;
        if bool::from(fields.one("csrf").as_bytes().ct_eq(login.csrf.as_bytes())) {
            Ok(Self { login, fields })
        } else {
            let text = "This form is not from a page of this login. Open the page again and repeat it.";
            Err(Problem::new(StatusCode::FORBIDDEN, text).into_response())
        }
    }
}

/// The session's secret, from the request's cookies.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (name, value) = cookie.split_once('=')?;
        (name.trim() == COOKIE).then(|| value.trim())
    })
}

/// An answer that sets the session's cookie, or removes it.
fn with_cookie(web: &WebState, token: Option<&str>, mut response: Response) -> Result<Response, Problem> {
    let secure = if web.settings.cookie_secure { "; Secure" } else { "" };
    let end = if token.is_none() { "; Max-Age=0" } else { "" };
    let token = token.unwrap_or_default();
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{end}");
    let cookie = HeaderValue::from_str(&cookie)
        .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The login cannot be kept."))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Only pages of operators are led to: anything else could be an address that someone made up.
fn landing(next: &str) -> &str {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with("/operator/") { next } else { HOME }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    assets: &'static str,
    next: &'a str,
    name: &'a str,
    refusal: Option<&'a str>,
}

fn form(status: StatusCode, next: &str, name: &str, refusal: Option<&str>) -> Result<Response, Problem> {
    let mut response = page(&LoginPage { assets: assets::VERSION.as_str(), next, name, refusal })?;
    *response.status_mut() = status;
    Ok(response)
}

/// `GET /login`.
pub(super) async fn show(Params(params): Params) -> Result<Response, Problem> {
    form(StatusCode::OK, landing(params.one("next")), "", None)
}

/// The address that a request came from, where the server was started so that it knows.
pub(super) struct Peer(Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())))
    }
}

/// `POST /login`.
pub(super) async fn log_in(
    State(web): State<WebState>,
    Peer(peer): Peer,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    // The form has no session whose secret it could carry; a browser says when another site has sent it.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Problem::new(StatusCode::FORBIDDEN, "Log in from this server's own page."));
    }
    let (name, next) = (fields.one("name"), landing(fields.one("next")));
    let password = fields.raw("password");
    let wrong = || form(StatusCode::UNAUTHORIZED, next, name, Some("Name or password is wrong."));
    if name.is_empty() || password.is_empty() || name.len() > SECRET_MAX || password.len() > SECRET_MAX {
        return wrong();
    }
    let busy = || {
        let refusal = Some("Too many tries to log in. Wait a minute and try again.");
        form(StatusCode::TOO_MANY_REQUESTS, next, name, refusal).map(|mut response| {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            response
        })
    };
    if !web.tries.count(name, peer, Instant::now()) {
        tracing::warn!(?peer, "too many tries to log in");
        return busy();
    }
    let Ok(Ok(_check)) = tokio::time::timeout(CHECK_WAIT, web.checks.acquire()).await else { return busy() };
    let Some(token) = web.engine.log_in(name, password).await? else { return wrong() };
    web.tries.forget(name, peer);
    with_cookie(&web, Some(&token), Redirect::to(next).into_response())
}

/// `POST /logout`.
pub(super) async fn log_out(
    State(web): State<WebState>,
    headers: HeaderMap,
    _form: OperatorForm,
) -> Result<Response, Problem> {
    if let Some(token) = cookie(&headers) {
        web.engine.log_out(token).await?;
    }
    with_cookie(&web, None, Redirect::to("/login").into_response())
}

/// `GET /`.
pub(super) async fn home() -> Redirect {
    Redirect::to(HOME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_by_name_and_peer_and_forgotten() {
        let (tries, start) = (Tries::default(), Instant::now());
        let peer = Some(IpAddr::from([127, 0, 0, 1]));
        assert!((0..TRIES).all(|_| tries.count("anna", peer, start)));
        assert!(!tries.count("anna", peer, start));
        assert!(tries.count("anna", None, start), "another peer");
        assert!(tries.count("ben", peer, start), "another name");
        assert!(tries.count("anna", peer, start + WINDOW), "a minute later");
        for number in 0..2 * COUNTED {
            tries.count(&number.to_string(), peer, start);
        }
        assert!(tries.0.lock().unwrap().len() <= COUNTED);
    }

    #[test]
    fn a_login_leads_to_our_own_pages_only() {
        assert_eq!(landing("/operator/orders?machine=1"), "/operator/orders?machine=1");
        for next in [
            "",
            "//evil.example",
            "https://evil.example/operator/",
            "/operator/\\evil",
            "/m/1",
            "/operator/\n",
        ] {
            assert_eq!(landing(next), HOME, "{next}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; vend_session=0f; c"));
        assert_eq!(cookie(&headers), Some("0f"));
    }
}
