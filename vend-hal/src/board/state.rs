//! What a board remembers, and the rules by which it vends. Pure: no pins, no waiting; time is an argument.

use super::{
    BoardStatus, ConfigHash, ForgetRefused, Nonce, OpenRefused, Opened, SensorState, StartRefused,
    VendCommand, VendId, VendState,
};
use crate::{Instant, LaneId, NotStarted, Outcome, VendLimits};

/// How many former openings are remembered, so that a delayed command cannot bring one back.
const FORMER_NONCES: usize = 8;

/// How long an accepted vend may wait for the motion side, in ms. The motion side looks every few milliseconds; if it
/// was not there for this long, the machine must learn that nothing moved rather than be surprised later.
const BEGIN_WITHIN_MS: u32 = 1_000;

/// What a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardConfig {
    /// Names the configuration of its lanes.
    pub config_hash: ConfigHash,
    /// The longest a vend may take from acceptance to result, in milliseconds. Must exceed
    /// [`VendLimits::worst_case_ms`] of the limits the machine will use; a vend that could last longer is refused.
    pub max_vend_ms: u32,
}

impl Default for BoardConfig {
    /// No configuration hash (all zeros) and room for the default limits: 30 s.
    fn default() -> Self {
        Self { config_hash: ConfigHash::default(), max_vend_ms: 30_000 }
    }
}

/// A vend the motion side has to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendOrder {
    /// The opening it belongs to.
    pub nonce: Nonce,
    /// Its number.
    pub vend_id: VendId,
    /// Which lane.
    pub lane: LaneId,
    /// The bounds.
    pub limits: VendLimits,
    /// When it has to have ended.
    pub deadline: Instant,
}

/// The memory of a board and its rules, between the side that answers commands and the side that moves.
///
/// Everything is in RAM: a reset forgets the opening, and that is how the machine learns of it. The rules:
///
/// - a vend starts only under the present nonce and configuration, with a number higher than all accepted before;
/// - the number of the last vend is answered with that vend's state and starts nothing;
/// - nothing starts, and no opening changes, while a vend runs;
/// - a result is kept until it is forgotten, also across openings, and nothing starts before that;
/// - a nonce that was left does not come back (the last eight are remembered).
///
/// ```
/// use vend_hal::{BoardConfig, BoardState, ConfigHash, Instant, LaneId, Nonce, Outcome, StartRefused};
/// use vend_hal::{VendCommand, VendId, VendLimits, VendState, NotStarted};
///
/// let now = Instant::ORIGIN;
/// let mut board = BoardState::new(BoardConfig::default(), 10);
/// let nonce = Nonce([7; 16]);
/// board.open(now, nonce).unwrap();
///
/// let command = VendCommand {
///     nonce,
///     vend_id: VendId(1),
///     config_hash: ConfigHash::default(),
///     lane: LaneId::new(3),
///     limits: VendLimits::default(),
/// };
/// assert!(matches!(board.start(now, &command), Ok(VendState::Running { .. })));
///
/// // The motion side.
/// let order = board.take_order(now).unwrap();
/// board.finish(order.vend_id, Outcome::not_started(NotStarted::Interlock));
///
/// // The same command again starts nothing.
/// assert!(matches!(board.start(now, &command), Ok(VendState::Done { .. })));
/// assert_eq!(board.take_order(now), None);
/// assert_eq!(board.forget(now, nonce, VendId(1)), Ok(()));
/// assert_eq!(board.start(now, &command), Err(StartRefused::NotRising));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BoardState {
    config: BoardConfig,
    lanes: u8,
    nonce: Option<Nonce>,
    last_vend_id: Option<VendId>,
    former: [Option<Nonce>; FORMER_NONCES],
    next_former: usize,
    vend: Vend,
    /// The newest vend that was accepted, kept when its result is forgotten: a late fall is after it.
    newest: Option<(Nonce, VendId)>,
    /// The one before: a fall early in the newest vend is after this one.
    before_newest: Option<(Nonce, VendId)>,
    sensor: SensorState,
    late_drops: u32,
    late_drop_after: Option<(Nonce, VendId)>,
}

#[derive(Clone, Copy, Debug)]
enum Vend {
    Idle,
    Active { command: VendCommand, accepted: Instant, taken: bool },
    Done { command: VendCommand, outcome: Outcome },
}

/// The side that answers commands.
impl BoardState {
    /// A board that has just started, with `lanes` lanes.
    pub const fn new(config: BoardConfig, lanes: u8) -> Self {
        Self {
            config,
            lanes,
            nonce: None,
            last_vend_id: None,
            former: [None; FORMER_NONCES],
            next_former: 0,
            vend: Vend::Idle,
            newest: None,
            before_newest: None,
            sensor: SensorState::Untested,
            late_drops: 0,
            late_drop_after: None,
        }
    }

    /// Opens the board, or answers the present nonce again.
    ///
    /// # Errors
    /// [`OpenRefused`] says why not; nothing has changed then.
    pub fn open(&mut self, now: Instant, nonce: Nonce) -> Result<Opened, OpenRefused> {
        self.expire(now);
        // An opening that is repeated must not lower the watermark: its vends would start again.
        if self.nonce != Some(nonce) {
            if matches!(self.vend, Vend::Active { .. }) {
                return Err(OpenRefused::Running);
            }
            if self.former.contains(&Some(nonce)) {
                return Err(OpenRefused::NonceUsed);
            }
            if let Some(left) = self.nonce.replace(nonce) {
                if let Some(place) = self.former.get_mut(self.next_former) {
                    *place = Some(left);
                }
                self.next_former = (self.next_former + 1) % FORMER_NONCES;
            }
            self.last_vend_id = None;
        }
        Ok(Opened {
            config_hash: self.config.config_hash,
            lanes: self.lanes,
            max_vend_ms: self.config.max_vend_ms,
        })
    }

    /// Accepts a vend, or answers the last one's number with its state.
    ///
    /// # Errors
    /// [`StartRefused`] says why not; nothing moves and nothing has changed then.
    pub fn start(&mut self, now: Instant, command: &VendCommand) -> Result<VendState, StartRefused> {
        self.expire(now);
        let Some(nonce) = self.nonce else { return Err(StartRefused::NotOpen) };
        if command.nonce != nonce {
            return Err(StartRefused::OtherNonce);
        }
        if let Some(last) = self.vend.command()
            && last.nonce == nonce
            && last.vend_id == command.vend_id
        {
            return if last.lane == command.lane {
                Ok(self.vend_state(now))
            } else {
                Err(StartRefused::IdReused)
            };
        }
        if self.last_vend_id.is_some_and(|last| command.vend_id <= last) {
            return Err(StartRefused::NotRising);
        }
        match self.vend {
            Vend::Idle => {}
            Vend::Active { .. } => return Err(StartRefused::Running),
            Vend::Done { .. } => return Err(StartRefused::ResultKept),
        }
        if command.config_hash != self.config.config_hash {
            return Err(StartRefused::OtherConfig);
        }
        if command.lane.index() >= self.lanes {
            return Err(StartRefused::NoSuchLane);
        }
        if command.limits.worst_case_ms() > self.config.max_vend_ms {
            return Err(StartRefused::TooLong);
        }
        self.vend = Vend::Active { command: *command, accepted: now, taken: false };
        self.last_vend_id = Some(command.vend_id);
        self.before_newest = self.newest.replace((nonce, command.vend_id));
        Ok(self.vend_state(now))
    }

    /// Where the last vend stands.
    pub fn poll(&mut self, now: Instant) -> VendState {
        self.expire(now);
        self.vend_state(now)
    }

    /// Everything.
    pub fn query(&mut self, now: Instant) -> BoardStatus {
        self.expire(now);
        BoardStatus {
            nonce: self.nonce,
            last_vend_id: self.last_vend_id,
            config_hash: self.config.config_hash,
            lanes: self.lanes,
            max_vend_ms: self.config.max_vend_ms,
            vend: self.vend_state(now),
            sensor: self.sensor,
            late_drops: self.late_drops,
            late_drop_after: self.late_drop_after,
        }
    }

    /// Drops the kept result, if it is this vend's or there is none.
    ///
    /// # Errors
    /// [`ForgetRefused`] says why not; the result is kept then.
    pub fn forget(&mut self, now: Instant, nonce: Nonce, vend_id: VendId) -> Result<(), ForgetRefused> {
        self.expire(now);
        match self.vend {
            Vend::Idle => Ok(()),
            Vend::Active { .. } => Err(ForgetRefused::Running),
            Vend::Done { command, .. } if (command.nonce, command.vend_id) == (nonce, vend_id) => {
                self.vend = Vend::Idle;
                Ok(())
            }
            Vend::Done { .. } => Err(ForgetRefused::OtherVend),
        }
    }

    /// Gives the lanes another configuration. Commands under the old one are refused from then on.
    ///
    /// # Errors
    /// While a vend runs.
    pub fn reconfigure(&mut self, config: BoardConfig) -> Result<(), OpenRefused> {
        if matches!(self.vend, Vend::Active { .. }) {
            return Err(OpenRefused::Running);
        }
        self.config = config;
        Ok(())
    }
}

/// The side that moves.
impl BoardState {
    /// The vend to run, once. It must be [finished](Self::finish), whatever happens.
    pub fn take_order(&mut self, now: Instant) -> Option<VendOrder> {
        self.expire(now);
        let Vend::Active { command, accepted, taken: taken @ false } = &mut self.vend else { return None };
        *taken = true;
        Some(VendOrder {
            nonce: command.nonce,
            vend_id: command.vend_id,
            lane: command.lane,
            limits: command.limits,
            deadline: accepted.after_ms(self.config.max_vend_ms),
        })
    }

    /// Ends the vend that was taken. For any other number nothing happens.
    ///
    /// What its evidence calls early is counted as late falls after the vend before it.
    pub fn finish(&mut self, vend_id: VendId, outcome: Outcome) {
        if let Vend::Active { command, taken: true, .. } = self.vend
            && command.vend_id == vend_id
        {
            self.vend = Vend::Done { command, outcome };
            if outcome.evidence.early_breaks > 0 {
                self.late_drops = self.late_drops.wrapping_add(outcome.evidence.early_breaks.into());
                self.late_drop_after = self.before_newest;
            }
        }
    }

    /// Notes that something fell while no vend ran.
    pub fn note_late_drop(&mut self) {
        self.late_drops = self.late_drops.wrapping_add(1);
        self.late_drop_after = self.newest;
    }

    /// Notes the result of a sensor test.
    pub fn note_sensor(&mut self, sensor: SensorState) {
        self.sensor = sensor;
    }

    fn expire(&mut self, now: Instant) {
        if let Vend::Active { command, accepted, taken: false } = self.vend
            && now.millis_since(accepted) >= BEGIN_WITHIN_MS
        {
            self.vend = Vend::Done { command, outcome: Outcome::not_started(NotStarted::TooLate) };
        }
    }

    fn vend_state(&self, now: Instant) -> VendState {
        match self.vend {
            Vend::Idle => VendState::Idle,
            Vend::Active { command, accepted, .. } => VendState::Running {
                nonce: command.nonce,
                vend_id: command.vend_id,
                elapsed_ms: now.millis_since(accepted),
            },
            Vend::Done { command, outcome } => {
                VendState::Done { nonce: command.nonce, vend_id: command.vend_id, outcome }
            }
        }
    }
}

impl Vend {
    const fn command(&self) -> Option<&VendCommand> {
        match self {
            Self::Idle => None,
            Self::Active { command, .. } | Self::Done { command, .. } => Some(command),
        }
    }
}

#[cfg(test)]
mod tests;
