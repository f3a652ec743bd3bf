//! What a board is, how it is, and what happened to it.

use serde::{Deserialize, Serialize};

use super::{LastVend, message};
use crate::{
    ConfigHash, List, Nonce, SlotId, Text,
    control_link::{EVENTS_MAX, THERMOMETERS_MAX},
    machine_link::FaultCode,
    outcome::open_number,
};

/// What a thermometer that is missing or broken says, in [`BoardStatus::temperatures_dc`].
pub const NO_TEMPERATURE: i16 = i16::MIN;

/// Main board: who are you?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifyRequest {}
message!(IdentifyRequest, IDENTIFY => Identity);

/// Control board: its identity. It stays the same until the board starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its lanes: 1 to this number exist.
    pub lanes: u16,
    /// No vend runs longer than this, in milliseconds.
    pub max_vend_ms: u32,
    /// The longest frame it takes, in bytes before COBS: at most [`crate::frame::CONTROL_FRAME_MAX`].
    pub frame_max: u16,
    /// What is fitted, and what it can do.
    pub features: Features,
    /// The version of the image that runs, as in its [`crate::signed::Image`]; 0: it was put in otherwise.
    pub version: u32,
    /// Its firmware, for people.
    pub firmware: Text<24>,
    /// The hardware that an update must be for: [`crate::signed::ManifestBody::hardware`].
    pub hardware: Text<24>,
    /// Its serial number; empty: it has none.
    pub serial: Text<24>,
}
message!(Identity, IDENTITY);

/// What a board has and can do: a bit each. Bits that are not listed here are a newer board's, and carried on.
///
/// A board answers a request that it cannot serve with [`super::Unsupported`], whatever its bits say.
///
/// ```
/// use vend_protocol::control_link::Features;
/// let board = Features::DROP_SENSOR.with(Features::ABORT);
/// assert!(board.contains(Features::ABORT));
/// assert!(!board.contains(Features::ABORT.with(Features::UPDATE)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(pub u32);

impl Features {
    /// A drop sensor is fitted.
    pub const DROP_SENSOR: Self = Self(1 << 0);
    /// A door contact is fitted.
    pub const DOOR_CONTACT: Self = Self(1 << 1);
    /// It measures motor current.
    pub const CURRENT_SENSE: Self = Self(1 << 2);
    /// It measures the motor supply.
    pub const SUPPLY_SENSE: Self = Self(1 << 3);
    /// It has a thermometer.
    pub const THERMOMETER: Self = Self(1 << 4);
    /// It has inputs of the maker's own.
    pub const INPUTS: Self = Self(1 << 5);
    /// It serves [`super::AbortRequest`].
    pub const ABORT: Self = Self(1 << 8);
    /// It serves [`super::ConfigureRequest`].
    pub const CONFIGURE: Self = Self(1 << 9);
    /// It serves [`super::LanesRequest`].
    pub const LANES: Self = Self(1 << 10);
    /// It serves [`super::LaneScanRequest`].
    pub const LANE_SCAN: Self = Self(1 << 11);
    /// It serves [`super::HomeAllRequest`].
    pub const HOME_ALL: Self = Self(1 << 12);
    /// It serves [`super::SelfTestRequest`].
    pub const SELF_TEST: Self = Self(1 << 13);
    /// It serves [`EventsRequest`].
    pub const EVENTS: Self = Self(1 << 14);
    /// It serves the requests of an update.
    pub const UPDATE: Self = Self(1 << 15);

    /// These and those.
    #[must_use]
    pub const fn with(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    /// Whether all of those are among these.
    pub const fn contains(self, those: Self) -> bool {
        self.0 & those.0 == those.0
    }
}

/// Main board: what is your state? Also the poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRequest {}
message!(QueryRequest, QUERY => QueryAnswer);

/// Control board: its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryAnswer {
    /// The nonce it was opened with since it has power, if any.
    pub nonce: Option<Nonce>,
    /// The configuration in force.
    pub config: ConfigHash,
    /// The vend it runs, or whose result it keeps.
    pub last: Option<LastVend>,
    /// Doors, sensors, counters.
    pub status: BoardStatus,
}
message!(QueryAnswer, STATUS);

/// A board's doors, sensors and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardStatus {
    /// Drawn when the board starts, and another one than before: its counters and event numbers begin anew with it.
    pub boot: u32,
    /// The drop sensor.
    pub sensor: SensorState,
    /// The door is open. A board without a contact says `false`.
    pub door_open: bool,
    /// Falls outside every window since the board started; wraps.
    pub late_drops: u32,
    /// The faults that are there now: bit n is [`FaultCode`] n, for 1 to 31. Which lane, [`super::LanesRequest`] tells.
    pub faults: u32,
    /// Inputs of the maker's own, a bit each.
    pub inputs: u16,
    /// Each thermometer, in tenths of a degree Celsius; [`NO_TEMPERATURE`] for one that does not measure.
    pub temperatures_dc: List<i16, THERMOMETERS_MAX>,
    /// The motor supply, in millivolts; 0: not measured.
    pub supply_mv: u16,
    /// The number of the newest event; 0: none since the board started.
    pub newest_event: u32,
}

open_number! {
    /// The drop sensor's last self-test. A board vends in the first two states only; one that is not listed is a fault.
    SensorState {
        /// It sees its own light and nothing else.
        CLEAR = 0 "clear",
        /// There is none.
        NOT_FITTED = 1 "not fitted",
        /// It has not been tested since the board started.
        UNTESTED = 2 "not tested",
        /// Blocked, fogged or dead: its light does not arrive.
        BLOCKED = 3 "blocked",
        /// Blinded: it sees light that is not its own.
        BLINDED = 4 "blinded",
        /// It could not be switched or read.
        FAULT = 5 "fault",
    }
}

/// Main board: what happened? A board speaks only when it is asked, so it keeps what happened until it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsRequest {
    /// The [`BoardStatus::boot`] that `after` is of. If the board has another one by now, it drops nothing and sends from its
    /// oldest.
    pub boot: u32,
    /// The main board has the events up to this number: the board drops them and sends those above.
    pub after: u32,
}
message!(EventsRequest, EVENTS => EventsAnswer);

/// Control board: what happened, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsAnswer {
    /// The numbers are of this [`BoardStatus::boot`].
    pub boot: u32,
    /// Milliseconds since the board started, now; wraps.
    pub uptime_ms: u32,
    /// The events.
    pub events: List<Event, EVENTS_MAX>,
    /// There are more behind them.
    pub more: bool,
}
message!(EventsAnswer, EVENT_LIST);

/// Something that happened on a control board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rising from 1 since the board started.
    pub number: u32,
    /// When, in milliseconds since the board started; wraps.
    pub uptime_ms: u32,
    /// What.
    pub code: EventCode,
    /// The fault, for the two codes that are about one; else 0.
    pub fault: FaultCode,
    /// The lane, if it is about one.
    pub lane: Option<SlotId>,
    /// A number that goes with it: see the codes.
    pub value: i32,
}

open_number! {
    /// What happened.
    EventCode {
        /// The board started. The number is the maker's code for why.
        STARTED = 1 "started",
        /// So many events were lost because nobody fetched them: the newest are, and counted here once there is room.
        OVERFLOW = 2 "events lost",
        /// Something fell outside every window. The number is that of the vend before it; 0: none since the board started.
        LATE_DROP = 3 "late drop",
        /// The door was opened.
        DOOR_OPENED = 4 "door opened",
        /// The door was closed.
        DOOR_CLOSED = 5 "door closed",
        /// A thermometer left its limits. The number is the temperature in tenths of a degree Celsius.
        TEMPERATURE = 6 "temperature limit",
        /// An input changed. The number is [`BoardStatus::inputs`] after it.
        INPUTS = 7 "input changed",
        /// Something broke. The number is a measured value or an inner code.
        FAULT_RAISED = 8 "fault raised",
        /// It works again.
        FAULT_CLEARED = 9 "fault cleared",
    }
}
