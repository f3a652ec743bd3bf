//! Who speaks, under which keys, at what time.

use serde::{Deserialize, Serialize};

use super::message;
use crate::{machine_link::kind, outcome::open_number, signed::Signed};

/// Machine to server, first on every connection: a signed [`crate::signed::HelloBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello(pub Signed);
message!(Hello, kind::HELLO);

/// Server to machine: a signed [`crate::signed::AcceptedBody`]. Both ends seal every message after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted(pub Signed);
message!(Accepted, kind::ACCEPTED);

/// Server to machine: the hello is in order, but the server is not ready for this machine. The machine keeps the connection
/// and says hello again after `retry_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Seconds. Nobody signed them: a machine never waits longer than [`super::super::RETRY_MAX_S`].
    pub retry_s: u16,
}
message!(Pending, kind::PENDING);

/// Server to machine: the hello was not accepted. The machine closes the connection and comes back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Why.
    pub code: Rejection,
    /// Seconds to wait before the next hello. Nobody signed them: a machine never waits longer than
    /// [`super::super::RETRY_MAX_S`].
    pub retry_s: u16,
}
message!(Rejected, kind::REJECTED);

open_number! {
    /// Why a hello was not accepted.
    Rejection {
        /// No such enrolment.
        UNKNOWN = 1 "unknown enrolment",
        /// The enrolment has been retired: another board speaks for the machine now.
        RETIRED = 2 "retired enrolment",
        /// The signature is not the enrolment's.
        SIGNATURE = 3 "bad signature",
        /// The login belongs to another machine.
        LOGIN = 4 "another machine's login",
        /// The server reads none of the machine's revisions of a money message.
        REVISION = 5 "no common revision",
    }
}

/// Both ways: the message with this sequence is of a kind or revision the sender does not know. A reliable message so
/// answered must not be sent again on this connection, so that it cannot block the ones behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsupported {
    /// Kind of the message.
    pub kind: u8,
    /// Its revision.
    pub revision: u8,
    /// Its sequence.
    pub sequence: u32,
}
message!(Unsupported, kind::UNSUPPORTED);

/// Machine to server: what is the time? Also how a machine finds out whether a quiet link is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRequest {
    /// The answer repeats it.
    pub request: u32,
}
message!(ClockRequest, kind::CLOCK_REQUEST);

/// Server to machine: the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The request it answers.
    pub request: u32,
    /// Milliseconds since 1970, UTC.
    pub server_time_ms: u64,
}
message!(Clock, kind::CLOCK);

/// Server to machine: a newer [`crate::signed::KeyListBody`], signed by the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList(pub Signed);
message!(KeyList, kind::KEY_LIST);

/// Machine to server: the key list it goes by now. Also the answer to one that is not newer, or not the root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyListApplied {
    /// Its version.
    pub version: u32,
}
message!(KeyListApplied, kind::KEY_LIST_APPLIED);

/// Machine to server, over HTTPS and not over MQTT: a signed [`crate::signed::ClaimBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim(pub Signed);
message!(Claim, kind::CLAIM);

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimGranted {
    /// The operator's root key; the machine checks it against the fingerprint it was given by the technician.
    #[serde(with = "crate::codec::raw")]
    pub root_key: [u8; 32],
    /// A [`crate::signed::KeyListBody`] signed by the root key.
    pub key_list: Signed,
    /// A [`crate::signed::EnrolmentBody`] signed by a key of that list.
    pub enrolment: Signed,
}
message!(ClaimGranted, kind::CLAIM_GRANTED);
