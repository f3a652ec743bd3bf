//! How records look in flash. The module's documentation describes it.

use crc::{CRC_32_ISO_HDLC, Crc};
use serde::{Deserialize, Serialize};
use vend_protocol::{
    JournalId,
    codec::{self, CodecError},
};

use super::record::{Numbers, Record};

/// Everything is written in whole units of this many bytes, aligned.
pub(super) const UNIT: usize = 8;
const HEADER_LEN: usize = 8;
const CRC_LEN: usize = 4;
/// The longest payload: an authorization or receipt with what stands beside it.
const PAYLOAD_MAX: usize = 532;
/// The longest record.
pub(super) const RECORD_MAX: usize = record_len(PAYLOAD_MAX);
/// The longest outcome record: line and four small fields of an outcome.
pub(super) const OUTCOME_MAX: usize = record_len(8);
/// The last unit of a sector. It is blank until the next sector is complete.
pub(super) const CLOSING: [u8; UNIT] = *b"vend-end";
const FORMAT: u8 = 1;
const MARK: u8 = 0xA7;
pub(super) const BLANK: u8 = 0xFF;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

const fn record_len(payload_len: usize) -> usize {
    (HEADER_LEN + payload_len + CRC_LEN).next_multiple_of(UNIT)
}

const KIND_START: u8 = 1;
const KIND_TAKEN: u8 = 2;
const KIND_OUTCOME: u8 = 3;
const KIND_RECEIPT: u8 = 4;
const KIND_ACKNOWLEDGED: u8 = 5;
const KIND_NONCE: u8 = 6;

/// What each sector begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    format: u8,
    /// The journal it belongs to.
    pub(super) journal: JournalId,
    /// Rising by one a sector.
    pub(super) sequence: u64,
    /// How many records behind it were carried over. Without all of them the sector does not count.
    pub(super) carried: u8,
    /// The numbers as of its making.
    pub(super) numbers: Numbers,
}

impl Start {
    pub(super) const fn new(journal: JournalId, sequence: u64, carried: u8, numbers: Numbers) -> Self {
        Self { format: FORMAT, journal, sequence, carried, numbers }
    }
}

/// A record as bytes, whole units.
pub(super) struct Image {
    bytes: [u8; RECORD_MAX],
    len: usize,
}

impl Image {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn start(start: &Start) -> Result<Self, CodecError> {
        // A start cannot be bound to its sector: it is what says which sector that is.
        Self::write(KIND_START, start, Place { binding: Binding::NONE, index: 0 })
    }

    pub(super) fn record(record: &Record, place: Place) -> Result<Self, CodecError> {
        match record {
            Record::Taken(taken) => Self::write(KIND_TAKEN, taken, place),
            Record::Outcome(outcome) => Self::write(KIND_OUTCOME, outcome, place),
            Record::Receipt(receipt) => Self::write(KIND_RECEIPT, receipt, place),
            Record::Acknowledged(number) => Self::write(KIND_ACKNOWLEDGED, number, place),
            Record::Nonce(nonce) => Self::write(KIND_NONCE, nonce, place),
        }
    }

    fn write<T: Serialize>(kind: u8, payload: &T, place: Place) -> Result<Self, CodecError> {
        let mut bytes = [0; RECORD_MAX];
        let (header, rest) = bytes.split_first_chunk_mut::<HEADER_LEN>().ok_or(CodecError::Full)?;
        let room = rest.get_mut(..PAYLOAD_MAX).ok_or(CodecError::Full)?;
        let payload_len = codec::encode(payload, room)?;
        let [l0, l1] = u16::try_from(payload_len).map_err(|_| CodecError::Full)?.to_le_bytes();
        let [i0, i1, i2, i3] = place.index.to_le_bytes();
        *header = [MARK, kind, l0, l1, i0, i1, i2, i3];
        let (body, rest) = bytes.split_at_mut_checked(HEADER_LEN + payload_len).ok_or(CodecError::Full)?;
        let crc = rest.first_chunk_mut::<CRC_LEN>().ok_or(CodecError::Full)?;
        *crc = place.binding.checksum(body).to_le_bytes();
        Ok(Self { bytes, len: record_len(payload_len) })
    }
}

/// Where a record belongs. It is part of its checksum, so that what an interrupted erase left is not taken for new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) binding: Binding,
    pub(super) index: u32,
}

/// The journal and sector of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    journal: JournalId,
    sequence: u64,
}

impl Binding {
    const NONE: Self = Self { journal: JournalId([0; 8]), sequence: 0 };

    pub(super) const fn of(start: &Start) -> Self {
        Self { journal: start.journal, sequence: start.sequence }
    }

    fn checksum(self, body: &[u8]) -> u32 {
        let mut digest = CRC.digest();
        digest.update(&self.journal.0);
        digest.update(&self.sequence.to_le_bytes());
        digest.update(body);
        digest.finalize()
    }
}

/// A header that may be a record's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    kind: u8,
    payload_len: usize,
    /// The record's number in its sector; the start is 0.
    pub(super) index: u32,
}

impl Header {
    /// Reads a header; `None` for what cannot be one.
    pub(super) fn parse(unit: [u8; UNIT]) -> Option<Self> {
        let [mark, kind, l0, l1, i0, i1, i2, i3] = unit;
        let payload_len = usize::from(u16::from_le_bytes([l0, l1]));
        let fits = mark == MARK && payload_len <= PAYLOAD_MAX;
        fits.then_some(Self { kind, payload_len, index: u32::from_le_bytes([i0, i1, i2, i3]) })
    }

    /// Bytes of the whole record.
    pub(super) const fn record_len(self) -> usize {
        record_len(self.payload_len)
    }

    /// The payload, when the record is whole and belongs to this sector.
    fn payload(self, record: &[u8], binding: Binding) -> Option<&[u8]> {
        let (body, rest) = record.split_at_checked(HEADER_LEN + self.payload_len)?;
        let crc = rest.first_chunk::<CRC_LEN>()?;
        if binding.checksum(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        body.get(HEADER_LEN..)
    }

    /// The start of a sector, when these bytes are one.
    pub(super) fn start(self, record: &[u8]) -> Option<Start> {
        let payload = self.payload(record, Binding::NONE)?;
        let start = codec::decode::<Start>(payload).ok()?;
        (self.kind == KIND_START && start.format == FORMAT).then_some(start)
    }

    /// The record, when its checksum fits.
    ///
    /// # Errors
    /// [`CodecError`] for a record of a newer firmware, or one that was never written by this code.
    pub(super) fn record(self, record: &[u8], binding: Binding) -> Result<Option<Record>, CodecError> {
        let Some(payload) = self.payload(record, binding) else { return Ok(None) };
        Ok(Some(match self.kind {
            KIND_TAKEN => Record::Taken(codec::decode(payload)?),
            KIND_OUTCOME => Record::Outcome(codec::decode(payload)?),
            KIND_RECEIPT => Record::Receipt(codec::decode(payload)?),
            KIND_ACKNOWLEDGED => Record::Acknowledged(codec::decode(payload)?),
            KIND_NONCE => Record::Nonce(codec::decode(payload)?),
            _ => return Err(CodecError::Invalid),
        }))
    }
}
