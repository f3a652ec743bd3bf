//! One order at a time: from the authorization that was verified to the receipt that was journaled.

use vend_payments::{authorization::Permit, receipt::receipt_hash};
use vend_protocol::{
    List, OrderId, Outcome, Reason, ReceiptNo, VendId, Verdict,
    control_link::{VendEvent, VendLabel, VendLimits, VendOrder},
    signed::{Authority, AuthorizationBody, ReceiptBody, ReceiptLine, Signed, VoidBody},
};

use super::{Machine, Random};
use crate::journal::{LineOutcome, Record, StoredReceipt, Taken};

/// What the machine is doing.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, in the machine, and no allocator")]
pub(super) enum Work {
    Idle,
    /// Verified, and nothing is used up yet: waiting for room in the journal.
    Considering(Incoming),
    /// Decided: its first record is being appended.
    Deciding,
    Vending(Vending),
}

/// A signed message that uses up a sequence.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, in the machine, and no allocator")]
pub(super) enum Incoming {
    Authorization { permit: Permit, signed: Signed },
    Void(VoidBody),
}

/// An order that was taken.
#[derive(Debug)]
pub(super) struct Vending {
    body: AuthorizationBody,
    first_vend: VendId,
    line: usize,
    stage: Stage,
    /// The order before it; after a restart it is not known.
    before: Option<OrderId>,
    /// Why the lines after this one are not started, if they are not.
    rest: Option<Reason>,
}

/// Where the current line stands.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The control board's line has the vend, and tells how it ends.
    Vend,
    /// It never came to a vend: to be journaled.
    NotStarted(Reason),
    /// Being journaled. `on_board`: there was a vend.
    Journaling { on_board: bool },
    /// Journaled; the board is told to forget it.
    Forget,
    /// All lines ended: to be signed.
    Sign,
    /// The receipt is being journaled.
    Signed,
}

impl Vending {
    pub(super) const fn seq(&self) -> vend_protocol::AuthSeq {
        self.body.seq
    }

    /// The vend of the current line; `None` when its deadline has passed, or when there is no clock to tell.
    fn order(&self, now_ms: u64, time_ms: Option<u64>, limits: VendLimits) -> Option<VendOrder> {
        let left_ms = self.body.deadline_ms.checked_sub(time_ms?)?;
        Some(VendOrder {
            vend: self.vend()?,
            lane: self.body.lines.get(self.line)?.slot,
            limits,
            label: VendLabel {
                authority: self.body.seq.number(),
                line: u8::try_from(self.line).unwrap_or(u8::MAX),
            },
            not_after_ms: now_ms.saturating_add(left_ms),
        })
    }

    /// The record of the current line's outcome.
    fn outcome(&self, outcome: Outcome) -> Option<Record> {
        Some(Record::Outcome(LineOutcome { line: u8::try_from(self.line).ok()?, outcome }))
    }

    fn vend(&self) -> Option<VendId> {
        let line = u64::try_from(self.line).ok()?;
        VendId::new(u64::from(self.first_vend).checked_add(line)?).ok()
    }
}

impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    /// After a restart: the order the journal says is open.
    pub(super) fn recover_order(&mut self, now_ms: u64) {
        let Some(order) = &self.state.order else { return };
        let Ok(body) = order.body() else {
            self.broken = true;
            return;
        };
        let line = order.outcomes.len();
        let stage = if line < body.lines.len() { Stage::Vend } else { Stage::Sign };
        let vending = Vending {
            first_vend: order.taken.first_vend,
            body,
            line,
            stage,
            before: None,
            rest: Some(Reason::INTERRUPTED),
        };
        if let (Stage::Vend, Some(vend)) = (vending.stage, vending.vend()) {
            // It may have been sent before the restart. There is no other vend yet, so it is taken.
            self.broken = !self.board.recover_vend(now_ms, vend, self.config.limits.max_vend_ms);
        }
        self.work = Work::Vending(vending);
    }

    /// Why a new authorization is not taken although it verifies; it is used up all the same.
    pub(super) fn refusal(&self, now_ms: u64, body: &AuthorizationBody) -> Option<Reason> {
        let Some(time) = self.server_time_ms(now_ms) else { return Some(Reason::CLOCK) };
        if time > body.deadline_ms {
            return Some(Reason::EXPIRED);
        }
        if body.currency != self.plan.currency() {
            return Some(Reason::PLAN);
        }
        let lines = body.lines.iter().map(|line| (line.slot, line.product, line.price_minor));
        self.readiness(now_ms, body.plan, lines).err()
    }

    /// Whether these lines could be vended now.
    pub(super) fn readiness(
        &self,
        now_ms: u64,
        plan: vend_protocol::PlanVersion,
        lines: impl Iterator<Item = (vend_protocol::SlotId, vend_protocol::ProductId, u32)>,
    ) -> Result<(), Reason> {
        self.board.readiness(now_ms, self.config.limits.without_sensor)?;
        let lanes = self.board.identity().map_or(0, |identity| identity.lanes);
        for (slot, product, price_minor) in lines {
            self.plan.check(plan, slot, product, price_minor)?;
            if slot.number() > lanes {
                return Err(Reason::LANE);
            }
        }
        Ok(())
    }

    /// Room is reserved: takes the order, or uses its sequence up with a receipt.
    pub(super) fn decide(&mut self, now_ms: u64) -> Option<Record> {
        let Work::Considering(incoming) = core::mem::replace(&mut self.work, Work::Deciding) else {
            return None;
        };
        match incoming {
            Incoming::Void(void) => {
                let authority = Authority::Authorization { seq: void.seq, order: void.order };
                self.receipt(now_ms, authority, List::default())
            }
            Incoming::Authorization { permit, signed } => {
                let body = permit.body();
                if let Some(reason) = self.refusal(now_ms, body) {
                    let outcome = Outcome::not_started(reason);
                    let lines = body.lines.iter().map(|line| ReceiptLine { slot: line.slot, outcome });
                    let lines = List::try_from_iter(lines).ok()?;
                    let authority = Authority::Authorization { seq: body.seq, order: body.order };
                    return self.receipt(now_ms, authority, lines);
                }
                let first_vend = self.state.numbers.next_vend;
                Some(Record::Taken(Taken { first_vend, authorization: signed }))
            }
        }
    }

    fn receipt(
        &mut self,
        now_ms: u64,
        authority: Authority,
        lines: List<ReceiptLine, { vend_protocol::signed::MAX_LINES }>,
    ) -> Option<Record> {
        let Authority::Authorization { seq, order } = authority else { return None };
        let numbers = self.state.numbers;
        let number = ReceiptNo::new(numbers.last_receipt.checked_add(1)?).ok()?;
        let body = ReceiptBody {
            enrolment: self.enrolment,
            journal: self.journal,
            number,
            previous: numbers.last_hash,
            authority,
            at_ms: self.server_time_ms(now_ms).unwrap_or(0),
            lines,
        };
        let receipt = self.signer.sign(&body).ok()?;
        let hash = receipt_hash(&receipt);
        Some(Record::Receipt(StoredReceipt { number, seq, order, hash, receipt }))
    }

    /// The record that the order needs next, if it is its turn. Also moves on everything that needs no record.
    pub(super) fn drive_order(&mut self, now_ms: u64) -> Option<Record> {
        loop {
            let Work::Vending(vending) = &mut self.work else { return None };
            match vending.stage {
                Stage::Vend => {
                    let VendEvent::Ended(end) = self.board.poll_vend(now_ms)? else { continue };
                    vending.stage = Stage::Journaling { on_board: true };
                    return vending.outcome(end.outcome);
                }
                Stage::NotStarted(reason) => {
                    vending.stage = Stage::Journaling { on_board: false };
                    return vending.outcome(Outcome::not_started(reason));
                }
                Stage::Forget => {
                    if let VendEvent::Over(_) = self.board.poll_vend(now_ms)? {
                        self.next_line(now_ms);
                    }
                }
                Stage::Sign => {
                    vending.stage = Stage::Signed;
                    return self.sign(now_ms);
                }
                Stage::Journaling { .. } | Stage::Signed => return None,
            }
        }
    }

    /// The receipt of the order whose lines have all ended.
    fn sign(&mut self, now_ms: u64) -> Option<Record> {
        let (Work::Vending(vending), Some(order)) = (&self.work, &self.state.order) else { return None };
        let body = &vending.body;
        let lines = body.lines.iter().zip(order.outcomes.iter());
        let lines = lines.map(|(line, outcome)| ReceiptLine { slot: line.slot, outcome: *outcome });
        let lines = List::try_from_iter(lines).ok()?;
        let authority = Authority::Authorization { seq: body.seq, order: body.order };
        self.receipt(now_ms, authority, lines)
    }

    /// The order that something which falls now, outside the window of a vend, belongs to: the one before until the first
    /// line of this one has ended.
    pub(super) const fn late_drop_order(&self) -> Option<OrderId> {
        match &self.work {
            Work::Vending(Vending { line: 0, stage: Stage::Vend, before, .. }) => *before,
            _ => self.state.numbers.last_order,
        }
    }

    /// Starts the current line's vend, if its turn has come at all.
    fn start_line(&mut self, now_ms: u64) {
        let time = self.server_time_ms(now_ms);
        let Work::Vending(vending) = &mut self.work else { return };
        vending.stage = match (vending.rest, vending.order(now_ms, time, self.config.limits)) {
            (Some(reason), _) => Stage::NotStarted(reason),
            (None, None) => Stage::NotStarted(Reason::EXPIRED),
            (None, Some(order)) if self.board.start_vend(now_ms, order) => Stage::Vend,
            // The vend before it is over, so this cannot be.
            (None, Some(_)) => Stage::NotStarted(Reason::BUSY),
        };
    }

    /// The outcome of the current line is in the journal.
    pub(super) fn outcome_journaled(&mut self, now_ms: u64, outcome: Outcome) {
        let Work::Vending(vending) = &mut self.work else { return };
        if outcome.verdict() == Verdict::Unknown {
            // The motor may still turn, or the lane hang: no other start under this order.
            vending.rest = vending.rest.or(Some(Reason::EARLIER_LINE));
        }
        if matches!(vending.stage, Stage::Journaling { on_board: true }) {
            vending.stage = Stage::Forget;
            self.board.vend_journaled(now_ms);
        } else {
            self.next_line(now_ms);
        }
    }

    fn next_line(&mut self, now_ms: u64) {
        let Work::Vending(vending) = &mut self.work else { return };
        vending.line += 1;
        if vending.line < vending.body.lines.len() {
            self.start_line(now_ms);
        } else {
            vending.stage = Stage::Sign;
        }
    }

    /// The authorization is in the journal: from here motion is allowed.
    pub(super) fn taken_journaled(&mut self, now_ms: u64, before: Option<OrderId>) {
        let order = self.state.order.as_ref();
        let Some((body, first_vend)) =
            order.and_then(|order| Some((order.body().ok()?, order.taken.first_vend)))
        else {
            self.broken = true;
            return;
        };
        self.work =
            Work::Vending(Vending { body, first_vend, line: 0, stage: Stage::Vend, before, rest: None });
        self.start_line(now_ms);
    }
}
