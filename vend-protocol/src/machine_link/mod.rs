//! The machine link: between a machine's main board and the server.
//!
//! Ordered while connected, no timed resends on a live connection. A connection begins with the machine's hello; after the
//! server's *accepted* each side sends everything that the other has not acknowledged, in order.
//! Over MQTT the machine publishes to `vend/<machine>/up` and is subscribed to `vend/<machine>/down`, one frame a publish.

mod messages;
mod session;

pub use messages::{
    Accepted, Acknowledgement, Authorization, Busy, Claim, ClaimGranted, Hello, LateDrop, PlanApplied,
    PlanEntry, PlanPart, Prepare, PrepareLine, Readiness, Ready, Receipt, Rejected, Settled, Taken,
    Unsupported, Void, kind,
};
pub use session::{End, Received, Session, SessionError};

/// Bytes of a product's name on the wire.
pub const NAME_MAX: usize = 48;
/// Planogram entries in one message.
pub const PLAN_PART_ENTRIES: usize = 8;
/// A machine's answer to *prepare* later than this is no answer, in milliseconds.
pub const PREPARE_TIMEOUT_MS: u64 = 3_000;
/// A hello whose answer took longer gives no trusted time, in milliseconds.
pub const HELLO_ROUND_TRIP_MAX_MS: u64 = 10_000;
/// The machine says hello again on a live connection after this long, to renew its time, in milliseconds.
pub const TIME_RENEWAL_MS: u64 = 6 * 3_600_000;

/// The topic a machine publishes to, without an allocation: give it to `write!` or `format!`.
pub fn up_topic(machine: crate::MachineId) -> impl core::fmt::Display {
    Topic(machine, "up")
}

/// The topic a machine is subscribed to.
pub fn down_topic(machine: crate::MachineId) -> impl core::fmt::Display {
    Topic(machine, "down")
}

struct Topic(crate::MachineId, &'static str);

impl core::fmt::Display for Topic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "vend/{}/{}", self.0, self.1)
    }
}
