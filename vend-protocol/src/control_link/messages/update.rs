//! New firmware for a control board.
//!
//! The main board has verified the signature of the manifest; the control board checks the image's hash. Every request may be
//! sent again, in any stage: it is answered with the stage. While a vend runs all but repeats are refused, and a vend is refused
//! while the board erases, verifies or swaps: no flash is written on a chip whose motor runs.

use serde::{Deserialize, Serialize};

use super::{Refusal, message};
use crate::{Bytes, control_link::CHUNK_MAX, outcome::open_number, signed::Image};

/// Main board: take this image. The same image again goes on where it was; another one, or the same after it failed, begins
/// anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateBeginRequest {
    /// As the manifest names it.
    pub image: Image,
}
message!(UpdateBeginRequest, UPDATE_BEGIN => UpdateAnswer);

/// Main board: these bytes of it. All chunks but the last have [`CHUNK_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateChunkRequest {
    /// From which byte. Below [`UpdateAnswer::next`] they are there already; above it they are refused.
    pub offset: u32,
    /// The bytes.
    pub bytes: Bytes<CHUNK_MAX>,
}
message!(UpdateChunkRequest, UPDATE_CHUNK => UpdateAnswer);

/// Main board: all is there; check the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVerifyRequest {
    /// The image's version.
    pub version: u32,
}
message!(UpdateVerifyRequest, UPDATE_VERIFY => UpdateAnswer);

/// Main board: start the verified image, on trial. The board answers, then starts again. Refused while a vend runs or its result
/// is kept, since that would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSwapRequest {
    /// The image's version.
    pub version: u32,
}
message!(UpdateSwapRequest, UPDATE_SWAP => UpdateAnswer);

/// Main board: the image on trial works; keep it. One that is not confirmed is left for the old one at the next start, or
/// [`crate::control_link::TRIAL_MS`] after its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateConfirmRequest {
    /// The image's version.
    pub version: u32,
}
message!(UpdateConfirmRequest, UPDATE_CONFIRM => UpdateAnswer);

/// Control board: how the update stands. The answer to each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAnswer {
    /// How far it is.
    pub stage: UpdateStage,
    /// The version of the image that the stage is about; 0: of none.
    pub version: u32,
    /// The byte that the board waits for: so many it has.
    pub next: u32,
    /// Why the request was refused, if it was. The stage stays then.
    pub refused: Option<Refusal>,
}
message!(UpdateAnswer, UPDATE);

open_number! {
    /// How far an update is.
    UpdateStage {
        /// There is none.
        NONE = 0 "none",
        /// Room is being made. The board may be deaf meanwhile.
        ERASING = 1 "erasing",
        /// It waits for the bytes at `next`; or, when it has all, to verify them.
        RECEIVING = 2 "receiving",
        /// The hash is being computed.
        VERIFYING = 3 "verifying",
        /// The hash holds; it waits for the swap.
        VERIFIED = 4 "verified",
        /// The board is about to start again.
        SWAPPING = 5 "swapping",
        /// The new image runs and waits to be confirmed.
        TRIAL = 6 "on trial",
        /// The new image runs for good.
        CONFIRMED = 7 "confirmed",
        /// The hash does not hold, or the flash failed.
        FAILED = 8 "failed",
        /// It was not confirmed; the old image runs again.
        REVERTED = 9 "reverted",
    }
}
