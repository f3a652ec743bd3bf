//! Counting, ordering and authenticating the messages of one connection, at either end.

use super::{
    PLAIN, SEALED, kind,
    seal::{MAC_LEN, Seal},
};
use crate::{
    List,
    codec::CodecError,
    frame::{self, Frame, FrameError, Message},
    signed::{REVISIONS_MAX, Revision},
};

/// Which end of the link a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The machine's: it sends the hello.
    Machine,
    /// The server's.
    Server,
}

/// Why a connection must be closed. Nothing that was not acknowledged is lost by it: the next connection resends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message is missing between the last one and this one.
    #[error("message {got} where {expected} was due")]
    Gap {
        /// The sequence that was due.
        expected: u32,
        /// The sequence that came.
        got: u32,
    },
    /// The authentication code is missing or not the other end's.
    #[error("not authentic")]
    Forged,
    /// A message that may not come before hello and accepted, after them, or from this end.
    #[error("message kind {0:#04x} out of turn")]
    OutOfTurn(u8),
    /// A money message of a revision that the other end did not list.
    #[error("the other end does not read message kind {0:#04x} in this revision")]
    NotListed(u8),
    /// Nothing was heard for the keepalive time.
    #[error("link silent")]
    Silent,
    /// The hello was not answered, or too late to take the time from the answer.
    #[error("hello unanswered")]
    HelloUnanswered,
    /// The connection has used up its sequence numbers.
    #[error("sequence used up")]
    Exhausted,
    /// The message does not fit into the buffer.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A new message.
    Message(Frame<'a>),
    /// One that was received before: the transport doubled it. It has no effect.
    Repeat,
}

/// Counts, orders and authenticates the messages of one connection. A new connection is a new channel.
///
/// [`super::MachineSession`] and [`super::ServerSession`] are built on it; it is public for who needs another policy above it.
///
/// Memory: the seal and 80 bytes; no buffers.
#[derive(Clone, Debug)]
pub struct Channel<S> {
    end: End,
    sent: u32,
    received: u32,
    seal: Option<S>,
    /// What the other end reads.
    listed: List<Revision, REVISIONS_MAX>,
    heard_ms: u64,
    silence_max_ms: u64,
}

impl<S: Seal> Channel<S> {
    /// A channel that begins at `now_ms` (any monotonic clock) and dies when nothing is heard for `silence_max_ms`.
    pub fn new(end: End, now_ms: u64, silence_max_ms: u64) -> Self {
        Self {
            end,
            sent: 0,
            received: 0,
            seal: None,
            listed: List::default(),
            heard_ms: now_ms,
            silence_max_ms,
        }
    }

    /// Hello and accepted have been exchanged and found good: from here every message is sealed. `listed` is what the other end
    /// said it reads.
    pub fn open(&mut self, seal: S, listed: List<Revision, REVISIONS_MAX>) {
        self.seal = Some(seal);
        self.listed = listed;
    }

    /// Whether [`Channel::open`] was called.
    pub const fn is_open(&self) -> bool {
        self.seal.is_some()
    }

    /// Whether the other end said that it reads this revision of a money message.
    pub fn reads(&self, kind: u8, revision: u8) -> bool {
        self.listed.iter().any(|listed| listed.covers(kind, revision))
    }

    /// When the link counts as dead, unless something is heard before.
    pub const fn poll_timeout(&self) -> u64 {
        self.heard_ms.saturating_add(self.silence_max_ms)
    }

    /// When something was last heard.
    pub const fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`LinkError::Silent`] when the link is dead.
    pub const fn handle_timeout(&self, now_ms: u64) -> Result<(), LinkError> {
        if now_ms >= self.poll_timeout() { Err(LinkError::Silent) } else { Ok(()) }
    }

    /// Writes the frame of the next message to send; the length is returned.
    ///
    /// # Errors
    /// [`LinkError::OutOfTurn`] for a handshake message on an open channel, or another one before;
    /// [`LinkError::NotListed`] for a money message that the other end cannot read; [`LinkError::Codec`] when `out` is too
    /// small. Nothing is counted then.
    pub fn send<M: Message>(&mut self, message: &M, out: &mut [u8]) -> Result<usize, LinkError> {
        self.send_with(M::KIND, M::REVISION, out, &|payload| crate::codec::encode(message, payload))
    }

    /// As [`Channel::send`], for a payload that is encoded already.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn send_encoded(
        &mut self,
        kind: u8,
        revision: u8,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, LinkError> {
        self.send_with(kind, revision, out, &frame::encoded(payload))
    }

    /// One copy of it for all messages: hence the `dyn`.
    #[inline(never)]
    pub(super) fn send_with(
        &mut self,
        kind: u8,
        revision: u8,
        out: &mut [u8],
        payload: &dyn Fn(&mut [u8]) -> Result<usize, CodecError>,
    ) -> Result<usize, LinkError> {
        let sealed = self.seal.is_some();
        if !kind::passes(kind, sealed) {
            return Err(LinkError::OutOfTurn(kind));
        }
        if kind::is_money(kind) && !self.reads(kind, revision) {
            return Err(LinkError::NotListed(kind));
        }
        let sequence = self.sent.checked_add(1).ok_or(LinkError::Exhausted)?;
        let mut body_len =
            frame::write_body([if sealed { SEALED } else { PLAIN }, kind, revision], sequence, out, payload)?;
        if let Some(seal) = &self.seal {
            let (body, rest) = out.split_at_mut_checked(body_len).ok_or(CodecError::Full)?;
            *rest.first_chunk_mut::<MAC_LEN>().ok_or(CodecError::Full)? = seal.seal(body);
            body_len += MAC_LEN;
        }
        let len = frame::finish(body_len, out)?;
        self.sent = sequence;
        Ok(len)
    }

    /// The sequence of the last message sent.
    pub(super) const fn last_sent(&self) -> u32 {
        self.sent
    }

    /// When something new was heard last.
    pub(super) const fn last_heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// Takes a received frame.
    ///
    /// # Errors
    /// [`LinkError`]: close the connection. Nothing of the frame was believed.
    pub fn receive<'a>(&mut self, now_ms: u64, bytes: &'a [u8]) -> Result<Received<'a>, LinkError> {
        let mut frame = Frame::parse(bytes)?;
        if let Some(seal) = &self.seal {
            if frame.address != SEALED {
                // A doubled hello or accepted comes here too; it was counted before the channel was open.
                let repeat = frame.sequence <= self.received && kind::passes(frame.kind, false);
                return if repeat { Ok(Received::Repeat) } else { Err(LinkError::Forged) };
            }
            let (body, code) = frame::body(bytes)?.split_last_chunk::<MAC_LEN>().ok_or(FrameError::Short)?;
            if !seal.verify(body, code) {
                return Err(LinkError::Forged);
            }
            if !kind::passes(frame.kind, true) {
                return Err(LinkError::OutOfTurn(frame.kind));
            }
            frame.payload = frame.payload.split_last_chunk::<MAC_LEN>().ok_or(FrameError::Short)?.0;
        } else if frame.address != PLAIN || !kind::passes(frame.kind, false) {
            return Err(LinkError::OutOfTurn(frame.kind));
        }
        if frame.sequence <= self.received {
            return Ok(Received::Repeat);
        }
        let expected = self.received.checked_add(1).ok_or(LinkError::Exhausted)?;
        if frame.sequence != expected {
            return Err(LinkError::Gap { expected, got: frame.sequence });
        }
        let from = if frame.kind < kind::FIRST_OF_SERVER { End::Machine } else { End::Server };
        if from == self.end && frame.kind != kind::UNSUPPORTED {
            return Err(LinkError::OutOfTurn(frame.kind));
        }
        self.received = expected;
        // Only now: a recording of an old message must not keep a dead link alive.
        self.heard_ms = now_ms;
        Ok(Received::Message(frame))
    }

    /// Something was heard on a layer below (an MQTT ping answer).
    pub const fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }
}

/// Reads a frame of the machine link without checking who it is from, sealed or not; what comes back has no code any more.
///
/// For recorders and tests between the ends, which have no keys. Believe nothing that it says but what is signed in itself.
///
/// # Errors
/// [`FrameError::Short`] or [`FrameError::Checksum`].
pub fn dangerous_unverified(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let mut frame = Frame::parse(bytes)?;
    if frame.address == SEALED {
        frame.payload = frame.payload.split_last_chunk::<MAC_LEN>().ok_or(FrameError::Short)?.0;
    }
    Ok(frame)
}
