#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(feature = "control")]
pub mod control;
#[cfg(feature = "main")]
pub mod journal;
#[cfg(feature = "main")]
pub mod machine;
