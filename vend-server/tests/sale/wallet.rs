//! A wallet of the tests' own: its notifications are what the test says they are, and its service is a stub that counts.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use vend_payments::wallet::{
    AccountId, AttemptId, CallContext, CallError, CloseOutcome, ClosePayment, CreatePayment, Created,
    HttpRequest, HttpResponse, MerchantId, Notification, NotificationError, PaymentClaim, QueryResult,
    RefundPayment, RefundStatus, Wallet,
};
use vend_protocol::{Currency, Money};

/// What the service holds of an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) amount: u32,
    pub(crate) paid: bool,
    pub(crate) closed: bool,
    /// Given back by somebody else than us.
    pub(crate) returned: bool,
    /// By refund id.
    pub(crate) refunds: HashMap<String, u32>,
}

/// The service behind the wallet, shared by all accounts.
#[derive(Clone, Default)]
pub(crate) struct Service {
    pub(crate) attempts: Arc<Mutex<HashMap<String, Held>>>,
    /// Calls of each kind.
    pub(crate) calls: Arc<Mutex<HashMap<String, u32>>>,
    /// Answer this many refund calls with nothing useful, after they had their effect.
    pub(crate) mute_refunds: Arc<Mutex<u32>>,
}

impl Service {
    pub(crate) async fn start(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(answer)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        addr
    }

    pub(crate) fn refunded(&self, attempt: &str) -> u32 {
        self.attempts.lock().unwrap().get(attempt).map_or(0, |held| held.refunds.values().sum())
    }

    pub(crate) fn calls(&self, kind: &str) -> u32 {
        self.calls.lock().unwrap().get(kind).copied().unwrap_or(0)
    }
}

async fn answer(State(service): State<Service>, Json(call): Json<Value>) -> Json<Value> {
    let kind = call["kind"].as_str().unwrap().to_owned();
    *service.calls.lock().unwrap().entry(kind.clone()).or_default() += 1;
    let mut attempts = service.attempts.lock().unwrap();
    let held = attempts.entry(call["attempt"].as_str().unwrap().to_owned()).or_default();
    let result = match kind.as_str() {
        "create" => {
            held.amount = u32::try_from(call["amount"].as_u64().unwrap()).unwrap();
            json!({ "code": format!("pay:{}", call["attempt"].as_str().unwrap()) })
        }
        "query" => {
            json!({ "paid": held.paid, "closed": held.closed, "returned": held.returned, "amount": held.amount })
        }
        "close" => {
            held.closed |= !held.paid;
            json!({ "closed": held.closed })
        }
        "refund" => {
            let amount = u32::try_from(call["amount"].as_u64().unwrap()).unwrap();
            held.refunds.insert(call["refund"].as_str().unwrap().to_owned(), amount);
            let mut mute = service.mute_refunds.lock().unwrap();
            let silent = *mute > 0;
            *mute = mute.saturating_sub(1);
            if silent { json!("?") } else { json!({ "made": true }) }
        }
        "refund-query" => json!({ "made": held.refunds.contains_key(call["refund"].as_str().unwrap()) }),
        other => panic!("{other}"),
    };
    Json(result)
}

/// One account at that service.
pub(crate) struct TestWallet {
    account: AccountId,
    merchant: MerchantId,
    service: SocketAddr,
}

impl TestWallet {
    pub(crate) fn new(account: &str, merchant: &str, service: SocketAddr) -> Self {
        Self {
            account: AccountId::new(account).unwrap(),
            merchant: MerchantId::new(merchant).unwrap(),
            service,
        }
    }

    fn request(&self, body: &Value) -> Result<HttpRequest, CallError> {
        http::Request::post(format!("http://{}/", self.service))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|_| CallError::NotSent("request"))
    }

    fn claim(&self, attempt: &AttemptId, amount: u32) -> PaymentClaim {
        PaymentClaim::dangerous_verified(
            self.account.clone(),
            self.merchant.clone(),
            attempt.clone(),
            Money::new(amount, Currency::CNY),
            format!("t{}", attempt.as_str()),
            vend_server::engine::now_ms(),
        )
    }
}

fn read(response: &HttpResponse) -> Result<Value, CallError> {
    serde_json::from_slice::<Value>(response.body())
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| CallError::unknown("no answer"))
}

impl Wallet for TestWallet {
    fn provider(&self) -> &'static str {
        "test"
    }

    fn account(&self) -> &AccountId {
        &self.account
    }

    fn merchant(&self) -> &MerchantId {
        &self.merchant
    }

    fn takes(&self, currency: Currency) -> bool {
        currency == Currency::CNY
    }

    fn create_request(&self, _: &CallContext, payment: &CreatePayment<'_>) -> Result<HttpRequest, CallError> {
        let amount = payment.amount.minor();
        self.request(&json!({ "kind": "create", "attempt": payment.attempt.as_str(), "amount": amount }))
    }

    fn read_create(
        &self,
        _: i64,
        _: &CreatePayment<'_>,
        response: &HttpResponse,
    ) -> Result<Created, CallError> {
        Ok(Created::new(read(response)?["code"].as_str().unwrap()))
    }

    fn query_request(&self, _: &CallContext, attempt: &AttemptId) -> Result<HttpRequest, CallError> {
        self.request(&json!({ "kind": "query", "attempt": attempt.as_str() }))
    }

    fn read_query(
        &self,
        _: i64,
        attempt: &AttemptId,
        response: &HttpResponse,
    ) -> Result<QueryResult, CallError> {
        let answer = read(response)?;
        let amount = u32::try_from(answer["amount"].as_u64().unwrap()).unwrap();
        Ok(match (answer["paid"] == true, answer["closed"] == true) {
            (true, _) if answer["returned"] == true => QueryResult::Refunded(self.claim(attempt, amount)),
            (true, _) => QueryResult::Paid(self.claim(attempt, amount)),
            (false, true) => QueryResult::Closed,
            (false, false) => QueryResult::NotPaid,
        })
    }

    fn close_request(&self, _: &CallContext, close: &ClosePayment<'_>) -> Result<HttpRequest, CallError> {
        self.request(&json!({ "kind": "close", "attempt": close.attempt.as_str() }))
    }

    fn read_close(
        &self,
        _: i64,
        _: &ClosePayment<'_>,
        response: &HttpResponse,
    ) -> Result<CloseOutcome, CallError> {
        let closed = read(response)?["closed"] == true;
        Ok(if closed { CloseOutcome::Closed } else { CloseOutcome::AlreadyPaid })
    }

    fn refund_request(&self, _: &CallContext, refund: &RefundPayment<'_>) -> Result<HttpRequest, CallError> {
        self.request(&json!({
            "kind": "refund", "attempt": refund.attempt.as_str(),
            "refund": refund.refund.as_str(), "amount": refund.amount.minor(),
        }))
    }

    fn read_refund(
        &self,
        _: i64,
        _: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError> {
        read(response).map(|_| RefundStatus::Succeeded)
    }

    fn refund_query_request(
        &self,
        _: &CallContext,
        refund: &RefundPayment<'_>,
    ) -> Result<HttpRequest, CallError> {
        self.request(&json!({
            "kind": "refund-query", "attempt": refund.attempt.as_str(), "refund": refund.refund.as_str(),
        }))
    }

    fn read_refund_query(
        &self,
        _: i64,
        _: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError> {
        let made = read(response)?["made"] == true;
        Ok(if made { RefundStatus::Succeeded } else { RefundStatus::NotFound })
    }

    /// The body says it all: `{attempt, merchant?, amount, transaction}`. What a real wallet would verify is its own tests' matter.
    fn parse_notification(
        &self,
        now_unix_ms: i64,
        _: &http::HeaderMap,
        body: &[u8],
    ) -> Result<Notification, NotificationError> {
        let body: Value = serde_json::from_slice(body).map_err(|_| NotificationError::Malformed("json"))?;
        let text = |field: &str| body[field].as_str().unwrap().to_owned();
        let merchant =
            body["merchant"].as_str().map_or_else(|| self.merchant.clone(), |m| MerchantId::new(m).unwrap());
        let amount = Money::new(u32::try_from(body["amount"].as_u64().unwrap()).unwrap(), Currency::CNY);
        let attempt = AttemptId::new(text("attempt")).unwrap();
        Ok(Notification::Paid(PaymentClaim::dangerous_verified(
            self.account.clone(),
            merchant,
            attempt,
            amount,
            text("transaction"),
            now_unix_ms,
        )))
    }

    fn acknowledge(&self, accepted: bool) -> HttpResponse {
        http::Response::builder().status(if accepted { 200 } else { 500 }).body(Vec::new()).unwrap()
    }
}
