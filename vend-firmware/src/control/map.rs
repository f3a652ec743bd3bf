//! The one mapping between the wire's types and `vend-hal`'s.

use vend_hal::{
    Attempt, BoardStatus, ForgetRefused, LaneId, NotStarted, OpenRefused, SensorFault, SensorState,
    StartRefused, VendCommand, VendLimits,
};
use vend_protocol::{
    ConfigHash, DropReport, List, MotorCode, Nonce, Outcome, Reason, SlotId, Start, VendId,
    control_link::{
        self, Evidence, Features, Identity, LastVend, QueryAnswer, Refusal, VendRequest, VendResult,
        VendState,
    },
    frame::CONTROL_FRAME_MAX,
};

use super::ControlConfig;

pub(super) const fn nonce_to_hal(nonce: Nonce) -> vend_hal::Nonce {
    vend_hal::Nonce(nonce.0)
}

pub(super) const fn config_to_hal(config: ConfigHash) -> vend_hal::ConfigHash {
    vend_hal::ConfigHash(config.0)
}

/// Slot 1 is lane 0. No board has a lane 255, so it stands for every one that cannot be.
fn lane(slot: SlotId) -> LaneId {
    LaneId::new(u8::try_from(slot.number().saturating_sub(1)).unwrap_or(u8::MAX))
}

/// The command a request stands for: the stricter limits of the two.
pub(super) fn command(request: &VendRequest, own: &VendLimits) -> VendCommand {
    let extra_quarter_turns = request.limits.extra_quarter_turns.min(own.quarter_turns());
    VendCommand {
        nonce: nonce_to_hal(request.nonce),
        vend_id: vend_hal::VendId(request.vend.number()),
        config_hash: config_to_hal(request.config),
        lane: lane(request.lane),
        limits: VendLimits { extra_quarter_turns, ..*own },
    }
}

/// Whether the board would accept the command as a new vend, as far as nonce, number and state are concerned.
pub(super) fn would_start(status: &BoardStatus, command: &VendCommand) -> bool {
    status.nonce == Some(command.nonce)
        && status.config_hash == command.config_hash
        && status.last_vend_id.is_none_or(|last| command.vend_id > last)
        && status.vend == vend_hal::VendState::Idle
}

/// What the request asks for and `vend-hal` does not look at.
pub(super) fn check(
    status: &BoardStatus,
    request: &VendRequest,
    command: &VendCommand,
) -> Result<(), Refusal> {
    if command.lane.index() >= status.lanes {
        return Err(Refusal::LANE);
    }
    let sensor = status.sensor != SensorState::NotFitted || request.limits.without_sensor;
    if !sensor || command.limits.worst_case_ms() > request.limits.max_vend_ms {
        return Err(Refusal::LIMITS);
    }
    Ok(())
}

pub(super) fn identity(status: &BoardStatus, config: &ControlConfig) -> Identity {
    let fitted = status.sensor != SensorState::NotFitted;
    let sensor = if fitted { Features::DROP_SENSOR } else { Features::default() };
    Identity {
        lanes: status.lanes.into(),
        max_vend_ms: status.max_vend_ms,
        // A frame is never longer than 256 bytes.
        frame_max: u16::try_from(CONTROL_FRAME_MAX).unwrap_or(u16::MAX),
        features: config.features.with(sensor),
        version: config.version,
        firmware: config.firmware,
        hardware: config.hardware,
        serial: config.serial,
    }
}

pub(super) fn status(status: &BoardStatus, door_open: bool, config: &ControlConfig) -> QueryAnswer {
    let last = vend_state(&status.vend).and_then(|(nonce, vend, state)| {
        // A number 0 cannot have come over the wire.
        Some(LastVend { nonce: Nonce(nonce.0), vend: VendId::new(vend.0.into()).ok()?, state })
    });
    QueryAnswer {
        nonce: status.nonce.map(|nonce| Nonce(nonce.0)),
        config: ConfigHash(status.config_hash.0),
        last,
        status: control_link::BoardStatus {
            boot: config.boot,
            sensor: sensor(status.sensor),
            door_open,
            late_drops: status.late_drops,
            faults: 0,
            inputs: 0,
            temperatures_dc: List::default(),
            supply_mv: 0,
            newest_event: 0,
        },
    }
}

const fn sensor(state: SensorState) -> control_link::SensorState {
    match state {
        SensorState::Ok => control_link::SensorState::CLEAR,
        SensorState::NotFitted => control_link::SensorState::NOT_FITTED,
        SensorState::Untested => control_link::SensorState::UNTESTED,
        SensorState::Fault(SensorFault::Blocked) => control_link::SensorState::BLOCKED,
        SensorState::Fault(SensorFault::Falsing) => control_link::SensorState::BLINDED,
        // The pins, and what a newer `vend-hal` may add.
        SensorState::Fault(_) => control_link::SensorState::FAULT,
    }
}

/// The vend a state is of, and that vend's state.
pub(super) fn vend_state(
    state: &vend_hal::VendState,
) -> Option<(vend_hal::Nonce, vend_hal::VendId, VendState)> {
    match state {
        vend_hal::VendState::Idle => None,
        vend_hal::VendState::Running { nonce, vend_id, .. } => Some((*nonce, *vend_id, VendState::Running)),
        vend_hal::VendState::Done { nonce, vend_id, outcome: facts } => {
            let result = VendResult { outcome: outcome(facts), evidence: evidence(&facts.evidence) };
            Some((*nonce, *vend_id, VendState::Done(result)))
        }
    }
}

fn outcome(outcome: &vend_hal::Outcome) -> Outcome {
    let start = match outcome.attempt {
        Attempt::NotStarted(reason) => Start::NotStarted(not_started(reason)),
        Attempt::Started => Start::Started,
    };
    let drop = match outcome.drop {
        vend_hal::DropReport::Seen => DropReport::Seen,
        vend_hal::DropReport::NotSeen => DropReport::NotSeen,
        vend_hal::DropReport::NotFitted => DropReport::NotFitted,
        vend_hal::DropReport::SensorFault => DropReport::SensorFault,
    };
    Outcome { start, motor: motor(outcome.motor), drop, interrupted: outcome.interrupted }
}

fn not_started(reason: NotStarted) -> Reason {
    match reason {
        NotStarted::SensorBlocked | NotStarted::SensorFalsing | NotStarted::SensorPins => Reason::SENSOR,
        NotStarted::Interlock => Reason::DOOR,
        NotStarted::NoSuchLane => Reason::LANE,
        NotStarted::Other(number) => Reason(number),
        _ => Reason::REFUSED,
    }
}

fn motor(code: vend_hal::MotorCode) -> MotorCode {
    match code {
        vend_hal::MotorCode::Ok => MotorCode::OK,
        vend_hal::MotorCode::OpenLoad => MotorCode::OPEN_LOAD,
        vend_hal::MotorCode::OverCurrent => MotorCode::OVER_CURRENT,
        vend_hal::MotorCode::Short => MotorCode::SHORT,
        vend_hal::MotorCode::TimeoutLeavingHome => MotorCode::TIMEOUT_LEAVING,
        vend_hal::MotorCode::TimeoutReturningHome => MotorCode::TIMEOUT_RETURNING,
        vend_hal::MotorCode::NotHomed => MotorCode::NOT_HOMED,
        vend_hal::MotorCode::Interlock => MotorCode::INTERLOCK,
        vend_hal::MotorCode::Other(number) => MotorCode(number),
        // The drive, and what a newer `vend-hal` may add.
        _ => MotorCode::DRIVE,
    }
}

fn evidence(evidence: &vend_hal::Evidence) -> Evidence {
    Evidence {
        run_ms: evidence.run_ms,
        peak_current_ma: evidence.peak_current_ma.unwrap_or(0),
        // `vend-hal` does not measure it.
        lowest_supply_mv: 0,
        extra_quarter_turns: evidence.extra_quarter_turns,
        beam_breaks: evidence.beam_breaks.into(),
        first_break_ms: evidence.first_break_ms,
    }
}

pub(super) const fn open_refused(refused: OpenRefused) -> Refusal {
    match refused {
        OpenRefused::Running => Refusal::RUNNING,
        OpenRefused::Other(number) => Refusal(number),
        _ => Refusal::NONCE,
    }
}

pub(super) const fn start_refused(refused: StartRefused) -> Refusal {
    match refused {
        StartRefused::OtherConfig => Refusal::CONFIG,
        StartRefused::NotRising | StartRefused::IdReused => Refusal::OLD_VEND,
        StartRefused::Running => Refusal::RUNNING,
        StartRefused::ResultKept => Refusal::RESULT_KEPT,
        StartRefused::NoSuchLane => Refusal::LANE,
        StartRefused::TooLong => Refusal::LIMITS,
        StartRefused::Other(number) => Refusal(number),
        // Not open, another nonce, and what a newer `vend-hal` may add.
        _ => Refusal::NONCE,
    }
}

pub(super) const fn forget_refused(refused: ForgetRefused) -> Refusal {
    match refused {
        ForgetRefused::Running => Refusal::RUNNING,
        ForgetRefused::Other(number) => Refusal(number),
        _ => Refusal::OTHER_VEND,
    }
}
