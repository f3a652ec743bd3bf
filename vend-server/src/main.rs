//! The reference server's command.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use vend_server::{config::FileConfig, engine, keys, server::Server};

/// The reference server of a vending fleet.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves pages, wallets and machines until it is told to stop.
    Serve {
        /// The configuration file.
        #[arg(long, default_value = "vend.toml")]
        config: PathBuf,
        /// Sets this operator's password first, read from the variable `VEND_OPERATOR_PASSWORD`.
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
    },
    /// Makes the root key and the server's keys under it. Take the root folder offline afterwards.
    Keygen {
        /// Where the root key goes.
        #[arg(long)]
        root: PathBuf,
        /// Where the server's keys go: `keys` in its data folder.
        #[arg(long)]
        online: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match arguments.command {
        Command::Keygen { root, online } => u64::try_from(engine::now_ms())
            .context("the clock")
            .and_then(|now| Ok(keys::generate(&root, &online, now)?)),
        Command::Serve { config, operator } => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("no runtime")
            .and_then(|runtime| runtime.block_on(serve(config, operator))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: PathBuf, operator: Option<String>) -> anyhow::Result<()> {
    let server = Server::start(FileConfig::read(&config)?.into_server()?).await?;
    if let Some(name) = operator {
        let Ok(password) = std::env::var("VEND_OPERATOR_PASSWORD") else {
            bail!("set VEND_OPERATOR_PASSWORD to the password of {name}")
        };
        server.engine().set_operator(&name, &password).await?;
    }
    tracing::info!(http = %server.http(), mqtt = %server.mqtt(), "serving");
    stopped().await?;
    tracing::info!("stopping");
    server.shutdown().await;
    Ok(())
}

/// Ctrl-C, or a service manager's signal.
async fn stopped() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result?,
            _ = term.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
