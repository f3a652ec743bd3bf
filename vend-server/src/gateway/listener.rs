//! The listener: accepts connections, counts them, and ends them at shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::Shared;
use super::registry::Registry;
use super::{Authenticator, CloseReason, GatewayConfig, GatewayError, Handler, Limits};

/// Rest after a failed accept: it mostly means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A CONNECT packet with its name, secret and properties fits into this.
const MIN_PACKET_SIZE: u32 = 256;

/// A listening gateway.
pub struct Gateway<A, H> {
    listener: TcpListener,
    local_addr: SocketAddr,
    limits: Limits,
    authenticator: Arc<A>,
    handler: Arc<H>,
}

impl<A: Authenticator, H: Handler> Gateway<A, H> {
    /// Listens on `addr`, without TLS. Nothing is accepted before [`serve`](Self::serve).
    ///
    /// # Errors
    ///
    /// See [`GatewayError`].
    pub async fn bind(
        addr: SocketAddr,
        config: GatewayConfig,
        authenticator: Arc<A>,
        handler: Arc<H>,
    ) -> Result<Self, GatewayError> {
        let GatewayConfig { limits, dangerous_plaintext } = config;
        if !addr.ip().is_loopback() && !dangerous_plaintext {
            return Err(GatewayError::PlaintextOffLoopback(addr));
        }
        limits.check()?;
        let listener = TcpListener::bind(addr).await.map_err(|source| GatewayError::Bind { addr, source })?;
        let local_addr = listener.local_addr().map_err(|source| GatewayError::Bind { addr, source })?;
        Ok(Self { listener, local_addr, limits, authenticator, handler })
    }

    /// The address listened on, with the port the system chose where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves machines until `shutdown` completes, then closes every connection and waits for the handler to be told,
    /// up to [`Limits::shutdown_timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts every connection, and the handler is not told.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopping) = watch::channel(false);
        let registry = Arc::new(Registry::default());
        let free = Arc::new(Semaphore::new(self.limits.connections.min(Semaphore::MAX_PERMITS)));
        let shutdown_timeout = self.limits.shutdown_timeout;
        let shared = Arc::new(Shared {
            limits: self.limits,
            authenticator: self.authenticator,
            handler: self.handler,
            registry: Arc::clone(&registry),
            next_id: AtomicU64::new(1),
            stopping,
        });
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    note_panic(&ended);
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
                tracing::warn!(%peer, "too many connections, one is turned away");
                continue;
            };
            // Messages are small and waited for; without this some wait for the acknowledgement of others.
            let _ = stream.set_nodelay(true);
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                shared.run(stream, peer).await;
                drop(permit);
            });
        }
        drop(self.listener);
        stop.send_replace(true);
        registry.close_all(CloseReason::ShuttingDown);
        let all = async {
            while let Some(ended) = connections.join_next().await {
                note_panic(&ended);
            }
        };
        if timeout(shutdown_timeout, all).await.is_err() {
            tracing::warn!("connections were cut at shutdown");
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), GatewayError> {
        let too_small = [
            ("connections", self.connections == 0),
            ("packet_size", self.packet_size < MIN_PACKET_SIZE),
            ("receive_maximum", self.receive_maximum == 0),
            ("keep_alive_s", self.keep_alive_s == 0),
            ("send_queue", self.send_queue == 0),
        ];
        match too_small.into_iter().find(|(_, too_small)| *too_small) {
            Some((name, _)) => Err(GatewayError::Limit(name)),
            None => Ok(()),
        }
    }
}

fn note_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended in a panic");
    }
}
