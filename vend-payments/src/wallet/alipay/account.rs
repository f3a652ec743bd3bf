//! An account at Alipay.

use std::prelude::v1::*;

use super::super::crypto::{KeyError, SigningKey, VerifyingKey};
use super::super::ids::{AccountId, MerchantId};

/// The official gateway.
pub(super) const PRODUCTION: &str = "https://openapi.alipay.com/gateway.do";

/// An application of a merchant at Alipay: its keys, parsed and ready. It implements
/// [`Wallet`](crate::wallet::Wallet).
#[derive(Clone, Debug)]
pub struct Account {
    pub(super) account: AccountId,
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
    pub app_key_pem: String,
    /// *Alipay's* public key (not the application's): PEM or the bare base64 of the console.
    pub alipay_key_pem: String,
    /// `https://openapi.alipay.com/gateway.do`, or a sandbox.
    pub gateway_url: String,
    /// Where Alipay reports payments.
    pub notify_url: String,
    /// The product of the contract.
    pub product_code: ProductCode,
}

impl AccountBuilder {
    /// The official gateway's address.
    pub const PRODUCTION: &'static str = PRODUCTION;

    /// Parses the keys.
    ///
    /// # Errors
    /// [`KeyError`] for a key that cannot be used or a field that is empty.
    pub fn build(self) -> Result<Account, KeyError> {
        todo!()
    }
}
