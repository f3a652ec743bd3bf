//! The keys of a sandbox: of both merchants and both wallets, made once and kept in files.

use std::format;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::prelude::v1::*;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SandboxError;
use super::draw;
use crate::wallet::crypto::{AeadKey, KeyError, SigningKey, VerifyingKey};
use crate::wallet::{AccountId, MerchantId, alipay, wechat};

/// What `sandbox.json` holds.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Names {
    pub(super) wechat_mchid: String,
    pub(super) wechat_appid: String,
    pub(super) wechat_merchant_serial: String,
    pub(super) wechat_platform_serial: String,
    wechat_api_v3_key: String,
    pub(super) alipay_app_id: String,
    pub(super) alipay_seller_id: String,
}

/// Everything both sides need to know of each other.
#[derive(Clone)]
pub struct SandboxKeys(Arc<Keys>);

struct Keys {
    names: Names,
    mchid: MerchantId,
    seller_id: MerchantId,
    wechat_public_pem: String,
    alipay_public_pem: String,
    wechat_merchant_pem: Zeroizing<String>,
    alipay_app_pem: Zeroizing<String>,
    wechat: SigningKey,
    alipay: SigningKey,
    wechat_merchant: VerifyingKey,
    alipay_app: VerifyingKey,
    aead: AeadKey,
}

impl core::fmt::Debug for SandboxKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SandboxKeys").field("mchid", &self.0.names.wechat_mchid).finish_non_exhaustive()
    }
}

/// Makes the keys of a sandbox in `dir`, or reads those that an earlier call made there. Files are for their
/// owner only; `sandbox.json` names the merchants, the `.pem` files hold the keys. Making them takes about a
/// second of computing: call it in `spawn_blocking` where that matters.
///
/// # Errors
/// [`SandboxError`] when a file cannot be written or read, or is not a key.
pub fn provision(dir: &Path) -> Result<SandboxKeys, SandboxError> {
    let names_path = dir.join("sandbox.json");
    // Written last, so where it is the others are.
    if !names_path.exists() {
        fs::create_dir_all(dir).map_err(|source| SandboxError::Io { path: dir.into(), source })?;
        for name in ["wechat_merchant", "wechat_platform", "alipay_app", "alipay_platform"] {
            let pem = SigningKey::generate()?;
            write(&dir.join(format!("{name}.pem")), pem.as_bytes())?;
            let public = SigningKey::from_pem(&pem)?.public_pem()?;
            write(&dir.join(format!("{name}_public.pem")), public.as_bytes())?;
        }
        let json = serde_json::to_vec_pretty(&names()?).map_err(|_| KeyError::Field("sandbox.json"))?;
        write(&names_path, &json)?;
    }
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).map(Zeroizing::new).map_err(|source| SandboxError::Io { path, source })
    };
    let names: Names =
        serde_json::from_str(&read("sandbox.json")?).map_err(|_| KeyError::Field("sandbox.json"))?;
    let wechat_merchant_pem = read("wechat_merchant.pem")?;
    let alipay_app_pem = read("alipay_app.pem")?;
    let wechat = SigningKey::from_pem(&read("wechat_platform.pem")?)?;
    let alipay = SigningKey::from_pem(&read("alipay_platform.pem")?)?;
    Ok(SandboxKeys(Arc::new(Keys {
        mchid: MerchantId::new(names.wechat_mchid.as_str()).map_err(|_| KeyError::Field("mchid"))?,
        seller_id: MerchantId::new(names.alipay_seller_id.as_str())
            .map_err(|_| KeyError::Field("seller id"))?,
        wechat_public_pem: wechat.public_pem()?,
        alipay_public_pem: alipay.public_pem()?,
        wechat,
        alipay,
        wechat_merchant: VerifyingKey::from_pem(&SigningKey::from_pem(&wechat_merchant_pem)?.public_pem()?)?,
        alipay_app: VerifyingKey::from_pem(&SigningKey::from_pem(&alipay_app_pem)?.public_pem()?)?,
        aead: AeadKey::new(&names.wechat_api_v3_key)?,
        names,
        wechat_merchant_pem,
        alipay_app_pem,
    })))
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
        let names = &self.0.names;
        wechat::AccountBuilder {
            account,
            mchid: self.0.mchid.clone(),
            appid: names.wechat_appid.clone(),
            merchant_key_pem: self.0.wechat_merchant_pem.clone(),
            merchant_serial: names.wechat_merchant_serial.clone(),
            api_v3_key: Zeroizing::new(names.wechat_api_v3_key.clone()),
            platform_keys: Vec::from([(
                names.wechat_platform_serial.clone(),
                self.0.wechat_public_pem.clone(),
            )]),
            base_url: String::from(base_url),
            notify_url: String::from(notify_url),
            refund_notify_url: refund_notify_url.map(String::from),
        }
    }

    /// The merchant's side of Alipay; likewise.
    pub fn alipay_account(
        &self,
        account: AccountId,
        base_url: &str,
        notify_url: &str,
    ) -> alipay::AccountBuilder {
        let names = &self.0.names;
        alipay::AccountBuilder {
            account,
            app_id: names.alipay_app_id.clone(),
            seller_id: self.0.seller_id.clone(),
            app_key_pem: self.0.alipay_app_pem.clone(),
            alipay_key_pem: self.0.alipay_public_pem.clone(),
            gateway_url: format!("{}/gateway.do", base_url.trim_end_matches('/')),
            notify_url: String::from(notify_url),
            product_code: alipay::ProductCode::default(),
        }
    }

    pub(super) fn names(&self) -> &Names {
        &self.0.names
    }

    /// WeChat's own key.
    pub(super) fn wechat(&self) -> &SigningKey {
        &self.0.wechat
    }

    /// Alipay's own key.
    pub(super) fn alipay(&self) -> &SigningKey {
        &self.0.alipay
    }

    pub(super) fn wechat_merchant(&self) -> &VerifyingKey {
        &self.0.wechat_merchant
    }

    pub(super) fn alipay_app(&self) -> &VerifyingKey {
        &self.0.alipay_app
    }

    pub(super) fn aead(&self) -> &AeadKey {
        &self.0.aead
    }
}

fn names() -> Result<Names, KeyError> {
    let text =
        |alphabet: &[u8], len: usize| draw::text(alphabet, len).ok_or(KeyError::Field("random source"));
    Ok(Names {
        wechat_mchid: format!("19{}", text(draw::DIGITS, 8)?),
        wechat_appid: format!("wx{}", text(b"0123456789abcdef", 16)?),
        wechat_merchant_serial: text(b"0123456789ABCDEF", 40)?,
        wechat_platform_serial: format!("PUB_KEY_ID_{}", text(draw::DIGITS, 24)?),
        wechat_api_v3_key: text(draw::LETTERS, 32)?,
        alipay_app_id: format!("2021{}", text(draw::DIGITS, 12)?),
        alipay_seller_id: format!("2088{}", text(draw::DIGITS, 12)?),
    })
}

/// Whole or not at all, and for the owner only.
fn write(path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| SandboxError::Io { path: path.into(), source })
}

impl Names {
    /// What the customer's phone calls the merchant.
    pub(super) fn shop(&self) -> String {
        format!("Vending {}", self.wechat_mchid)
    }
}
