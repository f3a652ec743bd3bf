//! The other side of the wallets: a sandbox that checks our signatures, shows the phone's page, and sends real
//! signed notifications. For demos and tests; whoever can reach it can pay.
//!
//! It speaks the same protocols as the real services, so a server cannot tell but by its address:
//!
//! | path | what |
//! |---|---|
//! | `/v3/pay/transactions/...`, `/v3/refund/domestic/refunds...` | WeChat Pay |
//! | `/gateway.do` | Alipay |
//! | `GET /phone?code=...`, `POST /phone/pay` | the customer's phone: "enter your password" (123456) |
//! | `POST /api/pay` | the same for automated customers: `{"code": "...", "password": "123456"}` |
//! | `GET /ledger` | what happened, for comparing with the server's books |
//!
//! Everything that anybody can see is in `ledger.jsonl` first, written through to the disk; after a kill the
//! sandbox goes on where it was, notifications included.
//!
//! Where it is kinder than the real services: `http` and loopback addresses are taken, refunds need no pause
//! between them, and there is one merchant at each wallet.

mod alipay;
mod book;
mod config;
mod customer;
mod deliver;
mod draw;
mod http_io;
mod keys;
pub mod ledger;
mod phone;
mod store;
mod wechat;

use std::format;
use std::prelude::v1::*;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::routing::{get, post};
pub use config::{Config, FaultCounts, Faults, SandboxError};
pub use customer::{PAYMENT_PASSWORD, Paid, PayError};
pub use keys::{SandboxKeys, provision};
use ledger::LedgerEntry;
use store::Store;
use tokio::sync::watch;

/// A running sandbox of both wallets. Clones share it; deliveries stop when the last clone and the last
/// router are dropped.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
    _stop: Arc<StopOnDrop>,
}

/// What the deliveries in the background hold too.
pub(in crate::sandbox) struct Inner {
    config: Config,
    store: Store,
    client: reqwest::Client,
    stop: watch::Sender<bool>,
    /// Payments so far, which number the next one's draws.
    payments: AtomicU64,
}

/// Kept by everyone but the deliveries, which it ends.
struct StopOnDrop(watch::Sender<bool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Sandbox {
    /// Opens the ledger in [`Config::dir`], replays it and resumes the notifications that are owed. Call it in
    /// a tokio runtime.
    ///
    /// # Errors
    /// [`SandboxError`] when the ledger cannot be read or another process holds it.
    pub async fn open(config: Config) -> Result<Self, SandboxError> {
        let dir = config.dir.clone();
        let opened = tokio::task::spawn_blocking(move || Store::open(&dir)).await;
        let store =
            opened.map_err(|error| SandboxError::Client(format!("opening the ledger: {error}")))??;
        let client = reqwest::Client::builder()
            .no_proxy()
            // The real services do not follow redirects either.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| SandboxError::Client(format!("{error}")))?;
        let (stop, _) = watch::channel(false);
        let paid = store.book().orders().iter().filter(|order| order.paid.is_some()).count();
        let payments = AtomicU64::new(u64::try_from(paid).unwrap_or(0));
        let inner = Arc::new(Inner { config, store, client, stop: stop.clone(), payments });
        deliver::resume(&inner);
        Ok(Self { inner, _stop: Arc::new(StopOnDrop(stop)) })
    }

    /// Both wallets and the phone, to be served at the root of an address.
    pub fn router(&self) -> axum::Router {
        axum::Router::new()
            .route("/v3/pay/transactions/native", post(http_io::native))
            .route("/v3/pay/transactions/out-trade-no/{no}", get(http_io::query))
            .route("/v3/pay/transactions/out-trade-no/{no}/close", post(http_io::close))
            .route("/v3/refund/domestic/refunds", post(http_io::refund))
            .route("/v3/refund/domestic/refunds/{id}", get(http_io::refund_query))
            .route("/gateway.do", post(http_io::gateway))
            .route("/phone", get(phone::show))
            .route("/phone/pay", post(phone::pay))
            .route("/api/pay", post(http_io::api_pay))
            .route("/ledger", get(http_io::ledger))
            .with_state(self.clone())
    }

    /// Pays a code like a customer would: what `/api/pay` does, without a socket.
    ///
    /// # Errors
    /// [`PayError`] says why the phone would refuse.
    pub async fn pay(&self, code: &str, password: &str) -> Result<Paid, PayError> {
        customer::pay(&self.inner, code, password, 0).await
    }

    /// What the faults did so far, including before a restart.
    pub fn fault_counts(&self) -> FaultCounts {
        self.inner.store.book().counts
    }

    /// Every attempt the ledger knows, as of now, in order of creation.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.inner.store.book().orders().iter().map(LedgerEntry::of).collect()
    }

    /// Stops deliveries and closes the ledger, waiting for what is being written. Calls fail afterwards.
    pub async fn shutdown(&self) {
        self.inner.stop.send_replace(true);
        let inner = Arc::clone(&self.inner);
        // Only a panic in there could fail this, and there is nothing left to close then.
        let _ = tokio::task::spawn_blocking(move || inner.store.close()).await;
    }
}

impl core::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sandbox").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// The path and query of the phone's page for a code: `/phone?code=...`.
pub fn phone_path(code: &str) -> String {
    format!("/phone?code={}", percent_encoding::utf8_percent_encode(code, percent_encoding::NON_ALPHANUMERIC))
}

/// The sandbox is a peer with a clock of its own, unlike the wallets it faces.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
