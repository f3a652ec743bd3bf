//! A broker that does what it likes with the frames between machine and server.

extern crate std;

use std::{collections::VecDeque, vec, vec::Vec};

use vend_protocol::{
    frame::{CRC_LEN, HEADER_LEN, checksum, write},
    machine_link::{PLAIN, Rejected, Rejection},
};

use crate::journal::test_flash::Rng;

/// Frames it keeps to send them again.
const KEPT: usize = 300;

/// The broker, with everything that ever passed it.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) kept: VecDeque<Vec<u8>>,
    meddled: bool,
}

impl Broker {
    /// Whether an end may have got something that the other one did not send.
    pub(super) const fn has_meddled(&self) -> bool {
        self.meddled
    }

    /// What it passes on in place of a frame; with a chance of `per_mille` not that frame.
    pub(super) fn pass(&mut self, per_mille: u64, rng: &mut Rng, frame: &[u8]) -> Vec<Vec<u8>> {
        let frame = frame.to_vec();
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(frame.clone());
        if per_mille == 0 || !rng.chance(per_mille) {
            return vec![frame];
        }
        self.meddled = true;
        let old = self.kept[usize::try_from(rng.below(self.kept.len() as u64)).unwrap()].clone();
        match rng.below(6) {
            0 => vec![],
            1 => vec![frame.clone(), frame],
            2 => vec![altered(&frame, usize::try_from(rng.next() >> 32).unwrap())],
            3 => vec![old, frame],
            4 => vec![in_place_of(&old, &frame), frame],
            _ => vec![rejected(), frame],
        }
    }
}

/// The frame with another bit of header, payload or code, and a checksum that fits.
pub(super) fn altered(frame: &[u8], bit: usize) -> Vec<u8> {
    let mut body = frame[..frame.len() - CRC_LEN].to_vec();
    let bit = bit % (body.len() * 8);
    body[bit / 8] ^= 1 << (bit % 8);
    with_checksum(body)
}

/// A frame of another time or direction that counts as the next one here.
pub(super) fn in_place_of(old: &[u8], next: &[u8]) -> Vec<u8> {
    let mut body = old[..old.len() - CRC_LEN].to_vec();
    body[3..HEADER_LEN].copy_from_slice(&next[3..HEADER_LEN]);
    with_checksum(body)
}

fn with_checksum(mut body: Vec<u8>) -> Vec<u8> {
    let crc = checksum(&body);
    body.extend(crc.to_le_bytes());
    body
}

/// Anybody can make one, and it keeps the machine away for no longer than the protocol lets it.
fn rejected() -> Vec<u8> {
    let mut frame = [0; 64];
    let message = Rejected { code: Rejection::RETIRED, retry_s: u16::MAX };
    let len = write(PLAIN, 1, &message, &mut frame).unwrap();
    frame[..len].to_vec()
}
