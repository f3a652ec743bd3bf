//! The server's end of the machine link: the connections, and what comes in on them.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use vend_payments::session::SessionSeal;
use vend_protocol::{
    MachineId,
    frame::{Frame, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Busy, Clock, KeyListApplied, LateDrop, LinkError, PlanApplied, Readiness, Ready, Receipt, Rejection,
        ServerEvent, ServerSession, Settled, Taken, Unsupported, kind,
    },
    signed::Signed,
};

use super::{
    Engine, EngineError,
    hello::{Greeting, turn_away},
    lock, now_ms,
    rows::{alarm, db_machine, db_order, hasten, note},
};
use crate::gateway::{
    Authenticator, CloseReason, ConnectionHandle, ConnectionId, Handler, HandlerError, Unavailable,
};

/// Connections are looked through for dead ones this often.
const WATCH: Duration = Duration::from_secs(1);

/// One connection of one machine.
pub(super) struct Link {
    connection: ConnectionHandle,
    session: Mutex<ServerSession<SessionSeal>>,
    started: Instant,
    /// Whose hello was accepted.
    greeting: OnceLock<Greeting>,
    /// Whether the machine itself is at the other end: see `hello`.
    proven: AtomicBool,
}

impl Link {
    /// Whether the machine itself is at the other end and can be sent something.
    pub(super) fn is_open(&self) -> bool {
        self.proven.load(Ordering::Acquire) && !self.connection.is_closed()
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Keeps the hello that was accepted. There is one a connection, since an open session takes no other.
    pub(super) fn greeted(&self, greeting: Greeting) {
        let _ = self.greeting.set(greeting);
    }

    /// Queues what the session writes; the session's counter and the queue move together.
    pub(super) fn write(
        &self,
        frame: impl FnOnce(&mut ServerSession<SessionSeal>, &mut [u8]) -> Result<usize, LinkError>,
    ) -> Result<bool, LinkError> {
        let mut out = [0; MACHINE_FRAME_MAX];
        let mut session = lock(&self.session);
        let len = frame(&mut session, &mut out)?;
        Ok(self.connection.send(out.get(..len).unwrap_or(&[]).to_vec()).is_ok())
    }

    /// Queues a message; `false`: it was not.
    fn send<M: Message>(&self, message: &M) -> bool {
        self.write(|session, out| session.send(message, out)).unwrap_or_else(|error| {
            tracing::warn!(machine = self.connection.machine(), %error, "not sent");
            false
        })
    }
}

fn refuse(reason: impl std::fmt::Display) -> HandlerError {
    HandlerError::new(reason.to_string())
}

impl Handler for Engine {
    async fn connected(&self, connection: ConnectionHandle) {
        let Ok(machine) = MachineId::new(u64::from(connection.machine())) else { return };
        let silence = self.settings().keepalive.saturating_mul(2).as_millis();
        let session = ServerSession::new(0, u64::try_from(silence).unwrap_or(u64::MAX));
        let link = Link {
            connection,
            session: Mutex::new(session),
            started: Instant::now(),
            greeting: OnceLock::new(),
            proven: AtomicBool::new(false),
        };
        lock(&self.inner.links).insert(machine, Arc::new(link));
    }

    async fn message(&self, connection: &ConnectionHandle, payload: Vec<u8>) -> Result<(), HandlerError> {
        let machine = MachineId::new(u64::from(connection.machine())).map_err(refuse)?;
        let Some(link) = self.link(machine).filter(|link| link.connection.id() == connection.id()) else {
            return Err(refuse("a message on an old connection"));
        };
        self.take(machine, &link, &payload).await.map_err(refuse)
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

    /// Sends a message to a machine if it is connected. `true` says queued, never delivered.
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

    /// Closes connections that say no hello or have fallen silent, until the future is dropped.
    ///
    /// The gateway's own limit is for the transport, whose pings anybody on the way can answer. Here counts what is sealed.
    pub async fn watch_links(&self) {
        loop {
            tokio::time::sleep(WATCH).await;
            let links: Vec<Arc<Link>> = lock(&self.inner.links).values().cloned().collect();
            for link in links {
                let alive = lock(&link.session).handle_timeout(link.elapsed_ms());
                if alive.is_err() {
                    link.connection.close(CloseReason::Silent);
                }
            }
        }
    }

    async fn take(&self, machine: MachineId, link: &Link, bytes: &[u8]) -> Result<(), EngineError> {
        let event = lock(&link.session).handle_frame(link.elapsed_ms(), bytes);
        let event = event.inspect_err(|error| {
            if *error == LinkError::Forged {
                tracing::warn!(%machine, "a message of its session is not the machine's own; its connection is closed");
            }
        })?;
        let Some(event) = event else { return Ok(()) };
        // The session lets nothing but a hello through before one was accepted, and nothing unsealed after it.
        let Some(greeting) = link.greeting.get() else {
            return match event {
                ServerEvent::Hello(signed) => self.hello(machine, link, &signed).await,
                // A hello that another time will understand.
                _ => turn_away(machine, link, Rejection::REVISION),
            };
        };
        let first = !link.proven.load(Ordering::Acquire);
        if first {
            self.arrived(machine, greeting).await?;
            link.proven.store(true, Ordering::Release);
        }
        match event {
            ServerEvent::Message(frame) => self.handle(machine, link, greeting, &frame).await?,
            ServerEvent::ClockRequest(asked) => {
                let server_time_ms = u64::try_from(now_ms()).unwrap_or(0);
                link.send(&Clock { request: asked.request, server_time_ms });
            }
            ServerEvent::Unknown(unsupported) => {
                link.send(&unsupported);
            }
            ServerEvent::Unsupported(Unsupported { kind, revision, .. }) => {
                tracing::warn!(%machine, kind, revision, "the machine does not know a message");
            }
            ServerEvent::Hello(_) => return Err(LinkError::OutOfTurn(kind::HELLO).into()),
        }
        if first {
            self.catch_up(machine, greeting).await?;
        }
        Ok(())
    }

    /// What becomes of every message of a machine.
    async fn handle(
        &self,
        machine: MachineId,
        link: &Link,
        greeting: &Greeting,
        frame: &Frame<'_>,
    ) -> Result<(), EngineError> {
        match (frame.kind, frame.revision) {
            (kind::READY, Ready::REVISION) => {
                let ready: Ready = read(frame)?;
                if let Some(waiting) = lock(&self.inner.waiting).remove(&(machine, ready.request)) {
                    // The customer may have gone; then nobody waits.
                    let _ = waiting.send(ready.readiness);
                }
            }
            (kind::TAKEN, Taken::REVISION) => self.taken(machine, greeting, read(frame)?).await?,
            (kind::RECEIPT, Receipt::REVISION) => {
                let Receipt(signed) = read(frame)?;
                self.receipt(machine, link, greeting, &signed).await?;
            }
            (kind::BUSY, Busy::REVISION) => {
                // Nothing was used up; the resend job comes back to it.
                let Busy { .. } = read(frame)?;
            }
            (kind::SETTLED, Settled::REVISION) => {
                self.machine_settled(machine, greeting, read(frame)?).await?;
            }
            (kind::PLAN_APPLIED, PlanApplied::REVISION) => {
                let PlanApplied { plan } = read(frame)?;
                self.plan_applied(machine, plan).await?;
            }
            (kind::LATE_DROP, LateDrop::REVISION) => self.late_drop(machine, read(frame)?).await?,
            (kind::KEY_LIST_APPLIED, KeyListApplied::REVISION) => {
                let KeyListApplied { version } = read(frame)?;
                tracing::info!(%machine, version, "the machine goes by this key list");
            }
            // No use for them yet, and they may be lost.
            (kind::TELEMETRY | kind::LOG_LINE | kind::ORDER_CANCEL, _) => {}
            // No use for these either, and the machine would send them again, or somebody waits for the answer: AMENDMENT,
            // ORDER_REQUEST, CONFIG_APPLIED, STOCK_REPORT, FAULT, SECURITY_EVENT, COMMAND_RESULT, CHUNK_REQUEST,
            // UPDATE_VERDICT. And all that has no business here.
            (kind, revision) => {
                link.send(&Unsupported { kind, revision, sequence: frame.sequence });
            }
        }
        Ok(())
    }

    async fn taken(&self, machine: MachineId, greeting: &Greeting, taken: Taken) -> Result<(), EngineError> {
        let enrolment = greeting.enrolment;
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

    async fn receipt(
        &self,
        machine: MachineId,
        link: &Link,
        greeting: &Greeting,
        signed: &Signed,
    ) -> Result<(), EngineError> {
        match vend_payments::receipt::verify_receipt(signed, &greeting.key) {
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
        greeting: &Greeting,
        settled: Settled,
    ) -> Result<(), EngineError> {
        let enrolment = greeting.enrolment;
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

/// The message of a frame. One that does not decode is a fault of the machine or of nobody's making: the connection ends.
fn read<M: Message>(frame: &Frame<'_>) -> Result<M, LinkError> {
    Ok(frame.decode()?)
}
