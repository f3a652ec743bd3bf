//! Frames: what a message looks like on either link.
//!
//! ```text
//! 0        address    machine link: 0 plain, 1 sealed; control link: the board's address, 1 to 247
//! 1        kind       which message
//! 2        revision   of that kind; a changed message is a new revision, the old one stays as it was
//! 3..7     sequence   u32, little endian
//! 7..n-4   payload    postcard, canonical (see `codec`)
//!          code       sealed frames only: 16 bytes, see `machine_link::Seal`
//! n-4..n   CRC-32/ISO-HDLC of everything before it, little endian
//! ```
//! On a serial line the frame is COBS-coded between zero bytes (see [`crate::cobs`]); over MQTT a publish carries one frame.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    bounded::fill,
    codec::{self, CodecError},
};

/// Bytes in front of the payload.
pub const HEADER_LEN: usize = 7;
/// Bytes behind the payload.
pub const CRC_LEN: usize = 4;
/// The longest frame of the machine link, in bytes.
pub const MACHINE_FRAME_MAX: usize = 1024;
/// The longest frame of the control link, in bytes, before COBS coding.
pub const CONTROL_FRAME_MAX: usize = 256;

/// A message of one kind and revision. Once released it never changes: evolution is a new revision or kind.
pub trait Message: Serialize + DeserializeOwned {
    /// Its kind number.
    const KIND: u8;
    /// Its revision.
    const REVISION: u8;
}

/// Why bytes are not a frame, or a frame not the wanted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than a header and a checksum.
    #[error("frame too short")]
    Short,
    /// The checksum does not match.
    #[error("checksum mismatch")]
    Checksum,
    /// Another kind or revision than the wanted message.
    #[error("another kind of message")]
    Kind,
    /// The payload is not that message.
    #[error("payload: {0}")]
    Payload(CodecError),
}

/// A frame whose checksum has been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The board's address; on the machine link whether it is sealed.
    pub address: u8,
    /// Which message.
    pub kind: u8,
    /// Which revision of it.
    pub revision: u8,
    /// The sender's counter.
    pub sequence: u32,
    /// The message, not decoded yet.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame and checks its checksum.
    ///
    /// # Errors
    /// [`FrameError::Short`] or [`FrameError::Checksum`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (body, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(FrameError::Short)?;
        let (header, payload) = body.split_first_chunk::<HEADER_LEN>().ok_or(FrameError::Short)?;
        if checksum(body) != u32::from_le_bytes(*crc) {
            return Err(FrameError::Checksum);
        }
        let [address, kind, revision, s0, s1, s2, s3] = *header;
        Ok(Self { address, kind, revision, sequence: u32::from_le_bytes([s0, s1, s2, s3]), payload })
    }

    /// Whether it carries an `M`.
    pub fn is<M: Message>(&self) -> bool {
        self.kind == M::KIND && self.revision == M::REVISION
    }

    /// The message it carries.
    ///
    /// # Errors
    /// [`FrameError::Kind`] for another message, [`FrameError::Payload`] for a malformed one.
    pub fn decode<M: Message>(&self) -> Result<M, FrameError> {
        if !self.is::<M>() {
            return Err(FrameError::Kind);
        }
        codec::decode(self.payload).map_err(FrameError::Payload)
    }
}

/// Writes the frame of `message` into `out` and gives its length.
///
/// # Errors
/// [`CodecError::Full`] when it does not fit.
///
/// ```
/// use vend_protocol::{frame, machine_link::Busy, AuthSeq};
/// let busy = Busy { seq: AuthSeq::new(7).unwrap() };
/// let mut out = [0; 32];
/// let len = frame::write(0, 1, &busy, &mut out).unwrap();
/// assert_eq!(frame::Frame::parse(&out[..len]).unwrap().decode::<Busy>().unwrap(), busy);
/// out[8] ^= 1;
/// assert!(frame::Frame::parse(&out[..len]).is_err());
/// ```
pub fn write<M: Message>(
    address: u8,
    sequence: u32,
    message: &M,
    out: &mut [u8],
) -> Result<usize, CodecError> {
    let encode = |payload: &mut [u8]| codec::encode(message, payload);
    let len = write_body([address, M::KIND, M::REVISION], sequence, out, encode)?;
    finish(len, out)
}

/// Writes header (address, kind, revision; sequence) and payload; their length is returned.
pub(crate) fn write_body(
    [address, kind, revision]: [u8; 3],
    sequence: u32,
    out: &mut [u8],
    payload: impl FnOnce(&mut [u8]) -> Result<usize, CodecError>,
) -> Result<usize, CodecError> {
    let (header, rest) = out.split_first_chunk_mut::<HEADER_LEN>().ok_or(CodecError::Full)?;
    let [s0, s1, s2, s3] = sequence.to_le_bytes();
    *header = [address, kind, revision, s0, s1, s2, s3];
    Ok(HEADER_LEN + payload(rest)?)
}

/// The payload of [`write_body`], when it is encoded already.
pub(crate) fn encoded(payload: &[u8]) -> impl Fn(&mut [u8]) -> Result<usize, CodecError> {
    move |space| {
        fill(space.get_mut(..payload.len()).ok_or(CodecError::Full)?, payload);
        Ok(payload.len())
    }
}

/// Puts the checksum behind the first `len` bytes; the frame's length is returned.
pub(crate) fn finish(len: usize, out: &mut [u8]) -> Result<usize, CodecError> {
    let (body, rest) = out.split_at_mut_checked(len).ok_or(CodecError::Full)?;
    *rest.first_chunk_mut::<CRC_LEN>().ok_or(CodecError::Full)? = checksum(body).to_le_bytes();
    Ok(len + CRC_LEN)
}

/// The checksum of a frame: CRC-32/ISO-HDLC, the one of Ethernet and zip.
///
/// Polynomial 0x04C11DB7 reflected, initial value and final exclusive or 0xFFFFFFFF. Source: the Catalogue of
/// parametrised CRC algorithms, <https://reveng.sourceforge.io/crc-catalogue/all.htm>.
///
/// ```
/// assert_eq!(vend_protocol::frame::checksum(b"123456789"), 0xCBF4_3926);
/// ```
pub fn checksum(bytes: &[u8]) -> u32 {
    // Speed only, the result is the same. A host can spare 16 KiB of table, and a server checks every frame of its fleet; on a
    // chip the usual table of 1 KiB would be a twelfth of what a control board may spend on all of the wire.
    #[cfg(not(target_os = "none"))]
    return wide(bytes);
    #[cfg(target_os = "none")]
    narrow(bytes)
}

/// Sixteen bytes at a time.
#[cfg(not(target_os = "none"))]
fn wide(bytes: &[u8]) -> u32 {
    use crc::{CRC_32_ISO_HDLC, Crc, Table};

    static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

/// Four bits at a time, by a table of 64 bytes.
#[cfg(any(test, target_os = "none"))]
fn narrow(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index: u32 = 0;
        while index < 16 {
            let mut crc = index;
            let mut bit = 0;
            while bit < 4 {
                crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
                bit += 1;
            }
            table[index as usize] = crc;
            index += 1;
        }
        table
    };
    // The index has four bits, so the compiler leaves out its check.
    let step = |crc: u32| crc >> 4 ^ TABLE[(crc & 0xF) as usize];
    !bytes.iter().fold(u32::MAX, |crc, byte| step(step(crc ^ u32::from(*byte))))
}

/// Everything of a frame but the checksum.
pub(crate) fn body(bytes: &[u8]) -> Result<&[u8], FrameError> {
    bytes.split_last_chunk::<CRC_LEN>().map(|(body, _)| body).ok_or(FrameError::Short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chips_and_hosts_compute_the_same_checksum(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(narrow(&bytes), wide(&bytes));
        }
    }

    #[test]
    fn the_checksum_is_the_catalogued_one() {
        assert_eq!(narrow(b"123456789"), 0xCBF4_3926);
        assert_eq!(wide(b"123456789"), 0xCBF4_3926);
    }
}
