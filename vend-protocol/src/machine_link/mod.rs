//! The machine link: between a machine's main board and the server.
//!
//! Ordered while connected, no timed resends on a live connection. A connection begins with the machine's hello; after the
//! server's *accepted* every message is sealed, and each side sends everything that the other has not acknowledged, in order.
//! Over MQTT the machine publishes to `vend/<machine>/up` and is subscribed to `vend/<machine>/down`, one frame a publish.
//!
//! [`MachineSession`] and [`ServerSession`] are the two ends; `docs/spec/wire.md` says the same for who writes C.

mod channel;
pub mod kind;
mod machine;
mod messages;
mod outbox;
mod seal;
mod server;
#[cfg(test)]
mod tests;
mod window;

pub use channel::{Channel, End, LinkError, Received, dangerous_unverified};
pub use machine::{MachineEvent, MachineSession};
pub use messages::*;
pub use outbox::{Class, OutboxFull};
pub use seal::{MAC_LEN, Seal};
pub use server::{ServerEvent, ServerSession};
pub use window::{Chained, ChainedKind, MoneyCursor, Next};

use crate::frame::Message;

const RECEIPT_REVISION: u8 = <Receipt as Message>::REVISION;
const AMENDMENT_REVISION: u8 = <Amendment as Message>::REVISION;

/// The header's first byte of a frame that carries no code: the handshake, and what goes over HTTP.
pub const PLAIN: u8 = 0;
/// The header's first byte of a frame that ends with a code of [`MAC_LEN`] bytes before the checksum.
pub const SEALED: u8 = 1;
/// Bytes of a product's name on the wire.
pub const NAME_MAX: usize = 48;
/// Planogram entries in one message.
pub const PLAN_PART_ENTRIES: usize = 8;
/// Lanes in one message of a configuration.
pub const LANE_PART_ENTRIES: usize = 8;
/// Slots in one message about stock.
pub const STOCK_ENTRIES: usize = 16;
/// Thermometers of a machine.
pub const SENSORS_MAX: usize = 4;
/// Bytes of what a QR code says.
pub const CODE_MAX: usize = 256;
/// Bytes of a log line.
pub const LOG_MAX: usize = 120;
/// Bytes of firmware in one message.
pub const CHUNK_MAX: usize = 512;
/// A machine's answer to *prepare* later than this is no answer, in milliseconds.
pub const PREPARE_TIMEOUT_MS: u64 = 3_000;
/// A hello whose answer took longer gives no trusted time, in milliseconds.
pub const HELLO_ROUND_TRIP_MAX_MS: u64 = 10_000;
/// The machine asks for the time again after this long, in milliseconds.
pub const TIME_RENEWAL_MS: u64 = 6 * 3_600_000;
/// A machine waits no longer than this before its next hello, whatever an unsigned answer says, in seconds.
pub const RETRY_MAX_S: u16 = 600;
/// A machine asks for a chunk of firmware again after this long, in milliseconds.
pub const CHUNK_AGAIN_MS: u64 = 10_000;
/// Receipts and amendments that may be on their way unacknowledged.
pub const WINDOW: usize = 8;

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
