//! Both ends of the machine link, and a broker between them that does what it likes.

mod machine;
mod server;
mod toy;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use serde::{Deserialize, Serialize};
use vend_protocol::{
    frame::{Frame, MACHINE_FRAME_MAX},
    machine_link::{MAC_LEN, SEALED},
};

use crate::{
    frames::with_crc,
    script::{self, Way},
};
use machine::MachineEnd;
use server::ServerEnd;
use toy::Keys;

/// What may happen. [`Way::Up`] is from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The frame that is due arrives.
    Deliver(Way),
    /// The machine says hello if it wants to, else sends what is next.
    Transmit,
    /// The journal gets one more receipt or amendment.
    Write,
    /// The machine queues a message of this class.
    Queue(u8),
    /// The server acknowledges the first receipt it has not acknowledged.
    Acknowledge,
    /// The server sends a message of this sort.
    Send(u8),
    /// The frame that is due is lost.
    Lose(Way),
    /// It will arrive twice.
    Double(Way),
    /// The next one overtakes it.
    Swap(Way),
    /// A byte of it is changed, and its checksum put right.
    Corrupt(Way, u8, u8),
    /// A frame that was seen at any time is put in front.
    Replay(Way, u8),
    /// A frame by a stranger: the header and payload of one that was seen, under another code.
    Forge(Way, u8, u8),
    /// Half a second for each, twice the square of it in all.
    Tick(u8),
    /// Time goes on to the first moment at which an end has something to do.
    Wait,
    /// A new connection; what was under way is lost.
    Reconnect,
    /// One end has a new connection, and the other has not noticed.
    Renew(Way),
    /// What the server answers to a hello from now on.
    Policy(u8),
    /// The server's database is put back to fewer receipts.
    Restore(u8),
    /// The journal cannot be read for a while, or can be again.
    Stall,
}

/// The number of steps above.
pub(crate) const VARIANTS: u8 = 19;

/// The input is a list of steps.
///
/// Holds, at each step: what an end takes is what the other end of the same session sent, each message once, in order, unaltered;
/// nothing from a stranger; money goes out in the order of its numbers, no more at a time than the window; answers go first; what
/// was queued and must not be lost is sent, in order; the machine's time does not go back; and an end that names a moment has
/// something to do then. At the end, over a good line, the server gets every receipt and the machine every acknowledgement.
pub fn machine_session(data: &[u8]) {
    let mut world = World::new();
    for step in script::read::<Step>(VARIANTS, data) {
        script::show(&step);
        world.take(step);
    }
    world.end_well();
}

struct World {
    now_ms: u64,
    machine: MachineEnd,
    server: ServerEnd,
    wires: Wires,
    log: Log,
    /// All frames that ever were on a wire.
    seen: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Wires {
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
}

impl Wires {
    fn of(&mut self, way: Way) -> &mut VecDeque<Vec<u8>> {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

impl World {
    fn new() -> Self {
        Self {
            now_ms: 0,
            machine: MachineEnd::new(),
            server: ServerEnd::new(),
            wires: Wires::default(),
            log: Log::default(),
            seen: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Deliver(way) => self.deliver(way),
            Step::Transmit => self.transmit(),
            Step::Write => self.machine.write(),
            Step::Queue(class) => self.machine.queue(class),
            Step::Acknowledge => {
                let frame = self.server.acknowledge(&mut self.log);
                self.put(Way::Down, frame);
            }
            Step::Send(what) => {
                let frame = self.server.send(what, &mut self.log);
                self.put(Way::Down, frame);
            }
            Step::Lose(way) => drop(self.wires.of(way).pop_front()),
            Step::Double(way) => {
                let first = self.wires.of(way).front().cloned();
                self.wires.of(way).extend(first);
            }
            Step::Swap(way) => {
                if self.wires.of(way).len() > 1 {
                    self.wires.of(way).swap(0, 1);
                }
            }
            Step::Corrupt(way, at, with) => self.corrupt(way, at, with),
            Step::Replay(way, which) => {
                if let Some(frame) = self.seen(which).cloned() {
                    self.wires.of(way).push_front(frame);
                }
            }
            Step::Forge(way, which, code) => self.forge(way, which, code),
            Step::Tick(by) => self.pass(u64::from(by).pow(2) * 2),
            Step::Wait => self.wait(),
            Step::Reconnect => self.reconnect(),
            Step::Renew(Way::Up) => self.machine.connect(self.now_ms),
            Step::Renew(Way::Down) => self.server.connect(self.now_ms),
            Step::Policy(policy) => self.server.policy = policy,
            Step::Restore(stored) => self.server.restore(stored),
            Step::Stall => self.machine.journal.stalled = !self.machine.journal.stalled,
        }
    }

    fn deliver(&mut self, way: Way) {
        let Some(frame) = self.wires.of(way).pop_front() else { return };
        let taken = self.hand_over(way, &frame);
        // The transport may double a message at any time: that must not even close the connection.
        if taken {
            assert!(self.hand_over(way, &frame), "a repeat closed the connection");
        }
    }

    /// Gives a frame to its receiver; `false` when that closes the connection.
    fn hand_over(&mut self, way: Way, frame: &[u8]) -> bool {
        match way {
            Way::Up => {
                let answer = self.server.handle(self.now_ms, frame, &mut self.log);
                self.put(Way::Down, answer);
                self.server.timeout().is_some()
            }
            Way::Down => {
                self.machine.handle(self.now_ms, frame, &mut self.log);
                self.machine.timeout().is_some()
            }
        }
    }

    fn transmit(&mut self) {
        let frame = self.machine.transmit(self.now_ms, &mut self.log);
        self.put(Way::Up, frame);
    }

    fn put(&mut self, way: Way, frame: Option<Vec<u8>>) {
        if let Some(frame) = frame {
            self.seen.push(frame.clone());
            self.wires.of(way).push_back(frame);
        }
    }

    fn seen(&self, which: u8) -> Option<&Vec<u8>> {
        // Counted from the last, so that a step means the same when the story before it changes.
        self.seen.iter().rev().nth(usize::from(which))
    }

    fn corrupt(&mut self, way: Way, at: u8, with: u8) {
        if let Some(frame) = self.wires.of(way).front_mut() {
            let body = frame.len() - 4;
            let mut changed = frame[..body].to_vec();
            changed[usize::from(at) % body] ^= with;
            *frame = with_crc(&changed, MACHINE_FRAME_MAX);
        }
    }

    fn forge(&mut self, way: Way, which: u8, code: u8) {
        let Some(seen) = self.seen(which) else { return };
        let mut body = seen[..seen.len() - 4].to_vec();
        body[0] = SEALED;
        body.extend_from_slice(&[code; MAC_LEN]);
        let frame = with_crc(&body, MACHINE_FRAME_MAX);
        self.wires.of(way).push_front(frame);
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.machine.tick(self.now_ms);
        self.server.tick(self.now_ms);
    }

    fn wait(&mut self) {
        let (machine, server) = (self.machine.timeout(), self.server.timeout());
        let Some(first) = machine.into_iter().chain(server).min() else { return };
        self.now_ms = self.now_ms.max(first);
        if machine.is_some_and(|at| at <= self.now_ms) && !self.machine.is_over(self.now_ms) {
            let before = self.wires.up.len();
            self.transmit();
            assert!(self.wires.up.len() > before, "the machine has nothing to do at its own time");
        }
        if server.is_some_and(|at| at <= self.now_ms) {
            assert!(self.server.is_over(self.now_ms), "the server has nothing to do at its own time");
        }
        self.pass(0);
    }

    fn reconnect(&mut self) {
        self.wires = Wires::default();
        self.machine.connect(self.now_ms);
        self.server.connect(self.now_ms);
    }

    /// The broker has had its way. A machine that is connected still keeps its promises, and then a new connection brings
    /// everything home.
    fn end_well(&mut self) {
        self.machine.journal.stalled = false;
        self.machine.keep_promises(self.now_ms, &mut self.log);
        self.server.policy = 0;
        self.reconnect();
        let rounds = self.machine.journal.written + 4;
        for _ in 0..rounds {
            let mut sent = self.wires.up.len();
            self.transmit();
            while self.wires.up.len() > sent {
                sent = self.wires.up.len();
                self.transmit();
            }
            while !self.wires.up.is_empty() {
                self.deliver(Way::Up);
            }
            while let Some(frame) = self.server.acknowledge(&mut self.log) {
                self.wires.down.push_back(frame);
            }
            while !self.wires.down.is_empty() {
                self.deliver(Way::Down);
            }
        }
        self.server.has_all(self.machine.journal.written);
        self.machine.is_done();
    }
}

/// What was sent under which keys, to compare with what is taken.
#[derive(Default)]
struct Log {
    sent: BTreeMap<(Keys, Way), Vec<Sent>>,
}

/// A message without its frame.
#[derive(Clone, PartialEq, Eq)]
struct Sent {
    kind: u8,
    payload: Vec<u8>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kind {:02x}:", self.kind)?;
        self.payload.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}

impl Log {
    /// A frame of this session leaves its sender.
    fn sent(&mut self, keys: Keys, way: Way, frame: &[u8]) -> Sent {
        let frame = Frame::parse(frame).expect("what is sent is a frame");
        assert_eq!(frame.address, SEALED, "a session sends nothing unsealed");
        let (payload, _) = frame.payload.split_last_chunk::<MAC_LEN>().expect("a code is on it");
        let sent = Sent { kind: frame.kind, payload: payload.to_vec() };
        self.sent.entry((keys, way)).or_default().push(sent.clone());
        sent
    }

    /// A message is taken; `taken` counts those that were taken before, and those that the receiver keeps to itself.
    fn taken(&self, keys: Keys, way: Way, taken: &mut usize, message: &Sent, own: fn(u8) -> bool) {
        let sent = self.sent.get(&(keys, way)).map_or(&[][..], Vec::as_slice);
        *taken += sent.iter().skip(*taken).take_while(|sent| own(sent.kind)).count();
        assert_eq!(Some(message), sent.get(*taken), "taken on the left, sent on the right");
        *taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_chosen() {
        let step = |choice| postcard::from_bytes::<Step>(&[choice, 0, 0, 0, 0]);
        assert!(step(VARIANTS - 1).is_ok() && step(VARIANTS).is_err());
    }

    #[test]
    fn the_story_of_a_sale_is_stored_and_acknowledged() {
        let seeds = crate::seeds::machine_session();
        let (_, story) = seeds.iter().find(|(name, _)| name == "sale").unwrap();
        let mut world = World::new();
        script::read(VARIANTS, story).for_each(|step| world.take(step));
        world.server.has_all(1);
        world.machine.is_done();
    }
}
