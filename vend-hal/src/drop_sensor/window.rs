//! The time in which a fall is a vend's own.

use super::Sight;
use crate::limits::{DROP_TAIL_MS, MAX_BREAK_MS};
use crate::{Instant, VendLimits};

/// Sorts what a drop sensor sees during a vend: before the window a late fall of the sale before, inside it this
/// vend's product.
///
/// The window opens when the motor leaves home and closes [`VendLimits::settle_ms`] after it stopped. A break belongs
/// to the window in which it *began*; one that has begun at closing time is waited for, [`MAX_BREAK_MS`] at most.
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
        let wait_ms = if self.seen() { limits.settle_ms.min(DROP_TAIL_MS) } else { limits.settle_ms };
        now.millis_since(stopped) >= u32::from(wait_ms)
    }

    /// What was seen so far.
    pub const fn report(&self) -> WindowReport {
        self.report
    }
}
