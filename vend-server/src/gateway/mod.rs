//! The machine gateway: a thin MQTT listener that ends in the server's own database.
//!
//! It speaks MQTT 3.1.1 and MQTT 5 on one listener, since the stacks built into modems speak only the first and the
//! `no_std` clients only the second. It is not a broker: a machine's messages go to one [`Handler`], and what the
//! server sends goes to one machine.
//!
//! # What a machine may do
//!
//! * Log in with user name `<number>` (decimal, no leading zero), client id `<number>`, and as password the 64
//!   lower-case hexadecimal characters of its 256-bit secret.
//! * Publish to `vend/<number>/up`, with `QoS` 0 or 1, not retained.
//! * Subscribe to `vend/<number>/down`, with `QoS` 0 or 1 (`QoS` 2 is granted as 1).
//!
//! Everything else is refused: MQTT 5 says so in the acknowledgement, MQTT 3.1.1 has no words for a refused publish
//! and the connection is closed. There are no wildcards, no retained messages, no `QoS` 2 and no persistent sessions
//! (*session present* is always 0): the journal on the machine and the outbox on the server resend what was lost.
//! A will is accepted and ignored: the server sees for itself when a connection ends.
//!
//! # When a message counts
//!
//! A `QoS` 1 message is acknowledged after [`Handler::message`] returned `Ok`, and not before. On `Err`, a panic or
//! past [`Limits::handler_timeout`] the connection is closed without the acknowledgement, and the machine sends again.
//! The messages of one connection are handled one at a time, in order; while one is handled nothing more is read,
//! so a machine cannot outrun the database.
//!
//! # One connection a machine
//!
//! A second login of a machine closes the first. For each machine the handler sees `connected`, its messages and
//! `disconnected` of one connection, and only then `connected` of the next, each with its own [`ConnectionId`].

mod auth;
mod connection;
mod handle;
mod link;
mod listener;
mod registry;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

pub use handle::{CloseReason, ConnectionHandle, ConnectionId, SendError};
pub use listener::Gateway;

/// Looks up what a machine must prove at login.
pub trait Authenticator: Send + Sync + 'static {
    /// The SHA-256 of the login secret (of its 32 bytes, not of their hexadecimal form) of `machine`, or `None` where no
    /// such machine may log in.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where the answer cannot be had now. The machine is then told to try later, not that its
    /// secret is wrong: a machine may well stop trying after that.
    fn login(&self, machine: u32) -> impl Future<Output = Result<Option<[u8; 32]>, Unavailable>> + Send;
}

/// Takes what machines send.
///
/// # Cancel safety
///
/// The future of [`message`](Handler::message) is dropped where it outlasts [`Limits::handler_timeout`], and where
/// [`Gateway::serve`] itself is dropped. It is not dropped because the connection was lost: the message is handled
/// to its end, then `disconnected` follows.
pub trait Handler: Send + Sync + 'static {
    /// A machine has logged in. Called before its first message, and before it has subscribed: what is sent now
    /// waits for the subscription, up to [`Limits::send_queue`] messages.
    fn connected(&self, connection: ConnectionHandle) -> impl Future<Output = ()> + Send;

    /// A message from the machine. `Ok` lets the gateway acknowledge it, so it must be durable by then.
    ///
    /// # Errors
    ///
    /// Any error closes the connection without an acknowledgement.
    fn message(
        &self,
        connection: &ConnectionHandle,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// The connection has ended; called once for each [`connected`](Handler::connected), after its last message.
    fn disconnected(&self, machine: u32, connection: ConnectionId) -> impl Future<Output = ()> + Send;
}

/// Why a message could not be handled. Written to the log, never sent to the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct HandlerError {
    reason: String,
}

impl HandlerError {
    /// An error with a reason for the log. It must hold no secret.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The login data cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the login data cannot be read now")]
pub struct Unavailable;

/// What a gateway listens on and allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Limits of the listener and of each connection.
    pub limits: Limits,
    /// Listen without TLS on an address other than loopback. Login secrets then cross the network in the clear;
    /// only for a network that is private to the machines and the server.
    pub dangerous_plaintext: bool,
}

/// Limits of a gateway, each with what happens at it. The default is a working set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once, logged in or not (10,000). One more is closed as soon as it is accepted.
    pub connections: usize,
    /// Bytes of one MQTT packet, either way (2,048). A longer one closes the connection.
    pub packet_size: u32,
    /// `QoS` 1 messages in flight on a connection, either way (16). An MQTT 5 machine is told; more close it.
    pub receive_maximum: u16,
    /// Time from the accepted connection to a complete CONNECT packet, and from there to the end of the login (10 s).
    pub connect_timeout: Duration,
    /// Longest keep-alive in seconds (300). A longer one, or none, is cut to it. An MQTT 5 machine is told
    /// (*Server Keep Alive*); an MQTT 3.1.1 machine cannot be. A machine silent for 1.5 times the keep-alive is closed.
    pub keep_alive_s: u16,
    /// Messages to a machine that wait for it (256: a whole planogram and what else there is). One more closes the connection: the machine does not keep up.
    pub send_queue: usize,
    /// Time for the machine to take what is written to it (10 s), else it is closed.
    pub write_timeout: Duration,
    /// Time for the handler to finish one message (30 s), else the connection is closed without an acknowledgement.
    pub handler_timeout: Duration,
    /// Time for connections to end after the shutdown signal (5 s), else they are cut.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            packet_size: 2_048,
            receive_maximum: 16,
            connect_timeout: Duration::from_secs(10),
            keep_alive_s: 300,
            send_queue: 256,
            write_timeout: Duration::from_secs(10),
            handler_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// A listener without TLS off loopback was not asked for by name.
    #[error("{0} is not a loopback address: listening there without TLS needs `dangerous_plaintext = true`")]
    PlaintextOffLoopback(SocketAddr),
    /// A limit is zero, or too small to carry a login.
    #[error("the limit `{0}` is too small to serve anyone")]
    Limit(&'static str),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}
