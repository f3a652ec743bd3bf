//! Accounts of both wallets, and the wallets' own keys to sign (and forge) with.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vend_payments::sandbox::{self, SandboxKeys};
use vend_payments::wallet::{
    AccountId, AttemptId, CallContext, CreatePayment, RefundId, RefundPayment, alipay, wechat,
};
use vend_protocol::{Currency, MachineId, Money};

/// 2026-01-02 03:04:05 UTC.
pub(crate) const NOW: i64 = 1_767_323_045_000;

/// Keys are made once for all tests of a file: they are what costs time.
pub(crate) fn key_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        sandbox::provision(&dir).unwrap();
        dir
    })
}

pub(crate) fn keys() -> SandboxKeys {
    static KEYS: OnceLock<SandboxKeys> = OnceLock::new();
    KEYS.get_or_init(|| sandbox::provision(key_dir()).unwrap()).clone()
}

pub(crate) fn account_id() -> AccountId {
    AccountId::new("main").unwrap()
}

pub(crate) fn wechat_builder() -> wechat::AccountBuilder {
    keys().wechat_account(account_id(), "http://127.0.0.1:1", "http://127.0.0.1:2/notify/main", None)
}

pub(crate) fn alipay_builder() -> alipay::AccountBuilder {
    keys().alipay_account(account_id(), "http://127.0.0.1:1", "http://127.0.0.1:2/notify/main")
}

pub(crate) fn wechat() -> wechat::Account {
    wechat_builder().build().unwrap()
}

pub(crate) fn alipay() -> alipay::Account {
    alipay_builder().build().unwrap()
}

/// A signature with one of the private keys in the folder, as base64.
pub(crate) fn sign(key: &str, text: &[u8]) -> String {
    let pem = std::fs::read_to_string(key_dir().join(format!("{key}.pem"))).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
    STANDARD.encode(signature)
}

pub(crate) fn context(nonce: u8) -> CallContext {
    CallContext { now_unix_ms: NOW, nonce: [nonce; 16] }
}

pub(crate) fn cny(minor: u32) -> Money {
    Money::new(minor, Currency::CNY)
}

pub(crate) fn attempt(text: &str) -> AttemptId {
    AttemptId::new(text).unwrap()
}

pub(crate) fn refund_id(text: &str) -> RefundId {
    RefundId::new(text).unwrap()
}

pub(crate) fn payment(attempt: &AttemptId, now_ms: i64) -> CreatePayment<'_> {
    CreatePayment {
        attempt,
        amount: cny(350),
        description: "Sparkling water 330 ml",
        expires_at_ms: now_ms + 180_000,
        machine: MachineId::new(12).unwrap(),
    }
}

pub(crate) fn refund<'a>(attempt: &'a AttemptId, refund: &'a RefundId, minor: u32) -> RefundPayment<'a> {
    RefundPayment { attempt, refund, paid: cny(350), amount: cny(minor), reason: "not delivered" }
}
