//! A message of a kind or revision that nobody knows yet.

use serde::{Deserialize, Serialize};
use vend_protocol::frame::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Newer<const KIND: u8, const REVISION: u8>(pub(crate) u32);

impl<const KIND: u8, const REVISION: u8> Message for Newer<KIND, REVISION> {
    const KIND: u8 = KIND;
    const REVISION: u8 = REVISION;
}
