//! An account at WeChat Pay.

use std::collections::BTreeMap;
use std::prelude::v1::*;

use super::super::crypto::{AeadKey, KeyError, SigningKey, VerifyingKey};
use super::super::ids::{AccountId, MerchantId};

/// The official host.
pub(super) const PRODUCTION: &str = "https://api.mch.weixin.qq.com";

/// A merchant account at WeChat Pay: its keys, parsed and ready. It implements
/// [`Wallet`](crate::wallet::Wallet).
#[derive(Clone, Debug)]
pub struct Account {
    pub(super) account: AccountId,
    pub(super) mchid: MerchantId,
    pub(super) appid: String,
    pub(super) merchant_key: SigningKey,
    pub(super) merchant_serial: String,
    pub(super) api_v3_key: AeadKey,
    /// By serial, both kinds at once: `PUB_KEY_ID_...` and certificate serials live side by side for a week
    /// when a merchant moves to the public key.
    pub(super) platform_keys: BTreeMap<String, VerifyingKey>,
    /// The serial we ask answers to be signed with.
    pub(super) wanted_serial: String,
    pub(super) base_url: String,
    pub(super) notify_url: String,
    pub(super) refund_notify_url: Option<String>,
}

/// What an [`Account`] is made of. Texts are as WeChat's portal gives them.
#[derive(Clone)]
pub struct AccountBuilder {
    /// Our name of the account.
    pub account: AccountId,
    /// The merchant number.
    pub mchid: MerchantId,
    /// The application id.
    pub appid: String,
    /// The merchant's private key: PKCS#8 PEM (`apiclient_key.pem`).
    pub merchant_key_pem: String,
    /// The serial of the merchant's API certificate, 40 hexadecimal digits.
    pub merchant_serial: String,
    /// The `APIv3` key, 32 characters.
    pub api_v3_key: String,
    /// WeChat's public keys: `(serial, PUBLIC KEY PEM)`. The first is the one we ask answers to be signed
    /// with; all of them verify.
    pub platform_keys: Vec<(String, String)>,
    /// `https://api.mch.weixin.qq.com`, or a sandbox; without a final slash.
    pub base_url: String,
    /// Where WeChat reports payments: public, https, no query.
    pub notify_url: String,
    /// Where it reports refunds; without it refunds are only queried.
    pub refund_notify_url: Option<String>,
}

impl AccountBuilder {
    /// The official host's address.
    pub const PRODUCTION: &'static str = PRODUCTION;

    /// Parses the keys.
    ///
    /// # Errors
    /// [`KeyError`] for a key that cannot be used or a field that would not survive in a header.
    pub fn build(self) -> Result<Account, KeyError> {
        todo!()
    }
}
