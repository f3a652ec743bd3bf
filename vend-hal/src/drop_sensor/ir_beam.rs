//! One infrared beam across the drop shaft.

use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal_async::delay::DelayNs;

use super::{DropSensor, SensorFault, Sight};
use crate::limits::MAX_BREAK_MS;
use crate::pin::Switch;
use crate::{Clock, Instant};

/// How long the emitter and the receiver take to follow, in ms. A 38 kHz receiver module takes up to 0.6 ms; a
/// phototransistor less.
const FOLLOW_MS: u32 = 2;

/// How often the test with the emitter on is repeated before the beam counts as blocked.
const LOOKS: u8 = 3;

/// Dark samples in a row that make a break. One alone is a spark from the motor.
const DARK_SAMPLES: u8 = 2;

/// An infrared beam: one emitter, one receiver that reads high while it sees light.
///
/// The emitter is on from the first self-test until the driver is dropped, so that late falls are seen too.
///
/// A break is a darkness of at least two samples (4 ms at the drivers' pace; a product of 20 mm falling at 3 m/s
/// darkens the beam for 6 ms) and at most [`MAX_BREAK_MS`].
#[derive(Debug)]
pub struct IrBeam<E: OutputPin, R, T> {
    emitter: Switch<E>,
    receiver: R,
    time: T,
    dark: Dark,
}

/// How long it has been dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dark {
    No,
    Since { since: Instant, samples: u8 },
}

impl<E: OutputPin, R: InputPin, T: Clock + DelayNs> IrBeam<E, R, T> {
    /// Takes the pins. The emitter stays off until the first self-test.
    pub fn new(emitter: E, receiver: R, time: T) -> Self {
        Self { emitter: Switch::new(emitter), receiver, time, dark: Dark::No }
    }

    fn sees_light(&mut self) -> Result<bool, SensorFault> {
        self.receiver.is_high().map_err(|_| SensorFault::Pins)
    }
}

impl<E: OutputPin, R: InputPin, T: Clock + DelayNs> DropSensor for IrBeam<E, R, T> {
    fn fitted(&self) -> bool {
        true
    }

    /// Emitter off: the receiver must see nothing. Emitter on: it must see light.
    ///
    /// # Cancel safety
    /// The emitter may be left off; sampling then reads dark, and the next test switches it on again.
    async fn self_test(&mut self) -> Result<(), SensorFault> {
        self.emitter.off().map_err(|_| SensorFault::Pins)?;
        self.time.delay_ms(FOLLOW_MS).await;
        let falsing = self.sees_light();
        // On again before anything is judged: a beam left dark by its own test would look blocked ever after.
        self.emitter.keep_on().map_err(|_| SensorFault::Pins)?;
        for _ in 0..LOOKS {
            self.time.delay_ms(FOLLOW_MS).await;
            if self.sees_light()? {
                self.dark = Dark::No;
                return if falsing? { Err(SensorFault::Falsing) } else { Ok(()) };
            }
        }
        // Whatever blocks it has done so since now at the latest; if it is a falling product, sampling will see it go.
        if self.dark == Dark::No {
            self.dark = Dark::Since { since: self.time.now(), samples: DARK_SAMPLES };
        }
        Err(SensorFault::Blocked)
    }

    fn sample(&mut self, now: Instant) -> Sight {
        let Ok(light) = self.sees_light() else {
            self.dark = Dark::No;
            return Sight::Fault;
        };
        match (self.dark, light) {
            (Dark::No, true) => Sight::Clear,
            (Dark::No, false) => {
                self.dark = Dark::Since { since: now, samples: 1 };
                Sight::Clear
            }
            (Dark::Since { since, samples }, false) => {
                let samples = samples.saturating_add(1);
                self.dark = Dark::Since { since, samples };
                if samples >= DARK_SAMPLES { Sight::Dark { since } } else { Sight::Clear }
            }
            (Dark::Since { since, samples }, true) => {
                self.dark = Dark::No;
                let passed = samples >= DARK_SAMPLES && now.millis_since(since) <= u32::from(MAX_BREAK_MS);
                if passed { Sight::Passed { since } } else { Sight::Clear }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::convert::Infallible;

    use embedded_hal::digital::ErrorType;

    use super::*;

    struct Pin<'a>(&'a Cell<bool>);

    impl ErrorType for Pin<'_> {
        type Error = Infallible;
    }

    impl OutputPin for Pin<'_> {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0.set(false);
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0.set(true);
            Ok(())
        }
    }

    impl InputPin for Pin<'_> {
        fn is_high(&mut self) -> Result<bool, Infallible> {
            Ok(self.0.get())
        }

        fn is_low(&mut self) -> Result<bool, Infallible> {
            Ok(!self.0.get())
        }
    }

    struct NoTime;

    impl Clock for NoTime {
        fn now(&self) -> Instant {
            Instant::ORIGIN
        }
    }

    impl DelayNs for NoTime {
        async fn delay_ns(&mut self, _: u32) {}
    }

    /// How many passages are told when the beam is dark for this many samples of 2 ms.
    fn passages(dark_samples: u64) -> usize {
        let (emitter, light) = (Cell::new(true), Cell::new(true));
        let mut beam = IrBeam::new(Pin(&emitter), Pin(&light), NoTime);
        (0..dark_samples + 20)
            .filter(|sample| {
                light.set(*sample < 10 || *sample >= 10 + dark_samples);
                matches!(beam.sample(Instant::from_millis(sample * 2)), Sight::Passed { .. })
            })
            .count()
    }

    #[test]
    fn a_spark_is_nothing_a_product_is_a_passage_and_an_obstacle_is_not() {
        assert_eq!(passages(0), 0);
        assert_eq!(passages(1), 0);
        assert_eq!(passages(2), 1);
        assert_eq!(passages(u64::from(MAX_BREAK_MS) / 2), 1);
        assert_eq!(passages(u64::from(MAX_BREAK_MS) / 2 + 1), 0);
    }

    #[test]
    fn the_emitter_is_off_before_the_first_test_and_after_the_driver() {
        let (emitter, light) = (Cell::new(true), Cell::new(true));
        let beam = IrBeam::new(Pin(&emitter), Pin(&light), NoTime);
        assert!(!emitter.get());
        emitter.set(true);
        drop(beam);
        assert!(!emitter.get());
    }
}
