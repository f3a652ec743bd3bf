//! The planogram the machine sells from.

use vend_protocol::{
    Currency, PlanVersion, ProductId, Reason, SlotId,
    machine_link::{PlanEntry, PlanPart},
};

/// At most `SLOTS` slots, in RAM only: after a restart the hello says "none" and the server sends it again.
///
/// Any other version, a lower one too, overwrites the one that is here as its parts arrive; until all are there the machine
/// sells nothing. A part that does not fit makes the version stay incomplete.
#[derive(Clone, Debug)]
pub struct Plan<const SLOTS: usize> {
    entries: [Option<PlanEntry>; SLOTS],
    used: usize,
    version: Option<PlanVersion>,
    currency: Currency,
    parts: u8,
    /// Which parts of the version are here, a bit each.
    have: [u32; 8],
    failed: bool,
}

impl<const SLOTS: usize> Plan<SLOTS> {
    pub(super) const fn new() -> Self {
        Self {
            entries: [const { None }; SLOTS],
            used: 0,
            version: None,
            currency: Currency::CNY,
            parts: 0,
            have: [0; 8],
            failed: false,
        }
    }

    /// The version, when all of it is here.
    pub fn version(&self) -> Option<PlanVersion> {
        let complete = self.parts > 0 && !self.failed && (0..self.parts).all(|part| self.has(part));
        self.version.filter(|_| complete)
    }

    /// The slots, in the order they came; incomplete unless [`Plan::version`] gives one.
    pub fn entries(&self) -> impl Iterator<Item = &PlanEntry> + '_ {
        self.entries.iter().flatten()
    }

    /// The currency of all prices.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    fn has(&self, part: u8) -> bool {
        let word = self.have.get(usize::from(part / 32)).copied().unwrap_or(0);
        word >> (part % 32) & 1 == 1
    }

    /// Takes a part; gives the version when this part completed it.
    pub(super) fn handle(&mut self, part: &PlanPart) -> Option<PlanVersion> {
        if part.part >= part.parts || self.version() == Some(part.plan) {
            return self.version().filter(|version| *version == part.plan);
        }
        let same =
            Some(part.plan) == self.version && part.parts == self.parts && part.currency == self.currency;
        if !same {
            *self =
                Self { version: Some(part.plan), currency: part.currency, parts: part.parts, ..Self::new() };
        }
        if self.has(part.part) {
            return None;
        }
        for entry in part.entries.iter() {
            match self.entries.get_mut(self.used) {
                Some(place) => *place = Some(*entry),
                None => self.failed = true,
            }
            self.used += 1;
        }
        if let Some(word) = self.have.get_mut(usize::from(part.part / 32)) {
            *word |= 1 << (part.part % 32);
        }
        self.version()
    }

    /// Why a line does not fit this planogram.
    pub(super) fn check(
        &self,
        plan: PlanVersion,
        slot: SlotId,
        product: ProductId,
        price_minor: u32,
    ) -> Result<(), Reason> {
        let fits = self.version() == Some(plan)
            && self.entries().any(|entry| {
                entry.slot == slot && entry.product == product && entry.price_minor == price_minor
            });
        if fits { Ok(()) } else { Err(Reason::PLAN) }
    }
}
