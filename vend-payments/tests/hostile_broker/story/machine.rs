//! A machine with a journal of receipts and amendments, and the authorizations it has taken.

use std::collections::BTreeSet;

use vend_payments::{
    authorization::Permit,
    receipt::{amendment_hash, receipt_hash},
    session::{Offer, SessionSeal},
};
use vend_protocol::{
    Nonce, ReceiptHash, ReceiptNo,
    frame::{Frame, MACHINE_FRAME_MAX},
    machine_link::{
        Acknowledgement, Authorization, Chained, ChainedKind, Class, MachineEvent, MachineSession,
        MoneyCursor, Next, Taken, kind,
    },
    signed::Signed,
};

use crate::{
    link::Parties,
    messages::{amendment, receipt},
};

/// Longer than the keepalive of 5 s.
const SILENCE_MS: u64 = 12_000;

type Session = MachineSession<SessionSeal, 8, 64>;

#[derive(Default)]
struct Journal(Vec<(ChainedKind, Signed)>);

impl MoneyCursor for Journal {
    fn next(&mut self, from: ReceiptNo) -> Next<'_> {
        let found = self.0.get(usize::try_from(from.number()).unwrap() - 1);
        found.map_or(Next::End, |(kind, signed)| Next::Message(Chained { number: from, kind: *kind, signed }))
    }
}

pub(super) struct Machine {
    journal: Journal,
    last: ReceiptHash,
    pub(super) acknowledged: BTreeSet<u64>,
    /// The sequences it vended for, as they came.
    pub(super) permits: Vec<u64>,
    session: Option<Session>,
    offer: Option<Offer>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            journal: Journal::default(),
            last: ReceiptHash::START,
            acknowledged: BTreeSet::new(),
            permits: Vec::new(),
            session: None,
            offer: None,
        }
    }

    /// A receipt into the journal, and every third time an amendment of it.
    pub(super) fn sell(&mut self, parties: &Parties) {
        let number = u64::try_from(self.journal.0.len()).unwrap() + 1;
        let signed = receipt(&parties.machine, number, self.last);
        self.last = receipt_hash(&signed);
        self.journal.0.push((ChainedKind::Receipt, signed));
        if number % 3 == 0 {
            let signed = amendment(&parties.machine, number + 1, self.last);
            self.last = amendment_hash(&signed);
            self.journal.0.push((ChainedKind::Amendment, signed));
        }
    }

    pub(super) fn journaled(&self, number: u64) -> Option<&Signed> {
        self.journal.0.get(usize::try_from(number).unwrap() - 1).map(|(_, signed)| signed)
    }

    pub(super) fn all_acknowledged(&self) -> bool {
        self.acknowledged.len() == self.journal.0.len()
    }

    pub(super) fn connect(&mut self, now_ms: u64) {
        self.session = Some(Session::new(now_ms, SILENCE_MS));
        self.offer = None;
    }

    pub(super) fn transmit(&mut self, parties: &Parties, now_ms: u64, draw: u64) -> Option<Vec<Vec<u8>>> {
        let session = self.session.as_mut()?;
        session.handle_timeout(now_ms).ok()?;
        let mut frames = Vec::new();
        let mut out = [0; MACHINE_FRAME_MAX];
        if session.wants_hello(now_ms) {
            let mut random = [0x5A; 32];
            random[..8].copy_from_slice(&draw.to_le_bytes());
            random[8..16].copy_from_slice(&now_ms.to_le_bytes());
            let nonce = Nonce(*random.first_chunk().unwrap());
            let body = parties.hello_body(nonce);
            let (signed, offer) = Offer::hello(random, &parties.machine, body, now_ms).unwrap();
            self.offer = Some(offer);
            let len = session.greet(now_ms, &signed, &mut out).unwrap();
            frames.push(out[..len].to_vec());
        }
        while let Some(len) = session.poll_transmit(now_ms, &mut self.journal, &mut out).ok()? {
            frames.push(out[..len].to_vec());
        }
        Some(frames)
    }

    /// Whether it took a sealed message; `None` when it closed.
    pub(super) fn hear(&mut self, parties: &Parties, now_ms: u64, bytes: &[u8]) -> Option<bool> {
        let session = self.session.as_mut()?;
        match session.handle_frame(now_ms, bytes).ok()? {
            None | Some(MachineEvent::Pending) => Some(false),
            // The server's keys do not change in this story.
            Some(MachineEvent::Rejected { .. } | MachineEvent::KeyList(_)) => None,
            Some(MachineEvent::Accepted(signed)) => {
                let (body, seal) = self.offer.take()?.accept(&parties.keys, &signed, now_ms).ok()?;
                let last = u64::try_from(self.journal.0.len()).unwrap();
                // An acknowledgement that was lost is in the answer to the next hello.
                self.acknowledged.extend(1..=body.receipt_watermark);
                session.open(now_ms, seal, &body, last);
                Some(false)
            }
            Some(MachineEvent::Unsupported(_)) => Some(true),
            Some(MachineEvent::Message(frame)) => {
                self.handle(parties, &frame);
                Some(true)
            }
        }
    }

    fn handle(&mut self, parties: &Parties, frame: &Frame<'_>) {
        match frame.kind {
            kind::ACKNOWLEDGEMENT => {
                let Acknowledgement { number, hash, .. } = frame.decode().unwrap();
                let (kind, signed) = &self.journal.0[usize::try_from(number.number()).unwrap() - 1];
                let own = match kind {
                    ChainedKind::Receipt => receipt_hash(signed),
                    ChainedKind::Amendment => amendment_hash(signed),
                };
                assert_eq!(hash, own, "an acknowledgement of something else");
                self.acknowledged.insert(number.number());
                self.session.as_mut().unwrap().acknowledged(number);
            }
            kind::AUTHORIZATION => {
                let Authorization(signed) = frame.decode().unwrap();
                let enrolment = parties.machine_key().fingerprint();
                let permit = Permit::verify(&signed, &parties.keys, enrolment).unwrap();
                let seq = permit.body().seq;
                if self.permits.last().is_none_or(|last| *last < seq.number()) {
                    self.permits.push(seq.number());
                }
                self.session.as_mut().unwrap().queue(Class::Answer, &Taken { seq }).unwrap();
            }
            kind => panic!("the server does not send {kind:#04x}"),
        }
    }
}
