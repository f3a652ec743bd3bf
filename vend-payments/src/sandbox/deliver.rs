//! Notifications: signed, sent, and sent again on the wallets' own schedules until acknowledged.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use serde_json::json;

use super::book::{Event, Key, Notice, Order, Provider};
use super::customer::line;
use super::{Inner, draw, now_ms};
use crate::wallet::alipay::{form, gateway};
use crate::wallet::time;
use crate::wallet::wechat::sign;

/// Seconds between WeChat's deliveries: 15 resends in 24 h 4 min.
const WECHAT_S: [i64; 15] =
    [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600];
/// Seconds between Alipay's: 7 resends in about 25 h.
const ALIPAY_S: [i64; 7] = [240, 600, 600, 3600, 7200, 21_600, 54_000];
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// An acknowledgement is short: what a receiver sends beyond this is not read.
const LONGEST_ANSWER: usize = 4096;

/// When a notification is due next, in Unix milliseconds; `None` when it is acknowledged or given up.
fn next_due(provider: Provider, notice: &Notice, time_scale: u32) -> Option<i64> {
    if notice.acknowledged_ms.is_some() {
        return None;
    }
    if notice.tries == 0 {
        return Some(notice.first_due_ms);
    }
    let schedule: &[i64] = match provider {
        Provider::WeChat => &WECHAT_S,
        Provider::Alipay => &ALIPAY_S,
    };
    let pause_s = schedule.get(usize::try_from(notice.tries).ok()? - 1)?;
    Some(notice.last_try_ms.saturating_add(pause_s * 1000 / i64::from(time_scale.max(1))))
}

/// Starts what the ledger says is owed.
pub(super) fn resume(inner: &Arc<Inner>) {
    let owed: Vec<(Key, String)> = {
        let book = inner.store.book();
        let scale = inner.config.time_scale;
        let owed = |order: &Order, notice: &Notice| {
            notice.copy_owed && notice.tries > 0 || next_due(order.key.0, notice, scale).is_some()
        };
        book.orders()
            .iter()
            .flat_map(|order| order.notices.iter().map(move |notice| (order, notice)))
            .filter(|(order, notice)| owed(order, notice))
            .map(|(order, notice)| (order.key.clone(), notice.id.clone()))
            .collect()
    };
    for (key, notice) in owed {
        spawn(inner, key, notice);
    }
}

/// Delivers one notification until it is acknowledged, given up, or the sandbox stops.
pub(super) fn spawn(inner: &Arc<Inner>, key: Key, notice: String) {
    let mut stopped = inner.stop.subscribe();
    let inner = Arc::clone(inner);
    tokio::spawn(async move {
        // What was read or written when the sandbox stops is lost like in a kill: the ledger stays right.
        tokio::select! {
            () = deliver(&inner, &key, &notice) => (),
            _ = stopped.wait_for(|stop| *stop) => (),
        }
    });
}

async fn deliver(inner: &Arc<Inner>, key: &Key, id: &str) {
    loop {
        let Some(order) = inner.store.book().get(key).cloned() else { return };
        let Some(notice) = order.notice(id).cloned() else { return };
        // The second of a double follows the first at once, acknowledged or not.
        let copy = notice.copy_owed && notice.tries > 0;
        if !copy {
            let Some(due_ms) = next_due(key.0, &notice, inner.config.time_scale) else { return };
            let wait_ms = u64::try_from(due_ms.saturating_sub(now_ms())).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        let (answered, acknowledged) = match send(inner, &order, &notice).await {
            Some((status, body)) => (true, is_acknowledged(key.0, status, &body)),
            None => (false, false),
        };
        let event = Event::Delivered { notice: String::from(id), answered, acknowledged, copy };
        let (writer, delivered) = (Arc::clone(inner), Vec::from([line(key, now_ms(), event)]));
        let written = tokio::spawn(async move { writer.store.commit(delivered).await });
        if !matches!(written.await, Ok(Ok(()))) {
            return;
        }
    }
}

/// WeChat: 200 or 204. Alipay: exactly seven bytes.
fn is_acknowledged(provider: Provider, status: u16, body: &[u8]) -> bool {
    match provider {
        Provider::WeChat => matches!(status, 200 | 204),
        Provider::Alipay => status == 200 && body == b"success",
    }
}

async fn send(inner: &Arc<Inner>, order: &Order, notice: &Notice) -> Option<(u16, Vec<u8>)> {
    let request = match order.key.0 {
        Provider::WeChat => wechat(inner, order, notice)?,
        Provider::Alipay => alipay(inner, order, notice)?,
    };
    let exchange = async {
        let mut response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ANSWER {
                break;
            }
        }
        Some((status, body))
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok()?
}

fn wechat(inner: &Inner, order: &Order, notice: &Notice) -> Option<reqwest::RequestBuilder> {
    let names = inner.config.keys.names();
    let (kind, plain) = match notice.id.strip_prefix("refund:") {
        None => ("transaction", super::wechat::transaction(inner, order)),
        Some(id) => ("refund", super::wechat::refund_notice(inner, order, id)?),
    };
    let event_type = if kind == "refund" { "REFUND.SUCCESS" } else { "TRANSACTION.SUCCESS" };
    let nonce = draw::text(draw::LETTERS, 12)?;
    let ciphertext = inner.config.keys.aead().seal(&nonce, kind, plain.to_string().as_bytes())?;
    // The id is the same in every resend, time and signature are new.
    let body = json!({
        "id": draw::name(&[&order.key.1, &notice.id]),
        "create_time": time::rfc3339(notice.first_due_ms)?,
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": "支付成功",
        "resource": {
            "original_type": kind,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": ciphertext,
            "associated_data": kind,
            "nonce": nonce,
        },
    })
    .to_string();
    let timestamp = (now_ms() / 1000).to_string();
    let nonce = draw::text(draw::LETTERS, 32)?;
    let text = sign::answer_text(&timestamp, &nonce, body.as_bytes());
    let request = inner
        .client
        .post(&notice.url)
        .header("Content-Type", "application/json")
        .header("Wechatpay-Serial", &names.wechat_platform_serial)
        .header("Wechatpay-Signature-Type", sign::SCHEME)
        .header("Wechatpay-Timestamp", timestamp)
        .header("Wechatpay-Nonce", nonce)
        .header("Wechatpay-Signature", inner.config.keys.wechat().sign(&text).ok()?);
    Some(request.body(body))
}

fn alipay(inner: &Inner, order: &Order, notice: &Notice) -> Option<reqwest::RequestBuilder> {
    let names = inner.config.keys.names();
    let paid = order.paid.as_ref()?;
    // By what it reports, not by what is so by now: a resend of the payment may well follow the refund.
    let closed = notice.id == "closed";
    let refunded = super::alipay::yuan(if closed { order.refunded_minor() } else { 0 });
    let paid_at = time::plain(paid.at_ms)?;
    let mut fields: BTreeMap<String, String> = [
        ("notify_time", time::plain(now_ms())?),
        ("notify_type", String::from("trade_status_sync")),
        ("notify_id", draw::name(&[&order.key.1, &notice.id])),
        ("app_id", names.alipay_app_id.clone()),
        ("charset", String::from("utf-8")),
        ("version", String::from("1.0")),
        ("sign_type", String::from("RSA2")),
        ("trade_no", paid.transaction.clone()),
        ("out_trade_no", order.key.1.clone()),
        ("seller_id", names.alipay_seller_id.clone()),
        ("trade_status", String::from(if closed { "TRADE_CLOSED" } else { "TRADE_SUCCESS" })),
        ("total_amount", super::alipay::yuan(order.new.amount_minor)),
        ("receipt_amount", super::alipay::yuan(order.new.amount_minor)),
        ("buyer_pay_amount", super::alipay::yuan(paid.payer_minor)),
        ("subject", order.new.description.clone()),
        // Empty and sent: the signature covers it, which some verifiers forget.
        ("body", String::new()),
        ("gmt_create", time::plain(order.created_ms)?),
        ("gmt_payment", paid_at),
        ("refund_fee", refunded),
    ]
    .into_iter()
    .map(|(name, value)| (String::from(name), value))
    .collect();
    let text = gateway::notification_text(&fields, true);
    fields.insert(String::from("sign"), inner.config.keys.alipay().sign(text.as_bytes()).ok()?);
    let request = inner
        .client
        .post(&notice.url)
        .header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    Some(request.body(form::write(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(tries: u32) -> Notice {
        Notice {
            id: String::from("payment"),
            url: String::new(),
            first_due_ms: 1000,
            tries,
            last_try_ms: 5000,
            acknowledged_ms: None,
            copy_owed: false,
            late: false,
        }
    }

    #[test]
    fn resends_follow_the_published_schedules() {
        for (provider, pauses, total_s) in
            [(Provider::WeChat, WECHAT_S.as_slice(), 86_640), (Provider::Alipay, ALIPAY_S.as_slice(), 87_840)]
        {
            assert_eq!(pauses.iter().sum::<i64>(), total_s);
            assert_eq!(next_due(provider, &notice(0), 1), Some(1000));
            for (at, pause) in (1u32..).zip(pauses) {
                assert_eq!(next_due(provider, &notice(at), 1), Some(5000 + pause * 1000));
                assert_eq!(next_due(provider, &notice(at), 100), Some(5000 + pause * 10));
            }
            let last = u32::try_from(pauses.len()).unwrap() + 1;
            assert_eq!(next_due(provider, &notice(last), 1), None, "given up");
            let acknowledged = Notice { acknowledged_ms: Some(1), ..notice(1) };
            assert_eq!(next_due(provider, &acknowledged, 1), None);
        }
    }

    #[test]
    fn only_the_right_form_acknowledges() {
        assert!(is_acknowledged(Provider::WeChat, 204, b""));
        assert!(!is_acknowledged(Provider::WeChat, 302, b""));
        assert!(is_acknowledged(Provider::Alipay, 200, b"success"));
        for body in [b"success\n".as_slice(), b"SUCCESS", b"fail", b"\"success\"", b""] {
            assert!(!is_acknowledged(Provider::Alipay, 200, body));
        }
    }
}
