//! Counts the instructions that a Cortex-M4 spends on each of the five commonest messages, ours beside bare postcard over
//! the same types. Runs under QEMU with `-icount shift=0`, where one instruction takes one nanosecond of virtual time.
//!
//! What is counted is what the host's benchmark times, frame and checksum included, writing and reading apart. It is built for
//! size like the images that are weighed: a firmware that is built for speed spends less.

#![no_std]
#![no_main]

#[path = "../../../bench/src/samples.rs"]
mod samples;

use core::{fmt::Write as _, hint::black_box};

use serde::{Serialize, de::DeserializeOwned};
use vend_mcu::semihosting::{self, Line};
use vend_protocol::{
    Full, codec,
    frame::{self, Frame, HEADER_LEN, MACHINE_FRAME_MAX, Message},
    machine_link::{Authorization, Hello, Receipt},
    signed::Signed,
};

use samples::{Body, CASES, Samples};

/// Repetitions, so that a tick of the timer, which is 40 instructions, is a small part of one.
const TIMES: u32 = 1_000;
/// Instructions a tick: the core runs at 1 GHz of virtual time, its timer at 25 MHz.
const TICK: u32 = 40;

type Buffer = [u8; MACHINE_FRAME_MAX];

#[unsafe(no_mangle)]
extern "C" fn main() {
    let samples = Samples::new();
    let [receipt, authorization, hello, telemetry, acknowledgement] = CASES;
    signed(receipt, &samples, &samples.receipt, Receipt, |message| message.0);
    signed(authorization, &samples, &samples.authorization, Authorization, |message| message.0);
    signed(hello, &samples, &samples.hello, Hello, |message| message.0);
    plain(telemetry, &samples.telemetry);
    plain(acknowledgement, &samples.acknowledgement);
    semihosting::exit(true);
}

fn signed<B: Serialize + DeserializeOwned, M: Message>(
    case: &str,
    samples: &Samples,
    body: &B,
    message: fn(Signed) -> M,
    envelope: fn(M) -> Signed,
) {
    let sign = |body: Body| message(Signed { key_id: samples.key_id, body, signature: samples.signature });
    count(
        case,
        "ours",
        |out| {
            let body = Body::fill(|out| codec::encode(body, out).map_err(|_| Full)).unwrap_or_default();
            frame::write(0, 1, &sign(body), out).unwrap_or(0)
        },
        |frame| {
            let signed = frame.decode::<M>().ok().map(envelope);
            black_box(signed.and_then(|signed| codec::decode::<B>(&signed.body).ok())).is_some()
        },
    );
    count(
        case,
        "postcard",
        |out| {
            let write =
                |out: &mut [u8; _]| postcard::to_slice(body, out).map(|used| used.len()).map_err(|_| Full);
            let body = Body::fill(write).unwrap_or_default();
            write_bare(&sign(body), out)
        },
        |frame| {
            let signed = postcard::from_bytes::<M>(frame.payload).ok().map(envelope);
            black_box(signed.and_then(|signed| postcard::from_bytes::<B>(&signed.body).ok())).is_some()
        },
    );
}

fn plain<M: Message>(case: &str, message: &M) {
    count(
        case,
        "ours",
        |out| frame::write(0, 1, message, out).unwrap_or(0),
        |frame| black_box(frame.decode::<M>()).is_ok(),
    );
    count(
        case,
        "postcard",
        |out| write_bare(message, out),
        |frame| black_box(postcard::from_bytes::<M>(frame.payload)).is_ok(),
    );
}

/// Our frame around postcard's own encoding.
fn write_bare<M: Message>(message: &M, out: &mut [u8]) -> usize {
    let Some((header, rest)) = out.split_first_chunk_mut::<HEADER_LEN>() else { return 0 };
    *header = [0, M::KIND, M::REVISION, 1, 0, 0, 0];
    let len = HEADER_LEN + postcard::to_slice(message, rest).map_or(0, |used| used.len());
    let Some((body, rest)) = out.split_at_mut_checked(len) else { return 0 };
    let crc = frame::checksum(body).to_le_bytes();
    let Some(place) = rest.first_chunk_mut() else { return 0 };
    *place = crc;
    len + crc.len()
}

/// Prints what writing and reading cost.
fn count(case: &str, who: &str, write: impl Fn(&mut Buffer) -> usize, read: impl Fn(&Frame<'_>) -> bool) {
    let mut buffer: Buffer = [0; MACHINE_FRAME_MAX];
    let len = write(&mut buffer);
    let idle = ticks(|| true);
    let written = ticks(|| write(black_box(&mut buffer)) == len);
    let bytes = buffer.get(..len).unwrap_or(&[]);
    let read = ticks(|| Frame::parse(black_box(bytes)).is_ok_and(|frame| read(&frame)));
    let (Some(idle), Some(written), Some(read)) = (idle, written, read) else {
        semihosting::print(&Line::from("a message does not come back\n"));
        semihosting::exit(false);
    };
    for (what, ticks) in [("write", written), ("read", read)] {
        let instructions = (ticks - idle) * TICK / TIMES;
        let mut line = Line::default();
        // A line is longer than any of these.
        let _ = writeln!(line, "{case} {what} {who} {instructions}");
        semihosting::print(&line);
    }
}

/// The ticks that many repetitions take; `None` when one fails.
#[inline(never)]
fn ticks(mut work: impl FnMut() -> bool) -> Option<u32> {
    let start = semihosting::timer();
    let good = (0..TIMES).all(|_| black_box(work()));
    // It counts down, in 24 bits.
    let ticks = start.wrapping_sub(semihosting::timer()) & 0x00FF_FFFF;
    good.then_some(ticks)
}
