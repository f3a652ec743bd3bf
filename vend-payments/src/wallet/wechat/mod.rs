//! WeChat Pay, `APIv3`, Native payment: a QR code that the customer scans.
//!
//! Choices where the protocol leaves one: refunds and queries name orders by our own numbers only; the machine
//! travels in `attach`, because `scene_info` would also want the customer's address, which we do not have;
//! a payment shorter than a minute from now is offered for a minute, which is WeChat's shortest.

mod account;
mod calls;
mod messages;
mod notification;
pub(crate) mod sign;

pub use account::{Account, AccountBuilder};
