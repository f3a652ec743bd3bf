//! What goes wrong in a run, and how often.

/// Chances out of a thousand: of each frame, each step, or each occasion.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    // Of each frame.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) swapped: u64,
    /// A bit is flipped: the checksum catches it.
    pub(crate) flipped: u64,
    /// A bit is flipped and the checksum put right: the code or the signature catches it.
    pub(crate) altered: u64,
    /// The line stands still for a while.
    pub(crate) stalled: u64,

    // Of each step.
    /// A frame that was seen before, in any direction and on any connection, is put in.
    pub(crate) replayed: u64,
    pub(crate) cut: u64,
    /// One or both directions swallow everything from now on.
    pub(crate) half_open: u64,
    pub(crate) machine_power: u64,
    pub(crate) server_power: u64,
    /// The server comes back with an older database.
    pub(crate) restored: u64,
    /// The machine gets another main board.
    pub(crate) replaced: u64,
    /// The machine does everything slowly for a while.
    pub(crate) slow: u64,
    /// The server acknowledges nothing for a while.
    pub(crate) deaf: u64,

    // Of each occasion.
    /// Of each closing: the other end is not told.
    pub(crate) untold: u64,
    /// Of each hello: answered late, with *pending*, or with *rejected*.
    pub(crate) unwelcome: u64,
    /// Of each authorization and void: busy.
    pub(crate) busy: u64,
    /// Of each authorization: cannot run.
    pub(crate) unable: u64,
    /// Of each look into the journal: not at hand yet.
    pub(crate) later: u64,
    /// Of each message that may be lost: one of a kind or revision that the other end does not know goes with it.
    pub(crate) newer: u64,

    // How busy a day it is.
    /// The machine tells something of itself about this often, in milliseconds; 0: never.
    pub(crate) chatter_ms: u64,
    /// Somebody buys something about this often, in milliseconds; 0: never.
    pub(crate) customer_ms: u64,
}

/// Nothing goes wrong and nothing happens by itself.
pub(crate) const CALM: Faults = Faults {
    lost: 0,
    doubled: 0,
    swapped: 0,
    flipped: 0,
    altered: 0,
    stalled: 0,
    replayed: 0,
    cut: 0,
    half_open: 0,
    machine_power: 0,
    server_power: 0,
    restored: 0,
    replaced: 0,
    slow: 0,
    deaf: 0,
    untold: 0,
    unwelcome: 0,
    busy: 0,
    unable: 0,
    later: 0,
    newer: 0,
    chatter_ms: 0,
    customer_ms: 0,
};

/// A good line, many customers, a machine that has much to tell.
pub(crate) const BUSY_DAY: Faults =
    Faults { later: 100, unable: 50, chatter_ms: 3_000, customer_ms: 6_000, ..CALM };

/// A line that loses, doubles, swaps, damages and delays.
pub(crate) const BAD_LINE: Faults =
    Faults { lost: 10, doubled: 60, swapped: 10, flipped: 8, stalled: 20, ..BUSY_DAY };

/// A broker that would like to be believed.
pub(crate) const HOSTILE: Faults = Faults { doubled: 40, altered: 12, replayed: 15, ..BUSY_DAY };

/// Connections that end, or seem not to.
pub(crate) const CUTS: Faults = Faults { cut: 12, half_open: 6, untold: 300, unwelcome: 250, ..BUSY_DAY };

/// Power that goes at any moment, at either end.
pub(crate) const POWER: Faults =
    Faults { machine_power: 12, server_power: 12, untold: 300, busy: 100, ..BUSY_DAY };

/// A server restored from an old backup, boards that are replaced, peers of other versions.
pub(crate) const HISTORY: Faults =
    Faults { restored: 5, replaced: 2, cut: 6, newer: 150, server_power: 4, ..BUSY_DAY };

/// Many receipts and few acknowledgements: most orders cannot run, so each ends at once.
pub(crate) const BACKLOG: Faults =
    Faults { deaf: 30, unable: 900, cut: 4, newer: 100, customer_ms: 300, ..BUSY_DAY };

/// All of it.
pub(crate) const EVERYTHING: Faults = Faults {
    lost: 3,
    doubled: 25,
    swapped: 3,
    flipped: 3,
    altered: 3,
    stalled: 10,
    replayed: 4,
    cut: 4,
    half_open: 2,
    machine_power: 4,
    server_power: 4,
    restored: 1,
    replaced: 1,
    slow: 8,
    deaf: 4,
    untold: 200,
    unwelcome: 120,
    busy: 60,
    unable: 40,
    later: 100,
    newer: 60,
    chatter_ms: 3_000,
    customer_ms: 6_000,
};
