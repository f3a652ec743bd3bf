//! The messages of the control link.

use serde::{Deserialize, Serialize};

use crate::{ConfigHash, Nonce, Outcome, SlotId, Text, VendId, frame::Message, outcome::open_number};

/// Message kinds of the control link. Below 0xC0 the main board sends them, from 0xC0 a control board does.
pub mod kind {
    #![allow(missing_docs, reason = "each constant is the kind of the message of that name")]
    pub const IDENTIFY: u8 = 0x81;
    pub const OPEN: u8 = 0x82;
    pub const VEND: u8 = 0x83;
    pub const QUERY: u8 = 0x84;
    pub const FORGET: u8 = 0x85;
    pub const IDENTITY: u8 = 0xC1;
    pub const OPENED: u8 = 0xC2;
    pub const VENDING: u8 = 0xC3;
    pub const STATUS: u8 = 0xC4;
    pub const FORGOTTEN: u8 = 0xC5;
}

macro_rules! message {
    ($name:ident, $kind:expr) => {
        impl Message for $name {
            const KIND: u8 = $kind;
            const REVISION: u8 = 1;
        }
    };
}

/// Main board: who are you?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifyRequest {}
message!(IdentifyRequest, kind::IDENTIFY);

/// Control board: its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its lanes: 1 to this number exist.
    pub lanes: u16,
    /// No vend runs longer than this, in milliseconds.
    pub max_vend_ms: u32,
    /// Its firmware, for people.
    pub firmware: Text<24>,
}
message!(Identity, kind::IDENTITY);

/// Main board: from here on vends carry this nonce. It was journaled before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRequest {
    /// Held by the board in RAM only: a board that lost power has none.
    pub nonce: Nonce,
    /// The configuration the main board believes the board to have.
    pub config: ConfigHash,
}
message!(OpenRequest, kind::OPEN);

/// Control board: the answer to [`OpenRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAnswer {
    /// Nothing, or why it was refused.
    pub refused: Option<Refusal>,
}
message!(OpenAnswer, kind::OPENED);

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
    /// The lane.
    pub lane: SlotId,
    /// Its bounds.
    pub limits: VendLimits,
    /// What it is for. The board does not interpret it: it is there for who reads the line or the board's log.
    pub label: VendLabel,
}
message!(VendRequest, kind::VEND);

/// What a vend is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendLabel {
    /// The sequence of the authorization; 0: another authority.
    pub authority: u64,
    /// The line of it, from 0.
    pub line: u8,
}

/// Control board: the answer to [`VendRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VendAnswer {
    /// Nothing was started for this request.
    Refused(Refusal),
    /// The state of that vend.
    State(VendState),
}
message!(VendAnswer, kind::VENDING);

open_number! {
    /// Why a control board did nothing.
    Refusal {
        /// A vend is running.
        RUNNING = 1 "a vend is running",
        /// The board was not opened, or with another nonce.
        NONCE = 2 "another nonce",
        /// The board's configuration is another one.
        CONFIG = 3 "another configuration",
        /// The vend's number is below the last one.
        OLD_VEND = 4 "an old vend number",
        /// There is no such lane.
        LANE = 5 "no such lane",
        /// The last result has not been forgotten yet.
        RESULT_KEPT = 6 "a result is kept",
        /// The limits are outside the board's own.
        LIMITS = 7 "limits not allowed",
    }
}

/// The state of a vend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VendState {
    /// In motion, or settling.
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

/// What a control board measured during a vend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Motor on, in milliseconds.
    pub run_ms: u32,
    /// Highest motor current, in milliamperes; 0: not measured.
    pub peak_current_ma: u16,
    /// Times the beam was broken in the window.
    pub beam_breaks: u16,
    /// From the motor's start to the first break, in milliseconds.
    pub first_break_ms: Option<u32>,
}

/// Main board: what is your state? Also the poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRequest {}
message!(QueryRequest, kind::QUERY);

/// Control board: its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryAnswer {
    /// The nonce it was opened with since it has power, if any.
    pub nonce: Option<Nonce>,
    /// Its configuration.
    pub config: ConfigHash,
    /// The vend it runs, or whose result it keeps.
    pub last: Option<LastVend>,
    /// Doors, sensors, counters.
    pub status: BoardStatus,
}
message!(QueryAnswer, kind::STATUS);

/// The vend a board runs, or whose result it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVend {
    /// Its number.
    pub vend: VendId,
    /// Its state.
    pub state: VendState,
}

/// A board's doors, sensors and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardStatus {
    /// The drop sensor.
    pub sensor: SensorState,
    /// The door is open.
    pub door_open: bool,
    /// Falls outside every window since the board has power.
    pub late_drops: u32,
}

/// The drop sensor's last self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SensorState {
    /// It sees its own light and nothing else.
    Clear,
    /// Blocked, fogged or blinded: the board refuses to vend.
    Blocked,
    /// There is none.
    NotFitted,
}

/// Main board: the result of this vend is journaled; drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetRequest {
    /// The nonce of the vend.
    pub nonce: Nonce,
    /// The vend.
    pub vend: VendId,
}
message!(ForgetRequest, kind::FORGET);

/// Control board: the answer to [`ForgetRequest`]. Forgetting what is forgotten succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetAnswer {
    /// Nothing, or why it was refused.
    pub refused: Option<Refusal>,
}
message!(ForgetAnswer, kind::FORGOTTEN);
