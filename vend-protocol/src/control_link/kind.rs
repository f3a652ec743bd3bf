//! Message kinds of the control link. Below 0xC0 the main board sends them, from 0xC0 a control board does.
//!
//! Where requests share an answer, it has the number of the first of them plus 0x40.
#![allow(missing_docs, reason = "each constant is the kind of the message of that name")]

pub const IDENTIFY: u8 = 0x81;
pub const OPEN: u8 = 0x82;
pub const VEND: u8 = 0x83;
pub const QUERY: u8 = 0x84;
pub const FORGET: u8 = 0x85;
/// Answered by [`VENDING`].
pub const ABORT: u8 = 0x86;
pub const CONFIGURE: u8 = 0x87;
pub const LANES: u8 = 0x88;
pub const LANE_SCAN: u8 = 0x89;
/// Answered by [`TASK`].
pub const HOME_ALL: u8 = 0x8A;
/// Answered by [`TASK`].
pub const SELF_TEST: u8 = 0x8B;
pub const EVENTS: u8 = 0x8C;
pub const UPDATE_BEGIN: u8 = 0x8D;
/// Answered by [`UPDATE`].
pub const UPDATE_CHUNK: u8 = 0x8E;
/// Answered by [`UPDATE`].
pub const UPDATE_VERIFY: u8 = 0x8F;
/// Answered by [`UPDATE`].
pub const UPDATE_SWAP: u8 = 0x90;
/// Answered by [`UPDATE`].
pub const UPDATE_CONFIRM: u8 = 0x91;

/// The first kind that a control board sends.
pub const FIRST_OF_BOARD: u8 = 0xC0;
pub const IDENTITY: u8 = 0xC1;
pub const OPENED: u8 = 0xC2;
pub const VENDING: u8 = 0xC3;
pub const STATUS: u8 = 0xC4;
pub const FORGOTTEN: u8 = 0xC5;
pub const CONFIGURED: u8 = 0xC7;
pub const LANE_REPORTS: u8 = 0xC8;
pub const TASK: u8 = 0xC9;
pub const EVENT_LIST: u8 = 0xCC;
pub const UPDATE: u8 = 0xCD;
pub const UNSUPPORTED: u8 = 0xFF;
