//! The contest: everybody's round trips, in turns.

use std::{hint::black_box, time::Instant};

use vend_protocol::frame::{CRC_LEN, Frame, HEADER_LEN, MACHINE_FRAME_MAX, checksum};

/// Where every contestant writes its frame.
pub(crate) type Buffer = [u8; MACHINE_FRAME_MAX];

/// Writes a frame and gives its length.
type Write = Box<dyn Fn(&mut Buffer) -> usize>;
/// Reads a frame's message; whether it was the sample.
type Read = Box<dyn Fn(&Frame<'_>, Compare) -> bool>;

/// One contestant's way with one message.
pub(crate) struct Entry {
    /// The message.
    pub(crate) case: &'static str,
    /// The contestant.
    pub(crate) who: &'static str,
    /// Bytes of the payload that are the signature.
    pub(crate) signature_bytes: usize,
    /// Its way to the frame.
    pub(crate) write: Write,
    /// And back.
    pub(crate) read: Read,
}

/// Whether a reader compares what it read with the sample; while the clock runs it does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Yes,
    No,
}

impl Compare {
    /// The end of every reader: the value exists as a whole, and is the sample.
    pub(crate) fn finish<T: PartialEq>(self, value: &T, sample: &T) -> bool {
        black_box(value);
        self == Self::No || value == sample
    }
}

impl Entry {
    /// Whether what is written is what is read.
    pub(crate) fn comes_back(&self) -> bool {
        self.trip(&mut [0; MACHINE_FRAME_MAX], Compare::Yes)
    }

    /// The payload's length without the signature.
    pub(crate) fn payload_bytes(&self) -> usize {
        (self.write)(&mut [0; MACHINE_FRAME_MAX]) - HEADER_LEN - CRC_LEN - self.signature_bytes
    }

    fn trip(&self, buffer: &mut Buffer, compare: Compare) -> bool {
        let len = (self.write)(buffer);
        let frame = Frame::parse(black_box(&buffer[..len])).unwrap();
        (self.read)(&frame, compare)
    }
}

/// Puts a peer's payload into our frame and gives its length.
pub(crate) fn framed(kind: u8, out: &mut Buffer, payload: impl FnOnce(&mut [u8]) -> usize) -> usize {
    let (header, rest) = out.split_first_chunk_mut::<HEADER_LEN>().unwrap();
    *header = [0, kind, 1, 1, 0, 0, 0];
    let len = HEADER_LEN + payload(rest);
    let crc = checksum(&out[..len]).to_le_bytes();
    out[len..len + CRC_LEN].copy_from_slice(&crc);
    len + CRC_LEN
}

/// The median time of each entry's round trip, in nanoseconds.
pub(crate) fn time(entries: &[Entry], rounds: usize, trips: u32) -> Vec<f64> {
    let mut buffer = [0; MACHINE_FRAME_MAX];
    let mut times = vec![Vec::with_capacity(rounds); entries.len()];
    for round in 0..rounds {
        for turn in 0..entries.len() {
            let at = (round + turn) % entries.len();
            let start = Instant::now();
            for _ in 0..trips {
                entries[at].trip(&mut buffer, Compare::No);
            }
            times[at].push(start.elapsed().as_secs_f64() * 1e9 / f64::from(trips));
        }
    }
    times.into_iter().map(median).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
