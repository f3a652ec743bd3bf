//! A model of the server: what it signed, what it was told, and what it will not believe.

extern crate std;

use std::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use vend_payments::{
    receipt::{receipt_hash, verify_receipt},
    session::{SessionSeal, VerifiedHello},
    signed::{PublicKey, Signer},
};
use vend_protocol::{
    EnrolmentId, List, MachineId, Nonce, OrderId, PlanVersion, ReceiptHash, codec,
    frame::{Frame, Message},
    machine_link::{
        Acknowledgement, Busy, Clock, KeyList, KeyListApplied, LateDrop, LinkError, PlanApplied, Readiness,
        Ready, Receipt, Rejection, ServerEvent, ServerSession, Settled, Taken, Unsupported, kind,
    },
    signed::{AcceptedBody, Authority, AuthorizationBody, HelloBody, ReceiptBody, Revision, Signed},
};

use crate::journal::test_flash::Rng;

/// Server time when the simulation begins.
pub(super) const EPOCH_MS: u64 = 1_790_000_000_000;
pub(super) const SLOTS: u16 = 6;

/// An authorization the server signed.
pub(super) struct Issued {
    pub(super) body: AuthorizationBody,
    pub(super) signed: Signed,
    pub(super) void: bool,
    pub(super) taken: bool,
    pub(super) receipt: Option<ReceiptBody>,
    /// Never sent on its own: the test sends it.
    pub(super) held: bool,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a mood of its own")]
pub(super) struct Server {
    pub(super) signer: Signer,
    pub(super) machine: PublicKey,
    pub(super) session: Option<ServerSession<SessionSeal>>,
    pub(super) down: VecDeque<Vec<u8>>,
    pub(super) issued: BTreeMap<u64, Issued>,
    pub(super) receipts: BTreeMap<u64, Signed>,
    pub(super) answers: Vec<Answer>,
    /// The hellos it answered.
    pub(super) hellos: Vec<HelloBody>,
    /// Hellos it turned away.
    pub(super) rejected: u32,
    /// When it was asked for the time.
    pub(super) asked_time_ms: Vec<u64>,
    /// The orders that late falls were named after.
    pub(super) late_drops: Vec<Option<OrderId>>,
    /// Answer no hello.
    pub(super) silent: bool,
    /// Answer no question about the time.
    pub(super) timeless: bool,
    /// Acknowledge nothing.
    pub(super) deaf: bool,
    /// Ask and sell on its own.
    pub(super) busy: bool,
    pub(super) plan: u64,
    pub(super) request: u32,
    pub(super) next_prepare_ms: u64,
    resend_at_ms: Option<u64>,
    /// How much its clock is ahead of the truth.
    pub(super) clock_ahead_ms: i64,
    pub(super) keepalive_s: u16,
    pub(super) floor_seq: u64,
    /// What it claims to have when it is deaf.
    pub(super) watermark_ahead: u64,
    /// The newest key list and its version.
    pub(super) key_list: Option<(u32, Signed)>,
    /// One that is sent in place of *accepted* to who has an older one.
    pub(super) key_list_first: Option<(u32, Signed)>,
    /// Changes an *accepted* before it is signed.
    pub(super) alter_accepted: Option<fn(&mut AcceptedBody)>,
}

/// What the machine said, for named tests.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    KeyListApplied(u32),
    Ready(Readiness),
    Taken(u64),
    Busy(u64),
    Settled(u64),
    Receipt(ReceiptBody),
    Unsupported(Unsupported),
}

impl Server {
    pub(super) fn new(machine: PublicKey) -> Self {
        Self {
            signer: Signer::from_seed(&[2; 32]),
            machine,
            session: None,
            down: VecDeque::new(),
            issued: BTreeMap::new(),
            receipts: BTreeMap::new(),
            answers: Vec::new(),
            hellos: Vec::new(),
            rejected: 0,
            asked_time_ms: Vec::new(),
            late_drops: Vec::new(),
            silent: false,
            timeless: false,
            deaf: false,
            busy: false,
            plan: 1,
            request: 0,
            next_prepare_ms: 0,
            resend_at_ms: None,
            clock_ahead_ms: 0,
            keepalive_s: 60,
            floor_seq: 0,
            watermark_ahead: 0,
            key_list: None,
            key_list_first: None,
            alter_accepted: None,
        }
    }

    pub(super) fn connected(&mut self, now_ms: u64) {
        self.session = Some(ServerSession::new(now_ms, u64::MAX));
        self.down.clear();
    }

    pub(super) fn disconnected(&mut self) {
        self.session = None;
        self.down.clear();
    }

    pub(super) fn send<M: Message>(&mut self, message: &M) {
        let mut frame = [0; 1024];
        if let Some(session) = self.session.as_mut().filter(|session| session.is_open()) {
            let len = session.send(message, &mut frame).unwrap();
            self.down.push_back(frame[..len].to_vec());
        }
    }

    pub(super) fn poll_timeout(&self) -> u64 {
        self.next_prepare_ms.min(self.resend_at_ms.unwrap_or(u64::MAX))
    }

    pub(super) fn handle_timeout(&mut self, now_ms: u64, rng: &mut Rng) {
        if self.resend_at_ms.is_some_and(|at| now_ms >= at) {
            self.resend_at_ms = None;
            if let Some(seq) = self.open() {
                self.send_open(seq);
            }
        }
        if now_ms < self.next_prepare_ms {
            return;
        }
        self.next_prepare_ms = now_ms + 400 + rng.below(1500);
        if !self.busy {
            return;
        }
        match self.open() {
            Some(seq) if rng.chance(100) => self.void(seq),
            Some(_) if rng.chance(200) => self.attack(rng),
            Some(seq) if rng.chance(100) => self.send_open(seq),
            Some(_) => {}
            None => self.prepare(&[1 + u16::try_from(rng.below(SLOTS.into())).unwrap()]),
        }
    }

    /// Takes a frame; an error means that the machine did not send it, and that the connection is closed.
    pub(super) fn receive(&mut self, now_ms: u64, frame: &[u8], rng: &mut Rng) -> Result<(), LinkError> {
        let Some(session) = self.session.as_mut() else { return Ok(()) };
        match session.handle_frame(now_ms, frame)? {
            None => {}
            Some(ServerEvent::Hello(hello)) => self.hello(now_ms, &hello, rng),
            Some(ServerEvent::ClockRequest(asked)) => {
                self.asked_time_ms.push(now_ms);
                if !self.timeless {
                    self.send(&Clock { request: asked.request, server_time_ms: self.time_ms(now_ms) });
                }
            }
            Some(ServerEvent::Message(frame)) => self.message(now_ms, &frame, rng),
            Some(ServerEvent::Unsupported(unsupported)) => {
                self.answers.push(Answer::Unsupported(unsupported));
            }
            // Nothing vouches for a hello until it is verified, its revision neither.
            Some(ServerEvent::Unknown(unknown)) if unknown.kind == kind::HELLO => self.rejected += 1,
            Some(ServerEvent::Unknown(unknown)) => panic!("{unknown:?} from the machine"),
        }
        Ok(())
    }

    fn time_ms(&self, now_ms: u64) -> u64 {
        (EPOCH_MS + now_ms).checked_add_signed(self.clock_ahead_ms).unwrap()
    }

    fn message(&mut self, now_ms: u64, frame: &Frame<'_>, rng: &mut Rng) {
        if let Ok(ready) = frame.decode::<Ready>() {
            self.answers.push(Answer::Ready(ready.readiness));
            if self.busy && ready.request == self.request && ready.readiness == Readiness::Ready {
                self.sell(now_ms, rng);
            }
        } else if let Ok(taken) = frame.decode::<Taken>() {
            self.answers.push(Answer::Taken(taken.seq.number()));
            self.issued.get_mut(&taken.seq.number()).expect("taken was issued").taken = true;
        } else if let Ok(Receipt(receipt)) = frame.decode() {
            self.receipt(&receipt);
        } else if let Ok(busy) = frame.decode::<Busy>() {
            self.answers.push(Answer::Busy(busy.seq.number()));
            self.resend_at_ms = Some(now_ms + 1000);
        } else if let Ok(settled) = frame.decode::<Settled>() {
            let up_to = settled.up_to.number();
            self.answers.push(Answer::Settled(up_to));
            let mut known = self.issued.iter().filter(|(seq, issued)| **seq <= up_to && !issued.held);
            let unsettled = known.find(|(seq, issued)| **seq > self.floor_seq && issued.receipt.is_none());
            let unsettled = unsettled.map(|(seq, _)| seq);
            assert!(unsettled.is_none(), "settled without a receipt: {unsettled:?}");
        } else if let Ok(late_drop) = frame.decode::<LateDrop>() {
            self.late_drops.push(late_drop.after);
        } else if let Ok(applied) = frame.decode::<KeyListApplied>() {
            self.answers.push(Answer::KeyListApplied(applied.version));
        } else if frame.decode::<PlanApplied>().is_err() {
            panic!("kind {:#x} from the machine", frame.kind);
        }
    }

    fn hello(&mut self, now_ms: u64, hello: &Signed, rng: &mut Rng) {
        let mut frame = [0; 1024];
        let session = self.session.as_mut().unwrap();
        let Ok(heard) = VerifiedHello::verify(hello, machine_number(), &self.machine) else {
            let len = session.reject(Rejection::SIGNATURE, 1, &mut frame).unwrap();
            self.rejected += 1;
            return self.down.push_back(frame[..len].to_vec());
        };
        if self.silent {
            return;
        }
        if let Some((version, list)) = self.key_list_first.clone()
            && heard.body().key_list < version
        {
            self.hellos.push(heard.body().clone());
            let len = session.key_list(now_ms, &list, &mut frame).unwrap();
            return self.down.push_back(frame[..len].to_vec());
        }
        let have = self.receipts.keys().copied().zip(1..).take_while(|(a, b)| a == b).count();
        let watermark = u64::try_from(have).unwrap();
        // Now and then it is one that was restored from a backup.
        let watermark = if rng.chance(100) { rng.below(watermark + 1) } else { watermark };
        let money = [kind::RECEIPT, kind::AMENDMENT].map(|kind| Revision { kind, revision: 1 });
        let body = AcceptedBody {
            enrolment: EnrolmentId([0; 16]),
            nonce: Nonce([0; 16]),
            ephemeral: [0; 32],
            server_time_ms: self.time_ms(now_ms),
            receipt_watermark: if self.deaf { self.watermark_ahead } else { watermark },
            issued_seq: 0,
            floor_seq: self.floor_seq,
            plan: PlanVersion::new(self.plan).unwrap(),
            config: 0,
            key_list: self.key_list.as_ref().map_or(1, |(version, _)| *version),
            keepalive_s: self.keepalive_s,
            revisions: List::try_from_iter(money).unwrap(),
            frame_max: 1024,
        };
        let (mut accepted, seal) = heard.answer(rng.bytes(), &self.signer, body).unwrap();
        if let Some(alter) = self.alter_accepted {
            let mut body = codec::decode(&accepted.body).unwrap();
            alter(&mut body);
            accepted = self.signer.sign(&body).unwrap();
        }
        let hello = heard.body().clone();
        let session = self.session.as_mut().unwrap();
        let len = session.accept(&accepted, seal, hello.revisions, &mut frame).unwrap();
        self.down.push_back(frame[..len].to_vec());
        self.hellos.push(hello.clone());
        if u64::from(hello.plan.number()) != self.plan {
            self.send_plan();
        }
        if let Some((version, list)) = self.key_list.clone()
            && hello.key_list < version
        {
            self.send(&KeyList(list));
        }
        if let Some(seq) = self.open() {
            self.send_open(seq);
        }
    }

    fn receipt(&mut self, receipt: &Signed) {
        let body = verify_receipt(receipt, &self.machine).unwrap();
        self.answers.push(Answer::Receipt(body.clone()));
        if self.deaf {
            return;
        }
        let number = body.number.number();
        if let Some(before) = self.receipts.get(&number) {
            assert_eq!(before, receipt, "one number, two receipts");
        }
        if let Some(previous) = self.receipts.get(&(number - 1)) {
            assert_eq!(body.previous, receipt_hash(previous), "the chain");
        } else if number == 1 {
            assert_eq!(body.previous, ReceiptHash::START);
        }
        self.receipts.insert(number, receipt.clone());
        let Authority::Authorization { seq, .. } = body.authority else { panic!("not asked for") };
        let issued = self.issued.get_mut(&seq.number()).expect("a receipt for what was issued");
        if let Some(before) = &issued.receipt {
            assert_eq!(before, &body, "one sequence, two receipts");
        }
        assert!(body.lines.is_empty() && issued.void || body.lines.len() == issued.body.lines.len());
        issued.receipt = Some(body.clone());
        self.send(&Acknowledgement {
            journal: body.journal,
            number: body.number,
            hash: receipt_hash(receipt),
        });
    }
}

pub(super) fn machine_number() -> MachineId {
    MachineId::new(12).unwrap()
}
