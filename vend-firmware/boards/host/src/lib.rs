//! The reference firmware on a PC: main board, control board and a simulated plant in one process.
//!
//! Both boards run the code of [`vend_firmware`] unchanged, as two tasks of one thread that share nothing but a pipe of
//! bytes in place of the UART. Flash is a file; it, the machine's identity and the plant's log live in one folder and
//! survive the death of the process at any moment.
//!
//! ```no_run
//! use vend_firmware_host::{HostConfig, HostMachine};
//!
//! # fn main() -> Result<(), vend_firmware_host::HostError> {
//! let mut config = HostConfig::new("machine-1");
//! config.ticket = Some("http://127.0.0.1:8080#0123456789ABCDEFGHJK.000102030405060708090a0b0c0d0e0f".into());
//! let machine = HostMachine::start(config)?;
//! machine.refill("1".parse().expect("a slot"), 5);
//! machine.stop();
//! # Ok(())
//! # }
//! ```

mod config;
mod control_board;
mod enrol;
mod error;
mod flash;
mod identity;
mod machine;
mod main_board;
mod mqtt;
mod tap;
mod wire;

pub use config::{HostConfig, MqttVersion};
pub use error::HostError;
pub use machine::{Board, HostMachine, Status};
pub use tap::{Direction, MachineDirection, NoTap, Tap};
