//! Alipay, v2 gateway in key mode (RSA2), precreate: a QR code that the customer scans.
//!
//! Choices where the protocol leaves one: `TRADE_FINISHED`, which comes about three months after a payment
//! when it can no longer be refunded, is reported as the same [`PaymentClaim`](crate::wallet::PaymentClaim)
//! again, and so is the notification of a partial refund: the claim is true, and the server knows already.
//! `TRADE_CLOSED` says either "unpaid, timed out" or "wholly refunded"; neither is news that sells
//! anything, so it is irrelevant.

mod account;
mod calls;
pub(crate) mod form;
pub(crate) mod gateway;
mod notification;
pub(crate) mod scan;

pub use account::{Account, AccountBuilder, ProductCode};
