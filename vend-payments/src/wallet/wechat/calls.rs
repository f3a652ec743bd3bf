//! The calls: requests out, answers in.

use std::format;
use std::prelude::v1::*;

use http::{HeaderMap, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vend_protocol::{Currency, Money};

use super::account::Account;
use super::messages::{
    Close, CodeUrl, Failure, NativeOrder, Refund, RefundAmount, RefundAnswer, Total, Transaction,
};
use crate::wallet::call::{
    CallContext, CallError, CloseOutcome, ClosePayment, CreatePayment, Created, HttpRequest, HttpResponse,
    Notification, NotificationError, QueryResult, RefundPayment, RefundStatus,
};
use crate::wallet::evidence::PaymentClaim;
use crate::wallet::ids::{AccountId, AttemptId, MerchantId, cut};
use crate::wallet::{Wallet, time};

/// The shortest time WeChat lets a code live.
const SHORTEST_MS: i64 = 60_000;

/// An answer that is known to be WeChat's, or a refusal, which WeChat never signs.
enum Answer<'r> {
    Body(&'r [u8]),
    Refused { status: u16, code: String },
}

impl Account {
    /// Branches on the status first, since only a success is signed.
    fn open<'r>(&self, now_unix_ms: i64, response: &'r HttpResponse) -> Result<Answer<'r>, CallError> {
        let status = response.status().as_u16();
        match status {
            200 | 204 => match self.verify(now_unix_ms, response.headers(), response.body()) {
                Ok(()) => Ok(Answer::Body(response.body())),
                Err(error) => Err(CallError::unknown(format!("the answer is not believed: {error}"))),
            },
            400..=499 => match serde_json::from_slice::<Failure>(response.body()) {
                // A fault of theirs under any status is a fault of theirs.
                Ok(failure) if is_fault(&failure.code) => Err(CallError::Unknown(failure.code)),
                Ok(failure) if is_code(&failure.code) => Ok(Answer::Refused { status, code: failure.code }),
                // Not WeChat's form: a proxy in between, and nobody knows what it forwarded.
                _ => Err(CallError::unknown(format!("HTTP {status} without a code"))),
            },
            _ => Err(CallError::unknown(format!("HTTP {status}"))),
        }
    }

    /// Opens an answer where any refusal is just that.
    fn body<'r>(&self, now_unix_ms: i64, response: &'r HttpResponse) -> Result<&'r [u8], CallError> {
        match self.open(now_unix_ms, response)? {
            Answer::Body(body) => Ok(body),
            Answer::Refused { code, .. } => Err(CallError::Rejected { code }),
        }
    }

    /// Whether a transaction is of this account's merchant and application.
    pub(super) fn is_ours(&self, mchid: &str, appid: Option<&str>) -> Result<(), &'static str> {
        if mchid != self.mchid.as_str() {
            return Err("merchant");
        }
        if appid.is_some_and(|appid| appid != self.appid) {
            return Err("application");
        }
        Ok(())
    }

    /// The claim of a transaction that was paid, for an attempt whose id is known to be legal.
    pub(super) fn claim(&self, attempt: AttemptId, paid: Transaction) -> Result<PaymentClaim, &'static str> {
        let amount = paid.amount.and_then(|amount| amount.money()).ok_or("the payment has no amount")?;
        let transaction = paid.transaction_id.ok_or("the payment has no number")?;
        let paid_at_ms =
            paid.success_time.as_deref().and_then(time::parse_rfc3339).ok_or("the payment has no time")?;
        Ok(PaymentClaim::dangerous_verified(
            self.name.clone(),
            self.mchid.clone(),
            attempt,
            amount,
            transaction,
            paid_at_ms,
        ))
    }

    fn read_refund_answer(refund: &RefundPayment<'_>, body: &[u8]) -> Result<RefundStatus, CallError> {
        let answer: RefundAnswer = json(body)?;
        if answer.out_refund_no != refund.refund.as_str()
            || answer.out_trade_no != refund.attempt.as_str()
            || answer.amount.refund != refund.amount.minor()
        {
            return Err(CallError::unknown("the answer is about another refund"));
        }
        Ok(refund_status(&answer.status))
    }
}

/// The states of a refund, under whichever name the field has.
pub(super) fn refund_status(status: &str) -> RefundStatus {
    match status {
        "SUCCESS" => RefundStatus::Succeeded,
        "CLOSED" => RefundStatus::Closed,
        "ABNORMAL" => RefundStatus::NeedsOperator,
        // PROCESSING, and what may be added one day: ask again.
        _ => RefundStatus::Processing,
    }
}

impl Wallet for Account {
    fn provider(&self) -> &'static str {
        "wechat"
    }

    fn account(&self) -> &AccountId {
        &self.name
    }

    fn merchant(&self) -> &MerchantId {
        &self.mchid
    }

    fn takes(&self, currency: Currency) -> bool {
        currency == Currency::CNY
    }

    fn create_request(
        &self,
        context: &CallContext,
        payment: &CreatePayment<'_>,
    ) -> Result<HttpRequest, CallError> {
        let earliest = context.now_unix_ms.saturating_add(SHORTEST_MS);
        // Whole seconds, rounded up, so that rounding does not fall below the minute.
        let expires_ms = payment.expires_at_ms.max(earliest).saturating_add(999);
        let order = NativeOrder {
            appid: &self.appid,
            mchid: self.mchid.as_str(),
            description: cut(payment.description, 127),
            out_trade_no: payment.attempt.as_str(),
            time_expire: time::rfc3339(expires_ms).ok_or(CallError::NotSent("the expiry is out of range"))?,
            attach: format!("machine={}", payment.machine),
            notify_url: &self.notify_url,
            amount: Total { total: fen(payment.amount)?, currency: "CNY" },
        };
        self.request(context, Method::POST, "/v3/pay/transactions/native", to_json(&order)?)
    }

    fn read_create(
        &self,
        now_unix_ms: i64,
        _payment: &CreatePayment<'_>,
        response: &HttpResponse,
    ) -> Result<Created, CallError> {
        let answer: CodeUrl = json(self.body(now_unix_ms, response)?)?;
        Ok(Created::new(answer.code_url))
    }

    fn query_request(&self, context: &CallContext, attempt: &AttemptId) -> Result<HttpRequest, CallError> {
        let path = format!("/v3/pay/transactions/out-trade-no/{attempt}?mchid={}", self.mchid);
        self.request(context, Method::GET, &path, Vec::new())
    }

    fn read_query(
        &self,
        now_unix_ms: i64,
        attempt: &AttemptId,
        response: &HttpResponse,
    ) -> Result<QueryResult, CallError> {
        let body = match self.open(now_unix_ms, response)? {
            Answer::Body(body) => body,
            Answer::Refused { status: 404, code } if is_not_found(&code) => return Ok(QueryResult::NotFound),
            Answer::Refused { code, .. } => return Err(CallError::Rejected { code }),
        };
        let found: Transaction = json(body)?;
        if found.out_trade_no != attempt.as_str() {
            return Err(CallError::unknown("the answer is about another attempt"));
        }
        self.is_ours(&found.mchid, found.appid.as_deref())
            .map_err(|what| CallError::unknown(format!("the answer is for another {what}")))?;
        let claim = |found| self.claim(attempt.clone(), found).map_err(CallError::unknown);
        match found.trade_state.as_str() {
            "SUCCESS" => claim(found).map(QueryResult::Paid),
            // Also after a partial refund: it was paid.
            "REFUND" => claim(found).map(QueryResult::Refunded),
            "CLOSED" | "REVOKED" => Ok(QueryResult::Closed),
            // Not final: a customer may still be typing the password.
            "NOTPAY" | "USERPAYING" | "PAYERROR" | "ACCEPT" => Ok(QueryResult::NotPaid),
            other => Err(CallError::unknown(format!("trade state {}", cut(other, 32)))),
        }
    }

    fn close_request(
        &self,
        context: &CallContext,
        close: &ClosePayment<'_>,
    ) -> Result<HttpRequest, CallError> {
        let path = format!("/v3/pay/transactions/out-trade-no/{}/close", close.attempt);
        self.request(context, Method::POST, &path, to_json(&Close { mchid: self.mchid.as_str() })?)
    }

    fn read_close(
        &self,
        now_unix_ms: i64,
        _close: &ClosePayment<'_>,
        response: &HttpResponse,
    ) -> Result<CloseOutcome, CallError> {
        match self.open(now_unix_ms, response)? {
            Answer::Body(_) => Ok(CloseOutcome::Closed),
            Answer::Refused { code, .. } if code == "ORDER_CLOSED" => Ok(CloseOutcome::Closed),
            Answer::Refused { status: 404, code } if is_not_found(&code) => Ok(CloseOutcome::NotFound),
            Answer::Refused { code, .. } if matches!(&*code, "TRADE_ERROR" | "ORDERPAID" | "ORDER_PAID") => {
                Ok(CloseOutcome::AlreadyPaid)
            }
            Answer::Refused { code, .. } => Err(CallError::Rejected { code }),
        }
    }

    fn refund_request(
        &self,
        context: &CallContext,
        refund: &RefundPayment<'_>,
    ) -> Result<HttpRequest, CallError> {
        if refund.amount.minor() > refund.paid.minor() {
            return Err(CallError::NotSent("a refund cannot exceed what was paid"));
        }
        let body = Refund {
            out_trade_no: refund.attempt.as_str(),
            out_refund_no: refund.refund.as_str(),
            reason: cut(refund.reason, 80),
            notify_url: self.refund_notify_url.as_deref(),
            amount: RefundAmount { refund: fen(refund.amount)?, total: fen(refund.paid)?, currency: "CNY" },
        };
        self.request(context, Method::POST, "/v3/refund/domestic/refunds", to_json(&body)?)
    }

    fn read_refund(
        &self,
        now_unix_ms: i64,
        refund: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError> {
        match self.open(now_unix_ms, response)? {
            Answer::Body(body) => Self::read_refund_answer(refund, body),
            // Too many calls, yet this one may have been taken: only the refund query tells.
            Answer::Refused { status: 429, code } => Err(CallError::Unknown(code)),
            Answer::Refused { code, .. } => Err(CallError::Rejected { code }),
        }
    }

    fn refund_query_request(
        &self,
        context: &CallContext,
        refund: &RefundPayment<'_>,
    ) -> Result<HttpRequest, CallError> {
        self.request(
            context,
            Method::GET,
            &format!("/v3/refund/domestic/refunds/{}", refund.refund),
            Vec::new(),
        )
    }

    fn read_refund_query(
        &self,
        now_unix_ms: i64,
        refund: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError> {
        match self.open(now_unix_ms, response)? {
            Answer::Body(body) => Self::read_refund_answer(refund, body),
            Answer::Refused { status: 404, code } if is_not_found(&code) => Ok(RefundStatus::NotFound),
            Answer::Refused { code, .. } => Err(CallError::Rejected { code }),
        }
    }

    fn parse_notification(
        &self,
        now_unix_ms: i64,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Notification, NotificationError> {
        self.read_notification(now_unix_ms, headers, body)
    }

    fn acknowledge(&self, accepted: bool) -> HttpResponse {
        super::notification::acknowledgement(accepted)
    }
}

/// Only these say that there is no such order or refund; `MCH_NOT_EXISTS` is a 404 too and says something else.
fn is_not_found(code: &str) -> bool {
    matches!(code, "ORDER_NOT_EXIST" | "ORDERNOTEXIST" | "RESOURCE_NOT_EXISTS")
}

fn is_fault(code: &str) -> bool {
    matches!(code, "SYSTEM_ERROR" | "SERVICE_UNAVAILABLE" | "BANK_ERROR")
}

/// Refusals are not signed, so a code is repeated in logs only when it looks like one.
fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn fen(amount: Money) -> Result<u32, CallError> {
    match amount.minor() {
        _ if amount.currency() != Currency::CNY => Err(CallError::NotSent("WeChat Pay takes renminbi only")),
        0 => Err(CallError::NotSent("the amount is zero")),
        fen => Ok(fen),
    }
}

fn to_json(body: &impl Serialize) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(body).map_err(|_| CallError::NotSent("the request cannot be written as JSON"))
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|_| CallError::unknown("the answer lacks a field"))
}
