//! New firmware: offered, fetched by the machine at its own pace, judged.

use serde::{Deserialize, Serialize};

use super::message;
use crate::{
    Bytes,
    machine_link::{CHUNK_MAX, kind},
    outcome::open_number,
    signed::Signed,
};

/// Server to machine: a signed [`crate::signed::ManifestBody`]. Repeated offers of one manifest are one offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateOffer(pub Signed);
message!(UpdateOffer, kind::UPDATE_OFFER);

open_number! {
    /// Which image of a manifest.
    ImageName {
        /// The main board's.
        MAIN = 1 "main board",
        /// The control board's.
        CONTROL = 2 "control board",
    }
}

/// Machine to server, lossy: send me these bytes. The machine asks for one chunk after the other, so it sets the pace; without
/// an answer it asks again after [`super::super::CHUNK_AGAIN_MS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRequest {
    /// The manifest's version.
    pub version: u32,
    /// Of which image.
    pub image: ImageName,
    /// From which byte.
    pub offset: u32,
    /// How many, at most [`CHUNK_MAX`].
    pub length: u16,
}
message!(ChunkRequest, kind::CHUNK_REQUEST);

/// Server to machine, lossy: the bytes. Fewer than were asked for only at the image's end; none: there is no such image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The manifest's version.
    pub version: u32,
    /// Of which image.
    pub image: ImageName,
    /// From which byte.
    pub offset: u32,
    /// The bytes.
    pub bytes: Bytes<CHUNK_MAX>,
}
message!(Chunk, kind::CHUNK);

/// Machine to server: how far an update is, and how it ended. Sent on each connection until [`super::Noted`] names its kind and
/// the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVerdict {
    /// The manifest's version.
    pub version: u32,
    /// How it stands.
    pub status: UpdateStatus,
    /// For people.
    pub detail: u32,
}
message!(UpdateVerdict, kind::UPDATE_VERDICT);

open_number! {
    /// How an update stands.
    UpdateStatus {
        /// Being fetched.
        FETCHING = 1 "fetching",
        /// Fetched and verified; it is put in when no order is open.
        READY = 2 "ready",
        /// Running and confirmed.
        CONFIRMED = 3 "confirmed",
        /// The signature or a hash does not hold.
        NOT_VERIFIED = 4 "not verified",
        /// It is not newer, or not for this machine.
        NOT_WANTED = 5 "not for this machine",
        /// It did not start or did not confirm; the old one runs again.
        REVERTED = 6 "reverted",
        /// There is no room.
        ROOM = 7 "no room",
        /// The control board did not take its image.
        CONTROL_BOARD = 8 "control board failed",
    }
}
