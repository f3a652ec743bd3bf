//! Hooks on the lines of a host machine.

use vend_hal::sim::PlantEvent;

/// Which way bytes go on the control link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the main board to the control board.
    ToControl,
    /// From the control board to the main board.
    ToMain,
}

/// Which way a frame goes on the machine link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MachineDirection {
    /// From the machine to the server.
    Up,
    /// From the server to the machine.
    Down,
}

/// Listens on a host machine's lines, and may garble the one between its boards. Every method does nothing by default.
///
/// All are called on the machine's own thread, in the order of things, *before* the receiver can act on what is told. They
/// must not block for long: a motor may be turning.
pub trait Tap: Send + Sync {
    /// A frame of the control link is about to be put on the line: COBS-decoded, with its checksum, as the sender made it.
    fn control_frame(&self, direction: Direction, frame: &[u8]) {
        let _ = (direction, frame);
    }

    /// The bytes of that frame as they go on the line (COBS-coded, between zeros). Whatever is left in `line` goes; an empty
    /// one is a lost frame. Called after [`Tap::control_frame`].
    fn control_bytes(&self, direction: Direction, line: &mut Vec<u8>) {
        let _ = (direction, line);
    }

    /// A frame of the machine link is about to be published, or is about to be handed to the main board.
    fn machine_frame(&self, direction: MachineDirection, frame: &[u8]) {
        let _ = (direction, frame);
    }

    /// Something happens in the plant. It is in the plant's log file already and no pin shows it yet.
    fn plant_event(&self, event: &PlantEvent) {
        let _ = event;
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl Tap for NoTap {}
