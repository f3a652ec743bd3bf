//! `cargo demo`: the whole vending stack in one process, and the books that show that no sale is lost or made twice.

mod books;
mod customer;
mod faults;
mod observer;
mod options;
mod proxy;
mod record;
mod report;
mod show;
mod world;

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use tokio::sync::Mutex;
use vend_protocol::OrderId;

use crate::{
    books::{ServerOrder, Sources},
    customer::Script,
    faults::Rates,
    options::Options,
    report::{Report, Running},
    world::World,
};

/// At the end, orders have this long to end.
const SETTLE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let options = Options::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(run(&options)));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<bool> {
    let temporary = std::env::temp_dir().join(format!("vend-demo-{}", std::process::id()));
    let dir = options.data.clone().unwrap_or_else(|| temporary.clone());
    let passed = demo(options, &dir).await;
    if options.data.is_none() {
        // Nobody asked for it to be kept. What cannot be deleted is in the way of nobody.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    passed
}

async fn demo(options: &Options, dir: &Path) -> anyhow::Result<bool> {
    let began = Instant::now();
    let rates = Rates::of(options.faults);
    let world = Arc::new(World::start(options, dir, rates).await?);
    show::welcome(&world, options);
    let sales = if let Some(sales) = options.sales {
        let done = sell(&world, options, rates, sales).await;
        if let Err(error) = &done {
            eprintln!("error: {error:#}");
        }
        done.map_or(0, |()| u64::from(sales))
    } else {
        println!("  Press Ctrl-C to stop and see the books.");
        tokio::signal::ctrl_c().await?;
        0
    };
    let ended_well = options.sales.is_none_or(|wanted| u64::from(wanted) == sales);
    let owed = settle(&world).await?;
    let mut report = close_books(&world, rates, sales, began).await?;
    if owed > 0 {
        report.violations.push(format!("{owed} notifications were never acknowledged"));
    }
    report.print();
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Ok(world) = Arc::try_unwrap(world) {
        world.sandbox.shutdown().await;
        world.server.shutdown().await;
    }
    Ok(report.passed() && ended_well)
}

/// Lets the customers in: one at a time at each machine.
async fn sell(world: &Arc<World>, options: &Options, rates: Rates, sales: u32) -> anyhow::Result<()> {
    let scripts = customer::scripts(options, rates, sales);
    let progress = Arc::new(Mutex::new(show::Progress::new(sales)));
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut queues = tokio::task::JoinSet::new();
    for station in 0..world.stations.len() {
        let queue: Vec<Script> =
            scripts.iter().filter(|script| script.station() == station).cloned().collect();
        let (world, http, progress) = (Arc::clone(world), http.clone(), Arc::clone(&progress));
        queues.spawn(async move {
            for script in queue {
                customer::buy(&world, &http, &script).await?;
                progress.lock().await.step();
            }
            anyhow::Ok(())
        });
    }
    while let Some(queue) = queues.join_next().await {
        queue??;
    }
    Ok(())
}

/// Closes unpaid orders at the wallet, and waits until every paid one has ended. Returns how many notifications are owed still.
async fn settle(world: &World) -> anyhow::Result<usize> {
    let engine = world.server.engine();
    let began = Instant::now();
    let mut told = false;
    loop {
        let unpaid: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM orders WHERE state IN ('preparing', 'offered')")
                .fetch_all(engine.db().readers())
                .await?;
        for order in &unpaid {
            engine.cancel_order(OrderId::new(u64::try_from(*order)?)?).await?;
        }
        let open: i64 = sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM orders WHERE state NOT IN ('settled', 'closed', 'refused'))
                  + (SELECT COUNT(*) FROM refunds WHERE state IN ('reserved', 'sent'))",
        )
        .fetch_one(engine.db().readers())
        .await?;
        // A notification that is still owed is settled too: it must find everything as it is.
        let owed = world
            .sandbox
            .ledger()
            .iter()
            .filter(|e| e.paid_ms.is_some() && e.acknowledged_ms.is_none())
            .count();
        if (open == 0 && owed == 0) || began.elapsed() > SETTLE {
            return Ok(owed);
        }
        if !told {
            println!("  waiting for {open} open orders and {owed} owed notifications");
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn close_books(world: &World, rates: Rates, sales: u64, began: Instant) -> anyhow::Result<Report> {
    let observer = world.dir.join("observer");
    let machines = world
        .stations
        .iter()
        .map(|station| record::read(&observer.join(format!("machine-{}.jsonl", station.id))))
        .collect::<anyhow::Result<_>>()?;
    let sources = Sources {
        ledger: world.sandbox.ledger(),
        customers: record::read(&observer.join("customers.jsonl"))?,
        machines,
        orders: server_orders(world).await?,
        online_key: world.online_key,
    };
    let bytes = world.stations.iter().map(|station| station.observer.bytes());
    let running = Running {
        bytes: bytes.fold((0, 0), |sum, bytes| (sum.0 + bytes.0, sum.1 + bytes.1)),
        sales,
        seconds: began.elapsed().as_secs(),
        notifications: world.sandbox.fault_counts(),
        rates,
    };
    Ok(Report::new(books::keep(&sources), &running))
}

async fn server_orders(world: &World) -> anyhow::Result<Vec<ServerOrder>> {
    let rows: Vec<(i64, String, i64, i64, i64)> = sqlx::query_as(
        "SELECT id, state,
           (SELECT COALESCE(SUM(price_minor), 0) FROM lines WHERE order_id = orders.id AND state = 'delivered'),
           (SELECT COALESCE(SUM(amount_minor), 0) FROM refunds WHERE order_id = orders.id AND state = 'succeeded'),
           (SELECT COALESCE(SUM(amount_minor), 0) FROM attempts WHERE order_id = orders.id AND transaction_id IS NOT NULL)
         FROM orders",
    )
    .fetch_all(world.server.engine().db().readers())
    .await?;
    rows.into_iter()
        .map(|(id, state, delivered, refunded, paid)| {
            Ok(ServerOrder {
                id: u64::try_from(id)?,
                state,
                delivered_minor: u64::try_from(delivered)?,
                refunded_minor: u64::try_from(refunded)?,
                paid_minor: u64::try_from(paid)?,
            })
        })
        .collect()
}
