//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::handle::{Outlet, closed};
use super::link::Link;
use super::registry::Registry;
use super::session::{End, Message, Session};
use super::wire::{self, Connect, Packet, Refusal, Version, WireError};
use super::{Authenticator, ConnectionHandle, ConnectionId, Handler, Limits, auth};

/// Answers that may wait for the socket before nothing more is taken in.
const OUT_LEN: usize = 4_096;
/// Fixed header, topic length, packet id and empty property list of a PUBLISH packet, at their longest.
const PUBLISH_OVERHEAD: usize = 5 + 2 + 2 + 1;

/// What all connections of a gateway share.
pub(super) struct Shared<A, H> {
    pub(super) limits: Limits,
    pub(super) authenticator: Arc<A>,
    pub(super) handler: Arc<H>,
    pub(super) registry: Arc<Registry>,
    pub(super) next_id: AtomicU64,
    pub(super) stopping: watch::Receiver<bool>,
}

/// A message the handler has in hand.
struct Handling<'a> {
    id: Option<u16>,
    result: BoxFuture<'a, Result<(), End>>,
}

impl<A: Authenticator, H: Handler> Shared<A, H> {
    /// Serves one connection to its end. The stream is whatever carries the bytes: TCP, or TLS over it.
    pub(super) async fn run<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut link = Link::new(stream, &self.limits);
        let mut stopping = self.stopping.clone();
        let login = tokio::select! {
            login = self.login(&mut link) => login,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match login {
            Ok((machine, connect)) => self.serve(link, peer, machine, &connect).await,
            Err(end) => {
                tracing::info!(%peer, reason = %end, "login failed");
                let last = match end {
                    End::Refused(version, refusal) => wire::refuse(version, refusal).unwrap_or_default(),
                    _ => Vec::new(),
                };
                link.finish(&last).await;
            }
        }
    }

    async fn login<S>(&self, link: &mut Link<S>) -> Result<(u32, Connect), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.limits.connect_timeout;
        let connect = timeout(limit, read_connect(link)).await.map_err(|_| End::Silent)??;
        let version = connect.version;
        if connect.other_auth {
            return Err(End::Refused(version, Refusal::AuthMethod));
        }
        match guard(limit, auth::login(&*self.authenticator, &connect)).await {
            Ok(Ok(Some(machine))) => Ok((machine, connect)),
            Ok(Ok(None)) => Err(End::Refused(version, Refusal::Credentials)),
            Ok(Err(super::Unavailable)) | Err(_) => Err(End::Refused(version, Refusal::Unavailable)),
        }
    }

    async fn serve<S>(&self, link: Link<S>, peer: SocketAddr, machine: u32, connect: &Connect)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut link = link;
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (mut session, keep_alive_s) = match Session::accept(machine, connect, &self.limits) {
            Ok(accepted) => accepted,
            Err(end) => {
                tracing::info!(%peer, machine, reason = %end, "login failed");
                return link.finish(&[]).await;
            }
        };
        let packet_size = usize::try_from(self.limits.packet_size).unwrap_or(usize::MAX);
        let max_payload = packet_size.saturating_sub(PUBLISH_OVERHEAD + session.down_topic().len());
        let (handle, mut outlet) =
            ConnectionHandle::new(machine, id, peer, max_payload, self.limits.send_queue);
        let (place, predecessor) = self.registry.enter(&handle);
        predecessor.ended().await;
        // Read after `enter`: the shutdown closes what is in the registry, and this connection may have come later.
        if handle.is_closed() || *self.stopping.borrow() {
            drop(place);
            return link.finish(&[]).await;
        }
        tracing::info!(%peer, machine, connection = %id, version = ?connect.version, "connected");
        let end = match guard(self.limits.handler_timeout, self.handler.connected(handle.clone())).await {
            Ok(()) => self.pump(&mut link, &mut session, &handle, &mut outlet, keep_alive_s).await,
            Err(end) => end,
        };
        tracing::info!(%peer, machine, connection = %id, reason = %end, "disconnected");
        // From here on the handle refuses what is sent.
        drop(outlet);
        if let Err(end) = guard(self.limits.handler_timeout, self.handler.disconnected(machine, id)).await {
            tracing::error!(machine, connection = %id, reason = %end, "the handler missed the end of a connection");
        }
        // The machine's next connection may begin; what is left concerns this socket only.
        drop(place);
        session.say_goodbye(&end);
        link.finish(&session.out).await;
    }

    /// Carries messages until the connection ends, and the message in hand to its own end.
    async fn pump<S>(
        &self,
        link: &mut Link<S>,
        session: &mut Session,
        handle: &ConnectionHandle,
        outlet: &mut Outlet,
        keep_alive_s: u16,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let silence = Duration::from_millis(u64::from(keep_alive_s) * 1_500);
        let mut handling = None;
        let Err(end) = self.turn(link, session, handle, outlet, silence, &mut handling).await;
        if let Some(Handling { result, .. }) = handling {
            // Not acknowledged, whatever it says; but over before `disconnected`.
            let _ = result.await;
        }
        end
    }

    async fn turn<'a, S>(
        &'a self,
        link: &mut Link<S>,
        session: &mut Session,
        handle: &'a ConnectionHandle,
        outlet: &mut Outlet,
        silence: Duration,
        handling: &mut Option<Handling<'a>>,
    ) -> Result<Infallible, End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Outlet { queue, close } = outlet;
        let mut deadline = Instant::now() + silence;
        loop {
            while handling.is_none() && session.out.len() < OUT_LEN {
                let Some(packet) = link.packet()? else { break };
                // Whole packets count, not bytes: a byte now and then does not keep a connection.
                deadline = Instant::now() + silence;
                *handling = session.receive(packet)?.map(|message| self.handle(handle, message));
            }
            let may_deliver = session.can_deliver() && session.out.len() < OUT_LEN;
            let idle = handling.is_none();
            tokio::select! {
                biased;
                reason = closed(close) => return Err(End::Closed(reason)),
                (id, result) = handled(handling) => {
                    *handling = None;
                    result?;
                    session.acknowledge(id)?;
                    // The machine could not be heard meanwhile.
                    deadline = Instant::now() + silence;
                }
                Some(payload) = queue.recv(), if may_deliver => session.deliver(&payload)?,
                result = link.step(&mut session.out, idle) => result?,
                () = sleep_until(deadline), if idle => return Err(End::Silent),
            }
        }
    }

    fn handle<'a>(&'a self, handle: &'a ConnectionHandle, message: Message) -> Handling<'a> {
        let Message { payload, id } = message;
        let result = async move {
            guard(self.limits.handler_timeout, self.handler.message(handle, payload))
                .await?
                .map_err(|error| End::Handler(error.to_string()))
        };
        Handling { id, result: result.boxed() }
    }
}

async fn read_connect<S>(link: &mut Link<S>) -> Result<Connect, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match link.packet() {
            Ok(Some(Packet::Connect(connect))) => return Ok(connect),
            Ok(Some(_)) => return Err(WireError::Protocol.into()),
            Ok(None) => link.read().await?,
            // The oldest form of the answer is the one that any client reads.
            Err(WireError::Version) => return Err(End::Refused(Version::V3, Refusal::Version)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The end of the message in hand; never, where there is none.
async fn handled(handling: &mut Option<Handling<'_>>) -> (Option<u16>, Result<(), End>) {
    match handling {
        Some(Handling { id, result }) => (*id, result.await),
        None => pending().await,
    }
}

/// Runs a call into somebody else's code: neither a panic nor an endless wait in it takes the connection along.
async fn guard<T>(limit: Duration, call: impl Future<Output = T>) -> Result<T, End> {
    match timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(End::Handler("it panicked".to_owned())),
        Err(_) => Err(End::Handler("it took too long".to_owned())),
    }
}
