//! What is signed, both ways.

use std::format;
use std::prelude::v1::*;
use std::string::ToString;

use http::{HeaderMap, HeaderValue, Method, Request, header};

use super::account::Account;
use crate::wallet::call::{CallContext, CallError, HttpRequest, NotificationError};
use crate::wallet::crypto::VerifyingKey;

/// The name of the one signature scheme, in both directions.
pub(crate) const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
/// How far the other side's clock may be from ours, in seconds.
pub(crate) const MAX_SKEW_S: u64 = 300;

/// The text a merchant signs: five lines, each ended by a newline. `url` is path and query exactly as sent.
pub(crate) fn request_text(method: &str, url: &str, timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method}\n{url}\n{timestamp}\n{nonce}\n").into_bytes();
    text.extend_from_slice(body);
    text.push(b'\n');
    text
}

/// The text WeChat signs in an answer or a notification: three lines.
pub(crate) fn answer_text(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{timestamp}\n{nonce}\n").into_bytes();
    text.extend_from_slice(body);
    text.push(b'\n');
    text
}

impl Account {
    /// A signed request to `path` (with its query).
    pub(super) fn request(
        &self,
        context: &CallContext,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<HttpRequest, CallError> {
        let uri: http::Uri = format!("{}{path}", self.base_url)
            .parse()
            .map_err(|_| CallError::NotSent("the address of the call is not valid"))?;
        let url = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let timestamp = context.now_unix_ms.div_euclid(1000).to_string();
        let nonce: String = vend_protocol::Nonce(context.nonce).to_string();
        let text = request_text(method.as_str(), url, &timestamp, &nonce, &body);
        let signature = self
            .merchant_key
            .sign(&text)
            .map_err(|_| CallError::NotSent("the merchant's key cannot sign"))?;
        let authorization = format!(
            "{SCHEME} mchid=\"{}\",nonce_str=\"{nonce}\",timestamp=\"{timestamp}\",serial_no=\"{}\",signature=\"{signature}\"",
            self.mchid, self.merchant_serial,
        );
        let mut authorization = HeaderValue::try_from(authorization)
            .map_err(|_| CallError::NotSent("the merchant's number does not fit a header"))?;
        authorization.set_sensitive(true);
        Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            // Some of WeChat's paths refuse a request without one.
            .header(header::USER_AGENT, concat!("vend-payments/", env!("CARGO_PKG_VERSION")))
            .header("Wechatpay-Serial", &self.wanted_serial)
            .body(body)
            .map_err(|_| CallError::NotSent("the request cannot be built"))
    }

    /// Verifies WeChat's signature over a body exactly as received.
    pub(super) fn verify(
        &self,
        now_unix_ms: i64,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), NotificationError> {
        let scheme = single(headers, "Wechatpay-Signature-Type")?;
        if scheme.is_some_and(|scheme| scheme != SCHEME) {
            return Err(NotificationError::BadSignature);
        }
        let missing = NotificationError::Malformed("a signature header is missing");
        let timestamp = single(headers, "Wechatpay-Timestamp")?.ok_or(missing.clone())?;
        let nonce = single(headers, "Wechatpay-Nonce")?.ok_or(missing.clone())?;
        let serial = single(headers, "Wechatpay-Serial")?.ok_or(missing.clone())?;
        let signature = single(headers, "Wechatpay-Signature")?.ok_or(missing)?;
        let seconds: i64 =
            timestamp.parse().map_err(|_| NotificationError::Malformed("the timestamp is not a number"))?;
        if seconds.abs_diff(now_unix_ms.div_euclid(1000)) > MAX_SKEW_S {
            return Err(NotificationError::Stale);
        }
        let key = self.platform_keys.get(serial).ok_or_else(|| NotificationError::UnknownKey {
            serial: String::from(crate::wallet::ids::cut(serial, 64)),
        })?;
        // WeChat's probes (`WECHATPAY/SIGNTEST/...`) are wrong on purpose and fail here like any other.
        if !key.verifies(&answer_text(timestamp, nonce, body), signature) {
            return Err(NotificationError::BadSignature);
        }
        Ok(())
    }

    /// The same account with one more of WeChat's keys, or a newer one of the same serial: what a key refresh
    /// ends in. The old ones stay valid.
    ///
    /// # Errors
    /// [`KeyError`](crate::wallet::KeyError) when it is not an RSA public key.
    pub fn with_platform_key(
        mut self,
        serial: &str,
        public_key_pem: &str,
    ) -> Result<Self, crate::wallet::KeyError> {
        self.platform_keys.insert(String::from(serial), VerifyingKey::from_pem(public_key_pem)?);
        Ok(self)
    }
}

/// A header that may be there once. A second one would be signed by nobody knows whom.
fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, NotificationError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(NotificationError::Malformed("a signature header is doubled"));
    }
    first
        .map(HeaderValue::to_str)
        .transpose()
        .map_err(|_| NotificationError::Malformed("a signature header is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_request_text_is_ours() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/wechat_published.json")).unwrap();
        let text = request_text(
            "GET",
            "/v3/refund/domestic/refunds/123123123123",
            "1554208460",
            "593BEC0C930BF1AFEB40B4A08C8FB242",
            b"",
        );
        assert_eq!(text, vectors["path_sign"]["message"].as_str().unwrap().as_bytes());
    }

    #[test]
    fn an_empty_body_is_signed_as_an_empty_line() {
        assert_eq!(answer_text("1", "n", b""), b"1\nn\n\n");
    }
}
