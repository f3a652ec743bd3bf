//! What goes into the calls of a wallet and what comes out.

use std::prelude::v1::*;

use vend_protocol::{MachineId, Money};

use super::evidence::PaymentClaim;
use super::ids::{AttemptId, RefundId};

/// A request to send: absolute address, all headers, whole body.
pub type HttpRequest = http::Request<Vec<u8>>;
/// An answer as received: status, headers, body byte for byte.
pub type HttpResponse = http::Response<Vec<u8>>;

/// The time and the randomness of one call. Make a new one for every try.
#[derive(Clone, Copy, Debug)]
pub struct CallContext {
    /// Now, in Unix milliseconds. Wallets refuse a clock that is minutes off.
    pub now_unix_ms: i64,
    /// 16 random bytes, never used before.
    pub nonce: [u8; 16],
}

/// What to have paid.
#[derive(Clone, Copy, Debug)]
pub struct CreatePayment<'a> {
    /// A new attempt id, never used with this account.
    pub attempt: &'a AttemptId,
    /// What to pay; at least one minor unit.
    pub amount: Money,
    /// What the customer's phone shows. Cut at the wallet's limit.
    pub description: &'a str,
    /// Until when it can be paid, in Unix milliseconds. Wallets want at least a minute from now.
    pub expires_at_ms: i64,
    /// The machine it is sold at.
    pub machine: MachineId,
}

/// An attempt to end.
#[derive(Clone, Copy, Debug)]
pub struct ClosePayment<'a> {
    /// The attempt.
    pub attempt: &'a AttemptId,
    /// What the query just before said.
    pub reason: CloseReason,
}

/// What is known of an attempt that is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// A query said [`QueryResult::NotPaid`]: it is given up.
    Unpaid,
    /// The result of creating it is unknown, or the query before found nothing. With Alipay this is
    /// `cancel`, which ends the attempt and gives back what may have been paid in between.
    Unknown,
}

/// A refund to make.
#[derive(Clone, Copy, Debug)]
pub struct RefundPayment<'a> {
    /// The paid attempt.
    pub attempt: &'a AttemptId,
    /// The refund's own id: persisted before the first call, the same on every retry.
    pub refund: &'a RefundId,
    /// What was paid in the attempt, as a whole.
    pub paid: Money,
    /// What to give back.
    pub amount: Money,
    /// Why, for the customer's statement. Cut at the wallet's limit.
    pub reason: &'a str,
}

/// A payment that can be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created {
    /// The text of the QR code, to be encoded as it is.
    pub code_url: String,
}

impl Created {
    /// A payment whose QR code has this text.
    pub fn new(code_url: impl Into<String>) -> Self {
        Self { code_url: code_url.into() }
    }
}

/// What a wallet knows of an attempt.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum QueryResult {
    /// Nothing. Alipay: the code was not scanned yet, so this is *not* an end before the code expires.
    NotFound,
    /// It waits for payment. Not an end either: close it, then call it unpaid.
    NotPaid,
    /// It was paid.
    Paid(PaymentClaim),
    /// It was closed unpaid and can never be paid.
    Closed,
    /// It was paid and then refunded, wholly or in part. For the sale it was paid.
    Refunded(PaymentClaim),
}

/// What closing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum CloseOutcome {
    /// It cannot be paid any more.
    Closed,
    /// The wallet says that it does not wait for payment: as a rule it was paid just now. Query, which
    /// gives the claim.
    AlreadyPaid,
    /// The wallet knows nothing of it. Alipay: a code that nobody scanned; it dies at its expiry.
    NotFound,
    /// Alipay's `cancel` found it paid and gave the whole payment back. Query gives the claim.
    Refunded,
}

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum RefundStatus {
    /// The money is on its way to the customer, finally.
    Succeeded,
    /// Accepted, not finished, or not known to be: ask again with the refund query.
    Processing,
    /// Definitely not made and never will be under this id: the same reservation under a new id.
    Closed,
    /// The wallet has no such refund: send the same id again.
    NotFound,
    /// The wallet wants a person, for example because the customer's card was cancelled.
    NeedsOperator,
}

/// A notification that verified.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Notification {
    /// An attempt was paid. Resends, and Alipay's `TRADE_FINISHED` months later, are the same claim again:
    /// what is applied already is acknowledged and changes nothing.
    Paid(PaymentClaim),
    /// A refund changed its state.
    Refund {
        /// Which one.
        refund: RefundId,
        /// Its state now.
        status: RefundStatus,
    },
    /// Genuine, and nothing to do: acknowledge it.
    Irrelevant {
        /// What it was about, for the log.
        what: &'static str,
    },
}

/// Why a call gave no result. The three cases differ in what may be done next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nothing left this process: no effect.
    #[error("the call was not sent: {0}")]
    NotSent(&'static str),
    /// The wallet refused: definitely no effect.
    #[error("the wallet refused the call: {code}")]
    Rejected {
        /// The wallet's code, for example `OUT_TRADE_NO_USED` or `ACQ.SELLER_BALANCE_NOT_ENOUGH`.
        code: String,
    },
    /// It may have taken effect: query.
    #[error("the result of the call is unknown: {0}")]
    Unknown(String),
}

impl CallError {
    /// A call that may have taken effect, and why nobody knows.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }

    /// Whether the very same call may succeed later: the wallet asked us to slow down.
    pub fn is_rate_limit(&self) -> bool {
        const CODES: [&str; 4] = ["FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "RATE_LIMITED", "40005"];
        matches!(self, Self::Rejected { code } if CODES.contains(&code.as_str()))
    }
}

/// Why a notification is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotificationError {
    /// It is not of the wallet's form.
    #[error("malformed notification: {0}")]
    Malformed(&'static str),
    /// Its time is more than 300 s from now.
    #[error("the notification's time is too far from now")]
    Stale,
    /// Signed with a key we do not have. Fetch the wallet's keys, at most once in 60 s: forged serials
    /// would otherwise have us call the wallet as often as anyone likes.
    #[error("signed with an unknown key {serial:?}")]
    UnknownKey {
        /// The key it names.
        serial: String,
    },
    /// The signature does not verify.
    #[error("the signature does not verify")]
    BadSignature,
    /// The content does not decrypt with our key.
    #[error("the content does not decrypt")]
    Decrypt,
    /// Genuine, but for another merchant or application.
    #[error("for another {0}")]
    Foreign(&'static str),
}
