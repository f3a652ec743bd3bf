//! What goes into a machine and what comes out of it.

use vend_protocol::{
    ConfigHash, MachineId, Text,
    control_link::{FIRST_ADDRESS, VendLimits},
    signed::Signed,
};

use crate::journal::{Lookup, Record, StoredReceipt};

/// A source of random bytes fit for nonces and keys: a hardware generator, or the operating system's.
pub trait Random {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}

/// What a machine is.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// The number on the door.
    pub machine: MachineId,
    /// Its firmware, for people.
    pub firmware: Text<24>,
    /// The control board's address.
    pub board_address: u8,
    /// The configuration the control board must have.
    pub board_config: ConfigHash,
    /// The bounds of each vend.
    pub limits: VendLimits,
    /// A connection on which nothing was heard for so long is dead, in milliseconds. After two thirds of it the machine asks
    /// for the time, if the server's keepalive is not shorter still. A link that is paid by the byte wants it longer.
    pub silence_ms: u64,
}

impl MachineConfig {
    /// A machine with one control board at the first address, an unset configuration (zeros), default limits, and a link
    /// that dies after 90 s of silence.
    pub fn new(machine: MachineId) -> Self {
        Self {
            machine,
            firmware: Text::truncated(concat!("vend-firmware ", env!("CARGO_PKG_VERSION"))),
            board_address: FIRST_ADDRESS,
            board_config: ConfigHash([0; 8]),
            limits: VendLimits::default(),
            silence_ms: 90_000,
        }
    }
}

/// Something to be done, in the order it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and no allocator")]
pub enum Action {
    /// Ask the journal, then call [`super::Machine::journaled`] with its answer, before anything else.
    Journal(JournalRequest),
    /// The buffer's first bytes are a frame for the server.
    MachineFrame(usize),
    /// The buffer's first bytes go to the control board's line.
    ControlBytes(usize),
    /// Store this key list where it outlives a power cut, in place of the one stored before, then call
    /// [`super::Machine::key_list_stored`], before anything else. A later start gives it to
    /// [`vend_payments::keys::TrustedKeys::with_stored`].
    StoreKeyList(Signed),
    /// Close the connection to the server, and make the next one no sooner than this.
    CloseLink {
        /// In milliseconds.
        retry_ms: u32,
    },
}

/// Something the journal is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and no allocator")]
pub enum JournalRequest {
    /// [`crate::journal::Journal::append`].
    Append(Record),
    /// [`crate::journal::Journal::reserve`].
    Reserve,
    /// [`crate::journal::Journal::receipt`].
    Find(Lookup),
}

/// What the journal answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and no allocator")]
pub enum JournalAnswer {
    /// Appended or reserved.
    Done,
    /// What was found.
    Found(Option<StoredReceipt>),
    /// There is no room.
    Full,
    /// It failed: what is in flash is not known.
    Failed,
}
