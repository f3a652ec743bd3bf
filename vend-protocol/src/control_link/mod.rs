//! The control link: between the main board and its control boards.
//!
//! The main board is the master: it asks, and the addressed board answers within [`ANSWER_MS`] with the same sequence. A board
//! never speaks unasked. Every request may be sent again: a board answers a repeat with its state and starts nothing twice.

mod board;
mod board_link;
mod events;
mod gate;
pub mod kind;
mod line;
mod master;
mod messages;
mod polls;
mod vend;

pub use board::{BoardHandler, BoardSession};
pub use board_link::{BoardLink, STATUS_MAX_AGE_MS};
pub use events::{EventCursor, EventLog, Occurrence};
pub use gate::{BEGIN_WITHIN_MS, VendGate};
pub use line::{AskError, Line};
pub use master::{Master, NoAnswer, Reply};
pub use messages::*;
pub use polls::{Polls, SILENT_POLL_MAX_MS};
pub use vend::{VendEnd, VendEvent, VendOrder};

/// The address of the first control board.
pub const FIRST_ADDRESS: u8 = 1;
/// The highest address of a control board.
pub const LAST_ADDRESS: u8 = 247;
/// A board answers within this, in milliseconds.
pub const ANSWER_MS: u64 = 10;
/// The master asks again after this long without an answer, in milliseconds.
pub const RESEND_MS: u64 = 50;
/// The master sends a request so often before the board counts as silent.
pub const SENDS: u8 = 6;
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
/// The longest frame on the line, in bytes: COBS-coded, with both delimiters.
pub const LINE_MAX: usize = crate::cobs::line_len(crate::frame::CONTROL_FRAME_MAX);
