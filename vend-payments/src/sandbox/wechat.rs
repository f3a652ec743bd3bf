//! WeChat Pay's side of the calls.

use std::format;
use std::prelude::v1::*;
use std::string::ToString;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::book::{Event, Key, NewOrder, Order, Provider, Refund};
use super::customer::line;
use super::store::LedgerFailed;
use super::{Inner, deliver, draw, now_ms};
use crate::wallet::time;
use crate::wallet::wechat::sign;

const MINUTE_MS: i64 = 60_000;
const WEEK_MS: i64 = 7 * 24 * 60 * MINUTE_MS;
/// Refunds of one order, at most.
const MOST_REFUNDS: usize = 50;

pub(super) enum Call {
    Native,
    Query(String),
    Close(String),
    Refund,
    RefundQuery(String),
}

/// A refusal, which WeChat does not sign.
struct Refused(u16, &'static str, &'static str);

impl From<LedgerFailed> for Refused {
    fn from(_: LedgerFailed) -> Self {
        Self(500, "SYSTEM_ERROR", "the ledger cannot be written")
    }
}

type Answered = Result<Option<Value>, Refused>;

pub(super) async fn answer(inner: &Arc<Inner>, call: Call, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    let answered = match check(inner, request) {
        Ok(()) => match call {
            Call::Native => native(inner, request.body()).await,
            Call::Query(no) => query(inner, &no, request.uri().query()),
            Call::Close(no) => close(inner, &no, request.body()).await,
            Call::Refund => refund(inner, request.body()).await,
            Call::RefundQuery(id) => refund_query(inner, &id),
        },
        Err(refused) => Err(refused),
    };
    match answered {
        Ok(body) => signed(inner, body.as_ref()),
        Err(Refused(status, code, message)) => {
            let body = json!({ "code": code, "message": message }).to_string().into_bytes();
            let mut response = Response::new(body);
            *response.status_mut() =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response.headers_mut().insert(http::header::CONTENT_TYPE, JSON);
            response
        }
    }
}

const JSON: http::HeaderValue = http::HeaderValue::from_static("application/json; charset=utf-8");

fn signed(inner: &Inner, body: Option<&Value>) -> Response<Vec<u8>> {
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NO_CONTENT };
    let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
    let timestamp = (now_ms() / 1000).to_string();
    let nonce = draw::text(draw::LETTERS, 32).unwrap_or_default();
    let signature = inner.config.keys.wechat().sign(&sign::answer_text(&timestamp, &nonce, &body));
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, JSON)
        .header("Wechatpay-Serial", &inner.config.keys.names().wechat_platform_serial)
        .header("Wechatpay-Signature-Type", sign::SCHEME)
        .header("Wechatpay-Timestamp", timestamp)
        .header("Wechatpay-Nonce", nonce)
        .header("Wechatpay-Signature", signature.unwrap_or_default())
        .body(body)
        .unwrap_or_default()
}

/// Headers first, then the clock, then the signature: the order of the real service.
fn check(inner: &Inner, request: &Request<Vec<u8>>) -> Result<(), Refused> {
    let text = |headers: &HeaderMap, name: &str| -> Option<String> {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(String::from)
            .filter(|text| !text.is_empty())
    };
    let headers = request.headers();
    if text(headers, "user-agent").is_none() {
        return Err(Refused(400, "INVALID_REQUEST", "User-Agent is missing"));
    }
    if !text(headers, "accept").is_some_and(|accept| accept.contains("json") || accept.contains("*/*")) {
        return Err(Refused(400, "INVALID_REQUEST", "Accept must allow application/json"));
    }
    let wrong = |why| Refused(401, "SIGN_ERROR", why);
    let authorization = text(headers, "authorization").ok_or(wrong("Authorization is missing"))?;
    let fields = authorization
        .strip_prefix(sign::SCHEME)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or(wrong("another signature scheme"))?;
    let field = |name: &str| {
        fields.split(',').find_map(|pair| {
            pair.split_once('=')
                .filter(|(found, _)| *found == name)
                .and_then(|(_, value)| value.strip_prefix('"')?.strip_suffix('"'))
        })
    };
    let missing = || wrong("Authorization lacks a field");
    let (mchid, serial) = (field("mchid").ok_or_else(missing)?, field("serial_no").ok_or_else(missing)?);
    let (timestamp, nonce) =
        (field("timestamp").ok_or_else(missing)?, field("nonce_str").ok_or_else(missing)?);
    let signature = field("signature").ok_or_else(missing)?;
    let seconds: i64 = timestamp.parse().map_err(|_| wrong("the timestamp is not a number"))?;
    if seconds.abs_diff(now_ms() / 1000) > sign::MAX_SKEW_S {
        return Err(wrong("the timestamp is more than 5 minutes off"));
    }
    let names = inner.config.keys.names();
    if mchid != names.wechat_mchid || serial != names.wechat_merchant_serial {
        return Err(wrong("no such merchant or certificate"));
    }
    let url = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let signed = sign::request_text(request.method().as_str(), url, timestamp, nonce, request.body());
    if !inner.config.keys.wechat_merchant().verifies(&signed, signature) {
        return Err(wrong("the signature does not verify"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Native {
    appid: String,
    mchid: String,
    description: String,
    out_trade_no: String,
    time_expire: Option<String>,
    notify_url: String,
    amount: Total,
}

#[derive(Deserialize)]
struct Total {
    total: u32,
    #[serde(default = "cny")]
    currency: String,
}

fn cny() -> String {
    String::from("CNY")
}

async fn native(inner: &Arc<Inner>, body: &[u8]) -> Answered {
    let wanted: Native = parse(body)?;
    let names = inner.config.keys.names();
    if wanted.appid != names.wechat_appid || wanted.mchid != names.wechat_mchid {
        return Err(Refused(400, "APPID_MCHID_NOT_MATCH", "appid and mchid do not belong together"));
    }
    if !(1..=127).contains(&wanted.description.chars().count()) {
        return Err(Refused(400, "PARAM_ERROR", "description: 1 to 127 characters"));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-|*".contains(&b);
    if !(6..=32).contains(&wanted.out_trade_no.len()) || !wanted.out_trade_no.bytes().all(legal) {
        return Err(Refused(400, "PARAM_ERROR", "out_trade_no: 6 to 32 of 0-9A-Za-z_-|*"));
    }
    if wanted.amount.total == 0 || wanted.amount.currency != "CNY" {
        return Err(Refused(400, "PARAM_ERROR", "amount: at least 1 fen, in CNY"));
    }
    let notify_ok = wanted.notify_url.starts_with("http") && !wanted.notify_url.contains('?');
    if !notify_ok || wanted.notify_url.len() > 255 {
        return Err(Refused(
            400,
            "PARAM_ERROR",
            "notify_url: an address without a query, at most 255 characters",
        ));
    }
    let now = now_ms();
    let expires_ms = match &wanted.time_expire {
        Some(text) => {
            time::parse_rfc3339(text).ok_or(Refused(400, "PARAM_ERROR", "time_expire: RFC 3339"))?
        }
        None => now + WEEK_MS,
    };
    // Without the appended clamp: the same parameters again are the same order.
    let fingerprint = draw::name(&[
        &wanted.description,
        &wanted.notify_url,
        &wanted.amount.total.to_string(),
        wanted.time_expire.as_deref().unwrap_or_default(),
    ]);
    let pr = draw::text(draw::LETTERS, 9).ok_or(LedgerFailed)?;
    let code = format!("weixin://wxpay/bizpayurl?pr={pr}");
    let key: Key = (Provider::WeChat, wanted.out_trade_no);
    let _gate = inner.store.gate(&key).await;
    let found = inner.store.book().get(&key).cloned();
    let event = match found {
        Some(order) if order.closed_ms.is_some() => {
            return Err(Refused(400, "ORDER_CLOSED", "the order is closed"));
        }
        Some(order) if order.paid.is_some() || order.new.fingerprint != fingerprint => {
            return Err(Refused(403, "OUT_TRADE_NO_USED", "the number was used"));
        }
        Some(_) => Event::Recoded { code: code.clone() },
        None => Event::Created(NewOrder {
            amount_minor: wanted.amount.total,
            description: wanted.description,
            notify_url: wanted.notify_url,
            // Raised and lowered without a word, like the real service does.
            expires_ms: expires_ms.clamp(now + MINUTE_MS, now + WEEK_MS),
            code: code.clone(),
            fingerprint,
        }),
    };
    inner.store.commit(Vec::from([line(&key, now, event)])).await?;
    Ok(Some(json!({ "code_url": code })))
}

fn query(inner: &Inner, no: &str, query: Option<&str>) -> Answered {
    if query != Some(&format!("mchid={}", inner.config.keys.names().wechat_mchid)) {
        return Err(Refused(400, "PARAM_ERROR", "mchid is missing or another merchant's"));
    }
    let order = order(inner, no).ok_or(Refused(404, "ORDER_NOT_EXIST", "there is no such order"))?;
    Ok(Some(transaction(inner, &order)))
}

/// A transaction as a query's answer shows it and a notification holds it.
pub(super) fn transaction(inner: &Inner, order: &Order) -> Value {
    let names = inner.config.keys.names();
    let mut shown = json!({
        "appid": names.wechat_appid,
        "mchid": names.wechat_mchid,
        "out_trade_no": order.key.1,
        "amount": { "total": order.new.amount_minor, "currency": "CNY" },
    });
    let (state, description) = match &order.paid {
        Some(_) if order.refunds.is_empty() => ("SUCCESS", "支付成功"),
        Some(_) => ("REFUND", "转入退款"),
        None if order.closed_ms.is_some() => ("CLOSED", "已关闭"),
        None => ("NOTPAY", "订单未支付"),
    };
    shown["trade_state"] = state.into();
    shown["trade_state_desc"] = description.into();
    if let Some(paid) = &order.paid {
        shown["transaction_id"] = paid.transaction.as_str().into();
        shown["trade_type"] = "NATIVE".into();
        shown["bank_type"] = "OTHERS".into();
        shown["success_time"] = time::rfc3339(paid.at_ms).into();
        shown["payer"] = json!({ "openid": draw::name(&["openid", &order.key.1]) });
        shown["amount"]["payer_total"] = paid.payer_minor.into();
        shown["amount"]["payer_currency"] = "CNY".into();
    }
    shown
}

#[derive(Deserialize)]
struct Close {
    mchid: String,
}

async fn close(inner: &Arc<Inner>, no: &str, body: &[u8]) -> Answered {
    let wanted: Close = parse(body)?;
    if wanted.mchid != inner.config.keys.names().wechat_mchid {
        return Err(Refused(400, "PARAM_ERROR", "another merchant"));
    }
    let key: Key = (Provider::WeChat, String::from(no));
    let _gate = inner.store.gate(&key).await;
    let order = order(inner, no).ok_or(Refused(404, "ORDER_NOT_EXIST", "there is no such order"))?;
    if order.paid.is_some() {
        return Err(Refused(403, "TRADE_ERROR", "the order is paid"));
    }
    // Closing again is allowed.
    if order.closed_ms.is_none() {
        inner.store.commit(Vec::from([line(&key, now_ms(), Event::Closed)])).await?;
    }
    Ok(None)
}

#[derive(Deserialize)]
struct WantedRefund {
    out_trade_no: String,
    out_refund_no: String,
    notify_url: Option<String>,
    amount: WantedAmount,
}

#[derive(Deserialize)]
struct WantedAmount {
    refund: u32,
    total: u32,
    currency: String,
}

async fn refund(inner: &Arc<Inner>, body: &[u8]) -> Answered {
    let wanted: WantedRefund = parse(body)?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-|*@".contains(&b);
    if !(1..=64).contains(&wanted.out_refund_no.len()) || !wanted.out_refund_no.bytes().all(legal) {
        return Err(Refused(400, "PARAM_ERROR", "out_refund_no: 1 to 64 of 0-9A-Za-z_-|*@"));
    }
    if wanted.amount.refund == 0 || wanted.amount.currency != "CNY" {
        return Err(Refused(400, "PARAM_ERROR", "amount: at least 1 fen, in CNY"));
    }
    let key: Key = (Provider::WeChat, wanted.out_trade_no);
    let _gate = inner.store.gate(&key).await;
    let order = order(inner, &key.1).ok_or(Refused(404, "RESOURCE_NOT_EXISTS", "there is no such order"))?;
    if order.paid.is_none() {
        return Err(Refused(403, "TRADE_ERROR", "the order is not paid"));
    }
    if wanted.amount.total != order.new.amount_minor {
        return Err(Refused(400, "INVALID_REQUEST", "total is not what was paid"));
    }
    // The same number is the same refund, whenever it comes.
    let known =
        inner.store.book().by_refund(Provider::WeChat, &wanted.out_refund_no).map(|(owner, refund)| {
            (owner.key == key && refund.amount_minor == wanted.amount.refund, refund.clone())
        });
    match known {
        Some((true, refund)) => return Ok(Some(refund_answer(&order, &refund))),
        Some((false, _)) => {
            return Err(Refused(400, "INVALID_REQUEST", "the number was used for another refund"));
        }
        None => (),
    }
    if order.refunds.len() >= MOST_REFUNDS {
        return Err(Refused(403, "RULE_LIMIT", "too many refunds of one order"));
    }
    if order.refunded_minor().saturating_add(wanted.amount.refund) > order.new.amount_minor {
        return Err(Refused(403, "NOT_ENOUGH", "more than what is left"));
    }
    let now = now_ms();
    let refund = Refund {
        number: format!("503000{}", draw::text(draw::DIGITS, 22).ok_or(LedgerFailed)?),
        id: wanted.out_refund_no,
        amount_minor: wanted.amount.refund,
        notify_url: wanted.notify_url,
        done_ms: now.saturating_add(i64::from(inner.config.refund_delay_ms)),
        at_ms: now,
    };
    let answer = refund_answer(&order, &refund);
    let notice = refund.notify_url.as_ref().map(|_| format!("refund:{}", refund.id));
    inner.store.commit(Vec::from([line(&key, now, Event::Refunded(refund))])).await?;
    if let Some(notice) = notice {
        deliver::spawn(inner, key, notice);
    }
    Ok(Some(answer))
}

fn refund_query(inner: &Inner, id: &str) -> Answered {
    let book = inner.store.book();
    let (order, refund) = book.by_refund(Provider::WeChat, id).ok_or(Refused(
        404,
        "RESOURCE_NOT_EXISTS",
        "there is no such refund",
    ))?;
    Ok(Some(refund_answer(order, refund)))
}

fn refund_answer(order: &Order, refund: &Refund) -> Value {
    let done = now_ms() >= refund.done_ms;
    let mut shown = json!({
        "refund_id": refund.number,
        "out_refund_no": refund.id,
        "transaction_id": order.paid.as_ref().map(|paid| paid.transaction.as_str()),
        "out_trade_no": order.key.1,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": time::rfc3339(refund.at_ms),
        "status": if done { "SUCCESS" } else { "PROCESSING" },
        "amount": {
            "total": order.new.amount_minor,
            "refund": refund.amount_minor,
            "payer_total": order.paid.as_ref().map(|paid| paid.payer_minor),
            "payer_refund": refund.amount_minor,
            "currency": "CNY",
        },
    });
    if done {
        shown["success_time"] = time::rfc3339(refund.done_ms).into();
    }
    shown
}

/// A refund as a notification holds it, where `status` has another name.
pub(super) fn refund_notice(inner: &Inner, order: &Order, id: &str) -> Option<Value> {
    let refund = order.refunds.iter().find(|refund| refund.id == id)?;
    let paid = order.paid.as_ref()?;
    Some(json!({
        "mchid": inner.config.keys.names().wechat_mchid,
        "out_trade_no": order.key.1,
        "transaction_id": paid.transaction,
        "out_refund_no": refund.id,
        "refund_id": refund.number,
        "refund_status": "SUCCESS",
        "success_time": time::rfc3339(refund.done_ms),
        "user_received_account": "支付用户零钱",
        "amount": {
            "total": order.new.amount_minor,
            "refund": refund.amount_minor,
            "payer_total": paid.payer_minor,
            "payer_refund": refund.amount_minor,
        },
    }))
}

fn order(inner: &Inner, no: &str) -> Option<Order> {
    inner.store.book().get(&(Provider::WeChat, String::from(no))).cloned()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|_| Refused(400, "PARAM_ERROR", "a field is missing or of another type"))
}
