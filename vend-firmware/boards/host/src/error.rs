//! Why a host machine does not start.

use std::path::PathBuf;

/// Why a host machine does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A file of the machine's folder could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The system gave no random bytes.
    #[error("no random bytes from the system")]
    Random,
    /// There is no identity yet and no ticket to get one with.
    #[error("this machine is not enrolled: start it with an enrolment ticket")]
    NoTicket,
    /// The ticket is misspelt.
    #[error("the enrolment ticket is misspelt")]
    Ticket(#[from] vend_payments::enrolment::TicketError),
    /// The server refused the claim for good.
    #[error("the server refused to enrol this machine: {0}")]
    Refused(String),
    /// The identity file is not one.
    #[error("{0} is damaged: remove the machine's folder and enrol it anew with a new ticket")]
    Identity(PathBuf),
    /// The machine has a key, and the journal that belongs to it is missing or unreadable. Going on with an empty one could
    /// vend an order twice, so the key must not be used any more.
    #[error(
        "the journal of this machine is missing or unreadable ({0}): its key must not be used any more; remove the machine's folder and enrol it anew with a new ticket"
    )]
    Journal(String),
    /// Not `host:port`.
    #[error("{0:?} is not host:port")]
    Address(String),
    /// The system gave no thread.
    #[error("no thread for the machine: {0}")]
    Thread(std::io::Error),
    /// More lanes than a host machine has drivers for, or none.
    #[error("a host machine has 1 to {max} lanes", max = crate::HostConfig::MAX_LANES)]
    Lanes,
}
