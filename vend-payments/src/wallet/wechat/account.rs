//! An account at WeChat Pay.

use core::fmt;
use std::collections::BTreeMap;
use std::prelude::v1::*;

use zeroize::Zeroizing;

use super::super::crypto::{AeadKey, KeyError, SigningKey, VerifyingKey};
use super::super::ids::{AccountId, MerchantId};

/// The official host.
pub(super) const PRODUCTION: &str = "https://api.mch.weixin.qq.com";

/// A merchant account at WeChat Pay: its keys, parsed and ready. It implements
/// [`Wallet`](crate::wallet::Wallet).
#[derive(Clone, Debug)]
pub struct Account {
    pub(super) name: AccountId,
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
    pub merchant_key_pem: Zeroizing<String>,
    /// The serial of the merchant's API certificate, 40 hexadecimal digits.
    pub merchant_serial: String,
    /// The `APIv3` key, 32 characters.
    pub api_v3_key: Zeroizing<String>,
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

impl fmt::Debug for AccountBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountBuilder")
            .field("account", &self.account)
            .field("mchid", &self.mchid)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl AccountBuilder {
    /// The official host's address.
    pub const PRODUCTION: &'static str = PRODUCTION;

    /// Parses the keys.
    ///
    /// # Errors
    /// [`KeyError`] for a key that cannot be used or a field that would not survive in a header.
    pub fn build(self) -> Result<Account, KeyError> {
        let appid_ok = !self.appid.is_empty() && self.appid.len() <= 32 && is_token(&self.appid);
        let serial_ok = !self.merchant_serial.is_empty() && is_token(&self.merchant_serial);
        // The Authorization header quotes these as they are, so they must not contain a quote.
        for (ok, what) in [(appid_ok, "appid"), (serial_ok, "merchant serial")] {
            if !ok {
                return Err(KeyError::Field(what));
            }
        }
        let base_url = String::from(self.base_url.trim_end_matches('/'));
        if base_url.parse::<http::Uri>().ok().is_none_or(|uri| uri.scheme().is_none()) {
            return Err(KeyError::Field("base URL"));
        }
        let wanted_serial = self.platform_keys.first().map(|(serial, _)| serial.clone());
        let mut platform_keys = BTreeMap::new();
        for (serial, pem) in self.platform_keys {
            if serial.is_empty() || !is_token(&serial) {
                return Err(KeyError::Field("platform key serial"));
            }
            platform_keys.insert(serial, VerifyingKey::from_pem(&pem)?);
        }
        Ok(Account {
            name: self.account,
            mchid: self.mchid,
            appid: self.appid,
            merchant_key: SigningKey::from_pem(&self.merchant_key_pem)?,
            merchant_serial: self.merchant_serial,
            api_v3_key: AeadKey::new(&self.api_v3_key)?,
            wanted_serial: wanted_serial.ok_or(KeyError::Field("platform key: there is none"))?,
            platform_keys,
            base_url,
            notify_url: self.notify_url,
            refund_notify_url: self.refund_notify_url,
        })
    }
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
