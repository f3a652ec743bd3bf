//! Both wallets against the sandbox, over real sockets: every call, the notifications, the ledger.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod wallet_common;

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use vend_payments::sandbox::{Config, Faults, Paid, PayError, Sandbox, phone_path};
use vend_payments::wallet::{
    AttemptId, CallContext, CallError, CloseOutcome, ClosePayment, CloseReason, CreatePayment,
    ExpectedPayment, HttpRequest, HttpResponse, Notification, PaidEvidence, QueryResult, RefundPayment,
    RefundStatus, Wallet,
};
use vend_protocol::OrderId;
use wallet_common::*;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn fresh() -> CallContext {
    let mut nonce = [0; 16];
    aws_lc_rs::rand::fill(&mut nonce).unwrap();
    CallContext { now_unix_ms: now(), nonce }
}

async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// Headers, body, and when it came.
type Received = (HeaderMap, Vec<u8>, i64);

/// A merchant's server: keeps every notification, and answers as it is told.
#[derive(Clone, Default)]
struct Receiver {
    seen: Arc<Mutex<Vec<Received>>>,
    refuse: Arc<Mutex<usize>>,
    alipay: bool,
}

impl Receiver {
    async fn receive(
        axum::extract::State(this): axum::extract::State<Self>,
        request: axum::extract::Request,
    ) -> (axum::http::StatusCode, &'static str) {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
        this.seen.lock().unwrap().push((parts.headers, body, now()));
        let mut refuse = this.refuse.lock().unwrap();
        if *refuse > 0 {
            *refuse -= 1;
            // WeChat goes by the status, Alipay by the body: a wrong one of each.
            let status = if this.alipay { 200 } else { 500 };
            return (axum::http::StatusCode::from_u16(status).unwrap(), "success.");
        }
        (axum::http::StatusCode::OK, "success")
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    async fn wait(&self, count: usize) {
        for _ in 0..1000 {
            if self.count() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} notifications instead of {count}", self.count());
    }
}

struct Rig {
    sandbox: Sandbox,
    url: String,
    wallet: Box<dyn Wallet>,
    receiver: Receiver,
    client: reqwest::Client,
    dir: tempfile::TempDir,
}

const BOTH: [&str; 2] = ["wechat", "alipay"];

impl Rig {
    async fn new(provider: &str, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path(), keys());
        config.time_scale = 100_000;
        change(&mut config);
        let sandbox = Sandbox::open(config).await.unwrap();
        let url = serve(sandbox.router()).await;
        let receiver = Receiver { alipay: provider == "alipay", ..Receiver::default() };
        let router = axum::Router::new().route("/notify/main", axum::routing::post(Receiver::receive));
        let notify = format!("{}/notify/main", serve(router.with_state(receiver.clone())).await);
        let wallet: Box<dyn Wallet> = match provider {
            "wechat" => {
                Box::new(keys().wechat_account(account_id(), &url, &notify, Some(&notify)).build().unwrap())
            }
            _ => Box::new(keys().alipay_account(account_id(), &url, &notify).build().unwrap()),
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sandbox, url, wallet, receiver, client, dir }
    }

    async fn send(&self, request: HttpRequest) -> HttpResponse {
        let response = self.client.execute(reqwest::Request::try_from(request).unwrap()).await.unwrap();
        let mut answer = http::Response::builder().status(response.status());
        *answer.headers_mut().unwrap() = response.headers().clone();
        answer.body(response.bytes().await.unwrap().to_vec()).unwrap()
    }

    async fn create_as(&self, payment: &CreatePayment<'_>) -> Result<String, CallError> {
        let response = self.send(self.wallet.create_request(&fresh(), payment)?).await;
        self.wallet.read_create(now(), payment, &response).map(|created| created.code_url)
    }

    async fn create(&self, id: &AttemptId) -> String {
        self.create_as(&payment(id, now())).await.unwrap()
    }

    async fn query(&self, id: &AttemptId) -> Result<QueryResult, CallError> {
        let response = self.send(self.wallet.query_request(&fresh(), id)?).await;
        self.wallet.read_query(now(), id, &response)
    }

    async fn close(&self, id: &AttemptId, reason: CloseReason) -> Result<CloseOutcome, CallError> {
        let close = ClosePayment { attempt: id, reason };
        let response = self.send(self.wallet.close_request(&fresh(), &close)?).await;
        self.wallet.read_close(now(), &close, &response)
    }

    async fn refund(&self, wanted: &RefundPayment<'_>) -> Result<RefundStatus, CallError> {
        let response = self.send(self.wallet.refund_request(&fresh(), wanted)?).await;
        self.wallet.read_refund(now(), wanted, &response)
    }

    async fn refund_query(&self, wanted: &RefundPayment<'_>) -> Result<RefundStatus, CallError> {
        let response = self.send(self.wallet.refund_query_request(&fresh(), wanted)?).await;
        self.wallet.read_refund_query(now(), wanted, &response)
    }

    async fn pay(&self, code: &str) -> Paid {
        self.sandbox.pay(code, "123456").await.unwrap()
    }

    fn notification(&self, at: usize) -> Notification {
        let (headers, body, received) = self.receiver.seen.lock().unwrap()[at].clone();
        self.wallet.parse_notification(received, &headers, &body).unwrap()
    }

    fn expected(&self, id: &AttemptId) -> ExpectedPayment {
        ExpectedPayment {
            order: OrderId::new(1).unwrap(),
            account: account_id(),
            merchant: self.wallet.merchant().clone(),
            attempt: id.clone(),
            amount: cny(350),
        }
    }

    async fn page(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn post(&self, path: &str, kind: &str, body: String) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", kind).body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode =
        |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

#[tokio::test]
async fn a_sale_is_paid_notified_and_refunded_in_two_parts() {
    for provider in BOTH {
        let rig = Rig::new(provider, |_| ()).await;
        let id = attempt("A00001");
        let code = rig.create(&id).await;
        let first = rig.query(&id).await.unwrap();
        if provider == "wechat" {
            assert!(code.starts_with("weixin://wxpay/bizpayurl?pr="));
            assert_eq!(first, QueryResult::NotPaid);
        } else {
            assert!(code.starts_with("https://qr.alipay.com/"));
            assert_eq!(first, QueryResult::NotFound, "nobody has scanned it");
        }
        rig.page(&phone_path(&code)).await;
        assert_eq!(rig.query(&id).await, Ok(QueryResult::NotPaid));
        let paid = rig.pay(&code).await;
        assert_eq!((paid.wallet.as_str(), paid.amount_minor), (provider, 350));

        rig.receiver.wait(1).await;
        let Notification::Paid(claim) = rig.notification(0) else { panic!("{provider}") };
        let evidence = PaidEvidence::check(&rig.expected(&id), claim).unwrap();
        // Wallets write whole seconds.
        assert_eq!(evidence.paid_at_ms(), paid.paid_ms / 1000 * 1000);
        let Ok(QueryResult::Paid(claim)) = rig.query(&id).await else { panic!("{provider}") };
        assert_eq!(claim.transaction(), evidence.transaction());

        let (one, two, three) = (refund_id("R1"), refund_id("R2"), refund_id("R3"));
        assert_eq!(rig.refund_query(&refund(&id, &one, 100)).await, Ok(RefundStatus::NotFound));
        assert_eq!(rig.refund(&refund(&id, &one, 100)).await, Ok(RefundStatus::Succeeded));
        assert_eq!(rig.refund_query(&refund(&id, &one, 100)).await, Ok(RefundStatus::Succeeded));
        match (provider, rig.query(&id).await.unwrap()) {
            ("wechat", QueryResult::Refunded(_)) | ("alipay", QueryResult::Paid(_)) => (),
            (_, other) => panic!("{provider}: {other:?} after a partial refund"),
        }
        assert!(
            matches!(rig.refund(&refund(&id, &two, 251)).await, Err(CallError::Rejected { .. })),
            "too much"
        );
        assert_eq!(rig.refund(&refund(&id, &three, 250)).await, Ok(RefundStatus::Succeeded));
        assert!(matches!(rig.query(&id).await, Ok(QueryResult::Refunded(_))));

        let entry = rig.sandbox.ledger().remove(0);
        assert_eq!((entry.wallet.as_str(), entry.paid_ms), (provider, Some(paid.paid_ms)));
        let refunds: Vec<_> = entry.refunds.iter().map(|r| (r.id.as_str(), r.amount_minor)).collect();
        assert_eq!(refunds, [("R1", 100), ("R3", 250)]);
        let (_, json) = rig.page("/ledger").await;
        assert!(json.contains("\"out_trade_no\":\"A00001\""));
    }
}

#[tokio::test]
async fn a_repeated_refund_id_moves_money_once() {
    for provider in BOTH {
        let rig = Rig::new(provider, |_| ()).await;
        let (id, rid) = (attempt("A00001"), refund_id("R1"));
        let code = rig.create(&id).await;
        rig.pay(&code).await;
        assert_eq!(rig.refund(&refund(&id, &rid, 200)).await, Ok(RefundStatus::Succeeded));
        let again = rig.refund(&refund(&id, &rid, 200)).await.unwrap();
        // Alipay says that nothing moved this time; the refund query tells.
        assert_eq!(
            again,
            if provider == "alipay" { RefundStatus::Processing } else { RefundStatus::Succeeded }
        );
        assert_eq!(rig.refund_query(&refund(&id, &rid, 200)).await, Ok(RefundStatus::Succeeded));
        assert!(
            matches!(rig.refund(&refund(&id, &rid, 100)).await, Err(CallError::Rejected { .. })),
            "another amount"
        );
        assert_eq!(rig.sandbox.ledger()[0].refunds.len(), 1);
    }
}

#[tokio::test]
async fn a_slow_refund_is_processing_first() {
    for provider in BOTH {
        let rig = Rig::new(provider, |config| config.refund_delay_ms = 300).await;
        let (id, rid) = (attempt("A00001"), refund_id("R1"));
        let code = rig.create(&id).await;
        rig.pay(&code).await;
        let wanted = refund(&id, &rid, 350);
        assert_eq!(rig.refund(&wanted).await, Ok(RefundStatus::Processing));
        assert_eq!(rig.refund_query(&wanted).await, Ok(RefundStatus::Processing));
        tokio::time::sleep(Duration::from_millis(350)).await;
        assert_eq!(rig.refund_query(&wanted).await, Ok(RefundStatus::Succeeded));
        rig.receiver.wait(2).await;
        match (provider, rig.notification(1)) {
            ("wechat", Notification::Refund { refund, status: RefundStatus::Succeeded }) => {
                assert_eq!(refund, rid);
            }
            ("alipay", Notification::Irrelevant { .. }) => (),
            (_, other) => panic!("{provider}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn closing_ends_what_is_unpaid_and_only_that() {
    for provider in BOTH {
        let rig = Rig::new(provider, |_| ()).await;
        let (open, paid, never) = (attempt("A_open"), attempt("A_paid"), attempt("A_never"));
        let code = rig.create(&open).await;
        rig.page(&phone_path(&code)).await;
        assert_eq!(rig.close(&open, CloseReason::Unpaid).await, Ok(CloseOutcome::Closed));
        assert_eq!(rig.query(&open).await, Ok(QueryResult::Closed));
        assert_eq!(rig.sandbox.pay(&code, "123456").await, Err(PayError::Closed));
        let code = rig.create(&paid).await;
        rig.pay(&code).await;
        assert_eq!(rig.close(&paid, CloseReason::Unpaid).await, Ok(CloseOutcome::AlreadyPaid));
        assert_eq!(rig.close(&never, CloseReason::Unpaid).await, Ok(CloseOutcome::NotFound));
    }
}

#[tokio::test]
async fn cancelling_a_paid_alipay_trade_gives_the_money_back() {
    let rig = Rig::new("alipay", |_| ()).await;
    let (unscanned, paid) = (attempt("A_code"), attempt("A_paid"));
    let code = rig.create(&unscanned).await;
    assert_eq!(rig.close(&unscanned, CloseReason::Unknown).await, Ok(CloseOutcome::NotFound));
    assert_eq!(rig.sandbox.pay(&code, "123456").await, Err(PayError::Closed));
    let code = rig.create(&paid).await;
    rig.pay(&code).await;
    assert_eq!(rig.close(&paid, CloseReason::Unknown).await, Ok(CloseOutcome::Refunded));
    assert!(matches!(rig.query(&paid).await, Ok(QueryResult::Refunded(_))));
}

#[tokio::test]
async fn an_attempt_id_is_good_for_one_order() {
    let rig = Rig::new("wechat", |_| ()).await;
    let id = attempt("A00001");
    let order = payment(&id, now());
    let old = rig.create_as(&order).await.unwrap();
    let new = rig.create_as(&order).await.unwrap();
    assert_eq!(rig.sandbox.pay(&old, "123456").await, Err(PayError::UnknownCode), "the old code died");
    let mut other = order;
    other.amount = cny(351);
    let used = CallError::Rejected { code: "OUT_TRADE_NO_USED".into() };
    assert_eq!(rig.create_as(&other).await, Err(used));
    rig.pay(&new).await;
    let rig = Rig::new("alipay", |_| ()).await;
    rig.create(&id).await;
    let used = CallError::Rejected { code: "ACQ.APPLY_PC_MERCHANT_CODE_ERROR".into() };
    assert_eq!(rig.create_as(&payment(&id, now())).await, Err(used));
}

#[tokio::test]
async fn the_sandbox_checks_our_signature_and_clock() {
    let rig = Rig::new("wechat", |_| ()).await;
    let id = attempt("A00001");
    let sign_error = Err(CallError::Rejected { code: "SIGN_ERROR".into() });
    for skew in [-301_000, 301_000] {
        let context = CallContext { now_unix_ms: now() + skew, ..fresh() };
        let response = rig.send(rig.wallet.query_request(&context, &id).unwrap()).await;
        assert_eq!(response.status(), 401);
        assert!(response.headers().get("wechatpay-signature").is_none(), "refusals are not signed");
        assert_eq!(rig.wallet.read_query(now(), &id, &response), sign_error);
    }
    let mut tampered = rig.wallet.create_request(&fresh(), &payment(&id, now())).unwrap();
    tampered.body_mut().push(b' ');
    assert_eq!(rig.send(tampered).await.status(), 401);
    let mut nameless = rig.wallet.query_request(&fresh(), &id).unwrap();
    nameless.headers_mut().insert("user-agent", "".parse().unwrap());
    assert_eq!(rig.send(nameless).await.status(), 400);

    let rig = Rig::new("alipay", |_| ()).await;
    let mut tampered = rig.wallet.query_request(&fresh(), &id).unwrap();
    *tampered.body_mut() = form(&[("biz_content", r#"{"out_trade_no":"A00002"}"#)]).into_bytes();
    let response = rig.send(tampered).await;
    let invalid = Err(CallError::Rejected { code: "isv.invalid-signature".into() });
    assert_eq!(rig.wallet.read_query(now(), &id, &response), invalid);
}

#[tokio::test]
async fn the_sandbox_refuses_what_the_services_refuse() {
    let rig = Rig::new("wechat", |_| ()).await;
    let (id, rid) = (attempt("A00001"), refund_id("R1"));
    let rejected = |code: &str| CallError::Rejected { code: String::from(code) };
    let mut nameless = payment(&id, now());
    nameless.description = "";
    assert_eq!(rig.create_as(&nameless).await, Err(rejected("PARAM_ERROR")));
    assert_eq!(rig.query(&id).await, Ok(QueryResult::NotFound));
    assert_eq!(rig.refund(&refund(&id, &rid, 100)).await, Err(rejected("RESOURCE_NOT_EXISTS")));
    let code = rig.create(&id).await;
    assert_eq!(rig.refund(&refund(&id, &rid, 100)).await, Err(rejected("TRADE_ERROR")));
    rig.pay(&code).await;
    let mut wrong_total = refund(&id, &rid, 100);
    wrong_total.paid = cny(400);
    assert_eq!(rig.refund(&wrong_total).await, Err(rejected("INVALID_REQUEST")));
    let closed = attempt("A_closed");
    rig.create(&closed).await;
    assert_eq!(rig.close(&closed, CloseReason::Unknown).await, Ok(CloseOutcome::Closed));
    assert_eq!(
        rig.close(&closed, CloseReason::Unknown).await,
        Ok(CloseOutcome::Closed),
        "closing again is fine"
    );
    assert_eq!(rig.create_as(&payment(&closed, now())).await, Err(rejected("ORDER_CLOSED")));

    let rig = Rig::new("alipay", |_| ()).await;
    assert_eq!(rig.refund(&refund(&id, &rid, 100)).await, Err(rejected("ACQ.TRADE_NOT_EXIST")));
    let code = rig.create(&id).await;
    rig.page(&phone_path(&code)).await;
    assert_eq!(rig.refund(&refund(&id, &rid, 100)).await, Err(rejected("ACQ.TRADE_STATUS_ERROR")));
}

#[tokio::test]
async fn an_answer_signed_by_another_sandbox_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let others = vend_payments::sandbox::provision(dir.path()).unwrap();
    for provider in BOTH {
        let rig = Rig::new(provider, |_| ()).await;
        let id = attempt("A00001");
        let code = rig.create(&id).await;
        rig.pay(&code).await;
        let response = rig.send(rig.wallet.query_request(&fresh(), &id).unwrap()).await;
        assert!(rig.wallet.read_query(now(), &id, &response).is_ok());
        let mut theirs = others.wechat_account(account_id(), &rig.url, "http://127.0.0.1/n", None);
        theirs.platform_keys[0].0 =
            keys().wechat_account(account_id(), "", "", None).platform_keys[0].0.clone();
        let other: Box<dyn Wallet> = match provider {
            "wechat" => Box::new(theirs.build().unwrap()),
            _ => {
                Box::new(others.alipay_account(account_id(), &rig.url, "http://127.0.0.1/n").build().unwrap())
            }
        };
        assert!(matches!(other.read_query(now(), &id, &response), Err(CallError::Unknown(_))));
    }
}

#[tokio::test]
async fn a_payment_is_reported_until_it_is_acknowledged() {
    for (provider, refused) in [("wechat", 4), ("alipay", 3)] {
        let rig = Rig::new(provider, |_| ()).await;
        *rig.receiver.refuse.lock().unwrap() = refused;
        let code = rig.create(&attempt("A00001")).await;
        rig.pay(&code).await;
        rig.receiver.wait(refused + 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(rig.receiver.count(), refused + 1, "none after the acknowledgement");
        let claims: Vec<_> = (0..=refused).map(|at| rig.notification(at)).collect();
        assert!(claims.iter().all(|claim| *claim == claims[0]), "every resend says the same");
        let entry = rig.sandbox.ledger().remove(0);
        assert_eq!(usize::try_from(entry.deliveries).unwrap(), refused + 1);
        assert!(entry.acknowledged_ms.is_some());
    }
}

#[tokio::test]
async fn a_deaf_receiver_is_given_up_after_the_whole_schedule() {
    for (provider, tries, scale) in [("wechat", 16, 200_000), ("alipay", 8, 200_000)] {
        let rig = Rig::new(provider, |config| config.time_scale = scale).await;
        *rig.receiver.refuse.lock().unwrap() = usize::MAX;
        let code = rig.create(&attempt("A00001")).await;
        rig.pay(&code).await;
        rig.receiver.wait(tries).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(rig.receiver.count(), tries);
    }
}

#[tokio::test]
async fn faults_bite_and_are_counted() {
    let faults = Faults { double_permille: 1000, late_permille: 1000, late_ms: 150 };
    for provider in BOTH {
        let rig = Rig::new(provider, |config| config.faults = faults).await;
        let code = rig.create(&attempt("A00001")).await;
        let paid = rig.pay(&code).await;
        let counts = rig.sandbox.fault_counts();
        assert_eq!(
            (counts.double_injected, counts.double_bit, counts.late_injected, counts.late_bit),
            (1, 0, 1, 0)
        );
        rig.receiver.wait(2).await;
        let first_ms = rig.receiver.seen.lock().unwrap()[0].2;
        assert!(first_ms >= paid.paid_ms + 150, "late by {} ms", first_ms - paid.paid_ms);
        assert_eq!(rig.notification(0), rig.notification(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(rig.receiver.count(), 2);
        let counts = rig.sandbox.fault_counts();
        assert_eq!(
            (counts.double_injected, counts.double_bit, counts.late_injected, counts.late_bit),
            (1, 1, 1, 1)
        );
    }
}

fn copy_ledger(from: &Path, to: &Path, extra: &[u8]) {
    let mut ledger = std::fs::read(from.join("ledger.jsonl")).unwrap();
    ledger.extend_from_slice(extra);
    std::fs::write(to.join("ledger.jsonl"), ledger).unwrap();
}

#[tokio::test]
async fn a_killed_sandbox_goes_on_where_it_was() {
    let faults = Faults { double_permille: 1000, late_permille: 1000, late_ms: 60_000 };
    let rig = Rig::new("wechat", |config| config.faults = faults).await;
    let (paid, open) = (attempt("A_paid"), attempt("A_open"));
    let code = rig.create(&paid).await;
    let open_code = rig.create(&open).await;
    rig.pay(&code).await;
    let back = refund_id("R_part");
    assert_eq!(rig.refund(&refund(&paid, &back, 100)).await, Ok(RefundStatus::Succeeded));
    let before = rig.sandbox.ledger();
    assert_eq!(before[0].refunds.len(), 1);
    // A kill: the file as it is now, with a line that was being written.
    let (other, now_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy_ledger(rig.dir.path(), other.path(), br#"{"at_ms":1,"wallet":"wechat","out_tr"#);
    let open_again = async |dir: &Path| {
        let mut config = Config::new(dir, keys());
        config.faults = faults;
        Sandbox::open(config).await
    };
    let again = open_again(other.path()).await.unwrap();
    assert_eq!(again.ledger(), before);
    assert_eq!(again.fault_counts(), rig.sandbox.fault_counts());
    assert_eq!(again.pay(&code, "123456").await, Err(PayError::AlreadyPaid));
    again.pay(&open_code, "123456").await.unwrap();
    assert!(open_again(other.path()).await.is_err(), "one sandbox at a time");
    again.shutdown().await;
    let third = open_again(other.path()).await.unwrap();
    assert_eq!(
        third.ledger().iter().filter(|entry| entry.paid_ms.is_some()).count(),
        2,
        "the cut did not spoil it"
    );
    // A whole line that cannot be read is not something a kill does, and is never cut off.
    copy_ledger(rig.dir.path(), now_dir.path(), b"nonsense\n");
    assert!(open_again(now_dir.path()).await.is_err());
}

#[tokio::test]
async fn what_was_owed_is_delivered_after_a_restart() {
    let rig = Rig::new("wechat", |config| {
        config.faults = Faults { late_permille: 1000, late_ms: 400, ..Faults::default() };
    })
    .await;
    let code = rig.create(&attempt("A00001")).await;
    rig.pay(&code).await;
    rig.sandbox.shutdown().await;
    assert_eq!(rig.receiver.count(), 0);
    let again = Sandbox::open(Config::new(rig.dir.path(), keys())).await.unwrap();
    rig.receiver.wait(1).await;
    assert!(matches!(rig.notification(0), Notification::Paid(_)));
    for _ in 0..100 {
        if again.fault_counts().late_bit == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the late delivery was not counted");
}

#[tokio::test]
async fn many_customers_share_a_sync() {
    let rig = Arc::new(Rig::new("wechat", |_| ()).await);
    let mut codes = Vec::new();
    for number in 0..40 {
        codes.push(rig.create(&attempt(&format!("A{number:05}"))).await);
    }
    let customers: Vec<_> = codes
        .into_iter()
        .flat_map(|code| [code.clone(), code])
        .map(|code| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.sandbox.pay(&code, "123456").await.is_ok() })
        })
        .collect();
    let mut paid = 0;
    for customer in customers {
        paid += u32::from(customer.await.unwrap());
    }
    assert_eq!(paid, 40, "two customers at each code, one of them pays");
    rig.receiver.wait(40).await;
}

#[tokio::test]
async fn the_phone_asks_for_the_password_and_pays() {
    for provider in BOTH {
        let rig = Rig::new(provider, |_| ()).await;
        let id = attempt("A00001");
        let mut order = payment(&id, now());
        order.description = "Tea <b>\"hot\"</b> 'n' more";
        let code = rig.create_as(&order).await.unwrap();
        let (status, page) = rig.page(&phone_path(&code)).await;
        assert_eq!(status, 200);
        assert!(page.contains("3.50") && page.contains("type=\"password\""), "{page}");
        assert!(!page.contains("<b>") && page.contains("&lt;b&gt;"), "what the merchant wrote is text");
        assert!(!page.contains("<script"));
        let kind = "application/x-www-form-urlencoded";
        let (status, page) =
            rig.post("/phone/pay", kind, form(&[("code", &code), ("password", "000000")])).await;
        assert_eq!(status, 403);
        assert!(page.contains("The password is wrong."), "{page}");
        let (status, page) =
            rig.post("/phone/pay", kind, form(&[("code", &code), ("password", "123456")])).await;
        assert_eq!((status, page.contains("Payment successful")), (200, true));
        let (status, page) = rig.page(&phone_path(&code)).await;
        assert_eq!((status, page.contains("already paid")), (409, true));
        let (status, page) = rig.page("/phone").await;
        assert_eq!((status, page.contains("name=\"code\"")), (200, true));
        let (status, page) = rig.page(&phone_path("<script>alert(1)</script>")).await;
        assert_eq!((status, page.contains("<script")), (404, false));
    }
}

#[tokio::test]
async fn an_automated_customer_can_use_a_coupon() {
    for provider in BOTH {
        let rig = Rig::new(provider, |_| ()).await;
        let id = attempt("A00001");
        let code = rig.create(&id).await;
        let body = |password: &str| {
            format!("{{\"code\":\"{code}\",\"password\":\"{password}\",\"coupon_minor\":50}}")
        };
        let (status, answer) = rig.post("/api/pay", "application/json", body("1")).await;
        assert_eq!((status, answer.contains("wrong_password")), (403, true));
        let (status, _) = rig.post("/api/pay", "application/json", body("123456")).await;
        assert_eq!(status, 200);
        let (status, answer) = rig.post("/api/pay", "application/json", body("123456")).await;
        assert_eq!((status, answer.contains("already_paid")), (409, true));
        rig.receiver.wait(1).await;
        let Notification::Paid(claim) = rig.notification(0) else { panic!("{provider}") };
        assert_eq!(
            claim.amount(),
            cny(350),
            "a coupon changes what the payer pays, not what the order costs"
        );
    }
}

#[tokio::test]
async fn keys_are_made_once_and_for_their_owner_only() {
    let dir = key_dir();
    let again = vend_payments::sandbox::provision(dir).unwrap();
    let (one, two) = (
        again.wechat_account(account_id(), "http://x", "http://y", None),
        keys().wechat_account(account_id(), "http://x", "http://y", None),
    );
    assert_eq!(one.merchant_serial, two.merchant_serial);
    assert_eq!(one.merchant_key_pem, two.merchant_key_pem);
    #[cfg(unix)]
    for file in ["sandbox.json", "wechat_merchant.pem", "alipay_platform.pem"] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
