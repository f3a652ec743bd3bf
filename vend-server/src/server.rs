//! The whole server: pages and API, machine gateway, engine and its jobs over one database.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use vend_payments::wallet::Wallet;

use crate::{
    engine::{Engine, MIGRATIONS, MachineAuth, ServerKeys, Settings},
    gateway::{Gateway, GatewayConfig, GatewayError},
    store::{Database, DatabaseOptions, StoreError},
    web::{self, WebSettings, WebState},
};

/// What a server is made of.
pub struct ServerConfig {
    /// The SQLite file.
    pub database: PathBuf,
    /// Where pages and API are served.
    pub http: SocketAddr,
    /// Where machines connect.
    pub mqtt: SocketAddr,
    /// Limits of the gateway.
    pub gateway: GatewayConfig,
    /// Times and limits of sales.
    pub settings: Settings,
    /// What pages need to know.
    pub web: WebSettings,
    /// The keys it signs with.
    pub keys: ServerKeys,
    /// The wallets it takes.
    pub wallets: Vec<Arc<dyn Wallet>>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The database.
    #[error("the database cannot be opened")]
    Store(#[from] StoreError),
    /// The machine gateway.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The address of the pages.
    #[error("cannot listen on {addr}: {error}")]
    Http {
        /// Which one.
        addr: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The client for the wallets.
    #[error("the HTTP client for the wallets: {0}")]
    Client(reqwest::Error),
}

/// A running server. Dropping it ends its tasks at once; [`Server::shutdown`] lets connections end in order.
pub struct Server {
    engine: Engine,
    http: SocketAddr,
    mqtt: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Opens the database, binds both listeners and starts serving.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let db = Database::open(&config.database, DatabaseOptions::default(), MIGRATIONS).await?;
        let engine =
            Engine::new(db, config.keys, config.wallets, config.settings).map_err(ServerError::Client)?;
        let gateway = Gateway::bind(
            config.mqtt,
            config.gateway,
            Arc::new(MachineAuth(engine.clone())),
            Arc::new(engine.clone()),
        )
        .await?;
        let http_error = |error| ServerError::Http { addr: config.http, error };
        let listener = TcpListener::bind(config.http).await.map_err(http_error)?;
        let http = listener.local_addr().map_err(http_error)?;
        let mqtt = gateway.local_addr();
        let router = web::router(WebState::new(engine.clone(), config.web));

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(gateway.serve(until(stopped.clone())));
        let jobs = engine.clone();
        let end = until(stopped.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = jobs.run_jobs() => {}
                () = jobs.watch_links() => {}
                () = end => {}
            }
        });
        tasks.spawn(async move {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            // Event streams never end by themselves, so the pages are not waited for: a browser reconnects.
            tokio::select! {
                result = axum::serve(listener, service) => {
                    if let Err(error) = result {
                        tracing::error!(%error, "the pages are not served any more");
                    }
                }
                () = until(stopped) => {}
            }
        });
        Ok(Self { engine, http, mqtt, stop, tasks })
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where pages and API are served.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where machines connect.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Stops taking connections and work, and waits for what is under way.
    pub async fn shutdown(mut self) {
        // Nobody listening any more is what is wanted.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A dropped sender is a dropped server.
    let _ = stopped.wait_for(|stop| *stop).await;
}
