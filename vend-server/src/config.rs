//! The configuration file of `vend-server serve`.
//!
//! ```toml
//! data = "/var/lib/vend"              # database and online keys
//! public_url = "https://vend.example"  # in QR codes, tickets and notify addresses
//! http = "127.0.0.1:8080"
//! mqtt = "127.0.0.1:1883"
//!
//! [[wechat]]
//! account = "wechat"
//! mchid = "1900000001"
//! appid = "wx0000000000000001"
//! merchant_serial = "0123456789ABCDEF0123456789ABCDEF01234567"
//! merchant_key_file = "/etc/vend/wechat/apiclient_key.pem"
//! api_v3_key_file = "/etc/vend/wechat/api_v3_key"
//! platform_keys = [{ serial = "PUB_KEY_ID_0000000000000000000000000001", file = "/etc/vend/wechat/pub_key.pem" }]
//!
//! [[alipay]]
//! account = "alipay"
//! app_id = "2021000000000001"
//! seller_id = "2088000000000001"
//! app_key_file = "/etc/vend/alipay/app_key.pem"
//! alipay_key_file = "/etc/vend/alipay/alipay_key.pem"
//! ```
//! Secrets are read from files, never from the configuration itself.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use vend_payments::wallet::{AccountId, KeyError, MerchantId, Wallet, WalletIdError, alipay, wechat};
use zeroize::Zeroizing;

use crate::{
    engine::Settings,
    gateway::GatewayConfig,
    keys::{self, KeyFileError},
    server::ServerConfig,
    web::WebSettings,
};

/// A configuration file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Folder of database and online keys.
    pub data: PathBuf,
    /// The address customers, technicians and wallets reach the server under, without a path.
    pub public_url: String,
    /// Where pages and API are served; put a reverse proxy with TLS in front.
    #[serde(default = "default_http")]
    pub http: SocketAddr,
    /// Where machines connect.
    #[serde(default = "default_mqtt")]
    pub mqtt: SocketAddr,
    /// Take machines without TLS on an address other than loopback: their login secrets then cross the network in clear.
    #[serde(default)]
    pub dangerous_plaintext: bool,
    /// WeChat Pay accounts.
    #[serde(default)]
    pub wechat: Vec<WechatAccount>,
    /// Alipay accounts.
    #[serde(default)]
    pub alipay: Vec<AlipayAccount>,
}

/// A WeChat Pay merchant account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WechatAccount {
    /// Its name here; in its notify address.
    pub account: String,
    /// Merchant number.
    pub mchid: String,
    /// Application.
    pub appid: String,
    /// Serial number of the merchant certificate.
    pub merchant_serial: String,
    /// The merchant's private key, PEM.
    pub merchant_key_file: PathBuf,
    /// The `APIv3` key, 32 characters.
    pub api_v3_key_file: PathBuf,
    /// WeChat Pay's public keys by serial.
    pub platform_keys: Vec<PlatformKey>,
    /// Another service than the real one: a sandbox.
    pub base_url: Option<String>,
}

/// One of WeChat Pay's public keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformKey {
    /// `PUB_KEY_ID_...` or the serial of a platform certificate.
    pub serial: String,
    /// The public key, PEM.
    pub file: PathBuf,
}

/// An Alipay application.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlipayAccount {
    /// Its name here; in its notify address.
    pub account: String,
    /// Application.
    pub app_id: String,
    /// Seller.
    pub seller_id: String,
    /// The application's private key, PEM.
    pub app_key_file: PathBuf,
    /// Alipay's public key, PEM.
    pub alipay_key_file: PathBuf,
    /// Another gateway than the real one: a sandbox.
    pub gateway_url: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not a configuration.
    #[error("{}: {error}", path.display())]
    Form {
        /// Which one.
        path: PathBuf,
        /// What is wrong and where.
        error: Box<toml::de::Error>,
    },
    /// The public address.
    #[error("public_url is `https://host` without a path or a slash at the end")]
    PublicUrl,
    /// Two accounts of one name: their notify addresses would be the same.
    #[error("two wallet accounts are called {0:?}")]
    TwoAccounts(String),
    /// An identifier of a wallet account.
    #[error("wallet account {account:?}: {error}")]
    Id {
        /// Which one.
        account: String,
        /// What is wrong.
        error: WalletIdError,
    },
    /// A key of a wallet account.
    #[error("wallet account {account:?}: {error}")]
    Key {
        /// Which one.
        account: String,
        /// What is wrong.
        error: KeyError,
    },
    /// The server's own keys.
    #[error("the server's own keys cannot be read (`vend-server keygen` makes them)")]
    OwnKeys(#[from] KeyFileError),
}

fn default_http() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_mqtt() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1883))
}

impl FileConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] says which file and line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Form { path: path.to_owned(), error: Box::new(error) })?;
        let host =
            config.public_url.strip_prefix("https://").or_else(|| config.public_url.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
            return Err(ConfigError::PublicUrl);
        }
        Ok(config)
    }

    /// The folder of the online keys.
    pub fn key_dir(&self) -> PathBuf {
        self.data.join("keys")
    }

    /// Reads all keys and makes the server's parts of it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn into_server(self) -> Result<ServerConfig, ConfigError> {
        let mut wallets: Vec<Arc<dyn Wallet>> = Vec::new();
        for account in &self.wechat {
            wallets.push(self.wechat_wallet(account)?);
        }
        for account in &self.alipay {
            wallets.push(self.alipay_wallet(account)?);
        }
        let mut names: Vec<&str> = wallets.iter().map(|wallet| wallet.account().as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(ConfigError::TwoAccounts(pair.concat()));
        }
        Ok(ServerConfig {
            database: self.data.join("vend.db"),
            http: self.http,
            mqtt: self.mqtt,
            gateway: GatewayConfig {
                dangerous_plaintext: self.dangerous_plaintext,
                ..GatewayConfig::default()
            },
            settings: Settings::default(),
            web: WebSettings {
                cookie_secure: self.public_url.starts_with("https://"),
                public_url: self.public_url.clone(),
            },
            keys: keys::load(&self.key_dir())?,
            wallets,
        })
    }

    fn notify_url(&self, account: &str) -> String {
        format!("{}/notify/{account}", self.public_url)
    }

    fn wechat_wallet(&self, account: &WechatAccount) -> Result<Arc<dyn Wallet>, ConfigError> {
        let name = &account.account;
        let id_error = |error| ConfigError::Id { account: name.clone(), error };
        let notify_url = self.notify_url(name);
        let mut platform_keys = Vec::new();
        for key in &account.platform_keys {
            platform_keys.push((key.serial.clone(), secret(&key.file)?.to_string()));
        }
        let builder = wechat::AccountBuilder {
            account: AccountId::new(name.as_str()).map_err(id_error)?,
            mchid: MerchantId::new(account.mchid.as_str()).map_err(id_error)?,
            appid: account.appid.clone(),
            merchant_key_pem: secret(&account.merchant_key_file)?,
            merchant_serial: account.merchant_serial.clone(),
            api_v3_key: Zeroizing::new(secret(&account.api_v3_key_file)?.trim().to_owned()),
            platform_keys,
            base_url: account
                .base_url
                .clone()
                .unwrap_or_else(|| wechat::AccountBuilder::PRODUCTION.to_owned()),
            refund_notify_url: Some(notify_url.clone()),
            notify_url,
        };
        let built = builder.build().map_err(|error| ConfigError::Key { account: name.clone(), error })?;
        Ok(Arc::new(built))
    }

    fn alipay_wallet(&self, account: &AlipayAccount) -> Result<Arc<dyn Wallet>, ConfigError> {
        let name = &account.account;
        let id_error = |error| ConfigError::Id { account: name.clone(), error };
        let builder = alipay::AccountBuilder {
            account: AccountId::new(name.as_str()).map_err(id_error)?,
            app_id: account.app_id.clone(),
            seller_id: MerchantId::new(account.seller_id.as_str()).map_err(id_error)?,
            app_key_pem: secret(&account.app_key_file)?,
            alipay_key_pem: secret(&account.alipay_key_file)?.to_string(),
            gateway_url: account
                .gateway_url
                .clone()
                .unwrap_or_else(|| alipay::AccountBuilder::PRODUCTION.to_owned()),
            notify_url: self.notify_url(name),
            product_code: alipay::ProductCode::default(),
        };
        let built = builder.build().map_err(|error| ConfigError::Key { account: name.clone(), error })?;
        Ok(Arc::new(built))
    }
}

fn secret(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| ConfigError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FileConfig, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vend.toml");
        fs::write(&path, text).unwrap();
        FileConfig::read(&path)
    }

    #[test]
    fn a_short_configuration_is_enough() {
        let config = read("data = \"/tmp/x\"\npublic_url = \"https://vend.example\"").unwrap();
        assert_eq!((config.http.port(), config.mqtt.port()), (8080, 1883));
        assert!(!config.dangerous_plaintext);
        assert!(matches!(config.into_server(), Err(ConfigError::OwnKeys(_))), "keys are asked for by name");
    }

    #[test]
    fn what_is_misspelt_is_said() {
        let typo =
            read("data = \"/tmp/x\"\npublic_url = \"https://vend.example\"\nhtpp = \"x\"").unwrap_err();
        assert!(typo.to_string().contains("htpp"), "{typo}");
        for url in ["vend.example", "https://", "https://vend.example/", "https://vend.example/x"] {
            let text = format!("data = \"/tmp/x\"\npublic_url = \"{url}\"");
            assert!(matches!(read(&text), Err(ConfigError::PublicUrl)), "{url}");
        }
    }
}
