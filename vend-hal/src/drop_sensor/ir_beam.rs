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
