//! placeholder

pub mod gateway;

pub mod store;
