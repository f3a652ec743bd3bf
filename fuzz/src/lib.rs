//! What holds for vend-protocol whatever comes in, as functions of bytes.
//!
//! A fuzz target calls one of them; `cargo test` calls them with every file of the corpus. A property that does not hold
//! panics.
#![forbid(unsafe_code)]

mod control_session;
mod frames;
pub mod layouts;
mod machine_session;
pub mod sample;
mod script;
pub mod seeds;
mod serial;

pub use control_session::control_session;
pub use frames::{control_frames, machine_frames, with_crc};
pub use machine_session::machine_session;
pub use serial::cobs;

use layouts::{BODIES, CONTROL, Layout, MACHINE, PARTS};

/// A fuzz target.
pub struct Target {
    /// Its name, also of its folder in the corpus.
    pub name: &'static str,
    /// Its property.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "machine_frames", run: machine_frames },
    Target { name: "control_frames", run: control_frames },
    Target { name: "codec_differential", run: codec_differential },
    Target { name: "machine_session", run: machine_session },
    Target { name: "control_session", run: control_session },
    Target { name: "cobs", run: cobs },
];

/// Every layout: parts, bodies, then messages.
pub fn layouts() -> impl Iterator<Item = &'static Layout> {
    PARTS.iter().chain(BODIES).chain(MACHINE.iter().chain(CONTROL).map(|kind| &kind.layout))
}

/// The first byte of the input chooses a layout (see [`Layout::choice`]), the others are read as it.
///
/// Holds: our decoder takes them exactly when postcard takes all of them and encodes the value to the same bytes; and then
/// both have the same value.
pub fn codec_differential(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    for layout in layouts().filter(|layout| layout.choice == *choice) {
        (layout.agreed)(bytes);
    }
}
