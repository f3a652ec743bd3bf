//! Two boards, a line, a link and a server in virtual time, with everything going wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of it is a test")]

extern crate std;

mod broker;
mod control_side;
mod faults;
mod hostile_stories;
mod key_list_stories;
mod link_stories;
mod receipt_stories;
mod server;
mod server_sales;
mod stories;

use std::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use vend_hal::{Instant, Outcome, SensorState, VendState};
use vend_payments::{keys::TrustedKeys, signed::Signer};
use vend_protocol::{
    JournalId, List,
    frame::MACHINE_FRAME_MAX,
    signed::{KeyListBody, Signed},
};

use self::{
    broker::Broker,
    control_side::ControlSide,
    server::{EPOCH_MS, Server, machine_number},
};
use super::{Action, JournalAnswer, JournalRequest, Machine, MachineConfig};
use crate::journal::{
    Error, Journal, State,
    test_flash::{Rng, TestFlash},
};

const SECTOR: u32 = 4096;
const ROOT_SEED: [u8; 32] = [1; 32];
const SERVER_SEED: [u8; 32] = [2; 32];
const MACHINE_SEED: [u8; 32] = [3; 32];

/// Chances out of a thousand, each time.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    control_lost: u64,
    control_doubled: u64,
    control_garbled: u64,
    link_cut: u64,
    main_cut: u64,
    flash_cut: u64,
    control_cut: u64,
    both_cut: u64,
    /// Between machine and server, of each frame.
    broker: u64,
}

#[derive(Debug)]
struct Random(Rng);

impl super::Random for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.next().to_le_bytes()[0]);
    }
}

struct MainBoard {
    machine: Machine<Random, 16>,
    journal: Journal<TestFlash>,
}

struct World {
    now_ms: u64,
    rng: Rng,
    faults: Faults,
    flash: TestFlash,
    main: Option<MainBoard>,
    main_on_ms: u64,
    control: Option<ControlSide>,
    control_on_ms: u64,
    sensor: SensorState,
    to_control: VecDeque<(u64, Vec<u8>)>,
    to_main: VecDeque<(u64, Vec<u8>)>,
    connected: bool,
    connect_at_ms: u64,
    up: VecDeque<(u64, Vec<u8>)>,
    down: VecDeque<(u64, Vec<u8>)>,
    server: Server,
    /// What each vend number was sent for: sequence and line.
    labels: BTreeMap<u32, (u64, u8)>,
    /// Motor starts of each line.
    started: BTreeMap<(u64, u8), u32>,
    /// What the mechanism really did, by line, when it came to an end.
    ended: BTreeMap<(u64, u8), Outcome>,
    next_fault_ms: u64,
    vend_ms: Option<u64>,
    /// Questions to the journal.
    lookups: u32,
    /// The mechanism never fails and is never late.
    perfect: bool,
    broker: Broker,
    /// What a main board finds in its configuration.
    silence_ms: u64,
    /// The key list that outlives a power cut.
    stored_list: Option<Signed>,
    /// What the next storing of a key list ends with.
    store_fault: Option<StoreFault>,
    /// The latest time the machine has told since it started.
    machine_time_ms: u64,
}

/// How the storing of a key list ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreFault {
    CutBefore,
    CutAfter,
    Failed,
}

fn keys() -> TrustedKeys {
    let root = Signer::from_seed(&ROOT_SEED).public_key();
    TrustedKeys::from_root(&root.to_bytes(), root.fingerprint(), &key_list(1, &SERVER_SEED)).unwrap()
}

/// A key list under the root, with one key.
fn key_list(version: u32, seed: &[u8; 32]) -> Signed {
    let keys = List::try_from_iter([Signer::from_seed(seed).public_key().to_bytes()]).unwrap();
    let expires_ms = EPOCH_MS + 86_400_000_000;
    let body = KeyListBody { version, not_before_ms: EPOCH_MS, expires_ms, keys };
    Signer::from_seed(&ROOT_SEED).sign(&body).unwrap()
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = Rng(seed);
        let flash = TestFlash::new(SECTOR as usize * 3, seed);
        Journal::format(flash.clone(), SECTOR, JournalId(rng.bytes())).unwrap();
        let mut world = Self {
            now_ms: 0,
            rng,
            faults,
            flash,
            main: None,
            main_on_ms: 0,
            control: None,
            control_on_ms: 0,
            sensor: SensorState::Ok,
            to_control: VecDeque::new(),
            to_main: VecDeque::new(),
            connected: false,
            connect_at_ms: 50,
            up: VecDeque::new(),
            down: VecDeque::new(),
            server: Server::new(Signer::from_seed(&MACHINE_SEED).public_key()),
            labels: BTreeMap::new(),
            started: BTreeMap::new(),
            ended: BTreeMap::new(),
            next_fault_ms: 0,
            vend_ms: None,
            lookups: 0,
            perfect: false,
            broker: Broker::default(),
            silence_ms: 90_000,
            stored_list: None,
            store_fault: None,
            machine_time_ms: 0,
        };
        world.boot_control();
        world.boot_main();
        world
    }

    fn boot_main(&mut self) {
        self.flash.cut_after(None);
        let journal = Journal::open(self.flash.clone(), SECTOR).expect("the journal survives");
        let random = Random(Rng(self.rng.next()));
        let config = MachineConfig { silence_ms: self.silence_ms, ..MachineConfig::new(machine_number()) };
        let signer = Signer::from_seed(&MACHINE_SEED);
        let state = journal.state().clone();
        let keys = match &self.stored_list {
            Some(list) => keys().with_stored(list).unwrap(),
            None => keys(),
        };
        let machine = Machine::new(config, signer, keys, journal.id(), state, random, self.now_ms);
        self.machine_time_ms = 0;
        self.main = Some(MainBoard { machine, journal });
    }

    fn cut_main(&mut self, off_ms: u64) {
        self.main = None;
        self.main_on_ms = self.now_ms + off_ms;
        self.to_main.clear();
        // What the UART had not sent is gone.
        if let Some((_, line)) = self.to_control.back_mut() {
            let len = line.len();
            line.truncate(usize::try_from(self.rng.below(len as u64 + 1)).unwrap());
        }
        self.disconnect();
    }

    fn disconnect(&mut self) {
        if self.connected {
            self.connected = false;
            self.connect_at_ms = self.now_ms + 100 + self.rng.below(2000);
        }
        self.up.clear();
        self.down.clear();
        self.server.disconnected();
        if let Some(main) = &mut self.main {
            main.machine.handle_disconnected(self.now_ms);
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.now_ms)
    }

    fn drain_main(&mut self) {
        let mut buffer = [0; MACHINE_FRAME_MAX];
        for round in 0.. {
            assert!(round < 1000, "the machine never rests");
            let Some(main) = &mut self.main else { return };
            let action = main.machine.poll_action(self.now_ms, &mut buffer);
            let time_ms = main.machine.server_time_ms(self.now_ms).unwrap_or(0);
            assert!(time_ms >= self.machine_time_ms, "the machine's clock went back");
            self.machine_time_ms = time_ms;
            let Some(action) = action else { return };
            match action {
                Action::Journal(request) => {
                    let answer = match request {
                        JournalRequest::Append(record) => {
                            main.journal.append(&record).map(|()| JournalAnswer::Done)
                        }
                        JournalRequest::Reserve => main.journal.reserve().map(|()| JournalAnswer::Done),
                        JournalRequest::Find(lookup) => {
                            self.lookups += 1;
                            main.journal.receipt(lookup).map(JournalAnswer::Found)
                        }
                    };
                    match answer {
                        Ok(answer) => main.machine.journaled(self.now_ms, answer),
                        Err(Error::Full) => main.machine.journaled(self.now_ms, JournalAnswer::Full),
                        Err(Error::Flash(_)) => {
                            let off_ms = 20 + self.rng.below(3000);
                            return self.cut_main(off_ms);
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    if let Some(main) = &self.main {
                        assert!(!main.machine.is_broken());
                        assert_eq!(main.machine.state(), main.journal.state());
                    }
                }
                Action::ControlBytes(len) => {
                    let line = buffer[..len].to_vec();
                    self.sniff(&line);
                    self.transmit(true, &line);
                }
                Action::MachineFrame(len) => {
                    let at = self.now_ms + 10 + self.rng.below(100);
                    let at = self.up.back().map_or(at, |(last, _)| at.max(*last));
                    for frame in self.broker.pass(self.faults.broker, &mut self.rng, &buffer[..len]) {
                        self.up.push_back((at, frame));
                    }
                }
                Action::StoreKeyList(list) => {
                    let fault = self.store_fault.take();
                    if matches!(fault, None | Some(StoreFault::CutAfter)) {
                        self.stored_list = Some(list);
                    }
                    if matches!(fault, Some(StoreFault::CutBefore | StoreFault::CutAfter)) {
                        return self.cut_main(1_000);
                    }
                    main.machine.key_list_stored(self.now_ms, fault.is_none());
                }
                Action::CloseLink { .. } => self.disconnect(),
            }
        }
    }

    fn step_link(&mut self) {
        while let Some(frame) = due(&mut self.up, self.now_ms) {
            if let Err(error) = self.server.receive(self.now_ms, &frame, &mut self.rng) {
                assert!(self.broker.has_meddled(), "the machine keeps the protocol: {error}");
                self.disconnect();
            }
        }
        self.server.handle_timeout(self.now_ms, &mut self.rng);
        while let Some(frame) = self.server.down.pop_front() {
            let at = self.now_ms + 10 + self.rng.below(100);
            let at = self.down.back().map_or(at, |(last, _)| at.max(*last));
            for frame in self.broker.pass(self.faults.broker, &mut self.rng, &frame) {
                self.down.push_back((at, frame));
            }
        }
        while let Some(frame) = due(&mut self.down, self.now_ms) {
            if let Some(main) = &mut self.main {
                main.machine.handle_machine_frame(self.now_ms, &frame);
            }
            self.drain_main();
        }
        if !self.connected && self.now_ms >= self.connect_at_ms && self.main.is_some() {
            self.connected = true;
            self.server.connected(self.now_ms);
            if let Some(main) = &mut self.main {
                main.machine.handle_connected(self.now_ms);
            }
        }
    }

    fn step(&mut self) {
        if self.main.is_none() && self.now_ms >= self.main_on_ms {
            self.boot_main();
        }
        if self.control.is_none() && self.now_ms >= self.control_on_ms {
            self.boot_control();
        }
        self.inject_faults();
        self.step_control();
        while let Some(line) = due(&mut self.to_main, self.now_ms) {
            if let Some(main) = &mut self.main {
                main.machine.handle_control_bytes(self.now_ms, &line);
            }
            self.drain_main();
        }
        self.step_link();
        if let Some(main) = &mut self.main {
            main.machine.handle_timeout(self.now_ms);
        }
        self.drain_main();
    }

    fn next_event_ms(&self) -> u64 {
        let heads = [&self.to_control, &self.to_main, &self.up, &self.down];
        let wires = heads.iter().filter_map(|wire| wire.front().map(|(at, _)| *at));
        let main = self.main.as_ref().map_or(self.main_on_ms, |main| main.machine.poll_timeout());
        let control = match &self.control {
            None => self.control_on_ms,
            Some(control) => match control.running {
                Some((_, ends_ms, _)) => ends_ms,
                None => self.to_control.front().map_or(u64::MAX, |_| 0).max(control.looks_at_ms),
            },
        };
        // An accepted vend is looked for by the motion side.
        let waiting = self.control.as_ref().is_some_and(|control| {
            control.running.is_none()
                && matches!(control.state.clone().poll(self.now()), VendState::Running { .. })
        });
        let looks =
            if waiting { self.control.as_ref().map_or(u64::MAX, |c| c.looks_at_ms) } else { u64::MAX };
        let connect = if self.connected || self.main.is_none() { u64::MAX } else { self.connect_at_ms };
        let server = self.server.poll_timeout();
        let fault = self.next_fault_ms;
        wires.chain([main, control, looks, connect, server, fault]).min().unwrap_or(u64::MAX)
    }

    /// Runs for `ms` of virtual time.
    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.step();
            self.now_ms = self.next_event_ms().max(self.now_ms + 1).min(end);
        }
    }

    /// Runs until `done`, for at most `ms`.
    fn run_until(&mut self, ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            if done(self) {
                return true;
            }
            self.step();
            self.now_ms = self.next_event_ms().max(self.now_ms + 1).min(end);
        }
        done(self)
    }

    /// Runs until the machine is ready to sell.
    fn settle(&mut self) {
        let ready = self.run_until(60_000, |world| {
            world.main.as_ref().is_some_and(|main| {
                main.machine.is_connected()
                    && main.machine.plan().version().is_some()
                    && main
                        .machine
                        .readiness(world.now_ms, main.machine.plan().version().unwrap(), [].into_iter())
                        .is_ok()
            })
        });
        assert!(ready, "the machine never became ready");
    }

    fn motor_starts(&self) -> u32 {
        self.started.values().sum()
    }
}

/// Takes what has arrived by now.
fn due(wire: &mut VecDeque<(u64, Vec<u8>)>, now_ms: u64) -> Option<Vec<u8>> {
    if wire.front()?.0 > now_ms {
        return None;
    }
    wire.pop_front().map(|(_, bytes)| bytes)
}
