//! The gateway's envelope: how a request is signed and how an answer is verified.

use std::collections::BTreeMap;
use std::format;
use std::prelude::v1::*;
use std::string::ToString;

use http::{Method, Request, header};
use serde::Deserialize;
use serde_json::Value;

use super::account::Account;
use super::{form, scan};
use crate::wallet::call::{CallContext, CallError, HttpRequest, HttpResponse};
use crate::wallet::crypto::VerifyingKey;
use crate::wallet::time;

/// The text a request's signature covers: sorted, without `sign` and blank values, *with* `sign_type`.
pub(crate) fn request_text(fields: &BTreeMap<String, String>) -> String {
    join(fields.iter().filter(|(name, value)| *name != "sign" && !value.trim().is_empty()))
}

/// The text a notification's signature covers: sorted, without `sign` and `sign_type`. The official pages
/// disagree on empty values, so both readings are tried.
pub(crate) fn notification_text(fields: &BTreeMap<String, String>, keep_empty: bool) -> String {
    join(
        fields.iter().filter(|(name, value)| {
            *name != "sign" && *name != "sign_type" && (keep_empty || !value.is_empty())
        }),
    )
}

fn join<'a>(fields: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<_> = fields.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The member of an answer that holds a method's result: `alipay.trade.query` -> `alipay_trade_query_response`.
pub(crate) fn node_name(method: &str) -> String {
    format!("{}_response", method.replace('.', "_"))
}

/// A refusal that Alipay gave on purpose and, where its rules say so, signed.
pub(super) struct Refusal {
    /// The gateway's code: `40004`.
    pub(super) code: String,
    /// The business reason: `ACQ.TRADE_NOT_EXIST`.
    pub(super) sub_code: String,
}

impl Refusal {
    /// As a definite error, naming the more telling code.
    pub(super) fn rejected(self) -> CallError {
        CallError::Rejected { code: if self.sub_code.is_empty() { self.code } else { self.sub_code } }
    }
}

#[derive(Deserialize)]
struct Common {
    code: String,
    #[serde(default)]
    sub_code: Option<String>,
}

impl Account {
    /// A signed call of `method`.
    pub(super) fn request(
        &self,
        context: &CallContext,
        method: &str,
        notify: bool,
        content: &Value,
    ) -> Result<HttpRequest, CallError> {
        let timestamp =
            time::plain(context.now_unix_ms).ok_or(CallError::NotSent("the time is out of range"))?;
        let mut fields: BTreeMap<String, String> = [
            ("app_id", self.app_id.as_str()),
            ("method", method),
            ("format", "JSON"),
            ("charset", "utf-8"),
            ("sign_type", "RSA2"),
            ("timestamp", &timestamp),
            ("version", "1.0"),
            ("notify_url", if notify { &self.notify_url } else { "" }),
            ("biz_content", &content.to_string()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (String::from(name), String::from(value)))
        .collect();
        let sign = self
            .app_key
            .sign(request_text(&fields).as_bytes())
            .map_err(|_| CallError::NotSent("the application's key cannot sign"))?;
        fields.insert(String::from("sign"), sign);
        // The charset must stand in the query, or the gateway reads the body as GBK.
        let content = fields.remove("biz_content").unwrap_or_default();
        let query = form::write(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let uri: http::Uri = format!("{}?{query}", self.gateway_url)
            .parse()
            .map_err(|_| CallError::NotSent("the address of the call is not valid"))?;
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded;charset=utf-8")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("vend-payments/", env!("CARGO_PKG_VERSION")))
            .body(form::write([("biz_content", content.as_str())]).into_bytes())
            .map_err(|_| CallError::NotSent("the request cannot be built"))
    }

    /// Verifies an answer and gives its result node, still as bytes, or the refusal.
    pub(super) fn open<'r>(
        &self,
        method: &str,
        response: &'r HttpResponse,
    ) -> Result<Result<&'r [u8], Refusal>, CallError> {
        // The gateway says 200 whatever happened: anything else did not come from it.
        if response.status().as_u16() != 200 {
            return Err(CallError::unknown(format!("HTTP {}", response.status().as_u16())));
        }
        let members = scan::members(response.body())
            .ok_or_else(|| CallError::unknown("the answer is not an object"))?;
        let member = |name: &str| members.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        let name = node_name(method);
        let node = member(&name)
            .or_else(|| member("error_response"))
            .ok_or_else(|| CallError::unknown("the answer has no result"))?;
        let common: Common =
            serde_json::from_slice(node).map_err(|_| CallError::unknown("the answer has no code"))?;
        match member("sign") {
            Some(sign) => {
                let sign: String = serde_json::from_slice(sign)
                    .map_err(|_| CallError::unknown("the answer's signature is not text"))?;
                if !verifies(&self.alipay_key, node, &sign) {
                    return Err(CallError::unknown(
                        "the answer is not believed: its signature does not verify",
                    ));
                }
            }
            // What the gateway refuses before it knows us is not signed. It has no effect and claims none.
            None if is_early(&common.code) => (),
            None => return Err(CallError::unknown("the answer is not believed: it is not signed")),
        }
        let sub_code = common.sub_code.unwrap_or_default();
        if !is_code(&common.code) || !(sub_code.is_empty() || is_code(&sub_code)) {
            return Err(CallError::unknown("the answer's code is not one"));
        }
        match common.code.as_str() {
            "10000" => Ok(Ok(node)),
            "20000" => Err(CallError::Unknown(format!("20000 {sub_code}"))),
            "40004" if sub_code.ends_with("SYSTEM_ERROR") => Err(CallError::Unknown(sub_code)),
            "20001" | "40001" | "40002" | "40004" | "40005" | "40006" => {
                Ok(Err(Refusal { code: common.code, sub_code }))
            }
            other => Err(CallError::Unknown(format!("code {other}"))),
        }
    }
}

/// The signature is over the node as it stands; some of Alipay's systems sign it with slashes escaped.
fn verifies(key: &VerifyingKey, node: &[u8], sign: &str) -> bool {
    if key.verifies(node, sign) {
        return true;
    }
    let text = String::from_utf8_lossy(node);
    text.contains('/') && key.verifies(text.replace('/', "\\/").as_bytes(), sign)
}

/// Wrong keys, missing or invalid parameters, too many calls, no permission.
fn is_early(code: &str) -> bool {
    matches!(code, "20001" | "40001" | "40002" | "40005" | "40006")
}

/// Early refusals are not signed, so a code is repeated in logs only when it looks like one.
fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
