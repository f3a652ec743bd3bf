//! One connection of the machine link, sans-IO, for both of its ends.

use crate::{
    codec::CodecError,
    frame::{self, Frame, FrameError, Message},
};

use super::{End, Received, kind};

/// Why a connection must be closed. Nothing that was not acknowledged is lost by it: the next connection resends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
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
    /// A message that may not come before hello and accepted, or one from the wrong end.
    #[error("message kind {0:#04x} out of turn")]
    OutOfTurn(u8),
    /// Nothing was heard for the keepalive time.
    #[error("link silent")]
    Silent,
    /// The connection has used up its sequence numbers.
    #[error("sequence used up")]
    Exhausted,
    /// The message does not fit into the buffer.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Counts, orders and times the messages of one connection. A new connection is a new session.
///
/// Memory: 48 bytes, no buffers. The payload's last bytes are where the session's authentication code goes (a sealing
/// trait will be a parameter here); until then a message is only as safe as the transport and the signature it carries.
#[derive(Clone, Debug)]
pub struct Session {
    end: End,
    sent: u32,
    received: u32,
    open: bool,
    heard_ms: u64,
    silence_max_ms: u64,
}

impl Session {
    /// A session that begins at `now_ms` (any monotonic clock) and dies when nothing is heard for `silence_max_ms`.
    pub const fn new(end: End, now_ms: u64, silence_max_ms: u64) -> Self {
        Self { end, sent: 0, received: 0, open: false, heard_ms: now_ms, silence_max_ms }
    }

    /// Hello and accepted have been exchanged and found good: from here all messages may pass.
    pub const fn open(&mut self) {
        self.open = true;
    }

    /// Whether [`Session::open`] was called.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// When the link counts as dead, unless something is heard before.
    pub const fn poll_timeout(&self) -> u64 {
        self.heard_ms.saturating_add(self.silence_max_ms)
    }

    /// Something was heard on a layer below (an MQTT ping answer).
    pub const fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`SessionError::Silent`] when the link is dead.
    pub const fn handle_timeout(&self, now_ms: u64) -> Result<(), SessionError> {
        if now_ms >= self.poll_timeout() { Err(SessionError::Silent) } else { Ok(()) }
    }

    /// Writes the frame of the next message to send; the length is returned.
    ///
    /// # Errors
    /// [`SessionError::OutOfTurn`] before the session is open, except for hello, accepted and rejected;
    /// [`SessionError::Codec`] when `out` is too small, and then nothing is counted.
    pub fn send<M: Message>(&mut self, message: &M, out: &mut [u8]) -> Result<usize, SessionError> {
        if !self.open && !Self::opens(M::KIND) {
            return Err(SessionError::OutOfTurn(M::KIND));
        }
        let sequence = self.sent.checked_add(1).ok_or(SessionError::Exhausted)?;
        let len = frame::write(0, sequence, message, out)?;
        self.sent = sequence;
        Ok(len)
    }

    /// Takes a received frame.
    ///
    /// # Errors
    /// [`SessionError`]: close the connection.
    pub fn receive<'a>(&mut self, now_ms: u64, bytes: &'a [u8]) -> Result<Received<'a>, SessionError> {
        let frame = Frame::parse(bytes)?;
        self.heard_ms = now_ms;
        if frame.sequence <= self.received {
            return Ok(Received::Repeat);
        }
        let expected = self.received.checked_add(1).ok_or(SessionError::Exhausted)?;
        if frame.sequence != expected {
            return Err(SessionError::Gap { expected, got: frame.sequence });
        }
        let from_server = frame.kind >= 0x40;
        let wrong_end = from_server == (self.end == End::Server) && frame.kind != kind::UNSUPPORTED;
        if wrong_end || (!self.open && !Self::opens(frame.kind)) {
            return Err(SessionError::OutOfTurn(frame.kind));
        }
        self.received = expected;
        Ok(Received::Message(frame))
    }

    const fn opens(kind: u8) -> bool {
        matches!(kind, kind::HELLO | kind::ACCEPTED | kind::REJECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AuthSeq,
        machine_link::{Busy, Rejected, Taken},
    };

    fn taken() -> Taken {
        Taken { seq: AuthSeq::new(1).unwrap() }
    }

    fn pair() -> (Session, Session) {
        (Session::new(End::Machine, 0, 1000), Session::new(End::Server, 0, 1000))
    }

    #[test]
    fn nothing_passes_before_the_session_is_open() {
        let (mut machine, mut server) = pair();
        let mut out = [0; 64];
        assert_eq!(machine.send(&taken(), &mut out), Err(SessionError::OutOfTurn(kind::TAKEN)));
        machine.open();
        let len = machine.send(&taken(), &mut out).unwrap();
        assert_eq!(server.receive(0, &out[..len]), Err(SessionError::OutOfTurn(kind::TAKEN)));
        server.open();
        assert!(matches!(server.receive(0, &out[..len]), Ok(Received::Message(_))));
    }

    #[test]
    fn a_doubled_message_is_seen_once_and_a_missing_one_closes() {
        let (mut machine, mut server) = pair();
        machine.open();
        server.open();
        let mut first = [0; 64];
        let mut third = [0; 64];
        let len = machine.send(&taken(), &mut first).unwrap();
        assert!(matches!(server.receive(0, &first[..len]), Ok(Received::Message(_))));
        assert_eq!(server.receive(0, &first[..len]), Ok(Received::Repeat));
        machine.send(&taken(), &mut third).unwrap();
        let len = machine.send(&Busy { seq: AuthSeq::new(2).unwrap() }, &mut third).unwrap();
        assert_eq!(server.receive(0, &third[..len]), Err(SessionError::Gap { expected: 2, got: 3 }));
    }

    #[test]
    fn an_end_refuses_its_own_kind_of_messages() {
        let (mut machine, mut server) = pair();
        let mut out = [0; 64];
        let len = server
            .send(&Rejected { code: crate::machine_link::Rejection::UNKNOWN, retry_s: 5 }, &mut out)
            .unwrap();
        assert!(matches!(machine.receive(0, &out[..len]), Ok(Received::Message(_))));
        let (_, mut other_server) = pair();
        assert_eq!(other_server.receive(0, &out[..len]), Err(SessionError::OutOfTurn(kind::REJECTED)));
    }

    #[test]
    fn silence_kills_the_link() {
        let (mut machine, _) = pair();
        assert_eq!(machine.handle_timeout(999), Ok(()));
        assert_eq!(machine.handle_timeout(1000), Err(SessionError::Silent));
        machine.heard(500);
        assert_eq!(machine.handle_timeout(1000), Ok(()));
    }
}
