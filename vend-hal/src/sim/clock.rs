//! The clocks a plant can live by.

use core::cmp::Reverse;
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal_async::delay::DelayNs;

use crate::{Clock, Instant};

const NS_PER_MS: u64 = 1_000_000;

/// Time that passes only when everyone waits for it. Clones are the same clock.
///
/// It is its own executor: [`block_on`](Self::block_on) polls a future and, when it waits, moves the time on to the
/// next delay that ends. Nothing but this clock's [`delay`](Self::delay)s may be waited for inside.
///
/// ```
/// use embedded_hal_async::delay::DelayNs;
/// use vend_hal::sim::VirtualClock;
/// use vend_hal::{Clock, Instant};
///
/// let clock = VirtualClock::new();
/// clock.block_on(async { clock.delay().delay_ms(86_400_000).await });
/// assert_eq!(clock.now(), Instant::from_millis(86_400_000));
/// ```
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<Mutex<Virtual>>);

#[derive(Debug, Default)]
struct Virtual {
    now_ns: u64,
    /// When the delays being waited for end, the next one first. One whose future was dropped stays; it costs a
    /// poll for nothing.
    ends_ns: BinaryHeap<Reverse<u64>>,
}

impl VirtualClock {
    /// A clock that stands at its origin.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that stands at `now`: for a plant that is restored.
    pub fn starting_at(now: Instant) -> Self {
        let clock = Self::default();
        clock.lock().now_ns = now.as_millis().saturating_mul(NS_PER_MS);
        clock
    }

    /// A delay on this clock.
    pub fn delay(&self) -> VirtualDelay {
        VirtualDelay(self.clone())
    }

    /// Waits on this clock.
    pub async fn delay_ms(&self, ms: u32) {
        self.delay().delay_ms(ms).await;
    }

    /// Runs a future to its end, moving the time on whenever it waits.
    ///
    /// # Panics
    /// When the future waits for something other than this clock: it would wait for ever.
    pub fn block_on<R>(&self, future: impl Future<Output = R>) -> R {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                return result;
            }
            assert!(self.advance(), "a future waits for something other than the virtual clock");
        }
    }

    /// Runs `main` to its end with `beside` running beside it, which never ends by itself and is then dropped.
    ///
    /// # Panics
    /// As [`block_on`](Self::block_on).
    pub fn run_beside<R>(
        &self,
        main: impl Future<Output = R>,
        beside: impl Future<Output = Infallible>,
    ) -> R {
        let (mut main, mut beside) = (pin!(main), pin!(beside));
        self.block_on(poll_fn(|context| {
            let _ = beside.as_mut().poll(context);
            main.as_mut().poll(context)
        }))
    }

    /// Moves on to the end of the next delay. False if nobody waits.
    pub fn advance(&self) -> bool {
        let mut time = self.lock();
        while let Some(Reverse(end_ns)) = time.ends_ns.pop() {
            if end_ns > time.now_ns {
                time.now_ns = end_ns;
                return true;
            }
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Virtual> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.lock().now_ns / NS_PER_MS)
    }
}

/// A delay on a [`VirtualClock`].
#[derive(Clone, Debug)]
pub struct VirtualDelay(VirtualClock);

impl VirtualDelay {
    async fn wait_ns(&self, ns: u64) {
        let end_ns = self.0.lock().now_ns.saturating_add(ns);
        poll_fn(|_| {
            let mut time = self.0.lock();
            if time.now_ns >= end_ns {
                return Poll::Ready(());
            }
            time.ends_ns.push(Reverse(end_ns));
            Poll::Pending
        })
        .await;
    }
}

impl DelayNs for VirtualDelay {
    async fn delay_ns(&mut self, ns: u32) {
        self.wait_ns(ns.into()).await;
    }

    async fn delay_us(&mut self, us: u32) {
        self.wait_ns(u64::from(us) * 1_000).await;
    }

    async fn delay_ms(&mut self, ms: u32) {
        self.wait_ns(u64::from(ms) * NS_PER_MS).await;
    }
}

/// Real time, for a plant that people watch. Clones are the same clock.
///
/// A desktop stops a process for tens of milliseconds when it likes, which no control board does; a coil would turn
/// past its home switch meanwhile. So this clock moves on by at most a few milliseconds between two looks at it
/// ([`with_max_step_ms`](Self::with_max_step_ms)): a process that was stopped finds its world stopped too. Firmware
/// that looks every 2 ms never notices; in a process that hardly looks, the clock lags behind the real one. The step
/// must be more than those 2 ms.
#[derive(Clone, Debug)]
pub struct RealClock(Arc<Mutex<Real>>);

#[derive(Debug)]
struct Real {
    looked: std::time::Instant,
    now_ns: u64,
    max_step_ns: u64,
}

impl RealClock {
    /// The step by default, in ms. A polling loop looks several times every 2 to 3 ms.
    pub const MAX_STEP_MS: u32 = 8;

    /// A clock that shows `now` at this moment: the instant of a restored log's last event, or the milliseconds
    /// since 1970 to make logs of several processes comparable.
    pub fn starting_at(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Real {
            looked: std::time::Instant::now(),
            now_ns: now.as_millis().saturating_mul(NS_PER_MS),
            max_step_ns: u64::from(Self::MAX_STEP_MS) * NS_PER_MS,
        })))
    }

    /// The same clock with another longest step.
    #[must_use]
    pub fn with_max_step_ms(self, max_step_ms: u32) -> Self {
        self.lock().max_step_ns = u64::from(max_step_ms) * NS_PER_MS;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Real> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for RealClock {
    fn now(&self) -> Instant {
        let mut real = self.lock();
        let looked = std::time::Instant::now();
        let step_ns = looked.duration_since(real.looked).as_nanos().min(real.max_step_ns.into());
        real.looked = looked;
        real.now_ns = real.now_ns.saturating_add(u64::try_from(step_ns).unwrap_or(u64::MAX));
        Instant::from_millis(real.now_ns / NS_PER_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_stopped_finds_its_world_stopped() {
        let clock = RealClock::starting_at(Instant::from_millis(70)).with_max_step_ms(3);
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert!(clock.now() <= Instant::from_millis(73));
        let before = clock.now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(clock.now() > before, "and goes on");
    }

    #[test]
    #[should_panic(expected = "something other than the virtual clock")]
    fn waiting_for_nothing_is_reported() {
        VirtualClock::new().block_on(core::future::pending::<()>());
    }
}
