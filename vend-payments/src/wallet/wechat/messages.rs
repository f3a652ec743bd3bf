//! The JSON of the calls. Only the fields that are used are read: WeChat adds fields at will.

use std::prelude::v1::*;

use serde::{Deserialize, Serialize};
use vend_protocol::{Currency, Money};

#[derive(Serialize)]
pub(super) struct NativeOrder<'a> {
    pub(super) appid: &'a str,
    pub(super) mchid: &'a str,
    pub(super) description: &'a str,
    pub(super) out_trade_no: &'a str,
    pub(super) time_expire: String,
    pub(super) attach: String,
    pub(super) notify_url: &'a str,
    pub(super) amount: Total,
}

#[derive(Serialize)]
pub(super) struct Total {
    pub(super) total: u32,
    pub(super) currency: &'static str,
}

#[derive(Serialize)]
pub(super) struct Close<'a> {
    pub(super) mchid: &'a str,
}

#[derive(Serialize)]
pub(super) struct Refund<'a> {
    pub(super) out_trade_no: &'a str,
    pub(super) out_refund_no: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notify_url: Option<&'a str>,
    pub(super) amount: RefundAmount,
}

#[derive(Serialize)]
pub(super) struct RefundAmount {
    pub(super) refund: u32,
    pub(super) total: u32,
    pub(super) currency: &'static str,
}

#[derive(Deserialize)]
pub(super) struct CodeUrl {
    pub(super) code_url: String,
}

/// A transaction, in a query's answer and decrypted from a notification alike.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "WeChat's names")]
pub(super) struct Transaction {
    pub(super) appid: Option<String>,
    pub(super) mchid: String,
    pub(super) out_trade_no: String,
    pub(super) transaction_id: Option<String>,
    pub(super) trade_state: String,
    pub(super) success_time: Option<String>,
    pub(super) amount: Option<Amount>,
}

/// `total` is what the order costs. `payer_total`, which coupons lower, is not read on purpose.
#[derive(Deserialize)]
pub(super) struct Amount {
    total: u32,
    currency: Option<String>,
}

impl Amount {
    /// Mainland accounts leave the currency out at times; it is renminbi then.
    pub(super) fn money(&self) -> Option<Money> {
        let currency = match &self.currency {
            Some(code) => Currency::from_code(code).ok()?,
            None => Currency::CNY,
        };
        Some(Money::new(self.total, currency))
    }
}

/// A refund in an answer.
#[derive(Deserialize)]
pub(super) struct RefundAnswer {
    pub(super) out_trade_no: String,
    pub(super) out_refund_no: String,
    pub(super) status: String,
    pub(super) amount: AnsweredRefund,
}

#[derive(Deserialize)]
pub(super) struct AnsweredRefund {
    pub(super) refund: u32,
}

/// A refund in a notification, where the state has another name.
#[derive(Deserialize)]
pub(super) struct RefundNotice {
    pub(super) mchid: String,
    pub(super) out_refund_no: String,
    pub(super) refund_status: String,
}

#[derive(Deserialize)]
pub(super) struct Envelope {
    pub(super) event_type: String,
    pub(super) resource: Resource,
}

#[derive(Deserialize)]
pub(super) struct Resource {
    pub(super) algorithm: String,
    pub(super) ciphertext: String,
    #[serde(default)]
    pub(super) associated_data: Option<String>,
    pub(super) nonce: String,
}

#[derive(Deserialize)]
pub(super) struct Failure {
    pub(super) code: String,
}
