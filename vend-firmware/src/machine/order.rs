//! One order at a time: from the authorization that was verified to the receipt that was journaled.

use vend_payments::{authorization::Permit, receipt::receipt_hash};
use vend_protocol::{
    List, OrderId, Outcome, Reason, ReceiptNo, VendId, Verdict,
    control_link::{Exchange, LastVend, Refusal, VendAnswer, VendLabel, VendRequest, VendState},
    signed::{Authority, AuthorizationBody, ReceiptBody, ReceiptLine, Signed, VoidBody},
};

use super::{Machine, Random, board::Event};
use crate::journal::{LineOutcome, Record, StoredReceipt, Taken};

/// How long the start of a line waits for a fresh status, in milliseconds.
const FRESH_STATUS_MS: u64 = 1_000;
/// How much longer than a vend may last the end of one is waited for, in milliseconds.
const VEND_MARGIN_MS: u64 = 2_000;
/// How long an acknowledged result is kept being forgotten before the order goes on, in milliseconds.
const FORGET_MS: u64 = 1_000;

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
    /// Nothing was sent; a status that is asked for from now on decides.
    Start { since_ms: u64 },
    /// The vend was or may have been sent. `send`: it is to be sent now.
    Sent { send: bool, seen: bool, give_up_ms: u64 },
    /// The machine restarted and does not know whether the vend was sent.
    Recover { seen: bool, give_up_ms: u64 },
    /// To be journaled. `forget`: the board may hold the result.
    Ended { outcome: Outcome, forget: bool },
    /// Being journaled.
    Journaling { forget: bool },
    /// Journaled; the board is told to forget it.
    Forget { until_ms: u64 },
    /// All lines ended: to be signed.
    Sign,
    /// The receipt is being journaled.
    Signed,
}

impl Vending {
    pub(super) const fn seq(&self) -> vend_protocol::AuthSeq {
        self.body.seq
    }

    /// The vend of the current line, if it may be on the board and its outcome is not journaled.
    pub(super) fn vend_to_keep(&self) -> Option<VendId> {
        let kept = matches!(
            self.stage,
            Stage::Sent { .. } | Stage::Recover { .. } | Stage::Ended { .. } | Stage::Journaling { .. }
        );
        if kept { self.vend() } else { None }
    }

    const fn end(&mut self, outcome: Outcome, forget: bool) {
        self.stage = Stage::Ended { outcome, forget };
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
        let stage = if line < body.lines.len() {
            Stage::Recover { seen: false, give_up_ms: now_ms.saturating_add(self.vend_wait_ms()) }
        } else {
            Stage::Sign
        };
        self.work = Work::Vending(Vending {
            first_vend: order.taken.first_vend,
            body,
            line,
            stage,
            before: None,
            rest: Some(Reason::INTERRUPTED),
        });
    }

    /// A vend that was started has ended by itself after this, in milliseconds.
    fn vend_wait_ms(&self) -> u64 {
        let limits = u64::from(self.config.limits.max_vend_ms);
        let board = self.board.identity().map_or(limits, |identity| u64::from(identity.max_vend_ms));
        limits.max(board).saturating_add(VEND_MARGIN_MS)
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
        let status = self.board.status(now_ms).ok_or(Reason::BOARD)?;
        let without_sensor = self.config.limits.without_sensor;
        self.board.check(status, self.config.board_config, self.state.numbers.nonce, without_sensor)?;
        if status.last.is_some_and(|last| last.state == VendState::Running) {
            return Err(Reason::BUSY);
        }
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
        let Work::Vending(vending) = &mut self.work else { return None };
        match vending.stage {
            Stage::Start { since_ms } => {
                self.start_line(now_ms, since_ms);
                None
            }
            Stage::Sent { send: true, .. } => {
                self.send_vend(now_ms);
                None
            }
            Stage::Sent { give_up_ms, .. } | Stage::Recover { give_up_ms, .. } => {
                if now_ms >= give_up_ms {
                    vending.end(Outcome::unwitnessed(), true);
                }
                None
            }
            Stage::Ended { outcome, forget } => {
                vending.stage = Stage::Journaling { forget };
                let line = u8::try_from(vending.line).ok()?;
                Some(Record::Outcome(LineOutcome { line, outcome }))
            }
            Stage::Forget { until_ms } => {
                if now_ms >= until_ms {
                    self.next_line(now_ms);
                }
                None
            }
            Stage::Sign => {
                vending.stage = Stage::Signed;
                let order = self.state.order.as_ref()?;
                let body = &vending.body;
                let lines = body.lines.iter().zip(order.outcomes.iter());
                let lines = lines.map(|(line, outcome)| ReceiptLine { slot: line.slot, outcome: *outcome });
                let lines = List::try_from_iter(lines).ok()?;
                let authority = Authority::Authorization { seq: body.seq, order: body.order };
                self.receipt(now_ms, authority, lines)
            }
            Stage::Journaling { .. } | Stage::Signed => None,
        }
    }

    /// The order that something which falls now, outside the window of a vend, belongs to: the one before until the first
    /// line of this one has ended.
    pub(super) const fn late_drop_order(&self) -> Option<OrderId> {
        match &self.work {
            Work::Vending(Vending {
                line: 0,
                stage: Stage::Start { .. } | Stage::Sent { .. } | Stage::Recover { .. },
                before,
                ..
            }) => *before,
            _ => self.state.numbers.last_order,
        }
    }

    fn start_line(&mut self, now_ms: u64, since_ms: u64) {
        let time = self.server_time_ms(now_ms);
        let without_sensor = self.config.limits.without_sensor;
        let Work::Vending(vending) = &mut self.work else { return };
        let reason = if let Some(reason) = vending.rest {
            Some(reason)
        } else if time.is_none_or(|time| time > vending.body.deadline_ms) {
            Some(Reason::EXPIRED)
        } else if let Some(status) = self.board.status_since(since_ms) {
            let nonce = self.state.numbers.nonce;
            match self.board.check(status, self.config.board_config, nonce, without_sensor) {
                Err(reason) => Some(reason),
                Ok(()) if status.last.is_none() => None,
                // A result is still being forgotten.
                Ok(()) if now_ms < since_ms.saturating_add(FRESH_STATUS_MS) => return,
                Ok(()) => Some(Reason::REFUSED),
            }
        } else if now_ms < since_ms.saturating_add(FRESH_STATUS_MS) {
            return;
        } else {
            Some(Reason::BOARD)
        };
        match reason {
            Some(reason) => vending.end(Outcome::not_started(reason), false),
            None => vending.stage = Stage::Sent { send: true, seen: false, give_up_ms: u64::MAX },
        }
        if reason.is_none() {
            self.send_vend(now_ms);
        }
    }

    /// Sends the current line's vend; the same number again is answered with its state and starts nothing.
    fn send_vend(&mut self, now_ms: u64) {
        let give_up_ms = now_ms.saturating_add(self.vend_wait_ms());
        let expired = |deadline_ms| self.server_time_ms(now_ms).is_none_or(|time| time > deadline_ms);
        let Work::Vending(vending) = &self.work else { return };
        let expired = expired(vending.body.deadline_ms);
        let request = vending.body.lines.get(vending.line).zip(vending.vend()).zip(self.state.numbers.nonce);
        let Some(((line, vend), nonce)) = request.filter(|_| !expired) else {
            let reason = if expired { Reason::EXPIRED } else { Reason::BOARD };
            if let Work::Vending(vending) = &mut self.work {
                vending.end(Outcome::not_started(reason), false);
            }
            return;
        };
        let label = VendLabel {
            authority: vending.body.seq.number(),
            line: u8::try_from(vending.line).unwrap_or(u8::MAX),
        };
        let config = self.config.board_config;
        let request = VendRequest { nonce, vend, config, lane: line.slot, limits: self.config.limits, label };
        self.board.begin(now_ms, Exchange::Vend(request));
        if let Work::Vending(vending) = &mut self.work {
            vending.stage = Stage::Sent { send: false, seen: false, give_up_ms };
        }
    }

    /// The outcome of the current line is in the journal.
    pub(super) fn outcome_journaled(&mut self, now_ms: u64, outcome: Outcome) {
        let Work::Vending(vending) = &mut self.work else { return };
        if outcome.verdict() == Verdict::Unknown {
            // The motor may still turn, or the lane hang: no other start under this order.
            vending.rest = vending.rest.or(Some(Reason::EARLIER_LINE));
        }
        if matches!(vending.stage, Stage::Journaling { forget: true }) {
            vending.stage = Stage::Forget { until_ms: now_ms.saturating_add(FORGET_MS) };
            self.board.poll_now(now_ms);
        } else {
            self.next_line(now_ms);
        }
    }

    fn next_line(&mut self, now_ms: u64) {
        let Work::Vending(vending) = &mut self.work else { return };
        vending.line += 1;
        vending.stage = if vending.line < vending.body.lines.len() {
            Stage::Start { since_ms: now_ms }
        } else {
            Stage::Sign
        };
        self.board.poll_now(now_ms);
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
        let stage = Stage::Start { since_ms: now_ms };
        self.work = Work::Vending(Vending { body, first_vend, line: 0, stage, before, rest: None });
        self.board.poll_now(now_ms);
    }

    pub(super) fn handle_board_event(&mut self, now_ms: u64, event: Event) {
        match event {
            Event::Vending(answer) => self.handle_vend_answer(now_ms, answer),
            Event::VendUnanswered => self.board.poll_now(now_ms),
            Event::Status => self.handle_status(now_ms),
            Event::Forgotten => {
                if let Work::Vending(Vending { stage: Stage::Forget { .. }, .. }) = &self.work {
                    self.next_line(now_ms);
                }
            }
        }
    }

    fn handle_vend_answer(&mut self, now_ms: u64, answer: VendAnswer) {
        let Work::Vending(vending) = &mut self.work else { return };
        let Stage::Sent { seen, .. } = &mut vending.stage else { return };
        match answer {
            VendAnswer::State(VendState::Running) => {
                *seen = true;
                self.board.poll_now(now_ms.saturating_add(vend_protocol::control_link::POLL_VENDING_MS));
            }
            VendAnswer::State(VendState::Done(result)) => vending.end(result.outcome, true),
            VendAnswer::Refused(refusal) => {
                let outcome = match refusal {
                    // It lost power since the last status: an earlier sending of this request may have been taken.
                    Refusal::NONCE => Outcome::unwitnessed(),
                    Refusal::LANE => Outcome::not_started(Reason::LANE),
                    _ => Outcome::not_started(Reason::REFUSED),
                };
                vending.end(outcome, true);
            }
        }
    }

    fn handle_status(&mut self, now_ms: u64) {
        let nonce = self.state.numbers.nonce;
        let Some(status) = self.board.status(now_ms).copied() else { return };
        let Work::Vending(vending) = &mut self.work else { return };
        let vend = vending.vend();
        let (seen, recovering) = match vending.stage {
            Stage::Sent { send: false, seen, .. } => (seen, false),
            Stage::Recover { seen, .. } => (seen, true),
            Stage::Forget { .. } if status.last.is_none() => return self.next_line(now_ms),
            _ => return,
        };
        if status.nonce.is_none() || status.nonce != nonce {
            // It was reset: whatever it was doing has stopped, and nobody saw how far it came.
            vending.end(Outcome::unwitnessed(), true);
            return;
        }
        match status.last {
            Some(LastVend { nonce: under, vend: last, state })
                if Some(last) == vend && Some(under) == nonce =>
            {
                match state {
                    VendState::Running => match &mut vending.stage {
                        Stage::Sent { seen, .. } | Stage::Recover { seen, .. } => *seen = true,
                        _ => {}
                    },
                    VendState::Done(result) => vending.end(result.outcome, true),
                }
            }
            // It had the vend and does not know it any more under the same nonce: that should not happen.
            _ if seen => vending.end(Outcome::unwitnessed(), true),
            // The line is a wire: what was sent before this question has arrived or never will.
            _ if recovering => vending.end(Outcome::not_started(Reason::INTERRUPTED), true),
            _ => {
                if let Stage::Sent { send, .. } = &mut vending.stage {
                    *send = true;
                }
            }
        }
    }
}
