#![no_std]
#![doc = include_str!("../README.md")]

mod bounded;
mod ids;
mod money;

pub use bounded::{Bytes, Full, List, Text, hex_array};
pub use ids::{
    AuthSeq, ConfigHash, EnrolmentId, IdError, JournalId, KeyId, MachineId, Nonce, OrderId, PlanVersion, ProductId,
    ReceiptHash, ReceiptNo, SlotId, VendId,
};
pub use money::{Currency, Decimal, Money, MoneyError};
