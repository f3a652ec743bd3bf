//! The machine: its session, its journal, and what it was promised.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::LazyLock,
};

use vend_protocol::{
    AuthSeq, Nonce, PlanVersion, ReceiptNo, codec,
    frame::{MACHINE_FRAME_MAX, Message},
    machine_link::{
        Acknowledgement, Chained, ChainedKind, Class, KeyListApplied, LateDrop, MachineEvent, MachineSession,
        MoneyCursor, Next, PlanApplied, Taken, WINDOW, kind,
    },
    signed::{AcceptedBody, HelloBody, KeyListBody, Signed},
};

use super::{
    Log, Sent,
    server::Novel,
    toy::{Keys, Toy, is_signed, sign},
};
use crate::{sample::sample, script::Way};

type Session = MachineSession<Toy, 4, 24>;

/// What the steps do not vary.
static TEMPLATE: LazyLock<HelloBody> = LazyLock::new(|| sample(1));

/// What a silent link is worth, in milliseconds.
pub(super) const SILENCE_MAX_MS: u64 = 90_000;
/// More receipts make a story longer and no better.
const WRITTEN_MAX: u64 = 40;

/// Receipts and amendments, numbered from 1.
pub(super) struct Journal {
    pub(super) written: u64,
    pub(super) stalled: bool,
    read: Option<Signed>,
}

/// The body of the chain's message of this number.
pub(super) fn chained(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// The kind of the chain's message of this number.
pub(super) const fn chained_kind(number: u64) -> ChainedKind {
    if number.is_multiple_of(5) { ChainedKind::Amendment } else { ChainedKind::Receipt }
}

impl MoneyCursor for Journal {
    fn next(&mut self, from: ReceiptNo) -> Next<'_> {
        if self.stalled {
            return Next::Later;
        }
        if from.number() > self.written {
            return Next::End;
        }
        let signed = self.read.insert(sign(Way::Up, &chained(from.number())));
        Next::Message(Chained { number: from, kind: chained_kind(from.number()), signed })
    }
}

pub(super) struct MachineEnd {
    pub(super) journal: Journal,
    acknowledged: BTreeSet<u64>,
    /// Hellos and queued messages are numbered, each differently.
    drawn: u64,
    /// The newest key list: in flash.
    key_list: u32,
    link: Option<Link>,
}

/// A connection.
struct Link {
    session: Session,
    nonce: u64,
    keys: Option<Keys>,
    taken: usize,
    /// The chain's next number, and those under way.
    money: u64,
    in_flight: BTreeSet<u64>,
    promises: Promises,
    time_ms: u64,
}

/// What was queued: what must not be lost in order, of the rest the last that was sent.
#[derive(Default)]
struct Promises {
    answers: VecDeque<Sent>,
    events: VecDeque<Sent>,
    state: u64,
    lossy: u64,
}

impl MachineEnd {
    pub(super) fn new() -> Self {
        let journal = Journal { written: 0, stalled: false, read: None };
        let mut end = Self { journal, acknowledged: BTreeSet::new(), drawn: 0, key_list: 0, link: None };
        end.connect(0);
        end
    }

    pub(super) fn connect(&mut self, now_ms: u64) {
        self.link = Some(Link {
            session: Session::new(now_ms, SILENCE_MAX_MS),
            nonce: 0,
            keys: None,
            taken: 0,
            money: 0,
            in_flight: BTreeSet::new(),
            promises: Promises::default(),
            time_ms: 0,
        });
    }

    pub(super) fn write(&mut self) {
        self.journal.written = (self.journal.written + 1).min(WRITTEN_MAX);
    }

    pub(super) fn queue(&mut self, class: u8) {
        self.drawn += 1;
        let (drawn, Some(link)) = (self.drawn, &mut self.link) else { return };
        let number = u32::try_from(drawn).unwrap_or(u32::MAX);
        let (session, promises) = (&mut link.session, &mut link.promises);
        match class % 4 {
            0 => {
                let taken = Taken { seq: AuthSeq::new(drawn).expect("from 1") };
                if session.queue(Class::Answer, &taken).is_ok() {
                    promises.answers.push_back(sent(&taken));
                }
            }
            1 => {
                let applied = KeyListApplied { version: number };
                if session.queue(Class::Event, &applied).is_ok() {
                    promises.events.push_back(sent(&applied));
                }
            }
            2 => {
                let plan = PlanVersion::new(drawn).expect("small");
                session.queue(Class::State, &PlanApplied { plan }).expect("a state is dropped, not refused");
            }
            _ => {
                let drop = LateDrop { after: None, at_ms: drawn };
                session.queue(Class::Lossy, &drop).expect("a lossy message is dropped, not refused");
            }
        }
    }

    /// The frame to send now.
    pub(super) fn transmit(&mut self, now_ms: u64, log: &mut Log) -> Option<Vec<u8>> {
        let mut out = vec![0; MACHINE_FRAME_MAX];
        let link = self.link.as_mut()?;
        if link.session.wants_hello(now_ms) {
            self.drawn += 1;
            link.nonce = self.drawn;
            let hello = HelloBody { nonce: nonce(link.nonce), key_list: self.key_list, ..TEMPLATE.clone() };
            let mut body = [0; MACHINE_FRAME_MAX];
            let len = codec::encode(&hello, &mut body).expect("a hello fits");
            let hello = sign(Way::Up, &body[..len]);
            let len = link.session.greet(now_ms, &hello, &mut out).expect("a hello was wanted");
            out.truncate(len);
            return Some(out);
        }
        let money_waits = !self.journal.stalled
            && link.session.wanted().is_some_and(|number| number.number() <= self.journal.written);
        let len = link
            .session
            .poll_transmit(now_ms, &mut self.journal, &mut out)
            .expect("it can always be sent")?;
        out.truncate(len);
        let keys = link.keys.expect("nothing is sent before the session is open");
        let sent = log.sent(keys, Way::Up, &out);
        link.check_sent(&sent, money_waits);
        Some(out)
    }

    /// Takes a frame; on an error the connection is closed.
    pub(super) fn handle(&mut self, now_ms: u64, frame: &[u8], log: &mut Log) {
        let Some(mut link) = self.link.take() else { return };
        let Ok(event) = link.session.handle_frame(now_ms, frame) else { return };
        match event {
            Some(MachineEvent::Accepted(answer)) => {
                let Some(watermark) = link.accepted(now_ms, &answer, self.journal.written) else { return };
                self.acknowledged.extend(1..=watermark);
            }
            Some(MachineEvent::KeyList(list)) => {
                let Ok(body) = codec::decode::<KeyListBody>(&list.body) else { return };
                if !is_signed(Way::Down, &list) || body.version <= self.key_list {
                    return;
                }
                self.key_list = body.version;
                link.session.greet_again(now_ms);
            }
            Some(MachineEvent::Rejected { .. }) => return,
            Some(MachineEvent::Message(frame)) => {
                let message = Sent { kind: frame.kind, payload: frame.payload.to_vec() };
                link.took(log, &message);
                if let Ok(acknowledgement) = frame.decode::<Acknowledgement>() {
                    let number = acknowledgement.number;
                    link.session.acknowledged(number);
                    link.in_flight.remove(&number.number());
                    self.acknowledged.insert(number.number());
                }
            }
            Some(MachineEvent::Unsupported(answer)) => link.took(log, &sent(&answer)),
            Some(MachineEvent::Pending) | None => {}
        }
        link.time_goes_on(now_ms);
        self.link = Some(link);
    }

    pub(super) fn tick(&mut self, now_ms: u64) {
        if self.is_over(now_ms) {
            self.link = None;
        }
        if let Some(link) = &mut self.link {
            link.time_goes_on(now_ms);
        }
    }

    pub(super) fn timeout(&self) -> Option<u64> {
        self.link.as_ref().map(|link| link.session.poll_timeout())
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        self.link.as_ref().is_none_or(|link| link.session.handle_timeout(now_ms).is_err())
    }

    /// Everything that was queued and may not be lost is sent, if the session is open.
    pub(super) fn keep_promises(&mut self, now_ms: u64, log: &mut Log) {
        if self.link.as_ref().is_none_or(|link| !link.session.is_open()) {
            return;
        }
        while self.transmit(now_ms, log).is_some() {}
        let promises = self.link.as_ref().map(|link| &link.promises);
        let kept = promises.is_some_and(|promises| promises.answers.is_empty() && promises.events.is_empty());
        assert!(kept, "a message that was queued was never sent");
    }

    /// Everything was sent and acknowledged.
    pub(super) fn is_done(&self) {
        let link = self.link.as_ref().expect("a good line closes no session");
        assert!(link.session.is_open(), "a good line opens the session");
        let missing = (1..=self.journal.written).find(|number| !self.acknowledged.contains(number));
        assert_eq!(missing, None, "a receipt that is not acknowledged");
        assert_eq!(link.session.wanted().map(ReceiptNo::number), Some(self.journal.written + 1));
    }
}

impl Link {
    /// The answer to the hello, as the caller of a session must check it; `None` closes the connection. Gives the number up to
    /// which the server has everything.
    fn accepted(&mut self, now_ms: u64, answer: &Signed, written: u64) -> Option<u64> {
        let body: AcceptedBody = codec::decode(&answer.body).ok()?;
        if !is_signed(Way::Down, answer) || body.nonce != nonce(self.nonce) {
            return None;
        }
        let keys = Keys { machine: self.nonce, server: drawn(&body.ephemeral) };
        assert_eq!(self.keys, None, "a session is opened once");
        self.keys = Some(keys);
        self.money = body.receipt_watermark + 1;
        self.session.open(now_ms, Toy { keys, way: Way::Up }, &body, written);
        Some(body.receipt_watermark)
    }

    /// What the session keeps to itself: the time, and what it does not know.
    fn took(&mut self, log: &Log, message: &Sent) {
        let keys = self.keys.expect("nothing is taken before the session is open");
        let own = |sent| matches!(sent, kind::CLOCK | Novel::KIND);
        log.taken(keys, Way::Down, &mut self.taken, message, own);
    }

    fn check_sent(&mut self, sent: &Sent, money_waits: bool) {
        let promises = &mut self.promises;
        match sent.kind {
            kind::TAKEN => assert_eq!(promises.answers.pop_front().as_ref(), Some(sent)),
            kind::UNSUPPORTED => {}
            _ => assert!(promises.answers.is_empty(), "kind {:#04x} went before an answer", sent.kind),
        }
        match sent.kind {
            kind::RECEIPT | kind::AMENDMENT => {
                let amendment = chained_kind(self.money) == ChainedKind::Amendment;
                assert_eq!(sent.kind == kind::AMENDMENT, amendment);
                let signed: Signed = codec::decode(&sent.payload).expect("a signed body");
                assert_eq!(signed.body.as_slice(), chained(self.money), "money out of order");
                self.in_flight.insert(self.money);
                assert!(self.in_flight.len() <= WINDOW, "more than a window under way");
                self.money += 1;
            }
            kind::TAKEN | kind::UNSUPPORTED => {}
            _ => assert!(!money_waits, "kind {:#04x} went before money", sent.kind),
        }
        match sent.kind {
            kind::KEY_LIST_APPLIED => assert_eq!(promises.events.pop_front().as_ref(), Some(sent)),
            kind::PLAN_APPLIED => {
                let PlanApplied { plan } = codec::decode(&sent.payload).expect("as it was queued");
                assert!(u64::from(plan) > promises.state, "an old state after a newer one");
                promises.state = u64::from(plan);
            }
            kind::LATE_DROP => {
                let LateDrop { at_ms, .. } = codec::decode(&sent.payload).expect("as it was queued");
                assert!(at_ms > promises.lossy, "lossy messages out of order");
                promises.lossy = at_ms;
            }
            _ => {}
        }
    }

    fn time_goes_on(&mut self, now_ms: u64) {
        if let Some(time_ms) = self.session.server_time_ms(now_ms) {
            assert!(time_ms >= self.time_ms, "the time went back from {} to {time_ms}", self.time_ms);
            self.time_ms = time_ms;
        }
    }
}

/// A message as it will be sent.
fn sent<M: Message>(message: &M) -> Sent {
    Sent { kind: M::KIND, payload: postcard::to_allocvec(message).unwrap_or_default() }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce(nonce)
}

/// The number that an end drew for a nonce or a key.
pub(super) fn drawn(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
}
