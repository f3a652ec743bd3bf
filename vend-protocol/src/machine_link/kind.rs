//! Message kinds of the machine link. Below 0x40 a machine sends them, from 0x40 the server does; *unsupported* goes both ways.
#![allow(missing_docs, reason = "each constant is the kind of the message of that name")]

pub const HELLO: u8 = 0x01;
pub const READY: u8 = 0x02;
pub const TAKEN: u8 = 0x03;
pub const RECEIPT: u8 = 0x04;
pub const SETTLED: u8 = 0x05;
pub const BUSY: u8 = 0x06;
pub const PLAN_APPLIED: u8 = 0x07;
pub const LATE_DROP: u8 = 0x08;
pub const CLAIM: u8 = 0x09;
pub const AMENDMENT: u8 = 0x0A;
pub const ORDER_REQUEST: u8 = 0x0B;
pub const ORDER_CANCEL: u8 = 0x0C;
pub const CONFIG_APPLIED: u8 = 0x0D;
pub const STOCK_REPORT: u8 = 0x0E;
pub const TELEMETRY: u8 = 0x0F;
pub const FAULT: u8 = 0x10;
pub const SECURITY_EVENT: u8 = 0x11;
pub const LOG_LINE: u8 = 0x12;
pub const COMMAND_RESULT: u8 = 0x13;
pub const CHUNK_REQUEST: u8 = 0x14;
pub const UPDATE_VERDICT: u8 = 0x15;
pub const KEY_LIST_APPLIED: u8 = 0x16;
pub const CLOCK_REQUEST: u8 = 0x17;
pub const UNSUPPORTED: u8 = 0x3F;

/// The first kind that the server sends.
pub const FIRST_OF_SERVER: u8 = 0x40;
pub const ACCEPTED: u8 = 0x41;
pub const REJECTED: u8 = 0x42;
pub const PREPARE: u8 = 0x43;
pub const AUTHORIZATION: u8 = 0x44;
pub const VOID: u8 = 0x45;
pub const ACKNOWLEDGEMENT: u8 = 0x46;
pub const PLAN_PART: u8 = 0x47;
pub const CLAIM_GRANTED: u8 = 0x48;
pub const PENDING: u8 = 0x49;
pub const QUOTE: u8 = 0x4A;
pub const SHOW_CODE: u8 = 0x4B;
pub const HIDE_CODE: u8 = 0x4C;
pub const DEVICE_CONFIG: u8 = 0x4D;
pub const LANE_CONFIG_PART: u8 = 0x4E;
pub const STOCK_SET: u8 = 0x4F;
pub const NOTED: u8 = 0x50;
pub const COMMAND: u8 = 0x51;
pub const UPDATE_OFFER: u8 = 0x52;
pub const CHUNK: u8 = 0x53;
pub const KEY_LIST: u8 = 0x54;
pub const CLOCK: u8 = 0x55;

/// Whether the kind passes before the session is open, unsealed, and only then.
pub const fn is_handshake(kind: u8) -> bool {
    matches!(kind, HELLO | ACCEPTED | REJECTED | PENDING)
}

/// Whether the kind passes on a session that is open (sealed) or not yet (plain). A key list does both: a machine that slept
/// through a rotation cannot verify an *accepted* before it has the newest list, and a list needs no code, since the root signed
/// it and its version only rises.
pub const fn passes(kind: u8, sealed: bool) -> bool {
    kind == KEY_LIST || is_handshake(kind) != sealed
}

/// Whether the kind moves money or product: it is sent only in a revision that the other end listed.
pub const fn is_money(kind: u8) -> bool {
    matches!(kind, RECEIPT | AMENDMENT | AUTHORIZATION | VOID | ACKNOWLEDGEMENT)
}

/// Whether this crate has a message of this kind and revision.
pub const fn is_known(kind: u8, revision: u8) -> bool {
    revision == 1 && matches!(kind, HELLO..=CLOCK_REQUEST | UNSUPPORTED | ACCEPTED..=CLOCK)
}
