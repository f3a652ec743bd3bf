//! The control link: between the main board and its control boards.
//!
//! The main board is the master: it asks, and the addressed board answers within [`ANSWER_MS`] with the same sequence. A board
//! never speaks unasked. Every request may be sent again: a board answers a repeat with its state and starts nothing twice.

pub mod kind;
mod master;
mod messages;

pub use master::{Answer, Exchange, Master, answer};
pub use messages::*;

/// The address of the first control board.
pub const FIRST_ADDRESS: u8 = 1;
/// The highest address of a control board.
pub const LAST_ADDRESS: u8 = 247;
/// A board answers within this, in milliseconds.
pub const ANSWER_MS: u64 = 10;
/// The master asks again after this long without an answer, in milliseconds.
pub const RESEND_MS: u64 = 50;
/// The master polls this often while a vend runs, in milliseconds.
pub const POLL_VENDING_MS: u64 = 50;
/// The master polls this often otherwise, in milliseconds.
pub const POLL_IDLE_MS: u64 = 200;
/// A task ends by itself within this, in milliseconds.
pub const TASK_MAX_MS: u64 = 600_000;
/// New firmware of a board that was not confirmed for this long after its start is left for the old one, in milliseconds.
pub const TRIAL_MS: u64 = 300_000;
/// Lanes in one answer.
pub const LANE_REPORTS_MAX: usize = 16;
/// Thermometers of a board.
pub const THERMOMETERS_MAX: usize = 4;
/// Events in one answer.
pub const EVENTS_MAX: usize = 8;
/// Bytes of firmware in one message.
pub const CHUNK_MAX: usize = 192;
