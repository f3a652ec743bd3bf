#![doc = include_str!("../README.md")]
#![no_std]
// Whether futures must be `Send` is the executor's business, and the executors of control boards are single-threaded.
#![allow(async_fn_in_trait)]

#[cfg(feature = "sim")]
extern crate std;

mod adc;
mod board;
mod drop_sensor;
mod interlock;
mod limits;
mod mechanism;
mod outcome;
mod pin;
#[cfg(feature = "sim")]
pub mod sim;
mod spiral;
mod time;

pub use adc::{Adc, CurrentSense, CurrentSenseFault, NoCurrentSense, SharedAdcError, Shunt};
pub use board::{
    BoardConfig, BoardHandle, BoardState, BoardStatus, ConfigHash, ControlBoard, ForgetRefused, LocalBoard,
    Motion, Nonce, OpenRefused, Opened, SensorState, StartRefused, VendCommand, VendId, VendOrder, VendState,
};
pub use drop_sensor::{DropSensor, DropWindow, IrBeam, NoDropSensor, SensorFault, Sight, WindowReport};
pub use interlock::{Interlock, NoInterlock, PinInterlock};
pub use limits::{DROP_TAIL_MS, MAX_BREAK_MS, MAX_EXTRA_QUARTER_TURNS, VendLimits};
pub use mechanism::{Bank, Mechanism};
pub use outcome::{Attempt, DropReport, Evidence, LaneId, MotorCode, NotStarted, Outcome};
pub use pin::Inverted;
pub use spiral::SpiralMotor;
pub use time::{Clock, Instant, Timer};
