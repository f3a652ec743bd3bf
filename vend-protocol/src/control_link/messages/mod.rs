//! The messages of the control link, by what they are about.

mod lanes;
mod status;
mod update;
mod vend;

use serde::{Deserialize, Serialize};

use crate::{frame::Message, outcome::open_number};

pub use lanes::{
    ConfigureAnswer, ConfigureRequest, HomeAllRequest, LaneReport, LaneScanRequest, LanesAnswer,
    LanesRequest, SelfTestRequest, TaskAnswer, TaskCode, TaskResult, TaskState,
};
pub use status::{
    BoardStatus, Event, EventCode, EventsAnswer, EventsRequest, Features, IdentifyRequest, Identity,
    NO_TEMPERATURE, QueryAnswer, QueryRequest, SensorState,
};
pub use update::{
    UpdateAnswer, UpdateBeginRequest, UpdateChunkRequest, UpdateConfirmRequest, UpdateStage,
    UpdateSwapRequest, UpdateVerifyRequest,
};
pub use vend::{
    AbortRequest, Evidence, ForgetAnswer, ForgetRequest, LastVend, OpenAnswer, OpenRequest, VendAnswer,
    VendLabel, VendLimits, VendRequest, VendResult, VendState,
};

/// A message that the main board sends, and the one that answers it.
///
/// Every request may be sent again: a board answers a repeat with its state and does nothing twice.
pub trait Request: Message {
    /// What a board answers, unless it answers [`Unsupported`].
    type Answer: Message;
}

macro_rules! message {
    ($name:ident, $kind:ident) => {
        impl $crate::frame::Message for $name {
            const KIND: u8 = $crate::control_link::kind::$kind;
            const REVISION: u8 = 1;
        }
    };
    ($name:ident, $kind:ident => $answer:ty) => {
        message!($name, $kind);
        impl $crate::control_link::Request for $name {
            type Answer = $answer;
        }
    };
}
use message;

open_number! {
    /// Why a control board did nothing.
    Refusal {
        /// A vend is running.
        RUNNING = 1 "a vend is running",
        /// The board was not opened, or with another nonce; to an opening: it was left for another nonce before.
        NONCE = 2 "another nonce",
        /// The board's configuration is another one.
        CONFIG = 3 "another configuration",
        /// The vend's number is not above the last one, and it is not the last one.
        OLD_VEND = 4 "an old vend number",
        /// There is no such lane.
        LANE = 5 "no such lane",
        /// The last result has not been forgotten yet.
        RESULT_KEPT = 6 "a result is kept",
        /// The limits are outside the board's own.
        LIMITS = 7 "limits not allowed",
        /// A task is running.
        TASK = 8 "a task is running",
        /// Its flash is being written for an update.
        UPDATE = 9 "an update is under way",
        /// The lane is disabled by the configuration.
        DISABLED = 10 "lane disabled",
        /// The lane's motor has to rest.
        COOLING_DOWN = 11 "motor resting",
        /// The vend is not the one that runs or whose result is kept.
        OTHER_VEND = 12 "another vend",
        /// A part of the configuration before this one is missing.
        PART = 13 "a part is missing",
        /// A value is outside what the board can do.
        RANGE = 14 "a value out of range",
        /// The board has no such drive.
        DRIVE = 15 "no such drive",
        /// There is no room for it.
        ROOM = 16 "no room",
        /// The update is not at this stage.
        STAGE = 17 "not at this stage",
        /// The bytes before this chunk are missing.
        OFFSET = 18 "bytes are missing",
    }
}

/// Control board: a request of a kind or revision that it does not know, or whose payload it cannot read. Nothing was done.
///
/// The master ends the exchange by it: the board will not answer otherwise however often it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsupported {
    /// Kind of the request.
    pub kind: u8,
    /// Its revision.
    pub revision: u8,
}
message!(Unsupported, UNSUPPORTED);

#[cfg(test)]
mod tests;
