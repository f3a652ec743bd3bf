//! The other side of the wallets: a sandbox that checks our signatures, shows the phone's page, and sends
//! real signed notifications.

mod config;
mod keys;
pub mod ledger;

use std::format;
use std::prelude::v1::*;

pub use config::{Config, FaultCounts, Faults, SandboxError};
pub use keys::{SandboxKeys, provision};

use ledger::LedgerEntry;

/// A running sandbox of both wallets. Clones share it; deliveries stop when the last clone and the last
/// router are dropped.
#[derive(Clone)]
pub struct Sandbox {
    keys: SandboxKeys,
}

impl Sandbox {
    /// Opens the ledger in [`Config::dir`], replays it and resumes the notifications that are owed. Call it in
    /// a tokio runtime.
    ///
    /// # Errors
    /// [`SandboxError`] when the ledger cannot be read or another process holds it.
    pub async fn open(config: Config) -> Result<Self, SandboxError> {
        todo!("{:?}", config.dir)
    }

    /// Both wallets and the phone: `/v3/...`, `/gateway.do`, `/phone`, `/api/pay`, `/ledger`.
    pub fn router(&self) -> axum::Router {
        todo!()
    }

    /// What the faults did so far, including before a restart.
    pub fn fault_counts(&self) -> FaultCounts {
        todo!()
    }

    /// Every attempt the ledger knows, as of now, in order of creation.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        todo!()
    }

    /// Stops deliveries and closes the ledger, waiting for what is being written.
    pub async fn shutdown(&self) {
        todo!()
    }
}

/// The path and query of the phone's page for a code: `/phone?code=...`.
pub fn phone_path(code: &str) -> String {
    format!("/phone?code={}", percent_encoding::utf8_percent_encode(code, percent_encoding::NON_ALPHANUMERIC))
}
