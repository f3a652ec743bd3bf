//! The session of the machine link: its keys, and the code on every message of it.
//!
//! The hello and its answer each carry a fresh X25519 key under a signature. Both ends derive two keys from what they agree on
//! and from the very bytes of both bodies, so whoever alters one bit of either has other keys than the ends have:
//!
//! ```text
//! machine                                             server
//! Offer::hello       -- hello, signed by the machine -->   VerifiedHello::verify
//! Offer::accept      <-- accepted, signed by the server -- VerifiedHello::answer
//! SessionSeal        <== every message, sealed ==========> SessionSeal
//! ```
//!
//! The derivation, for who writes it in another language (`tests/vectors/session.txt` has an example with every step, and
//! `tests/vectors/check_session.py` computes it without this crate):
//!
//! ```text
//! tag(text)  = the text, filled up to 16 bytes with zeros
//! shared     = X25519(own secret, the other's ephemeral key)            refused when it is all zero (RFC 7748, 6.1)
//! h          = SHA-512(tag("vend/hello/1") || hello body)               first 32 bytes
//! a          = SHA-512(tag("vend/accepted/1") || accepted body)         first 32 bytes
//! up || down = HKDF-SHA-256(salt = tag("vend/session/1"), ikm = shared, info = h || a)    64 bytes (RFC 5869)
//! code       = HMAC-SHA-256(up or down, header || payload)              first 16 bytes
//! ```
//!
//! What the machine sends is under `up`, what the server sends under `down`.
//!
//! An image that only seals and verifies links no curve arithmetic: [`SessionSeal`] needs [`SessionKeys`], and nothing of what
//! agrees on them.

mod agreement;
mod machine;
mod seal;
mod server;
#[cfg(test)]
mod tests;

pub use machine::{Offer, SessionRefused};
pub use seal::{SessionKeys, SessionSeal};
pub use server::{AnswerError, VerifiedHello};
