//! The sandbox's own account of what happened, to be compared with the server's.

use std::prelude::v1::*;

use super::book::Order;

/// What happened to one attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// `wechat` or `alipay`.
    pub wallet: String,
    /// The attempt's id.
    pub out_trade_no: String,
    /// What it asks for, in fen.
    pub amount_minor: u32,
    /// When it was created, in Unix milliseconds.
    pub created_ms: i64,
    /// When it was paid.
    pub paid_ms: Option<i64>,
    /// When it was closed unpaid.
    pub closed_ms: Option<i64>,
    /// Refunds accepted.
    pub refunds: Vec<LedgerRefund>,
    /// Deliveries of its payment notification tried so far, without those that a fault doubled.
    pub deliveries: u32,
    /// When the receiver acknowledged its payment notification.
    pub acknowledged_ms: Option<i64>,
}

/// One refund of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct LedgerRefund {
    /// The refund's id.
    pub id: String,
    /// How much, in fen.
    pub amount_minor: u32,
    /// When it was accepted, in Unix milliseconds.
    pub at_ms: i64,
}

impl LedgerEntry {
    pub(super) fn of(order: &Order) -> Self {
        let notice = order.notice("payment");
        Self {
            wallet: String::from(order.key.0.as_str()),
            out_trade_no: order.key.1.clone(),
            amount_minor: order.new.amount_minor,
            created_ms: order.created_ms,
            paid_ms: order.paid.as_ref().map(|paid| paid.at_ms),
            closed_ms: order.closed_ms,
            refunds: order
                .refunds
                .iter()
                .map(|refund| LedgerRefund {
                    id: refund.id.clone(),
                    amount_minor: refund.amount_minor,
                    at_ms: refund.at_ms,
                })
                .collect(),
            deliveries: notice.map_or(0, |notice| notice.tries),
            acknowledged_ms: notice.and_then(|notice| notice.acknowledged_ms),
        }
    }
}
