//! The sandbox's own account of what happened, to be compared with the server's.

use std::prelude::v1::*;

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
    /// Deliveries of its payment notification tried so far.
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
