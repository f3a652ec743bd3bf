//! The time in which a fall is a vend's own.

use super::Sight;
use crate::limits::{DROP_TAIL_MS, MAX_BREAK_MS};
use crate::{Instant, VendLimits};

/// Sorts what a drop sensor sees during a vend: before the window a late fall of the sale before, inside it this
/// vend's product.
///
/// The window opens when the motor leaves home and closes [`VendLimits::settle_ms`] after it stopped, or, once
/// something was seen, [`DROP_TAIL_MS`] after that. A break belongs to the window in which it *began*; one that has
/// begun at closing time is waited for, [`MAX_BREAK_MS`] at most.
/// Pure: mechanisms feed it samples and ask it when to stop waiting.
///
/// ```
/// use vend_hal::{DropWindow, Instant, Sight, VendLimits};
///
/// let at = Instant::from_millis;
/// let mut window = DropWindow::new();
/// window.sample(Sight::Passed { since: at(5) });
/// window.open(at(10));
/// window.sample(Sight::Passed { since: at(900) });
/// let report = window.report();
/// assert_eq!((report.early_breaks, report.breaks, report.first), (1, 1, Some(at(900))));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DropWindow {
    opened: Option<Instant>,
    dark_since: Option<Instant>,
    last_break: Option<Instant>,
    report: WindowReport,
}

/// What a [`DropWindow`] saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowReport {
    /// Passages that began inside the window.
    pub breaks: u8,
    /// When the first of them began.
    pub first: Option<Instant>,
    /// Passages that began before the window.
    pub early_breaks: u8,
    /// The sensor could not be read at some time, or stayed dark for longer than anything takes to fall.
    pub fault: bool,
}

impl DropWindow {
    /// A window that is not open yet.
    pub const fn new() -> Self {
        Self {
            opened: None,
            dark_since: None,
            last_break: None,
            report: WindowReport { breaks: 0, first: None, early_breaks: 0, fault: false },
        }
    }

    /// Opens the window. A second call changes nothing.
    pub fn open(&mut self, now: Instant) {
        self.opened.get_or_insert(now);
    }

    /// Takes a sample of the sensor.
    pub fn sample(&mut self, sight: Sight) {
        self.dark_since = None;
        match sight {
            Sight::Clear => {}
            Sight::Dark { since } => self.dark_since = Some(since),
            Sight::Passed { since } => match self.opened {
                Some(opened) if since >= opened => {
                    self.report.breaks = self.report.breaks.saturating_add(1);
                    self.report.first.get_or_insert(since);
                    self.last_break = Some(since);
                }
                _ => self.report.early_breaks = self.report.early_breaks.saturating_add(1),
            },
            Sight::Fault => self.report.fault = true,
        }
    }

    /// Whether something passed inside the window.
    pub const fn seen(&self) -> bool {
        self.report.breaks > 0
    }

    /// Whether there is nothing to wait for any more, when the motor stopped at `stopped`.
    ///
    /// A darkness that outlasts [`MAX_BREAK_MS`] is noted as a fault when this returns true.
    pub fn closed(&mut self, limits: &VendLimits, stopped: Instant, now: Instant) -> bool {
        if let Some(since) = self.dark_since {
            let stuck = now.millis_since(since) > u32::from(MAX_BREAK_MS);
            self.report.fault |= stuck;
            return stuck;
        }
        let settled = stopped.after_ms(limits.settle_ms.into());
        let tail_ms = DROP_TAIL_MS.into();
        let closes = match self.last_break {
            None => settled,
            // Bounded, or a beam that flickers would keep the window open for ever.
            Some(seen) => stopped.max(seen).after_ms(tail_ms).min(settled.after_ms(tail_ms)),
        };
        now >= closes
    }

    /// What was seen so far.
    pub const fn report(&self) -> WindowReport {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOPPED: Instant = Instant::from_millis(1_000);

    fn window() -> DropWindow {
        let mut window = DropWindow::new();
        window.open(Instant::from_millis(100));
        window
    }

    /// When the window closes, given what is seen from 1,000 ms on.
    fn closes_at(window: &mut DropWindow, sight: impl Fn(u64) -> Sight) -> u64 {
        let limits = VendLimits { settle_ms: 1_500, ..VendLimits::default() };
        for ms in (1_000..).step_by(2) {
            if window.closed(&limits, STOPPED, Instant::from_millis(ms)) {
                return ms;
            }
            window.sample(sight(ms + 2));
        }
        0
    }

    fn passed(at_ms: u64) -> impl Fn(u64) -> Sight {
        move |ms| if ms == at_ms { Sight::Passed { since: Instant::from_millis(ms) } } else { Sight::Clear }
    }

    #[test]
    fn it_closes_when_the_time_is_over() {
        assert_eq!(closes_at(&mut window(), |_| Sight::Clear), 2_500);
        assert_eq!(closes_at(&mut window(), passed(1_100)), 1_350);
        assert_eq!(closes_at(&mut window(), passed(2_498)), 2_748);
    }

    #[test]
    fn what_began_before_it_opened_is_not_its_own() {
        let mut window = window();
        window.sample(Sight::Passed { since: Instant::from_millis(99) });
        assert_eq!((window.report().breaks, window.report().early_breaks), (0, 1));
    }

    #[test]
    fn a_darkness_that_stays_is_a_fault_and_a_flicker_ends() {
        let mut dark = window();
        let since = Instant::from_millis(1_200);
        let ended = closes_at(&mut dark, |ms| if ms > 1_200 { Sight::Dark { since } } else { Sight::Clear });
        assert_eq!(ended, 1_802);
        assert!(dark.report().fault && !dark.seen());

        let flicker = |ms| Sight::Passed { since: Instant::from_millis(ms) };
        assert_eq!(closes_at(&mut window(), flicker), 2_750);
    }
}
