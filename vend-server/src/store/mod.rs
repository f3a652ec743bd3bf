//! The server's database.

mod database;
mod error;
mod lock;
mod migrate;
mod writer;

pub use database::{Database, DatabaseOptions};
pub use error::{ConstraintKind, StoreError};
pub use migrate::{Migration, migrate};
pub use writer::{Writer, WriterStats};
