//! Our encoding beside `serde_json`, `prost`, `minicbor`, `bincode` and bare `postcard`: bytes, and the time of a round trip.
//!
//! # What is compared
//! The five commonest messages of the machine link, with the same fields and the same values. Every contestant's message
//! travels in the same frame: our header of 7 bytes, the payload in the contestant's encoding, and our CRC-32, written
//! and checked by the same function. All write into the same buffer, so nobody pays for growing one.
//!
//! A round trip is: write the whole frame; check the frame; read the message from it. Receipt, authorization and hello
//! are signed: their body is encoded, put as bytes into an envelope with the key's name and a signature of 64 bytes, and the
//! envelope is encoded; reading goes the same way back. No cryptography is done or timed.
//!
//! # Choices, where there was one
//! - JSON nests the body in the envelope as an object, with the signature beside it. Base64 of a JSON text would be the same
//!   design as ours, and unfair to JSON. Byte fields are base64url without padding.
//! - The peers use what a Rust programmer would: `Vec`, `String`, arrays where the length is fixed, derived code, `bytes`
//!   in prost, arrays and not maps in CBOR. Values that may be absent are optional fields.
//! - Our side checks what it reads, ranges and the one canonical spelling, as it does in use. The peers check what their derived
//!   code checks, which is less.
//! - `bytes` counts the payload without the frame and without the signature's 64 bytes, or their 86 characters in JSON.
//!
//! # How it is timed
//! In rounds. In each round every contestant makes the same number of round trips, beginning with another one each
//! time, so that what disturbs the machine disturbs all. A figure is the median over the rounds; only ratios mean
//! anything on another machine.
//!
//! Prints a line a figure: case, metric, contestant, value.

mod contest;
mod ours;
mod peers;
mod samples;

use std::env;

use contest::Entry;
use samples::Samples;

/// Rounds, and round trips of each contestant in a round.
const FULL: (usize, u32) = (501, 400);
const QUICK: (usize, u32) = (151, 400);

fn main() {
    let quick = env::args().any(|arg| arg == "--quick");
    let (rounds, trips) = if quick { QUICK } else { FULL };
    println!("frame bytes ours {}", ours::frame_bytes());
    let samples = Samples::new();
    for case in samples::CASES {
        let entries: Vec<Entry> =
            peers::all(&samples).into_iter().filter(|entry| entry.case == case).collect();
        for entry in &entries {
            assert!(entry.comes_back(), "{case} of {} does not come back as it was", entry.who);
            println!("{case} bytes {} {}", entry.who, entry.payload_bytes());
        }
        for (entry, ns) in entries.iter().zip(contest::time(&entries, rounds, trips)) {
            println!("{case} roundtrip_ns {} {ns:.2}", entry.who);
        }
    }
}
