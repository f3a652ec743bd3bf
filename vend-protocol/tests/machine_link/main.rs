//! Both ends of the machine link in virtual time: a model machine and a model server on the sessions under test, a network that
//! does its worst between them, and the books checked after every step.
//!
//! `random` plays seeds; `VEND_SEEDS=n` plays n of each kind of trouble. `stories` tells the rules of `docs/spec/wire.md` one by
//! one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of it is a test")]

mod chance;
mod env;
mod faults;
mod machine;
mod newer;
mod random;
mod server;
mod stories;
mod toy;
mod world;
