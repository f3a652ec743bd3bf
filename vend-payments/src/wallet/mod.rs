//! Wallets: what pays for an order, and the evidence that it did.
//!
//! A [`Wallet`] does no IO. It builds an [`http::Request`] and reads an [`http::Response`]; whoever calls it
//! owns the sockets, the clock and the random numbers:
//!
//! ```text
//! create_request ─▶ (your HTTP client) ─▶ read_create ─▶ QR code
//!                                         parse_notification ─▶ PaymentClaim ─▶ PaidEvidence::check
//! query_request  ─▶ (your HTTP client) ─▶ read_query ─────────▶ PaymentClaim ─▶ PaidEvidence::check
//! ```
//!
//! Three rules hold for every wallet:
//! * A write whose answer did not arrive, or does not verify, is [`CallError::Unknown`]: it may have taken
//!   effect. Ask ([`Wallet::query_request`], [`Wallet::refund_query_request`]) before anything else, and repeat
//!   it with the same identifiers only.
//! * Every retry is a new request from the same arguments and a fresh [`CallContext`], never the old bytes.
//! * A claim proves that money moved, not that it moved for us: [`PaidEvidence::check`] decides.

#[cfg(feature = "alipay")]
pub mod alipay;
mod call;
#[cfg(any(feature = "wechat", feature = "alipay"))]
pub(crate) mod crypto;
mod evidence;
mod ids;
mod seal;
#[cfg(any(feature = "wechat", feature = "alipay"))]
pub(crate) mod time;
#[cfg(feature = "wechat")]
pub mod wechat;

use std::prelude::v1::*;

pub use call::{
    CallContext, CallError, CloseOutcome, ClosePayment, CloseReason, CreatePayment, Created, HttpRequest,
    HttpResponse, Notification, NotificationError, QueryResult, RefundPayment, RefundStatus,
};
#[cfg(any(feature = "wechat", feature = "alipay"))]
pub use crypto::KeyError;
pub use evidence::{ClaimMismatch, ExpectedPayment, Mismatch, PaidEvidence, PaymentClaim};
pub use ids::{AccountId, AttemptId, MerchantId, RefundId, WalletIdError};
pub use seal::{SealError, SealKey, SealedEvidence};
use vend_protocol::Currency;

/// One account at one payment provider, without IO.
///
/// Each call is a pair: a method that builds the request and one that reads the answer. Whoever sends it
/// reports a failure *before* anything was written as [`CallError::NotSent`] and any later one (a time-out,
/// a broken connection) as [`CallError::Unknown`].
///
/// The trait is dyn-compatible and may be implemented outside this crate; an own wallet makes its claims with
/// [`PaymentClaim::dangerous_verified`].
pub trait Wallet: Send + Sync {
    /// A short name of the provider for pages and logs: `wechat`, `alipay`.
    fn provider(&self) -> &'static str;

    /// The account's name. Its notification address contains it.
    fn account(&self) -> &AccountId;

    /// The account's merchant, as claims name it.
    fn merchant(&self) -> &MerchantId;

    /// Whether it can take this currency.
    fn takes(&self, currency: Currency) -> bool;

    /// Asks for a QR code that pays one attempt.
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the request cannot be built, for example for a currency not taken.
    fn create_request(
        &self,
        context: &CallContext,
        payment: &CreatePayment<'_>,
    ) -> Result<HttpRequest, CallError>;

    /// Reads the answer to [`Wallet::create_request`].
    ///
    /// # Errors
    /// [`CallError`]. After `Unknown` the code was never shown: query, close, and mint a new attempt.
    fn read_create(
        &self,
        now_unix_ms: i64,
        payment: &CreatePayment<'_>,
        response: &HttpResponse,
    ) -> Result<Created, CallError>;

    /// Asks whether an attempt was paid.
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the request cannot be built.
    fn query_request(&self, context: &CallContext, attempt: &AttemptId) -> Result<HttpRequest, CallError>;

    /// Reads the answer to [`Wallet::query_request`].
    ///
    /// # Errors
    /// [`CallError`]; nothing is known then, ask again.
    fn read_query(
        &self,
        now_unix_ms: i64,
        attempt: &AttemptId,
        response: &HttpResponse,
    ) -> Result<QueryResult, CallError>;

    /// Ends an attempt, so that it cannot be paid any more. Query first and say what the query found in
    /// [`ClosePayment::reason`]: it decides which call is the right one.
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the request cannot be built.
    fn close_request(
        &self,
        context: &CallContext,
        close: &ClosePayment<'_>,
    ) -> Result<HttpRequest, CallError>;

    /// Reads the answer to [`Wallet::close_request`].
    ///
    /// # Errors
    /// [`CallError`]; query before closing again.
    fn read_close(
        &self,
        now_unix_ms: i64,
        close: &ClosePayment<'_>,
        response: &HttpResponse,
    ) -> Result<CloseOutcome, CallError>;

    /// Returns a payment or a part of it. Persist [`RefundPayment::refund`] first and repeat it on every retry.
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the request cannot be built.
    fn refund_request(
        &self,
        context: &CallContext,
        refund: &RefundPayment<'_>,
    ) -> Result<HttpRequest, CallError>;

    /// Reads the answer to [`Wallet::refund_request`].
    ///
    /// # Errors
    /// [`CallError`]. After `Unknown`: refund query, then the same refund id again.
    fn read_refund(
        &self,
        now_unix_ms: i64,
        refund: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError>;

    /// Asks what became of a refund (Alipay: not before 10 s after the refund call).
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the request cannot be built.
    fn refund_query_request(
        &self,
        context: &CallContext,
        refund: &RefundPayment<'_>,
    ) -> Result<HttpRequest, CallError>;

    /// Reads the answer to [`Wallet::refund_query_request`].
    ///
    /// # Errors
    /// [`CallError`]; nothing is known then, ask again.
    fn read_refund_query(
        &self,
        now_unix_ms: i64,
        refund: &RefundPayment<'_>,
        response: &HttpResponse,
    ) -> Result<RefundStatus, CallError>;

    /// Verifies and reads a notification: the request's headers and its body, byte for byte as received.
    ///
    /// # Errors
    /// [`NotificationError`]; answer with [`Wallet::acknowledge`]`(false)`.
    fn parse_notification(
        &self,
        now_unix_ms: i64,
        headers: &http::HeaderMap,
        body: &[u8],
    ) -> Result<Notification, NotificationError>;

    /// The answer to a notification. `accepted` only after what it says is in the database (a repeat too):
    /// an accepted notification never comes again, any other does.
    fn acknowledge(&self, accepted: bool) -> HttpResponse;
}
