//! A simulated plant: coils, items, a beam and their faults, behind embedded-hal pins. Needs the feature `sim`.
//!
//! The drivers of this crate run against it unchanged, and so does a whole firmware. Time is virtual
//! ([`VirtualClock`]: thousands of vends a second, the same every time) or real ([`RealClock`]: a demonstration).
//!
//! # The truth
//! Every change goes through a [`PlantEvent`], which is handed to the [`PlantLog`] *before* any pin can show it. A
//! process killed at any moment has therefore told its log everything its firmware could have seen, and the log is
//! the plant's whole memory: [`Plant::restore`] reads it back. What was moving and had reached no event is where the
//! last event left it; a coil may thus rest between homes, as after a real power cut. [`Truth`] sums a log up.
//!
//! # Faults
//! They come by chance ([`FaultRates`]), on demand ([`Plant::inject`]) or to stay ([`Plant::set_defect`],
//! [`Plant::set_beam`]). Chance is a function of the seed and the number of the run or item, so there is no generator
//! whose state could be lost.
//!
//! ```
//! use vend_hal::sim::{Fault, ItemFault, MemoryLog, Plant, PlantConfig, Truth, VirtualClock};
//! use vend_hal::{DropReport, LaneId, Mechanism, VendLimits};
//!
//! let clock = VirtualClock::new();
//! let log = MemoryLog::new();
//! let plant = Plant::with_log(PlantConfig::default(), clock.clone(), log.clone());
//! let lane = LaneId::new(0);
//! plant.refill(lane, 3);
//! plant.inject(lane, Fault::Item(ItemFault::Hang));
//!
//! let time = plant.timer(clock.delay());
//! let [mut spiral] = plant.spirals::<1, _>(&time);
//! let outcome = clock.block_on(spiral.vend(&VendLimits::default(), &mut plant.ir_beam(time)));
//! assert_eq!(outcome.drop, DropReport::NotSeen);
//!
//! let truth = Truth::of(&log.events());
//! assert_eq!(truth.items[0].fault, Some(ItemFault::Hang));
//! assert_eq!(truth.items[0].fell_at, None);
//! ```

mod clock;
mod config;
mod dice;
mod event;
mod log;
mod pins;
mod plant;
mod state;
mod truth;

pub use clock::{RealClock, VirtualClock, VirtualDelay};
pub use config::{BeamCondition, Fault, FaultRates, PlantConfig};
pub use event::{EndCause, Happening, ItemFault, ParseEventError, PlantEvent, RunFault};
pub use log::{FileLog, MemoryLog, NoLog, PlantLog};
pub use pins::{BeamEmitter, BeamReceiver, CurrentAdc, HomePin, MotorPin, PlantError};
pub use plant::{LaneView, Plant, PlantClock, SimBeam, SimSpiral};
pub use state::PlantState;
pub use truth::{ItemTruth, RunTruth, Truth};
