//! What a bad serial line can do to frames: no frame is accepted that was not sent, and after any noise the next one is received.

use proptest::prelude::*;
use vend_protocol::{
    cobs::{self, Decoder},
    frame::{CONTROL_FRAME_MAX, CRC_LEN, Frame, HEADER_LEN},
};

use crate::{
    chance::Chance,
    damage::damage,
    golden::{self, Golden},
};

/// Whether bytes between two delimiters are taken for a frame.
type Accepts = fn(&[u8]) -> bool;

fn checked(bytes: &[u8]) -> bool {
    Frame::parse(bytes).is_ok()
}

/// A receiver that does not look at the checksum: what the tests below must find out about.
fn unchecked(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN + CRC_LEN
}

/// A receiver, and what it took in.
struct Receiver {
    accepts: Accepts,
    decoder: Decoder<CONTROL_FRAME_MAX>,
    /// The frame behind the damaged one, and its line.
    next: Golden,
    damaged: u64,
    /// Damaged frames that arrived as they were sent all the same.
    whole: u64,
    /// Frames that were accepted and not sent.
    wrong: u64,
    example: Option<String>,
}

impl Receiver {
    fn new(accepts: Accepts) -> Self {
        let next = golden::frames().into_iter().find(|golden| golden.name == "query.typical").unwrap();
        Self { accepts, decoder: Decoder::new(), next, damaged: 0, whole: 0, wrong: 0, example: None }
    }

    /// Takes a damaged line, and an undamaged one behind it, which must be received.
    fn take(&mut self, sent: &Golden, line: &[u8]) {
        self.damaged += 1;
        let (delimiter, next) = self.next.line.split_first().unwrap();
        // It may be that only the first delimiter of the next frame ends the damaged one.
        for byte in line.iter().chain([delimiter]) {
            let Some(frame) = self.decoder.push(*byte) else { continue };
            if !(self.accepts)(frame) {
                continue;
            }
            if frame == sent.frame {
                self.whole += 1;
            } else {
                self.wrong += 1;
                self.example.get_or_insert_with(|| format!("{}: {line:02x?} became {frame:02x?}", sent.name));
            }
        }
        let mut received = 0;
        for byte in next {
            received += u32::from(self.decoder.push(*byte) == Some(&self.next.frame[..]));
        }
        assert_eq!(received, 1, "the frame behind {line:02x?} was not received");
    }

    fn report(&self, what: &str) {
        println!(
            "{what}: {} damaged lines, {} whole frames, {} wrong ones",
            self.damaged, self.whole, self.wrong
        );
    }
}

/// Runs the damage with and without a checksum: with it nothing wrong is accepted, without it something is.
fn survive(what: &str, damaged: impl Fn(&mut Receiver)) -> u64 {
    let mut receiver = Receiver::new(checked);
    damaged(&mut receiver);
    receiver.report(what);
    assert_eq!(receiver.example, None);
    let mut careless = Receiver::new(unchecked);
    damaged(&mut careless);
    careless.report("  without the checksum");
    assert!(careless.wrong > 0, "this damage would not show a checksum that is not checked");
    receiver.damaged
}

#[test]
fn no_flip_of_one_bit_makes_another_frame() {
    let golden = golden::frames();
    survive("one bit", |receiver| {
        for sent in &golden {
            let mut line = sent.line.clone();
            for bit in 0..line.len() * 8 {
                line[bit / 8] ^= 1 << (bit % 8);
                receiver.take(sent, &line);
                line[bit / 8] ^= 1 << (bit % 8);
            }
        }
    });
}

#[test]
fn no_flip_of_two_bits_makes_another_frame() {
    let golden = golden::frames();
    survive("two bits", |receiver| {
        for sent in &golden {
            let mut line = sent.line.clone();
            for first in 0..line.len() * 8 {
                line[first / 8] ^= 1 << (first % 8);
                for second in first + 1..line.len() * 8 {
                    line[second / 8] ^= 1 << (second % 8);
                    receiver.take(sent, &line);
                    line[second / 8] ^= 1 << (second % 8);
                }
                line[first / 8] ^= 1 << (first % 8);
            }
        }
    });
}

#[test]
fn no_lost_doubled_or_inserted_byte_makes_another_frame() {
    let golden = golden::frames();
    survive("bytes lost, doubled, inserted", |receiver| {
        for sent in &golden {
            let mut line = sent.line.clone();
            for at in 0..line.len() {
                // The delimiters are among them.
                let byte = line.remove(at);
                receiver.take(sent, &line);
                line.insert(at, byte);
                line.insert(at, byte);
                receiver.take(sent, &line);
                line.remove(at);
            }
            for at in 0..=line.len() {
                for byte in 0..=u8::MAX {
                    line.insert(at, byte);
                    receiver.take(sent, &line);
                    line.remove(at);
                }
            }
        }
    });
}

#[test]
fn frames_that_ran_together_make_no_other_frame() {
    let golden = golden::frames();
    survive("delimiters lost", |receiver| {
        for (first, second) in
            golden.iter().flat_map(|first| golden.iter().map(move |second| (first, second)))
        {
            // Both delimiters between them are lost, or one of them and one at an end.
            let joined = [&first.line[..first.line.len() - 1], &second.line[1..]].concat();
            receiver.take(first, &joined);
            receiver.take(first, &joined[..joined.len() - 1]);
            receiver.take(first, &joined[1..]);
        }
    });
}

#[test]
fn ten_million_random_damages_make_no_other_frame() {
    let golden = golden::frames();
    let damaged = survive("random damage", |receiver| {
        let mut chance = Chance::new(10_000_000);
        let mut line = vec![];
        for _ in 0..10_000_000 {
            let sent = &golden[chance.index(golden.len())];
            line.clone_from(&sent.line);
            damage(&mut line, &mut chance);
            receiver.take(sent, &line);
        }
    });
    assert_eq!(damaged, 10_000_000);
}

/// Noise as it is on real lines: bytes of any kind, and pieces of frames.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let pieces = golden::frames().into_iter().map(|golden| golden.line).collect::<Vec<_>>();
    let piece = (proptest::sample::select(pieces), any::<(u16, u16)>()).prop_map(|(line, (from, to))| {
        let (from, to) = (usize::from(from) % line.len(), usize::from(to) % line.len());
        line[from.min(to)..from.max(to)].to_vec()
    });
    let bytes = proptest::collection::vec(any::<u8>(), 0..400);
    proptest::collection::vec(prop_oneof![bytes, piece], 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn after_any_noise_the_next_frame_is_received(
        noise in noise(),
        next in proptest::sample::select(golden::frames()),
    ) {
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        for byte in noise {
            decoder.push(byte);
        }
        let mut received = vec![];
        for byte in &next.line {
            received.extend(decoder.push(*byte).filter(|frame| checked(frame)).map(<[u8]>::to_vec));
        }
        // A whole frame among the noise may end with the first delimiter.
        prop_assert_eq!(received.pop(), Some(next.frame));
        prop_assert!(received.iter().all(|frame| golden::frames().iter().any(|golden| golden.frame == *frame)));
    }

    /// Whoever sends only one delimiter between two frames is understood too.
    #[test]
    fn frames_with_one_delimiter_between_them_are_both_received(
        first in proptest::sample::select(golden::frames()),
        second in proptest::sample::select(golden::frames()),
    ) {
        let line = [&first.line[..], &second.line[1..]].concat();
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        let mut received = vec![];
        for byte in line {
            received.extend(decoder.push(byte).map(<[u8]>::to_vec));
        }
        prop_assert_eq!(received, [first.frame, second.frame]);
    }

    /// A line is what the frame's coding says, and nothing else.
    #[test]
    fn golden_lines_are_what_the_encoder_makes(golden in proptest::sample::select(golden::frames())) {
        let mut line = [0; cobs::line_len(CONTROL_FRAME_MAX)];
        let len = cobs::encode(&golden.frame, &mut line).unwrap();
        prop_assert_eq!(&line[..len], &golden.line[..]);
    }
}
