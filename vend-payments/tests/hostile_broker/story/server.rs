//! A server with a database of receipts, and authorizations that it sends until they are taken.

use std::collections::{BTreeMap, BTreeSet};

use vend_payments::{
    receipt::{amendment_hash, receipt_hash, verify_amendment, verify_receipt},
    session::{SessionSeal, VerifiedHello},
};
use vend_protocol::{
    ReceiptHash, ReceiptNo,
    frame::{Frame, MACHINE_FRAME_MAX},
    machine_link::{
        Acknowledgement, Amendment, Authorization, Clock, Receipt, ServerEvent, ServerSession, Taken, kind,
    },
    signed::{AcceptedBody, Signed},
};

use crate::{
    link::{NOW_MS, Parties},
    messages::{JOURNAL, authorization},
};

const SILENCE_MS: u64 = 12_000;

type Session = ServerSession<SessionSeal>;

#[derive(Default)]
pub(super) struct Server {
    pub(super) stored: BTreeMap<u64, Signed>,
    pub(super) taken: BTreeSet<u64>,
    authorizations: Vec<Signed>,
    /// Those up to here were sent on this connection.
    sent: usize,
    session: Option<Session>,
    /// The machine is at the other end: a sealed message of it has come.
    proven: bool,
    out: Vec<Vec<u8>>,
    draws: u64,
}

impl Server {
    /// At most one authorization is open at a time.
    pub(super) fn issue(&mut self, parties: &Parties) {
        if self.taken.len() < self.authorizations.len() {
            return;
        }
        let seq = u64::try_from(self.authorizations.len()).unwrap() + 1;
        self.authorizations.push(authorization(&parties.online, parties.machine_key().fingerprint(), seq));
    }

    pub(super) fn issued(&self) -> usize {
        self.authorizations.len()
    }

    pub(super) fn connect(&mut self, now_ms: u64) {
        self.session = Some(Session::new(now_ms, SILENCE_MS));
        self.out.clear();
        (self.sent, self.proven) = (0, false);
    }

    pub(super) fn transmit(&mut self, now_ms: u64) -> Option<Vec<Vec<u8>>> {
        let session = self.session.as_mut()?;
        session.handle_timeout(now_ms).ok()?;
        let mut out = [0; MACHINE_FRAME_MAX];
        while self.proven && self.sent < self.authorizations.len() {
            self.sent += 1;
            if !self.taken.contains(&u64::try_from(self.sent).unwrap()) {
                let authorization = Authorization(self.authorizations[self.sent - 1].clone());
                let len = session.send(&authorization, &mut out).unwrap();
                self.out.push(out[..len].to_vec());
            }
        }
        Some(std::mem::take(&mut self.out))
    }

    /// Whether it took a sealed message; `None` when it closed.
    pub(super) fn hear(&mut self, parties: &Parties, now_ms: u64, bytes: &[u8]) -> Option<bool> {
        let session = self.session.as_mut()?;
        let mut out = [0; MACHINE_FRAME_MAX];
        let len = match session.handle_frame(now_ms, bytes).ok()? {
            None => return Some(false),
            Some(ServerEvent::Hello(signed)) => {
                self.hello(parties, &signed)?;
                return Some(false);
            }
            Some(ServerEvent::ClockRequest(request)) => {
                let clock = Clock { request: request.request, server_time_ms: NOW_MS + now_ms };
                session.send(&clock, &mut out).unwrap()
            }
            Some(ServerEvent::Message(frame)) => match take(parties, &frame) {
                Told::Taken(seq) => {
                    self.taken.insert(seq);
                    0
                }
                Told::Chained(number, hash, signed) => {
                    self.stored.insert(number.number(), *signed);
                    let acknowledgement = Acknowledgement { journal: JOURNAL, number, hash };
                    session.send(&acknowledgement, &mut out).unwrap()
                }
            },
            Some(ServerEvent::Unknown(_) | ServerEvent::Unsupported(_)) => 0,
        };
        self.proven = true;
        if len > 0 {
            self.out.push(out[..len].to_vec());
        }
        Some(true)
    }

    fn hello(&mut self, parties: &Parties, signed: &Signed) -> Option<()> {
        let heard = VerifiedHello::verify(signed, Parties::number(), &parties.machine_key()).ok()?;
        self.draws += 1;
        let mut random = [0xA5; 32];
        random[..8].copy_from_slice(&self.draws.to_le_bytes());
        let all_up_to = self.stored.keys().zip(1..).take_while(|(number, due)| *number == due).count();
        let body =
            AcceptedBody { receipt_watermark: u64::try_from(all_up_to).unwrap(), ..Parties::accepted_body() };
        let (accepted, seal) = heard.answer(random, &parties.online, body).ok()?;
        let mut out = [0; MACHINE_FRAME_MAX];
        let len = self.session.as_mut()?.accept(&accepted, seal, heard.body().revisions, &mut out).ok()?;
        self.out.push(out[..len].to_vec());
        Some(())
    }
}

enum Told {
    Taken(u64),
    Chained(ReceiptNo, ReceiptHash, Box<Signed>),
}

/// What an authentic message says. It cannot be anything but right.
fn take(parties: &Parties, frame: &Frame<'_>) -> Told {
    let key = parties.machine_key();
    match frame.kind {
        kind::TAKEN => Told::Taken(frame.decode::<Taken>().unwrap().seq.number()),
        kind::RECEIPT => {
            let Receipt(signed) = frame.decode().unwrap();
            let number = verify_receipt(&signed, &key).unwrap().number;
            Told::Chained(number, receipt_hash(&signed), Box::new(signed))
        }
        kind::AMENDMENT => {
            let Amendment(signed) = frame.decode().unwrap();
            let number = verify_amendment(&signed, &key).unwrap().number;
            Told::Chained(number, amendment_hash(&signed), Box::new(signed))
        }
        kind => panic!("the machine does not send {kind:#04x}"),
    }
}
