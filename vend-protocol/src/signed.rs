//! The envelope of everything signed, and the layouts of the signed bodies.
//!
//! This crate knows how they look on the wire; tags, keys and verification are in `vend-payments`. A body is
//! stored, hashed and forwarded as the bytes that were signed, and never encoded a second time.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    AuthSeq, Bytes, Currency, EnrolmentId, JournalId, KeyId, List, MachineId, Money, Nonce, OrderId, Outcome,
    PlanVersion, ProductId, ReceiptHash, ReceiptNo, SlotId, Text,
};

/// The most lines of an order.
pub const MAX_LINES: usize = 8;
/// The longest signed body, in bytes.
pub const BODY_MAX: usize = 384;
/// The most message kinds whose revisions a hello or its answer lists.
pub const REVISIONS_MAX: usize = 8;
/// The most keys of a key list.
pub const KEYS_MAX: usize = 4;

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(#[serde(with = "crate::codec::raw")] [u8; 64]);

impl Signature {
    /// From its 64 bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Its 64 bytes.
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A body and its signature. Nothing may be read from the body before the signature is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Which key signed.
    pub key_id: KeyId,
    /// The body, as it was signed.
    pub body: Bytes<BODY_MAX>,
    /// Over a 16-byte tag and the body.
    pub signature: Signature,
}

/// The first message of a machine on every connection, signed by its enrolment's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloBody {
    /// The number on the door.
    pub machine: MachineId,
    /// Which key speaks.
    pub enrolment: EnrolmentId,
    /// Fresh for this hello; the answer echoes it.
    pub nonce: Nonce,
    /// A fresh X25519 key, from which the session's keys are agreed.
    #[serde(with = "crate::codec::raw")]
    pub ephemeral: [u8; 32],
    /// The journal that its receipts are numbered in.
    pub journal: JournalId,
    /// The highest authorization sequence it has used up; 0: none.
    pub used_seq: u64,
    /// The number of the last receipt it has written; 0: none.
    pub last_receipt: u64,
    /// The planogram it sells from; 0: none.
    pub plan: PlanVersion,
    /// The configuration it goes by; 0: the one it was built with.
    pub config: u32,
    /// The key list it goes by.
    pub key_list: u32,
    /// Highest revision of each money message it reads.
    pub revisions: List<Revision, REVISIONS_MAX>,
    /// Longest frame it takes, in bytes.
    pub frame_max: u16,
    /// Most lines of an order.
    pub lines_max: u8,
    /// Its firmware, for people.
    pub firmware: Text<24>,
}

/// The highest revision of a message kind that a peer understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Message kind.
    pub kind: u8,
    /// Highest revision.
    pub revision: u8,
}

impl Revision {
    /// Whether who lists this reads that revision of that kind.
    pub const fn covers(self, kind: u8, revision: u8) -> bool {
        self.kind == kind && revision <= self.revision
    }
}

/// The server's answer to a hello, signed by an online key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedBody {
    /// Whom it answers.
    pub enrolment: EnrolmentId,
    /// The hello's nonce.
    pub nonce: Nonce,
    /// A fresh X25519 key, from which the session's keys are agreed.
    #[serde(with = "crate::codec::raw")]
    pub ephemeral: [u8; 32],
    /// Milliseconds since 1970, UTC.
    pub server_time_ms: u64,
    /// The last receipt of the hello's journal up to which the server has every one; 0: none.
    pub receipt_watermark: u64,
    /// The highest sequence the server has issued to this enrolment; 0: none.
    pub issued_seq: u64,
    /// Sequences up to this one are used up, whatever the machine's journal says: they belong to a board that was replaced; 0:
    /// none.
    pub floor_seq: u64,
    /// The planogram the machine should sell from.
    pub plan: PlanVersion,
    /// The configuration it should go by.
    pub config: u32,
    /// The newest key list.
    pub key_list: u32,
    /// Send something at least this often, in seconds.
    pub keepalive_s: u16,
    /// Highest revision of each money message the server reads.
    pub revisions: List<Revision, REVISIONS_MAX>,
    /// Longest frame it takes, in bytes.
    pub frame_max: u16,
}

/// One line that an authorization permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizedLine {
    /// The lane.
    pub slot: SlotId,
    /// What must be in it.
    pub product: ProductId,
    /// What was paid for it, in minor units of the authorization's currency.
    pub price_minor: u32,
}

/// The server's permission to vend an order once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationBody {
    /// Which key of which machine may use it.
    pub enrolment: EnrolmentId,
    /// Rising under one enrolment; each is used once.
    pub seq: AuthSeq,
    /// The order it pays.
    pub order: OrderId,
    /// The planogram that slots, products and prices are from.
    pub plan: PlanVersion,
    /// No line starts after this, in milliseconds since 1970, UTC.
    pub deadline_ms: u64,
    /// Of all prices.
    pub currency: Currency,
    /// What may be vended, in this order.
    pub lines: List<AuthorizedLine, MAX_LINES>,
}

/// The server's word that an authorization must not be used any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidBody {
    /// Whose sequence.
    pub enrolment: EnrolmentId,
    /// Which authorization; it is used up without motion.
    pub seq: AuthSeq,
    /// Its order.
    pub order: OrderId,
}

/// What permitted a motion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authority {
    /// A paid order.
    Authorization {
        /// Its sequence.
        seq: AuthSeq,
        /// Its order.
        order: OrderId,
    },
    /// An offline voucher.
    Voucher {
        /// The voucher's identifier.
        #[serde(with = "crate::codec::raw")]
        id: [u8; 16],
    },
    /// A technician's grant.
    ServiceGrant {
        /// The grant's identifier.
        #[serde(with = "crate::codec::raw")]
        id: [u8; 16],
    },
    /// Cash or a card reader at the machine.
    LocalTender {
        /// What was taken.
        amount: Money,
    },
}

/// What became of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptLine {
    /// The lane.
    pub slot: SlotId,
    /// The facts.
    pub outcome: Outcome,
}

/// The machine's account of what it did under one authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptBody {
    /// Whose key signs it.
    pub enrolment: EnrolmentId,
    /// The journal it is in.
    pub journal: JournalId,
    /// Its number there.
    pub number: ReceiptNo,
    /// The hash of the receipt before it.
    pub previous: ReceiptHash,
    /// What permitted the motion.
    pub authority: Authority,
    /// When it was written, in milliseconds since 1970, UTC; 0: the machine had no clock.
    pub at_ms: u64,
    /// Every line, in the authority's order.
    pub lines: List<ReceiptLine, MAX_LINES>,
}

/// Truth that a machine learned after its receipt: an outcome that was unknown, or a fall that came late. Part of the chain of
/// receipts, with a number of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmendmentBody {
    /// Whose key signs it.
    pub enrolment: EnrolmentId,
    /// The journal it is in.
    pub journal: JournalId,
    /// Its number there.
    pub number: ReceiptNo,
    /// The hash of the receipt or amendment before it.
    pub previous: ReceiptHash,
    /// The receipt whose line it is about.
    pub amends: ReceiptNo,
    /// Which line of it, from 0.
    pub line: u8,
    /// The facts as they are known now.
    pub outcome: Outcome,
    /// When it was written, in milliseconds since 1970, UTC; 0: the machine had no clock.
    pub at_ms: u64,
}

/// What a technician may do at a machine. Signed by an online key; may be issued ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantBody {
    /// Its identifier, in the receipts of what was done under it.
    #[serde(with = "crate::codec::raw")]
    pub id: [u8; 16],
    /// At which machine.
    pub enrolment: EnrolmentId,
    /// Not before, in milliseconds since 1970, UTC.
    pub not_before_ms: u64,
    /// Not after.
    pub expires_ms: u64,
    /// Vends it permits, in all.
    pub vends: u16,
}

/// One image of a firmware update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its version, rising.
    pub version: u32,
    /// Its length, in bytes.
    pub size: u32,
    /// SHA-512 over all of it, first 32 bytes.
    #[serde(with = "crate::codec::raw")]
    pub hash: [u8; 32],
}

/// A firmware update: images that belong together. Signed by the maker's firmware key, which signs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestBody {
    /// Strictly rising.
    pub version: u32,
    /// The board it is for.
    pub hardware: Text<24>,
    /// The main board's image.
    pub main: Image,
    /// The control board's, if it changes too. It is put in first.
    pub control: Option<Image>,
    /// The format of the journal that the image writes.
    pub journal_format: u8,
    /// The lowest manifest from which it can be put in.
    pub from_version: u32,
}

/// A machine asks to be enrolled; signed with the key it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimBody {
    /// The key.
    #[serde(with = "crate::codec::raw")]
    pub public_key: [u8; 32],
    /// Fresh for this claim; repeated claims of one key reuse it.
    pub nonce: Nonce,
    /// SHA-256 of the MQTT login secret, which the machine draws itself and never sends here.
    #[serde(with = "crate::codec::raw")]
    pub login_hash: [u8; 32],
    /// Which claim code, without telling it.
    #[serde(with = "crate::codec::raw")]
    pub code_id: [u8; 8],
    /// HMAC-SHA-256 over all the above, under a key derived from the claim code.
    #[serde(with = "crate::codec::raw")]
    pub code_mac: [u8; 32],
}

/// The keys that may sign for the server, under the operator's root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyListBody {
    /// Strictly rising.
    pub version: u32,
    /// Not valid before, in milliseconds since 1970, UTC.
    pub not_before_ms: u64,
    /// Not valid after.
    pub expires_ms: u64,
    /// The keys; one that is missing is revoked.
    #[serde(with = "raw_keys")]
    pub keys: List<[u8; 32], KEYS_MAX>,
}

/// A claim granted; signed by an online key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentBody {
    /// The number on the door.
    pub machine: MachineId,
    /// The enrolled key.
    pub enrolment: EnrolmentId,
    /// The claim's nonce.
    pub nonce: Nonce,
}

/// A list of keys, each read and written in one piece, as [`crate::codec::raw`] does it for one.
mod raw_keys {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::{KEYS_MAX, List};

    #[derive(Clone, Copy, Serialize, Deserialize)]
    struct Key(#[serde(with = "crate::codec::raw")] [u8; 32]);

    pub(super) fn serialize<S: Serializer>(
        keys: &List<[u8; 32], KEYS_MAX>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        // A list of its own, since a sequence needs its length first and the iterator does not know it.
        List::<Key, KEYS_MAX>::try_from_iter(keys.iter().map(|key| Key(*key)))
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<List<[u8; 32], KEYS_MAX>, D::Error> {
        let keys = List::<Key, KEYS_MAX>::deserialize(deserializer)?;
        List::try_from_iter(keys.iter().map(|key| key.0)).map_err(D::Error::custom)
    }
}
