#![no_std]
#![doc = include_str!("../README.md")]
// The wire is read by people who write it in other languages: each refusal is said in words.
#![warn(clippy::missing_errors_doc)]

mod bounded;
pub mod cobs;
pub mod codec;
pub mod control_link;
pub mod frame;
mod ids;
pub mod machine_link;
mod money;
mod outcome;
pub mod signed;

pub use bounded::{Bytes, Full, List, Text, hex_array};
pub use ids::{
    AuthSeq, ConfigHash, EnrolmentId, IdError, JournalId, KeyId, MachineId, Nonce, OrderId, PlanVersion,
    ProductId, ReceiptHash, ReceiptNo, SlotId, VendId,
};
pub use money::{Currency, Decimal, Money, MoneyError};
pub use outcome::{DropReport, MotorCode, Outcome, Reason, Start, Verdict};
