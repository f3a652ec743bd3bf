//! Opening a board, and the life of one vend.

use serde::{Deserialize, Serialize};

use super::{Refusal, message};
use crate::{ConfigHash, Nonce, Outcome, SlotId, VendId};

/// Main board: from here on vends carry this nonce. It was journaled before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRequest {
    /// Held by the board in RAM only: a board that lost power has none.
    pub nonce: Nonce,
    /// The configuration the main board believes the board to have.
    pub config: ConfigHash,
}
message!(OpenRequest, OPEN => OpenAnswer);

/// Control board: the answer to [`OpenRequest`]. The nonce it has already is answered again, and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAnswer {
    /// Nothing, or why it was refused.
    pub refused: Option<Refusal>,
}
message!(OpenAnswer, OPENED);

/// What bounds one vend. The board has limits of its own and takes the stricter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendLimits {
    /// All of the vend, with extra turns and settling, in milliseconds.
    pub max_vend_ms: u32,
    /// Quarter turns after the first turn, until something falls: 0 to 3.
    pub extra_quarter_turns: u8,
    /// Whether it may vend when no drop sensor is fitted.
    pub without_sensor: bool,
}

impl Default for VendLimits {
    /// 30 s, no extra turns, never without a sensor.
    fn default() -> Self {
        Self { max_vend_ms: 30_000, extra_quarter_turns: 0, without_sensor: false }
    }
}

/// Main board: start this vend, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendRequest {
    /// The nonce the board was opened with.
    pub nonce: Nonce,
    /// Higher than any before under this nonce; an equal one is answered with its state.
    pub vend: VendId,
    /// The configuration the main board believes the board to have.
    pub config: ConfigHash,
    /// The lane, as the board numbers it: from 1. With one board that is the slot.
    pub lane: SlotId,
    /// Its bounds.
    pub limits: VendLimits,
    /// What it is for. The board does not interpret it: it is there for who reads the line or the board's log.
    pub label: VendLabel,
}
message!(VendRequest, VEND => VendAnswer);

/// What a vend is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendLabel {
    /// The sequence of the authorization; 0: another authority.
    pub authority: u64,
    /// The line of it, from 0.
    pub line: u8,
}

/// Control board: the answer to [`VendRequest`] and [`AbortRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VendAnswer {
    /// Nothing was done for this request.
    Refused(Refusal),
    /// The state of that vend.
    State(VendState),
}
message!(VendAnswer, VENDING);

/// The state of a vend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VendState {
    /// Accepted, in motion, or settling.
    Running,
    /// Ended.
    Done(VendResult),
}

/// How a vend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendResult {
    /// The facts the verdict is made from.
    pub outcome: Outcome,
    /// What the board measured.
    pub evidence: Evidence,
}

/// What a control board measured during a vend. No verdict is made from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Motor on, all turns together, in milliseconds.
    pub run_ms: u32,
    /// Highest motor current, in milliamperes; 0: not measured.
    pub peak_current_ma: u16,
    /// Lowest motor supply while the motor was on, in millivolts; 0: not measured.
    pub lowest_supply_mv: u16,
    /// Extra quarter turns that were begun.
    pub extra_quarter_turns: u8,
    /// Times the beam was broken in the window.
    pub beam_breaks: u16,
    /// From the motor's start to the first break, in milliseconds.
    pub first_break_ms: Option<u32>,
}

impl Evidence {
    /// Nothing was measured.
    pub const NONE: Self = Self {
        run_ms: 0,
        peak_current_ma: 0,
        lowest_supply_mv: 0,
        extra_quarter_turns: 0,
        beam_breaks: 0,
        first_break_ms: None,
    };
}

/// A vend that a board runs, or whose result it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVend {
    /// The nonce it was started under. A result outlives an opening, and a number means nothing without its nonce.
    pub nonce: Nonce,
    /// Its number.
    pub vend: VendId,
    /// Its state.
    pub state: VendState,
}

/// Main board: the result of this vend is journaled; drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetRequest {
    /// The nonce of the vend.
    pub nonce: Nonce,
    /// The vend.
    pub vend: VendId,
}
message!(ForgetRequest, FORGET => ForgetAnswer);

/// Control board: the answer to [`ForgetRequest`]. Forgetting what is forgotten succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetAnswer {
    /// Nothing, or why it was refused.
    pub refused: Option<Refusal>,
}
message!(ForgetAnswer, FORGOTTEN);

/// Main board: end this vend as soon as the mechanism allows. The answer is its state; how it ended is read by
/// [`super::QueryRequest`], with [`crate::MotorCode::ABORTED`] if it was the abort that ended it. One that has ended stays as
/// it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortRequest {
    /// The nonce of the vend.
    pub nonce: Nonce,
    /// The vend.
    pub vend: VendId,
}
message!(AbortRequest, ABORT => VendAnswer);
