//! The listener: accepts connections, counts them, and ends them at shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::{Authenticator, GatewayConfig, GatewayError, Handler};

/// A listening gateway.
pub struct Gateway<A, H> {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: GatewayConfig,
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
        let listener = TcpListener::bind(addr).await.map_err(|source| GatewayError::Bind { addr, source })?;
        let local_addr = listener.local_addr().map_err(|source| GatewayError::Bind { addr, source })?;
        Ok(Self { listener, local_addr, config, authenticator, handler })
    }

    /// The address listened on, with the port the system chose where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves machines until `shutdown` completes, then closes every connection and waits for the handler to be told,
    /// up to [`Limits::shutdown_timeout`](super::Limits::shutdown_timeout).
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        shutdown.await;
        drop((self.listener, self.config, self.authenticator, self.handler));
    }
}
