//! COBS, compared with a decoder that has the whole line before it, and after noise.

use vend_protocol::cobs::{Decoder, encode, line_len};

/// Long enough for blocks of 254 bytes, which COBS treats apart.
const LONGEST: usize = 300;

/// The input is a number, that many bytes of noise, and a frame that is sent after the noise and a zero.
///
/// Holds: out of noise comes what the plain decoder finds in it; the frame comes out as it was, unless it is empty or
/// too long, and then nothing does; and coding it leaves no zero and keeps to the promised length.
pub fn cobs(data: &[u8]) {
    let (noise_len, data) = data.split_first().map_or((0, data), |(len, rest)| (usize::from(*len) * 2, rest));
    let (noise, frame) = data.split_at(noise_len.min(data.len()));

    let mut line = noise.to_vec();
    line.push(0);
    let mut expected = plain(&line);
    let mut coded = vec![0; line_len(frame.len())];
    let len = encode(frame, &mut coded).expect("`line_len` is enough");
    assert!(coded[1..len - 1].iter().all(|byte| *byte != 0), "a zero inside a coded frame");
    line.extend_from_slice(&coded[..len]);
    if (1..=LONGEST).contains(&frame.len()) {
        expected.push(frame.to_vec());
    }

    let mut decoder = Decoder::<LONGEST>::new();
    let found: Vec<Vec<u8>> =
        line.iter().filter_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec)).collect();
    assert_eq!(found, expected, "found on the left, sent on the right");
}

/// The frames on a line that ends with a zero.
fn plain(line: &[u8]) -> Vec<Vec<u8>> {
    let frames = line.split(|byte| *byte == 0).filter_map(unstuff);
    frames.filter(|frame| (1..=LONGEST).contains(&frame.len())).collect()
}

/// As in the paper (Cheshire and Baker, 1999): a code byte, its block, and a zero for each block that is not full,
/// but for the last.
fn unstuff(coded: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    let mut rest = coded;
    while let Some((code, after)) = rest.split_first() {
        let (block, after) = after.split_at_checked(usize::from(*code) - 1)?;
        frame.extend_from_slice(block);
        if *code != 0xFF && !after.is_empty() {
            frame.push(0);
        }
        rest = after;
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_decoder_reads_the_examples_of_the_paper() {
        assert_eq!(unstuff(&[1, 1]), Some(vec![0]));
        assert_eq!(unstuff(&[3, 0x11, 0x22, 2, 0x33]), Some(vec![0x11, 0x22, 0, 0x33]));
        assert_eq!(unstuff(&[5, 1]), None, "a block that ends too early");
        assert_eq!(plain(&[9, 9, 0, 2, 7, 0, 0]), [vec![7]]);
    }
}
