//! Conditions under which motors must not move.

use embedded_hal::digital::InputPin;

/// Says whether motion is allowed, before a motor starts and every few milliseconds while it turns.
///
/// ```
/// use vend_hal::{Interlock, NoInterlock};
///
/// assert!(NoInterlock.permits_motion());
/// ```
pub trait Interlock {
    /// Whether motion is allowed now. In doubt it is not.
    fn permits_motion(&mut self) -> bool;
}

/// Motion is always allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInterlock;

impl Interlock for NoInterlock {
    fn permits_motion(&mut self) -> bool {
        true
    }
}

/// Motion is allowed while a pin reads high (wrap it in [`Inverted`](crate::Inverted) for the opposite). A pin that
/// cannot be read forbids motion.
#[derive(Clone, Copy, Debug)]
pub struct PinInterlock<P>(pub P);

impl<P: InputPin> Interlock for PinInterlock<P> {
    fn permits_motion(&mut self) -> bool {
        self.0.is_high().unwrap_or(false)
    }
}
