//! The server's end of the machine link.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::sync::oneshot;
use vend_payments::signed::PublicKey;
use vend_protocol::{
    EnrolmentId, List, MachineId, PlanVersion, ProductId, SlotId, Text, codec,
    frame::{Frame, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Accepted, Authorization, Busy, End, Hello, LateDrop, PLAN_PART_ENTRIES, PlanApplied, PlanEntry,
        PlanPart, Readiness, Ready, Receipt, Received, Rejected, Rejection, Session, Settled, Taken,
        Unsupported, Void, kind,
    },
    signed::{AcceptedBody, HelloBody, Signed},
};

use super::{
    Engine, EngineError, lock, now_ms,
    rows::{alarm, currency_of, db_machine, db_order, hasten, note},
};
use crate::{
    gateway::{
        Authenticator, CloseReason, ConnectionHandle, ConnectionId, Handler, HandlerError, Unavailable,
    },
    store::StoreError,
};

/// One connection of one machine.
pub(super) struct Link {
    connection: ConnectionHandle,
    session: Mutex<Session>,
    started: Instant,
    /// Whose key speaks on it; set by the hello.
    enrolled: Mutex<Option<(EnrolmentId, PublicKey)>>,
}

impl Link {
    pub(super) fn is_open(&self) -> bool {
        lock(&self.session).is_open() && !self.connection.is_closed()
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Queues a message; the session's counter and the queue move together.
    fn send<M: Message>(&self, message: &M) -> bool {
        let mut out = [0; MACHINE_FRAME_MAX];
        let mut session = lock(&self.session);
        match session.send(message, &mut out) {
            Ok(len) => self.connection.send(out.get(..len).unwrap_or(&[]).to_vec()).is_ok(),
            Err(error) => {
                tracing::warn!(machine = self.connection.machine(), %error, "not sent");
                false
            }
        }
    }
}

fn refuse(reason: impl std::fmt::Display) -> HandlerError {
    HandlerError::new(reason.to_string())
}

impl Handler for Engine {
    async fn connected(&self, connection: ConnectionHandle) {
        let Ok(machine) = MachineId::new(u64::from(connection.machine())) else { return };
        let silence = self.settings().keepalive.saturating_mul(2);
        let session = Session::new(End::Server, 0, u64::try_from(silence.as_millis()).unwrap_or(u64::MAX));
        let link = Link {
            connection,
            session: Mutex::new(session),
            started: Instant::now(),
            enrolled: Mutex::default(),
        };
        lock(&self.inner.links).insert(machine, Arc::new(link));
    }

    async fn message(&self, connection: &ConnectionHandle, payload: Vec<u8>) -> Result<(), HandlerError> {
        let machine = MachineId::new(u64::from(connection.machine())).map_err(refuse)?;
        let Some(link) = self.link(machine).filter(|link| link.connection.id() == connection.id()) else {
            return Err(refuse("a message on an old connection"));
        };
        let frame = {
            let mut session = lock(&link.session);
            match session.receive(link.elapsed_ms(), &payload).map_err(refuse)? {
                Received::Message(frame) => frame,
                Received::Repeat => return Ok(()),
            }
        };
        self.handle(machine, &link, &frame).await.map_err(refuse)
    }

    async fn disconnected(&self, machine: u32, connection: ConnectionId) {
        let Ok(machine) = MachineId::new(u64::from(machine)) else { return };
        lock(&self.inner.links).retain(|id, link| *id != machine || link.connection.id() != connection);
        self.changed(machine, None);
    }
}

/// Looks logins up for the gateway.
#[derive(Clone)]
pub struct MachineAuth(pub Engine);

impl Authenticator for MachineAuth {
    async fn login(&self, machine: u32) -> Result<Option<[u8; 32]>, Unavailable> {
        let hash: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT login_hash FROM enrolments WHERE machine = $1 AND active = 1")
                .bind(i64::from(machine))
                .fetch_optional(self.0.db().readers())
                .await
                .map_err(|_| Unavailable)?;
        Ok(hash.and_then(|hash| hash.try_into().ok()))
    }
}

impl Engine {
    pub(super) fn link(&self, machine: MachineId) -> Option<Arc<Link>> {
        lock(&self.inner.links).get(&machine).cloned()
    }

    /// Sends a message to a machine if it is connected and accepted. `true` says queued, never delivered.
    pub(super) fn send<M: Message>(&self, machine: MachineId, message: &M) -> bool {
        self.link(machine).is_some_and(|link| link.is_open() && link.send(message))
    }

    pub(super) fn expect_ready(&self, machine: MachineId, request: u32) -> oneshot::Receiver<Readiness> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.inner.waiting).insert((machine, request), sender);
        receiver
    }

    pub(super) fn forget_ready(&self, machine: MachineId, request: u32) {
        lock(&self.inner.waiting).remove(&(machine, request));
    }

    /// Closes a machine's connection: its login is not valid any more.
    pub(super) fn cut_off(&self, machine: MachineId) {
        if let Some(link) = self.link(machine) {
            link.connection.close(CloseReason::NotAuthorized);
        }
    }

    async fn handle(&self, machine: MachineId, link: &Link, frame: &Frame<'_>) -> Result<(), EngineError> {
        let malformed = |_| EngineError::Row("a machine's message");
        match (frame.kind, frame.revision) {
            (kind::HELLO, Hello::REVISION) => {
                self.hello(machine, link, &frame.decode().map_err(malformed)?).await
            }
            (kind::READY, Ready::REVISION) => {
                let ready: Ready = frame.decode().map_err(malformed)?;
                if let Some(waiting) = lock(&self.inner.waiting).remove(&(machine, ready.request)) {
                    // The customer may have gone; then nobody waits.
                    let _ = waiting.send(ready.readiness);
                }
                Ok(())
            }
            (kind::TAKEN, Taken::REVISION) => {
                self.taken(machine, link, frame.decode().map_err(malformed)?).await
            }
            (kind::RECEIPT, Receipt::REVISION) => {
                let Receipt(signed) = frame.decode().map_err(malformed)?;
                self.receipt(machine, link, &signed).await
            }
            // Nothing was used up; the resend job comes back to it.
            (kind::BUSY, Busy::REVISION) => frame.decode::<Busy>().map(|_| ()).map_err(malformed),
            (kind::SETTLED, Settled::REVISION) => {
                let settled = frame.decode().map_err(malformed)?;
                self.machine_settled(machine, link, settled).await
            }
            (kind::PLAN_APPLIED, PlanApplied::REVISION) => {
                let applied: PlanApplied = frame.decode().map_err(malformed)?;
                self.plan_applied(machine, applied.plan).await
            }
            (kind::LATE_DROP, LateDrop::REVISION) => {
                self.late_drop(machine, frame.decode().map_err(malformed)?).await
            }
            (kind::UNSUPPORTED, Unsupported::REVISION) => {
                let unsupported: Unsupported = frame.decode().map_err(malformed)?;
                tracing::warn!(%machine, kind = unsupported.kind, "the machine does not know a message");
                Ok(())
            }
            (kind, revision) => {
                link.send(&Unsupported { kind, revision, sequence: frame.sequence });
                Ok(())
            }
        }
    }

    /// Hello: who speaks, and what is missing on either side.
    async fn hello(&self, machine: MachineId, link: &Link, hello: &Hello) -> Result<(), EngineError> {
        let row: Option<(Vec<u8>, Vec<u8>, i64, i64)> = sqlx::query_as(
            "SELECT enrolments.id, public_key, issued_seq, plan FROM enrolments
             JOIN machines ON machines.id = machine WHERE machine = $1 AND active = 1",
        )
        .bind(db_machine(machine))
        .fetch_optional(self.db().readers())
        .await
        .map_err(StoreError::from)?;
        let reject = |code| {
            // The machine closes; closing here would drop the answer that is still queued. Nothing else of it is taken.
            link.send(&Rejected { code, retry_s: 30 });
            Ok(())
        };
        let Some((id, key, issued_seq, plan)) = row else { return reject(Rejection::UNKNOWN) };
        let key = key.as_slice().try_into().ok().and_then(|key| PublicKey::from_bytes(key).ok());
        let key = key.ok_or(EngineError::Row("enrolments"))?;
        let Ok(body) = key.verify::<HelloBody>(&hello.0) else { return reject(Rejection::SIGNATURE) };
        if body.machine != machine || body.enrolment != key.fingerprint() {
            return reject(Rejection::LOGIN);
        }
        let watermark = self.welcome(machine, &id, &body, issued_seq).await?;
        let accepted = self.inner.keys.online.sign(&AcceptedBody {
            enrolment: body.enrolment,
            nonce: body.nonce,
            ephemeral: [0; 32],
            floor_seq: 0,
            config: 0,
            key_list: 0,
            revisions: List::default(),
            frame_max: 1024,
            server_time_ms: u64::try_from(now_ms()).unwrap_or(0),
            receipt_watermark: watermark,
            issued_seq: u64::try_from(issued_seq).unwrap_or(0).max(body.used_seq),
            plan: plan_version(plan)?,
            keepalive_s: u16::try_from(self.settings().keepalive.as_secs()).unwrap_or(u16::MAX),
        })?;
        *lock(&link.enrolled) = Some((body.enrolment, key));
        link.send(&Accepted(accepted));
        lock(&link.session).open();
        // Read again: an edit of a moment ago could not be sent before the session was open.
        let plan: i64 = sqlx::query_scalar("SELECT plan FROM machines WHERE id = $1")
            .bind(db_machine(machine))
            .fetch_one(self.db().readers())
            .await
            .map_err(StoreError::from)?;
        if body.plan != plan_version(plan)? {
            self.send_plan(machine).await?;
        }
        self.send_open(machine, &id).await?;
        self.changed(machine, None);
        Ok(())
    }

    /// Writes down what the hello says, and finds up to which receipt everything is here.
    async fn welcome(
        &self,
        machine: MachineId,
        enrolment: &[u8],
        hello: &HelloBody,
        issued_seq: i64,
    ) -> Result<u64, EngineError> {
        let (id, journal, now) = (enrolment.to_vec(), hello.journal.0.to_vec(), now_ms());
        let (machine, plan) = (db_machine(machine), i64::from(hello.plan.number()));
        let used = i64::try_from(hello.used_seq).map_err(|_| EngineError::Row("a hello"))?;
        let write = self.db().writer().write("hello", async move |conn| {
            sqlx::query("UPDATE machines SET seen_ms = $2, plan_applied = $3 WHERE id = $1")
                .bind(machine)
                .bind(now)
                .bind(plan)
                .execute(&mut *conn)
                .await?;
            if used > issued_seq {
                let raised = sqlx::query("UPDATE enrolments SET issued_seq = $2, restored_below = $2 WHERE id = $1 AND issued_seq < $2")
                    .bind(&id)
                    .bind(used)
                    .execute(&mut *conn)
                    .await?;
                if raised.rows_affected() == 1 {
                    let what = "the machine has used a higher sequence than was issued: was this server restored from a backup?";
                    alarm(conn, Some(machine), None, now, what).await?;
                }
            }
            // Receipts come in order, so all are here when there are as many as the highest number says.
            let watermark: i64 = sqlx::query_scalar(
                "SELECT COALESCE(MAX(number), 0) FROM receipts AS r WHERE enrolment = $1 AND journal = $2
                 AND number = (SELECT COUNT(DISTINCT number) FROM receipts AS b
                               WHERE b.enrolment = $1 AND b.journal = $2 AND b.number <= r.number)",
            )
            .bind(&id)
            .bind(&journal)
            .fetch_one(conn)
            .await?;
            Ok(watermark)
        });
        Ok(u64::try_from(write.await?).unwrap_or(0))
    }

    /// Sends every authorization and void that the machine has not answered, in order.
    async fn send_open(&self, machine: MachineId, enrolment: &[u8]) -> Result<(), EngineError> {
        let rows: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT signed, void FROM authorizations WHERE enrolment = $1 AND (state IN ('signed', 'taken')
             OR (state = 'given_up' AND void IS NOT NULL)) ORDER BY seq",
        )
        .bind(enrolment)
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

    /// Sends the whole planogram of a machine.
    pub(super) async fn send_plan(&self, machine: MachineId) -> Result<(), EngineError> {
        let bad = || EngineError::Row("slots");
        let mut read = self.db().readers().begin().await.map_err(StoreError::from)?;
        let (plan, currency): (i64, i64) =
            sqlx::query_as("SELECT plan, currency FROM machines WHERE id = $1")
                .bind(db_machine(machine))
                .fetch_one(&mut *read)
                .await
                .map_err(StoreError::from)?;
        let slots: Vec<(i64, i64, i64, String)> = sqlx::query_as(
            "SELECT slot, product, price_minor, name FROM slots JOIN products ON products.id = product
             WHERE machine = $1 ORDER BY slot",
        )
        .bind(db_machine(machine))
        .fetch_all(&mut *read)
        .await
        .map_err(StoreError::from)?;
        drop(read);
        let entries = slots.into_iter().map(|(slot, product, price, name)| {
            Some(PlanEntry {
                slot: SlotId::new(u64::try_from(slot).ok()?).ok()?,
                product: ProductId::new(u64::try_from(product).ok()?).ok()?,
                price_minor: u32::try_from(price).ok()?,
                capacity: 0,
                name: Text::truncated(&name),
            })
        });
        let entries: Vec<PlanEntry> = entries.collect::<Option<_>>().ok_or_else(bad)?;
        let chunks: Vec<&[PlanEntry]> =
            if entries.is_empty() { vec![&[]] } else { entries.chunks(PLAN_PART_ENTRIES).collect() };
        let parts = u8::try_from(chunks.len()).map_err(|_| bad())?;
        let currency = currency_of(currency).ok_or_else(bad)?;
        for (part, chunk) in (0u8..).zip(chunks) {
            let entries = List::try_from_iter(chunk.iter().copied()).map_err(|_| bad())?;
            self.send(machine, &PlanPart { plan: plan_version(plan)?, currency, part, parts, entries });
        }
        Ok(())
    }

    async fn plan_applied(&self, machine: MachineId, plan: PlanVersion) -> Result<(), EngineError> {
        let (id, plan) = (db_machine(machine), i64::from(plan.number()));
        let write = self.db().writer().write("plan applied", async move |conn| {
            sqlx::query("UPDATE machines SET plan_applied = $2 WHERE id = $1")
                .bind(id)
                .bind(plan)
                .execute(conn)
                .await?;
            Ok(())
        });
        write.await?;
        self.changed(machine, None);
        Ok(())
    }

    async fn taken(&self, machine: MachineId, link: &Link, taken: Taken) -> Result<(), EngineError> {
        let Some((enrolment, _)) = *lock(&link.enrolled) else { return Ok(()) };
        let (seq, now) = (i64::try_from(taken.seq.number()).unwrap_or(i64::MAX), now_ms());
        let write = self.db().writer().write("taken", async move |conn| {
            let order: Option<i64> = sqlx::query_scalar(
                "UPDATE authorizations SET state = 'taken' WHERE enrolment = $1 AND seq = $2 AND state = 'signed'
                 RETURNING order_id",
            )
            .bind(enrolment.0.as_slice())
            .bind(seq)
            .fetch_optional(&mut *conn)
            .await?;
            if let Some(order) = order {
                sqlx::query("UPDATE orders SET state = 'taken' WHERE id = $1 AND state = 'authorized'")
                    .bind(order)
                    .execute(&mut *conn)
                    .await?;
                note(conn, order, None, now, "the machine has taken it and vends").await?;
            }
            Ok(order)
        });
        if let Some(order) = write.await? {
            self.changed(machine, Some(super::rows::order_id(order)?));
        }
        Ok(())
    }

    async fn receipt(&self, machine: MachineId, link: &Link, signed: &Signed) -> Result<(), EngineError> {
        let enrolled = lock(&link.enrolled).as_ref().map(|(_, key)| *key);
        let Some(key) = enrolled else { return Ok(()) };
        match vend_payments::receipt::verify_receipt(signed, &key) {
            Ok(body) => {
                let acknowledgement = self.book_receipt(machine, &body, signed).await?;
                link.send(&acknowledgement);
            }
            // It proves nothing, so it is not acknowledged; the machine's own are always right.
            Err(error) => tracing::warn!(%machine, %error, "a receipt that does not verify"),
        }
        Ok(())
    }

    /// The machine says that receipts are acknowledged and gone; if one of them is not here, this server has lost it.
    async fn machine_settled(
        &self,
        machine: MachineId,
        link: &Link,
        settled: Settled,
    ) -> Result<(), EngineError> {
        let Some((enrolment, _)) = *lock(&link.enrolled) else { return Ok(()) };
        let (id, up_to) = (db_machine(machine), i64::try_from(settled.up_to.number()).unwrap_or(i64::MAX));
        let now = now_ms();
        let write = self.db().writer().write("settled", async move |conn| {
            let lost: Vec<i64> = sqlx::query_scalar(
                "SELECT order_id FROM authorizations WHERE enrolment = $1 AND seq <= $2 AND state IN ('signed', 'taken')",
            )
            .bind(enrolment.0.as_slice())
            .bind(up_to)
            .fetch_all(&mut *conn)
            .await?;
            for order in lost {
                // Nothing more will come of it: no resends, and the silence begins now.
                let first = sqlx::query("DELETE FROM jobs WHERE kind = 'resend' AND subject = $1")
                    .bind(order.to_string())
                    .execute(&mut *conn)
                    .await?;
                hasten(conn, "silence", &order.to_string(), now).await?;
                if first.rows_affected() == 1 {
                    let what = "the machine has settled an order whose receipt is not here: its outcome is unknown";
                    alarm(conn, Some(id), Some(order), now, what).await?;
                }
            }
            Ok(())
        });
        Ok(write.await?)
    }

    async fn late_drop(&self, machine: MachineId, drop: LateDrop) -> Result<(), EngineError> {
        let Some(order) = drop.after.map(db_order) else { return Ok(()) };
        let (id, now) = (db_machine(machine), now_ms());
        let write = self.db().writer().write("late drop", async move |conn| {
            let ours: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE id = $1 AND machine = $2")
                .bind(order)
                .bind(id)
                .fetch_one(&mut *conn)
                .await?;
            if ours == 1 {
                note(conn, order, None, now, "something fell after this sale's sensor window").await?;
            }
            Ok(())
        });
        Ok(write.await?)
    }
}

fn plan_version(plan: i64) -> Result<PlanVersion, EngineError> {
    u64::try_from(plan).ok().and_then(|plan| PlanVersion::new(plan).ok()).ok_or(EngineError::Row("machines"))
}
