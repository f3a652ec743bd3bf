//! Analogue inputs, which embedded-hal 1.0 leaves out, and motor current measured through one.

use core::cell::RefCell;

/// An analogue input, read in millivolts.
///
/// Reading is synchronous on purpose. It is called every few milliseconds while a motor turns, and a conversion that
/// never completed would otherwise hold up the motor's time-outs. An implementation starts and awaits a conversion of
/// microseconds, or returns the newest sample of a converter that runs by itself; it must return within 1 ms.
///
/// ```
/// use vend_hal::Adc;
///
/// /// A 12-bit converter with a reference of 3.3 V that writes its newest sample to memory by itself.
/// struct Continuous<'a>(&'a core::sync::atomic::AtomicU16);
///
/// impl Adc for Continuous<'_> {
///     type Error = core::convert::Infallible;
///
///     fn read_mv(&mut self) -> Result<u16, Self::Error> {
///         let raw = u32::from(self.0.load(core::sync::atomic::Ordering::Relaxed) & 0xFFF);
///         Ok(u16::try_from(raw * 3_300 / 4_095).unwrap_or(u16::MAX))
///     }
/// }
///
/// let sample = core::sync::atomic::AtomicU16::new(4_095);
/// assert_eq!(Continuous(&sample).read_mv(), Ok(3_300));
/// ```
pub trait Adc {
    /// Why a reading failed.
    type Error: core::fmt::Debug;

    /// The voltage at the input, in millivolts.
    ///
    /// # Errors
    /// When the converter did not answer. A driver that measures a running motor switches it off then.
    fn read_mv(&mut self) -> Result<u16, Self::Error>;
}

impl<A: Adc + ?Sized> Adc for &mut A {
    type Error = A::Error;

    fn read_mv(&mut self) -> Result<u16, Self::Error> {
        (**self).read_mv()
    }
}

/// One shunt often serves all motors of a board; the drivers then share its converter through a cell.
///
/// Reading does not yield, so the cell can be found borrowed only from inside a reading.
impl<A: Adc> Adc for &RefCell<A> {
    type Error = SharedAdcError<A::Error>;

    fn read_mv(&mut self) -> Result<u16, Self::Error> {
        match self.try_borrow_mut() {
            Ok(mut adc) => adc.read_mv().map_err(SharedAdcError::Adc),
            Err(_) => Err(SharedAdcError::Busy),
        }
    }
}

/// A failed reading of a shared converter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharedAdcError<E> {
    /// It was being read already.
    #[error("the converter is being read already")]
    Busy,
    /// It failed.
    #[error("the converter failed")]
    Adc(E),
}

/// Measures the current of a motor.
///
/// ```
/// use vend_hal::{Adc, CurrentSense, Shunt};
///
/// struct Fixed(u16);
/// impl Adc for Fixed {
///     type Error = core::convert::Infallible;
///     fn read_mv(&mut self) -> Result<u16, Self::Error> {
///         Ok(self.0)
///     }
/// }
///
/// // 0.1 ohm and an amplifier of 20: 2 V for each ampere.
/// let mut sense = Shunt::new(Fixed(500), 2_000);
/// assert_eq!(sense.read_ma(), Ok(Some(250)));
/// ```
pub trait CurrentSense {
    /// The present current in milliamperes; `None` if the board cannot measure it.
    ///
    /// # Errors
    /// When there is a converter and it failed.
    fn read_ma(&mut self) -> Result<Option<u16>, CurrentSenseFault>;
}

/// The current could not be measured although the board can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the motor current could not be measured")]
pub struct CurrentSenseFault;

/// A board that cannot measure motor current.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCurrentSense;

impl CurrentSense for NoCurrentSense {
    fn read_ma(&mut self) -> Result<Option<u16>, CurrentSenseFault> {
        Ok(None)
    }
}

/// A shunt resistor, perhaps with an amplifier, before an [`Adc`].
#[derive(Clone, Copy, Debug)]
pub struct Shunt<A> {
    adc: A,
    mv_per_ampere: u16,
}

impl<A: Adc> Shunt<A> {
    /// A shunt that gives `mv_per_ampere` millivolts at the converter for each ampere. 0 counts as 1.
    pub const fn new(adc: A, mv_per_ampere: u16) -> Self {
        Self { adc, mv_per_ampere: if mv_per_ampere == 0 { 1 } else { mv_per_ampere } }
    }
}

impl<A: Adc> CurrentSense for Shunt<A> {
    fn read_ma(&mut self) -> Result<Option<u16>, CurrentSenseFault> {
        let mv = self.adc.read_mv().map_err(|_| CurrentSenseFault)?;
        let ma = u32::from(mv) * 1_000 / u32::from(self.mv_per_ampere);
        Ok(Some(u16::try_from(ma).unwrap_or(u16::MAX)))
    }
}
