//! How a sandbox is set up, and what its faults count.

use std::path::PathBuf;
use std::prelude::v1::*;

use super::SandboxKeys;

/// How a sandbox behaves. Build it with [`Config::new`] and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The folder of its ledger.
    pub dir: PathBuf,
    /// The keys of both sides.
    pub keys: SandboxKeys,
    /// The seed of every draw.
    pub seed: u64,
    /// The wallets' own resend intervals (15 s, 4 min and so on) are divided by this. 1 is real time.
    pub time_scale: u32,
    /// What goes wrong with notifications.
    pub faults: Faults,
    /// How long after it was accepted a refund succeeds, in milliseconds.
    pub refund_delay_ms: u32,
}

impl Config {
    /// Real time, no faults.
    pub fn new(dir: impl Into<PathBuf>, keys: SandboxKeys) -> Self {
        Self { dir: dir.into(), keys, seed: 0, time_scale: 1, faults: Faults::default(), refund_delay_ms: 0 }
    }
}

/// Faults of payment notifications, drawn once for each payment, by its number in the ledger and the seed: of every hundred
/// payments exactly the given share meets each fault. What was drawn is in the ledger, so a restart changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many of 1,000 are delivered twice, even when the first was acknowledged.
    pub double_permille: u16,
    /// How many of 1,000 first come late.
    pub late_permille: u16,
    /// How late, in milliseconds (not scaled).
    pub late_ms: u32,
}

/// What the faults did. *Injected*: drawn. *Bit*: it really happened to the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Payments to be notified twice.
    pub double_injected: u64,
    /// Those whose second delivery the receiver answered.
    pub double_bit: u64,
    /// Payments to be notified late.
    pub late_injected: u64,
    /// Those whose first delivery the receiver answered after the delay.
    pub late_bit: u64,
}

/// Why a sandbox cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A file could not be read or written.
    #[error("sandbox file {}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process, or another sandbox in this one, has the ledger open.
    #[error("the ledger is in use")]
    InUse,
    /// A line of the ledger, not the last, cannot be read.
    #[error("the ledger is damaged in line {line}")]
    Damaged {
        /// Which line, from 1.
        line: usize,
    },
    /// A key could not be made or read.
    #[error("sandbox keys: {0}")]
    Key(#[from] crate::wallet::KeyError),
    /// The client for notifications could not be made.
    #[error("notification client: {0}")]
    Client(String),
}
