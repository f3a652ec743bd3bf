//! What became of a vend, as the hardware saw it: facts, not a verdict.

/// A lane of one control board, counted from 0.
///
/// Which slot of the planogram a lane serves is the machine's business, not the board's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(u8);

impl LaneId {
    /// The lane with this index.
    pub const fn new(index: u8) -> Self {
        Self(index)
    }

    /// The index, from 0.
    pub const fn index(self) -> u8 {
        self.0
    }
}

/// Whether a vend began to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// No motor was switched on. Nothing can have been released.
    NotStarted(NotStarted),
    /// The motor was switched on, or may have been.
    Started,
}

/// Why a vend did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotStarted {
    /// Something stands in the beam, or fog dims it: with the emitter on, the receiver saw nothing.
    SensorBlocked,
    /// The receiver reports light with the emitter off: sunlight, or a broken receiver.
    SensorFalsing,
    /// A pin of the drop sensor could not be read or written.
    SensorPins,
    /// An interlock (the door, the delivery bin) forbids motion.
    Interlock,
    /// The home switch could not be read.
    HomeSwitch,
    /// The coil rests between homes and the limits demand that it start at home.
    NotHomed,
    /// The motor's output could not be brought to a known off state.
    Drive,
    /// The board has no such lane.
    NoSuchLane,
    /// The board accepted it and could not begin in time, so it never will.
    TooLate,
    /// A reason this version has no name for, from a newer peer.
    Other(u8),
}

/// How the motor fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MotorCode {
    /// It did what was asked, or was never started for a reason that is not the motor's.
    Ok,
    /// No current flowed: a broken wire or a missing motor.
    OpenLoad,
    /// The current stayed above the limit: the coil is jammed.
    OverCurrent,
    /// The current went far above the limit at once.
    Short,
    /// The home switch did not open in time.
    TimeoutLeavingHome,
    /// The home switch opened, or was open, and did not close in time.
    TimeoutReturningHome,
    /// It was to start at home and was not there.
    NotHomed,
    /// An interlock opened, before or during motion.
    Interlock,
    /// The output, the home switch or the current sense failed as a device: motion could not be supervised.
    Drive,
    /// A code this version has no name for, from a newer peer.
    Other(u8),
}

/// What the drop sensor says of the vend's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReport {
    /// Something passed the sensor inside the window.
    Seen,
    /// The sensor worked and nothing passed.
    NotSeen,
    /// The lane has no drop sensor.
    NotFitted,
    /// The sensor cannot be believed: it failed its test, or stayed dark longer than anything takes to fall.
    SensorFault,
}

/// Measurements behind an [`Outcome`], for the journal and the technician. Nothing is decided by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How long the motor was on, all turns together, in milliseconds.
    pub run_ms: u32,
    /// Highest current measured, in milliamperes; `None` without a current sense.
    pub peak_current_ma: Option<u16>,
    /// How often something passed the sensor inside the window. Stays at 255.
    pub beam_breaks: u8,
    /// When it first did, in milliseconds after the motor was switched on.
    pub first_break_ms: Option<u32>,
    /// How often something passed after the vend began but before the window opened: a late fall of the sale
    /// before. Stays at 255.
    pub early_breaks: u8,
    /// How many extra quarter turns were begun.
    pub extra_quarter_turns: u8,
}

/// What became of one vend.
///
/// ```
/// use vend_hal::{Attempt, DropReport, MotorCode, NotStarted, Outcome};
///
/// let outcome = Outcome::not_started(NotStarted::SensorBlocked);
/// assert_eq!(outcome.attempt, Attempt::NotStarted(NotStarted::SensorBlocked));
/// assert_eq!(outcome.motor, MotorCode::Ok);
/// assert_eq!(outcome.drop, DropReport::SensorFault);
/// ```
#[must_use = "an outcome is the only account of what a motor did"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it began.
    pub attempt: Attempt,
    /// How the motor fared.
    pub motor: MotorCode,
    /// What the drop sensor saw.
    pub drop: DropReport,
    /// The motion was cut short from outside and the rest of this record may be incomplete.
    pub interrupted: bool,
    /// The measurements.
    pub evidence: Evidence,
}

impl Outcome {
    /// A vend that never moved.
    pub const fn not_started(reason: NotStarted) -> Self {
        let motor = match reason {
            NotStarted::Interlock => MotorCode::Interlock,
            NotStarted::NotHomed => MotorCode::NotHomed,
            NotStarted::HomeSwitch | NotStarted::Drive => MotorCode::Drive,
            _ => MotorCode::Ok,
        };
        let drop = match reason {
            NotStarted::SensorBlocked | NotStarted::SensorFalsing | NotStarted::SensorPins => {
                DropReport::SensorFault
            }
            _ => DropReport::NotSeen,
        };
        Self {
            attempt: Attempt::NotStarted(reason),
            motor,
            drop,
            interrupted: false,
            evidence: Evidence::EMPTY,
        }
    }

    /// A vend that was cut short from outside after it may have moved.
    ///
    /// Says nothing about the product: `drop` is [`DropReport::SensorFault`], since nobody watched to the end.
    pub const fn interrupted() -> Self {
        Self {
            attempt: Attempt::Started,
            motor: MotorCode::Ok,
            drop: DropReport::SensorFault,
            interrupted: true,
            evidence: Evidence::EMPTY,
        }
    }

    /// Whether a motor may have moved.
    pub const fn started(&self) -> bool {
        matches!(self.attempt, Attempt::Started)
    }
}

impl Evidence {
    /// No measurements.
    pub const EMPTY: Self = Self {
        run_ms: 0,
        peak_current_ma: None,
        beam_breaks: 0,
        first_break_ms: None,
        early_breaks: 0,
        extra_quarter_turns: 0,
    };
}
