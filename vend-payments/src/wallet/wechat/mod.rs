//! WeChat Pay, `APIv3`, Native payment: a QR code that the customer scans.

mod account;

pub use account::{Account, AccountBuilder};
