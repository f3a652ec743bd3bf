//! The keys of a sandbox: of both merchants and both wallets, made once and kept in files.

use std::path::Path;
use std::prelude::v1::*;

use super::SandboxError;
use crate::wallet::{AccountId, alipay, wechat};

/// Everything both sides need to know of each other.
#[derive(Clone)]
pub struct SandboxKeys {}

impl core::fmt::Debug for SandboxKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SandboxKeys").finish_non_exhaustive()
    }
}

/// Makes the keys of a sandbox in `dir`, or reads those that an earlier call made there. Files are for their
/// owner only; `sandbox.json` names the merchants, the `.pem` files hold the keys. Making them takes about a
/// second of computing: call it in `spawn_blocking` where that matters.
///
/// # Errors
/// [`SandboxError`] when a file cannot be written or read, or is not a key.
pub fn provision(dir: &Path) -> Result<SandboxKeys, SandboxError> {
    todo!("{}", dir.display())
}

impl SandboxKeys {
    /// The merchant's side of WeChat. `base_url` is the sandbox's (`http://127.0.0.1:8080`); the addresses are
    /// the server's. The builder's fields can be changed before `build()`.
    pub fn wechat_account(
        &self,
        account: AccountId,
        base_url: &str,
        notify_url: &str,
        refund_notify_url: Option<&str>,
    ) -> wechat::AccountBuilder {
        todo!("{account} {base_url} {notify_url} {refund_notify_url:?}")
    }

    /// The merchant's side of Alipay; likewise.
    pub fn alipay_account(&self, account: AccountId, base_url: &str, notify_url: &str) -> alipay::AccountBuilder {
        todo!("{account} {base_url} {notify_url}")
    }
}
