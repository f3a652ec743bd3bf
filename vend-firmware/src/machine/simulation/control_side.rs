//! The control board, the line to it, and what its mechanism does.

extern crate std;

use std::vec::Vec;

use vend_hal::{
    Attempt, BoardConfig, BoardState, DropReport, Evidence, Instant, MotorCode, Nonce, NotStarted,
    OpenRefused, Opened, Outcome, SensorState, StartRefused, VendCommand, VendId, VendState,
};
use vend_protocol::{
    cobs::{Decoder, line_len},
    control_link::VendRequest,
    frame::{CONTROL_FRAME_MAX, Frame},
};

use super::{SECTOR, World, due, server::EPOCH_MS};
use crate::{
    control::{Commands, ControlConfig, Responder},
    journal::{
        Journal, State,
        test_flash::{Rng, TestFlash},
    },
};

/// The control board: `vend-hal`'s rules, and a mechanism that only counts.
pub(super) struct ControlSide {
    pub(super) state: BoardState,
    pub(super) responder: Responder,
    /// The running vend and when it ends.
    pub(super) running: Option<(VendId, u64, Outcome)>,
    /// When the motion side looks next.
    pub(super) looks_at_ms: u64,
}

struct At<'a>(&'a mut BoardState, Instant);

impl Commands for At<'_> {
    fn open(&mut self, nonce: Nonce) -> Result<Opened, OpenRefused> {
        self.0.open(self.1, nonce)
    }

    fn query(&mut self) -> vend_hal::BoardStatus {
        self.0.query(self.1)
    }

    fn start(&mut self, command: &VendCommand) -> Result<VendState, StartRefused> {
        self.0.start(self.1, command)
    }

    fn forget(&mut self, nonce: Nonce, vend: VendId) -> Result<(), vend_hal::ForgetRefused> {
        self.0.forget(self.1, nonce, vend)
    }
}

impl World {
    pub(super) fn boot_control(&mut self) {
        let mut state = BoardState::new(BoardConfig::default(), 6);
        state.note_sensor(self.sensor);
        let boot = u32::try_from(self.now_ms).unwrap();
        let responder = Responder::new(ControlConfig { boot, ..ControlConfig::default() });
        let looks_at_ms = self.now_ms;
        self.control = Some(ControlSide { state, responder, running: None, looks_at_ms });
    }

    pub(super) fn cut_control(&mut self, off_ms: u64) {
        self.control = None;
        self.control_on_ms = self.now_ms + off_ms;
        self.to_control.clear();
    }

    /// Puts a line on a wire, with its faults.
    pub(super) fn transmit(&mut self, to_control: bool, line: &[u8]) {
        let at = self.now_ms + 1 + self.rng.below(3);
        let mut bytes = line.to_vec();
        if self.rng.chance(self.faults.control_lost) {
            return;
        }
        if self.rng.chance(self.faults.control_garbled) {
            let index = usize::try_from(self.rng.below(bytes.len() as u64)).unwrap();
            if self.rng.chance(500) {
                bytes[index] ^= 1 << self.rng.below(8);
            } else {
                bytes.remove(index);
            }
        }
        let copies = 1 + usize::from(self.rng.chance(self.faults.control_doubled));
        let wire = if to_control { &mut self.to_control } else { &mut self.to_main };
        // A wire keeps the order of bytes.
        let at = wire.back().map_or(at, |(last, _)| at.max(*last));
        for _ in 0..copies {
            wire.push_back((at, bytes.clone()));
        }
    }

    /// Notes what vends are for, as someone who reads the line.
    pub(super) fn sniff(&mut self, line: &[u8]) {
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        for byte in line {
            if let Some(frame) = decoder.push(*byte)
                && let Ok(frame) = Frame::parse(frame)
                && let Ok(vend) = frame.decode::<VendRequest>()
            {
                let label = (vend.label.authority, vend.label.line);
                let before = self.labels.insert(vend.vend.number(), label);
                assert!(before.is_none_or(|before| before == label), "a vend number with two meanings");
            }
        }
    }

    pub(super) fn step_control(&mut self) {
        let now = self.now();
        while let Some(line) = due(&mut self.to_control, self.now_ms) {
            let Some(control) = &mut self.control else { continue };
            let mut answers = Vec::new();
            for byte in line {
                let mut board = At(&mut control.state, now);
                answers.extend(control.responder.handle_byte(byte, &mut board).map(<[u8]>::to_vec));
            }
            for answer in answers {
                assert!(answer.len() <= line_len(CONTROL_FRAME_MAX));
                self.transmit(false, &answer);
            }
        }
        self.step_motion();
    }

    pub(super) fn step_motion(&mut self) {
        let now = self.now();
        let Some(control) = &mut self.control else { return };
        if let Some((vend, ends_ms, outcome)) = control.running
            && self.now_ms >= ends_ms
        {
            control.running = None;
            control.state.finish(vend, outcome);
            self.ended.insert(self.labels[&vend.0], outcome);
        }
        if control.running.is_some() || self.now_ms < control.looks_at_ms {
            return;
        }
        let late = self.rng.chance(5) && !self.perfect;
        control.looks_at_ms = self.now_ms + if late { 1200 } else { 2 };
        if let Some(order) = control.state.take_order(now) {
            let outcome = if self.perfect { SOLD } else { outcome(&mut self.rng, self.sensor) };
            let ends_ms = self.now_ms + self.vend_ms.unwrap_or_else(|| 200 + self.rng.below(6000));
            control.running = Some((order.vend_id, ends_ms, outcome));
            if outcome.started() {
                self.motor_started(order.vend_id);
            }
        }
    }

    /// The invariants that hold whenever a motor starts.
    pub(super) fn motor_started(&mut self, vend: VendId) {
        let label @ (seq, line) = self.labels[&vend.0];
        let count = self.started.entry(label).or_default();
        *count += 1;
        assert_eq!(*count, 1, "I2: line {line} of authorization {seq} started twice");
        let issued = self.server.issued.get(&seq).expect("I3: a motor started without an authorization");
        let deadline_ms = issued.body.deadline_ms;
        assert!(EPOCH_MS + self.now_ms <= deadline_ms + 2_500, "started long after the deadline");
        let copy = self.flash.with_bytes(|bytes| bytes.clone());
        let flash = TestFlash::blank(copy.len(), 0);
        flash.with_bytes(|bytes| *bytes = copy);
        let state: State = Journal::open(flash, SECTOR).unwrap().state().clone();
        assert!(state.numbers.used_seq >= seq, "I3: a motor started before its authorization was journaled");
    }
}

const SOLD: Outcome = Outcome {
    attempt: Attempt::Started,
    motor: MotorCode::Ok,
    drop: DropReport::Seen,
    interrupted: false,
    evidence: Evidence::EMPTY,
};

fn outcome(rng: &mut Rng, sensor: SensorState) -> Outcome {
    if matches!(sensor, SensorState::Fault(_)) || rng.chance(20) {
        return Outcome::not_started(NotStarted::SensorBlocked);
    }
    let drop = match rng.below(10) {
        0 => DropReport::NotSeen,
        1 => DropReport::SensorFault,
        _ => DropReport::Seen,
    };
    let motor = if rng.chance(50) { MotorCode::OverCurrent } else { MotorCode::Ok };
    Outcome { attempt: Attempt::Started, motor, drop, interrupted: false, evidence: Evidence::EMPTY }
}
