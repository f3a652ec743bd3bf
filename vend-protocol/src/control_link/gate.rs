//! The rules by which a control board vends, without pins or waiting.

use super::{
    AbortRequest, BoardStatus, ForgetAnswer, ForgetRequest, LastVend, OpenAnswer, OpenRequest, QueryAnswer,
    Refusal, VendAnswer, VendRequest, VendResult, VendState,
};
use crate::{ConfigHash, DropReport, MotorCode, Nonce, Outcome, Reason, Start, VendId};

/// Openings that were left and are remembered, so that a delayed frame cannot bring one back.
const FORMER_NONCES: usize = 8;
/// A vend that was accepted and not begun for so long is never begun, in milliseconds: the main board must learn that nothing
/// moved rather than be surprised later.
pub const BEGIN_WITHIN_MS: u64 = 1_000;

/// What a control board remembers of openings and vends, and the rules for both.
///
/// Everything is in RAM: a board that lost power is not open, and that is how the main board learns of it. The rules:
///
/// - A vend starts only under the present nonce and the configuration in force, with a number above all before under that nonce.
/// - The number of the last vend is answered with that vend's state, and starts nothing.
/// - While a vend runs none starts and no other nonce is taken. A result is kept until it is forgotten, also across openings,
///   and nothing starts before that.
/// - A nonce that was left is not taken again; the last eight are remembered.
/// - A vend that was accepted is begun within [`BEGIN_WITHIN_MS`] or never.
///
/// The side that moves asks [`VendGate::poll_start`] all the time and tells [`VendGate::finish`] when the motor rests.
/// A board built on `vend-hal` has these rules there; a test in `vend-firmware` compares every answer of both.
///
/// Memory: 280 bytes.
///
/// ```
/// use vend_protocol::control_link::{
///     Evidence, OpenRequest, VendAnswer, VendGate, VendLabel, VendLimits, VendRequest, VendResult, VendState,
/// };
/// use vend_protocol::{ConfigHash, DropReport, MotorCode, Nonce, Outcome, SlotId, Start, VendId};
///
/// let (nonce, config) = (Nonce([7; 16]), ConfigHash([0; 8]));
/// let mut gate = VendGate::new(config);
/// assert_eq!(gate.open(0, &OpenRequest { nonce, config }).refused, None);
///
/// let request = VendRequest {
///     nonce,
///     vend: VendId::new(1).unwrap(),
///     config,
///     lane: SlotId::new(3).unwrap(),
///     limits: VendLimits::default(),
///     label: VendLabel { authority: 12, line: 0 },
/// };
/// assert_eq!(gate.vend(0, &request, |_| Ok(())), VendAnswer::State(VendState::Running));
/// assert_eq!(gate.poll_start(2), Some(request)); // switch the motor on
///
/// let outcome = Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };
/// let result = VendResult { outcome, evidence: Evidence::default() };
/// gate.finish(request.vend, result);
/// assert_eq!(gate.vend(3_000, &request, |_| Ok(())), VendAnswer::State(VendState::Done(result)));
/// assert_eq!(gate.poll_start(3_000), None); // the repeat started nothing
/// ```
#[derive(Clone, Debug)]
pub struct VendGate {
    config: ConfigHash,
    nonce: Option<Nonce>,
    /// The highest number accepted under the nonce.
    highest: Option<VendId>,
    former: [Option<Nonce>; FORMER_NONCES],
    next_former: usize,
    held: Held,
}

/// The vend that the gate holds.
#[derive(Clone, Copy, Debug)]
enum Held {
    Nothing,
    /// Accepted; the side that moves has not taken it.
    Accepted {
        request: VendRequest,
        at_ms: u64,
    },
    Running {
        request: VendRequest,
        abort: bool,
    },
    Done {
        request: VendRequest,
        result: VendResult,
    },
}

impl Held {
    const fn request(&self) -> Option<&VendRequest> {
        match self {
            Self::Nothing => None,
            Self::Accepted { request, .. } | Self::Running { request, .. } | Self::Done { request, .. } => {
                Some(request)
            }
        }
    }

    const fn is_running(&self) -> bool {
        matches!(self, Self::Accepted { .. } | Self::Running { .. })
    }

    const fn state(&self) -> VendState {
        match self {
            Self::Done { result, .. } => VendState::Done(*result),
            _ => VendState::Running,
        }
    }
}

/// The side that answers the main board.
impl VendGate {
    /// A board that has just started, under this configuration.
    pub const fn new(config: ConfigHash) -> Self {
        Self {
            config,
            nonce: None,
            highest: None,
            former: [None; FORMER_NONCES],
            next_former: 0,
            held: Held::Nothing,
        }
    }

    /// The answer to an opening.
    pub fn open(&mut self, now_ms: u64, request: &OpenRequest) -> OpenAnswer {
        self.expire(now_ms);
        OpenAnswer { refused: self.try_open(request).err() }
    }

    fn try_open(&mut self, request: &OpenRequest) -> Result<(), Refusal> {
        if request.config != self.config {
            return Err(Refusal::CONFIG);
        }
        // A repeat must not lower the mark: the vends under it would start again.
        if self.nonce == Some(request.nonce) {
            return Ok(());
        }
        if self.held.is_running() {
            return Err(Refusal::RUNNING);
        }
        if self.former.contains(&Some(request.nonce)) {
            return Err(Refusal::NONCE);
        }
        if let Some(left) = self.nonce.replace(request.nonce) {
            if let Some(place) = self.former.get_mut(self.next_former) {
                *place = Some(left);
            }
            self.next_former = (self.next_former + 1) % FORMER_NONCES;
        }
        self.highest = None;
        Ok(())
    }

    /// The answer to a vend. `allow` is asked only for a vend that would start now: whether there is such a lane, whether the
    /// limits and the drop sensor allow it, whether a task or an update is under way.
    pub fn vend(
        &mut self,
        now_ms: u64,
        request: &VendRequest,
        allow: impl FnOnce(&VendRequest) -> Result<(), Refusal>,
    ) -> VendAnswer {
        self.expire(now_ms);
        match self.try_vend(now_ms, request, allow) {
            Ok(()) => VendAnswer::State(self.held.state()),
            Err(refusal) => VendAnswer::Refused(refusal),
        }
    }

    fn try_vend(
        &mut self,
        now_ms: u64,
        request: &VendRequest,
        allow: impl FnOnce(&VendRequest) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.nonce != Some(request.nonce) {
            return Err(Refusal::NONCE);
        }
        if self.holds(request.nonce, request.vend) {
            // One number, one lane: anything else is not a repeat.
            let same = self.held.request().is_some_and(|held| held.lane == request.lane);
            return if same { Ok(()) } else { Err(Refusal::OLD_VEND) };
        }
        if self.highest.is_some_and(|highest| request.vend <= highest) {
            return Err(Refusal::OLD_VEND);
        }
        match self.held {
            Held::Nothing => {}
            Held::Done { .. } => return Err(Refusal::RESULT_KEPT),
            Held::Accepted { .. } | Held::Running { .. } => return Err(Refusal::RUNNING),
        }
        if request.config != self.config {
            return Err(Refusal::CONFIG);
        }
        allow(request)?;
        self.highest = Some(request.vend);
        self.held = Held::Accepted { request: *request, at_ms: now_ms };
        Ok(())
    }

    /// The answer to the forgetting of a result.
    pub fn forget(&mut self, now_ms: u64, request: &ForgetRequest) -> ForgetAnswer {
        self.expire(now_ms);
        let refused = match self.held {
            Held::Nothing => None,
            Held::Accepted { .. } | Held::Running { .. } => Some(Refusal::RUNNING),
            Held::Done { .. } if !self.holds(request.nonce, request.vend) => Some(Refusal::OTHER_VEND),
            Held::Done { .. } => {
                self.held = Held::Nothing;
                None
            }
        };
        ForgetAnswer { refused }
    }

    /// The answer to an abort. A vend that was not begun never is; one that runs ends when the side that moves has seen
    /// [`VendGate::is_aborted`].
    pub fn abort(&mut self, now_ms: u64, request: &AbortRequest) -> VendAnswer {
        self.expire(now_ms);
        if !self.holds(request.nonce, request.vend) {
            return VendAnswer::Refused(Refusal::OTHER_VEND);
        }
        if let Held::Accepted { request, .. } = self.held {
            self.never_begun(request, MotorCode::ABORTED);
        }
        if let Held::Running { abort, .. } = &mut self.held {
            *abort = true;
        }
        VendAnswer::State(self.held.state())
    }

    /// The answer to a query, with what the board says of itself.
    pub fn query(&mut self, now_ms: u64, status: BoardStatus) -> QueryAnswer {
        self.expire(now_ms);
        QueryAnswer { nonce: self.nonce, config: self.config, last: self.last(), status }
    }

    /// Goes by another configuration: vends that name the one before are refused from now on.
    ///
    /// # Errors
    /// [`Refusal::RUNNING`] while a vend runs.
    pub fn reconfigure(&mut self, config: ConfigHash) -> Result<(), Refusal> {
        if self.held.is_running() {
            return Err(Refusal::RUNNING);
        }
        self.config = config;
        Ok(())
    }

    /// The configuration in force.
    pub const fn config(&self) -> ConfigHash {
        self.config
    }

    /// Whether a vend was accepted and has not ended: no task, no configuration and no writing to flash meanwhile.
    pub const fn is_running(&self) -> bool {
        self.held.is_running()
    }

    fn last(&self) -> Option<LastVend> {
        let request = self.held.request()?;
        Some(LastVend { nonce: request.nonce, vend: request.vend, state: self.held.state() })
    }

    fn holds(&self, nonce: Nonce, vend: VendId) -> bool {
        self.held.request().is_some_and(|held| (held.nonce, held.vend) == (nonce, vend))
    }

    fn expire(&mut self, now_ms: u64) {
        if let Held::Accepted { request, at_ms } = self.held
            && now_ms.saturating_sub(at_ms) >= BEGIN_WITHIN_MS
        {
            self.never_begun(request, MotorCode::OK);
        }
    }

    fn never_begun(&mut self, request: VendRequest, motor: MotorCode) {
        let start = Start::NotStarted(Reason::REFUSED);
        let outcome = Outcome { start, motor, drop: DropReport::NotSeen, interrupted: false };
        let result = VendResult { outcome, evidence: super::Evidence::default() };
        self.held = Held::Done { request, result };
    }
}

/// The side that moves.
impl VendGate {
    /// The vend to begin, once. It has to be [finished](Self::finish), whatever happens.
    #[must_use = "a vend that was taken and not run is never run, and never ends"]
    pub fn poll_start(&mut self, now_ms: u64) -> Option<VendRequest> {
        self.expire(now_ms);
        let Held::Accepted { request, .. } = self.held else { return None };
        self.held = Held::Running { request, abort: false };
        Some(request)
    }

    /// Whether the vend that runs is to end as soon as the mechanism allows, with [`MotorCode::ABORTED`].
    pub const fn is_aborted(&self) -> bool {
        matches!(self.held, Held::Running { abort: true, .. })
    }

    /// The vend that was taken has ended. For any other number nothing happens.
    pub fn finish(&mut self, vend: VendId, result: VendResult) {
        if let Held::Running { request, .. } = self.held
            && request.vend == vend
        {
            self.held = Held::Done { request, result };
        }
    }
}

#[cfg(test)]
mod tests;
