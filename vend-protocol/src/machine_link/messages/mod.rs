//! The messages of the machine link, by what they are about.

mod commands;
mod config;
mod events;
mod handshake;
mod plan;
mod sale;
mod selection;
mod update;

pub use commands::{Action, Command, CommandResult, CommandStatus};
pub use config::{
    CabinetConfig, ConfigApplied, ConfigRefusal, DeviceConfig, DriveKind, FailurePolicy, LaneConfig,
    LaneConfigPart, SensorPolicy,
};
pub use events::{Fault, FaultCode, LogLevel, LogLine, Noted, SecurityCode, SecurityEvent, Telemetry};
pub use handshake::{
    Accepted, Claim, ClaimGranted, Clock, ClockRequest, Hello, KeyList, KeyListApplied, Pending, Rejected,
    Rejection, Unsupported,
};
pub use plan::{PlanApplied, PlanEntry, PlanPart, StockCause, StockCount, StockEntry, StockReport, StockSet};
pub use sale::{
    Acknowledgement, Amendment, Authorization, Busy, LateDrop, Prepare, PrepareLine, Readiness, Ready,
    Receipt, Settled, Taken, Void,
};
pub use selection::{CodeEnd, HideCode, OrderCancel, OrderRequest, Quote, QuoteAnswer, ShowCode};
pub use update::{Chunk, ChunkRequest, ImageName, UpdateOffer, UpdateStatus, UpdateVerdict};

macro_rules! message {
    ($name:ident, $kind:expr) => {
        impl $crate::frame::Message for $name {
            const KIND: u8 = $kind;
            const REVISION: u8 = 1;
        }
    };
}
pub(super) use message;
