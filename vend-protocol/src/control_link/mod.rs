//! The control link: between the main board and a control board.
//!
//! The main board is the master: it asks, and the addressed board answers within [`ANSWER_MS`] with the same sequence.
//! Every request may be sent again: a board answers a repeat with its state and starts nothing twice.

mod master;
mod messages;

pub use master::{Answer, Exchange, Master, answer};
pub use messages::{
    BoardStatus, Evidence, ForgetAnswer, ForgetRequest, IdentifyRequest, Identity, LastVend, OpenAnswer,
    OpenRequest, QueryAnswer, QueryRequest, Refusal, SensorState, VendAnswer, VendLabel, VendLimits,
    VendRequest, VendResult, VendState, kind,
};

/// The address of the first control board.
pub const FIRST_ADDRESS: u8 = 1;
/// A board answers within this, in milliseconds.
pub const ANSWER_MS: u64 = 10;
/// The master asks again after this long without an answer, in milliseconds.
pub const RESEND_MS: u64 = 50;
/// The master polls this often while a vend runs, in milliseconds.
pub const POLL_VENDING_MS: u64 = 50;
/// The master polls this often otherwise, in milliseconds.
pub const POLL_IDLE_MS: u64 = 200;
