//! The server's end of a connection, sans-IO.

use super::{
    Accepted, Channel, ClockRequest, End, Hello, KeyList, LinkError, Pending, Received, Rejected, Rejection,
    Seal, Unsupported, kind,
};
use crate::{
    List, codec,
    frame::{Frame, Message},
    signed::{REVISIONS_MAX, Revision, Signed},
};

/// A connection without a hello is closed after this, in milliseconds.
const HELLO_DUE_MS: u64 = 30_000;

/// What a frame brought to the server.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum ServerEvent<'a> {
    /// A machine says hello. Verify it, agree on the keys, then call [`ServerSession::accept`], [`ServerSession::pending`] or
    /// [`ServerSession::reject`].
    Hello(Signed),
    /// The machine asks for the time: send a [`super::Clock`] with its number.
    ClockRequest(ClockRequest),
    /// A message for the server.
    Message(Frame<'a>),
    /// A message of a kind or revision that this crate does not know: send this back. Before the session is open nothing can be
    /// sent back, and it is a hello or an answer of another revision: reject it.
    Unknown(Unsupported),
    /// The machine does not know a message. It is not to be sent again on this connection.
    Unsupported(Unsupported),
}

/// One connection of a machine, seen from the server. It has no queue: what must not be lost is in the database, and the rest is
/// the transport's.
///
/// Memory: the seal and 100 bytes.
///
/// ```
/// use vend_protocol::{
///     List, machine_link::{Clock, MachineSession, MachineEvent, Seal, ServerEvent, ServerSession}, signed::Signed,
/// };
/// # use vend_protocol::{Bytes, EnrolmentId, KeyId, Nonce, PlanVersion, signed::{AcceptedBody, Signature}};
/// # struct Keys;
/// # impl Seal for Keys {
/// #     fn seal(&self, _: &[u8]) -> [u8; 16] { [7; 16] }
/// #     fn verify(&self, _: &[u8], code: &[u8; 16]) -> bool { *code == [7; 16] }
/// # }
/// # fn signed() -> Signed {
/// #     Signed { key_id: KeyId([0; 8]), body: Bytes::default(), signature: Signature::from_bytes([0; 64]) }
/// # }
/// # let accepted_body = AcceptedBody {
/// #     enrolment: EnrolmentId([0; 16]), nonce: Nonce([0; 16]), ephemeral: [0; 32], server_time_ms: 0,
/// #     receipt_watermark: 0, issued_seq: 0, floor_seq: 0, plan: PlanVersion::new(0).unwrap(), config: 0, key_list: 0,
/// #     keepalive_s: 60, revisions: List::default(), frame_max: 1024,
/// # };
/// let mut machine = MachineSession::<Keys, 8, 64>::new(0, 90_000);
/// let mut server = ServerSession::<Keys>::new(0, 90_000);
/// let mut frame = [0; 1024];
///
/// // vend-payments signs the bodies, verifies them and agrees on the keys; here they are made up.
/// let (hello, accepted) = (signed(), signed());
/// let len = machine.greet(0, &hello, &mut frame)?;
/// assert!(matches!(server.handle_frame(0, &frame[..len])?, Some(ServerEvent::Hello(_))));
/// let len = server.accept(&accepted, Keys, List::default(), &mut frame)?;
/// assert!(matches!(machine.handle_frame(0, &frame[..len])?, Some(MachineEvent::Accepted(_))));
/// machine.open(0, Keys, &accepted_body, 0);
///
/// // From here everything carries a code, and a forged message closes the connection.
/// let len = server.send(&Clock { request: 1, server_time_ms: 5 }, &mut frame)?;
/// frame[8] ^= 1;
/// assert!(machine.handle_frame(1, &frame[..len]).is_err());
/// # Ok::<(), vend_protocol::machine_link::LinkError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerSession<S> {
    channel: Channel<S>,
    hello_due_ms: u64,
}

impl<S: Seal> ServerSession<S> {
    /// A connection made at `now_ms` (any monotonic clock) that is dead when nothing was heard for `silence_max_ms`.
    pub fn new(now_ms: u64, silence_max_ms: u64) -> Self {
        Self {
            channel: Channel::new(End::Server, now_ms, silence_max_ms),
            hello_due_ms: now_ms.saturating_add(HELLO_DUE_MS),
        }
    }

    /// Whether the machine was accepted.
    pub const fn is_open(&self) -> bool {
        self.channel.is_open()
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// [`LinkError`]: close the connection.
    pub fn handle_frame<'a>(
        &mut self,
        now_ms: u64,
        bytes: &'a [u8],
    ) -> Result<Option<ServerEvent<'a>>, LinkError> {
        let Received::Message(frame) = self.channel.receive(now_ms, bytes)? else { return Ok(None) };
        Ok(Some(match (frame.kind, frame.revision) {
            (kind::HELLO, Hello::REVISION) => {
                let Hello(signed) = frame.decode()?;
                ServerEvent::Hello(signed)
            }
            (kind::CLOCK_REQUEST, ClockRequest::REVISION) => ServerEvent::ClockRequest(frame.decode()?),
            (kind::UNSUPPORTED, Unsupported::REVISION) => ServerEvent::Unsupported(frame.decode()?),
            (kind, revision) if kind::is_known(kind, revision) => ServerEvent::Message(frame),
            (kind, revision) => {
                ServerEvent::Unknown(Unsupported { kind, revision, sequence: frame.sequence })
            }
        }))
    }

    /// Writes the frame that accepts the machine, and opens the session. `listed` is what the hello lists.
    ///
    /// # Errors
    /// [`LinkError::OutOfTurn`] when it was accepted already; [`LinkError::Codec`] when `out` is too small.
    pub fn accept(
        &mut self,
        accepted: &Signed,
        seal: S,
        listed: List<Revision, REVISIONS_MAX>,
        out: &mut [u8],
    ) -> Result<usize, LinkError> {
        let len = self.channel.send_with(Accepted::KIND, Accepted::REVISION, out, &|payload| {
            codec::encode(accepted, payload)
        })?;
        self.channel.open(seal, listed);
        Ok(len)
    }

    /// Writes the frame that asks the machine to say hello again after `retry_s`.
    ///
    /// # Errors
    /// As [`ServerSession::accept`].
    pub fn pending(&mut self, now_ms: u64, retry_s: u16, out: &mut [u8]) -> Result<usize, LinkError> {
        self.hello_due_ms = now_ms.saturating_add(u64::from(retry_s) * 1000).saturating_add(HELLO_DUE_MS);
        self.channel.send(&Pending { retry_s }, out)
    }

    /// Writes the frame that answers a hello with a newer key list, in place of *accepted*: the machine stores it and says hello
    /// again. On an open session a list is sent with [`ServerSession::send`].
    ///
    /// # Errors
    /// As [`ServerSession::accept`].
    pub fn key_list(&mut self, now_ms: u64, list: &Signed, out: &mut [u8]) -> Result<usize, LinkError> {
        if self.is_open() {
            return Err(LinkError::OutOfTurn(kind::KEY_LIST));
        }
        self.hello_due_ms = now_ms.saturating_add(HELLO_DUE_MS);
        self.channel.send_with(KeyList::KIND, KeyList::REVISION, out, &|payload| codec::encode(list, payload))
    }

    /// Writes the frame that turns the machine away. Leave it to the machine to close: closing at once may lose the frame.
    ///
    /// # Errors
    /// As [`ServerSession::accept`].
    pub fn reject(&mut self, code: Rejection, retry_s: u16, out: &mut [u8]) -> Result<usize, LinkError> {
        self.channel.send(&Rejected { code, retry_s }, out)
    }

    /// Writes the frame of a message.
    ///
    /// # Errors
    /// [`LinkError::OutOfTurn`] before the machine was accepted, [`LinkError::NotListed`] for a money message the machine
    /// cannot read, [`LinkError::Codec`] when `out` is too small. Nothing is counted then.
    pub fn send<M: Message>(&mut self, message: &M, out: &mut [u8]) -> Result<usize, LinkError> {
        if kind::is_handshake(M::KIND) || !self.is_open() {
            return Err(LinkError::OutOfTurn(M::KIND));
        }
        self.channel.send(message, out)
    }

    #[cfg(test)]
    pub(super) const fn channel_for_tests(&mut self) -> &mut Channel<S> {
        &mut self.channel
    }

    /// Something was heard on a layer below (an MQTT ping).
    pub const fn heard(&mut self, now_ms: u64) {
        self.channel.heard(now_ms);
    }

    /// When [`ServerSession::handle_timeout`] has something to say.
    pub fn poll_timeout(&self) -> u64 {
        let silent = self.channel.poll_timeout();
        if self.is_open() { silent } else { silent.min(self.hello_due_ms) }
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`LinkError::Silent`] when nothing was heard for too long, or no hello came.
    pub fn handle_timeout(&self, now_ms: u64) -> Result<(), LinkError> {
        if now_ms >= self.poll_timeout() { Err(LinkError::Silent) } else { Ok(()) }
    }
}
