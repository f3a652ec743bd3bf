//! Frames without messages: header, checksum, and what is on a serial line.

use vend_protocol::{
    cobs,
    frame::{self, CONTROL_FRAME_MAX, CRC_LEN, Frame, FrameError, HEADER_LEN, MACHINE_FRAME_MAX, checksum},
};

use super::{
    book::entries,
    file::{Entry, hex, unhex},
    values::control_link::line_of,
};

const FILE: &str = "frames.txt";

/// As the library's decoder has it in the streams.
const STREAM_FRAME_MAX: usize = CONTROL_FRAME_MAX;

fn table() -> Vec<Entry> {
    let mut table = vec![check_value()];
    table.extend(frames());
    table.extend(lines());
    table.extend(streams());
    table
}

fn check_value() -> Entry {
    let mut entry = Entry::new("checksum.check_value");
    entry.put("bytes", hex(b"123456789"));
    entry.put("checksum", format!("{:#010x}", checksum(b"123456789")));
    entry
}

/// A frame of any bytes, put together as the specification says.
fn framed([address, kind, revision]: [u8; 3], sequence: u32, payload: &[u8]) -> Vec<u8> {
    let body = [[address, kind, revision].as_slice(), &sequence.to_le_bytes(), payload].concat();
    [body.as_slice(), &checksum(&body).to_le_bytes()].concat()
}

fn frames() -> Vec<Entry> {
    let mut table = Vec::new();
    let mut good = |name: &str, head: [u8; 3], sequence: u32, payload: &[u8]| {
        let mut entry = Entry::new(format!("frame.{name}"));
        entry.put("address", head[0]);
        entry.put("kind", format!("{:#04x}", head[1]));
        entry.put("revision", head[2]);
        entry.put("sequence", sequence);
        entry.put("payload", hex(payload));
        entry.put("frame", hex(&framed(head, sequence, payload)));
        table.push(entry);
    };
    good("without_payload", [1, 0x84, 1], 42, &[]);
    good("sequence_is_little_endian", [0, 0x06, 1], 0x0403_0201, &[7]);
    good("last_sequence", [247, 0x85, 1], u32::MAX, &[1]);
    good("unknown_kind_and_revision", [1, 0xBF, 255], 1, &[1, 2, 3]);
    good("zeros", [0, 0, 0], 0, &[0, 0, 0, 0]);
    let long = [0x5A; MACHINE_FRAME_MAX - HEADER_LEN - CRC_LEN];
    good("longest_of_machine_link", [0, 0x53, 1], 1, &long);
    good("longest_of_control_link", [1, 0x8E, 1], 1, &long[..CONTROL_FRAME_MAX - HEADER_LEN - CRC_LEN]);

    let mut bad = |name: &str, frame: &[u8], why: &str| {
        let mut entry = Entry::new(format!("frame.{name}"));
        entry.put("frame", hex(frame));
        entry.put("refused", why);
        table.push(entry);
    };
    let busy = framed([0, 0x06, 1], 1, &[7]);
    let short = &framed([0, 0x06, 1], 1, &[])[..HEADER_LEN + CRC_LEN - 1];
    let body = &busy[..busy.len() - CRC_LEN];
    bad("empty", &[], "short");
    bad("one_byte_short", short, "short");
    bad("short_with_right_checksum", &[&body[..6], &checksum(&body[..6]).to_le_bytes()].concat(), "short");
    bad("one_bit_of_payload", &flipped(&busy, HEADER_LEN, 0x01), "checksum");
    bad("one_bit_of_checksum", &flipped(&busy, busy.len() - 1, 0x80), "checksum");
    bad("address_of_another", &flipped(&busy, 0, 0x01), "checksum");
    bad("checksum_big_endian", &[body, &checksum(body).to_be_bytes()].concat(), "checksum");
    bad("without_last_byte", &busy[..busy.len() - 1], "checksum");
    bad("byte_behind", &[&busy[..], &[0]].concat(), "checksum");
    table
}

fn flipped(frame: &[u8], at: usize, bits: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at] ^= bits;
    frame
}

fn lines() -> Vec<Entry> {
    /// Bytes without a zero.
    fn full(len: usize) -> Vec<u8> {
        (1..=u8::MAX).cycle().take(len).collect()
    }
    let with = |len: usize, more: &[u8]| [&full(len), more].concat();
    let cases = [
        ("one_byte", vec![0x11]),
        ("one_zero", vec![0]),
        ("two_zeros", vec![0, 0]),
        ("zero_in_the_middle", vec![0x11, 0, 0x22]),
        ("zero_first", vec![0, 0x11]),
        ("zero_last", vec![0x11, 0]),
        ("all_ones", vec![0xFF, 0xFF]),
        ("run_of_253", full(253)),
        ("run_of_253_and_zero", with(253, &[0])),
        ("run_of_254", full(254)),
        ("run_of_254_and_zero", with(254, &[0])),
        ("run_of_254_and_one", with(254, &[0x11])),
        ("run_of_254_zero_and_one", with(254, &[0, 0x11])),
        ("zero_and_run_of_254", [&[0], full(254).as_slice()].concat()),
        ("run_of_255_and_zero", with(255, &[0])),
        ("run_of_256", full(256)),
    ];
    let entry = |(name, frame): (&str, Vec<u8>)| {
        let mut entry = Entry::new(format!("line.{name}"));
        entry.put("frame", hex(&frame));
        entry.put("line", hex(&line_of(&frame)));
        entry
    };
    cases.into_iter().map(entry).collect()
}

fn streams() -> Vec<Entry> {
    let long = |len: usize| line_of(&vec![0x5A; len]);
    let good = [0x00, 0x02, 0x11, 0x02, 0x22, 0x00];
    let found: &[&[u8]] = &[&[0x11, 0, 0x22]];
    let run = |end: &[u8]| [&[0x00, 0xFF], [0x5A; 254].as_slice(), end].concat();
    let after = |before: &[u8]| [before, &good].concat();
    let cases: Vec<(&str, Vec<u8>, &[&[u8]])> = vec![
        ("delimiters_only", vec![0; 4], &[]),
        ("empty_frame", vec![0, 1, 0], &[]),
        ("without_first_delimiter", good[1..].to_vec(), found),
        ("one_delimiter_between", vec![0, 2, 0x11, 0, 2, 0x22, 0], &[&[0x11], &[0x22]]),
        ("no_delimiter_between", vec![0, 2, 0x11, 2, 0x22, 0], found),
        ("without_last_delimiter", good[..5].to_vec(), &[]),
        ("noise_and_a_frame", after(&[0xA5, 0x5A, 0xC3]), found),
        ("block_cut_by_a_delimiter", after(&[0, 5, 0x11, 0x22]), found),
        ("code_without_its_block", after(&[0, 2]), found),
        ("full_block_then_delimiter", run(&[0x00]), &[&[0x5A; 254]]),
        ("full_block_then_empty_block", run(&[0x01, 0x00]), &[&[0x5A; 254]]),
        ("longest", long(STREAM_FRAME_MAX), &[&[0x5A; STREAM_FRAME_MAX]]),
        ("one_too_long", after(&long(STREAM_FRAME_MAX + 1)), found),
        ("far_too_long", after(&long(STREAM_FRAME_MAX * 3)), found),
    ];
    let entry = |(name, stream, frames): (&str, Vec<u8>, &[&[u8]])| {
        let mut entry = Entry::new(format!("stream.{name}"));
        entry.put("stream", hex(&stream));
        for frame in frames {
            entry.put("frame", hex(frame));
        }
        entry
    };
    cases.into_iter().map(entry).collect()
}

/// The frames that the library finds.
fn found(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = cobs::Decoder::<STREAM_FRAME_MAX>::new();
    stream.iter().filter_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec)).collect()
}

/// Holds the library to what an entry says.
fn check(entry: &Entry) {
    let name = &entry.name;
    match name.split('.').next() {
        Some("frame") => {
            let bytes = entry.bytes("frame");
            match (Frame::parse(&bytes), entry.all("refused").next()) {
                (Err(FrameError::Short), Some("short")) | (Err(FrameError::Checksum), Some("checksum")) => {}
                (Ok(frame), None) => {
                    let head = [frame.address, frame.kind, frame.revision];
                    assert_eq!(framed(head, frame.sequence, frame.payload), bytes, "[{name}]");
                    assert_eq!(entry.text("sequence"), frame.sequence.to_string(), "[{name}]");
                    assert_eq!(hex(frame.payload), entry.text("payload"), "[{name}]");
                }
                other => panic!("[{name}] {other:?}"),
            }
        }
        Some("line") => {
            assert_eq!(line_of(&entry.bytes("frame")), entry.bytes("line"), "[{name}]");
            assert_eq!(found(&entry.bytes("line")), [entry.bytes("frame")], "[{name}]");
        }
        Some("stream") => {
            let frames: Vec<_> = entry.all("frame").map(|frame| unhex(frame).expect("hexadecimal")).collect();
            assert_eq!(found(&entry.bytes("stream")), frames, "[{name}]");
        }
        _ => assert_eq!(format!("{:#010x}", checksum(&entry.bytes("bytes"))), entry.text("checksum")),
    }
}

#[test]
fn frames_and_lines_are_as_their_file_says() {
    let ours = table();
    let file = entries(FILE, &ours);
    assert_eq!(file.len(), ours.len(), "{FILE}: an entry without a case; they are kept for ever");
    for entry in &ours {
        let theirs = file
            .get(&entry.name)
            .unwrap_or_else(|| panic!("{FILE} has no [{}]: VEND_GOLDEN=add", entry.name));
        assert_eq!(entry, theirs);
        check(theirs);
    }
}

/// The table puts frames together by hand; here the library does.
#[test]
fn the_library_writes_the_frames_that_the_table_does() {
    let busy = vend_protocol::machine_link::Busy { seq: vend_protocol::AuthSeq::new(7).unwrap() };
    let mut out = [0; 16];
    let len = frame::write(0, 0x0403_0201, &busy, &mut out).unwrap();
    assert_eq!(out[..len], framed([0, 0x06, 1], 0x0403_0201, &[7]));
}
