//! What became of a line, and the one function that judges it.

use serde::{Deserialize, Serialize};

macro_rules! open_number_of {
    ($int:ty, $(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        ///
        /// An open number: a newer peer may send one that is not listed here, and it is carried faithfully.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[$vdoc])* pub const $variant: Self = Self($number);)*

            /// In words, for people.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "unlisted",
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.text())
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({}: {})", stringify!($name), self.0, self.text())
            }
        }
    };
}

/// An open number of one byte.
macro_rules! open_number {
    ($($rest:tt)*) => { $crate::outcome::open_number_of! { u8, $($rest)* } };
}

/// An open number of two bytes.
macro_rules! open_number_u16 {
    ($($rest:tt)*) => { $crate::outcome::open_number_of! { u16, $($rest)* } };
}
pub(crate) use open_number;
pub(crate) use open_number_of;
pub(crate) use open_number_u16;

open_number! {
    /// Why a line was not started, or a machine is not ready.
    Reason {
        /// The deadline passed before the line's turn.
        EXPIRED = 1 "expired",
        /// The machine is locked or out of service.
        LOCKED = 2 "locked",
        /// Plan version, product, slot or price differ from the machine's planogram.
        PLAN = 3 "plan mismatch",
        /// The drop sensor is blocked or failed its self-test.
        SENSOR = 4 "drop sensor blocked",
        /// The motor supply is below its limit.
        SUPPLY = 5 "motor supply low",
        /// The main board restarted before the line's turn.
        INTERRUPTED = 6 "interrupted",
        /// The server voided the authorization.
        VOIDED = 7 "voided",
        /// The control board does not answer.
        BOARD = 8 "control board silent",
        /// The control board refused the vend.
        REFUSED = 9 "refused by the control board",
        /// There is no such lane, or it is disabled.
        LANE = 10 "no such lane",
        /// The door is open.
        DOOR = 11 "door open",
        /// An order is being vended.
        BUSY = 12 "busy",
        /// The journal has no room until receipts are acknowledged.
        JOURNAL = 13 "journal full",
        /// The machine has no trusted time yet.
        CLOCK = 14 "no clock",
        /// An earlier line's vend ended in a way that forbids another motor start.
        EARLIER_LINE = 15 "earlier line unknown",
    }
}

open_number! {
    /// How the motor ended.
    MotorCode {
        /// It ran its program and is at rest.
        OK = 0 "ok",
        /// No current: a broken wire, or no motor.
        OPEN_LOAD = 1 "open load",
        /// Current over its limit: stalled.
        OVER_CURRENT = 2 "over-current",
        /// A short circuit.
        SHORT = 3 "short circuit",
        /// It did not leave the home position in time.
        TIMEOUT_LEAVING = 4 "did not leave home",
        /// It did not come home in time.
        TIMEOUT_RETURNING = 5 "did not return home",
        /// It was not at home and could not be brought there.
        NOT_HOMED = 6 "not homed",
        /// An interlock stopped it.
        INTERLOCK = 7 "interlock",
        /// It could not be driven or supervised: its output, home switch or current sense failed.
        DRIVE = 8 "drive, home switch or current sense failed",
        /// The main board ended it before its time.
        ABORTED = 9 "aborted",
    }
}

/// What the drop sensor saw in the vend's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DropReport {
    /// Something fell.
    Seen,
    /// Nothing fell.
    NotSeen,
    /// The lane has no sensor, and the operator allows sales without one.
    NotFitted,
    /// The sensor failed during the vend.
    SensorFault,
}

/// Whether the vend was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Start {
    /// No motion took place.
    NotStarted(Reason),
    /// The motor was switched on, or may have been.
    Started,
}

/// What became of a line, as facts. [`Outcome::verdict`] judges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the vend was started.
    pub start: Start,
    /// How the motor ended.
    pub motor: MotorCode,
    /// What the sensor saw.
    pub drop: DropReport,
    /// The end was not witnessed: a board lost power or the link while the vend ran.
    pub interrupted: bool,
}

impl Outcome {
    /// A line that was not started.
    pub const fn not_started(reason: Reason) -> Self {
        Self {
            start: Start::NotStarted(reason),
            motor: MotorCode::OK,
            drop: DropReport::NotSeen,
            interrupted: false,
        }
    }

    /// A line whose vend was, or may have been, started and whose end nobody witnessed.
    pub const fn unwitnessed() -> Self {
        Self { start: Start::Started, motor: MotorCode::OK, drop: DropReport::NotSeen, interrupted: true }
    }

    /// The verdict: the only place where facts become a judgement, shared by machine and server.
    ///
    /// ```
    /// use vend_protocol::{DropReport, MotorCode, Outcome, Start, Verdict};
    /// let outcome = Outcome { start: Start::Started, motor: MotorCode::OVER_CURRENT, drop: DropReport::Seen, interrupted: false };
    /// assert_eq!(outcome.verdict(), Verdict::Delivered); // the motor stalled, but the product fell
    /// ```
    pub const fn verdict(self) -> Verdict {
        match (self.start, self.drop) {
            (Start::NotStarted(_), _) => Verdict::NotAttempted,
            // A fall that was seen stays seen, whatever happened to the boards afterwards.
            (Start::Started, DropReport::Seen) => Verdict::Delivered,
            (Start::Started, _) if self.interrupted => Verdict::Unknown,
            (Start::Started, DropReport::SensorFault) => Verdict::SensorFault,
            (Start::Started, DropReport::NotFitted) if self.motor.0 == MotorCode::OK.0 => Verdict::Unverified,
            (Start::Started, DropReport::NotFitted | DropReport::NotSeen) => Verdict::NotDelivered,
        }
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The sensor saw the product fall.
    Delivered,
    /// The mechanism completed and no sensor is fitted.
    Unverified,
    /// It did not fall.
    NotDelivered,
    /// The vend was not started.
    NotAttempted,
    /// Interrupted: nobody can say.
    Unknown,
    /// The sensor failed during the vend.
    SensorFault,
}

impl Verdict {
    /// Whether the line's money stays with the operator. All others are refunded.
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Delivered | Self::Unverified)
    }

    /// Whether the machine could not know.
    pub const fn is_doubtful(self) -> bool {
        matches!(self, Self::Unknown | Self::SensorFault)
    }
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Delivered => "delivered",
            Self::Unverified => "unverified",
            Self::NotDelivered => "not delivered",
            Self::NotAttempted => "not attempted",
            Self::Unknown => "unknown",
            Self::SensorFault => "sensor fault",
        })
    }
}
