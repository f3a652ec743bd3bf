//! Sensors that see a product fall, and the window in which a fall is a vend's own.

mod ir_beam;
mod window;

pub use ir_beam::IrBeam;
pub use window::{DropWindow, WindowReport};

use crate::{Instant, NotStarted};

/// What a drop sensor sees now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing.
    Clear,
    /// Something is in the way, or the sensor has lost its light.
    Dark {
        /// Since when.
        since: Instant,
    },
    /// Something has just passed: it was dark long enough to be a product and short enough to be falling. Told once.
    Passed {
        /// When it came.
        since: Instant,
    },
    /// The sensor could not be read.
    Fault,
}

/// Why a drop sensor cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SensorFault {
    /// With the emitter on the receiver sees nothing.
    #[error("the drop sensor is blocked")]
    Blocked,
    /// With the emitter off the receiver sees light.
    #[error("the drop sensor sees light that is not its own")]
    Falsing,
    /// A pin failed.
    #[error("a pin of the drop sensor failed")]
    Pins,
}

impl From<SensorFault> for NotStarted {
    fn from(fault: SensorFault) -> Self {
        match fault {
            SensorFault::Blocked => Self::SensorBlocked,
            SensorFault::Falsing => Self::SensorFalsing,
            SensorFault::Pins => Self::SensorPins,
        }
    }
}

/// A sensor that sees products fall.
///
/// The board samples it all the time, also between vends: what passes then is a late fall.
///
/// ```
/// use vend_hal::{DropSensor, Instant, SensorFault, Sight};
///
/// /// A vibration plate whose interrupt sets a flag.
/// struct Plate<'a>(&'a core::sync::atomic::AtomicBool);
///
/// impl DropSensor for Plate<'_> {
///     fn fitted(&self) -> bool { true }
///     async fn self_test(&mut self) -> Result<(), SensorFault> { Ok(()) }
///     fn sample(&mut self, now: Instant) -> Sight {
///         match self.0.swap(false, core::sync::atomic::Ordering::Relaxed) {
///             true => Sight::Passed { since: now },
///             false => Sight::Clear,
///         }
///     }
/// }
///
/// let hit = core::sync::atomic::AtomicBool::new(true);
/// let mut plate = Plate(&hit);
/// assert_eq!(plate.sample(Instant::ORIGIN), Sight::Passed { since: Instant::ORIGIN });
/// assert_eq!(plate.sample(Instant::ORIGIN), Sight::Clear);
/// ```
pub trait DropSensor {
    /// Whether there is a sensor at all.
    fn fitted(&self) -> bool;

    /// Finds out whether the sensor would see a product now. No motor runs meanwhile.
    ///
    /// Takes 20 ms at most.
    ///
    /// # Errors
    /// Why a fall could not be seen. A vend is then not started.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the sensor ready to be sampled or tested again.
    async fn self_test(&mut self) -> Result<(), SensorFault>;

    /// Looks. Called every few milliseconds, must return within 1 ms, and is synchronous so that a sensor on a dead
    /// bus cannot hold up the motor's time-outs.
    fn sample(&mut self, now: Instant) -> Sight;
}

impl<S: DropSensor + ?Sized> DropSensor for &mut S {
    fn fitted(&self) -> bool {
        (**self).fitted()
    }

    async fn self_test(&mut self) -> Result<(), SensorFault> {
        (**self).self_test().await
    }

    fn sample(&mut self, now: Instant) -> Sight {
        (**self).sample(now)
    }
}

/// No drop sensor is fitted. Outcomes say [`DropReport::NotFitted`](crate::DropReport::NotFitted).
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDropSensor;

impl DropSensor for NoDropSensor {
    fn fitted(&self) -> bool {
        false
    }

    async fn self_test(&mut self) -> Result<(), SensorFault> {
        Ok(())
    }

    fn sample(&mut self, _: Instant) -> Sight {
        Sight::Clear
    }
}
