//! A running host machine.

use std::time::Duration;

use vend_protocol::{MachineId, PlanVersion, SlotId};

use crate::{HostConfig, HostError};

/// A board, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Board {
    /// The main board: journal, orders, modem.
    Main,
    /// The control board: motors and sensors.
    Control,
    /// Both at once.
    Both,
}

/// How a host machine does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its number, once it is enrolled.
    pub machine: Option<MachineId>,
    /// The server accepted its hello, and the connection stands.
    pub connected: bool,
    /// The planogram it sells from, once it has all of one.
    pub plan: Option<PlanVersion>,
    /// An order is being vended.
    pub busy: bool,
    /// Receipts the server has not acknowledged.
    pub unacknowledged: u64,
    /// The main board has power.
    pub main_on: bool,
    /// The control board has power.
    pub control_on: bool,
}

/// A machine that runs on a thread of its own. Dropping the handle stops it.
#[derive(Debug)]
pub struct HostMachine {}

impl HostMachine {
    /// Starts a machine. It enrols itself if it has to, connects, and goes on until it is stopped.
    ///
    /// # Errors
    /// [`HostError`] for what can be found out at once: files, ticket, journal. A server that cannot be reached is none:
    /// the machine tries again for ever.
    pub fn start(config: HostConfig) -> Result<Self, HostError> {
        let _ = config;
        Err(HostError::NoTicket)
    }

    /// How it does now.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// Its number, once it is enrolled.
    pub fn machine_id(&self) -> Option<MachineId> {
        None
    }

    /// Why it stopped by itself, if it did: a refused enrolment, a journal that failed.
    pub fn failure(&self) -> Option<String> {
        None
    }

    /// Cuts a board's power now, for at least `off_for`; then it boots from its flash. Returns when the power is gone.
    pub fn cut_power(&self, board: Board, off_for: Duration) {
        let _ = (board, off_for);
    }

    /// Puts `items` more into a slot and takes out what hangs there. Slots the machine does not have are ignored.
    pub fn refill(&self, slot: SlotId, items: u32) {
        let _ = (slot, items);
    }

    /// The plant, to break things in it.
    pub fn plant(&self) -> vend_hal::sim::Plant {
        vend_hal::sim::Plant::new(vend_hal::sim::PlantConfig::default(), vend_hal::sim::VirtualClock::new())
    }

    /// Stops it, as if the power had been cut, and waits for its thread to end.
    pub fn stop(self) {}
}
