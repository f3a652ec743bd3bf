//! What releases a product: one lane's [`Mechanism`], and the [`Bank`] of lanes a board has.

use crate::{DropSensor, LaneId, NotStarted, Outcome, VendLimits};

/// The mechanism of one lane, driven by the board it is wired to.
///
/// A driver owns its pins. It is generic over embedded-hal traits, and when nothing tells it otherwise its outputs
/// are off: after it is made, after every outcome, after it is dropped.
///
/// ```
/// use vend_hal::{Attempt, DropReport, DropSensor, Evidence, Mechanism, MotorCode, Outcome, VendLimits};
///
/// /// A lane that is always empty.
/// struct Empty;
///
/// impl Mechanism for Empty {
///     async fn vend<S: DropSensor>(&mut self, _: &VendLimits, _: &mut S) -> Outcome {
///         Outcome {
///             attempt: Attempt::Started,
///             motor: MotorCode::Ok,
///             drop: DropReport::NotSeen,
///             interrupted: false,
///             evidence: Evidence::EMPTY,
///         }
///     }
/// }
/// ```
pub trait Mechanism {
    /// Runs one bounded motion program: the first turn, then up to three quarter turns until something is seen to
    /// fall. Ends by itself within [`VendLimits::worst_case_ms`].
    ///
    /// # Cancel safety
    /// Dropping the future switches all outputs off before the drop returns. What had happened by then is lost:
    /// the caller has to take the vend for [`Outcome::interrupted`].
    async fn vend<S: DropSensor>(&mut self, limits: &VendLimits, sensor: &mut S) -> Outcome;
}

/// The lanes of one board.
///
/// An array of mechanisms is a bank. A driver that serves many lanes through shared parts (rows and columns, an
/// elevator) implements this trait itself. It moves one lane at a time: `vend` borrows the whole bank.
///
/// ```
/// use vend_hal::{Bank, DropSensor, LaneId, Mechanism, NotStarted, Outcome, VendLimits};
///
/// struct Closed;
/// impl Mechanism for Closed {
///     async fn vend<S: DropSensor>(&mut self, _: &VendLimits, _: &mut S) -> Outcome {
///         Outcome::not_started(NotStarted::Interlock)
///     }
/// }
///
/// let bank = [Closed, Closed];
/// assert_eq!(bank.lanes(), 2);
/// ```
pub trait Bank {
    /// How many lanes there are. Lanes are numbered from 0.
    fn lanes(&self) -> u8;

    /// As [`Mechanism::vend`], on one of the lanes. A lane that does not exist is not started.
    ///
    /// # Cancel safety
    /// As [`Mechanism::vend`].
    async fn vend<S: DropSensor>(&mut self, lane: LaneId, limits: &VendLimits, sensor: &mut S) -> Outcome;
}

impl<M: Mechanism, const LANES: usize> Bank for [M; LANES] {
    fn lanes(&self) -> u8 {
        u8::try_from(LANES).unwrap_or(u8::MAX)
    }

    async fn vend<S: DropSensor>(&mut self, lane: LaneId, limits: &VendLimits, sensor: &mut S) -> Outcome {
        match self.get_mut(usize::from(lane.index())) {
            Some(mechanism) => mechanism.vend(limits, sensor).await,
            None => Outcome::not_started(NotStarted::NoSuchLane),
        }
    }
}
