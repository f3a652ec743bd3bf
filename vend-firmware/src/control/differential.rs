//! `vend-hal`'s board behind the [`Responder`], and the protocol crate's [`VendGate`] behind a session of its own, get the same
//! bytes and must give the same bytes.

extern crate std;

use std::{collections::BTreeMap, vec, vec::Vec};

use vend_hal::{
    Attempt, BoardConfig, BoardState, DropReport, Evidence, Instant, MotorCode, NotStarted, Outcome,
    SensorState,
};
use vend_protocol::{
    ConfigHash, SlotId,
    cobs::{Decoder, encode, line_len},
    control_link::{
        BEGIN_WITHIN_MS, IdentifyRequest, QueryRequest, Request, VendGate, VendLabel, VendLimits, VendState,
    },
    frame::{self, CONTROL_FRAME_MAX, Frame},
};

use super::*;

const LANES: u8 = 4;
const CONFIGS: [u8; 2] = [0, 9];

/// Xorshift (Marsaglia, 2003).
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn small(&mut self, bound: u8) -> u8 {
        u8::try_from(self.below(bound.into())).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

struct Hal<'a>(&'a mut BoardState, Instant);

impl Commands for Hal<'_> {
    fn open(&mut self, nonce: Nonce) -> Result<Opened, OpenRefused> {
        self.0.open(self.1, nonce)
    }

    fn query(&mut self) -> BoardStatus {
        self.0.query(self.1)
    }

    fn start(&mut self, command: &VendCommand) -> Result<vend_hal::VendState, StartRefused> {
        self.0.start(self.1, command)
    }

    fn forget(&mut self, nonce: Nonce, vend: VendId) -> Result<(), ForgetRefused> {
        self.0.forget(self.1, nonce, vend)
    }
}

/// A board as the protocol crate would have it. What is not the gate's business (sensors, counters) it takes from the other.
struct Ruled<'a> {
    gate: &'a mut VendGate,
    other: BoardStatus,
    config: &'a ControlConfig,
    now_ms: u64,
}

impl BoardHandler for Ruled<'_> {
    fn identify(&mut self) -> Identity {
        map::identity(&self.other, self.config)
    }

    fn query(&mut self) -> QueryAnswer {
        self.gate.query(self.now_ms, map::status(&self.other, false, self.config).status)
    }

    fn open(&mut self, request: &OpenRequest) -> OpenAnswer {
        self.gate.open(self.now_ms, request)
    }

    fn vend(&mut self, request: &VendRequest) -> VendAnswer {
        let (other, own) = (&self.other, &self.config.limits);
        self.gate.vend(self.now_ms, request, |request| {
            let command = map::command(request, own);
            map::check(other, request, &command)?;
            if command.limits.worst_case_ms() > other.max_vend_ms {
                return Err(Refusal::LIMITS);
            }
            Ok(())
        })
    }

    fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer {
        self.gate.forget(self.now_ms, request)
    }
}

struct Pair {
    rng: Rng,
    now_ms: u64,
    config: ControlConfig,
    hal: BoardState,
    responder: Responder,
    gate: VendGate,
    session: BoardSession,
    /// The vend in motion.
    taken: Option<vend_protocol::VendId>,
    /// The highest vend number that was asked for.
    newest: u64,
    /// Answers by their kind and first two payload bytes.
    seen: BTreeMap<(u8, Vec<u8>), u32>,
    starts: u32,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let config = ControlConfig::default();
        Self {
            rng: Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now_ms: 0,
            hal: BoardState::new(BoardConfig::default(), LANES),
            responder: Responder::new(config.clone()),
            gate: VendGate::new(ConfigHash([0; 8])),
            session: BoardSession::new(config.address),
            config,
            taken: None,
            newest: 1,
            seen: BTreeMap::new(),
            starts: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.now_ms)
    }

    /// The power is cut and comes back.
    fn reset(&mut self) {
        let fresh = Self::new(1);
        (self.hal, self.responder, self.gate) = (fresh.hal, fresh.responder, fresh.gate);
        (self.session, self.taken) = (fresh.session, None);
    }

    fn ask<R: Request>(&mut self, request: &R) {
        let mut out = [0; CONTROL_FRAME_MAX];
        let len = frame::write(self.config.address, 7, request, &mut out).unwrap();
        let mut line = [0; line_len(CONTROL_FRAME_MAX)];
        let len = encode(&out[..len], &mut line).unwrap();
        let (mut ours, mut theirs) = (Vec::<u8>::new(), Vec::<u8>::new());
        let now = self.now();
        for byte in &line[..len] {
            // Before the byte: what the gate answers must not depend on what the other one does.
            let other = self.hal.query(now);
            let (gate, config, now_ms) = (&mut self.gate, &self.config, self.now_ms);
            let mut board = Ruled { gate, other, config, now_ms };
            ours.extend(self.session.handle_byte(*byte, &mut board).unwrap_or_default());
            let mut board = Hal(&mut self.hal, now);
            theirs.extend(self.responder.handle_byte(*byte, &mut board).unwrap_or_default());
        }
        assert_eq!(ours, theirs, "the gate's answer on the left");
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        for byte in ours {
            let Some(frame) = decoder.push(byte) else { continue };
            let frame = Frame::parse(frame).unwrap();
            let start = frame.payload.iter().take(2).copied().collect();
            *self.seen.entry((frame.kind, start)).or_default() += 1;
        }
    }

    fn vend(&mut self) {
        let own = self.config.limits.worst_case_ms();
        let max_vend_ms = self.rng.pick(&[own + 1, 30_000, 30_000, 30_000, 100]);
        let request = VendRequest {
            nonce: self.nonce(),
            vend: self.number(),
            config: self.hash(),
            lane: SlotId::new(self.rng.pick(&[1, 1, 1, 2, u64::from(LANES), 5, 300])).unwrap(),
            limits: VendLimits {
                max_vend_ms,
                extra_quarter_turns: self.rng.small(5),
                without_sensor: self.rng.below(2) == 0,
            },
            label: VendLabel { authority: self.rng.below(3), line: 0 },
        };
        for _ in 0..self.rng.pick(&[1, 1, 2]) {
            self.ask(&request);
        }
    }

    fn nonce(&mut self) -> vend_protocol::Nonce {
        let present = self.hal.query(self.now()).nonce.filter(|_| self.rng.below(4) > 0);
        vend_protocol::Nonce(present.map_or([self.rng.small(12); 16], |nonce| nonce.0))
    }

    fn number(&mut self) -> vend_protocol::VendId {
        // Mostly the newest, or one above it.
        self.newest += u64::from(self.rng.below(4) == 0);
        let below = if self.rng.below(4) == 0 { self.rng.below(self.newest) } else { 0 };
        vend_protocol::VendId::new(self.newest - below).unwrap()
    }

    fn hash(&mut self) -> ConfigHash {
        if self.rng.below(4) > 0 { self.gate.config() } else { ConfigHash([self.rng.pick(&CONFIGS); 8]) }
    }

    /// The side that moves looks for a vend, or ends the one it has.
    fn moves(&mut self) {
        let now = self.now();
        if let Some(vend) = self.taken.take() {
            let outcome = outcome(&mut self.rng);
            let hal = VendId(vend.number());
            self.hal.finish(hal, outcome);
            let done = vend_hal::VendState::Done { nonce: Nonce([0; 16]), vend_id: hal, outcome };
            let Some((_, _, VendState::Done(result))) = map::vend_state(&done) else { panic!("not done") };
            self.gate.finish(vend, result);
            return;
        }
        let (ours, theirs) = (self.gate.poll_start(self.now_ms), self.hal.take_order(now));
        assert_eq!(ours.is_some(), theirs.is_some(), "only one of them starts a motor");
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            assert_eq!(ours.vend.number(), theirs.vend_id.0);
            assert_eq!(ours.nonce.0, theirs.nonce.0);
            assert_eq!(ours.lane.number(), u16::from(theirs.lane.index()) + 1);
            self.taken = Some(ours.vend);
            self.starts += 1;
        }
    }

    fn reconfigure(&mut self) {
        let hash = self.rng.pick(&CONFIGS);
        let max_vend_ms = self.rng.pick(&[30_000, 30_000, 30_000, 100]);
        let config = BoardConfig { config_hash: vend_hal::ConfigHash([hash; 8]), max_vend_ms };
        let theirs = self.hal.reconfigure(config).map_err(map::open_refused);
        assert_eq!(self.gate.reconfigure(ConfigHash([hash; 8])), theirs);
    }

    fn step(&mut self) {
        match self.rng.below(40) {
            0..12 => self.vend(),
            12..20 => self.moves(),
            20..25 => {
                let request = ForgetRequest { nonce: self.nonce(), vend: self.number() };
                self.ask(&request);
            }
            25..28 => {
                let request = OpenRequest { nonce: self.nonce(), config: self.hash() };
                self.ask(&request);
            }
            28..31 => self.ask(&QueryRequest {}),
            31 => self.ask(&IdentifyRequest {}),
            32..37 => self.now_ms += self.rng.pick(&[0, 1, 50, BEGIN_WITHIN_MS - 1, BEGIN_WITHIN_MS, 5_000]),
            37 => {
                let fault = SensorState::Fault(vend_hal::SensorFault::Blocked);
                let state = self.rng.pick(&[SensorState::Ok, SensorState::NotFitted, fault]);
                self.hal.note_sensor(state);
            }
            38 => self.reconfigure(),
            _ if self.rng.below(8) == 0 => self.reset(),
            _ => self.forget_last(),
        }
    }

    /// Random numbers seldom hit the vend whose result is kept.
    fn forget_last(&mut self) {
        let (nonce, vend_id) = match self.hal.poll(self.now()) {
            vend_hal::VendState::Idle => return,
            vend_hal::VendState::Running { nonce, vend_id, .. }
            | vend_hal::VendState::Done { nonce, vend_id, .. } => (nonce, vend_id),
        };
        let vend = vend_protocol::VendId::new(vend_id.0.into()).unwrap();
        self.ask(&ForgetRequest { nonce: vend_protocol::Nonce(nonce.0), vend });
    }
}

fn outcome(rng: &mut Rng) -> Outcome {
    let attempt =
        rng.pick(&[Attempt::Started, Attempt::Started, Attempt::NotStarted(NotStarted::SensorBlocked)]);
    let motor = rng.pick(&[MotorCode::Ok, MotorCode::OverCurrent, MotorCode::Drive, MotorCode::Other(77)]);
    let drop =
        rng.pick(&[DropReport::Seen, DropReport::NotSeen, DropReport::NotFitted, DropReport::SensorFault]);
    let evidence = Evidence {
        run_ms: u32::try_from(rng.below(9_000)).unwrap(),
        peak_current_ma: rng.pick(&[None, Some(0), Some(640)]),
        beam_breaks: rng.small(4),
        first_break_ms: rng.pick(&[None, Some(1_200)]),
        early_breaks: rng.small(2),
        extra_quarter_turns: rng.small(4),
    };
    Outcome { attempt, motor, drop, interrupted: rng.below(5) == 0, evidence }
}

/// Runs `seeds` lists of 400 operations; gives the answers by kind and start, and the motor starts.
fn run(seeds: u64) -> (BTreeMap<(u8, Vec<u8>), u32>, u32) {
    let (mut seen, mut starts) = (BTreeMap::new(), 0);
    for seed in 1..=seeds {
        let result = std::panic::catch_unwind(|| {
            let mut pair = Pair::new(seed);
            for _ in 0..400 {
                pair.step();
            }
            (pair.seen, pair.starts)
        });
        let Ok((answers, started)) = result else { panic!("seed {seed} shows it") };
        for (answer, count) in answers {
            *seen.entry(answer).or_insert(0) += count;
        }
        starts += started;
    }
    (seen, starts)
}

#[test]
fn vend_hal_and_the_gate_answer_alike() {
    let (seen, starts) = run(500);
    let sum: u32 = seen.values().sum();
    std::println!("{sum} answers, {} different beginnings, {starts} motor starts", seen.len());
    assert!(starts > 2_000, "{starts}");
    let refusals = [
        Refusal::RUNNING,
        Refusal::NONCE,
        Refusal::CONFIG,
        Refusal::OLD_VEND,
        Refusal::LANE,
        Refusal::RESULT_KEPT,
        Refusal::LIMITS,
    ];
    for refusal in refusals {
        let key = (control_link::kind::VENDING, vec![0, refusal.0]);
        assert!(seen.get(&key).is_some_and(|count| *count > 20), "{refusal} was hardly met");
    }
    for refusal in [Refusal::RUNNING, Refusal::NONCE, Refusal::CONFIG] {
        let key = (control_link::kind::OPENED, vec![1, refusal.0]);
        assert!(seen.get(&key).is_some_and(|count| *count > 20), "{refusal} was hardly met");
    }
    for refusal in [Refusal::RUNNING, Refusal::OTHER_VEND] {
        let key = (control_link::kind::FORGOTTEN, vec![1, refusal.0]);
        assert!(seen.get(&key).is_some_and(|count| *count > 20), "{refusal} was hardly met");
    }
}
