//! Alipay's side of the calls.

use std::collections::BTreeMap;
use std::format;
use std::prelude::v1::*;
use std::string::ToString;
use std::sync::Arc;

use http::{Request, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vend_protocol::{Currency, Money};

use super::book::{Event, Key, NewOrder, Order, Provider, Refund};
use super::customer::line;
use super::store::LedgerFailed;
use super::{Inner, deliver, draw, now_ms};
use crate::wallet::alipay::{form, gateway};
use crate::wallet::time;

const MINUTE_MS: i64 = 60_000;

/// `code`, `msg`, `sub_code`.
struct Refused(&'static str, &'static str, &'static str);

impl Refused {
    fn business(sub_code: &'static str) -> Self {
        Self("40004", "Business Failed", sub_code)
    }

    fn invalid(sub_code: &'static str) -> Self {
        Self("40002", "Invalid Arguments", sub_code)
    }
}

impl From<LedgerFailed> for Refused {
    fn from(_: LedgerFailed) -> Self {
        Self("20000", "Service Currently Unavailable", "isp.unknow-error")
    }
}

type Answered = Result<Value, Refused>;

pub(super) async fn answer(inner: &Arc<Inner>, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    let body = match fields(inner, request) {
        Ok(fields) => {
            let method = fields.get("method").map(String::as_str).unwrap_or_default();
            let content = fields.get("biz_content").map(String::as_bytes).unwrap_or_default();
            let notify_url = fields.get("notify_url").map(String::as_str);
            let answered = match method {
                "alipay.trade.precreate" => precreate(inner, content, notify_url).await,
                "alipay.trade.query" => query(inner, content),
                "alipay.trade.close" => close(inner, content).await,
                "alipay.trade.cancel" => cancel(inner, content).await,
                "alipay.trade.refund" => refund(inner, content).await,
                "alipay.trade.fastpay.refund.query" => refund_query(inner, content),
                _ => Err(Refused::invalid("isv.invalid-method")),
            };
            let node = match answered {
                Ok(mut node) => {
                    node["code"] = "10000".into();
                    node["msg"] = "Success".into();
                    node
                }
                Err(refused) => failure(&refused),
            };
            let node = node.to_string();
            let sign = inner.config.keys.alipay().sign(node.as_bytes()).unwrap_or_default();
            format!("{{\"{}\":{node},\"sign\":\"{sign}\"}}", gateway::node_name(method))
        }
        // Refused before it is known who asks: not signed.
        Err(refused) => json!({ "error_response": failure(&refused) }).to_string(),
    };
    let mut response = Response::new(body.into_bytes());
    let json = http::HeaderValue::from_static("application/json;charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

fn failure(Refused(code, msg, sub_code): &Refused) -> Value {
    json!({ "code": code, "msg": msg, "sub_code": sub_code, "sub_msg": sub_code })
}

/// The fields of query and body together, once their signature verified.
fn fields(inner: &Inner, request: &Request<Vec<u8>>) -> Result<BTreeMap<String, String>, Refused> {
    let query = request.uri().query().unwrap_or_default();
    let mut fields = form::parse(query.as_bytes()).ok_or(Refused::invalid("isv.invalid-parameter"))?;
    // Without it in the query the gateway would read the body as GBK.
    if fields.get("charset").map(String::as_str) != Some("utf-8") {
        return Err(Refused::invalid("isv.invalid-charset"));
    }
    let body = form::parse(request.body()).ok_or(Refused::invalid("isv.invalid-parameter"))?;
    for (name, value) in body {
        if fields.insert(name, value).is_some() {
            return Err(Refused::invalid("isv.invalid-parameter"));
        }
    }
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    for (name, sub_code) in [
        ("method", "isv.missing-method"),
        ("sign", "isv.missing-signature"),
        ("sign_type", "isv.missing-signature-type"),
        ("app_id", "isv.missing-app-id"),
        ("timestamp", "isv.missing-timestamp"),
        ("version", "isv.missing-version"),
    ] {
        if field(name).is_empty() {
            return Err(Refused("40001", "Missing Required Arguments", sub_code));
        }
    }
    if field("app_id") != inner.config.keys.names().alipay_app_id {
        return Err(Refused::invalid("isv.invalid-app-id"));
    }
    if field("sign_type") != "RSA2" {
        return Err(Refused::invalid("isv.invalid-signature-type"));
    }
    if time::parse_plain(field("timestamp")).is_none() {
        return Err(Refused::invalid("isv.invalid-timestamp"));
    }
    if !inner.config.keys.alipay_app().verifies(gateway::request_text(&fields).as_bytes(), field("sign")) {
        return Err(Refused::invalid("isv.invalid-signature"));
    }
    Ok(fields)
}

#[derive(Deserialize)]
struct Precreate {
    out_trade_no: String,
    total_amount: String,
    subject: String,
    product_code: Option<String>,
    seller_id: Option<String>,
    time_expire: Option<String>,
    qr_code_timeout_express: Option<String>,
}

async fn precreate(inner: &Arc<Inner>, content: &[u8], notify_url: Option<&str>) -> Answered {
    let wanted: Precreate = parse(content)?;
    let invalid = Refused::business("ACQ.INVALID_PARAMETER");
    let amount = Money::parse_decimal(&wanted.total_amount, Currency::CNY);
    let Some(amount) = amount.ok().filter(|amount| !amount.is_zero()) else { return Err(invalid) };
    let no_ok = (1..=64).contains(&wanted.out_trade_no.len())
        && wanted.out_trade_no.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let subject_ok =
        (1..=256).contains(&wanted.subject.chars().count()) && !wanted.subject.contains(['/', '=', '&']);
    let product = wanted.product_code.as_deref().unwrap_or("FACE_TO_FACE_PAYMENT");
    let product_ok = matches!(product, "QR_CODE_OFFLINE" | "FACE_TO_FACE_PAYMENT");
    let seller_ok =
        wanted.seller_id.as_deref().is_none_or(|seller| seller == inner.config.keys.names().alipay_seller_id);
    if !(no_ok && subject_ok && product_ok && seller_ok) {
        return Err(invalid);
    }
    let now = now_ms();
    // The code lives two hours, or as long as was asked; the trade as long as time_expire says.
    let mut expires_ms = now + 120 * MINUTE_MS;
    if let Some(text) = &wanted.qr_code_timeout_express {
        expires_ms = now + minutes(text).ok_or(Refused::business("ACQ.INVALID_PARAMETER"))? * MINUTE_MS;
    }
    if let Some(text) = &wanted.time_expire {
        expires_ms = time::parse_plain(text).ok_or(invalid)?;
        if expires_ms <= now {
            return Err(Refused::business("ACQ.INVALID_PARAMETER"));
        }
    }
    let id = draw::text(b"0123456789abcdefghijklmnopqrstuvwxyz", 20).ok_or(LedgerFailed)?;
    let code = format!("https://qr.alipay.com/{id}");
    let key: Key = (Provider::Alipay, wanted.out_trade_no);
    let _gate = inner.store.gate(&key).await;
    if inner.store.book().get(&key).is_some() {
        return Err(Refused::business("ACQ.APPLY_PC_MERCHANT_CODE_ERROR"));
    }
    let event = Event::Created(NewOrder {
        amount_minor: amount.minor(),
        description: wanted.subject,
        notify_url: String::from(notify_url.unwrap_or_default()),
        expires_ms,
        code: code.clone(),
        fingerprint: String::new(),
    });
    inner.store.commit(Vec::from([line(&key, now, event)])).await?;
    Ok(json!({ "out_trade_no": key.1, "qr_code": code }))
}

fn minutes(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let scale = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return None,
    };
    number.parse::<u16>().ok().filter(|number| *number > 0).map(|number| i64::from(number) * scale)
}

#[derive(Deserialize)]
struct Named {
    out_trade_no: String,
}

fn query(inner: &Inner, content: &[u8]) -> Answered {
    let wanted: Named = parse(content)?;
    let order = trade(inner, &wanted.out_trade_no)?;
    let wholly_refunded = order.refunded_minor() == order.new.amount_minor;
    let status = match order.paid {
        Some(_) if wholly_refunded => "TRADE_CLOSED",
        Some(_) => "TRADE_SUCCESS",
        None if order.closed_ms.is_some() || order.is_expired(now_ms()) => "TRADE_CLOSED",
        None => "WAIT_BUYER_PAY",
    };
    let mut shown = json!({
        "out_trade_no": order.key.1,
        "trade_no": trade_no(&order),
        "trade_status": status,
        "total_amount": yuan(order.new.amount_minor),
        "buyer_logon_id": "138****0000",
    });
    if let Some(paid) = &order.paid {
        shown["send_pay_date"] = time::plain(paid.at_ms).into();
        shown["receipt_amount"] = yuan(order.new.amount_minor).into();
        shown["buyer_pay_amount"] = yuan(paid.payer_minor).into();
    }
    Ok(shown)
}

async fn close(inner: &Arc<Inner>, content: &[u8]) -> Answered {
    let wanted: Named = parse(content)?;
    let key: Key = (Provider::Alipay, wanted.out_trade_no);
    let _gate = inner.store.gate(&key).await;
    let order = trade(inner, &key.1)?;
    if order.paid.is_some() || order.closed_ms.is_some() || order.is_expired(now_ms()) {
        return Err(Refused::business("ACQ.TRADE_STATUS_ERROR"));
    }
    inner.store.commit(Vec::from([line(&key, now_ms(), Event::Closed)])).await?;
    Ok(json!({ "out_trade_no": key.1, "trade_no": trade_no(&order) }))
}

/// Ends a trade whatever its state: unpaid it is closed, paid it is refunded.
async fn cancel(inner: &Arc<Inner>, content: &[u8]) -> Answered {
    let wanted: Named = parse(content)?;
    let key: Key = (Provider::Alipay, wanted.out_trade_no);
    let _gate = inner.store.gate(&key).await;
    let mut answer = json!({ "out_trade_no": key.1, "retry_flag": "N" });
    let found = inner.store.book().get(&key).cloned();
    let Some(order) = found else { return Ok(answer) };
    let now = now_ms();
    if order.paid.is_some() {
        let left = order.new.amount_minor.saturating_sub(order.refunded_minor());
        if left > 0 {
            let refund = Refund {
                id: format!("cancel_{}", key.1),
                amount_minor: left,
                number: String::new(),
                notify_url: None,
                done_ms: now,
                at_ms: now,
            };
            inner.store.commit(Vec::from([line(&key, now, Event::Refunded(refund))])).await?;
            deliver::spawn(inner, key, String::from("closed"));
        }
        answer["action"] = "refund".into();
    } else {
        // Also a code nobody scanned: it can be paid no more, though there was no trade to act on.
        if order.closed_ms.is_none() {
            inner.store.commit(Vec::from([line(&key, now, Event::Closed)])).await?;
        }
        if order.scanned {
            answer["action"] = "close".into();
        }
    }
    Ok(answer)
}

#[derive(Deserialize)]
struct WantedRefund {
    out_trade_no: String,
    refund_amount: String,
    out_request_no: Option<String>,
}

async fn refund(inner: &Arc<Inner>, content: &[u8]) -> Answered {
    let wanted: WantedRefund = parse(content)?;
    let key: Key = (Provider::Alipay, wanted.out_trade_no);
    let amount = Money::parse_decimal(&wanted.refund_amount, Currency::CNY)
        .ok()
        .filter(|amount| !amount.is_zero())
        .ok_or(Refused::business("ACQ.INVALID_PARAMETER"))?
        .minor();
    let _gate = inner.store.gate(&key).await;
    let order = trade(inner, &key.1)?;
    if order.paid.is_none() {
        return Err(Refused::business("ACQ.TRADE_STATUS_ERROR"));
    }
    // A refund without a number is the one whole refund.
    let id = wanted.out_request_no.unwrap_or_else(|| key.1.clone());
    let answer = |fund_change: &str, refunded_minor: u32| {
        json!({
            "out_trade_no": key.1,
            "trade_no": trade_no(&order),
            "buyer_logon_id": "138****0000",
            "fund_change": fund_change,
            // The sum of all refunds of the trade.
            "refund_fee": yuan(refunded_minor),
        })
    };
    if let Some(known) = order.refunds.iter().find(|refund| refund.id == id) {
        return if known.amount_minor == amount {
            // Nothing moves the second time.
            Ok(answer("N", order.refunded_minor()))
        } else {
            Err(Refused::business("ACQ.DISCORDANT_REPEAT_REQUEST"))
        };
    }
    let refunded_minor = order.refunded_minor().saturating_add(amount);
    if refunded_minor > order.new.amount_minor {
        return Err(Refused::business("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"));
    }
    let now = now_ms();
    let done_ms = now.saturating_add(i64::from(inner.config.refund_delay_ms));
    let refund =
        Refund { id, amount_minor: amount, number: String::new(), notify_url: None, done_ms, at_ms: now };
    inner.store.commit(Vec::from([line(&key, now, Event::Refunded(refund))])).await?;
    let fund_change = if done_ms <= now { "Y" } else { "N" };
    let answer = answer(fund_change, refunded_minor);
    if refunded_minor == order.new.amount_minor {
        deliver::spawn(inner, key, String::from("closed"));
    }
    Ok(answer)
}

#[derive(Deserialize)]
struct WantedQuery {
    out_trade_no: String,
    out_request_no: String,
}

fn refund_query(inner: &Inner, content: &[u8]) -> Answered {
    let wanted: WantedQuery = parse(content)?;
    let order = trade(inner, &wanted.out_trade_no)?;
    let found = order.refunds.iter().find(|refund| refund.id == wanted.out_request_no);
    // A refund that is not there is a success without content.
    let Some(refund) = found else { return Ok(json!({})) };
    let mut shown = json!({
        "out_trade_no": order.key.1,
        "out_request_no": refund.id,
        "trade_no": trade_no(&order),
        "total_amount": yuan(order.new.amount_minor),
        "refund_amount": yuan(refund.amount_minor),
        "refund_status": "REFUND_PROCESSING",
    });
    if now_ms() >= refund.done_ms {
        shown["refund_status"] = "REFUND_SUCCESS".into();
        shown["gmt_refund_pay"] = time::plain(refund.done_ms).into();
    }
    Ok(shown)
}

/// The trade of an order. There is none before the first scan.
fn trade(inner: &Inner, no: &str) -> Result<Order, Refused> {
    let found = inner.store.book().get(&(Provider::Alipay, String::from(no))).cloned();
    found.filter(|order| order.scanned).ok_or(Refused::business("ACQ.TRADE_NOT_EXIST"))
}

fn trade_no(order: &Order) -> String {
    match &order.paid {
        Some(paid) => paid.transaction.clone(),
        None => draw::name(&["trade", &order.key.1]),
    }
}

/// Fen as Alipay writes them.
pub(super) fn yuan(minor: u32) -> String {
    Money::new(minor, Currency::CNY).decimal().to_string()
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(content).map_err(|_| Refused::invalid("isv.invalid-parameter"))
}
