//! The sale engine: orders, attempts, authorizations, receipts and refunds.
//!
//! Rules that every file here keeps:
//! * Nothing is answered before the commit returned success.
//! * A transition is one guarded UPDATE or a unique constraint; a repeated event finds the guard closed and changes nothing.
//! * A side effect (a call to a wallet, a message to a machine) follows from a row in `jobs` written by the transaction that
//!   wants it, so a server killed at any point goes on where it was.

mod attempt;
mod authorize;
mod enrol;
mod hello;
mod jobs;
mod link;
mod operate;
mod order;
mod payment;
mod plan;
mod receipt;
mod refund;
mod rows;
mod settings;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{broadcast, oneshot};
use vend_payments::{
    signed::{PublicKey, SignatureError, Signer},
    wallet::{AccountId, CallContext, CallError, HttpRequest, HttpResponse, SealKey, Wallet},
};
use vend_protocol::{
    MachineId, OrderId,
    machine_link::{LinkError, Readiness},
    signed::{KeyListBody, Signed},
};

pub use enrol::{ClaimRefused, NewTicket};
pub use link::MachineAuth;
pub use operate::{EditRefused, Login, SlotEdit};
pub use order::{Pick, PickRefused, Placed, Source};
pub use payment::{Applied, NotifyError};
pub use settings::Settings;

use crate::store::{Database, Migration, StoreError};
use link::Link;

/// The steps of the schema.
pub const MIGRATIONS: &[Migration] =
    &[("0001_first_sale", include_str!("../../migrations/0001_first_sale.sql"))];

/// The keys a server signs with.
#[non_exhaustive]
pub struct ServerKeys {
    /// Signs authorizations, voids, accepted and enrolments. Under the key list.
    pub online: Signer,
    /// The operator's root key, public half; the secret half is offline.
    pub root: PublicKey,
    /// The key list, signed by the root key.
    pub key_list: Signed,
    /// Its version. A machine whose list is older is sent this one.
    pub key_list_version: u32,
    /// Seals evidence in the database.
    pub seal: SealKey,
}

impl ServerKeys {
    /// The keys of a server whose online key is on the list.
    ///
    /// # Errors
    /// [`SignatureError::UnknownKey`] when it is not; what [`PublicKey::verify`] returns when the list is not the root key's.
    pub fn new(
        online: Signer,
        root: PublicKey,
        key_list: Signed,
        seal: SealKey,
    ) -> Result<Self, SignatureError> {
        let list: KeyListBody = root.verify(&key_list)?;
        if !list.keys.iter().any(|key| *key == online.public_key().to_bytes()) {
            return Err(SignatureError::UnknownKey);
        }
        Ok(Self { online, root, key_list, key_list_version: list.version, seal })
    }
}

/// Something changed that a page may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Of which machine.
    pub machine: MachineId,
    /// In which order; `None`: the machine itself.
    pub order: Option<OrderId>,
}

/// The engine. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    db: Database,
    keys: ServerKeys,
    wallets: HashMap<AccountId, Arc<dyn Wallet>>,
    settings: Settings,
    http: reqwest::Client,
    links: Mutex<HashMap<MachineId, Arc<Link>>>,
    waiting: Mutex<HashMap<(MachineId, u32), oneshot::Sender<Readiness>>>,
    changes: broadcast::Sender<Changed>,
    /// One for each of the job loops.
    wake: [tokio::sync::Notify; 2],
}

impl Engine {
    /// An engine over an open database.
    ///
    /// # Errors
    /// When the HTTP client for the wallets cannot be set up.
    pub fn new(
        db: Database,
        keys: ServerKeys,
        wallets: Vec<Arc<dyn Wallet>>,
        settings: Settings,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(settings.wallet_timeout)
            .connect_timeout(settings.wallet_timeout / 2)
            // A wallet never redirects; following one would send a signed request elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let wallets = wallets.into_iter().map(|wallet| (wallet.account().clone(), wallet)).collect();
        let inner = Inner {
            db,
            keys,
            wallets,
            settings,
            http,
            links: Mutex::default(),
            waiting: Mutex::default(),
            changes: broadcast::channel(256).0,
            wake: Default::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The database, for pages that read.
    pub fn db(&self) -> &Database {
        &self.inner.db
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The wallets customers may pay with, in the order of their names.
    pub fn wallets(&self) -> Vec<Arc<dyn Wallet>> {
        let mut wallets: Vec<_> = self.inner.wallets.values().cloned().collect();
        wallets.sort_by(|a, b| a.account().as_str().cmp(b.account().as_str()));
        wallets
    }

    /// A stream of what changes. A receiver that lags loses the oldest: it then reads the database anew.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.inner.changes.subscribe()
    }

    /// Whether a machine is connected and has proven that it is itself.
    pub fn is_connected(&self, machine: MachineId) -> bool {
        self.link(machine).is_some_and(|link| link.is_open())
    }

    fn changed(&self, machine: MachineId, order: Option<OrderId>) {
        // Nobody listening is no error.
        let _ = self.inner.changes.send(Changed { machine, order });
    }

    fn wallet(&self, account: &AccountId) -> Option<Arc<dyn Wallet>> {
        self.inner.wallets.get(account).cloned()
    }

    /// One exchange with a wallet: the request it built is sent, and its reader is given the answer.
    async fn exchange<T>(
        &self,
        request: Result<HttpRequest, CallError>,
        read: impl FnOnce(&HttpResponse) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        read(&self.call(request?).await?)
    }

    /// Sends a wallet's request. What failed before anything was written had no effect; any later failure may have had one.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let request =
            reqwest::Request::try_from(request).map_err(|_| CallError::NotSent("not a valid request"))?;
        let unknown = |error: &reqwest::Error| {
            CallError::unknown(if error.is_timeout() { "time-out" } else { "broken answer" })
        };
        let response = match self.inner.http.execute(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Err(CallError::NotSent("no connection")),
            Err(error) => return Err(unknown(&error)),
        };
        let mut answer = http::Response::builder().status(response.status());
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        let body = response.bytes().await.map_err(|error| unknown(&error))?;
        answer.body(body.to_vec()).map_err(|_| CallError::unknown("not a valid answer"))
    }
}

/// What went wrong in a step that was not refused by a rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// A row that this version cannot read.
    #[error("a row of {0} does not decode")]
    Row(&'static str),
    /// A message does not fit its frame.
    #[error(transparent)]
    Codec(#[from] vend_protocol::codec::CodecError),
    /// A machine's connection cannot go on.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Milliseconds since 1970, UTC.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn random<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(EngineError::Random)?;
    Ok(bytes)
}

fn context() -> Result<CallContext, EngineError> {
    Ok(CallContext { now_unix_ms: now_ms(), nonce: random()? })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A lock whose holder panicked still guards consistent data here: every section under one is a few plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
