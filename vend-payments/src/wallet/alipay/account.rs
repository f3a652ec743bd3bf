//! An account at Alipay.

use core::fmt;
use std::prelude::v1::*;

use zeroize::Zeroizing;

use super::super::crypto::{KeyError, SigningKey, VerifyingKey};
use super::super::ids::{AccountId, MerchantId};

/// The official gateway.
pub(super) const PRODUCTION: &str = "https://openapi.alipay.com/gateway.do";

/// An application of a merchant at Alipay: its keys, parsed and ready. It implements
/// [`Wallet`](crate::wallet::Wallet).
#[derive(Clone, Debug)]
pub struct Account {
    pub(super) name: AccountId,
    pub(super) app_id: String,
    pub(super) seller_id: MerchantId,
    pub(super) app_key: SigningKey,
    pub(super) alipay_key: VerifyingKey,
    pub(super) gateway_url: String,
    pub(super) notify_url: String,
    pub(super) product_code: ProductCode,
}

/// The product the merchant signed a contract for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProductCode {
    /// `QR_CODE_OFFLINE` (order code).
    #[default]
    QrCodeOffline,
    /// `FACE_TO_FACE_PAYMENT`.
    FaceToFacePayment,
}

impl ProductCode {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::QrCodeOffline => "QR_CODE_OFFLINE",
            Self::FaceToFacePayment => "FACE_TO_FACE_PAYMENT",
        }
    }
}

/// What an [`Account`] is made of. Texts are as Alipay's console gives them.
#[derive(Clone)]
pub struct AccountBuilder {
    /// Our name of the account.
    pub account: AccountId,
    /// The application id.
    pub app_id: String,
    /// The merchant's user id, `2088...`.
    pub seller_id: MerchantId,
    /// The application's private key: PKCS#8, PEM or the bare base64 of Alipay's key tool.
    pub app_key_pem: Zeroizing<String>,
    /// *Alipay's* public key (not the application's): PEM or the bare base64 of the console.
    pub alipay_key_pem: String,
    /// `https://openapi.alipay.com/gateway.do`, or a sandbox.
    pub gateway_url: String,
    /// Where Alipay reports payments.
    pub notify_url: String,
    /// The product of the contract.
    pub product_code: ProductCode,
}

impl fmt::Debug for AccountBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountBuilder")
            .field("account", &self.account)
            .field("app_id", &self.app_id)
            .field("gateway_url", &self.gateway_url)
            .finish_non_exhaustive()
    }
}

impl AccountBuilder {
    /// The official gateway's address.
    pub const PRODUCTION: &'static str = PRODUCTION;

    /// Parses the keys.
    ///
    /// # Errors
    /// [`KeyError`] for a key that cannot be used or a field that is empty.
    pub fn build(self) -> Result<Account, KeyError> {
        if self.app_id.is_empty() || !self.app_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(KeyError::Field("app id"));
        }
        if self
            .gateway_url
            .parse::<http::Uri>()
            .ok()
            .is_none_or(|uri| uri.scheme().is_none() || uri.query().is_some())
        {
            return Err(KeyError::Field("gateway URL"));
        }
        Ok(Account {
            name: self.account,
            app_id: self.app_id,
            seller_id: self.seller_id,
            app_key: SigningKey::from_pem(&self.app_key_pem)?,
            alipay_key: VerifyingKey::from_pem(&self.alipay_key_pem)?,
            gateway_url: self.gateway_url,
            notify_url: self.notify_url,
            product_code: self.product_code,
        })
    }
}
