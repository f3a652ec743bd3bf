//! A control board: the session and the gate of the protocol crate, and a motor that is counted.

use std::collections::BTreeMap;

use vend_protocol::{
    ConfigHash, DropReport, List, MotorCode, Nonce, Outcome, Start,
    control_link::{
        AbortRequest, BoardHandler, BoardSession, BoardStatus, Evidence, Features, ForgetAnswer,
        ForgetRequest, Identity, OpenAnswer, OpenRequest, QueryAnswer, Refusal, SensorState, VendAnswer,
        VendGate, VendRequest, VendResult,
    },
};

use crate::broken::Broken;

pub(crate) const CONFIG: ConfigHash = ConfigHash([7; 8]);
pub(crate) const LANES: u16 = 6;
/// A motor runs for so long, in milliseconds.
const VEND_MS: u64 = 130;

/// What a vend was for: a sale has one label, whatever numbers it is given.
pub(crate) type Label = u64;

/// What motors did, by label.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    starts: BTreeMap<Label, u32>,
    ends: BTreeMap<Label, Outcome>,
    /// The last nonce of each board, for boards that remember it wrongly.
    pub(crate) nonces: BTreeMap<u8, Nonce>,
}

impl Truth {
    fn motor_starts(&mut self, label: Label) -> Result<(), String> {
        let starts = self.starts.entry(label).or_default();
        *starts += 1;
        if *starts > 1 { Err(format!("the motor started twice for sale {label}")) } else { Ok(()) }
    }

    pub(crate) fn starts(&self) -> u32 {
        self.starts.values().sum()
    }

    pub(crate) fn starts_of(&self, label: Label) -> u32 {
        self.starts.get(&label).copied().unwrap_or(0)
    }

    /// How the motor ended, if somebody saw it.
    pub(crate) fn end_of(&self, label: Label) -> Option<Outcome> {
        self.ends.get(&label).copied()
    }
}

#[derive(Debug)]
pub(crate) struct ControlBoard {
    session: BoardSession,
    rules: Rules,
    /// The motor that runs, and when it ends.
    running: Option<(VendRequest, u64)>,
}

/// What the session asks.
#[derive(Debug)]
struct Rules {
    gate: VendGate,
    now_ms: u64,
    boot: u32,
    broken: Broken,
    /// A vend that a broken board starts by itself.
    start: Option<VendRequest>,
    nonce: Option<Nonce>,
}

impl ControlBoard {
    pub(crate) fn new(address: u8, boot: u32, truth: &Truth, broken: Broken) -> Self {
        let mut gate = VendGate::new(CONFIG);
        if let (Broken::NonceOutlivesPower, Some(nonce)) = (broken, truth.nonces.get(&address)) {
            gate.open(0, &OpenRequest { nonce: *nonce, config: CONFIG });
        }
        let rules = Rules { gate, now_ms: 0, boot, broken, start: None, nonce: None };
        Self { session: BoardSession::new(address), rules, running: None }
    }

    pub(crate) fn handle_byte(&mut self, now_ms: u64, byte: u8) -> Option<&[u8]> {
        self.rules.now_ms = now_ms;
        self.session.handle_byte(byte, &mut self.rules)
    }

    /// The side that moves.
    pub(crate) fn turn(&mut self, now_ms: u64, address: u8, truth: &mut Truth) -> Result<(), String> {
        if let Some(nonce) = self.rules.nonce {
            truth.nonces.insert(address, nonce);
        }
        if let Some((request, ends_ms)) = self.running {
            let aborted = self.rules.gate.is_aborted();
            if now_ms >= ends_ms || aborted {
                let outcome = if aborted { ABORTED } else { SOLD };
                truth.ends.insert(request.label.authority, outcome);
                self.rules.gate.finish(request.vend, VendResult { outcome, evidence: Evidence::default() });
                self.running = None;
            }
        }
        let start = self.rules.start.take().or_else(|| self.rules.gate.poll_start(now_ms));
        if let Some(request) = start {
            truth.motor_starts(request.label.authority)?;
            self.running = Some((request, now_ms + VEND_MS));
        }
        Ok(())
    }

    pub(crate) fn poll_timeout(&self) -> u64 {
        self.running.map_or(u64::MAX, |(_, ends_ms)| ends_ms)
    }
}

const SOLD: Outcome =
    Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };
const ABORTED: Outcome = Outcome { motor: MotorCode::ABORTED, drop: DropReport::NotSeen, ..SOLD };

impl BoardHandler for Rules {
    fn identify(&mut self) -> Identity {
        Identity {
            lanes: LANES,
            max_vend_ms: 8_000,
            frame_max: 256,
            features: Features::DROP_SENSOR.with(Features::ABORT),
            version: 0,
            firmware: "test".try_into().unwrap(),
            hardware: "test".try_into().unwrap(),
            serial: "".try_into().unwrap(),
        }
    }

    fn query(&mut self) -> QueryAnswer {
        let status = BoardStatus {
            boot: self.boot,
            sensor: SensorState::CLEAR,
            door_open: false,
            late_drops: 0,
            faults: 0,
            inputs: 0,
            temperatures_dc: List::default(),
            supply_mv: 24_000,
            newest_event: 0,
        };
        self.gate.query(self.now_ms, status)
    }

    fn open(&mut self, request: &OpenRequest) -> OpenAnswer {
        let answer = self.gate.open(self.now_ms, request);
        if answer.refused.is_none() {
            self.nonce = Some(request.nonce);
        }
        answer
    }

    fn vend(&mut self, request: &VendRequest) -> VendAnswer {
        let answer = self.gate.vend(self.now_ms, request, |request| {
            if request.lane.number() <= LANES { Ok(()) } else { Err(Refusal::LANE) }
        });
        if self.broken == Broken::RepeatStarts && matches!(answer, VendAnswer::State(_)) {
            // It takes "accepted" for "start".
            self.start = self.gate.poll_start(self.now_ms).or(Some(*request));
        }
        answer
    }

    fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer {
        self.gate.forget(self.now_ms, request)
    }

    fn abort(&mut self, request: &AbortRequest) -> Option<VendAnswer> {
        Some(self.gate.abort(self.now_ms, request))
    }
}
