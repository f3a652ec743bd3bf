//! The planogram on its way to a machine.

use vend_protocol::{
    List, MachineId, PlanVersion, ProductId, SlotId, Text,
    machine_link::{PLAN_PART_ENTRIES, PlanEntry, PlanPart},
};

use super::{
    Engine, EngineError,
    rows::{currency_of, db_machine},
};
use crate::store::StoreError;

impl Engine {
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
        let slots: Vec<(i64, i64, i64, i64, String)> = sqlx::query_as(
            "SELECT slot, product, price_minor, capacity, name FROM slots JOIN products ON products.id = product
             WHERE machine = $1 ORDER BY slot",
        )
        .bind(db_machine(machine))
        .fetch_all(&mut *read)
        .await
        .map_err(StoreError::from)?;
        drop(read);
        let entries = slots.into_iter().map(|(slot, product, price, capacity, name)| {
            Some(PlanEntry {
                slot: SlotId::new(u64::try_from(slot).ok()?).ok()?,
                product: ProductId::new(u64::try_from(product).ok()?).ok()?,
                price_minor: u32::try_from(price).ok()?,
                capacity: u16::try_from(capacity).ok()?,
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

    /// A machine sells from this version now.
    pub(super) async fn plan_applied(
        &self,
        machine: MachineId,
        plan: PlanVersion,
    ) -> Result<(), EngineError> {
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
}

pub(super) fn plan_version(plan: i64) -> Result<PlanVersion, EngineError> {
    u64::try_from(plan).ok().and_then(|plan| PlanVersion::new(plan).ok()).ok_or(EngineError::Row("machines"))
}
