//! Who speaks on a connection: hello, accepted, and the proof that the machine is there.
//!
//! A hello is signed by the machine, and whoever carries its messages can record it and play it again on a connection of his
//! own. It is answered, since it verifies; but he who has only the recording cannot agree on the session's keys. So a hello
//! changes nothing outside its own connection. What it says is written down, what the machine lacks is sent, and the machine
//! counts as connected when the first sealed message has come ([`Engine::arrived`], [`Engine::catch_up`]). A machine that has
//! nothing to say asks for the time at once, so that this is never long.
//!
//! What remains possible to who carries the messages, or has stolen a machine's login: a second login closes the first
//! connection, before any hello. The machine is then offline, sells nothing, and connects again. Nobody can be kept from cutting
//! a line that he carries.

use vend_payments::{
    session::{AnswerError, SessionSeal, VerifiedHello},
    signed::{PublicKey, SignatureError},
};
use vend_protocol::{
    EnrolmentId, List, MachineId, PlanVersion, codec,
    frame::{MACHINE_FRAME_MAX, Message},
    machine_link::{Acknowledgement, Authorization, Receipt, Rejection, Void},
    signed::{AcceptedBody, HelloBody, REVISIONS_MAX, Revision, Signed},
};

use super::{
    Engine, EngineError,
    link::Link,
    now_ms,
    plan::plan_version,
    random,
    rows::{alarm, db_machine},
};
use crate::store::StoreError;

/// A machine that is turned away or not served yet says hello again after this, in seconds.
const RETRY_S: u16 = 30;
/// What the server has to send to sell: a machine that does not read it is turned away.
const MUST_READ: [Revision; 3] =
    [revision::<Authorization>(), revision::<Void>(), revision::<Acknowledgement>()];
/// What the server reads of what moves money. Amendments are not among them as long as there is no place to keep them: a
/// machine sends none then, and keeps its own.
const READS: [Revision; 1] = [revision::<Receipt>()];

const fn revision<M: Message>() -> Revision {
    Revision { kind: M::KIND, revision: M::REVISION }
}

/// Who said hello on a connection, and what.
pub(super) struct Greeting {
    pub(super) enrolment: EnrolmentId,
    pub(super) key: PublicKey,
    hello: HelloBody,
}

/// The answer to a hello that verified.
struct Answer {
    greeting: Greeting,
    accepted: Signed,
    seal: SessionSeal,
}

/// Why a hello is not answered with *accepted*.
enum NotAccepted {
    Rejected(Rejection),
    /// The machine may not know the key that would sign *accepted*: it is sent the newest list, and says hello again.
    OldKeyList,
    /// It may be in order, but the database does not answer now.
    NotReady(StoreError),
    Fault(EngineError),
}

impl From<StoreError> for NotAccepted {
    fn from(error: StoreError) -> Self {
        Self::NotReady(error)
    }
}

impl From<sqlx::Error> for NotAccepted {
    fn from(error: sqlx::Error) -> Self {
        Self::NotReady(error.into())
    }
}

impl From<EngineError> for NotAccepted {
    fn from(error: EngineError) -> Self {
        Self::Fault(error)
    }
}

impl From<SignatureError> for NotAccepted {
    fn from(error: SignatureError) -> Self {
        Self::Rejected(match error {
            SignatureError::Mismatch => Rejection::LOGIN,
            _ => Rejection::SIGNATURE,
        })
    }
}

impl From<AnswerError> for NotAccepted {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Codec(error) => Self::Fault(error.into()),
            // It was signed, so the machine itself draws bad keys.
            _ => Self::Rejected(Rejection::SIGNATURE),
        }
    }
}

impl Engine {
    /// Answers a hello. Nothing outside this connection changes by it.
    pub(super) async fn hello(
        &self,
        machine: MachineId,
        link: &Link,
        hello: &Signed,
    ) -> Result<(), EngineError> {
        match self.answer(machine, hello).await {
            Ok(Answer { greeting, accepted, seal }) => {
                let listed = greeting.hello.revisions;
                link.write(|session, out| session.accept(&accepted, seal, listed, out))?;
                link.greeted(greeting);
            }
            Err(NotAccepted::OldKeyList) => {
                let list = &self.inner.keys.key_list;
                link.write(|session, out| session.key_list(link.elapsed_ms(), list, out))?;
            }
            Err(NotAccepted::Rejected(code)) => turn_away(machine, link, code)?,
            Err(NotAccepted::NotReady(error)) => {
                tracing::error!(%machine, %error, "a hello has to wait");
                link.write(|session, out| session.pending(link.elapsed_ms(), RETRY_S, out))?;
            }
            Err(NotAccepted::Fault(error)) => return Err(error),
        }
        Ok(())
    }

    async fn answer(&self, machine: MachineId, hello: &Signed) -> Result<Answer, NotAccepted> {
        let row: Option<(Vec<u8>, i64, i64)> = sqlx::query_as(
            "SELECT public_key, issued_seq, plan FROM enrolments
             JOIN machines ON machines.id = machine WHERE machine = $1 AND active = 1",
        )
        .bind(db_machine(machine))
        .fetch_optional(self.db().readers())
        .await?;
        let Some((key, issued_seq, plan)) = row else {
            return Err(NotAccepted::Rejected(Rejection::UNKNOWN));
        };
        let key = key.as_slice().try_into().ok().and_then(|key| PublicKey::from_bytes(key).ok());
        let key = key.ok_or(EngineError::Row("enrolments"))?;
        let verified = VerifiedHello::verify(hello, machine, &key)?;
        let hello = verified.body().clone();
        if !MUST_READ.iter().all(|needed| lists(&hello.revisions, *needed)) {
            return Err(NotAccepted::Rejected(Rejection::REVISION));
        }
        if hello.key_list < self.inner.keys.key_list_version {
            return Err(NotAccepted::OldKeyList);
        }
        let watermark = self.watermark(&hello).await?;
        let accepted = self.accepted(&hello, watermark, issued_seq, plan_version(plan)?);
        let (accepted, seal) = verified.answer(random()?, &self.inner.keys.online, accepted)?;
        let greeting = Greeting { enrolment: hello.enrolment, key, hello };
        Ok(Answer { greeting, accepted, seal })
    }

    fn accepted(
        &self,
        hello: &HelloBody,
        receipt_watermark: u64,
        issued_seq: i64,
        plan: PlanVersion,
    ) -> AcceptedBody {
        AcceptedBody {
            enrolment: hello.enrolment,
            nonce: hello.nonce,
            // The agreement puts its own in.
            ephemeral: [0; 32],
            server_time_ms: u64::try_from(now_ms()).unwrap_or(0),
            receipt_watermark,
            issued_seq: u64::try_from(issued_seq).unwrap_or(0).max(hello.used_seq),
            // A replaced board has a new key, so a new enrolment whose sequences begin at 1: none of them is used up before its
            // first hello.
            floor_seq: 0,
            plan,
            // There are no configurations to send yet.
            config: 0,
            key_list: self.inner.keys.key_list_version,
            keepalive_s: u16::try_from(self.settings().keepalive.as_secs()).unwrap_or(u16::MAX),
            revisions: List::try_from_iter(READS).unwrap_or_default(),
            frame_max: u16::try_from(MACHINE_FRAME_MAX).unwrap_or(u16::MAX),
        }
    }

    /// Up to which receipt of its journal everything is here. Receipts come in order, so all are here when there are as many as
    /// the highest number says.
    async fn watermark(&self, hello: &HelloBody) -> Result<u64, StoreError> {
        let watermark: i64 = sqlx::query_scalar(
            "SELECT COALESCE(MAX(number), 0) FROM receipts AS r WHERE enrolment = $1 AND journal = $2
             AND number = (SELECT COUNT(DISTINCT number) FROM receipts AS b
                           WHERE b.enrolment = $1 AND b.journal = $2 AND b.number <= r.number)",
        )
        .bind(hello.enrolment.0.as_slice())
        .bind(hello.journal.0.as_slice())
        .fetch_one(self.db().readers())
        .await?;
        Ok(u64::try_from(watermark).unwrap_or(0))
    }

    /// The first sealed message has come, so it is the machine that said hello: writes down what the hello says.
    pub(super) async fn arrived(
        &self,
        machine: MachineId,
        Greeting { enrolment, hello, .. }: &Greeting,
    ) -> Result<(), EngineError> {
        let (enrolment, now) = (*enrolment, now_ms());
        let (machine, plan) = (db_machine(machine), i64::from(hello.plan.number()));
        let used = i64::try_from(hello.used_seq).map_err(|_| EngineError::Row("a hello"))?;
        let write = self.db().writer().write("arrived", async move |conn| {
            sqlx::query("UPDATE machines SET seen_ms = $2, plan_applied = $3 WHERE id = $1")
                .bind(machine)
                .bind(now)
                .bind(plan)
                .execute(&mut *conn)
                .await?;
            let raised = sqlx::query(
                "UPDATE enrolments SET issued_seq = $2, restored_below = $2 WHERE id = $1 AND issued_seq < $2",
            )
            .bind(enrolment.0.as_slice())
            .bind(used)
            .execute(&mut *conn)
            .await?;
            if raised.rows_affected() == 1 {
                let what = "the machine has used a higher sequence than was issued: was this server restored from a backup?";
                alarm(conn, Some(machine), None, now, what).await?;
            }
            Ok(())
        });
        Ok(write.await?)
    }

    /// Sends a machine that has arrived what it lacks: the planogram, and what it has not answered.
    pub(super) async fn catch_up(
        &self,
        machine: MachineId,
        Greeting { enrolment, hello, .. }: &Greeting,
    ) -> Result<(), EngineError> {
        // Read only now: what was changed a moment ago could not be sent before the machine had arrived.
        let plan: i64 = sqlx::query_scalar("SELECT plan FROM machines WHERE id = $1")
            .bind(db_machine(machine))
            .fetch_one(self.db().readers())
            .await
            .map_err(StoreError::from)?;
        if hello.plan != plan_version(plan)? {
            self.send_plan(machine).await?;
        }
        self.send_open(machine, *enrolment).await?;
        self.changed(machine, None);
        Ok(())
    }

    /// Sends every authorization and void that the machine has not answered, in order.
    async fn send_open(&self, machine: MachineId, enrolment: EnrolmentId) -> Result<(), EngineError> {
        let rows: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT signed, void FROM authorizations WHERE enrolment = $1 AND (state IN ('signed', 'taken')
             OR (state = 'given_up' AND void IS NOT NULL)) ORDER BY seq",
        )
        .bind(enrolment.0.as_slice())
        .fetch_all(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        let decode =
            |bytes: &[u8]| codec::decode::<Signed>(bytes).map_err(|_| EngineError::Row("authorizations"));
        for row in rows {
            match row {
                (_, Some(void)) => self.send(machine, &Void(decode(&void)?)),
                (Some(signed), None) => self.send(machine, &Authorization(decode(&signed)?)),
                (None, None) => false,
            };
        }
        Ok(())
    }
}

/// Rejects a hello. The machine closes; closing here would drop the answer that is still queued.
pub(super) fn turn_away(machine: MachineId, link: &Link, code: Rejection) -> Result<(), EngineError> {
    tracing::warn!(%machine, %code, "a hello was rejected");
    link.write(|session, out| session.reject(code, RETRY_S, out))?;
    Ok(())
}

fn lists(listed: &List<Revision, REVISIONS_MAX>, needed: Revision) -> bool {
    listed.iter().any(|one| one.covers(needed.kind, needed.revision))
}
