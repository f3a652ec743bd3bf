//! Customers: picking at the screen or on a phone, and what became of it.

mod follow;
mod pick;

pub(super) use follow::{cancel, order};
pub(super) use pick::{phone, place, screen};
