//! Notifications: verified, decrypted, read; and their acknowledgement.

use std::prelude::v1::*;

use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::account::Account;
use super::calls::refund_status;
use super::messages::{Envelope, RefundNotice, Transaction};
use crate::wallet::call::{HttpResponse, Notification, NotificationError};
use crate::wallet::ids::{AttemptId, RefundId};

impl Account {
    pub(super) fn read_notification(
        &self,
        now_unix_ms: i64,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Notification, NotificationError> {
        self.verify(now_unix_ms, headers, body)?;
        let envelope: Envelope = json(body)?;
        let resource = &envelope.resource;
        if resource.algorithm != "AEAD_AES_256_GCM" {
            return Err(NotificationError::Malformed("another cipher"));
        }
        let associated = resource.associated_data.as_deref().unwrap_or_default();
        let plain = self
            .api_v3_key
            .open(&resource.nonce, associated, &resource.ciphertext)
            .ok_or(NotificationError::Decrypt)?;
        match envelope.event_type.as_str() {
            "TRANSACTION.SUCCESS" => self.read_payment(json(&plain)?),
            "REFUND.SUCCESS" | "REFUND.ABNORMAL" | "REFUND.CLOSED" => self.read_refund_notice(&json(&plain)?),
            _ => Ok(Notification::Irrelevant { what: "an event of another kind" }),
        }
    }

    fn read_payment(&self, paid: Transaction) -> Result<Notification, NotificationError> {
        self.is_ours(&paid.mchid, paid.appid.as_deref()).map_err(NotificationError::Foreign)?;
        if paid.trade_state != "SUCCESS" {
            return Ok(Notification::Irrelevant { what: "a transaction that is not paid" });
        }
        // A number we could not have given belongs to another system of the same merchant.
        let Ok(attempt) = AttemptId::new(paid.out_trade_no.as_str()) else {
            return Ok(Notification::Irrelevant { what: "a payment of another system" });
        };
        self.claim(attempt, paid).map(Notification::Paid).map_err(NotificationError::Malformed)
    }

    fn read_refund_notice(&self, notice: &RefundNotice) -> Result<Notification, NotificationError> {
        self.is_ours(&notice.mchid, None).map_err(NotificationError::Foreign)?;
        let Ok(refund) = RefundId::new(notice.out_refund_no.as_str()) else {
            return Ok(Notification::Irrelevant { what: "a refund of another system" });
        };
        Ok(Notification::Refund { refund, status: refund_status(&notice.refund_status) })
    }
}

/// 204 without a body, or 500 with WeChat's form of a failure, which has it sent again.
pub(super) fn acknowledgement(accepted: bool) -> HttpResponse {
    let mut response = http::Response::new(Vec::new());
    if accepted {
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        *response.body_mut() = br#"{"code":"FAIL","message":"not accepted"}"#.to_vec();
    }
    response
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, NotificationError> {
    serde_json::from_slice(body).map_err(|_| NotificationError::Malformed("a field is missing"))
}
