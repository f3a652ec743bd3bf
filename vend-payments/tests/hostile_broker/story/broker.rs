//! The broker: it carries frames, keeps every one it ever saw, and tampers.

use std::collections::VecDeque;

use vend_protocol::{
    frame,
    machine_link::{End, MAC_LEN, Pending, Rejected, Rejection},
};

use crate::link::{body, forged, framed, plain};

/// Frames it keeps of each direction.
const ARCHIVE: usize = 300;

pub(super) struct Broker {
    dice: u64,
    hostile: bool,
    pub(super) up: VecDeque<Vec<u8>>,
    pub(super) down: VecDeque<Vec<u8>>,
    archive: [Vec<Vec<u8>>; 2],
    /// Frames that did not go on as they came.
    pub(super) tampered: u64,
}

impl Broker {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: seed,
            hostile: true,
            up: VecDeque::new(),
            down: VecDeque::new(),
            archive: [Vec::new(), Vec::new()],
            tampered: 0,
        }
    }

    pub(super) fn calm_down(&mut self) {
        self.hostile = false;
    }

    /// What was on its way on the connection before is lost, but not forgotten.
    pub(super) fn connect(&mut self) {
        self.up.clear();
        self.down.clear();
    }

    pub(super) fn carry_up(&mut self) -> Vec<Vec<u8>> {
        let frames = std::mem::take(&mut self.up);
        self.carry(End::Machine, frames)
    }

    pub(super) fn carry_down(&mut self) -> Vec<Vec<u8>> {
        let frames = std::mem::take(&mut self.down);
        self.carry(End::Server, frames)
    }

    /// `SplitMix64` (Steele, Lea and Flood, 2014).
    fn roll(&mut self, sides: usize) -> usize {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }

    fn carry(&mut self, sender: End, frames: VecDeque<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for frame in frames {
            let archive = &mut self.archive[usize::from(sender == End::Server)];
            if archive.len() < ARCHIVE {
                archive.push(frame.clone());
            }
            // Mostly honest, or no session would live long enough to be attacked.
            if self.hostile && self.roll(12) == 0 {
                self.tampered += 1;
                self.tamper(sender, frame, &mut out);
            } else {
                out.push(frame);
            }
        }
        out
    }

    fn tamper(&mut self, sender: End, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let sequence = u32::from_le_bytes([frame[3], frame[4], frame[5], frame[6]]);
        match self.roll(9) {
            0 => {}
            1 => out.extend([frame.clone(), frame]),
            2 => {
                let mut altered = body(&frame);
                let at = self.roll(altered.len());
                altered[at] ^= 1 << self.roll(8);
                out.push(framed(&altered));
            }
            // In front of it or in its place: one of any session, of the same or the other direction.
            3 => out.extend([self.remembered(sender == End::Server), frame]),
            4 => out.push(self.remembered(sender == End::Server)),
            5 => out.extend([self.remembered(sender == End::Machine), frame]),
            6 => {
                let payload = frame.get(frame::HEADER_LEN..frame.len() - frame::CRC_LEN - MAC_LEN);
                out.push(forged(sender, frame[1], frame[2], sequence, payload.unwrap_or(&[])));
            }
            7 => out.push(plain(sequence, &Rejected { code: Rejection::RETIRED, retry_s: u16::MAX })),
            _ => out.extend([plain(sequence, &Pending { retry_s: 1 }), frame]),
        }
        if out.len() > 1 && self.roll(4) == 0 {
            out.rotate_left(1);
        }
    }

    fn remembered(&mut self, servers: bool) -> Vec<u8> {
        let at = self.roll(self.archive[usize::from(servers)].len());
        self.archive[usize::from(servers)].get(at).cloned().unwrap_or_default()
    }
}
