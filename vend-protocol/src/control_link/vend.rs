//! The main board's side of one vend: the request, the doubt, the end, the forgetting.

use super::{
    Evidence, LastVend, QueryAnswer, Refusal, VendAnswer, VendLabel, VendLimits, VendRequest, VendResult,
    VendState,
};
use crate::{ConfigHash, Nonce, Outcome, Reason, SlotId, VendId};

/// How long the start of a vend waits for a fresh status, in milliseconds.
const FRESH_STATUS_MS: u64 = 1_000;
/// How much longer than a vend may last its end is waited for, in milliseconds.
const VEND_MARGIN_MS: u64 = 2_000;
/// How long a journaled result is kept being forgotten before the next vend, in milliseconds.
const FORGET_MS: u64 = 1_000;

/// A vend that the main board may start: its authority is journaled, and so is the range its number is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendOrder {
    /// Its number: above every other that was ever used with this board's nonces, also after a restart of the main board.
    pub vend: VendId,
    /// The lane of that board.
    pub lane: SlotId,
    /// Its bounds.
    pub limits: VendLimits,
    /// For who reads the line.
    pub label: VendLabel,
    /// It is not sent later than this, by the clock of all other arguments; an authorization's deadline.
    pub not_after_ms: u64,
}

/// How a vend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendEnd {
    /// Which vend.
    pub vend: VendId,
    /// The facts.
    pub outcome: Outcome,
    /// What the board measured; nothing, unless it said how the vend ended.
    pub evidence: Evidence,
}

/// Something that the owner of a vend has to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendEvent {
    /// It ended: journal the outcome, then call [`super::Line::vend_journaled`].
    Ended(VendEnd),
    /// The board has forgotten it, or does not answer: the next vend may be started.
    Over(VendId),
}

/// One vend, from its start or recovery until it is over.
#[derive(Clone, Debug)]
pub(super) struct Vend {
    number: VendId,
    /// What to send; `None` after a restart, for what is not sent again.
    order: Option<VendOrder>,
    /// The nonce it was sent under. It lives in no other one, whatever is journaled meanwhile.
    nonce: Option<Nonce>,
    stage: Stage,
    /// `Ready`: since when; `Sent`: when it is given up; `Forget`: when that is.
    at_ms: u64,
    /// The board said that it runs.
    seen: bool,
    /// The board may hold the result.
    on_board: bool,
    result: VendResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent; a status decides.
    Ready,
    /// To be sent; the board is as it has to be.
    Send,
    /// It was sent, or may have been before a restart, and may have started.
    Sent,
    /// To be told, then to be journaled.
    Ended,
    /// Told.
    Journaling,
    /// Journaled; the board is told to forget it.
    Forget,
    /// To be told.
    Over,
    Told,
}

/// What is known of a vend whose end nobody told.
const UNKNOWN: VendResult = VendResult { outcome: Outcome::unwitnessed(), evidence: Evidence::NONE };

impl Vend {
    pub(super) const fn start(now_ms: u64, order: VendOrder) -> Self {
        Self {
            number: order.vend,
            order: Some(order),
            nonce: None,
            stage: Stage::Ready,
            at_ms: now_ms,
            seen: false,
            on_board: false,
            result: UNKNOWN,
        }
    }

    pub(super) fn recover(now_ms: u64, number: VendId, nonce: Option<Nonce>, max_vend_ms: u32) -> Self {
        Self {
            number,
            order: None,
            nonce,
            stage: Stage::Sent,
            at_ms: give_up_ms(now_ms, max_vend_ms),
            seen: false,
            on_board: false,
            result: UNKNOWN,
        }
    }

    /// It may be on the board, and its outcome is not journaled: the board is polled often.
    pub(super) const fn is_kept(&self) -> bool {
        matches!(self.stage, Stage::Send | Stage::Sent | Stage::Ended | Stage::Journaling)
    }

    /// Whether a result on the board is its own and must not be forgotten.
    pub(super) fn keeps(&self, last: &LastVend) -> bool {
        self.is_kept() && self.is(last)
    }

    fn is(&self, last: &LastVend) -> bool {
        (self.nonce, self.number) == (Some(last.nonce), last.vend)
    }

    /// Whether it may start when no drop sensor is fitted.
    pub(super) const fn without_sensor(&self) -> bool {
        matches!(&self.order, Some(VendOrder { limits: VendLimits { without_sensor: true, .. }, .. }))
    }

    /// The request to send now, if there is one; from the first sending on it may run. `nonce`: the board's. `board_ms`: the
    /// board's own longest vend.
    pub(super) fn take_request(
        &mut self,
        now_ms: u64,
        nonce: Option<Nonce>,
        config: ConfigHash,
        board_ms: u32,
    ) -> Option<VendRequest> {
        let order = self.order.as_ref().filter(|_| self.stage == Stage::Send)?;
        let nonce = self.nonce.or(nonce)?;
        self.nonce = Some(nonce);
        self.stage = Stage::Sent;
        self.seen = false;
        // Anew for each sending: any of them may be the one that starts it.
        self.at_ms = give_up_ms(now_ms, order.limits.max_vend_ms.max(board_ms));
        let VendOrder { vend, lane, limits, label, .. } = *order;
        Some(VendRequest { nonce, vend, config, lane, limits, label })
    }

    /// When [`Vend::poll`] has something to do without anything having come in.
    pub(super) const fn timeout(&self) -> Option<u64> {
        match self.stage {
            Stage::Ready => Some(self.at_ms.saturating_add(FRESH_STATUS_MS)),
            Stage::Sent | Stage::Forget => Some(self.at_ms),
            Stage::Ended | Stage::Over => Some(0),
            Stage::Send | Stage::Journaling | Stage::Told => None,
        }
    }

    /// What time brings, and what the owner has not been told yet.
    pub(super) fn poll(&mut self, now_ms: u64) -> Option<VendEvent> {
        // A repeat too: it was not on the board when the board was last asked, so nothing has started.
        if matches!(self.stage, Stage::Ready | Stage::Send)
            && self.order.as_ref().is_some_and(|order| now_ms > order.not_after_ms)
        {
            self.not_started(Reason::EXPIRED);
        }
        let timeout = self.timeout().is_some_and(|timeout| now_ms >= timeout);
        match self.stage {
            Stage::Ready if timeout => self.not_started(Reason::BOARD),
            Stage::Sent if timeout => self.end(UNKNOWN),
            Stage::Forget if timeout => self.forgotten(),
            _ => {}
        }
        match self.stage {
            Stage::Ended => {
                self.stage = Stage::Journaling;
                let VendResult { outcome, evidence } = self.result;
                Some(VendEvent::Ended(VendEnd { vend: self.number, outcome, evidence }))
            }
            Stage::Over => {
                self.stage = Stage::Told;
                Some(VendEvent::Over(self.number))
            }
            _ => None,
        }
    }

    /// Over, and told so.
    pub(super) fn is_told(&self) -> bool {
        self.stage == Stage::Told
    }

    /// The outcome is in the journal.
    pub(super) fn journaled(&mut self, now_ms: u64) {
        if self.stage == Stage::Journaling {
            self.stage = if self.on_board { Stage::Forget } else { Stage::Over };
            self.at_ms = now_ms.saturating_add(FORGET_MS);
        }
    }

    /// The forgetting was answered, or not answered to the end.
    pub(super) fn forgotten(&mut self) {
        if self.stage == Stage::Forget {
            self.stage = Stage::Over;
        }
    }

    pub(super) fn handle_answer(&mut self, answer: VendAnswer) {
        if self.stage != Stage::Sent {
            return;
        }
        match answer {
            VendAnswer::State(state) => self.handle_state(state),
            // It lost power since the last status: an earlier sending of this request may have been taken.
            VendAnswer::Refused(Refusal::NONCE) => self.end(UNKNOWN),
            VendAnswer::Refused(Refusal::LANE | Refusal::DISABLED) => self.not_started(Reason::LANE),
            VendAnswer::Refused(_) => self.not_started(Reason::REFUSED),
        }
    }

    /// The board does not serve vends.
    pub(super) fn unsupported(&mut self) {
        if self.stage == Stage::Sent {
            self.not_started(Reason::REFUSED);
        }
    }

    /// A status came. `check`: whether the board could start the vend.
    pub(super) fn handle_status(&mut self, now_ms: u64, status: &QueryAnswer, check: Result<(), Reason>) {
        match self.stage {
            Stage::Ready => match check {
                Err(reason) => self.not_started(reason),
                Ok(()) if status.last.is_none() => self.stage = Stage::Send,
                // A result is still being forgotten.
                Ok(()) if now_ms < self.at_ms.saturating_add(FRESH_STATUS_MS) => {}
                Ok(()) => self.not_started(Reason::REFUSED),
            },
            Stage::Sent => self.witness(status),
            Stage::Forget if status.last.is_none() => self.forgotten(),
            _ => {}
        }
    }

    /// What the board's word means for a vend that may have started.
    fn witness(&mut self, status: &QueryAnswer) {
        if status.nonce.is_none() || status.nonce != self.nonce {
            // It was reset: whatever it was doing has stopped, and nobody saw how far it came.
            return self.end(UNKNOWN);
        }
        match &status.last {
            Some(last) if self.is(last) => self.handle_state(last.state),
            // It had the vend and does not know it any more under the same nonce: that should not happen.
            _ if self.seen => self.end(UNKNOWN),
            // The line is a wire: what was sent before this question has arrived or never will.
            _ if self.order.is_some() => self.stage = Stage::Send,
            _ => self.not_started(Reason::INTERRUPTED),
        }
    }

    fn handle_state(&mut self, state: VendState) {
        match state {
            VendState::Running => self.seen = true,
            VendState::Done(result) => self.end(result),
        }
    }

    /// The board does not have it: nothing was sent, or the board said so.
    fn not_started(&mut self, reason: Reason) {
        self.end(VendResult { outcome: Outcome::not_started(reason), evidence: Evidence::NONE });
        self.on_board = false;
    }

    fn end(&mut self, result: VendResult) {
        (self.stage, self.on_board, self.result) = (Stage::Ended, true, result);
    }
}

/// When a vend that was started now has ended, as far as the main board is concerned.
fn give_up_ms(now_ms: u64, max_vend_ms: u32) -> u64 {
    now_ms.saturating_add(u64::from(max_vend_ms)).saturating_add(VEND_MARGIN_MS)
}
