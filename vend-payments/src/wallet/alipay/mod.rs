//! Alipay, v2 gateway in key mode (RSA2), precreate: a QR code that the customer scans.

mod account;

pub use account::{Account, AccountBuilder, ProductCode};
