//! A customer who picks at the machine: request, quote, the code on the screen.

use serde::{Deserialize, Serialize};

use super::{PrepareLine, message};
use crate::{
    List, Money, OrderId, PlanVersion, Reason, Text,
    machine_link::{CODE_MAX, kind},
    outcome::open_number,
    signed::MAX_LINES,
};

/// Machine to server, lossy: a customer at the machine wants these. What the machine asks for it is ready to vend, so the
/// server does not send *prepare*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRequest {
    /// Chosen by the machine; the answer repeats it. The same number again is the same order.
    pub request: u32,
    /// The planogram the lines are from.
    pub plan: PlanVersion,
    /// What is wanted, with the prices the customer was shown.
    pub lines: List<PrepareLine, MAX_LINES>,
}
message!(OrderRequest, kind::ORDER_REQUEST);

/// Server to machine: the answer to [`OrderRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The request it answers.
    pub request: u32,
    /// The order, or why there is none.
    pub answer: QuoteAnswer,
}
message!(Quote, kind::QUOTE);

/// What became of an [`OrderRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuoteAnswer {
    /// Stock is reserved and the price pinned.
    Offered {
        /// The order.
        order: OrderId,
        /// What is to be paid.
        total: Money,
        /// Until when, in milliseconds since 1970, UTC.
        expires_ms: u64,
    },
    /// No order was made.
    Refused(Reason),
}

/// Server to machine: show this text as a QR code; a wallet's payment code, or the machine's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowCode {
    /// Whose.
    pub order: OrderId,
    /// What is to be paid.
    pub total: Money,
    /// What the code says.
    pub code: Text<CODE_MAX>,
    /// The machine hides it then by itself, in milliseconds since 1970, UTC.
    pub expires_ms: u64,
}
message!(ShowCode, kind::SHOW_CODE);

/// Server to machine: take the code of this order off the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HideCode {
    /// Whose.
    pub order: OrderId,
    /// Why; the screen tells the customer.
    pub end: CodeEnd,
}
message!(HideCode, kind::HIDE_CODE);

open_number! {
    /// Why a code is not shown any more.
    CodeEnd {
        /// The order is paid.
        PAID = 1 "paid",
        /// It was not paid in time.
        EXPIRED = 2 "expired",
        /// It was cancelled.
        CANCELLED = 3 "cancelled",
    }
}

/// Machine to server, lossy: the customer at the machine gave this order up. If it is paid all the same, it is vended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancel {
    /// Which.
    pub order: OrderId,
}
message!(OrderCancel, kind::ORDER_CANCEL);
