//! COBS: frames on a serial line, between zero bytes.
//!
//! Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999) removes every zero from a frame, so that a zero
//! on the line always is a boundary. After any noise the next frame is received: the decoder drops what it has
//! at each zero and starts anew.

/// The most bytes a frame of `len` bytes takes on the line, with both delimiters.
pub const fn line_len(len: usize) -> usize {
    len + len / 254 + 1 + 2
}

/// Writes `frame` with its delimiters into `out`; `None` when it does not fit (see [`line_len`]).
///
/// ```
/// use vend_protocol::cobs::encode;
/// let mut line = [0; 8];
/// let len = encode(&[0x11, 0x00, 0x22], &mut line).unwrap();
/// assert_eq!(&line[..len], [0, 0x02, 0x11, 0x02, 0x22, 0]);
/// ```
pub fn encode(frame: &[u8], out: &mut [u8]) -> Option<usize> {
    *out.first_mut()? = 0;
    let mut code_at = 1;
    let mut next = 2;
    let mut run: u8 = 1;
    for &byte in frame {
        if byte != 0 {
            *out.get_mut(next)? = byte;
            next += 1;
            run += 1;
        }
        if byte == 0 || run == 0xFF {
            *out.get_mut(code_at)? = run;
            code_at = next;
            next += 1;
            run = 1;
        }
    }
    *out.get_mut(code_at)? = run;
    *out.get_mut(next)? = 0;
    Some(next + 1)
}

/// Finds frames in a stream of bytes; `N` is the longest frame.
#[derive(Clone, Debug)]
pub struct Decoder<const N: usize> {
    buffer: [u8; N],
    len: usize,
    /// Bytes left in the current COBS block; `None` before the first code byte of a frame.
    left: Option<u8>,
    /// Whether the current block ends with a zero of the frame (unless the frame ends with it).
    zero_after: bool,
    /// The frame is longer than `N` or misformed: skip to the next delimiter.
    skip: bool,
}

impl<const N: usize> Decoder<N> {
    /// A decoder that has seen nothing.
    pub const fn new() -> Self {
        Self { buffer: [0; N], len: 0, left: None, zero_after: false, skip: false }
    }

    /// Takes one byte; gives a frame when this byte ended one. Empty frames are not reported.
    pub fn push(&mut self, byte: u8) -> Option<&[u8]> {
        if byte == 0 {
            let whole = !self.skip && self.left == Some(0);
            let len = self.len;
            (self.len, self.left, self.zero_after, self.skip) = (0, None, false, false);
            return if whole && len > 0 { self.buffer.get(..len) } else { None };
        }
        if self.skip {
            return None;
        }
        match self.left {
            None => self.start_block(byte),
            Some(0) => {
                if self.zero_after {
                    self.put(0);
                }
                self.start_block(byte);
            }
            Some(left) => {
                self.put(byte);
                self.left = Some(left - 1);
            }
        }
        None
    }

    fn start_block(&mut self, code: u8) {
        self.left = Some(code - 1);
        self.zero_after = code != 0xFF;
    }

    fn put(&mut self, byte: u8) {
        match self.buffer.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.skip = true,
        }
    }
}

impl<const N: usize> Default for Decoder<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn decode_all<const N: usize>(line: &[u8]) -> Vec<Vec<u8>> {
        let mut decoder = Decoder::<N>::new();
        line.iter().filter_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec)).collect()
    }

    proptest! {
        #[test]
        fn every_frame_comes_back_after_any_noise(
            frame in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 1..600),
            noise in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut line = noise;
            let mut coded = [0; line_len(600)];
            let len = encode(&frame, &mut coded).unwrap();
            prop_assert!(len <= line_len(frame.len()));
            prop_assert!(coded[1..len - 1].iter().all(|byte| *byte != 0));
            line.extend_from_slice(&coded[..len]);
            prop_assert_eq!(decode_all::<600>(&line).pop(), Some(frame));
        }

        #[test]
        fn a_frame_too_long_is_dropped_and_the_next_received(extra in 1usize..300) {
            let mut line = Vec::new();
            for frame in [std::vec![7u8; 64 + extra], std::vec![9u8; 64]] {
                let mut coded = [0; line_len(400)];
                let len = encode(&frame, &mut coded).unwrap();
                line.extend_from_slice(&coded[..len]);
            }
            prop_assert_eq!(decode_all::<64>(&line), [std::vec![9u8; 64]]);
        }
    }
}
