//! The login: who the machine says it is, and the comparison of its secret.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use vend_protocol::hex_array;

use super::wire::Connect;
use super::{Authenticator, Unavailable};

/// Bytes of a login secret.
const SECRET_LEN: usize = 32;

/// The machine a CONNECT packet proves to be from, or `None`: which part of it was wrong is told to nobody.
pub(super) async fn login<A: Authenticator>(
    authenticator: &A,
    connect: &Connect,
) -> Result<Option<u32>, Unavailable> {
    let Some(machine) = machine_number(connect) else { return Ok(None) };
    let Some(secret) = connect.password.as_deref().and_then(decode_secret) else { return Ok(None) };
    let stored = authenticator.login(machine).await?;
    // An unknown machine is compared like a known one, so that the time taken does not tell which numbers exist.
    let known = Choice::from(u8::from(stored.is_some()));
    let presented: [u8; 32] = Sha256::digest(secret).into();
    let equal = presented.ct_eq(&stored.unwrap_or_default());
    Ok(bool::from(equal & known).then_some(machine))
}

/// The user name as a number. There is one spelling of each, which the client id repeats: a second spelling would
/// be a second identity.
fn machine_number(connect: &Connect) -> Option<u32> {
    let name = connect.user_name.as_deref()?;
    let machine: u32 = name.parse().ok()?;
    (machine.to_string() == name && connect.client_id == name).then_some(machine)
}

fn decode_secret(hex: &[u8]) -> Option<[u8; SECRET_LEN]> {
    std::str::from_utf8(hex).ok().and_then(hex_array)
}
