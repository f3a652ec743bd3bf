//! Small things around pins: an output that is off when nothing says otherwise, and an inverter.

use embedded_hal::digital::{ErrorType, InputPin, OutputPin};

/// How often switching off is tried before it counts as failed. An expander on a disturbed bus answers the second
/// time; one that is gone never will.
const OFF_ATTEMPTS: u8 = 3;

/// An output that drives something: off when made, off when dropped.
#[derive(Debug)]
pub(crate) struct Switch<P: OutputPin> {
    pin: P,
}

/// The output did not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SwitchFault;

impl<P: OutputPin> Switch<P> {
    /// Takes the pin and tries to switch it off. A failure shows at the next [`off`](Self::off).
    pub(crate) fn new(pin: P) -> Self {
        let mut switch = Self { pin };
        let _ = switch.off();
        switch
    }

    /// Switches on until the returned guard is dropped.
    pub(crate) fn on(&mut self) -> (On<'_, P>, Result<(), SwitchFault>) {
        let done = self.pin.set_high().map_err(|_| SwitchFault);
        // The guard exists even after an error: a failed command may still have reached the output.
        (On { switch: self }, done)
    }

    /// Switches on until told otherwise.
    pub(crate) fn keep_on(&mut self) -> Result<(), SwitchFault> {
        self.pin.set_high().map_err(|_| SwitchFault)
    }

    pub(crate) fn off(&mut self) -> Result<(), SwitchFault> {
        for _ in 0..OFF_ATTEMPTS {
            if self.pin.set_low().is_ok() {
                return Ok(());
            }
        }
        Err(SwitchFault)
    }
}

impl<P: OutputPin> Drop for Switch<P> {
    fn drop(&mut self) {
        let _ = self.off();
    }
}

/// Holds a [`Switch`] on.
#[derive(Debug)]
pub(crate) struct On<'a, P: OutputPin> {
    switch: &'a mut Switch<P>,
}

impl<P: OutputPin> On<'_, P> {
    /// Switches off and tells whether that worked, which dropping cannot.
    pub(crate) fn off(self) -> Result<(), SwitchFault> {
        self.switch.off()
    }
}

impl<P: OutputPin> Drop for On<'_, P> {
    fn drop(&mut self) {
        let _ = self.switch.off();
    }
}

/// A pin whose levels mean the opposite: for a switch to ground with a pull-up, or a drive that is on when low.
///
/// ```
/// use embedded_hal::digital::{ErrorType, InputPin};
/// use vend_hal::Inverted;
///
/// struct Low;
/// impl ErrorType for Low {
///     type Error = core::convert::Infallible;
/// }
/// impl InputPin for Low {
///     fn is_high(&mut self) -> Result<bool, Self::Error> { Ok(false) }
///     fn is_low(&mut self) -> Result<bool, Self::Error> { Ok(true) }
/// }
///
/// assert_eq!(Inverted(Low).is_high(), Ok(true));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Inverted<P>(pub P);

impl<P: ErrorType> ErrorType for Inverted<P> {
    type Error = P::Error;
}

impl<P: InputPin> InputPin for Inverted<P> {
    fn is_high(&mut self) -> Result<bool, Self::Error> {
        self.0.is_low()
    }

    fn is_low(&mut self) -> Result<bool, Self::Error> {
        self.0.is_high()
    }
}

impl<P: OutputPin> OutputPin for Inverted<P> {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        self.0.set_high()
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        self.0.set_low()
    }
}
