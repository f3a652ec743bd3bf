//! Enrolment over HTTP.

use std::{path::Path, time::Duration};

use vend_payments::enrolment::{Enrolled, Ticket, claim};
use vend_protocol::{
    frame::{self, Frame, MACHINE_FRAME_MAX},
    machine_link::{Claim, ClaimGranted},
};

use crate::{HostError, identity::Identity};

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 4096;

/// Claims until the server answers, and persists the grant.
///
/// The identity is on the disk before the first claim: a machine that dies in between asks again with the same key and gets
/// the same answer.
pub(crate) async fn enrol(
    dir: &Path,
    identity: &mut Identity,
    ticket: &Ticket<'_>,
) -> Result<Enrolled, HostError> {
    let signed = claim(&identity.signer(), identity.nonce(), &identity.login(), &ticket.code)
        .map_err(|error| HostError::Refused(error.to_string()))?;
    let mut body = vec![0; MACHINE_FRAME_MAX];
    let len = frame::write(0, 1, &Claim(signed), &mut body)
        .map_err(|error| HostError::Refused(error.to_string()))?;
    body.truncate(len);
    let url = format!("{}/enrol", ticket.server.trim_end_matches('/'));
    let mut retry = FIRST_RETRY;
    loop {
        match ask(&url, body.clone()).await {
            Ok(granted) => {
                let Some(enrolled) = identity.grant(ticket, granted) else {
                    return Err(HostError::Refused(String::from(
                        "the answer is not under the ticket's root key, or not for this machine",
                    )));
                };
                identity.store(dir)?;
                return Ok(enrolled);
            }
            Err(Failure::Refused(why)) => return Err(HostError::Refused(why)),
            Err(Failure::Later(why)) => tracing::info!(%url, why, "not enrolled yet"),
        }
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(LAST_RETRY);
    }
}

enum Failure {
    /// The server said no.
    Refused(String),
    /// It could not be asked, or could not answer now.
    Later(String),
}

async fn ask(url: &str, body: Vec<u8>) -> Result<ClaimGranted, Failure> {
    let later = |error: reqwest::Error| Failure::Later(error.to_string());
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(later)?;
    let request = client.post(url).header("content-type", "application/octet-stream").body(body);
    let mut response = request.send().await.map_err(later)?;
    let status = response.status();
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(later)? {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER_MAX {
            return Err(Failure::Later(String::from("an answer longer than any grant")));
        }
    }
    if status.is_success() {
        let frame = Frame::parse(&answer).and_then(|frame| frame.decode());
        return frame.map_err(|error| Failure::Later(format!("the answer is no grant: {error}")));
    }
    let text = format!("{status} {}", String::from_utf8_lossy(&answer));
    // Too early, too often, or a server in trouble may change; another refusal will not.
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    Err(if passing { Failure::Later(text) } else { Failure::Refused(text) })
}
