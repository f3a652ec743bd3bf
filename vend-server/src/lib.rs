#![doc = include_str!("../README.md")]

pub mod config;
pub mod engine;
pub mod gateway;
pub mod keys;
pub mod server;
pub mod store;
pub mod web;
