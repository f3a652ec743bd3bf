#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(feature = "main")]
pub mod journal;
