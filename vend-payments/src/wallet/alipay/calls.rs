//! The calls: requests out, answers in.

use std::format;
use std::prelude::v1::*;
use std::string::ToString;

use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use vend_protocol::{Currency, Money};

use super::account::Account;
use crate::wallet::call::{
    CallContext, CallError, CloseOutcome, ClosePayment, CloseReason, CreatePayment, Created, HttpRequest,
    HttpResponse, Notification, NotificationError, QueryResult, RefundPayment, RefundStatus,
};
use crate::wallet::evidence::PaymentClaim;
use crate::wallet::ids::{AccountId, AttemptId, MerchantId, cut};
use crate::wallet::{Wallet, time};

const PRECREATE: &str = "alipay.trade.precreate";
const QUERY: &str = "alipay.trade.query";
const CLOSE: &str = "alipay.trade.close";
const CANCEL: &str = "alipay.trade.cancel";
const REFUND: &str = "alipay.trade.refund";
const REFUND_QUERY: &str = "alipay.trade.fastpay.refund.query";

/// The shortest time Alipay lets a code live.
const SHORTEST_MS: i64 = 60_000;

#[derive(Deserialize)]
struct Precreated {
    out_trade_no: String,
    qr_code: String,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "Alipay's names")]
struct Trade {
    out_trade_no: String,
    trade_no: String,
    trade_status: String,
    total_amount: String,
    send_pay_date: Option<String>,
}

#[derive(Deserialize)]
struct Cancelled {
    out_trade_no: Option<String>,
    retry_flag: Option<String>,
    action: Option<String>,
}

#[derive(Deserialize)]
struct Closed {
    out_trade_no: Option<String>,
}

/// `refund_fee` is not read on purpose: it is the sum of all refunds of the trade, not this one.
#[derive(Deserialize)]
struct Refunded {
    out_trade_no: String,
    fund_change: Option<String>,
}

#[derive(Deserialize)]
struct RefundFound {
    out_request_no: Option<String>,
    refund_amount: Option<String>,
    refund_status: Option<String>,
}

impl Account {
    fn claim(&self, attempt: &AttemptId, trade: Trade) -> Result<PaymentClaim, CallError> {
        let amount = yuan(&trade.total_amount).ok_or_else(|| CallError::unknown("the amount is not one"))?;
        let paid_at_ms = trade
            .send_pay_date
            .as_deref()
            .and_then(time::parse_plain)
            .ok_or_else(|| CallError::unknown("the payment has no time"))?;
        // The answer does not name the seller; it is signed for our application, which has one.
        Ok(PaymentClaim::dangerous_verified(
            self.name.clone(),
            self.seller_id.clone(),
            attempt.clone(),
            amount,
            trade.trade_no,
            paid_at_ms,
        ))
    }

    fn read_cancel(&self, attempt: &AttemptId, response: &HttpResponse) -> Result<CloseOutcome, CallError> {
        let node = match self.open(CANCEL, response)? {
            Ok(node) => node,
            Err(refusal) if refusal.sub_code == "ACQ.TRADE_NOT_EXIST" => return Ok(CloseOutcome::NotFound),
            Err(refusal) => return Err(refusal.rejected()),
        };
        let answer: Cancelled = parse(node)?;
        about(attempt, answer.out_trade_no.as_deref())?;
        if answer.retry_flag.as_deref() == Some("Y") {
            return Err(CallError::unknown("Alipay asks to cancel again"));
        }
        match answer.action.as_deref() {
            Some("close") => Ok(CloseOutcome::Closed),
            Some("refund") => Ok(CloseOutcome::Refunded),
            // No action: there was no trade to act on.
            None | Some("") => Ok(CloseOutcome::NotFound),
            Some(_) => Err(CallError::unknown("an action that is not known")),
        }
    }
}

impl Wallet for Account {
    fn provider(&self) -> &'static str {
        "alipay"
    }

    fn account(&self) -> &AccountId {
        &self.name
    }

    fn merchant(&self) -> &MerchantId {
        &self.seller_id
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
        let expires_ms = payment.expires_at_ms.max(earliest).saturating_add(999);
        let lives_ms = expires_ms.saturating_sub(context.now_unix_ms);
        // Alipay refuses these characters in a subject; a product's name is not worth a lost sale.
        let subject = payment.description.replace(['/', '=', '&'], " ");
        let subject = cut(subject.trim(), 256);
        if subject.is_empty() {
            return Err(CallError::NotSent("Alipay wants a description"));
        }
        let content = json!({
            "out_trade_no": payment.attempt,
            "total_amount": decimal(payment.amount)?,
            "subject": subject,
            "product_code": self.product_code.as_str(),
            "seller_id": self.seller_id,
            "terminal_id": payment.machine.to_string(),
            // The trade's last moment, and the code's, which is counted in whole minutes.
            "time_expire": time::plain(expires_ms).ok_or(CallError::NotSent("the expiry is out of range"))?,
            "qr_code_timeout_express": format!("{}m", (lives_ms / 60_000).max(1)),
        });
        self.request(context, PRECREATE, true, &content)
    }

    fn read_create(
        &self,
        _now_unix_ms: i64,
        payment: &CreatePayment<'_>,
        response: &HttpResponse,
    ) -> Result<Created, CallError> {
        let node = self.open(PRECREATE, response)?.map_err(super::gateway::Refusal::rejected)?;
        let answer: Precreated = parse(node)?;
        about(payment.attempt, Some(&answer.out_trade_no))?;
        Ok(Created::new(answer.qr_code))
    }

    fn query_request(&self, context: &CallContext, attempt: &AttemptId) -> Result<HttpRequest, CallError> {
        self.request(context, QUERY, false, &json!({ "out_trade_no": attempt }))
    }

    fn read_query(
        &self,
        _now_unix_ms: i64,
        attempt: &AttemptId,
        response: &HttpResponse,
    ) -> Result<QueryResult, CallError> {
        let node = match self.open(QUERY, response)? {
            Ok(node) => node,
            // The trade begins when somebody scans the code.
            Err(refusal) if refusal.sub_code == "ACQ.TRADE_NOT_EXIST" => return Ok(QueryResult::NotFound),
            Err(refusal) => return Err(refusal.rejected()),
        };
        let trade: Trade = parse(node)?;
        about(attempt, Some(&trade.out_trade_no))?;
        match trade.trade_status.as_str() {
            "TRADE_SUCCESS" | "TRADE_FINISHED" => self.claim(attempt, trade).map(QueryResult::Paid),
            "WAIT_BUYER_PAY" => Ok(QueryResult::NotPaid),
            // Timed out unpaid, or wholly refunded: only a payment has a time.
            "TRADE_CLOSED" if trade.send_pay_date.as_deref().is_none_or(str::is_empty) => {
                Ok(QueryResult::Closed)
            }
            "TRADE_CLOSED" => self.claim(attempt, trade).map(QueryResult::Refunded),
            other => Err(CallError::unknown(format!("trade status {}", cut(other, 32)))),
        }
    }

    fn close_request(
        &self,
        context: &CallContext,
        close: &ClosePayment<'_>,
    ) -> Result<HttpRequest, CallError> {
        let method = match close.reason {
            CloseReason::Unpaid => CLOSE,
            CloseReason::Unknown => CANCEL,
        };
        self.request(context, method, false, &json!({ "out_trade_no": close.attempt }))
    }

    fn read_close(
        &self,
        _now_unix_ms: i64,
        close: &ClosePayment<'_>,
        response: &HttpResponse,
    ) -> Result<CloseOutcome, CallError> {
        if close.reason == CloseReason::Unknown {
            return self.read_cancel(close.attempt, response);
        }
        match self.open(CLOSE, response)? {
            Ok(node) => {
                about(close.attempt, parse::<Closed>(node)?.out_trade_no.as_deref())?;
                Ok(CloseOutcome::Closed)
            }
            Err(refusal) => match refusal.sub_code.as_str() {
                "ACQ.TRADE_NOT_EXIST" => Ok(CloseOutcome::NotFound),
                "ACQ.TRADE_STATUS_ERROR"
                | "ACQ.REASON_TRADE_STATUS_INVALID"
                | "ACQ.REASON_ILLEGAL_STATUS" => Ok(CloseOutcome::AlreadyPaid),
                _ => Err(refusal.rejected()),
            },
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
        let mut content = json!({
            "out_trade_no": refund.attempt,
            "refund_amount": decimal(refund.amount)?,
            // Without it a second call would be a second refund.
            "out_request_no": refund.refund,
        });
        if !refund.reason.is_empty() {
            content["refund_reason"] = cut(refund.reason, 256).into();
        }
        self.request(context, REFUND, false, &content)
    }

    fn read_refund(
        &self,
        _now_unix_ms: i64,
        refund: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError> {
        let node = self.open(REFUND, response)?.map_err(super::gateway::Refusal::rejected)?;
        let answer: Refunded = parse(node)?;
        about(refund.attempt, Some(&answer.out_trade_no))?;
        match answer.fund_change.as_deref() {
            Some("Y") => Ok(RefundStatus::Succeeded),
            // Nothing moved by *this* call: it may have moved by an earlier one.
            _ => Ok(RefundStatus::Processing),
        }
    }

    fn refund_query_request(
        &self,
        context: &CallContext,
        refund: &RefundPayment<'_>,
    ) -> Result<HttpRequest, CallError> {
        let content = json!({ "out_trade_no": refund.attempt, "out_request_no": refund.refund });
        self.request(context, REFUND_QUERY, false, &content)
    }

    fn read_refund_query(
        &self,
        _now_unix_ms: i64,
        refund: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError> {
        let node = match self.open(REFUND_QUERY, response)? {
            Ok(node) => node,
            Err(refusal) if refusal.sub_code == "ACQ.TRADE_NOT_EXIST" => return Ok(RefundStatus::NotFound),
            Err(refusal) => return Err(refusal.rejected()),
        };
        let found: RefundFound = parse(node)?;
        match found.refund_status.as_deref() {
            Some("REFUND_SUCCESS") => {
                let amount = found.refund_amount.as_deref().and_then(yuan);
                if found.out_request_no.as_deref() != Some(refund.refund.as_str())
                    || amount != Some(refund.amount)
                {
                    return Err(CallError::unknown("the answer is about another refund"));
                }
                Ok(RefundStatus::Succeeded)
            }
            // Not received, or it failed: the same id again is the way in both cases.
            None | Some("") => Ok(RefundStatus::NotFound),
            Some(_) => Ok(RefundStatus::Processing),
        }
    }

    fn parse_notification(
        &self,
        _now_unix_ms: i64,
        _headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Notification, NotificationError> {
        self.read_notification(body)
    }

    fn acknowledge(&self, accepted: bool) -> HttpResponse {
        super::notification::acknowledgement(accepted)
    }
}

/// An amount as Alipay writes it, always in renminbi.
pub(super) fn yuan(text: &str) -> Option<Money> {
    Money::parse_decimal(text, Currency::CNY).ok()
}

fn decimal(amount: Money) -> Result<String, CallError> {
    if amount.currency() != Currency::CNY {
        return Err(CallError::NotSent("Alipay takes renminbi only"));
    }
    if amount.is_zero() {
        return Err(CallError::NotSent("the amount is zero"));
    }
    Ok(amount.decimal().to_string())
}

/// A signed answer to another question is no answer to this one.
fn about(attempt: &AttemptId, answered: Option<&str>) -> Result<(), CallError> {
    match answered {
        Some(other) if other != attempt.as_str() => {
            Err(CallError::unknown("the answer is about another attempt"))
        }
        _ => Ok(()),
    }
}

fn parse<T: DeserializeOwned>(node: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(node).map_err(|_| CallError::unknown("the answer lacks a field"))
}
