//! What operators change: products, planograms, machines, their own accounts.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, pbkdf2};
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;
use vend_protocol::{Currency, MachineId, ProductId, SlotId, machine_link::NAME_MAX};

use super::{
    Engine, EngineError, hex, now_ms, random,
    rows::{alarm, db_machine, machine_id},
};
use crate::store::StoreError;

/// PBKDF2-HMAC-SHA-256 iterations: OWASP's figure of 2023.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
/// A login lasts this long.
const SESSION_MS: i64 = 12 * 3_600_000;

/// Why an edit was not made; for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditRefused {
    /// The name is empty or too long for a machine's screen.
    #[error("a product's name has 1 to {NAME_MAX} bytes (about {} Chinese characters)", NAME_MAX / 3)]
    Name,
    /// No such machine.
    #[error("there is no such machine")]
    NoMachine,
    /// No such product.
    #[error("there is no such product")]
    NoProduct,
    /// The price is out of range.
    #[error("a price is at least 0.01 and at most 1,000,000.00")]
    Price,
    /// Stock above capacity, or either out of range.
    #[error("stock cannot be above capacity, and both are 0 to 9,999")]
    Stock,
}

/// What a slot holds from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotEdit {
    /// The lane.
    pub slot: SlotId,
    /// The product in it.
    pub product: ProductId,
    /// Its price in minor units of the machine's currency.
    pub price_minor: u32,
    /// Places.
    pub capacity: u16,
    /// Pieces in it now.
    pub stock: u16,
}

/// A logged-in operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub operator: String,
    /// What each form of theirs must carry.
    pub csrf: String,
}

impl Engine {
    /// Adds a machine without a board.
    ///
    /// # Errors
    /// Only the database's; a number that exists keeps what it has.
    pub async fn add_machine(
        &self,
        machine: MachineId,
        name: &str,
        place: &str,
        currency: Currency,
    ) -> Result<(), EngineError> {
        let (id, name, place, now) = (db_machine(machine), name.to_owned(), place.to_owned(), now_ms());
        let write = self.db().writer().write("add machine", async move |conn| {
            sqlx::query(
                "INSERT INTO machines (id, name, place, currency, created_ms) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
            )
            .bind(id)
            .bind(&name)
            .bind(&place)
            .bind(i64::from(currency.number()))
            .bind(now)
            .execute(conn)
            .await?;
            Ok(())
        });
        Ok(write.await?)
    }

    /// Adds a product.
    ///
    /// # Errors
    /// The inner one is for the operator.
    pub async fn add_product(&self, name: &str) -> Result<Result<ProductId, EditRefused>, EngineError> {
        let Some(name) = product_name(name) else { return Ok(Err(EditRefused::Name)) };
        let now = now_ms();
        let write = self.db().writer().write("add product", async move |conn| {
            let id: i64 =
                sqlx::query_scalar("INSERT INTO products (name, created_ms) VALUES ($1, $2) RETURNING id")
                    .bind(&name)
                    .bind(now)
                    .fetch_one(conn)
                    .await?;
            Ok(id)
        });
        let id = u64::try_from(write.await?).ok().and_then(|id| ProductId::new(id).ok());
        id.map(Ok).ok_or(EngineError::Row("products"))
    }

    /// Renames a product. Every machine that sells it gets a new plan version.
    ///
    /// # Errors
    /// The inner one is for the operator.
    pub async fn rename_product(
        &self,
        product: ProductId,
        name: &str,
    ) -> Result<Result<(), EditRefused>, EngineError> {
        let Some(name) = product_name(name) else { return Ok(Err(EditRefused::Name)) };
        let id = i64::from(product.number());
        let write = self.db().writer().write("rename product", async move |conn| {
            let renamed = sqlx::query("UPDATE products SET name = $2 WHERE id = $1")
                .bind(id)
                .bind(&name)
                .execute(&mut *conn)
                .await?;
            if renamed.rows_affected() == 0 {
                return Ok(None);
            }
            let machines: Vec<i64> = sqlx::query_scalar(
                "UPDATE machines SET plan = plan + 1 WHERE id IN (SELECT machine FROM slots WHERE product = $1) RETURNING id",
            )
            .bind(id)
            .fetch_all(conn)
            .await?;
            Ok(Some(machines))
        });
        let Some(machines) = write.await? else { return Ok(Err(EditRefused::NoProduct)) };
        for machine in machines {
            self.plan_changed(machine_id(machine)?).await?;
        }
        Ok(Ok(()))
    }

    /// Sets slots of a machine. One new plan version for all of them; none when only stock or capacity changes.
    ///
    /// # Errors
    /// The inner one is for the operator; nothing was changed then.
    pub async fn set_slots(
        &self,
        machine: MachineId,
        slots: Vec<SlotEdit>,
    ) -> Result<Result<(), EditRefused>, EngineError> {
        for slot in &slots {
            if slot.price_minor == 0 || slot.price_minor > 100_000_000 {
                return Ok(Err(EditRefused::Price));
            }
            if slot.stock > slot.capacity || slot.capacity > 9_999 {
                return Ok(Err(EditRefused::Stock));
            }
        }
        let id = db_machine(machine);
        let write =
            self.db().writer().write("set slots", async move |conn| set_slots(conn, id, &slots).await);
        match write.await? {
            Ok(true) => self.plan_changed(machine).await?,
            Ok(false) => self.changed(machine, None),
            Err(refused) => return Ok(Err(refused)),
        }
        Ok(Ok(()))
    }

    /// Empties a slot for good: it disappears from the planogram.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn remove_slot(&self, machine: MachineId, slot: SlotId) -> Result<(), EngineError> {
        let (id, slot) = (db_machine(machine), i64::from(slot.number()));
        let write = self.db().writer().write("remove slot", async move |conn| {
            let removed = sqlx::query("DELETE FROM slots WHERE machine = $1 AND slot = $2")
                .bind(id)
                .bind(slot)
                .execute(&mut *conn)
                .await?;
            if removed.rows_affected() == 1 {
                sqlx::query("UPDATE machines SET plan = plan + 1 WHERE id = $1")
                    .bind(id)
                    .execute(conn)
                    .await?;
            }
            Ok(removed.rows_affected() == 1)
        });
        if write.await? { self.plan_changed(machine).await } else { Ok(()) }
    }

    /// Takes a machine out of service (`Some(why)`) or back into it.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn set_stopped(&self, machine: MachineId, why: Option<&str>) -> Result<(), EngineError> {
        let (id, why) = (db_machine(machine), why.map(str::to_owned));
        let write = self.db().writer().write("stop machine", async move |conn| {
            sqlx::query("UPDATE machines SET stopped = $2 WHERE id = $1")
                .bind(id)
                .bind(&why)
                .execute(conn)
                .await?;
            Ok(())
        });
        write.await?;
        self.changed(machine, None);
        Ok(())
    }

    /// Lets a machine whose receipts were in question sell again, after an operator has looked into it. What was kept without
    /// effect stays so.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn lift_quarantine(&self, machine: MachineId, operator: &str) -> Result<(), EngineError> {
        let (id, now) = (db_machine(machine), now_ms());
        let what = format!("{operator} lets the machine sell again although its receipts were in question");
        let write = self.db().writer().write("lift quarantine", async move |conn| {
            let lifted = sqlx::query(
                "UPDATE enrolments SET quarantined = NULL WHERE machine = $1 AND active = 1 AND quarantined IS NOT NULL",
            )
            .bind(id)
            .execute(&mut *conn)
            .await?;
            if lifted.rows_affected() == 1 {
                alarm(conn, Some(id), None, now, &what).await?;
            }
            Ok(())
        });
        write.await?;
        self.changed(machine, None);
        Ok(())
    }

    async fn plan_changed(&self, machine: MachineId) -> Result<(), EngineError> {
        if self.is_connected(machine) {
            self.send_plan(machine).await?;
        }
        self.changed(machine, None);
        Ok(())
    }

    /// Sets an operator's password, and adds the operator where there is none of that name.
    ///
    /// # Errors
    /// The database's, or no random numbers.
    pub async fn set_operator(&self, name: &str, password: &str) -> Result<(), EngineError> {
        let (name, salt) = (name.to_owned(), random::<16>()?);
        let hash = derive(password.to_owned(), salt.to_vec(), ITERATIONS).await;
        let write = self.db().writer().write("set operator", async move |conn| {
            sqlx::query(
                "INSERT INTO operators (name, salt, password_hash, iterations) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO UPDATE SET salt = excluded.salt, password_hash = excluded.password_hash,
                 iterations = excluded.iterations",
            )
            .bind(&name)
            .bind(salt.as_slice())
            .bind(hash.as_slice())
            .bind(i64::from(ITERATIONS.get()))
            .execute(&mut *conn)
            .await?;
            sqlx::query("DELETE FROM sessions WHERE operator = $1").bind(&name).execute(conn).await?;
            Ok(())
        });
        Ok(write.await?)
    }

    /// Checks a password and opens a session: the secret for the cookie, or `None`.
    ///
    /// # Errors
    /// The database's, or no random numbers.
    pub async fn log_in(&self, name: &str, password: &str) -> Result<Option<String>, EngineError> {
        let row: Option<(Vec<u8>, Vec<u8>, i64)> =
            sqlx::query_as("SELECT salt, password_hash, iterations FROM operators WHERE name = $1")
                .bind(name)
                .fetch_optional(self.db().readers())
                .await
                .map_err(StoreError::from)?;
        // A name that does not exist takes as long as one that does.
        let known = row.is_some();
        let (salt, stored, iterations) =
            row.unwrap_or_else(|| (vec![0; 16], vec![0; 32], i64::from(ITERATIONS.get())));
        let iterations = u32::try_from(iterations).ok().and_then(NonZeroU32::new).unwrap_or(ITERATIONS);
        let hash = derive(password.to_owned(), salt, iterations).await;
        if constant_time::verify_slices_are_equal(&hash, &stored).is_err() || !known {
            return Ok(None);
        }
        let (token, csrf) = (hex(&random::<32>()?), hex(&random::<16>()?));
        let (id, operator) = (Sha256::digest(token.as_bytes()).to_vec(), name.to_owned());
        let (now, expires) = (now_ms(), now_ms() + SESSION_MS);
        let write = self.db().writer().write("log in", async move |conn| {
            sqlx::query("DELETE FROM sessions WHERE expires_ms < $1").bind(now).execute(&mut *conn).await?;
            sqlx::query("INSERT INTO sessions (id, operator, csrf, expires_ms) VALUES ($1, $2, $3, $4)")
                .bind(&id)
                .bind(&operator)
                .bind(&csrf)
                .bind(expires)
                .execute(conn)
                .await?;
            Ok(())
        });
        write.await?;
        Ok(Some(token))
    }

    /// Whose session a cookie is.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn session(&self, token: &str) -> Result<Option<Login>, EngineError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT operator, csrf FROM sessions WHERE id = $1 AND expires_ms > $2")
                .bind(Sha256::digest(token.as_bytes()).to_vec())
                .bind(now_ms())
                .fetch_optional(self.db().readers())
                .await
                .map_err(StoreError::from)?;
        Ok(row.map(|(operator, csrf)| Login { operator, csrf }))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn log_out(&self, token: &str) -> Result<(), EngineError> {
        let id = Sha256::digest(token.as_bytes()).to_vec();
        let write = self.db().writer().write("log out", async move |conn| {
            sqlx::query("DELETE FROM sessions WHERE id = $1").bind(&id).execute(conn).await?;
            Ok(())
        });
        Ok(write.await?)
    }
}

fn product_name(name: &str) -> Option<String> {
    let name = name.trim();
    let printable = !name.is_empty() && name.len() <= NAME_MAX && !name.chars().any(char::is_control);
    printable.then(|| name.to_owned())
}

/// A tenth of a second of work, away from the threads that serve.
async fn derive(password: String, salt: Vec<u8>, iterations: NonZeroU32) -> [u8; 32] {
    let work = move || {
        let mut hash = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut hash);
        hash
    };
    // It cannot panic; a runtime that is shutting down gives a hash that matches nothing stored.
    tokio::task::spawn_blocking(work).await.unwrap_or([0; 32])
}

async fn set_slots(
    conn: &mut SqliteConnection,
    machine: i64,
    slots: &[SlotEdit],
) -> Result<Result<bool, EditRefused>, StoreError> {
    let exists: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM machines WHERE id = $1")
        .bind(machine)
        .fetch_one(&mut *conn)
        .await?;
    if exists == 0 {
        return Ok(Err(EditRefused::NoMachine));
    }
    for slot in slots {
        let product: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM products WHERE id = $1")
            .bind(i64::from(slot.product.number()))
            .fetch_one(&mut *conn)
            .await?;
        if product == 0 {
            return Ok(Err(EditRefused::NoProduct));
        }
    }
    let mut changed = false;
    for slot in slots {
        let same: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM slots WHERE machine = $1 AND slot = $2 AND product = $3 AND price_minor = $4",
        )
        .bind(machine)
        .bind(i64::from(slot.slot.number()))
        .bind(i64::from(slot.product.number()))
        .bind(i64::from(slot.price_minor))
        .fetch_one(&mut *conn)
        .await?;
        changed |= same == 0;
        sqlx::query(
            "INSERT INTO slots (machine, slot, product, price_minor, capacity, stock) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (machine, slot) DO UPDATE SET product = excluded.product, price_minor = excluded.price_minor,
             capacity = excluded.capacity, stock = excluded.stock",
        )
        .bind(machine)
        .bind(i64::from(slot.slot.number()))
        .bind(i64::from(slot.product.number()))
        .bind(i64::from(slot.price_minor))
        .bind(i64::from(slot.capacity))
        .bind(i64::from(slot.stock))
        .execute(&mut *conn)
        .await?;
    }
    if changed {
        sqlx::query("UPDATE machines SET plan = plan + 1 WHERE id = $1").bind(machine).execute(conn).await?;
    }
    Ok(Ok(changed))
}
