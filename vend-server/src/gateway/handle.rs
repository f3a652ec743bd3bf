//! The handler's end of one machine's connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

/// One connection of one machine, never used again by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the server closes a connection. An MQTT 5 machine is told; an MQTT 3.1.1 machine sees the connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The same machine has logged in again.
    TakenOver,
    /// The machine takes its messages too slowly.
    SlowReader,
    /// The machine's own messages have not come for too long, though the connection stands.
    Silent,
    /// The machine is retired, locked or its secret was changed.
    NotAuthorized,
    /// The server stops.
    ShuttingDown,
    /// The server wants a fresh connection, as after an error of its own.
    Administrative,
}

/// A message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The queue is full: the machine does not keep up, and its connection is being closed.
    #[error("the machine does not keep up; its connection is being closed")]
    Full,
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
    /// The message does not fit into a packet, with this limit of payload bytes. Nothing happens to the connection.
    #[error("the message is longer than {0} bytes")]
    TooLong(usize),
}

/// A connected machine. Cheap to clone; a clone kept after the end does no harm and sends nothing.
#[derive(Clone)]
pub struct ConnectionHandle {
    inner: Arc<Inner>,
}

struct Inner {
    machine: u32,
    id: ConnectionId,
    peer: SocketAddr,
    max_payload: usize,
    queue: mpsc::Sender<Vec<u8>>,
    close: watch::Sender<Option<CloseReason>>,
}

/// The connection task's end of a [`ConnectionHandle`].
pub(super) struct Outlet {
    pub(super) queue: mpsc::Receiver<Vec<u8>>,
    pub(super) close: watch::Receiver<Option<CloseReason>>,
}

/// Waits until somebody asks for the end of the connection.
pub(super) async fn closed(close: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let reason = close.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
    match reason {
        Some(reason) => reason,
        // Nobody is left to ask.
        None => std::future::pending().await,
    }
}

impl ConnectionHandle {
    pub(super) fn new(
        machine: u32,
        id: ConnectionId,
        peer: SocketAddr,
        max_payload: usize,
        queue_len: usize,
    ) -> (Self, Outlet) {
        let (queue, queue_end) = mpsc::channel(queue_len);
        let (close, close_end) = watch::channel(None);
        let inner = Inner { machine, id, peer, max_payload, queue, close };
        (Self { inner: Arc::new(inner) }, Outlet { queue: queue_end, close: close_end })
    }

    /// The machine's number.
    pub fn machine(&self) -> u32 {
        self.inner.machine
    }

    /// This connection, as opposed to the machine's earlier and later ones.
    pub fn id(&self) -> ConnectionId {
        self.inner.id
    }

    /// Where the machine connects from.
    pub fn peer(&self) -> SocketAddr {
        self.inner.peer
    }

    /// Queues a message to the machine's down topic: `QoS` 1 where it subscribed with that, else 0.
    ///
    /// `Ok` means queued, not delivered: only the machine's own message says that it acted.
    ///
    /// # Errors
    ///
    /// See [`SendError`]. A full queue also closes the connection.
    pub fn send(&self, payload: Vec<u8>) -> Result<(), SendError> {
        if payload.len() > self.inner.max_payload {
            return Err(SendError::TooLong(self.inner.max_payload));
        }
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        self.inner.queue.try_send(payload).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.close(CloseReason::SlowReader);
                SendError::Full
            }
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// Asks for the end of the connection; the first reason given stands. What is queued and unsent is dropped.
    pub fn close(&self, reason: CloseReason) {
        self.inner.close.send_if_modified(|slot| {
            let first = slot.is_none();
            slot.get_or_insert(reason);
            first
        });
    }

    /// Whether the connection has ended or is about to.
    pub fn is_closed(&self) -> bool {
        self.inner.queue.is_closed() || self.inner.close.borrow().is_some()
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionHandle")
            .field("machine", &self.inner.machine)
            .field("id", &self.inner.id)
            .field("peer", &self.inner.peer)
            .finish_non_exhaustive()
    }
}
