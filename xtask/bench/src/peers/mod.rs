//! The others.

mod natural;
mod octets;
mod prost;
mod serde_like;

use crate::{contest::Entry, ours, samples::Samples};

/// Every contestant with every message.
pub(crate) fn all(samples: &Samples) -> Vec<Entry> {
    let mut entries = ours::entries(samples);
    entries.extend(serde_like::json(samples));
    entries.extend(prost::entries(samples));
    entries.extend(serde_like::minicbor(samples));
    entries.extend(serde_like::bincode(samples));
    entries.extend(serde_like::postcard(samples));
    entries
}
