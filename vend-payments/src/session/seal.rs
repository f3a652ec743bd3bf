//! The code on every message. Nothing here knows where the keys come from.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use vend_protocol::machine_link::{End, MAC_LEN, Seal};
use zeroize::ZeroizeOnDrop;

/// The two keys of a session, one a direction. Never printed, wiped when dropped, and not to be copied.
///
/// [`super::Offer::accept`] and [`super::VerifiedHello::answer`] agree on them; they are made from bytes for tests, and for
/// processors that keep the agreement elsewhere.
#[derive(ZeroizeOnDrop)]
pub struct SessionKeys {
    up: [u8; 32],
    down: [u8; 32],
}

impl SessionKeys {
    /// From what the machine seals with (`up`) and what the server seals with (`down`).
    pub const fn new(up: [u8; 32], down: [u8; 32]) -> Self {
        Self { up, down }
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}

/// One end's seal of a session: HMAC-SHA-256 over header and payload, first 16 bytes.
///
/// It seals with this end's key and verifies with the other's, so a message that comes back to its sender is a forgery.
///
/// Memory: 65 bytes, wiped when dropped.
///
/// ```
/// use vend_payments::session::{SessionKeys, SessionSeal};
/// use vend_protocol::machine_link::{End, Seal};
///
/// let machine = SessionSeal::new(End::Machine, SessionKeys::new([1; 32], [2; 32]));
/// let server = SessionSeal::new(End::Server, SessionKeys::new([1; 32], [2; 32]));
/// let code = machine.seal(b"header and payload");
/// assert!(server.verify(b"header and payload", &code));
/// assert!(!server.verify(b"another message", &code));
/// assert!(!machine.verify(b"header and payload", &code), "sent back to its sender");
/// ```
pub struct SessionSeal {
    end: End,
    keys: SessionKeys,
}

impl SessionSeal {
    /// The seal of this end.
    pub const fn new(end: End, keys: SessionKeys) -> Self {
        Self { end, keys }
    }
}

impl Seal for SessionSeal {
    fn seal(&self, message: &[u8]) -> [u8; MAC_LEN] {
        let key = match self.end {
            End::Machine => &self.keys.up,
            End::Server => &self.keys.down,
        };
        // HMAC takes keys of any length. If it did not, the other end would refuse what is sealed here.
        code(key, message).unwrap_or([0; MAC_LEN])
    }

    fn verify(&self, message: &[u8], sealed: &[u8; MAC_LEN]) -> bool {
        let key = match self.end {
            End::Machine => &self.keys.down,
            End::Server => &self.keys.up,
        };
        code(key, message).is_some_and(|code| code.ct_eq(sealed).into())
    }
}

impl fmt::Debug for SessionSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionSeal({:?}, ..)", self.end)
    }
}

fn code(key: &[u8; 32], message: &[u8]) -> Option<[u8; MAC_LEN]> {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    let whole: [u8; 32] = mac.chain_update(message).finalize().into_bytes().into();
    whole.first_chunk().copied()
}
