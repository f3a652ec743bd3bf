//! What a machine tells of itself: telemetry, faults, security events, log lines.

use serde::{Deserialize, Serialize};

use super::message;
use crate::{
    List, SlotId, Text,
    machine_link::{LOG_MAX, SENSORS_MAX, kind},
    outcome::{open_number, open_number_u16},
};

/// Machine to server, lossy: how it is. An older one that waits is dropped for a newer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// When, in milliseconds since 1970, UTC; 0: no clock.
    pub at_ms: u64,
    /// Seconds since the main board started.
    pub uptime_s: u32,
    /// Each thermometer, in tenths of a degree Celsius.
    pub temperatures_dc: List<i16, SENSORS_MAX>,
    /// Received signal, in dBm; 0: not known.
    pub signal_dbm: i8,
    /// Motor supply, in millivolts; 0: not measured.
    pub supply_mv: u16,
    /// The door is open.
    pub door_open: bool,
    /// Vends started since the journal was formatted.
    pub vends: u32,
    /// Vends that ended otherwise than delivered.
    pub failures: u32,
    /// Connections to the server since the journal was formatted.
    pub connections: u32,
    /// Bytes of the journal that hold what is not acknowledged.
    pub journal_used: u32,
    /// Telemetry and log lines dropped since the main board started.
    pub dropped: u32,
}
message!(Telemetry, kind::TELEMETRY);

/// Machine to server: something broke, or works again. All that are raised are sent again on every connection, so that the
/// server's list is the machine's; the same number again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Rising in one journal; raising and clearing have numbers of their own.
    pub number: u32,
    /// When, in milliseconds since 1970, UTC; 0: no clock.
    pub at_ms: u64,
    /// What.
    pub code: FaultCode,
    /// The lane, if it is about one.
    pub slot: Option<SlotId>,
    /// `true`: broke. `false`: works again.
    pub raised: bool,
    /// A measured value or an inner code, for people.
    pub detail: i32,
}
message!(Fault, kind::FAULT);

open_number_u16! {
    /// What broke. Numbers below 256 are this specification's, those above are a maker's own.
    FaultCode {
        /// A dispensing motor: jammed, stalled, short.
        MOTOR = 1 "dispensing motor",
        /// A dispensing motor is not at home.
        MOTOR_HOME = 2 "dispensing motor not at home",
        /// A dispensing motor is not connected.
        MOTOR_MISSING = 3 "dispensing motor not connected",
        /// Two coupled lanes do not turn together.
        COUPLING = 4 "coupled lanes out of step",
        /// The drop sensor.
        DROP_SENSOR = 5 "drop sensor",
        /// The elevator or conveyor.
        DELIVERY = 6 "delivery system",
        /// The door the product is taken from.
        DELIVERY_DOOR = 7 "delivery door",
        /// The cabinet's door stands open.
        DOOR_OPEN = 8 "door open",
        /// Too warm for too long: nothing perishable is sold.
        HEALTH = 9 "health timer",
        /// Cooling does not cool.
        COOLING = 10 "cooling",
        /// A thermometer.
        THERMOMETER = 11 "thermometer",
        /// The motor supply.
        SUPPLY = 12 "motor supply",
        /// The control board does not answer.
        CONTROL_BOARD = 13 "control board silent",
        /// The link to the server has been bad.
        LINK = 14 "communication",
        /// The journal has failed or is full.
        JOURNAL = 15 "journal",
        /// A lane is empty.
        EMPTY = 16 "lane empty",
        /// The machine is locked after too many failures.
        OUT_OF_SERVICE = 17 "out of service",
    }
}

impl FaultCode {
    /// The event code of EVA-DTS 6.1.1 for reports in that format; `None` where that standard has none that fits.
    ///
    /// ```
    /// use vend_protocol::machine_link::FaultCode;
    /// assert_eq!(FaultCode::DROP_SENSOR.eva_dts(), Some("EJL"));
    /// assert_eq!(FaultCode(300).eva_dts(), None); // a maker's own
    /// ```
    pub const fn eva_dts(self) -> Option<&'static str> {
        Some(match self {
            Self::MOTOR | Self::MOTOR_HOME | Self::MOTOR_MISSING | Self::COUPLING => "EJB",
            Self::DROP_SENSOR => "EJL",
            Self::DELIVERY => "EJM",
            Self::DELIVERY_DOOR => "EJG",
            Self::DOOR_OPEN => "OBB",
            Self::HEALTH => "EJH",
            Self::COOLING | Self::THERMOMETER => "EJJ",
            Self::LINK => "EIK",
            Self::EMPTY => "OBC",
            _ => return None,
        })
    }
}

/// Machine to server: somebody tried something. Sent on each connection until [`Noted`] names its kind and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityEvent {
    /// Rising in one journal.
    pub number: u32,
    /// When, in milliseconds since 1970, UTC; 0: no clock.
    pub at_ms: u64,
    /// What.
    pub code: SecurityCode,
    /// How often since the last event of this code.
    pub count: u16,
}
message!(SecurityEvent, kind::SECURITY_EVENT);

open_number! {
    /// What somebody tried.
    SecurityCode {
        /// A signed message did not verify.
        SIGNATURE = 1 "a bad signature",
        /// A message of an open session was not authentic.
        FORGED = 2 "a forged message",
        /// The server's time went back, or the answer to a hello came too late.
        CLOCK = 3 "a wrong clock",
        /// The cabinet's door was opened without a service grant.
        DOOR = 4 "door opened without a grant",
        /// A firmware image did not verify.
        IMAGE = 5 "a bad firmware image",
        /// A key list was not the root's, or older than the present one.
        KEY_LIST = 6 "a bad key list",
        /// A command without the grant it needs.
        COMMAND = 7 "a command without a grant",
        /// The journal was found altered.
        JOURNAL = 8 "an altered journal",
    }
}

/// Server to machine: the message of this kind with this number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Of a [`super::StockReport`], [`SecurityEvent`], [`super::CommandResult`] or [`super::UpdateVerdict`].
    pub kind: u8,
    /// Its number or identifier.
    pub number: u64,
}
message!(Noted, kind::NOTED);

/// Machine to server, lossy: a line of its log, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Milliseconds since the main board started.
    pub uptime_ms: u64,
    /// How bad.
    pub level: LogLevel,
    /// Where from.
    pub module: Text<16>,
    /// What; never a key, a code or a customer's data.
    pub text: Text<LOG_MAX>,
}
message!(LogLine, kind::LOG_LINE);

open_number! {
    /// How bad a log line is.
    LogLevel {
        /// Something failed.
        ERROR = 1 "error",
        /// Something is odd.
        WARN = 2 "warning",
        /// Something happened.
        INFO = 3 "info",
        /// A detail.
        DEBUG = 4 "debug",
    }
}
