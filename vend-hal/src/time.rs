//! Time as an input: a monotonic [`Instant`] in milliseconds and the [`Clock`] that tells it.
//!
//! Waiting is [`embedded_hal_async::delay::DelayNs`]; embedded-hal has no trait that tells the time, so this crate
//! brings one. [`Timer`] joins a clock and a delay, which is what the drivers ask for.

use embedded_hal_async::delay::DelayNs;

/// A moment on a monotonic clock, in milliseconds since an origin only that clock knows.
///
/// Two instants can be compared only if the same clock gave them. 64 bits of milliseconds do not wrap in the life of
/// a machine, so no arithmetic here needs to think about wrapping; all of it saturates.
///
/// ```
/// use vend_hal::Instant;
///
/// let start = Instant::from_millis(1_000);
/// assert_eq!(start.after_ms(250).millis_since(start), 250);
/// assert_eq!(start.millis_since(start.after_ms(250)), 0, "an instant in the future is not negative");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's origin.
    pub const ORIGIN: Self = Self(0);

    /// The instant `millis` milliseconds after the clock's origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's origin.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The instant `ms` milliseconds later.
    #[must_use]
    pub const fn after_ms(self, ms: u32) -> Self {
        // `From` is not const; widening cannot lose anything.
        Self(self.0.saturating_add(ms as u64))
    }

    /// Milliseconds from `earlier` to `self`: 0 if `earlier` is later, `u32::MAX` (49 days) at most.
    pub fn millis_since(self, earlier: Self) -> u32 {
        u32::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(u32::MAX)
    }
}

/// A monotonic clock with a resolution of a millisecond or better.
///
/// ```
/// use vend_hal::{Clock, Instant};
///
/// /// Counts the ticks of a 1 kHz interrupt.
/// struct Ticks<'a>(&'a core::sync::atomic::AtomicU32);
///
/// impl Clock for Ticks<'_> {
///     fn now(&self) -> Instant {
///         Instant::from_millis(self.0.load(core::sync::atomic::Ordering::Relaxed).into())
///     }
/// }
///
/// let counter = core::sync::atomic::AtomicU32::new(41);
/// assert_eq!(Ticks(&counter).now().after_ms(1), Instant::from_millis(42));
/// ```
pub trait Clock {
    /// The present moment. Never earlier than what it returned before.
    fn now(&self) -> Instant;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Instant {
        (**self).now()
    }
}

/// A [`Clock`] and a [`DelayNs`] joined into the one thing a driver needs to keep time.
///
/// The two may run from different timers. The drivers count what they waited as well as reading the clock, so that a
/// clock that stopped cannot keep a motor on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer<C, D> {
    clock: C,
    delay: D,
}

impl<C: Clock, D: DelayNs> Timer<C, D> {
    /// Joins `clock` and `delay`.
    pub const fn new(clock: C, delay: D) -> Self {
        Self { clock, delay }
    }
}

impl<C: Clock, D> Clock for Timer<C, D> {
    fn now(&self) -> Instant {
        self.clock.now()
    }
}

impl<C, D: DelayNs> DelayNs for Timer<C, D> {
    async fn delay_ns(&mut self, ns: u32) {
        self.delay.delay_ns(ns).await;
    }

    async fn delay_us(&mut self, us: u32) {
        self.delay.delay_us(us).await;
    }

    async fn delay_ms(&mut self, ms: u32) {
        self.delay.delay_ms(ms).await;
    }
}
