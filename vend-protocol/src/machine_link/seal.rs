//! Authentication of every message after the hello.

/// Bytes of a message's authentication code.
pub const MAC_LEN: usize = 16;

/// The keys of one session: authenticates what this end sends and checks what the other end sent.
///
/// This crate holds no cryptography. `vend-payments` implements the trait with HMAC-SHA-256, cut to 16 bytes, under two keys
/// agreed by X25519: one for each direction, so that a message sent back to its sender is a forgery. What is authenticated is
/// the frame's header, with the counter in it, and the payload: a code fits one place of one session only.
pub trait Seal {
    /// The code of a message that this end sends; `message` is header and payload.
    fn seal(&self, message: &[u8]) -> [u8; MAC_LEN];

    /// Whether `code` is what the other end's [`Seal::seal`] gives for `message`. Compares in constant time.
    fn verify(&self, message: &[u8], code: &[u8; MAC_LEN]) -> bool;
}
