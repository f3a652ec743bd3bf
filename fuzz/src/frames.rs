//! Frames of both links, from bytes that nobody vouches for.

use crc::{CRC_32_ISO_HDLC, Crc};
use vend_protocol::{
    cobs, codec,
    frame::{CONTROL_FRAME_MAX, Frame, FrameError, HEADER_LEN, MACHINE_FRAME_MAX},
    machine_link::{MAC_LEN, SEALED},
    signed::Signed,
};

use crate::layouts::{BODIES, CONTROL, Kind, MACHINE};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The input as a frame of the machine link; then as one without its checksum, which is added, so that what lies
/// behind it is reached; then as a signed body.
///
/// Holds: nothing panics; what is taken for a message or a body is written again as the very same bytes; and a flipped bit is
/// noticed.
pub fn machine_frames(data: &[u8]) {
    message(MACHINE, data, without_code);
    let frame = with_crc(data, MACHINE_FRAME_MAX);
    message(MACHINE, &frame, without_code);
    flipped(data, frame);
    body(data);
}

/// The input as what comes over a serial line; then as one frame without its checksum, sent over a good line.
///
/// Holds: as for the machine link, and what was put on the line comes out of it.
pub fn control_frames(data: &[u8]) {
    line(data, |frame| message(CONTROL, frame, |frame| frame));

    let frame = with_crc(data, CONTROL_FRAME_MAX);
    let mut coded = [0; cobs::line_len(CONTROL_FRAME_MAX)];
    let len = cobs::encode(&frame, &mut coded).expect("`line_len` is enough for every frame");
    let mut received = 0;
    line(&coded[..len], |out| {
        assert_eq!(out, frame, "the line changed a frame");
        message(CONTROL, out, |frame| frame);
        received += 1;
    });
    assert_eq!(received, 1, "one frame was sent");
    flipped(data, frame);
}

/// One bit of a good frame is flipped, where the input's ends say.
fn flipped(data: &[u8], mut frame: Vec<u8>) {
    if let [bit, .., at] = data {
        let at = usize::from(*at) % frame.len();
        frame[at] ^= 1 << (bit % 8);
        assert!(Frame::parse(&frame).is_err(), "bit {bit} of byte {at} was flipped");
    }
}

/// `data`, cut to what a frame holds, with the right checksum behind it.
pub fn with_crc(data: &[u8], frame_max: usize) -> Vec<u8> {
    let mut frame = data[..data.len().min(frame_max - 4)].to_vec();
    frame.extend_from_slice(&CRC.checksum(&frame).to_le_bytes());
    frame
}

fn line(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let mut decoder = cobs::Decoder::<CONTROL_FRAME_MAX>::new();
    for byte in bytes {
        if let Some(frame) = decoder.push(*byte) {
            each(frame);
        }
    }
}

/// What a sealed frame of the machine link carries in front of its authentication code, which is not looked at here.
fn without_code(frame: Frame<'_>) -> Frame<'_> {
    match frame.payload.split_last_chunk::<MAC_LEN>() {
        Some((payload, _)) if frame.address == SEALED => Frame { payload, ..frame },
        _ => frame,
    }
}

/// Reads one frame as every message of its link.
fn message(kinds: &[Kind], bytes: &[u8], bare: fn(Frame<'_>) -> Frame<'_>) {
    let frame = match Frame::parse(bytes) {
        Ok(frame) => frame,
        Err(FrameError::Short) => return assert!(bytes.len() < HEADER_LEN + 4, "a frame was called short"),
        Err(_) => return assert!(!is_checked(bytes), "a good checksum was refused"),
    };
    assert!(is_checked(bytes), "a bad checksum was taken");
    let mut again = vec![frame.address, frame.kind, frame.revision];
    again.extend_from_slice(&frame.sequence.to_le_bytes());
    again.extend_from_slice(frame.payload);
    assert_eq!(with_crc(&again, usize::MAX), bytes, "the header was misread");

    if bytes.len() > MACHINE_FRAME_MAX {
        return;
    }
    let bare = bare(frame);
    let taken = kinds.iter().filter(|kind| (kind.canonical)(&bare)).count();
    assert!(taken <= 1, "one frame, several messages");
    if let Ok(signed) = codec::decode::<Signed>(bare.payload) {
        body(&signed.body);
    }
}

/// Whether the last four bytes are the checksum of those before, as another implementation has it.
fn is_checked(bytes: &[u8]) -> bool {
    bytes.split_last_chunk().is_some_and(|(body, crc)| CRC.checksum(body).to_le_bytes() == *crc)
}

/// Reads bytes as every signed body. One body may well look like another: the tag under the signature tells them apart.
fn body(bytes: &[u8]) {
    for layout in BODIES {
        (layout.canonical)(bytes);
    }
}
