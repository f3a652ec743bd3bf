//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum};

/// Runs the whole vending stack in one process: server, wallet sandbox, machines and, on demand, customers.
#[derive(Debug, Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo", version)]
pub(crate) struct Options {
    /// Let this many unattended customers buy, then print the books and exit.
    #[arg(long, value_name = "N")]
    pub(crate) sales: Option<u32>,
    /// How many machines.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) machines: u32,
    /// Which wallets customers pay with.
    #[arg(long, value_delimiter = ',', default_value = "wechat,alipay")]
    pub(crate) wallets: Vec<WalletName>,
    /// What goes wrong.
    #[arg(long, value_enum, default_value_t = FaultLevel::None)]
    pub(crate) faults: FaultLevel,
    /// Fixes customers and faults, nothing else.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What waits for a wallet is divided by this.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) time_scale: u32,
    /// Where the pages are served. Default: where they were last time in this folder, else port 8080 or a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where everything is kept: keys, database, ledger, flash and plant of each machine. Default: a temporary folder
    /// that is deleted at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Write the books as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WalletName {
    Wechat,
    Alipay,
}

impl WalletName {
    /// The account's name at the server.
    pub(crate) const fn account(self) -> &'static str {
        match self {
            Self::Wechat => "wechat",
            Self::Alipay => "alipay",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultLevel {
    None,
    Default,
    Heavy,
}
