//! The style sheet and the script, compiled in.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::{form::Segment, problem::Problem};
use crate::engine::hex;

struct Asset {
    name: &'static str,
    mime: &'static str,
    body: &'static str,
}

const ASSETS: [Asset; 2] = [
    Asset { name: "app.css", mime: "text/css; charset=utf-8", body: include_str!("../../assets/app.css") },
    Asset {
        name: "live.js",
        mime: "text/javascript; charset=utf-8",
        body: include_str!("../../assets/live.js"),
    },
];

/// Names what the assets contain; pages put it into their addresses, so that a new server's pages get new assets.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest =
        ASSETS.iter().fold(Sha256::new(), |digest, asset| digest.chain_update(asset.body)).finalize();
    hex(digest.get(..8).unwrap_or_default())
});

/// `GET /assets/{name}`.
pub(super) async fn asset(Segment(name): Segment, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(|| Problem::not_found("page"))?;
    let tag = format!("\"{}\"", *VERSION);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.mime)], asset.body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}
