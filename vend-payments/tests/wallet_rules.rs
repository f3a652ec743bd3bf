//! What each wallet believes and what it refuses, one test for each check. Every forgery here is as close to
//! the real thing as its author can get it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod wallet_common;

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use vend_payments::wallet::{
    CallError, CloseOutcome, ClosePayment, CloseReason, HttpResponse, Notification, NotificationError,
    PaidEvidence, QueryResult, RefundStatus, Wallet, wechat,
};
use wallet_common::*;

// ---------------------------------------------------------------- WeChat Pay

fn serial() -> String {
    wechat_builder().platform_keys[0].0.clone()
}

fn signed_headers(key: &str, serial: &str, timestamp: &str, body: &[u8]) -> HeaderMap {
    let text = [format!("{timestamp}\nNONCE\n").as_bytes(), body, b"\n"].concat();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("wechatpay-timestamp", timestamp),
        ("wechatpay-nonce", "NONCE"),
        ("wechatpay-serial", serial),
        ("wechatpay-signature", &sign(key, &text)),
        ("wechatpay-signature-type", "WECHATPAY2-SHA256-RSA2048"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

fn genuine(body: &[u8]) -> HeaderMap {
    signed_headers("wechat_platform", &serial(), &(NOW / 1000).to_string(), body)
}

fn answer(status: u16, body: &Value) -> HttpResponse {
    let body = body.to_string().into_bytes();
    let mut response = http::Response::builder().status(status).body(body).unwrap();
    if status < 300 {
        *response.headers_mut() = genuine(response.body());
    }
    response
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    answer(status, &json!({ "code": code, "message": "no" }))
}

fn transaction() -> Value {
    let builder = wechat_builder();
    json!({
        "appid": builder.appid, "mchid": builder.mchid, "out_trade_no": "A00001", "transaction_id": "4200001",
        "trade_type": "NATIVE", "trade_state": "SUCCESS", "success_time": "2026-01-02T11:04:00+08:00",
        "amount": { "total": 350, "payer_total": 300, "currency": "CNY", "payer_currency": "CNY" },
    })
}

fn envelope(event: &str, plain: &Value, key: &str) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_bytes()).unwrap());
    let mut bytes = plain.to_string().into_bytes();
    let nonce = Nonce::try_assume_unique_for_key(b"0123456789ab").unwrap();
    key.seal_in_place_append_tag(nonce, Aad::from(b"transaction"), &mut bytes).unwrap();
    let resource = json!({
        "algorithm": "AEAD_AES_256_GCM", "ciphertext": STANDARD.encode(bytes),
        "associated_data": "transaction", "nonce": "0123456789ab", "original_type": "transaction",
    });
    json!({ "id": "EV1", "event_type": event, "resource_type": "encrypt-resource", "resource": resource })
        .to_string()
        .into_bytes()
}

fn notice(plain: &Value) -> Vec<u8> {
    envelope("TRANSACTION.SUCCESS", plain, &wechat_builder().api_v3_key)
}

fn parse(
    wallet: &wechat::Account,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Notification, NotificationError> {
    wallet.parse_notification(NOW, headers, body)
}

fn set(value: &Value, path: &str, to: impl Into<Value>) -> Value {
    let mut changed = value.clone();
    *changed.pointer_mut(path).unwrap() = to.into();
    changed
}

#[test]
fn wechat_published_response_signature_verifies() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/wechat_published.json")).unwrap();
    let text = |name: &str| vectors["response"][name].as_str().unwrap();
    let mut builder = wechat_builder();
    builder.platform_keys = vec![(String::from("PUB_KEY_ID_0"), String::from(text("public_key")))];
    let wallet = builder.build().unwrap();
    let mut response = http::Response::new(text("body").as_bytes().to_vec());
    for (name, value) in [
        ("Wechatpay-Timestamp", text("timestamp")),
        ("Wechatpay-Nonce", text("nonce")),
        ("Wechatpay-Signature", text("signature")),
        ("Wechatpay-Serial", "PUB_KEY_ID_0"),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    let (id, now) = (attempt("A00001"), text("timestamp").parse::<i64>().unwrap() * 1000);
    let created = wallet.read_create(now, &payment(&id, now), &response).unwrap();
    assert_eq!(created.code_url, "weixin://wxpay/bizpayurl?pr=JyC91EIz1");
    response.body_mut().push(b' ');
    assert!(matches!(wallet.read_create(now, &payment(&id, now), &response), Err(CallError::Unknown(_))));
}

#[test]
fn wechat_request_is_what_the_protocol_asks_for() {
    let id = attempt("A00001");
    let request = wechat().create_request(&context(0xAB), &payment(&id, NOW)).unwrap();
    let builder = wechat_builder();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "http://127.0.0.1:1/v3/pay/transactions/native");
    let header = |name: &str| request.headers()[name].to_str().unwrap();
    assert_eq!(header("accept"), "application/json");
    assert_eq!(header("content-type"), "application/json");
    assert!(!header("user-agent").is_empty());
    assert_eq!(header("wechatpay-serial"), serial());
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body["time_expire"], "2026-01-02T11:07:05+08:00");
    assert_eq!(body["amount"], json!({ "total": 350, "currency": "CNY" }));
    let text = [
        b"POST\n/v3/pay/transactions/native\n1767323045\nabababababababababababababababab\n".as_slice(),
        request.body(),
        b"\n",
    ]
    .concat();
    assert_eq!(
        header("authorization"),
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{}\",nonce_str=\"abababababababababababababababab\",timestamp=\"1767323045\",serial_no=\"{}\",signature=\"{}\"",
            builder.mchid,
            builder.merchant_serial,
            sign("wechat_merchant", &text),
        )
    );
    assert!(!format!("{request:?}").contains("signature="), "not in logs");
}

#[test]
fn wechat_query_signs_path_and_query() {
    let request = wechat().query_request(&context(1), &attempt("A00001")).unwrap();
    let mchid = wechat_builder().mchid;
    assert_eq!(
        request.uri().path_and_query().unwrap().as_str(),
        format!("/v3/pay/transactions/out-trade-no/A00001?mchid={mchid}")
    );
    assert!(request.body().is_empty());
}

#[test]
fn every_retry_is_signed_anew() {
    let id = attempt("A00001");
    let authorization =
        |nonce| wechat().query_request(&context(nonce), &id).unwrap().headers()["authorization"].clone();
    assert_ne!(authorization(1), authorization(2));
}

#[test]
fn wechat_code_lives_at_least_a_minute() {
    let id = attempt("A00001");
    let mut short = payment(&id, NOW);
    short.expires_at_ms = i64::MIN;
    let request = wechat().create_request(&context(1), &short).unwrap();
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body["time_expire"], "2026-01-02T11:05:05+08:00");
    short.expires_at_ms = i64::MAX;
    assert!(matches!(wechat().create_request(&context(1), &short), Err(CallError::NotSent(_))));
}

#[test]
fn only_renminbi_above_zero_is_asked_for() {
    let id = attempt("A00001");
    for amount in [cny(0), vend_protocol::Money::new(350, vend_protocol::Currency::USD)] {
        let mut wrong = payment(&id, NOW);
        wrong.amount = amount;
        assert!(matches!(wechat().create_request(&context(1), &wrong), Err(CallError::NotSent(_))));
        assert!(matches!(alipay().create_request(&context(1), &wrong), Err(CallError::NotSent(_))));
    }
    let refund_id = refund_id("R1");
    let much = refund(&id, &refund_id, 351);
    assert!(matches!(wechat().refund_request(&context(1), &much), Err(CallError::NotSent(_))));
    assert!(matches!(alipay().refund_request(&context(1), &much), Err(CallError::NotSent(_))));
}

#[test]
fn a_success_without_signature_is_forged() {
    let (id, rid) = (attempt("A00001"), refund_id("R1"));
    let mut created = answer(200, &json!({ "code_url": "weixin://wxpay/bizpayurl?pr=evil" }));
    assert!(wechat().read_create(NOW, &payment(&id, NOW), &created).is_ok());
    created.headers_mut().clear();
    assert!(matches!(wechat().read_create(NOW, &payment(&id, NOW), &created), Err(CallError::Unknown(_))));
    let mut paid = answer(200, &transaction());
    paid.headers_mut().remove("wechatpay-signature");
    assert!(matches!(wechat().read_query(NOW, &id, &paid), Err(CallError::Unknown(_))));
    // A 204 has no body, yet it is signed as well: a forged one must not close an order in our books.
    let closed = http::Response::builder().status(204).body(Vec::new()).unwrap();
    let close = ClosePayment { attempt: &id, reason: CloseReason::Unpaid };
    assert!(matches!(wechat().read_close(NOW, &close, &closed), Err(CallError::Unknown(_))));
    let mut refunded = answer(
        200,
        &json!({ "out_trade_no": "A00001", "out_refund_no": "R1", "status": "SUCCESS", "amount": { "refund": 350 } }),
    );
    refunded.headers_mut().insert("wechatpay-signature", "AAAA".parse().unwrap());
    assert!(matches!(
        wechat().read_refund(NOW, &refund(&id, &rid, 350), &refunded),
        Err(CallError::Unknown(_))
    ));
}

#[test]
fn wechat_refusals_are_classified() {
    let (id, rid) = (attempt("A00001"), refund_id("R1"));
    let create =
        |response: &HttpResponse| wechat().read_create(NOW, &payment(&id, NOW), response).unwrap_err();
    let rejected = |code: &str| CallError::Rejected { code: String::from(code) };
    assert_eq!(create(&refusal(403, "OUT_TRADE_NO_USED")), rejected("OUT_TRADE_NO_USED"));
    assert_eq!(create(&refusal(401, "SIGN_ERROR")), rejected("SIGN_ERROR"));
    assert!(create(&refusal(429, "FREQUENCY_LIMITED")).is_rate_limit());
    for unknown in [
        refusal(500, "SYSTEM_ERROR"),
        refusal(502, "SERVICE_UNAVAILABLE"),
        refusal(400, "SYSTEM_ERROR"),
        refusal(404, "<script>"),
        answer(202, &json!({})),
        answer(302, &json!({})),
    ] {
        assert!(matches!(create(&unknown), CallError::Unknown(_)), "{unknown:?}");
    }
    let query = |response: &HttpResponse| wechat().read_query(NOW, &id, response);
    assert_eq!(query(&refusal(404, "ORDER_NOT_EXIST")), Ok(QueryResult::NotFound));
    assert_eq!(query(&refusal(404, "MCH_NOT_EXISTS")), Err(rejected("MCH_NOT_EXISTS")));
    let proxy = http::Response::builder().status(404).body(b"<html>".to_vec()).unwrap();
    assert!(matches!(query(&proxy), Err(CallError::Unknown(_))), "not WeChat's 404");
    let close = ClosePayment { attempt: &id, reason: CloseReason::Unpaid };
    let close = |response: &HttpResponse| wechat().read_close(NOW, &close, response);
    assert_eq!(close(&refusal(400, "ORDER_CLOSED")), Ok(CloseOutcome::Closed));
    assert_eq!(close(&refusal(403, "TRADE_ERROR")), Ok(CloseOutcome::AlreadyPaid));
    assert_eq!(close(&refusal(404, "ORDER_NOT_EXIST")), Ok(CloseOutcome::NotFound));
    // The one refusal of a refund that may have been taken all the same.
    let refund = refund(&id, &rid, 350);
    let refunded = |response: &HttpResponse| wechat().read_refund(NOW, &refund, response);
    assert!(matches!(refunded(&refusal(429, "FREQUENCY_LIMITED")), Err(CallError::Unknown(_))));
    assert_eq!(refunded(&refusal(403, "NOT_ENOUGH")), Err(rejected("NOT_ENOUGH")));
    assert_eq!(
        wechat().read_refund_query(NOW, &refund, &refusal(404, "RESOURCE_NOT_EXISTS")),
        Ok(RefundStatus::NotFound)
    );
}

#[test]
fn wechat_states_are_read() {
    let id = attempt("A00001");
    let state = |state: &str| {
        wechat().read_query(NOW, &id, &answer(200, &set(&transaction(), "/trade_state", state)))
    };
    assert!(matches!(state("SUCCESS"), Ok(QueryResult::Paid(_))));
    assert!(matches!(state("REFUND"), Ok(QueryResult::Refunded(_))), "also a partial refund was paid");
    assert_eq!(state("CLOSED"), Ok(QueryResult::Closed));
    assert_eq!(state("NOTPAY"), Ok(QueryResult::NotPaid));
    assert!(matches!(state("NEWSTATE"), Err(CallError::Unknown(_))));
    let other = answer(200, &set(&transaction(), "/out_trade_no", "A00002"));
    assert!(matches!(wechat().read_query(NOW, &id, &other), Err(CallError::Unknown(_))), "another attempt");
    for field in ["/mchid", "/appid"] {
        let other = answer(200, &set(&transaction(), field, "1900000099"));
        assert!(matches!(wechat().read_query(NOW, &id, &other), Err(CallError::Unknown(_))), "{field}");
    }
    let rid = refund_id("R1");
    let status = |status: &str, minor: u32| {
        let body = json!({ "out_trade_no": "A00001", "out_refund_no": "R1", "status": status, "amount": { "refund": minor } });
        wechat().read_refund_query(NOW, &refund(&id, &rid, 100), &answer(200, &body))
    };
    assert_eq!(status("SUCCESS", 100), Ok(RefundStatus::Succeeded));
    assert_eq!(status("PROCESSING", 100), Ok(RefundStatus::Processing));
    assert_eq!(status("CLOSED", 100), Ok(RefundStatus::Closed));
    assert_eq!(status("ABNORMAL", 100), Ok(RefundStatus::NeedsOperator));
    assert!(matches!(status("SUCCESS", 1), Err(CallError::Unknown(_))), "another amount");
}

#[test]
fn wechat_notification_becomes_evidence_of_the_whole_amount() {
    let body = notice(&transaction());
    let Ok(Notification::Paid(claim)) = parse(&wechat(), &genuine(&body), &body) else { panic!() };
    assert_eq!(claim.amount(), cny(350), "the order's total, not what a coupon left to pay");
    assert_eq!(claim.transaction(), "4200001");
    assert_eq!(claim.paid_at_ms(), NOW - 5_000);
    let expected = vend_payments::wallet::ExpectedPayment {
        order: vend_protocol::OrderId::new(1).unwrap(),
        account: account_id(),
        merchant: wechat_builder().mchid,
        attempt: attempt("A00001"),
        amount: cny(350),
    };
    assert!(PaidEvidence::check(&expected, claim).is_ok());
}

#[test]
fn wechat_notification_time_is_checked_both_ways() {
    let body = notice(&transaction());
    let at = |timestamp: i64| {
        parse(&wechat(), &signed_headers("wechat_platform", &serial(), &timestamp.to_string(), &body), &body)
    };
    for good in [-300, 0, 300] {
        assert!(at(NOW / 1000 + good).is_ok(), "{good}");
    }
    for stale in [NOW / 1000 - 301, NOW / 1000 + 301, 0, i64::MIN, i64::MAX] {
        assert_eq!(at(stale), Err(NotificationError::Stale), "{stale}");
    }
}

#[test]
fn wechat_signature_must_be_wechats() {
    let body = notice(&transaction());
    let now = (NOW / 1000).to_string();
    let forged = signed_headers("wechat_merchant", &serial(), &now, &body);
    assert_eq!(parse(&wechat(), &forged, &body), Err(NotificationError::BadSignature), "another key");
    let mut tampered = body.clone();
    let at = tampered.len() - 2;
    tampered.insert(at, b' ');
    assert_eq!(
        parse(&wechat(), &genuine(&body), &tampered),
        Err(NotificationError::BadSignature),
        "another body"
    );
    for name in ["wechatpay-signature", "wechatpay-serial", "wechatpay-nonce", "wechatpay-timestamp"] {
        let mut headers = genuine(&body);
        headers.remove(name);
        assert!(
            matches!(parse(&wechat(), &headers, &body), Err(NotificationError::Malformed(_))),
            "{name} missing"
        );
        let mut headers = genuine(&body);
        let value = headers[name].clone();
        headers.append(name, value);
        assert!(
            matches!(parse(&wechat(), &headers, &body), Err(NotificationError::Malformed(_))),
            "{name} doubled"
        );
    }
    let mut headers = genuine(&body);
    headers.insert("wechatpay-signature-type", "NONE".parse().unwrap());
    assert_eq!(parse(&wechat(), &headers, &body), Err(NotificationError::BadSignature));
    headers.remove("wechatpay-signature-type");
    assert!(parse(&wechat(), &headers, &body).is_ok(), "the type may be left out");
}

#[test]
fn wechat_signature_probe_fails_like_any_bad_signature() {
    let body = notice(&transaction());
    let mut headers = genuine(&body);
    let probe = format!("WECHATPAY/SIGNTEST/{}", headers["wechatpay-signature"].to_str().unwrap());
    headers.insert("wechatpay-signature", probe.parse().unwrap());
    assert_eq!(parse(&wechat(), &headers, &body), Err(NotificationError::BadSignature));
    assert!(!wechat().acknowledge(false).status().is_success());
}

#[test]
fn an_unknown_wechat_key_asks_for_a_refresh() {
    let body = notice(&transaction());
    let headers = signed_headers("wechat_merchant", "5DEA10EF", &(NOW / 1000).to_string(), &body);
    let unknown = NotificationError::UnknownKey { serial: String::from("5DEA10EF") };
    assert_eq!(parse(&wechat(), &headers, &body), Err(unknown));
    // A certificate's serial beside the public key: both verify.
    let pem = std::fs::read_to_string(key_dir().join("wechat_merchant_public.pem")).unwrap();
    let both = wechat().with_platform_key("5DEA10EF", &pem).unwrap();
    assert!(parse(&both, &headers, &body).is_ok());
    assert!(parse(&both, &genuine(&body), &body).is_ok());
}

#[test]
fn wechat_content_of_another_key_or_merchant_is_refused() {
    let other_key = envelope("TRANSACTION.SUCCESS", &transaction(), "00000000000000000000000000000000");
    assert_eq!(parse(&wechat(), &genuine(&other_key), &other_key), Err(NotificationError::Decrypt));
    for (field, what) in [("/mchid", "merchant"), ("/appid", "application")] {
        let body = notice(&set(&transaction(), field, "1900000099"));
        assert_eq!(parse(&wechat(), &genuine(&body), &body), Err(NotificationError::Foreign(what)));
    }
    let cipher = String::from_utf8(notice(&transaction())).unwrap().replace("AEAD_AES_256_GCM", "AEAD_NONE");
    assert!(matches!(
        parse(&wechat(), &genuine(cipher.as_bytes()), cipher.as_bytes()),
        Err(NotificationError::Malformed(_))
    ));
}

#[test]
fn wechat_amounts_are_whole_fen() {
    for total in [json!(3.5), json!(-350), json!("350"), json!(4_294_967_296_u64), Value::Null] {
        let body = notice(&set(&transaction(), "/amount/total", total));
        assert!(matches!(parse(&wechat(), &genuine(&body), &body), Err(NotificationError::Malformed(_))));
    }
    let body = notice(&set(&transaction(), "/amount/currency", "USD"));
    let Ok(Notification::Paid(claim)) = parse(&wechat(), &genuine(&body), &body) else { panic!() };
    assert_eq!(claim.amount().currency(), vend_protocol::Currency::USD, "the check finds it");
}

#[test]
fn wechat_refund_notifications_are_read() {
    let key = wechat_builder().api_v3_key;
    let plain = |status: &str| json!({ "mchid": wechat_builder().mchid, "out_trade_no": "A00001", "out_refund_no": "R1", "refund_status": status });
    for (event, status, wanted) in [
        ("REFUND.SUCCESS", "SUCCESS", RefundStatus::Succeeded),
        ("REFUND.ABNORMAL", "ABNORMAL", RefundStatus::NeedsOperator),
        ("REFUND.CLOSED", "CLOSED", RefundStatus::Closed),
    ] {
        let body = envelope(event, &plain(status), &key);
        let Ok(Notification::Refund { refund, status }) = parse(&wechat(), &genuine(&body), &body) else {
            panic!()
        };
        assert_eq!((refund.as_str(), status), ("R1", wanted));
    }
    let foreign = notice(&set(&transaction(), "/out_trade_no", "shop|77-1"));
    assert!(matches!(parse(&wechat(), &genuine(&foreign), &foreign), Ok(Notification::Irrelevant { .. })));
}

#[test]
fn acknowledgements_are_the_wallets_own() {
    assert_eq!(wechat().acknowledge(true).status(), 204);
    assert!(wechat().acknowledge(true).body().is_empty());
    let failed: Value = serde_json::from_slice(wechat().acknowledge(false).body()).unwrap();
    assert_eq!(failed["code"], "FAIL");
    assert_eq!(alipay().acknowledge(true).body(), b"success");
    assert_eq!(alipay().acknowledge(false).body(), b"fail");
}

#[test]
fn secrets_do_not_show() {
    let builder = wechat_builder();
    let shown = format!("{builder:?} {:?} {:?} {:?} {:?}", wechat(), alipay_builder(), alipay(), keys());
    assert!(!shown.contains(builder.api_v3_key.as_str()));
    assert!(!shown.contains("PRIVATE KEY"));
    assert!(!shown.contains(&builder.merchant_key_pem[64..96]));
}

// -------------------------------------------------------------------- Alipay

fn node_answer(method: &str, node: &str) -> HttpResponse {
    let sign = sign("alipay_platform", node.as_bytes());
    http::Response::new(format!("{{\"{method}_response\":{node},\"sign\":\"{sign}\"}}").into_bytes())
}

fn trade(status: &str, more: &str) -> String {
    format!(
        r#"{{"code":"10000","msg":"Success","out_trade_no":"A00001","trade_no":"2026","trade_status":"{status}","total_amount":"3.50","buyer_pay_amount":"3.00"{more}}}"#
    )
}

const PAID: &str = r#","send_pay_date":"2026-01-02 11:04:00""#;

fn alipay_query(node: &str) -> Result<QueryResult, CallError> {
    alipay().read_query(NOW, &attempt("A00001"), &node_answer("alipay_trade_query", node))
}

fn failure(code: &str, sub_code: &str) -> String {
    format!(r#"{{"code":"{code}","msg":"no","sub_code":"{sub_code}"}}"#)
}

#[test]
fn alipay_request_is_what_the_protocol_asks_for() {
    let id = attempt("A00001");
    let mut wanted = payment(&id, NOW);
    wanted.description = "Tea & milk = 50/50";
    let request = alipay().create_request(&context(1), &wanted).unwrap();
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded;charset=utf-8");
    let decode = |text: &str| -> BTreeMap<String, String> {
        text.split('&')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| {
                (name.into(), percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into())
            })
            .collect()
    };
    let mut fields = decode(request.uri().query().unwrap());
    assert_eq!(fields["charset"], "utf-8");
    assert_eq!(fields["timestamp"], "2026-01-02 11:04:05");
    let body = decode(std::str::from_utf8(request.body()).unwrap());
    let content: Value = serde_json::from_str(&body["biz_content"]).unwrap();
    assert_eq!(content["total_amount"], "3.50");
    assert_eq!(content["subject"], "Tea   milk   50 50");
    assert_eq!(content["time_expire"], "2026-01-02 11:07:05");
    fields.extend(body);
    let signature = fields.remove("sign").unwrap();
    assert!(fields.contains_key("sign_type"), "signed with the rest");
    let text: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(signature, sign("alipay_app", text.join("&").as_bytes()));
}

#[test]
fn alipay_states_are_read() {
    let Ok(QueryResult::Paid(claim)) = alipay_query(&trade("TRADE_SUCCESS", PAID)) else { panic!() };
    assert_eq!((claim.amount(), claim.paid_at_ms()), (cny(350), NOW - 5_000));
    assert!(matches!(alipay_query(&trade("TRADE_FINISHED", PAID)), Ok(QueryResult::Paid(_))));
    assert_eq!(alipay_query(&trade("WAIT_BUYER_PAY", "")), Ok(QueryResult::NotPaid));
    assert_eq!(alipay_query(&trade("TRADE_CLOSED", "")), Ok(QueryResult::Closed));
    assert!(matches!(alipay_query(&trade("TRADE_CLOSED", PAID)), Ok(QueryResult::Refunded(_))));
    assert_eq!(alipay_query(&failure("40004", "ACQ.TRADE_NOT_EXIST")), Ok(QueryResult::NotFound));
    assert!(matches!(
        alipay_query(&trade("TRADE_SUCCESS", PAID).replace("A00001", "A00002")),
        Err(CallError::Unknown(_))
    ));
    assert!(matches!(
        alipay_query(&trade("TRADE_SUCCESS", PAID).replace("3.50", "3.505")),
        Err(CallError::Unknown(_))
    ));
}

#[test]
fn a_tampered_alipay_node_is_refused() {
    let id = attempt("A00001");
    let genuine = node_answer("alipay_trade_query", &trade("TRADE_SUCCESS", PAID));
    let text = String::from_utf8(genuine.into_body()).unwrap();
    let read = |text: String| alipay().read_query(NOW, &id, &http::Response::new(text.into_bytes()));
    assert!(read(text.clone()).is_ok());
    assert!(
        read(text.replace(r#"{"alipay"#, r#" { "alipay"#)).is_ok(),
        "white space outside the node is free"
    );
    for forged in [
        text.replace("3.50", "9.50"),
        text.replace(r#""msg":"Success""#, r#""msg": "Success""#),
        text.replace(r#""sign":""#, r#""sign":"A"#),
        text.split(r#","sign""#).next().unwrap().to_owned() + "}",
        // A second node of the name, before or after the signed one.
        text.replacen('{', r#"{"alipay_trade_query_response":{"code":"10000"},"#, 1),
        // The signed text quoted in a member that another parser would take for the node.
        text.replace("alipay_trade_query_response", "other_response").replacen(
            '{',
            &format!(
                "{{\"alipay_trade_query_response\":{},",
                trade("TRADE_SUCCESS", PAID).replace("3.50", "3.51")
            ),
            1,
        ),
    ] {
        assert!(matches!(read(forged.clone()), Err(CallError::Unknown(_))), "{forged}");
    }
    // Text that looks like the end of the node, inside of it.
    assert!(alipay_query(&trade("WAIT_BUYER_PAY", r#","subject":"},\"sign\":\"x\"""#)).is_ok());
    // Signed with slashes escaped, sent without.
    let node = trade("WAIT_BUYER_PAY", r#","url":"a/b""#);
    let signature = sign("alipay_platform", node.replace('/', "\\/").as_bytes());
    assert!(read(format!("{{\"alipay_trade_query_response\":{node},\"sign\":\"{signature}\"}}")).is_ok());
    let own = sign("alipay_app", trade("WAIT_BUYER_PAY", "").as_bytes());
    assert!(
        read(format!(
            "{{\"alipay_trade_query_response\":{},\"sign\":\"{own}\"}}",
            trade("WAIT_BUYER_PAY", "")
        ))
        .is_err()
    );
}

#[test]
fn alipay_refusals_are_classified() {
    let (id, rid) = (attempt("A00001"), refund_id("R1"));
    let create =
        |response: &HttpResponse| alipay().read_create(NOW, &payment(&id, NOW), response).unwrap_err();
    let node = |code: &str, sub: &str| create(&node_answer("alipay_trade_precreate", &failure(code, sub)));
    let rejected = |code: &str| CallError::Rejected { code: String::from(code) };
    assert_eq!(
        node("40004", "ACQ.APPLY_PC_MERCHANT_CODE_ERROR"),
        rejected("ACQ.APPLY_PC_MERCHANT_CODE_ERROR")
    );
    assert!(matches!(node("20000", "isp.unknow-error"), CallError::Unknown(_)));
    for system in ["ACQ.SYSTEM_ERROR", "aop.ACQ.SYSTEM_ERROR"] {
        assert!(matches!(node("40004", system), CallError::Unknown(_)));
    }
    let unsigned = |text: &str| create(&http::Response::new(text.as_bytes().to_vec()));
    let early = r#"{"error_response":{"code":"40002","msg":"Invalid","sub_code":"isv.invalid-signature"}}"#;
    assert_eq!(unsigned(early), rejected("isv.invalid-signature"));
    for forged in [
        r#"{"error_response":{"code":"10000","out_trade_no":"A00001","qr_code":"https://qr.alipay.com/evil"}}"#,
        r#"{"alipay_trade_precreate_response":{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}}"#,
        r#"{"error_response":{"code":"20000"}}"#,
        "{}",
        "<html>",
    ] {
        assert!(matches!(unsigned(forged), CallError::Unknown(_)), "{forged}");
    }
    let broken = http::Response::builder().status(502).body(early.as_bytes().to_vec()).unwrap();
    assert!(matches!(create(&broken), CallError::Unknown(_)));
    // Refunds: success only when the funds moved in this call.
    let refund = refund(&id, &rid, 100);
    let refunded = |node: &str| alipay().read_refund(NOW, &refund, &node_answer("alipay_trade_refund", node));
    let answer = |change: &str| {
        format!(r#"{{"code":"10000","out_trade_no":"A00001","fund_change":"{change}","refund_fee":"2.00"}}"#)
    };
    assert_eq!(refunded(&answer("Y")), Ok(RefundStatus::Succeeded));
    assert_eq!(refunded(&answer("N")), Ok(RefundStatus::Processing));
    assert!(matches!(refunded(&failure("40004", "ACQ.SYSTEM_ERROR")), Err(CallError::Unknown(_))));
    assert_eq!(
        refunded(&failure("40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH")),
        Err(rejected("ACQ.SELLER_BALANCE_NOT_ENOUGH"))
    );
    let found = |more: &str| {
        let node = format!(r#"{{"code":"10000","msg":"Success"{more}}}"#);
        alipay().read_refund_query(NOW, &refund, &node_answer("alipay_trade_fastpay_refund_query", &node))
    };
    assert_eq!(found(""), Ok(RefundStatus::NotFound));
    assert_eq!(
        found(r#","out_request_no":"R1","refund_amount":"1.00","refund_status":"REFUND_SUCCESS""#),
        Ok(RefundStatus::Succeeded)
    );
    assert!(
        found(r#","out_request_no":"R2","refund_amount":"1.00","refund_status":"REFUND_SUCCESS""#).is_err()
    );
}

#[test]
fn alipay_closes_what_exists_and_cancels_what_is_unknown() {
    let id = attempt("A00001");
    let close = |reason| ClosePayment { attempt: &id, reason };
    let method = |reason| alipay().close_request(&context(1), &close(reason)).unwrap().uri().to_string();
    assert!(method(CloseReason::Unpaid).contains("method=alipay.trade.close&"));
    assert!(method(CloseReason::Unknown).contains("method=alipay.trade.cancel&"));
    let closed = |node: &str| {
        alipay().read_close(NOW, &close(CloseReason::Unpaid), &node_answer("alipay_trade_close", node))
    };
    assert_eq!(closed(r#"{"code":"10000","out_trade_no":"A00001"}"#), Ok(CloseOutcome::Closed));
    assert_eq!(closed(&failure("40004", "ACQ.TRADE_STATUS_ERROR")), Ok(CloseOutcome::AlreadyPaid));
    assert_eq!(closed(&failure("40004", "ACQ.TRADE_NOT_EXIST")), Ok(CloseOutcome::NotFound));
    let cancelled = |more: &str| {
        let node = format!(r#"{{"code":"10000","out_trade_no":"A00001"{more}}}"#);
        alipay().read_close(NOW, &close(CloseReason::Unknown), &node_answer("alipay_trade_cancel", &node))
    };
    assert_eq!(cancelled(r#","retry_flag":"N","action":"close""#), Ok(CloseOutcome::Closed));
    assert_eq!(cancelled(r#","retry_flag":"N","action":"refund""#), Ok(CloseOutcome::Refunded));
    assert_eq!(cancelled(r#","retry_flag":"N""#), Ok(CloseOutcome::NotFound));
    assert!(matches!(cancelled(r#","retry_flag":"Y""#), Err(CallError::Unknown(_))));
}

fn form() -> BTreeMap<&'static str, String> {
    let builder = alipay_builder();
    BTreeMap::from([
        ("app_id", builder.app_id.clone()),
        ("seller_id", builder.seller_id.to_string()),
        ("out_trade_no", "A00001".into()),
        ("trade_no", "2026010222001".into()),
        ("trade_status", "TRADE_SUCCESS".into()),
        ("total_amount", "3.50".into()),
        ("receipt_amount", "3.00".into()),
        ("buyer_pay_amount", "3.00".into()),
        ("subject", "汽水 100% a+b".into()),
        ("body", String::new()),
        ("charset", "utf-8".into()),
        ("gmt_payment", "2026-01-02 11:04:00".into()),
    ])
}

fn encoded(fields: &BTreeMap<&str, String>, keep_empty: bool, key: &str) -> String {
    let text: Vec<_> =
        fields.iter().filter(|(_, v)| keep_empty || !v.is_empty()).map(|(k, v)| format!("{k}={v}")).collect();
    let mut all: Vec<(&str, String)> = fields.iter().map(|(k, v)| (*k, v.clone())).collect();
    all.push(("sign", sign(key, text.join("&").as_bytes())));
    all.push(("sign_type", "RSA2".into()));
    let pairs: Vec<_> = all
        .iter()
        .map(|(k, v)| {
            format!("{k}={}", percent_encoding::utf8_percent_encode(v, percent_encoding::NON_ALPHANUMERIC))
        })
        .collect();
    pairs.join("&")
}

fn notified(body: &str) -> Result<Notification, NotificationError> {
    // A year later: Alipay's own resends carry no fresh time.
    alipay().parse_notification(NOW + 365 * 86_400_000, &HeaderMap::new(), body.as_bytes())
}

fn with(field: &'static str, value: &str) -> String {
    let mut fields = form();
    fields.insert(field, value.into());
    encoded(&fields, true, "alipay_platform")
}

#[test]
fn alipay_notification_becomes_a_claim_of_the_whole_amount() {
    for keep_empty in [true, false] {
        let Ok(Notification::Paid(claim)) = notified(&encoded(&form(), keep_empty, "alipay_platform")) else {
            panic!()
        };
        assert_eq!((claim.amount(), claim.attempt().as_str()), (cny(350), "A00001"));
        assert_eq!(claim.paid_at_ms(), NOW - 5_000);
    }
}

#[test]
fn alipay_notification_must_be_alipays() {
    let genuine = encoded(&form(), true, "alipay_platform");
    assert_eq!(notified(&encoded(&form(), true, "alipay_app")), Err(NotificationError::BadSignature));
    assert_eq!(notified(&genuine.replace("3%2E50", "9%2E50")), Err(NotificationError::BadSignature));
    assert_eq!(
        notified(&genuine.replace("%25", "%2525")),
        Err(NotificationError::BadSignature),
        "decoded once"
    );
    assert!(
        matches!(notified(&format!("{genuine}&total_amount=3%2E50")), Err(NotificationError::Malformed(_))),
        "doubled"
    );
    assert!(matches!(notified(&genuine.replace("RSA2", "RSA")), Err(NotificationError::Malformed(_))));
    assert!(matches!(notified(&genuine.replace("utf%2D8", "GBK")), Err(NotificationError::Malformed(_))));
    assert!(matches!(
        notified(genuine.split("&sign=").next().unwrap()),
        Err(NotificationError::Malformed(_))
    ));
}

#[test]
fn alipay_notification_of_another_application_or_seller_is_refused() {
    assert_eq!(notified(&with("app_id", "2021000000000099")), Err(NotificationError::Foreign("application")));
    assert_eq!(notified(&with("seller_id", "2088000000000099")), Err(NotificationError::Foreign("merchant")));
}

#[test]
fn late_alipay_events_never_sell_anew() {
    assert!(matches!(notified(&with("trade_status", "TRADE_CLOSED")), Ok(Notification::Irrelevant { .. })));
    assert!(matches!(notified(&with("trade_status", "WAIT_BUYER_PAY")), Ok(Notification::Irrelevant { .. })));
    // The same claim again: the attempt's own state is what keeps it from selling.
    let finished = notified(&with("trade_status", "TRADE_FINISHED")).unwrap();
    assert_eq!(finished, notified(&encoded(&form(), true, "alipay_platform")).unwrap());
}

#[test]
fn alipay_amounts_are_exact() {
    for amount in ["3.505", "-3.50", "", "3,50", "350e-2", "42949672.96"] {
        assert!(
            matches!(notified(&with("total_amount", amount)), Err(NotificationError::Malformed(_))),
            "{amount}"
        );
    }
}
