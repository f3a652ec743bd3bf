//! The network between the ends: one connection at a time, a queue for each direction, and everything that may happen there.

use std::collections::VecDeque;

use vend_protocol::frame::{CRC_LEN, checksum};

use crate::env::Env;

/// The direction of a frame, and with it the end that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the machine.
    Up,
    /// From the server.
    Down,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Up, Self::Down];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// One direction.
#[derive(Default)]
pub(crate) struct Pipe {
    queue: VecDeque<(u64, Vec<u8>)>,
    last_due_ms: u64,
    /// Swallows everything, and nobody knows.
    pub(crate) silent: bool,
    /// The end that sends into it holds the connection for open.
    pub(crate) held: bool,
    /// When that end is told that the connection is closed.
    pub(crate) told_ms: Option<u64>,
}

/// A connection.
pub(crate) struct Link {
    up: Pipe,
    down: Pipe,
}

impl Link {
    pub(crate) const fn pipe(&self, way: Way) -> &Pipe {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    pub(crate) const fn pipe_mut(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// Frames that are kept to be put in again.
const SEEN_MAX: usize = 48;

#[derive(Default)]
pub(crate) struct Network {
    pub(crate) link: Option<Link>,
    /// Frames of this connection and earlier ones.
    seen: Vec<(Way, Vec<u8>)>,
    /// The next frame of this kind in this direction is lost.
    pub(crate) lose: Vec<(Way, u8)>,
    /// Nothing can connect before.
    pub(crate) down_until_ms: u64,
}

impl Network {
    /// A new connection; what is left of the last one is lost.
    pub(crate) fn connect(&mut self) {
        let held = || Pipe { held: true, ..Pipe::default() };
        self.link = Some(Link { up: held(), down: held() });
    }

    /// When the next frame in this direction arrives.
    pub(crate) fn due(&self, way: Way) -> Option<u64> {
        self.link.as_ref()?.pipe(way).queue.front().map(|(due, _)| *due)
    }

    pub(crate) fn told_due(&self, way: Way) -> Option<u64> {
        let pipe = self.link.as_ref()?.pipe(way);
        pipe.told_ms.filter(|_| pipe.held)
    }

    pub(crate) fn take(&mut self, way: Way) -> Option<Vec<u8>> {
        self.link.as_mut()?.pipe_mut(way).queue.pop_front().map(|(_, frame)| frame)
    }

    /// The end that sends `way` is done with the connection; the other end is told in a while, or never.
    pub(crate) fn close(&mut self, env: &mut Env, way: Way) {
        let Some(link) = &mut self.link else { return };
        link.pipe_mut(way).held = false;
        link.pipe_mut(way.other()).queue.clear();
        let told = !env.rng.chance(env.faults.untold) && !link.pipe(way).silent;
        let other = link.pipe_mut(way.other());
        if told && other.told_ms.is_none() {
            other.told_ms = Some(env.now_ms + env.rng.between(10, 500));
        }
        if !other.held {
            self.link = None;
        }
    }

    /// The connection is cut: nothing comes through any more, and each end learns it in a while, or never.
    pub(crate) fn cut(&mut self, env: &mut Env) {
        let Some(link) = &mut self.link else { return };
        for way in Way::BOTH {
            let untold = env.rng.chance(env.faults.untold);
            let pipe = link.pipe_mut(way);
            pipe.silent = true;
            pipe.queue.clear();
            if !untold && pipe.told_ms.is_none() {
                pipe.told_ms = Some(env.now_ms + env.rng.between(10, 500));
            }
        }
    }

    /// This direction swallows everything, and nobody is told.
    pub(crate) fn silence(&mut self, way: Way) {
        if let Some(link) = &mut self.link {
            link.pipe_mut(way).silent = true;
            link.pipe_mut(way).queue.clear();
        }
    }

    /// A frame is sent.
    pub(crate) fn send(&mut self, env: &mut Env, way: Way, frame: Vec<u8>) {
        if self.seen.len() < SEEN_MAX {
            self.seen.push((way, frame.clone()));
        } else {
            let place = usize::try_from(env.rng.below(SEEN_MAX as u64)).unwrap();
            self.seen[place] = (way, frame.clone());
        }
        let Some(link) = &mut self.link else { return };
        if link.pipe(way).silent || !link.pipe(way.other()).held {
            return;
        }
        let lose = self.lose.iter().position(|lose| *lose == (way, frame[1]));
        if let Some(place) = lose {
            self.lose.swap_remove(place);
            env.counts.lost += 1;
            return;
        }
        link.pipe_mut(way).push(env, frame);
    }

    /// Puts in this frame, to arrive at once.
    pub(crate) fn put_in(&mut self, way: Way, frame: Vec<u8>, now_ms: u64) {
        if let Some(link) = &mut self.link {
            link.pipe_mut(way).queue.push_front((now_ms, frame));
        }
    }

    /// Puts in a frame that was seen before.
    pub(crate) fn replay(&mut self, env: &mut Env) {
        let Some(link) = &mut self.link else { return };
        if self.seen.is_empty() {
            return;
        }
        let which = usize::try_from(env.rng.below(self.seen.len() as u64)).unwrap();
        let (from, frame) = self.seen[which].clone();
        let to = if env.rng.chance(800) { from } else { from.other() };
        if !link.pipe(to.other()).held || link.pipe(to).silent {
            return;
        }
        *if from == to { &mut env.counts.replayed } else { &mut env.counts.reflected } += 1;
        env.note(|| format!("network: puts in kind {:#04x}, {to:?}", frame[1]));
        let pipe = link.pipe_mut(to);
        let place = usize::try_from(env.rng.below(pipe.queue.len() as u64 + 1)).unwrap();
        let due = pipe.queue.get(place).map_or(env.now_ms, |(due, _)| *due);
        pipe.queue.insert(place, (due, frame));
    }
}

impl Pipe {
    fn push(&mut self, env: &mut Env, mut frame: Vec<u8>) {
        let faults = env.faults;
        let mut delay_ms = env.rng.between(10, 150);
        if env.rng.chance(faults.lost) {
            env.counts.lost += 1;
            return;
        }
        if env.rng.chance(faults.stalled) {
            env.counts.stalled += 1;
            delay_ms += env.rng.between(1_000, 20_000);
        }
        if env.rng.chance(faults.flipped) {
            env.counts.flipped += 1;
            flip(env, &mut frame, 0);
        }
        if env.rng.chance(faults.altered) {
            env.counts.altered += 1;
            flip(env, &mut frame, CRC_LEN);
            let (body, crc) = frame.split_last_chunk_mut::<CRC_LEN>().unwrap();
            *crc = checksum(body).to_le_bytes();
        }
        let due = self.last_due_ms.max(env.now_ms + delay_ms);
        self.last_due_ms = due;
        if env.rng.chance(faults.doubled) {
            env.counts.doubled += 1;
            self.queue.push_back((due, frame.clone()));
        }
        self.queue.push_back((due, frame));
        let len = self.queue.len();
        if len > 1 && env.rng.chance(faults.swapped) {
            env.counts.swapped += 1;
            self.queue.swap(len - 1, len - 2);
        }
    }
}

/// Flips a bit of all but the last bytes.
fn flip(env: &mut Env, frame: &mut [u8], spared: usize) {
    let bits = (frame.len() - spared) as u64 * 8;
    let bit = usize::try_from(env.rng.below(bits)).unwrap();
    frame[bit / 8] ^= 1 << (bit % 8);
}
