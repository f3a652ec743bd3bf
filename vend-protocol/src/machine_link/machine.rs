//! The machine's end of a connection, sans-IO.

use super::{
    AMENDMENT_REVISION, Accepted, Chained, ChainedKind, Channel, Class, Clock, ClockRequest, End,
    HELLO_ROUND_TRIP_MAX_MS, Hello, KeyList, LinkError, MoneyCursor, Next, OutboxFull, Pending,
    RECEIPT_REVISION, RETRY_MAX_S, Received, Rejected, Rejection, Seal, TIME_RENEWAL_MS, Unsupported, kind,
    outbox::Outbox, window::Window,
};
use crate::{
    ReceiptNo, codec,
    frame::{Frame, Message},
    signed::{AcceptedBody, Signed},
};

/// What a frame brought to the machine.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and no allocator")]
pub enum MachineEvent<'a> {
    /// The hello was answered. Verify it (signature, enrolment, nonce), agree on the keys, then call
    /// [`MachineSession::open`]; or close the connection.
    Accepted(Signed),
    /// The hello was not accepted. Close the connection and come back after `retry_s`, which has been brought into bounds.
    Rejected {
        /// Why.
        code: Rejection,
        /// In seconds.
        retry_s: u16,
    },
    /// The hello was answered with a newer key list, before the session is open: the machine may not know the key that would
    /// sign *accepted*. Verify it, store it, then call [`MachineSession::greet_again`]; or close the connection. On an open
    /// session a key list comes as a [`MachineEvent::Message`].
    KeyList(Signed),
    /// The server is not ready for this machine; the session asks for another hello by itself when it is time.
    Pending,
    /// A message for the machine. One it cannot use at all goes to [`MachineSession::unsupported`].
    Message(Frame<'a>),
    /// The server does not know a message. It is not sent again on this connection.
    Unsupported(Unsupported),
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The next hello is due.
    Greeting {
        due_ms: u64,
    },
    Asked {
        sent_ms: u64,
    },
    Open,
}

/// One connection of a machine: hello, the answers the server waits for, money from the journal, events, telemetry, in this
/// order of importance.
///
/// What is sent when:
/// - Money messages are read through a [`MoneyCursor`], at most [`super::WINDOW`] unacknowledged ones at a time.
/// - Everything else is queued with [`MachineSession::queue`]: `SLOTS` messages of at most `BYTES` bytes of payload.
/// - When nothing was sent or nothing was heard for the keepalive's time, and every [`TIME_RENEWAL_MS`], the session asks for
///   the time. It does so first of all when it opens with nothing else to send: until something sealed arrives, the server
///   cannot tell the machine from a recording of its hello.
///
/// A dead link shows in [`MachineSession::handle_timeout`]; then drop the session and make a new one for the next connection.
/// Nothing that was not acknowledged is lost: it is in the journal.
///
/// Memory: the seal, 300 bytes, and `SLOTS` times `BYTES` plus 16.
///
/// ```
/// use vend_protocol::machine_link::{Class, MachineSession, Next, Seal, Taken};
/// # struct Keys;
/// # impl Seal for Keys {
/// #     fn seal(&self, _: &[u8]) -> [u8; 16] { [7; 16] }
/// #     fn verify(&self, _: &[u8], code: &[u8; 16]) -> bool { *code == [7; 16] }
/// # }
/// let mut session = MachineSession::<Keys, 8, 64>::new(0, 90_000);
/// assert!(session.wants_hello(0)); // sign one, and give it to `greet`
/// session.queue(Class::Answer, &Taken { seq: 7u64.try_into().unwrap() }).unwrap();
/// # struct Journal;
/// # impl vend_protocol::machine_link::MoneyCursor for Journal {
/// #     fn next(&mut self, _: vend_protocol::ReceiptNo) -> Next<'_> { Next::End }
/// # }
/// let mut frame = [0; 1024];
/// let sent = session.poll_transmit(0, &mut Journal, &mut frame).unwrap();
/// assert_eq!(sent, None); // nothing passes before the server has accepted
/// ```
#[derive(Clone, Debug)]
pub struct MachineSession<S, const SLOTS: usize, const BYTES: usize> {
    channel: Channel<S>,
    stage: Stage,
    outbox: Outbox<SLOTS, BYTES>,
    window: Window,
    /// Server time and when it was learned.
    time: Option<(u64, u64)>,
    /// The server's time is not before this.
    time_floor_ms: u64,
    sent_ms: u64,
    /// Whether anything was sent sealed.
    proven: bool,
    keepalive_ms: u64,
    clock_request: u32,
    clock_sent_ms: Option<u64>,
}

impl<S: Seal, const SLOTS: usize, const BYTES: usize> MachineSession<S, SLOTS, BYTES> {
    /// A connection made at `now_ms` (any monotonic clock) that is dead when nothing was heard for `silence_max_ms`.
    pub fn new(now_ms: u64, silence_max_ms: u64) -> Self {
        Self {
            channel: Channel::new(End::Machine, now_ms, silence_max_ms),
            stage: Stage::Greeting { due_ms: now_ms },
            outbox: Outbox::new(),
            window: Window::new(),
            time: None,
            time_floor_ms: 0,
            sent_ms: now_ms,
            proven: false,
            keepalive_ms: u64::MAX,
            clock_request: 0,
            clock_sent_ms: None,
        }
    }

    /// Whether a hello is to be signed and given to [`MachineSession::greet`] now.
    pub const fn wants_hello(&self, now_ms: u64) -> bool {
        matches!(self.stage, Stage::Greeting { due_ms } if now_ms >= due_ms)
    }

    /// Writes the frame of a hello; each has a fresh nonce and ephemeral key.
    ///
    /// # Errors
    /// [`LinkError::OutOfTurn`] on an open session; [`LinkError::Codec`] when `out` is too small.
    pub fn greet(&mut self, now_ms: u64, hello: &Signed, out: &mut [u8]) -> Result<usize, LinkError> {
        let len = self
            .channel
            .send_with(Hello::KIND, Hello::REVISION, out, &|payload| codec::encode(hello, payload))?;
        self.stage = Stage::Asked { sent_ms: now_ms };
        Ok(len)
    }

    /// The key list that came in place of an answer is stored: the next hello, which names it, is due.
    pub const fn greet_again(&mut self, now_ms: u64) {
        if let Stage::Greeting { due_ms } = &mut self.stage {
            *due_ms = now_ms;
        }
    }

    /// Whether the server has accepted.
    pub const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// The server accepted, and its answer was verified: everything from here is sealed. `last_number` is the number of the last
    /// message of the journal's chain; what the server lacks of it is sent again.
    pub fn open(&mut self, now_ms: u64, seal: S, accepted: &AcceptedBody, last_number: u64) {
        self.channel.open(seal, accepted.revisions);
        self.stage = Stage::Open;
        self.window.restart(accepted.receipt_watermark.min(last_number));
        self.time = Some((accepted.server_time_ms, now_ms));
        self.sent_ms = now_ms;
        self.proven = false;
        self.keepalive_ms = match accepted.keepalive_s {
            0 => u64::MAX,
            seconds => u64::from(seconds) * 1000,
        };
    }

    /// The server's time in milliseconds since 1970, UTC; `None` before it has accepted.
    pub fn server_time_ms(&self, now_ms: u64) -> Option<u64> {
        let (time, learned) = self.time?;
        Some(time.saturating_add(now_ms.saturating_sub(learned)).max(self.time_floor_ms))
    }

    /// Queues a message that is not a money message.
    ///
    /// # Errors
    /// [`OutboxFull`] when there is no room for an answer or an event, or the message is longer than `BYTES`. What may be lost
    /// is dropped and counted instead.
    pub fn queue<M: Message>(&mut self, class: Class, message: &M) -> Result<(), OutboxFull> {
        self.outbox.push(class, message)
    }

    /// Lossy messages dropped for want of room.
    pub const fn dropped(&self) -> u32 {
        self.outbox.dropped()
    }

    /// The number of the chain's message that [`MachineSession::poll_transmit`] will ask the cursor for; `None` when the session
    /// is not open or enough are on their way.
    pub fn wanted(&self) -> Option<ReceiptNo> {
        if self.is_open() { self.window.wanted() } else { None }
    }

    /// The server has stored this message of the chain: the caller has compared the hash.
    pub fn acknowledged(&mut self, number: ReceiptNo) {
        self.window.acknowledged(number);
    }

    /// Writes the next frame to send, if there is one.
    ///
    /// # Errors
    /// [`LinkError`]: close the connection. [`LinkError::Codec`] says that `out` is shorter than the machine link's frames.
    pub fn poll_transmit(
        &mut self,
        now_ms: u64,
        cursor: &mut impl MoneyCursor,
        out: &mut [u8],
    ) -> Result<Option<usize>, LinkError> {
        if !self.is_open() {
            return Ok(None);
        }
        let mut sent = self.send_queued(Class::Answer, out)?;
        if sent.is_none() {
            sent = self.send_money(cursor, out)?;
        }
        if sent.is_none() {
            sent = self.send_queued(Class::Lossy, out)?;
        }
        if sent.is_none() && now_ms >= self.clock_due_ms() {
            self.clock_request = self.clock_request.wrapping_add(1);
            self.clock_sent_ms = Some(now_ms);
            sent = Some(self.channel.send(&ClockRequest { request: self.clock_request }, out)?);
        }
        if sent.is_some() {
            self.sent_ms = now_ms;
            self.proven = true;
        }
        Ok(sent)
    }

    fn send_queued(&mut self, least: Class, out: &mut [u8]) -> Result<Option<usize>, LinkError> {
        let channel = &mut self.channel;
        self.outbox
            .send_first(least, |kind, revision, payload| channel.send_encoded(kind, revision, payload, out))
    }

    fn send_money(
        &mut self,
        cursor: &mut impl MoneyCursor,
        out: &mut [u8],
    ) -> Result<Option<usize>, LinkError> {
        while let Some(from) = self.window.wanted() {
            let Next::Message(Chained { number, kind, signed }) = cursor.next(from) else { return Ok(None) };
            let (kind, revision) = match kind {
                ChainedKind::Receipt => (kind::RECEIPT, RECEIPT_REVISION),
                ChainedKind::Amendment => (kind::AMENDMENT, AMENDMENT_REVISION),
            };
            let sent = self.channel.send_with(kind, revision, out, &|payload| codec::encode(signed, payload));
            match sent {
                Ok(len) => {
                    self.window.sent(self.channel.last_sent(), number);
                    return Ok(Some(len));
                }
                // It stays in the journal for a server that reads it, and does not block those behind it.
                Err(LinkError::NotListed(_)) => self.window.pass(number),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn clock_due_ms(&self) -> u64 {
        if !self.proven {
            return self.sent_ms;
        }
        let asked = self.clock_sent_ms.unwrap_or(0);
        let learned = self.time.map_or(0, |(_, learned)| learned);
        let renewal = learned.max(asked).saturating_add(TIME_RENEWAL_MS);
        // A server may have nothing to say to all that a machine tells it. Unasked, it would seem dead.
        let quiet = self.sent_ms.min(self.channel.last_heard_ms().max(asked));
        quiet.saturating_add(self.keepalive_ms).min(renewal)
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// [`LinkError`]: close the connection.
    pub fn handle_frame<'a>(
        &mut self,
        now_ms: u64,
        bytes: &'a [u8],
    ) -> Result<Option<MachineEvent<'a>>, LinkError> {
        let Received::Message(frame) = self.channel.receive(now_ms, bytes)? else { return Ok(None) };
        match (frame.kind, frame.revision) {
            (kind::ACCEPTED, Accepted::REVISION) => self.handle_accepted(now_ms, &frame).map(Some),
            (kind::REJECTED, Rejected::REVISION) => {
                let Rejected { code, retry_s } = frame.decode()?;
                Ok(Some(MachineEvent::Rejected { code, retry_s: retry_s.min(RETRY_MAX_S) }))
            }
            (kind::PENDING, Pending::REVISION) => {
                let Pending { retry_s } = frame.decode()?;
                let wait_ms = u64::from(retry_s.min(RETRY_MAX_S)) * 1000;
                self.stage = Stage::Greeting { due_ms: now_ms.saturating_add(wait_ms) };
                Ok(Some(MachineEvent::Pending))
            }
            (kind::KEY_LIST, KeyList::REVISION) if !self.is_open() => {
                let Stage::Asked { .. } = self.stage else { return Err(LinkError::OutOfTurn(frame.kind)) };
                let KeyList(list) = frame.decode()?;
                self.stage = Stage::Greeting { due_ms: u64::MAX };
                Ok(Some(MachineEvent::KeyList(list)))
            }
            (kind::CLOCK, Clock::REVISION) => {
                self.handle_clock(now_ms, frame.decode()?);
                Ok(None)
            }
            (kind::UNSUPPORTED, Unsupported::REVISION) => {
                let unsupported: Unsupported = frame.decode()?;
                self.window.unsupported(unsupported.sequence);
                Ok(Some(MachineEvent::Unsupported(unsupported)))
            }
            (kind, revision) if kind::is_known(kind, revision) => Ok(Some(MachineEvent::Message(frame))),
            _ => {
                self.unsupported(&frame);
                Ok(None)
            }
        }
    }

    /// Answers *unsupported* to a message that this machine has no use for.
    pub fn unsupported(&mut self, frame: &Frame<'_>) {
        let answer = Unsupported { kind: frame.kind, revision: frame.revision, sequence: frame.sequence };
        // Without room the server learns it at its next attempt.
        let _ = self.outbox.push(Class::Answer, &answer);
    }

    fn handle_accepted<'a>(&self, now_ms: u64, frame: &Frame<'_>) -> Result<MachineEvent<'a>, LinkError> {
        let Stage::Asked { sent_ms } = self.stage else { return Err(LinkError::OutOfTurn(frame.kind)) };
        if now_ms.saturating_sub(sent_ms) > HELLO_ROUND_TRIP_MAX_MS {
            return Err(LinkError::HelloUnanswered);
        }
        let Accepted(signed) = frame.decode()?;
        Ok(MachineEvent::Accepted(signed))
    }

    fn handle_clock(&mut self, now_ms: u64, clock: Clock) {
        let Some(sent_ms) = self.clock_sent_ms.filter(|_| clock.request == self.clock_request) else {
            return;
        };
        if now_ms.saturating_sub(sent_ms) <= HELLO_ROUND_TRIP_MAX_MS {
            // Time does not go back, so that an authorization that has expired stays expired. After an earlier answer it stands
            // still until that has caught up: a clock that runs fast here is put right, however long the connection lives.
            self.time_floor_ms = self.server_time_ms(now_ms).unwrap_or(0);
            self.time = Some((clock.server_time_ms, now_ms));
        }
    }

    /// Something was heard on a layer below (an MQTT ping answer).
    pub const fn heard(&mut self, now_ms: u64) {
        self.channel.heard(now_ms);
    }

    /// When [`MachineSession::handle_timeout`], [`MachineSession::wants_hello`] or [`MachineSession::poll_transmit`] has
    /// something to do by the clock alone.
    pub fn poll_timeout(&self) -> u64 {
        let own = match self.stage {
            Stage::Greeting { due_ms } => due_ms,
            // An answer at the limit is still good, so the first moment after it.
            Stage::Asked { sent_ms } => sent_ms.saturating_add(HELLO_ROUND_TRIP_MAX_MS + 1),
            Stage::Open => self.clock_due_ms(),
        };
        own.min(self.channel.poll_timeout())
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`LinkError::Silent`] when nothing was heard for too long, [`LinkError::HelloUnanswered`] when the hello was not.
    pub fn handle_timeout(&self, now_ms: u64) -> Result<(), LinkError> {
        if let Stage::Asked { sent_ms } = self.stage
            && now_ms.saturating_sub(sent_ms) > HELLO_ROUND_TRIP_MAX_MS
        {
            return Err(LinkError::HelloUnanswered);
        }
        self.channel.handle_timeout(now_ms)
    }
}
