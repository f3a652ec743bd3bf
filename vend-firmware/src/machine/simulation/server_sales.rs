//! What the model of the server sells, and what somebody in its place might try.

extern crate std;

use std::vec::Vec;

use vend_payments::signed::Signer;
use vend_protocol::{
    AuthSeq, Bytes, Currency, EnrolmentId, List, OrderId, PlanVersion, ProductId, SlotId, Text,
    machine_link::{Authorization, PlanEntry, PlanPart, Prepare, PrepareLine, Void},
    signed::{AuthorizationBody, AuthorizedLine, Signed, VoidBody},
};

use super::server::{EPOCH_MS, Issued, SLOTS, Server};
use crate::journal::test_flash::Rng;

impl Server {
    /// What is in each slot of the plan.
    pub(super) fn line(slot: u16) -> AuthorizedLine {
        AuthorizedLine {
            slot: SlotId::new(slot.into()).unwrap(),
            product: ProductId::new(u64::from(slot) + 100).unwrap(),
            price_minor: u32::from(slot) * 50,
        }
    }

    /// Signs an authorization; it is sent now and again until it is answered.
    pub(super) fn issue(&mut self, now_ms: u64, ttl_ms: u64, lines: &[AuthorizedLine]) -> u64 {
        let seq = self.issued.keys().next_back().map_or(1, |last| last + 1);
        let body = AuthorizationBody {
            enrolment: self.machine.fingerprint(),
            seq: AuthSeq::new(seq).unwrap(),
            order: OrderId::new(7000 + seq).unwrap(),
            plan: PlanVersion::new(self.plan).unwrap(),
            deadline_ms: EPOCH_MS + now_ms + ttl_ms,
            currency: Currency::CNY,
            lines: List::try_from_iter(lines.iter().copied()).unwrap(),
        };
        let signed = self.signer.sign(&body).unwrap();
        let issued = Issued { body, signed, void: false, taken: false, receipt: None, held: false };
        self.issued.insert(seq, issued);
        self.send_open(seq);
        seq
    }

    pub(super) fn void(&mut self, seq: u64) {
        self.issued.get_mut(&seq).unwrap().void = true;
        self.send_open(seq);
    }

    pub(super) fn send_open(&mut self, seq: u64) {
        let issued = &self.issued[&seq];
        if issued.held {
            return;
        }
        if issued.void {
            let body =
                VoidBody { enrolment: issued.body.enrolment, seq: issued.body.seq, order: issued.body.order };
            let void = Void(self.signer.sign(&body).unwrap());
            self.send(&void);
        } else {
            let authorization = Authorization(issued.signed.clone());
            self.send(&authorization);
        }
    }

    pub(super) fn open(&self) -> Option<u64> {
        let above = self.issued.range(self.floor_seq + 1..);
        above.clone().find(|(_, issued)| issued.receipt.is_none()).map(|(seq, _)| *seq)
    }

    pub(super) fn prepare(&mut self, slots: &[u16]) {
        self.request += 1;
        let lines = slots.iter().map(|slot| {
            let line = Self::line(*slot);
            PrepareLine { slot: line.slot, product: line.product, price_minor: line.price_minor }
        });
        let prepare = Prepare {
            request: self.request,
            plan: PlanVersion::new(self.plan).unwrap(),
            lines: List::try_from_iter(lines).unwrap(),
        };
        self.send(&prepare);
    }

    /// Something a thief or a broken server might send.
    pub(super) fn attack(&mut self, rng: &mut Rng) {
        let Some((_, issued)) = self.issued.iter().next_back() else { return };
        let mut body = issued.body.clone();
        body.seq = AuthSeq::new(100_000 + rng.below(1000)).unwrap();
        let thief = Signer::from_seed(&[66; 32]);
        let mut signed = match rng.below(4) {
            0 => {
                body.enrolment = EnrolmentId([9; 16]);
                self.signer.sign(&body).unwrap()
            }
            1 => thief.sign(&body).unwrap(),
            2 => {
                let old = 1 + rng.below(issued.body.seq.number());
                self.issued[&old].signed.clone()
            }
            _ => {
                let mut bytes = issued.signed.body.to_vec();
                let at = usize::try_from(rng.below(bytes.len().try_into().unwrap())).unwrap();
                bytes[at] ^= 1 << rng.below(8);
                Signed { body: Bytes::try_from(&bytes[..]).unwrap(), ..issued.signed.clone() }
            }
        };
        if rng.chance(100) {
            signed.key_id = self.signer.key_id();
        }
        self.send(&Authorization(signed));
    }

    pub(super) fn sell(&mut self, now_ms: u64, rng: &mut Rng) {
        if self.open().is_some() {
            return;
        }
        let count = 1 + rng.below(4);
        let mut lines: Vec<_> =
            (0..count).map(|_| Self::line(1 + u16::try_from(rng.below(SLOTS.into())).unwrap())).collect();
        if rng.chance(50) {
            lines[0].price_minor += 1;
        }
        let ttl_ms = if rng.chance(200) { rng.below(6_000) } else { 120_000 };
        self.issue(now_ms, ttl_ms, &lines);
    }

    pub(super) fn send_plan(&mut self) {
        let entries = (1..=SLOTS).map(|slot| {
            let line = Self::line(slot);
            PlanEntry {
                slot: line.slot,
                product: line.product,
                price_minor: line.price_minor,
                capacity: 8,
                name: Text::truncated("Water"),
            }
        });
        let entries: Vec<_> = entries.collect();
        for (part, entries) in (0..).zip(entries.chunks(4)) {
            let part = PlanPart {
                plan: PlanVersion::new(self.plan).unwrap(),
                currency: Currency::CNY,
                part,
                parts: 2,
                entries: List::try_from_iter(entries.iter().copied()).unwrap(),
            };
            self.send(&part);
        }
    }
}
