//! The pins of a plant.

use embedded_hal::digital::{Error, ErrorKind, ErrorType, InputPin, OutputPin};

use super::Plant;
use crate::{Adc, LaneId};

/// Why a pin of a plant does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlantError {
    /// The power is off, or was off since the pin was made.
    #[error("the plant has no power")]
    NoPower,
    /// The plant's log could not be written, so nothing may happen any more.
    #[error("the plant's log cannot be written")]
    Log,
}

impl Error for PlantError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// Switches a lane's motor: on when high.
///
/// Dropping the pin does not switch the motor off, as with a real port; drivers have to.
#[derive(Debug)]
pub struct MotorPin {
    pub(super) plant: Plant,
    pub(super) lane: LaneId,
    pub(super) epoch: u64,
}

impl ErrorType for MotorPin {
    type Error = PlantError;
}

impl OutputPin for MotorPin {
    fn set_low(&mut self) -> Result<(), PlantError> {
        self.plant.pin(self.epoch, |mut plant| plant.switch_motor(self.lane, false))
    }

    fn set_high(&mut self) -> Result<(), PlantError> {
        self.plant.pin(self.epoch, |mut plant| plant.switch_motor(self.lane, true))
    }
}

/// A lane's home switch: high when closed.
#[derive(Debug)]
pub struct HomePin {
    pub(super) plant: Plant,
    pub(super) lane: LaneId,
    pub(super) epoch: u64,
}

impl ErrorType for HomePin {
    type Error = PlantError;
}

impl InputPin for HomePin {
    fn is_high(&mut self) -> Result<bool, PlantError> {
        self.plant.pin(self.epoch, |plant| Ok(plant.state().at_home(self.lane, plant.now())))
    }

    fn is_low(&mut self) -> Result<bool, PlantError> {
        self.is_high().map(|high| !high)
    }
}

/// Switches the beam's emitter: lit when high.
#[derive(Debug)]
pub struct BeamEmitter {
    pub(super) plant: Plant,
    pub(super) epoch: u64,
}

impl BeamEmitter {
    fn switch(&mut self, on: bool) -> Result<(), PlantError> {
        self.plant.pin(self.epoch, |mut plant| {
            plant.switch_emitter(on);
            Ok(())
        })
    }
}

impl ErrorType for BeamEmitter {
    type Error = PlantError;
}

impl OutputPin for BeamEmitter {
    fn set_low(&mut self) -> Result<(), PlantError> {
        self.switch(false)
    }

    fn set_high(&mut self) -> Result<(), PlantError> {
        self.switch(true)
    }
}

/// The beam's receiver: high when it sees light.
#[derive(Debug)]
pub struct BeamReceiver {
    pub(super) plant: Plant,
    pub(super) epoch: u64,
}

impl ErrorType for BeamReceiver {
    type Error = PlantError;
}

impl InputPin for BeamReceiver {
    fn is_high(&mut self) -> Result<bool, PlantError> {
        self.plant.pin(self.epoch, |mut plant| plant.receiver_sees_light())
    }

    fn is_low(&mut self) -> Result<bool, PlantError> {
        self.is_high().map(|high| !high)
    }
}

/// The current of all motors together: 1 mV for each milliampere.
#[derive(Debug)]
pub struct CurrentAdc {
    pub(super) plant: Plant,
    pub(super) epoch: u64,
}

impl Adc for CurrentAdc {
    type Error = PlantError;

    fn read_mv(&mut self) -> Result<u16, PlantError> {
        self.plant.pin(self.epoch, |plant| Ok(plant.state().current_ma(plant.now())))
    }
}
