//! Notifications: verified over their exact bytes, then read; and their acknowledgement.

use std::collections::BTreeMap;
use std::prelude::v1::*;

use http::header;

use super::account::Account;
use super::calls::yuan;
use super::{form, gateway};
use crate::wallet::call::{HttpResponse, Notification, NotificationError};
use crate::wallet::evidence::PaymentClaim;
use crate::wallet::ids::AttemptId;
use crate::wallet::time;

impl Account {
    pub(super) fn read_notification(&self, body: &[u8]) -> Result<Notification, NotificationError> {
        let fields = form::parse(body).ok_or(NotificationError::Malformed("not a form"))?;
        let field = |name: &str| fields.get(name).map(String::as_str).filter(|value| !value.is_empty());
        if field("charset").is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
            return Err(NotificationError::Malformed("another charset"));
        }
        if field("sign_type") != Some("RSA2") {
            return Err(NotificationError::Malformed("another signature scheme"));
        }
        self.verify(&fields, field("sign").ok_or(NotificationError::Malformed("there is no signature"))?)?;
        if field("app_id") != Some(&self.app_id) {
            return Err(NotificationError::Foreign("application"));
        }
        if field("seller_id") != Some(self.seller_id.as_str()) {
            return Err(NotificationError::Foreign("merchant"));
        }
        match field("trade_status") {
            // No freshness is asked for: genuine resends come a day later and `TRADE_FINISHED` after months.
            // What keeps a repeat from selling anything is the attempt's own state.
            Some("TRADE_SUCCESS" | "TRADE_FINISHED") => (),
            Some("TRADE_CLOSED") => return Ok(Notification::Irrelevant { what: "a trade that was closed" }),
            _ => return Ok(Notification::Irrelevant { what: "a trade that is not paid" }),
        }
        let Some(attempt) = field("out_trade_no").and_then(|text| AttemptId::new(text).ok()) else {
            return Ok(Notification::Irrelevant { what: "a payment of another system" });
        };
        // `total_amount`, never `receipt_amount` or `buyer_pay_amount`, which coupons lower.
        let amount = field("total_amount")
            .and_then(yuan)
            .ok_or(NotificationError::Malformed("the amount is not one"))?;
        let transaction =
            field("trade_no").ok_or(NotificationError::Malformed("the payment has no number"))?;
        let paid_at_ms = field("gmt_payment")
            .and_then(time::parse_plain)
            .ok_or(NotificationError::Malformed("the payment has no time"))?;
        Ok(Notification::Paid(PaymentClaim::dangerous_verified(
            self.name.clone(),
            self.seller_id.clone(),
            attempt,
            amount,
            transaction,
            paid_at_ms,
        )))
    }

    fn verify(&self, fields: &BTreeMap<String, String>, sign: &str) -> Result<(), NotificationError> {
        let signed =
            |keep| self.alipay_key.verifies(gateway::notification_text(fields, keep).as_bytes(), sign);
        if signed(true) || signed(false) { Ok(()) } else { Err(NotificationError::BadSignature) }
    }
}

/// Exactly `success`, seven bytes; anything else has it sent again.
pub(super) fn acknowledgement(accepted: bool) -> HttpResponse {
    let mut response = http::Response::new(if accepted { b"success".to_vec() } else { b"fail".to_vec() });
    let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
