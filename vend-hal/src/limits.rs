//! The bounds of one vend.

/// Extra quarter turns a vend may take at most: a fourth would be a second full turn and release a second product.
pub const MAX_EXTRA_QUARTER_TURNS: u8 = 3;

/// How long after a drop was seen the motion program waits for the rest of the product to clear the beam, in ms.
///
/// A bag turns as it falls and can break the beam twice; the second break must not be taken for a late fall.
pub const DROP_TAIL_MS: u16 = 250;

/// How long something may darken the drop sensor and still be a falling product, in ms.
///
/// A product of 300 mm falling through the beam at 2 m/s (after 0.2 m of fall, `v = sqrt(2 g h)`) takes 150 ms; the
/// rest is margin for one that slides. Longer is an obstacle or a dead emitter.
pub const MAX_BREAK_MS: u16 = 600;

/// The bounds of one vend: times, currents and the policy when nothing was seen to fall.
///
/// Times are milliseconds, currents milliamperes. The times by [`Default`] are those of published drivers: the
/// home switch opens within 1 s and closes within 4 s (a full turn of a typical spiral takes about 2.6 s), products
/// that hang are shaken by up to three quarter turns. For the currents of spiral motors no figure is published; the
/// defaults suit a small 24 V gear motor and are to be measured on the machine.
///
/// ```
/// use vend_hal::VendLimits;
///
/// let limits = VendLimits { extra_quarter_turns: 0, ..VendLimits::default() };
/// assert!(limits.worst_case_ms() < 8_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendLimits {
    /// The home switch must open within this time of the motor being switched on.
    pub leave_home_ms: u16,
    /// The home switch must close within this time of its opening (of the start, if the coil began between homes).
    pub return_home_ms: u16,
    /// How long after the motor stopped a product may still fall and count as this vend's.
    pub settle_ms: u16,
    /// How many quarter turns may follow a turn after which nothing was seen to fall. More than
    /// [`MAX_EXTRA_QUARTER_TURNS`] counts as that many. Without a drop sensor none are made.
    pub extra_quarter_turns: u8,
    /// How long the motor runs for a quarter turn when the turn before was not a full one to measure by.
    pub quarter_turn_ms: u16,
    /// Refuse to start when the coil does not rest at home. Off by default: a coil rests between homes after a
    /// quarter turn or a power cut, and the next vend then ends at the next home.
    pub require_home: bool,
    /// Current above this for [`over_current_ms`](Self::over_current_ms) is a jam.
    pub over_current_ma: u16,
    /// How long the current may stay above [`over_current_ma`](Self::over_current_ma): starting draws more than
    /// turning.
    pub over_current_ms: u16,
    /// Current above this in two samples in a row is a short circuit.
    pub short_ma: u16,
    /// Current that has stayed below this since [`open_load_ms`](Self::open_load_ms) after the start means no motor
    /// is connected. 0 switches the test off.
    pub open_load_ma: u16,
    /// How long after the start current must have been seen.
    pub open_load_ms: u16,
}

impl Default for VendLimits {
    fn default() -> Self {
        Self {
            leave_home_ms: 1_000,
            return_home_ms: 4_000,
            settle_ms: 1_500,
            extra_quarter_turns: MAX_EXTRA_QUARTER_TURNS,
            quarter_turn_ms: 650,
            require_home: false,
            over_current_ma: 800,
            over_current_ms: 200,
            short_ma: 3_000,
            open_load_ma: 20,
            open_load_ms: 150,
        }
    }
}

impl VendLimits {
    /// The quarter turns that will really be allowed.
    pub const fn quarter_turns(&self) -> u8 {
        if self.extra_quarter_turns < MAX_EXTRA_QUARTER_TURNS {
            self.extra_quarter_turns
        } else {
            MAX_EXTRA_QUARTER_TURNS
        }
    }

    /// The longest a vend within these limits can take, in milliseconds, from the command to the outcome.
    ///
    /// A quarter turn is at most a quarter of [`return_home_ms`](Self::return_home_ms) plus
    /// [`leave_home_ms`](Self::leave_home_ms), or [`quarter_turn_ms`](Self::quarter_turn_ms). Half a second is added
    /// for the sensor's tests and for polls that come late.
    pub fn worst_case_ms(&self) -> u32 {
        let turn = u32::from(self.leave_home_ms) + u32::from(self.return_home_ms);
        let quarter = (turn / 4).max(u32::from(self.quarter_turn_ms));
        let rest = u32::from(self.settle_ms) + u32::from(DROP_TAIL_MS) + u32::from(MAX_BREAK_MS);
        turn + rest + u32::from(self.quarter_turns()) * (quarter + rest) + 500
    }
}
