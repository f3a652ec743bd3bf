//! Enrolment: a claim code becomes a key of a machine.

use sqlx::SqliteConnection;
use vend_payments::{
    enrolment::{ClaimCode, StoredCode, Ticket, read_claim},
    signed::{PublicKey, SignatureError},
};
use vend_protocol::{
    MachineId, Nonce,
    machine_link::ClaimGranted,
    signed::{ClaimBody, EnrolmentBody, Signed},
};

use super::{
    Engine, EngineError, now_ms, random,
    rows::{alarm, db_machine, machine_id},
};
use crate::store::StoreError;

/// A claim code is good for this long.
const CODE_VALID_MS: i64 = 24 * 3_600_000;

/// A ticket for a technician, shown once.
pub struct NewTicket(String);

impl NewTicket {
    /// The string to give to the machine. It contains the claim code.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Why a claim was not granted. Which check failed is told to the log only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimRefused {
    /// The claim itself, or its code, is not good.
    #[error("the claim is refused")]
    Refused(#[source] SignatureError),
    /// The code is unknown, used by another board or older than 24 hours.
    #[error("the claim code is not valid")]
    Code,
    /// The server's own trouble.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

enum Granted {
    Yes { machine: i64, nonce: [u8; 16] },
    No,
}

impl Engine {
    /// Makes a ticket for a machine: its server address, a fresh claim code and the root key's fingerprint.
    ///
    /// # Errors
    /// When the machine does not exist, or the database fails.
    pub async fn new_ticket(&self, machine: MachineId, server: &str) -> Result<NewTicket, EngineError> {
        let code = ClaimCode::from_random(&random()?);
        let StoredCode { id, key } = code.stored();
        let (machine, expires) = (db_machine(machine), now_ms() + CODE_VALID_MS);
        let write = self.db().writer().write("claim code", async move |conn| {
            sqlx::query("INSERT INTO claim_codes (id, key, machine, expires_ms) VALUES ($1, $2, $3, $4)")
                .bind(id.as_slice())
                .bind(key.as_slice())
                .bind(machine)
                .bind(expires)
                .execute(conn)
                .await?;
            Ok(())
        });
        write.await?;
        let ticket = Ticket { server, code, root: self.inner.keys.root.fingerprint() };
        Ok(NewTicket(ticket.reveal().to_string()))
    }

    /// Grants a claim. The same key asking again gets the same answer; another key with a used code is refused.
    ///
    /// # Errors
    /// [`ClaimRefused`].
    pub async fn claim(&self, claim: &Signed) -> Result<ClaimGranted, ClaimRefused> {
        let body = read_claim(claim).map_err(ClaimRefused::Refused)?;
        let key: Option<Vec<u8>> = sqlx::query_scalar("SELECT key FROM claim_codes WHERE id = $1")
            .bind(body.code_id.as_slice())
            .fetch_optional(self.db().readers())
            .await
            .map_err(|error| EngineError::Store(error.into()))?;
        let key = key.ok_or(ClaimRefused::Code)?;
        let key = key.as_slice().try_into().map_err(|_| EngineError::Row("claim_codes"))?;
        let body = StoredCode { id: body.code_id, key }.verify(claim).map_err(ClaimRefused::Refused)?;
        let public_key = PublicKey::from_bytes(&body.public_key).map_err(ClaimRefused::Refused)?;
        let (enrolment, now) = (public_key.fingerprint(), now_ms());
        let write = self.db().writer();
        let granted = write.write("claim", async move |conn| grant(conn, &body, enrolment.0, now).await);
        let (machine, nonce) = match granted.await.map_err(EngineError::Store)? {
            Granted::Yes { machine, nonce } => (machine_id(machine)?, Nonce(nonce)),
            Granted::No => return Err(ClaimRefused::Code),
        };
        // A connection under the board before this one has no place any more.
        if self.link(machine).is_some() {
            self.cut_off(machine);
        }
        self.changed(machine, None);
        let enrolment = self.inner.keys.online.sign(&EnrolmentBody { machine, enrolment, nonce });
        Ok(ClaimGranted {
            root_key: self.inner.keys.root.to_bytes(),
            key_list: self.inner.keys.key_list.clone(),
            enrolment: enrolment.map_err(EngineError::Codec)?,
        })
    }
}

async fn grant(
    conn: &mut SqliteConnection,
    claim: &ClaimBody,
    enrolment: [u8; 16],
    now: i64,
) -> Result<Granted, StoreError> {
    let row: Option<(i64, i64, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT machine, expires_ms, used_by FROM claim_codes WHERE id = $1")
            .bind(claim.code_id.as_slice())
            .fetch_optional(&mut *conn)
            .await?;
    let Some((machine, expires, used_by)) = row else { return Ok(Granted::No) };
    match used_by {
        Some(used_by) if used_by == enrolment => {
            let nonce: Option<Vec<u8>> =
                sqlx::query_scalar("SELECT nonce FROM enrolments WHERE id = $1 AND active = 1")
                    .bind(enrolment.as_slice())
                    .fetch_optional(conn)
                    .await?;
            let nonce = nonce.and_then(|nonce| nonce.try_into().ok());
            return Ok(nonce.map_or(Granted::No, |nonce| Granted::Yes { machine, nonce }));
        }
        Some(_) => return Ok(Granted::No),
        None if now >= expires => return Ok(Granted::No),
        None => {}
    }
    let known: Option<(i64, bool, Vec<u8>)> =
        sqlx::query_as("SELECT machine, active, nonce FROM enrolments WHERE id = $1")
            .bind(enrolment.as_slice())
            .fetch_optional(&mut *conn)
            .await?;
    if let Some((enrolled_as, active, nonce)) = known {
        // A board whose answer was lost asks again, perhaps with a newer ticket, which is then used up too. One key is one
        // machine, once.
        let nonce = nonce.try_into().ok().filter(|_| active && enrolled_as == machine);
        if nonce.is_some() {
            use_up(conn, claim, enrolment).await?;
        }
        return Ok(nonce.map_or(Granted::No, |nonce| Granted::Yes { machine, nonce }));
    }
    let retired = sqlx::query("UPDATE enrolments SET active = 0 WHERE machine = $1 AND active = 1")
        .bind(machine)
        .execute(&mut *conn)
        .await?;
    if retired.rows_affected() > 0 {
        // What the board before it was doing is unknown: its orders need not wait for a machine that is gone.
        sqlx::query(
            "UPDATE jobs SET due_ms = MIN(due_ms, $2) WHERE kind = 'silence' AND subject IN
             (SELECT CAST(id AS TEXT) FROM orders WHERE machine = $1)",
        )
        .bind(machine)
        .bind(now)
        .execute(&mut *conn)
        .await?;
        alarm(conn, Some(machine), None, now, "the machine's board was replaced").await?;
    }
    sqlx::query(
        "INSERT INTO enrolments (id, machine, public_key, login_hash, nonce, active, created_ms)
         VALUES ($1, $2, $3, $4, $5, 1, $6)",
    )
    .bind(enrolment.as_slice())
    .bind(machine)
    .bind(claim.public_key.as_slice())
    .bind(claim.login_hash.as_slice())
    .bind(claim.nonce.0.as_slice())
    .bind(now)
    .execute(&mut *conn)
    .await?;
    use_up(conn, claim, enrolment).await?;
    Ok(Granted::Yes { machine, nonce: claim.nonce.0 })
}

async fn use_up(
    conn: &mut SqliteConnection,
    claim: &ClaimBody,
    enrolment: [u8; 16],
) -> Result<(), StoreError> {
    sqlx::query("UPDATE claim_codes SET used_by = $2 WHERE id = $1 AND used_by IS NULL")
        .bind(claim.code_id.as_slice())
        .bind(enrolment.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}
