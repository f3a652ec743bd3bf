//! The main board's dealings with the server: hello, what comes in, what goes out.

use vend_payments::authorization::{Permit, verify_void};
use vend_protocol::{
    AuthSeq, List, Nonce, OrderId, PlanVersion,
    codec::CodecError,
    frame::{Frame, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Accepted, Acknowledgement, Authorization, Busy, HELLO_ROUND_TRIP_MAX_MS, Hello, LateDrop,
        PlanApplied, PlanPart, Prepare, Readiness, Ready, Receipt, Received, Rejected, Session, SessionError,
        Settled, TIME_RENEWAL_MS, Taken, Unsupported, Void, kind,
    },
    signed::{AcceptedBody, HelloBody, MAX_LINES, Revision, Signed},
};

use super::{Machine, Random, order::Incoming, order::Work};
use crate::journal::Lookup;

/// Small messages that wait to be sent. At the limit a new one is dropped: the server asks again, or does without.
const OUT_MAX: usize = 16;
/// Sequences asked for again, and acknowledgements, that wait for the journal. At the limit a new one is dropped, and the
/// next connection brings it again.
const ASKED_MAX: usize = 8;
/// After an error on the link the next connection is made no sooner than this, in milliseconds.
const RETRY_MS: u32 = 500;

/// A message that goes out when its turn comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Out {
    Ready(Ready),
    Taken(Taken),
    Busy(Busy),
    Settled(Settled),
    PlanApplied(PlanApplied),
    LateDrop(LateDrop),
    Unsupported(Unsupported),
}

/// What waits for the journal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// The state of a sequence that was used up before.
    Sequence(AuthSeq),
    /// Whether this acknowledgement is for a receipt of ours.
    Acknowledged(Acknowledgement),
}

/// A first-in-first-out queue of fixed size.
#[derive(Debug)]
pub(super) struct Queue<T, const N: usize> {
    items: [Option<T>; N],
}

impl<T, const N: usize> Queue<T, N> {
    pub(super) const fn new() -> Self {
        Self { items: [const { None }; N] }
    }

    pub(super) fn push(&mut self, item: T) {
        if let Some(place) = self.items.iter_mut().find(|place| place.is_none()) {
            *place = Some(item);
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let first = self.items.first_mut()?.take();
        self.items.rotate_left(1);
        first
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.items.first()?.as_ref()
    }

    fn clear(&mut self) {
        self.items = [const { None }; N];
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: Option<Session>,
    hello: Option<(Nonce, u64)>,
    hello_due_ms: u64,
    pub(super) out: Queue<Out, OUT_MAX>,
    pub(super) asked: Queue<Asked, ASKED_MAX>,
    /// The next receipt to send on this connection is the oldest one from this number on.
    pub(super) cursor: u64,
    /// It, read from the journal.
    pub(super) loaded: Option<Signed>,
    /// The server has every receipt up to here: to be journaled.
    pub(super) watermark: u64,
    /// For this watermark the journal had no room.
    pub(super) watermark_tried: u64,
    pub(super) prepare: Option<Prepare>,
    pub(super) close: Option<u32>,
}

impl Link {
    pub(super) const fn new() -> Self {
        Self {
            session: None,
            hello: None,
            hello_due_ms: 0,
            out: Queue::new(),
            asked: Queue::new(),
            cursor: 1,
            loaded: None,
            watermark: 0,
            watermark_tried: 0,
            prepare: None,
            close: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_open)
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let session = self.session.as_ref()?;
        let hello = match self.hello {
            Some((_, sent)) => sent.saturating_add(HELLO_ROUND_TRIP_MAX_MS),
            None => self.hello_due_ms,
        };
        Some(session.poll_timeout().min(hello))
    }

    pub(super) fn close(&mut self, retry_ms: u32) {
        if self.session.take().is_some() {
            self.close = Some(retry_ms);
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.hello = None;
        self.out.clear();
        self.asked.clear();
        self.loaded = None;
        self.prepare = None;
    }
}

impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    pub(super) fn link_connected(&mut self, now_ms: u64, session: Session) {
        self.link.reset();
        self.link.close = None;
        self.link.session = Some(session);
        self.link.hello_due_ms = now_ms;
    }

    pub(super) fn link_disconnected(&mut self) {
        self.link.session = None;
        self.link.close = None;
        self.link.reset();
    }

    pub(super) fn link_timeout(&mut self, now_ms: u64) {
        let Some(session) = &self.link.session else { return };
        let late =
            self.link.hello.is_some_and(|(_, sent)| now_ms >= sent.saturating_add(HELLO_ROUND_TRIP_MAX_MS));
        if late || session.handle_timeout(now_ms).is_err() {
            self.link.close(RETRY_MS);
        }
    }

    pub(super) fn link_frame(&mut self, now_ms: u64, bytes: &[u8]) {
        let Some(session) = self.link.session.as_mut() else { return };
        let frame = match session.receive(now_ms, bytes) {
            Ok(Received::Message(frame)) => frame,
            Ok(Received::Repeat) => return,
            Err(_) => return self.link.close(RETRY_MS),
        };
        if self.dispatch(now_ms, &frame).is_none() {
            // A known message that cannot be read: this is not a server we understand.
            self.link.close(RETRY_MS);
        }
    }

    fn dispatch(&mut self, now_ms: u64, frame: &Frame<'_>) -> Option<()> {
        if frame.revision != 1 {
            self.unsupported(frame);
            return Some(());
        }
        match frame.kind {
            kind::ACCEPTED => {
                let Accepted(signed) = frame.decode().ok()?;
                self.accepted(now_ms, &signed)
            }
            kind::REJECTED => {
                let rejected: Rejected = frame.decode().ok()?;
                self.link.close(u32::from(rejected.retry_s).saturating_mul(1_000).max(RETRY_MS));
                Some(())
            }
            kind::PREPARE => {
                self.link.prepare = Some(frame.decode().ok()?);
                Some(())
            }
            kind::AUTHORIZATION => {
                let Authorization(signed) = frame.decode().ok()?;
                self.authorization(now_ms, signed);
                Some(())
            }
            kind::VOID => {
                let Void(signed) = frame.decode().ok()?;
                self.void(now_ms, &signed);
                Some(())
            }
            kind::ACKNOWLEDGEMENT => {
                let acknowledgement: Acknowledgement = frame.decode().ok()?;
                if acknowledgement.journal == self.journal {
                    self.link.asked.push(Asked::Acknowledged(acknowledgement));
                }
                Some(())
            }
            kind::PLAN_PART => {
                let part: PlanPart = frame.decode().ok()?;
                if let Some(plan) = self.plan.handle(&part) {
                    self.link.out.push(Out::PlanApplied(PlanApplied { plan }));
                }
                Some(())
            }
            kind::UNSUPPORTED => Some(()),
            _ => {
                self.unsupported(frame);
                Some(())
            }
        }
    }

    fn unsupported(&mut self, frame: &Frame<'_>) {
        self.link.out.push(Out::Unsupported(Unsupported {
            kind: frame.kind,
            revision: frame.revision,
            sequence: frame.sequence,
        }));
    }

    /// Believes an answer to this connection's hello, or closes the connection.
    fn accepted(&mut self, now_ms: u64, signed: &Signed) -> Option<()> {
        let (nonce, sent_ms) = self.link.hello?;
        let body: AcceptedBody = self.keys.verify(signed).ok()?;
        let in_time = now_ms.saturating_sub(sent_ms) <= HELLO_ROUND_TRIP_MAX_MS;
        let fits = body.enrolment == self.enrolment && body.nonce == nonce && in_time;
        if !fits || self.keys.check_time(body.server_time_ms).is_err() {
            return None;
        }
        self.link.hello = None;
        self.clock = Some((body.server_time_ms, now_ms));
        self.link.hello_due_ms = now_ms.saturating_add(TIME_RENEWAL_MS);
        let session = self.link.session.as_mut()?;
        if !session.is_open() {
            session.open();
            // A server that was restored from a backup may know less than it acknowledged: it gets what is still there.
            let watermark = body.receipt_watermark.min(self.state.numbers.last_receipt);
            (self.link.watermark, self.link.watermark_tried) = (watermark, 0);
            self.link.cursor = watermark.saturating_add(1);
        }
        Some(())
    }

    fn authorization(&mut self, now_ms: u64, signed: Signed) {
        let Some(time) = self.server_time_ms(now_ms) else { return };
        if self.keys.check_time(time).is_err() {
            return;
        }
        // What does not verify proves nothing and is not answered.
        let Ok(permit) = Permit::verify(&signed, &self.keys, self.enrolment) else { return };
        let seq = permit.body().seq;
        self.consider(seq, Incoming::Authorization { permit, signed });
    }

    fn void(&mut self, now_ms: u64, signed: &Signed) {
        let Some(time) = self.server_time_ms(now_ms) else { return };
        if self.keys.check_time(time).is_err() {
            return;
        }
        let Ok(void) = verify_void(signed, &self.keys, self.enrolment) else { return };
        self.consider(void.seq, Incoming::Void(void));
    }

    fn consider(&mut self, seq: AuthSeq, incoming: Incoming) {
        if let Work::Vending(vending) = &self.work
            && vending.seq() == seq
        {
            self.link.out.push(Out::Taken(Taken { seq }));
        } else if seq.number() <= self.state.numbers.used_seq {
            self.link.asked.push(Asked::Sequence(seq));
        } else if self.broken || !matches!(self.work, Work::Idle) {
            self.link.out.push(Out::Busy(Busy { seq }));
        } else {
            self.work = Work::Considering(incoming);
        }
    }

    /// The journal's answer to [`Asked::Sequence`].
    pub(super) fn answer_sequence(&mut self, seq: AuthSeq, found: Option<Signed>) {
        match found {
            // It is sent as any other: from the journal, in this place of the order.
            Some(receipt) => self.link.loaded = self.link.loaded.take().or(Some(receipt)),
            None => self.link.out.push(Out::Settled(Settled { up_to: seq })),
        }
    }

    pub(super) fn late_drop(&mut self, now_ms: u64, after: Option<OrderId>) {
        let at_ms = self.server_time_ms(now_ms).unwrap_or(0);
        self.link.out.push(Out::LateDrop(LateDrop { after, at_ms }));
    }

    pub(super) fn ready(&mut self, request: u32, readiness: Readiness) {
        self.link.out.push(Out::Ready(Ready { request, readiness }));
    }

    /// Writes the next frame for the server, if there is one.
    pub(super) fn link_transmit(&mut self, now_ms: u64, frame: &mut [u8]) -> Option<usize> {
        self.link.session.as_ref()?;
        let sent = if self.link.hello.is_none() && now_ms >= self.link.hello_due_ms {
            self.send_hello(now_ms, frame)
        } else if !self.link.is_open() {
            return None;
        } else if let Some(out) = self.link.out.pop() {
            match out {
                Out::Ready(message) => self.send(&message, frame),
                Out::Taken(message) => self.send(&message, frame),
                Out::Busy(message) => self.send(&message, frame),
                Out::Settled(message) => self.send(&message, frame),
                Out::PlanApplied(message) => self.send(&message, frame),
                Out::LateDrop(message) => self.send(&message, frame),
                Out::Unsupported(message) => self.send(&message, frame),
            }
        } else if let Some(receipt) = self.link.loaded.take() {
            self.send(&Receipt(receipt), frame)
        } else {
            return None;
        };
        sent.inspect_err(|_| self.link.close(RETRY_MS)).ok()
    }

    fn send<M: Message>(&mut self, message: &M, frame: &mut [u8]) -> Result<usize, SessionError> {
        match self.link.session.as_mut() {
            Some(session) => session.send(message, frame),
            None => Err(SessionError::Codec(CodecError::Full)),
        }
    }

    fn send_hello(&mut self, now_ms: u64, frame: &mut [u8]) -> Result<usize, SessionError> {
        let mut nonce = Nonce([0; 16]);
        self.random.fill(&mut nonce.0);
        let understood = [
            kind::ACCEPTED,
            kind::PREPARE,
            kind::AUTHORIZATION,
            kind::VOID,
            kind::ACKNOWLEDGEMENT,
            kind::PLAN_PART,
        ];
        let revisions = understood.map(|kind| Revision { kind, revision: 1 });
        let none = PlanVersion::new(0).map_err(|_| CodecError::Invalid)?;
        let body = HelloBody {
            machine: self.config.machine,
            enrolment: self.enrolment,
            nonce,
            ephemeral: [0; 32],
            config: 0,
            key_list: 0,
            journal: self.journal,
            used_seq: self.state.numbers.used_seq,
            last_receipt: self.state.numbers.last_receipt,
            plan: self.plan.version().unwrap_or(none),
            revisions: List::try_from_iter(revisions).map_err(|_| CodecError::Full)?,
            frame_max: u16::try_from(MACHINE_FRAME_MAX).unwrap_or(u16::MAX),
            lines_max: u8::try_from(MAX_LINES).unwrap_or(u8::MAX),
            firmware: self.config.firmware,
        };
        let signed = self.signer.sign(&body)?;
        let len = self.send(&Hello(signed), frame)?;
        self.link.hello = Some((nonce, now_ms));
        Ok(len)
    }

    /// What has to be read from the journal next for the link's sake.
    pub(super) fn link_lookup(&self) -> Option<Lookup> {
        if !self.link.is_open() {
            return None;
        }
        if let Some(asked) = self.link.asked.front() {
            return Some(match asked {
                Asked::Sequence(seq) => Lookup::Sequence(*seq),
                Asked::Acknowledged(acknowledgement) => Lookup::Number(acknowledgement.number),
            });
        }
        if self.link.loaded.is_none() && self.link.cursor <= self.state.numbers.last_receipt {
            return vend_protocol::ReceiptNo::new(self.link.cursor).ok().map(Lookup::From);
        }
        None
    }
}
