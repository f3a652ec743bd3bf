//! The golden frames of the control link, from the file that every implementation is held against.

const FILE: &str = include_str!("../vectors/control_link.txt");

/// A golden frame.
#[derive(Clone, Debug)]
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    /// Before COBS.
    pub(crate) frame: Vec<u8>,
    /// As it is on the serial line, with both delimiters.
    pub(crate) line: Vec<u8>,
}

/// All of them.
pub(crate) fn frames() -> Vec<Golden> {
    let mut all: Vec<Golden> = vec![];
    for text in FILE.lines() {
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            all.push(Golden { name, frame: vec![], line: vec![] });
        } else if let (Some(last), Some((key, value))) = (all.last_mut(), text.split_once(" = ")) {
            match key {
                "frame" => last.frame = hex(value),
                "line" => last.line = hex(value),
                _ => {}
            }
        }
    }
    all.retain(|golden| !golden.line.is_empty());
    all
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high) << 4 | digit(*low)).unwrap()).collect()
}

#[test]
fn the_golden_frames_are_of_every_kind() {
    let all = frames();
    let mut kinds: Vec<u8> = all.iter().map(|golden| golden.frame[1]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 28, "{} frames", all.len());
}
