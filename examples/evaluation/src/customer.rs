//! Unattended customers: they pick, pay on the emulated phone and wait for what happens, over HTTP like anybody.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use vend_firmware_host::Board;
use vend_hal::{
    LaneId,
    sim::{Fault, ItemFault, RunFault},
};
use vend_payments::sandbox::PAYMENT_PASSWORD;
use vend_protocol::SlotId;

use crate::{
    faults::{Deck, Dice, Rates},
    observer::Plan,
    options::Options,
    record::Seen,
    world::{LANES, Station, World},
};

/// How long a customer tries to get an order accepted, and then waits for its end.
const PATIENCE: Duration = Duration::from_secs(150);

/// What is going to happen in one sale, as the seed decides it.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    station: usize,
    slots: Vec<u16>,
    wallet: &'static str,
    phone: bool,
    line_faults: Vec<Option<LineFault>>,
    plan: Plan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineFault {
    Jam,
    Hang,
    Miss,
}

/// Writes the scripts of all sales. The seed fixes them, whatever the machines do.
pub(crate) fn scripts(options: &Options, rates: Rates, sales: u32) -> Vec<Script> {
    let dice = |purpose| Dice::new(options.seed, purpose);
    let mut picks = dice("picks");
    let mut times = dice("times");
    let marks = [(LineFault::Jam, rates.jam), (LineFault::Hang, rates.hang), (LineFault::Miss, rates.miss)];
    let mut lines = Deck::new(dice("lines"), &marks);
    let mut links = Deck::new(dice("links"), &[((), rates.link_cut)]);
    let mut boards = Deck::new(dice("boards"), &[((), rates.power_cut)]);
    (0..sales)
        .map(|number| {
            let count = match picks.below(20) {
                0 => 3,
                1..=3 => 2,
                _ => 1,
            };
            let mut slots: Vec<u16> = Vec::new();
            while slots.len() < count {
                let slot = 1 + u16::try_from(picks.below(u64::from(LANES))).unwrap_or(0);
                if !slots.contains(&slot) {
                    slots.push(slot);
                }
            }
            // A vend takes about two seconds, most of it settling.
            let moment = Duration::from_millis(times.below(2_200));
            let (mut link_cut, mut lost_acknowledgement) = (None, None);
            if links.draw().is_some() {
                let off_for = times.between(Duration::from_secs(1), Duration::from_secs(5));
                // The last stretch, from the receipt sent to its acknowledgement received, is short and matters most.
                if times.below(3) == 0 {
                    lost_acknowledgement = Some(off_for);
                } else {
                    link_cut = Some((moment, off_for));
                }
            }
            let power_cut = boards.draw().map(|()| {
                let board = *times.pick(&[Board::Main, Board::Control, Board::Both]).unwrap_or(&Board::Both);
                let moment = Duration::from_millis(times.below(2_200));
                (board, moment, times.between(Duration::from_millis(300), Duration::from_secs(2)))
            });
            Script {
                station: number as usize % options.machines as usize,
                wallet: picks.pick(&options.wallets).map_or("wechat", |wallet| wallet.account()),
                phone: picks.below(3) == 0,
                line_faults: slots.iter().map(|_| lines.draw()).collect(),
                slots,
                plan: Plan { link_cut, lost_acknowledgement, power_cut },
            }
        })
        .collect()
}

impl Script {
    pub(crate) const fn station(&self) -> usize {
        self.station
    }
}

#[derive(Deserialize)]
struct PlacedOrder {
    order: u64,
    token: String,
    code: String,
}

#[derive(Deserialize)]
struct OrderView {
    state: String,
    lines: Vec<LineView>,
}

#[derive(Deserialize)]
struct LineView {
    slot: u16,
    price_minor: u32,
}

/// Buys as the script says. Returns when the order has ended.
pub(crate) async fn buy(world: &World, http: &reqwest::Client, script: &Script) -> anyhow::Result<()> {
    let station = world.stations.get(script.station).context("no such machine")?;
    let began = Instant::now();
    for slot in &script.slots {
        world.refill(station, SlotId::new(u64::from(*slot))?).await?;
    }
    let placed = place(world, http, station, script, began).await?;
    let view = order(world, http, &placed).await?;
    let lines = view.lines.iter().map(|line| (line.slot, line.price_minor)).collect();
    world.customers.write(Seen::Placed {
        order: placed.order,
        machine: station.id.number(),
        attempt_code: placed.code.clone(),
        wallet: script.wallet.to_owned(),
        lines,
    });
    break_things(station, script, &placed)?;
    station.observer.plan(placed.order, script.plan);

    let pay = http
        .post(format!("{}/api/pay", world.sandbox_url))
        .header("content-type", "application/json")
        .body(serde_json::json!({ "code": placed.code, "password": PAYMENT_PASSWORD }).to_string())
        .send()
        .await?;
    if !pay.status().is_success() {
        bail!("the phone refused to pay: {} {}", pay.status(), pay.text().await.unwrap_or_default());
    }
    while began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if matches!(order(world, http, &placed).await?.state.as_str(), "settled" | "closed" | "refused") {
            return Ok(());
        }
    }
    // The books will find it pending.
    tracing::warn!(order = placed.order, "a customer has waited in vain");
    Ok(())
}

/// Places the order. A machine that is offline for a moment, or busy, is tried again, as people do.
async fn place(
    world: &World,
    http: &reqwest::Client,
    station: &Station,
    script: &Script,
    began: Instant,
) -> anyhow::Result<PlacedOrder> {
    let from = if script.phone { "phone" } else { "screen" };
    let slots = script.slots.iter().fold(String::new(), |form, slot| format!("{form}slot={slot}&"));
    let form = format!("{slots}wallet={}&from={from}", script.wallet);
    loop {
        let answer = http
            .post(format!("{}/m/{}/orders", world.url, station.id))
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.clone())
            .send()
            .await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if status.is_success() {
            return serde_json::from_str(&text).with_context(|| format!("not an order: {text}"));
        }
        if began.elapsed() > PATIENCE || !matches!(status.as_u16(), 409 | 502 | 503) {
            bail!("machine {} refused an order: {status} {text}", station.id);
        }
        tracing::debug!(machine = %station.id, %status, text, "order refused, trying again");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn order(world: &World, http: &reqwest::Client, placed: &PlacedOrder) -> anyhow::Result<OrderView> {
    let url = format!("{}/o/{}?t={}", world.url, placed.order, placed.token);
    let text =
        http.get(url).header("accept", "application/json").send().await?.error_for_status()?.text().await?;
    serde_json::from_str(&text).with_context(|| format!("not an order: {text}"))
}

/// Tells motors and items to fail, just before they are paid for.
fn break_things(station: &Station, script: &Script, placed: &PlacedOrder) -> anyhow::Result<()> {
    for (number, (slot, fault)) in (0u8..).zip(script.slots.iter().zip(&script.line_faults)) {
        let Some(fault) = fault else { continue };
        let (name, fault) = match fault {
            LineFault::Jam if placed.order.is_multiple_of(2) => ("jam", Fault::Run(RunFault::Stall)),
            LineFault::Jam => ("jam", Fault::Run(RunFault::NoReturn)),
            LineFault::Hang => ("hang", Fault::Item(ItemFault::Hang)),
            LineFault::Miss => ("miss", Fault::Item(ItemFault::Miss)),
        };
        station.observer.write(Seen::Injected { order: placed.order, line: number, fault: name.to_owned() });
        station.host.plant().inject(LaneId::new(u8::try_from(*slot)? - 1), fault);
    }
    Ok(())
}
