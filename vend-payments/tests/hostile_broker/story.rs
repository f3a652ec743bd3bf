//! Receipts and authorizations over connections that a hostile broker tampers with as it likes, in virtual time.
//!
//! While it does: no end takes a message that the other did not send on this connection, in this order. When it stops: every
//! receipt is stored and acknowledged, and every authorization was taken once.

mod broker;
mod machine;
mod server;

use vend_protocol::{
    frame::Frame,
    machine_link::{SEALED, kind},
};

use crate::{MACHINE, link::Parties};
use broker::Broker;
use machine::Machine;
use server::Server;

/// Time passes in steps of this.
const STEP_MS: u64 = 50;
/// The broker tampers for so many steps, and then carries every frame.
const HOSTILE_STEPS: u64 = 600;
/// In so many more everything must have arrived.
const HONEST_STEPS: u64 = 1200;
const SEEDS: u64 = 60;

/// What one end sent sealed on a connection, and how much of it the other end took.
#[derive(Default)]
struct Account {
    sent: Vec<Vec<u8>>,
    taken: usize,
}

impl Account {
    fn send(&mut self, frame: &[u8]) {
        if frame.first() == Some(&SEALED) {
            self.sent.push(frame.to_vec());
        }
    }

    /// A sealed message was taken: it is the next one that was sent. The clock is the session's own, and not seen here.
    fn take(&mut self, bytes: &[u8]) {
        let is_clock = |frame: &Vec<u8>| Frame::parse(frame).unwrap().kind == kind::CLOCK;
        while self.sent.get(self.taken).is_some_and(is_clock) {
            self.taken += 1;
        }
        assert_eq!(self.sent.get(self.taken).map(Vec::as_slice), Some(bytes), "not what was sent here");
        self.taken += 1;
    }
}

/// One connection, as the broker sees it from the middle.
#[derive(Default)]
struct Wire {
    up: Account,
    down: Account,
}

struct World {
    now_ms: u64,
    broker: Broker,
    machine: Machine,
    server: Server,
    wire: Wire,
    connected: bool,
    retry_ms: u64,
    connections: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now_ms: 0,
            broker: Broker::new(seed),
            machine: Machine::new(),
            server: Server::default(),
            wire: Wire::default(),
            connected: false,
            retry_ms: 0,
            connections: 0,
        }
    }

    fn step(&mut self, parties: &Parties) {
        self.now_ms += STEP_MS;
        if !self.connected && self.now_ms >= self.retry_ms {
            self.connections += 1;
            (self.wire, self.connected) = (Wire::default(), true);
            self.machine.connect(self.now_ms);
            self.server.connect(self.now_ms);
            self.broker.connect();
        }
        if self.connected && self.exchange(parties).is_none() {
            (self.connected, self.retry_ms) = (false, self.now_ms + 500);
        }
    }

    /// `None`: an end closed the connection.
    fn exchange(&mut self, parties: &Parties) -> Option<()> {
        for frame in self.machine.transmit(parties, self.now_ms, self.connections)? {
            self.wire.up.send(&frame);
            self.broker.up.push_back(frame);
        }
        for frame in self.server.transmit(self.now_ms)? {
            self.wire.down.send(&frame);
            self.broker.down.push_back(frame);
        }
        for bytes in self.broker.carry_up() {
            if self.server.hear(parties, self.now_ms, &bytes)? {
                self.wire.up.take(&bytes);
            }
        }
        for bytes in self.broker.carry_down() {
            if self.machine.hear(parties, self.now_ms, &bytes)? {
                self.wire.down.take(&bytes);
            }
        }
        Some(())
    }

    /// Nothing is acknowledged that is not stored as the machine wrote it; nothing is taken that was not issued.
    fn check(&self) {
        for (number, stored) in &self.server.stored {
            assert_eq!(Some(stored), self.machine.journaled(*number), "number {number}");
        }
        let acknowledged = self.machine.acknowledged.iter();
        assert!(acknowledged.clone().all(|number| self.server.stored.contains_key(number)));
        assert!(self.server.taken.iter().all(|seq| self.machine.permits.contains(seq)));
        assert!(self.machine.permits.is_sorted() && self.machine.permits.len() <= self.server.issued());
    }

    fn done(&self) -> bool {
        self.machine.all_acknowledged() && self.server.taken.len() == self.server.issued()
    }
}

#[test]
fn whatever_the_broker_does_everything_arrives_once_when_it_stops() {
    let parties = Parties::new(MACHINE);
    let mut tampered = 0;
    let mut connections = 0;
    let mut permits = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 0..HOSTILE_STEPS {
            // The machine sells on meanwhile.
            if step % 10 == 0 {
                world.machine.sell(&parties);
                world.server.issue(&parties);
            }
            world.step(&parties);
            world.check();
        }
        world.broker.calm_down();
        let arrived = (0..HONEST_STEPS).any(|_| {
            world.step(&parties);
            world.check();
            world.done()
        });
        assert!(arrived, "seed {seed}: something never arrived");
        tampered += world.broker.tampered;
        connections += world.connections;
        permits += world.machine.permits.len();
    }
    // A broker that never tampers or closes all at once would prove nothing.
    let seeds = usize::try_from(SEEDS).unwrap();
    assert!(tampered > 15 * SEEDS && connections > 10 * SEEDS, "{tampered} times, {connections} connections");
    assert!(permits > 20 * seeds, "{permits} authorizations");
}
