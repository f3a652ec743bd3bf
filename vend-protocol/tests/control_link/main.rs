//! The control link at work: both ends joined over a bad line in virtual time, and what a bad line does to frames.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is its report")]

mod broken;
mod chance;
mod damage;
mod golden;
mod line;
mod seeds;
mod serial;
mod single;
mod world;
