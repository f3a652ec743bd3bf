//! Planogram, prices and stock.

use serde::{Deserialize, Serialize};

use super::message;
use crate::{
    Currency, List, PlanVersion, ProductId, SlotId, Text,
    machine_link::{NAME_MAX, PLAN_PART_ENTRIES, STOCK_ENTRIES, kind},
    outcome::open_number,
};

/// Server to machine: a part of the planogram with its prices. The machine applies it when it has all parts of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPart {
    /// The version it is a part of.
    pub plan: PlanVersion,
    /// Its currency, ISO 4217 numeric.
    pub currency: Currency,
    /// 0 to `parts` - 1.
    pub part: u8,
    /// The number of parts, at least 1.
    pub parts: u8,
    /// Its slots.
    pub entries: List<PlanEntry, PLAN_PART_ENTRIES>,
}
message!(PlanPart, kind::PLAN_PART);

/// One slot of a planogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// The lane.
    pub slot: SlotId,
    /// What is in it.
    pub product: ProductId,
    /// What it costs, in minor units.
    pub price_minor: u32,
    /// How many fit into it; 0: not known.
    pub capacity: u16,
    /// What it is called.
    pub name: Text<NAME_MAX>,
}

/// Machine to server: it sells from this planogram now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanApplied {
    /// The version.
    pub plan: PlanVersion,
}
message!(PlanApplied, kind::PLAN_APPLIED);

/// Machine to server: stock counted or refilled at the machine. Sent on each connection until [`super::Noted`] names its kind
/// and number; the same number again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReport {
    /// Rising in one journal.
    pub number: u32,
    /// When, in milliseconds since 1970, UTC; 0: no clock.
    pub at_ms: u64,
    /// What happened.
    pub cause: StockCause,
    /// The slots it happened to.
    pub entries: List<StockEntry, STOCK_ENTRIES>,
}
message!(StockReport, kind::STOCK_REPORT);

open_number! {
    /// Why a stock report was made.
    StockCause {
        /// Somebody counted: `count` is what is in the lane.
        COUNTED = 1 "counted",
        /// Somebody refilled: `count` is what is in the lane now.
        REFILLED = 2 "refilled",
        /// The machine found the lane empty.
        EMPTY = 3 "found empty",
    }
}

/// The stock of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockEntry {
    /// The lane.
    pub slot: SlotId,
    /// What is in it.
    pub product: ProductId,
    /// How many.
    pub count: u16,
}

/// Server to machine, lossy: what the server believes to be in stock. The screen shows a slot with none as sold out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockSet {
    /// The planogram that the slots are of.
    pub plan: PlanVersion,
    /// The slots that changed.
    pub entries: List<StockCount, STOCK_ENTRIES>,
}
message!(StockSet, kind::STOCK_SET);

/// How many a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCount {
    /// The lane.
    pub slot: SlotId,
    /// How many.
    pub count: u16,
}
