//! Every layout on the wire, in one list each: a new message is one line here.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use vend_protocol::{
    Bytes, Currency, List, Money, Outcome, SlotId, Text,
    codec::{self, CodecError},
    control_link as control,
    frame::{self, Frame, MACHINE_FRAME_MAX, Message},
    machine_link as machine, signed,
};

use crate::sample::sample;

/// A type that travels.
pub struct Layout {
    /// Its name.
    pub name: &'static str,
    /// The byte that chooses it, made from its name: so it stays when the lists grow. Some share one.
    pub choice: u8,
    /// The bytes of its value of that number.
    pub sample: fn(u64) -> Vec<u8>,
    /// Whether these bytes are a value, and panics when that value does not encode to the very same bytes.
    pub canonical: fn(&[u8]) -> bool,
    /// Whether these bytes are a value, and panics when postcard is of another mind, or writes it otherwise.
    pub agreed: fn(&[u8]) -> bool,
}

/// A layout that is a message.
pub struct Kind {
    /// The message.
    pub layout: Layout,
    /// The frame, from this address and with this sequence, of its value of that number.
    pub frame: fn(u8, u32, u64) -> Vec<u8>,
    /// Whether this is a frame of this message, and panics when header and payload are not written again as they were.
    pub canonical: fn(&Frame<'_>) -> bool,
}

impl Layout {
    const fn of<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &'static str) -> Self {
        let (sample, canonical, agreed) = (sampled::<T>, canonical::<T>, agreed::<T>);
        Self { name, choice: choice(name.as_bytes()), sample, canonical, agreed }
    }
}

impl Kind {
    const fn of<M: Message + PartialEq + Debug>(name: &'static str) -> Self {
        Self { layout: Layout::of::<M>(name), frame: framed::<M>, canonical: canonical_frame::<M> }
    }
}

/// FNV-1a (Fowler, Noll and Vo), folded to a byte.
const fn choice(name: &[u8]) -> u8 {
    let (mut hash, mut rest) = (0x811C_9DC5_u32, name);
    while let Some((byte, after)) = rest.split_first() {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        rest = after;
    }
    let [a, b, c, d] = hash.to_le_bytes();
    a ^ b ^ c ^ d
}

fn sampled<T: Serialize + DeserializeOwned>(number: u64) -> Vec<u8> {
    postcard::to_allocvec(&sample::<T>(number)).expect("every value can be written")
}

fn framed<M: Message>(address: u8, sequence: u32, number: u64) -> Vec<u8> {
    let mut out = vec![0; MACHINE_FRAME_MAX];
    let len = frame::write(address, sequence, &sample::<M>(number), &mut out);
    out.truncate(len.unwrap_or_else(|error| panic!("message {:#04x}: {error}", M::KIND)));
    out
}

fn canonical<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(value) = codec::decode::<T>(bytes) else { return false };
    let mut again = [0; MACHINE_FRAME_MAX];
    let len = codec::encode(&value, &mut again).expect("what was decoded from a buffer fits into it");
    assert_eq!(&again[..len], bytes, "two spellings of one value");
    true
}

fn canonical_frame<M: Message>(frame: &Frame<'_>) -> bool {
    let Ok(message) = frame.decode::<M>() else { return false };
    let mut again = [0; MACHINE_FRAME_MAX];
    let len = frame::write(frame.address, frame.sequence, &message, &mut again)
        .expect("what was read from a frame fits into one");
    assert_eq!(Frame::parse(&again[..len]).as_ref(), Ok(frame), "two spellings of one frame");
    true
}

fn agreed<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let theirs = match postcard::take_from_bytes::<T>(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    };
    // postcard also takes longer spellings of a value; its encoder knows only one.
    let theirs = theirs.filter(|value| postcard::to_allocvec(value).is_ok_and(|again| again == bytes));
    let ours = codec::decode::<T>(bytes).ok();
    assert_eq!(ours, theirs, "ours on the left, postcard's on the right");
    let Some(value) = ours else { return false };
    let mut out = vec![0; bytes.len()];
    assert_eq!(codec::encode(&value, &mut out), Ok(bytes.len()));
    assert_eq!(out, bytes, "ours on the left, postcard's on the right");
    if out.pop().is_some() {
        assert_eq!(codec::encode(&value, &mut out), Err(CodecError::Full), "a byte too few");
    }
    true
}

macro_rules! list {
    ($what:ident: $($name:ty),* $(,)?) => { &[$($what::of::<$name>(stringify!($name))),*] };
}

/// The messages of the machine link.
pub const MACHINE: &[Kind] = list![Kind:
    machine::Hello,
    machine::Accepted,
    machine::Pending,
    machine::Rejected,
    machine::Unsupported,
    machine::ClockRequest,
    machine::Clock,
    machine::KeyList,
    machine::KeyListApplied,
    machine::Claim,
    machine::ClaimGranted,
    machine::Prepare,
    machine::Ready,
    machine::Authorization,
    machine::Void,
    machine::Taken,
    machine::Busy,
    machine::Settled,
    machine::Receipt,
    machine::Amendment,
    machine::Acknowledgement,
    machine::LateDrop,
    machine::OrderRequest,
    machine::Quote,
    machine::ShowCode,
    machine::HideCode,
    machine::OrderCancel,
    machine::PlanPart,
    machine::PlanApplied,
    machine::StockReport,
    machine::StockSet,
    machine::DeviceConfig,
    machine::LaneConfigPart,
    machine::ConfigApplied,
    machine::Command,
    machine::CommandResult,
    machine::Telemetry,
    machine::Fault,
    machine::SecurityEvent,
    machine::Noted,
    machine::LogLine,
    machine::UpdateOffer,
    machine::ChunkRequest,
    machine::Chunk,
    machine::UpdateVerdict,
];

/// The messages of the control link.
pub const CONTROL: &[Kind] = list![Kind:
    control::LanesRequest,
    control::LanesAnswer,
    control::ConfigureRequest,
    control::ConfigureAnswer,
    control::LaneScanRequest,
    control::HomeAllRequest,
    control::SelfTestRequest,
    control::TaskAnswer,
    control::OpenRequest,
    control::OpenAnswer,
    control::VendRequest,
    control::VendAnswer,
    control::ForgetRequest,
    control::ForgetAnswer,
    control::AbortRequest,
    control::IdentifyRequest,
    control::Identity,
    control::QueryRequest,
    control::QueryAnswer,
    control::EventsRequest,
    control::EventsAnswer,
    control::UpdateBeginRequest,
    control::UpdateChunkRequest,
    control::UpdateVerifyRequest,
    control::UpdateSwapRequest,
    control::UpdateConfirmRequest,
    control::UpdateAnswer,
    control::Unsupported,
];

/// What is signed, as it stands in [`signed::Signed::body`].
pub const BODIES: &[Layout] = list![Layout:
    signed::HelloBody,
    signed::AcceptedBody,
    signed::AuthorizationBody,
    signed::VoidBody,
    signed::ReceiptBody,
    signed::AmendmentBody,
    signed::GrantBody,
    signed::ManifestBody,
    signed::ClaimBody,
    signed::KeyListBody,
    signed::EnrolmentBody,
];

/// What messages and bodies are made of, each alone, so that a disagreement is found in a short input.
pub const PARTS: &[Layout] = list![Layout:
    bool,
    u8,
    u16,
    u32,
    u64,
    i8,
    i16,
    i32,
    i64,
    Option<u16>,
    (u8, u32),
    [u8; 4],
    [u64; 2],
    Text<5>,
    Bytes<5>,
    List<u16, 3>,
    List<Option<Text<2>>, 2>,
    SlotId,
    Currency,
    Money,
    Outcome,
    signed::Authority,
    control::VendAnswer,
    signed::Signed,
];
