//! From a pick to a code on the screen.

use std::time::Duration;

use sqlx::SqliteConnection;
use vend_payments::wallet::{AccountId, AttemptId, CallError, CreatePayment, Wallet};
use vend_protocol::{
    Currency, List, MachineId, Money, OrderId, PlanVersion, ProductId, Reason, SlotId,
    machine_link::{PREPARE_TIMEOUT_MS, Prepare, PrepareLine, Readiness},
    signed::MAX_LINES,
};

use super::{
    Engine, EngineError, hex, millis, now_ms, random,
    rows::{currency_of, db_machine, db_order, hasten, note, order_id, release, want},
};
use crate::store::StoreError;

/// Tries to have a code made before the customer is told that the wallet does not answer.
const CREATE_TRIES: u32 = 2;

/// What a customer picked.
#[derive(Clone, Debug)]
pub struct Pick {
    /// At which machine.
    pub machine: MachineId,
    /// Which lanes; one twice is two of the product.
    pub slots: Vec<SlotId>,
    /// Which wallet account to pay with.
    pub account: AccountId,
    /// Where it was picked.
    pub source: Source,
}

/// Where an order was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// At the machine's screen.
    Screen,
    /// On a phone that scanned the label.
    Phone,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::Phone => "phone",
        }
    }
}

/// An order that can be paid now.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its number.
    pub order: OrderId,
    /// Names it to its customer.
    pub token: String,
}

/// Why a pick did not become an order. No money was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickRefused {
    /// Nothing was picked.
    #[error("pick a product first")]
    Nothing,
    /// More lines than an order may have.
    #[error("at most {MAX_LINES} products at once")]
    TooMany,
    /// No such machine, or none with a board.
    #[error("there is no such machine")]
    NoMachine,
    /// The machine is out of service.
    #[error("this machine is out of service")]
    OutOfService,
    /// The machine is not connected.
    #[error("this machine is not connected at the moment")]
    Offline,
    /// No such lane.
    #[error("there is no product in that slot")]
    NoSlot,
    /// The last one has just been sold or is being paid for.
    #[error("sold out: someone else may be buying the last one")]
    SoldOut,
    /// Too many unpaid orders at this machine.
    #[error("other customers are paying at this machine; try again in a moment")]
    Crowded,
    /// No such wallet.
    #[error("this wallet is not accepted here")]
    NoWallet,
    /// The machine did not answer in time.
    #[error("the machine does not answer; nothing was charged")]
    Silent,
    /// The machine cannot vend it now.
    #[error("the machine cannot sell this now ({0}); nothing was charged")]
    NotReady(Reason),
    /// The wallet gave no code.
    #[error("the wallet does not answer; nothing was charged")]
    WalletSilent,
}

struct Reserved {
    order: i64,
    token: String,
    enrolment_plan: i64,
    currency: Currency,
    amount_minor: u32,
    description: String,
    lines: Vec<(SlotId, ProductId, u32)>,
}

impl Engine {
    /// Reserves stock, asks the machine whether it is ready, and only then asks the wallet for a code.
    ///
    /// # Errors
    /// The outer error is the server's own trouble; the inner one is a refusal to show to the customer. Either way no code
    /// was shown and nothing stays reserved.
    pub async fn place_order(&self, pick: Pick) -> Result<Result<Placed, PickRefused>, EngineError> {
        let Some(wallet) = self.wallet(&pick.account) else { return Ok(Err(PickRefused::NoWallet)) };
        if pick.slots.is_empty() {
            return Ok(Err(PickRefused::Nothing));
        }
        if pick.slots.len() > MAX_LINES {
            return Ok(Err(PickRefused::TooMany));
        }
        if !self.is_connected(pick.machine) {
            return Ok(Err(if self.has_machine(pick.machine).await? {
                PickRefused::Offline
            } else {
                PickRefused::NoMachine
            }));
        }
        let machine = pick.machine;
        let reserved = match self.reserve(&pick).await? {
            Ok(reserved) => reserved,
            Err(refused) => return Ok(Err(refused)),
        };
        if !wallet.takes(reserved.currency) {
            self.refuse(reserved.order, PickRefused::NoWallet).await?;
            return Ok(Err(PickRefused::NoWallet));
        }
        let refused = match self.ask_ready(machine, &reserved).await? {
            Ok(()) => self.offer(machine, &*wallet, &reserved).await?.err(),
            Err(refused) => Some(refused),
        };
        let order = order_id(reserved.order)?;
        if let Some(refused) = refused {
            self.refuse(reserved.order, refused).await?;
            self.changed(machine, Some(order));
            return Ok(Err(refused));
        }
        self.changed(machine, Some(order));
        Ok(Ok(Placed { order, token: reserved.token }))
    }

    async fn has_machine(&self, machine: MachineId) -> Result<bool, EngineError> {
        let found = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM machines WHERE id = $1")
            .bind(db_machine(machine))
            .fetch_one(self.db().readers())
            .await
            .map_err(StoreError::from)?;
        Ok(found > 0)
    }

    async fn reserve(&self, pick: &Pick) -> Result<Result<Reserved, PickRefused>, EngineError> {
        let now = now_ms();
        let token = hex(&random::<16>()?);
        let expires = now + millis(self.settings().unpaid_after);
        let crowd = i64::from(self.settings().unpaid_per_machine);
        let pick = pick.clone();
        let result = self.db().writer().write("reserve", async move |conn| {
            match reserve_in(conn, &pick, &token, now, expires, crowd).await {
                Ok(reserved) => Ok(Ok(reserved)),
                // Errors take back what was reserved before the refusal; the refusal itself travels beside.
                Err(ReserveError::Store(error)) => Err(error),
                Err(ReserveError::Refused(refused)) => Ok(Err(refused)),
            }
        });
        Ok(result.await?)
    }

    async fn ask_ready(
        &self,
        machine: MachineId,
        reserved: &Reserved,
    ) -> Result<Result<(), PickRefused>, EngineError> {
        let [a, b, c, d] = random::<4>()?;
        let request = u32::from_le_bytes([a, b, c, d]);
        let lines = reserved.lines.iter().map(|(slot, product, price_minor)| PrepareLine {
            slot: *slot,
            product: *product,
            price_minor: *price_minor,
        });
        let plan = PlanVersion::new(u64::try_from(reserved.enrolment_plan).unwrap_or(0))
            .map_err(|_| EngineError::Row("machines"))?;
        let lines = List::try_from_iter(lines).map_err(|_| EngineError::Row("lines"))?;
        let answer = self.expect_ready(machine, request);
        if !self.send(machine, &Prepare { request, plan, lines }) {
            self.forget_ready(machine, request);
            return Ok(Err(PickRefused::Offline));
        }
        let answer = tokio::time::timeout(Duration::from_millis(PREPARE_TIMEOUT_MS), answer).await;
        self.forget_ready(machine, request);
        Ok(match answer {
            Ok(Ok(Readiness::Ready)) => Ok(()),
            Ok(Ok(Readiness::NotReady(reason))) => Err(PickRefused::NotReady(reason)),
            _ => Err(PickRefused::Silent),
        })
    }

    /// Has a code made. An attempt whose creation is unknown was never shown: it is closed in the background and a new one made.
    async fn offer(
        &self,
        machine: MachineId,
        wallet: &dyn Wallet,
        reserved: &Reserved,
    ) -> Result<Result<(), PickRefused>, EngineError> {
        for number in 1..=CREATE_TRIES {
            let attempt = AttemptId::new(format!("V{}_{number}_{}", reserved.order, hex(&random::<4>()?)))
                .map_err(|_| EngineError::Row("attempts"))?;
            let expires_at_ms = self.new_attempt(wallet, reserved, &attempt).await?;
            let payment = CreatePayment {
                attempt: &attempt,
                amount: Money::new(reserved.amount_minor, reserved.currency),
                description: &reserved.description,
                expires_at_ms,
                machine,
            };
            let request = wallet.create_request(&super::context()?, &payment);
            match self.exchange(request, |answer| wallet.read_create(now_ms(), &payment, answer)).await {
                Ok(created) => return self.show(reserved.order, &attempt, created.code_url).await,
                Err(error) => {
                    tracing::warn!(attempt = attempt.as_str(), %error, "no code");
                    let unknown = matches!(error, CallError::Unknown(_));
                    self.attempt_failed(reserved.order, &attempt, unknown).await?;
                    if !unknown {
                        break;
                    }
                }
            }
        }
        Ok(Err(PickRefused::WalletSilent))
    }

    async fn new_attempt(
        &self,
        wallet: &dyn Wallet,
        reserved: &Reserved,
        attempt: &AttemptId,
    ) -> Result<i64, EngineError> {
        let now = now_ms();
        // Wallets want at least a minute; we close earlier where our own limit is shorter.
        let expires = now + millis(self.settings().unpaid_after).max(60_000);
        let (id, account, merchant) = (
            attempt.as_str().to_owned(),
            wallet.account().as_str().to_owned(),
            wallet.merchant().as_str().to_owned(),
        );
        let (order, amount, currency) =
            (reserved.order, i64::from(reserved.amount_minor), reserved.currency.number());
        let write = self.db().writer().write("new attempt", async move |conn| {
            sqlx::query(
                "INSERT INTO attempts (id, order_id, account, merchant, amount_minor, currency, state, created_ms, expires_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, 'created', $7, $8)",
            )
            .bind(&id)
            .bind(order)
            .bind(&account)
            .bind(&merchant)
            .bind(amount)
            .bind(i64::from(currency))
            .bind(now)
            .bind(expires)
            .execute(&mut *conn)
            .await?;
            note(conn, order, None, now, &format!("asked {account} for a code ({id})")).await
        });
        write.await?;
        Ok(expires)
    }

    async fn show(
        &self,
        order: i64,
        attempt: &AttemptId,
        code: String,
    ) -> Result<Result<(), PickRefused>, EngineError> {
        let now = now_ms();
        let id = attempt.as_str().to_owned();
        let first_query = now + self.settings().query_after.first().map_or(5_000, |after| millis(*after));
        let write = self.db().writer().write("show code", async move |conn| {
            let shown =
                sqlx::query("UPDATE orders SET state = 'offered' WHERE id = $1 AND state = 'preparing'")
                    .bind(order)
                    .execute(&mut *conn)
                    .await?
                    .rows_affected();
            let state = if shown == 1 { "offered" } else { "unknown" };
            sqlx::query("UPDATE attempts SET state = $2, code = $3 WHERE id = $1 AND state = 'created'")
                .bind(&id)
                .bind(state)
                .bind(&code)
                .execute(&mut *conn)
                .await?;
            if shown != 1 {
                // It expired meanwhile: the code was not shown, so it is closed.
                want(conn, "close", &id, now).await?;
                return Ok(false);
            }
            want(conn, "query", &id, first_query).await?;
            note(conn, order, None, now, "code shown").await?;
            Ok(true)
        });
        Ok(if write.await? { Ok(()) } else { Err(PickRefused::WalletSilent) })
    }

    async fn attempt_failed(
        &self,
        order: i64,
        attempt: &AttemptId,
        unknown: bool,
    ) -> Result<(), EngineError> {
        let now = now_ms();
        let id = attempt.as_str().to_owned();
        let write = self.db().writer().write("attempt failed", async move |conn| {
            sqlx::query("UPDATE attempts SET state = $2 WHERE id = $1 AND state = 'created'")
                .bind(&id)
                .bind(if unknown { "unknown" } else { "closed" })
                .execute(&mut *conn)
                .await?;
            if unknown {
                want(conn, "close", &id, now).await?;
            }
            let what = if unknown {
                "the wallet's answer did not arrive; closing"
            } else {
                "the wallet refused the code"
            };
            note(conn, order, None, now, what).await
        });
        Ok(write.await?)
    }

    async fn refuse(&self, order: i64, refused: PickRefused) -> Result<(), EngineError> {
        let now = now_ms();
        let write = self.db().writer().write("refuse", async move |conn| {
            let text = refused.to_string();
            let done = sqlx::query(
                "UPDATE orders SET state = 'refused', note = $2, ended_ms = $3 WHERE id = $1 AND state = 'preparing'",
            )
            .bind(order)
            .bind(&text)
            .bind(now)
            .execute(&mut *conn)
            .await?;
            if done.rows_affected() == 1 {
                release(conn, order).await?;
                note(conn, order, None, now, &format!("refused: {text}")).await?;
            }
            Ok(())
        });
        Ok(write.await?)
    }

    /// The customer gives the order up. Whether it is unpaid is asked at the wallet before it is closed.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn cancel_order(&self, order: OrderId) -> Result<(), EngineError> {
        let now = now_ms();
        let id = db_order(order);
        self.db()
            .writer()
            .write("cancel", async move |conn| hasten(conn, "expire", &id.to_string(), now).await)
            .await?;
        self.wake();
        Ok(())
    }
}

enum ReserveError {
    Store(StoreError),
    Refused(PickRefused),
}

impl From<sqlx::Error> for ReserveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreError> for ReserveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn reserve_in(
    conn: &mut SqliteConnection,
    pick: &Pick,
    token: &str,
    now: i64,
    expires: i64,
    crowd: i64,
) -> Result<Reserved, ReserveError> {
    let refuse = |refused| Err(ReserveError::Refused(refused));
    let machine = db_machine(pick.machine);
    let row: Option<(i64, i64, Option<String>, Vec<u8>, Option<String>)> = sqlx::query_as(
        "SELECT plan, currency, stopped, enrolments.id, quarantined FROM machines
         JOIN enrolments ON enrolments.machine = machines.id AND active = 1 WHERE machines.id = $1",
    )
    .bind(machine)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((plan, currency, stopped, enrolment, quarantined)) = row else {
        return refuse(PickRefused::NoMachine);
    };
    if stopped.is_some() || quarantined.is_some() {
        return refuse(PickRefused::OutOfService);
    }
    let unpaid: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM orders WHERE machine = $1 AND state IN ('preparing', 'offered')",
    )
    .bind(machine)
    .fetch_one(&mut *conn)
    .await?;
    if unpaid >= crowd {
        return refuse(PickRefused::Crowded);
    }

    // Everything is checked before anything is written: a refusal is no error, so nothing would take the writes back.
    let mut lines = Vec::new();
    for (at, slot) in pick.slots.iter().enumerate() {
        let row: Option<(i64, i64, i64, String)> = sqlx::query_as(
            "SELECT product, price_minor, stock - reserved, name FROM slots JOIN products ON products.id = product
             WHERE machine = $1 AND slot = $2",
        )
        .bind(machine)
        .bind(i64::from(slot.number()))
        .fetch_optional(&mut *conn)
        .await?;
        let Some((product, price, free, name)) = row else { return refuse(PickRefused::NoSlot) };
        let wanted_before = pick.slots.iter().take(at).filter(|other| *other == slot).count();
        if free <= i64::try_from(wanted_before).unwrap_or(i64::MAX) {
            return refuse(PickRefused::SoldOut);
        }
        lines.push((*slot, product, price, name));
    }
    let amount: i64 = lines.iter().map(|line| line.2).sum();
    let order: i64 = sqlx::query_scalar(
        "INSERT INTO orders (machine, enrolment, plan, currency, amount_minor, state, token, source, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, 'preparing', $6, $7, $8, $9) RETURNING id",
    )
    .bind(machine)
    .bind(&enrolment)
    .bind(plan)
    .bind(currency)
    .bind(amount)
    .bind(token)
    .bind(pick.source.as_str())
    .bind(now)
    .bind(expires)
    .fetch_one(&mut *conn)
    .await?;
    for (number, (slot, product, price, name)) in lines.iter().enumerate() {
        let done = sqlx::query(
            "UPDATE slots SET reserved = reserved + 1 WHERE machine = $1 AND slot = $2 AND stock - reserved > 0",
        )
        .bind(machine)
        .bind(i64::from(slot.number()))
        .execute(&mut *conn)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::other("stock changed within a transaction").into());
        }
        sqlx::query("INSERT INTO lines (order_id, line, slot, product, name, price_minor) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(order)
            .bind(i64::try_from(number).unwrap_or(i64::MAX))
            .bind(i64::from(slot.number()))
            .bind(product)
            .bind(name)
            .bind(price)
            .execute(&mut *conn)
            .await?;
    }
    want(conn, "expire", &order.to_string(), expires).await?;
    note(conn, order, None, now, &format!("picked on the {}", pick.source.as_str())).await?;
    let row = || ReserveError::Store(StoreError::other("a row does not decode"));
    let parsed = lines.iter().map(|(slot, product, price, _)| {
        let product = u64::try_from(*product).ok().and_then(|id| ProductId::new(id).ok())?;
        Some((*slot, product, u32::try_from(*price).ok()?))
    });
    Ok(Reserved {
        order,
        token: token.to_owned(),
        enrolment_plan: plan,
        currency: currency_of(currency).ok_or_else(row)?,
        amount_minor: u32::try_from(amount).map_err(|_| row())?,
        description: describe(lines.iter().map(|line| line.3.as_str())),
        lines: parsed.collect::<Option<_>>().ok_or_else(row)?,
    })
}

/// What the customer's phone shows: the first product and how many more.
fn describe<'a>(mut names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(1);
    let first = names.next().unwrap_or_default();
    if more == 0 { first.to_owned() } else { format!("{first} and {more} more") }
}
