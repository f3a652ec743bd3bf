//! The main board's connection to the server: hello and its answer, the server's time, frames in and out.

use vend_payments::session::{Offer, SessionSeal};
use vend_protocol::{
    List, Nonce, PlanVersion,
    codec::CodecError,
    frame::{MACHINE_FRAME_MAX, Message},
    machine_link::{Class, LinkError, MachineEvent, MachineSession, Prepare, kind},
    signed::{HelloBody, MAX_LINES, Revision, Signed},
};

use super::{Machine, Random, receipts::Receipts};

/// Small messages that wait to be sent. At the limit an answer is not given, and the server asks again.
const OUT_MAX: usize = 16;
/// Bytes of the longest of them, the one about a late fall.
const OUT_BYTES: usize = 24;
/// After an error on the link the next connection is made no sooner than this, in milliseconds.
const RETRY_MS: u32 = 500;
/// The money messages that this machine reads, each in revision 1.
const READS: [u8; 3] = [kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT];

type Session = MachineSession<SessionSeal, OUT_MAX, OUT_BYTES>;

/// One connection at a time, and what outlives it.
#[derive(Debug)]
pub(super) struct Link {
    session: Option<Session>,
    /// The hello that waits for its answer.
    offer: Option<Offer>,
    /// The server's time, and when it was that, when the session that knew it ended.
    last_time: Option<(u64, u64)>,
    /// Sequences up to here are used up, by the server's word.
    pub(super) floor_seq: u64,
    pub(super) receipts: Receipts,
    pub(super) prepare: Option<Prepare>,
    pub(super) close: Option<u32>,
}

impl Link {
    pub(super) const fn new() -> Self {
        Self {
            session: None,
            offer: None,
            last_time: None,
            floor_seq: 0,
            receipts: Receipts::new(),
            prepare: None,
            close: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_open)
    }

    pub(super) const fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.session.as_ref().map(Session::poll_timeout)
    }

    /// The session's time while there is one, and between two sessions what the last one knew: an order that was taken goes
    /// on without a link. It never goes back. After a new session with an earlier time it stands still until that has
    /// caught up: an authorization that has expired stays expired, and a clock that ran too fast here is put right.
    pub(super) fn server_time_ms(&self, now_ms: u64) -> Option<u64> {
        match (self.session.as_ref().and_then(|session| session.server_time_ms(now_ms)), self.last_time) {
            (Some(time), last) => Some(last.map_or(time, |(last, _)| time.max(last))),
            (None, last) => last.map(|(time, at_ms)| time.saturating_add(now_ms.saturating_sub(at_ms))),
        }
    }

    /// The number of the receipt that the session wants next.
    pub(super) fn wanted(&self) -> Option<vend_protocol::ReceiptNo> {
        self.session.as_ref().and_then(Session::wanted)
    }

    fn close(&mut self, now_ms: u64, retry_ms: u32) {
        if self.session.is_some() {
            self.end(now_ms);
            self.close = Some(retry_ms);
        }
    }

    /// Ends the connection. What was not sent is lost with it, and is asked for again, told by the next hello, or in the
    /// journal.
    fn end(&mut self, now_ms: u64) {
        self.last_time = self.server_time_ms(now_ms).map(|time| (time, now_ms));
        self.session = None;
        self.offer = None;
        self.receipts.restart(0);
        self.prepare = None;
        self.close = None;
    }

    /// A key list that came in place of an *accepted* is stored, or could not be: then the next connection is offered it again.
    pub(super) fn greet_again(&mut self, now_ms: u64, stored: bool) {
        match &mut self.session {
            Some(session) if stored => session.greet_again(now_ms),
            _ => self.close(now_ms, RETRY_MS),
        }
    }

    /// Queues a message. An answer for which there is no room is not given: the server asks again. Nothing else that is
    /// queued is needed by anybody: the plan and the key list in use stand in the next hello.
    pub(super) fn queue<M: Message>(&mut self, class: Class, message: &M) {
        if let Some(session) = &mut self.session {
            let _ = session.queue(class, message);
        }
    }
}

impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    pub(super) fn link_connected(&mut self, now_ms: u64) {
        self.link.end(now_ms);
        self.link.session = Some(Session::new(now_ms, self.config.silence_ms));
    }

    pub(super) fn link_disconnected(&mut self, now_ms: u64) {
        self.link.end(now_ms);
    }

    pub(super) fn link_timeout(&mut self, now_ms: u64) {
        let dead = self.link.session.as_ref().is_some_and(|session| session.handle_timeout(now_ms).is_err());
        if dead {
            self.link.close(now_ms, RETRY_MS);
        }
    }

    pub(super) fn link_frame(&mut self, now_ms: u64, bytes: &[u8]) {
        let Some(session) = &mut self.link.session else { return };
        let understood = match session.handle_frame(now_ms, bytes) {
            Ok(None) => true,
            Ok(Some(event)) => self.link_event(now_ms, event),
            Err(_) => false,
        };
        if !understood {
            self.link.close(now_ms, RETRY_MS);
        }
    }

    /// Whether it can be believed and read: if not, this is not a server to talk to.
    fn link_event(&mut self, now_ms: u64, event: MachineEvent<'_>) -> bool {
        match event {
            MachineEvent::Accepted(signed) => self.accepted(now_ms, &signed).is_some(),
            MachineEvent::Rejected { retry_s, .. } => {
                self.link.close(now_ms, u32::from(retry_s).saturating_mul(1_000).max(RETRY_MS));
                true
            }
            MachineEvent::KeyList(list) => {
                self.link.offer = None;
                self.key_list_before_accepted(list)
            }
            MachineEvent::Message(frame) => self.dispatch(now_ms, &frame).is_ok(),
            // The session says hello again. And of what the server does not know nothing is sent twice on one connection.
            MachineEvent::Pending | MachineEvent::Unsupported(_) => true,
        }
    }

    /// Believes an answer to this connection's hello.
    fn accepted(&mut self, now_ms: u64, signed: &Signed) -> Option<()> {
        let offer = self.link.offer.take()?;
        let (mut body, seal) = offer.accept(&self.keys, signed, now_ms).ok()?;
        // A link that this machine gives up before the server's keepalive is over is asked for the time earlier.
        let at_most =
            u16::try_from(self.config.silence_ms.saturating_mul(2) / 3_000).unwrap_or(u16::MAX).max(1);
        body.keepalive_s = if body.keepalive_s == 0 { at_most } else { body.keepalive_s.min(at_most) };
        self.link.last_time = self.link.server_time_ms(now_ms).map(|time| (time, now_ms));
        let last_receipt = self.state.numbers.last_receipt;
        self.link.session.as_mut()?.open(now_ms, seal, &body, last_receipt);
        // A server that was restored from a backup may know less than it acknowledged: it gets what is still there.
        self.link.receipts.restart(body.receipt_watermark.min(last_receipt));
        self.link.floor_seq = self.link.floor_seq.max(body.floor_seq);
        Some(())
    }

    /// Writes the next frame for the server, if there is one.
    pub(super) fn link_transmit(&mut self, now_ms: u64, frame: &mut [u8]) -> Option<usize> {
        let session = self.link.session.as_mut()?;
        let sent = if session.wants_hello(now_ms) {
            self.send_hello(now_ms, frame).map(Some)
        } else {
            let mut cursor = self.link.receipts.cursor(self.state.numbers.last_receipt);
            session.poll_transmit(now_ms, &mut cursor, frame)
        };
        sent.unwrap_or_else(|_| {
            self.link.close(now_ms, RETRY_MS);
            None
        })
    }

    fn send_hello(&mut self, now_ms: u64, frame: &mut [u8]) -> Result<usize, LinkError> {
        let mut nonce = Nonce([0; 16]);
        self.random.fill(&mut nonce.0);
        let mut secret = [0; 32];
        self.random.fill(&mut secret);
        let revisions = READS.map(|kind| Revision { kind, revision: 1 });
        let none = PlanVersion::new(0).map_err(|_| CodecError::Invalid)?;
        let body = HelloBody {
            machine: self.config.machine,
            enrolment: self.enrolment,
            nonce,
            // The offer puts its own in.
            ephemeral: [0; 32],
            journal: self.journal,
            used_seq: self.state.numbers.used_seq,
            last_receipt: self.state.numbers.last_receipt,
            plan: self.plan.version().unwrap_or(none),
            // It only knows the configuration it was built with.
            config: 0,
            key_list: self.keys.version(),
            revisions: List::try_from_iter(revisions).map_err(|_| CodecError::Full)?,
            frame_max: u16::try_from(MACHINE_FRAME_MAX).unwrap_or(u16::MAX),
            lines_max: u8::try_from(MAX_LINES).unwrap_or(u8::MAX),
            firmware: self.config.firmware,
        };
        let (hello, offer) = Offer::hello(secret, &self.signer, body, now_ms)?;
        let session = self.link.session.as_mut().ok_or(CodecError::Full)?;
        let len = session.greet(now_ms, &hello, frame)?;
        self.link.offer = Some(offer);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use vend_protocol::{
        AuthSeq, OrderId, Reason,
        codec::encode,
        machine_link::{
            Busy, KeyListApplied, LateDrop, PlanApplied, Readiness, Ready, Settled, Taken, Unsupported,
        },
    };

    use super::*;

    #[test]
    fn the_longest_of_what_is_queued_fits() {
        let mut payload = [0; OUT_BYTES];
        let seq = AuthSeq::new(u64::MAX).unwrap();
        let readiness = Readiness::NotReady(Reason(u8::MAX));
        let after = Some(OrderId::new((1 << 53) - 1).unwrap());
        let lengths = [
            encode(&Ready { request: u32::MAX, readiness }, &mut payload),
            encode(&Taken { seq }, &mut payload),
            encode(&Busy { seq }, &mut payload),
            encode(&Settled { up_to: seq }, &mut payload),
            encode(&PlanApplied { plan: PlanVersion::new(u32::MAX.into()).unwrap() }, &mut payload),
            encode(&KeyListApplied { version: u32::MAX }, &mut payload),
            encode(&LateDrop { after, at_ms: u64::MAX }, &mut payload),
            encode(&Unsupported { kind: u8::MAX, revision: u8::MAX, sequence: u32::MAX }, &mut payload),
        ];
        assert!(lengths.iter().all(Result::is_ok), "{lengths:?}");
    }
}
