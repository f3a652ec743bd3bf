//! The main board's side of one vend: the request, the doubt, the end, the forgetting.

use super::{
    Evidence, LastVend, QueryAnswer, Refusal, VendAnswer, VendLabel, VendLimits, VendRequest, VendState,
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

#[derive(Clone, Copy, Debug)]
pub(super) struct Vend {
    pub(super) number: VendId,
    /// The nonce it was sent under. It lives in no other one, whatever is journaled meanwhile.
    nonce: Option<Nonce>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, and no allocator")]
enum Stage {
    /// Nothing was sent; a status from `since_ms` on decides.
    Ready {
        order: VendOrder,
        since_ms: u64,
    },
    /// To be sent; the board is as it has to be.
    Send {
        order: VendOrder,
    },
    /// It was sent, and may have started.
    Sent {
        order: VendOrder,
        seen: bool,
        give_up_ms: u64,
    },
    /// The main board restarted and does not know whether it was sent.
    Recover {
        seen: bool,
        give_up_ms: u64,
    },
    /// To be journaled. `on_board`: the board may hold the result.
    Ended {
        end: VendEnd,
        on_board: bool,
        told: bool,
    },
    /// Journaled; the board is told to forget it.
    Forget {
        until_ms: u64,
    },
    Over {
        told: bool,
    },
}

impl Vend {
    pub(super) const fn start(now_ms: u64, order: VendOrder) -> Self {
        Self { number: order.vend, nonce: None, stage: Stage::Ready { order, since_ms: now_ms } }
    }

    pub(super) const fn recover(now_ms: u64, vend: VendId, nonce: Option<Nonce>, wait_ms: u64) -> Self {
        let stage = Stage::Recover { seen: false, give_up_ms: now_ms.saturating_add(wait_ms) };
        Self { number: vend, nonce, stage }
    }

    /// How long a vend that was started can last, as far as the main board is concerned, in milliseconds.
    pub(super) fn wait_ms(max_vend_ms: u32) -> u64 {
        u64::from(max_vend_ms).saturating_add(VEND_MARGIN_MS)
    }

    /// It may be on the board, and its outcome is not journaled: the board is polled often.
    pub(super) const fn is_kept(&self) -> bool {
        matches!(
            self.stage,
            Stage::Send { .. } | Stage::Sent { .. } | Stage::Recover { .. } | Stage::Ended { .. }
        )
    }

    /// Whether a result on the board is its own and must not be forgotten.
    pub(super) fn keeps(&self, last: &LastVend) -> bool {
        self.is_kept() && self.is(last)
    }

    fn is(&self, last: &LastVend) -> bool {
        (self.nonce, self.number) == (Some(last.nonce), last.vend)
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
        let Stage::Send { order } = self.stage else { return None };
        let nonce = self.nonce.or(nonce)?;
        self.nonce = Some(nonce);
        // Anew for each sending: any of them may be the one that starts it.
        let give_up_ms = now_ms.saturating_add(Self::wait_ms(order.limits.max_vend_ms.max(board_ms)));
        self.stage = Stage::Sent { order, seen: false, give_up_ms };
        let VendOrder { vend, lane, limits, label, .. } = order;
        Some(VendRequest { nonce, vend, config, lane, limits, label })
    }

    /// When [`Vend::poll`] has something to do without anything having come in.
    pub(super) const fn timeout(&self) -> Option<u64> {
        match self.stage {
            Stage::Ready { since_ms, .. } => Some(since_ms.saturating_add(FRESH_STATUS_MS)),
            Stage::Sent { give_up_ms, .. } | Stage::Recover { give_up_ms, .. } => Some(give_up_ms),
            Stage::Forget { until_ms } => Some(until_ms),
            Stage::Ended { told: false, .. } | Stage::Over { told: false } => Some(0),
            Stage::Send { .. } | Stage::Ended { .. } | Stage::Over { .. } => None,
        }
    }

    /// What time brings, and what the owner has not been told yet.
    pub(super) fn poll(&mut self, now_ms: u64) -> Option<VendEvent> {
        match self.stage {
            Stage::Ready { order, since_ms } => {
                if now_ms > order.not_after_ms {
                    self.not_started(Reason::EXPIRED);
                } else if now_ms >= since_ms.saturating_add(FRESH_STATUS_MS) {
                    self.not_started(Reason::BOARD);
                }
            }
            // A repeat too: it was not on the board when the board was last asked, so nothing has started.
            Stage::Send { order } if now_ms > order.not_after_ms => self.not_started(Reason::EXPIRED),
            Stage::Sent { give_up_ms, .. } | Stage::Recover { give_up_ms, .. } if now_ms >= give_up_ms => {
                self.end(Outcome::unwitnessed(), Evidence::default());
            }
            Stage::Forget { until_ms } if now_ms >= until_ms => self.forgotten(),
            _ => {}
        }
        match &mut self.stage {
            Stage::Ended { end, told: told @ false, .. } => {
                *told = true;
                Some(VendEvent::Ended(*end))
            }
            Stage::Over { told: told @ false } => {
                *told = true;
                Some(VendEvent::Over(self.number))
            }
            _ => None,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over { told: true })
    }

    /// The outcome is in the journal.
    pub(super) const fn journaled(&mut self, now_ms: u64) {
        match self.stage {
            Stage::Ended { on_board: true, .. } => {
                self.stage = Stage::Forget { until_ms: now_ms.saturating_add(FORGET_MS) };
            }
            Stage::Ended { on_board: false, .. } => self.stage = Stage::Over { told: false },
            _ => {}
        }
    }

    /// The forgetting was answered, or not answered to the end.
    pub(super) const fn forgotten(&mut self) {
        if matches!(self.stage, Stage::Forget { .. }) {
            self.stage = Stage::Over { told: false };
        }
    }

    pub(super) fn handle_answer(&mut self, answer: VendAnswer) {
        if !matches!(self.stage, Stage::Sent { .. }) {
            return;
        }
        match answer {
            VendAnswer::State(state) => self.handle_state(state),
            VendAnswer::Refused(refusal) => {
                let outcome = match refusal {
                    // It lost power since the last status: an earlier sending of this request may have been taken.
                    Refusal::NONCE => Outcome::unwitnessed(),
                    Refusal::LANE | Refusal::DISABLED => Outcome::not_started(Reason::LANE),
                    _ => Outcome::not_started(Reason::REFUSED),
                };
                self.end(outcome, Evidence::default());
            }
        }
    }

    /// The board does not serve vends.
    pub(super) fn unsupported(&mut self) {
        if let Stage::Sent { .. } = self.stage {
            self.not_started(Reason::REFUSED);
        }
    }

    /// A status came. `check`: whether the board could start a vend with or without a drop sensor.
    pub(super) fn handle_status(
        &mut self,
        now_ms: u64,
        status: &QueryAnswer,
        check: impl FnOnce(bool) -> Result<(), Reason>,
    ) {
        match self.stage {
            Stage::Ready { order, since_ms } => match check(order.limits.without_sensor) {
                Err(reason) => self.not_started(reason),
                Ok(()) if status.last.is_none() => self.stage = Stage::Send { order },
                // A result is still being forgotten.
                Ok(()) if now_ms < since_ms.saturating_add(FRESH_STATUS_MS) => {}
                Ok(()) => self.not_started(Reason::REFUSED),
            },
            Stage::Sent { .. } | Stage::Recover { .. } => self.witness(status),
            Stage::Forget { .. } if status.last.is_none() => self.forgotten(),
            _ => {}
        }
    }

    /// What the board's word means for a vend that may have started.
    fn witness(&mut self, status: &QueryAnswer) {
        let (seen, order) = match self.stage {
            Stage::Sent { seen, order, .. } => (seen, Some(order)),
            Stage::Recover { seen, .. } => (seen, None),
            _ => return,
        };
        if status.nonce.is_none() || status.nonce != self.nonce {
            // It was reset: whatever it was doing has stopped, and nobody saw how far it came.
            return self.end(Outcome::unwitnessed(), Evidence::default());
        }
        match (&status.last, order) {
            (Some(last), _) if self.is(last) => self.handle_state(last.state),
            // It had the vend and does not know it any more under the same nonce: that should not happen.
            _ if seen => self.end(Outcome::unwitnessed(), Evidence::default()),
            // The line is a wire: what was sent before this question has arrived or never will.
            (_, None) => self.not_started(Reason::INTERRUPTED),
            (_, Some(order)) => self.stage = Stage::Send { order },
        }
    }

    fn handle_state(&mut self, state: VendState) {
        match state {
            VendState::Running => match &mut self.stage {
                Stage::Sent { seen, .. } | Stage::Recover { seen, .. } => *seen = true,
                _ => {}
            },
            VendState::Done(result) => self.end(result.outcome, result.evidence),
        }
    }

    /// The board does not have it: nothing was sent, or the board said so.
    fn not_started(&mut self, reason: Reason) {
        self.end_with(Outcome::not_started(reason), Evidence::default(), false);
    }

    fn end(&mut self, outcome: Outcome, evidence: Evidence) {
        self.end_with(outcome, evidence, true);
    }

    const fn end_with(&mut self, outcome: Outcome, evidence: Evidence, on_board: bool) {
        let end = VendEnd { vend: self.number, outcome, evidence };
        self.stage = Stage::Ended { end, on_board, told: false };
    }
}
