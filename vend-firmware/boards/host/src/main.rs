//! A vending machine on this PC: main board, control board and a simulated plant.

use std::{io::Write, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use vend_firmware_host::{HostConfig, HostMachine, MqttVersion};
use vend_protocol::SlotId;

/// A vending machine on this PC: main board, control board and a simulated plant.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The server's MQTT listener.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    server: String,
    /// The enrolment ticket, `http://server#CODE.fingerprint`. Needed on the first start only.
    #[arg(long, env = "VEND_TICKET", hide_env_values = true)]
    ticket: Option<String>,
    /// Where flash, identity and the plant's log are kept.
    #[arg(long, value_name = "DIR", default_value = "vend-machine")]
    data: PathBuf,
    /// Lanes of the plant.
    #[arg(long, default_value_t = 10)]
    lanes: u8,
    /// Items put into every empty lane at the start.
    #[arg(long, default_value_t = 8)]
    fill: u32,
    /// The MQTT version.
    #[arg(long, value_enum, default_value = "3.1.1")]
    mqtt: Mqtt,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mqtt {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,vend_firmware_host=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let mut config = HostConfig::new(&arguments.data);
    config.mqtt = arguments.server;
    config.ticket = arguments.ticket;
    config.plant.lanes = arguments.lanes;
    config.mqtt_version = match arguments.mqtt {
        Mqtt::V311 => MqttVersion::V311,
        Mqtt::V5 => MqttVersion::V5,
    };
    let machine = HostMachine::start(config)
        .with_context(|| format!("the machine in {} does not start", arguments.data.display()))?;
    for slot in 1..=arguments.lanes {
        let lane = vend_hal::LaneId::new(slot - 1);
        if machine.plant().lane(lane).items == 0 {
            machine.refill(SlotId::new(slot.into())?, arguments.fill);
        }
    }
    watch(&machine)
}

/// Shows a status line until the machine fails or the process is ended.
fn watch(machine: &HostMachine) -> anyhow::Result<()> {
    let mut shown = String::new();
    loop {
        if let Some(failure) = machine.failure() {
            anyhow::bail!(failure);
        }
        let status = machine.status();
        let number =
            status.machine.map_or_else(|| String::from("not enrolled"), |id| format!("machine {id}"));
        let link = if status.connected { "connected" } else { "not connected" };
        let plan = status.plan.map_or_else(|| String::from("no plan"), |plan| format!("plan {plan}"));
        let work = if status.busy { "vending" } else { "idle" };
        let unsent = status.unacknowledged;
        let line = format!("{number}  {link}  {plan}  {work}  receipts to send: {unsent}");
        if line != shown {
            let mut out = std::io::stdout();
            write!(out, "\r\x1b[K{line}")?;
            out.flush()?;
            shown = line;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
