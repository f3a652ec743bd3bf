//! The books, kept by an observer that believes neither server nor machine.
//!
//! Motion and items come from the plant's log, money from the wallets' ledger, and what a motion was for from recordings of
//! the lines between the boards and to the server. Only whether an order has ended is the server's own word; everything it
//! says beyond that is compared with the rest.

mod story;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use vend_hal::sim::ItemFault;
use vend_payments::{sandbox::ledger::LedgerEntry, signed::PublicKey};
use vend_protocol::signed::MAX_LINES;

use self::story::{MachineStory, Run, receipt_of, receipt_order};
use crate::record::{Record, Seen};

/// A board that lost power is off for up to two seconds and then starts.
const POWER_OFF_MS: i64 = 4_000;

/// What the server says of its orders.
#[derive(Clone, Debug)]
pub(crate) struct ServerOrder {
    pub(crate) id: u64,
    pub(crate) state: String,
    pub(crate) delivered_minor: u64,
    pub(crate) refunded_minor: u64,
    pub(crate) paid_minor: u64,
}

/// All sources.
pub(crate) struct Sources {
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) customers: Vec<Record>,
    /// One a machine.
    pub(crate) machines: Vec<Vec<Record>>,
    pub(crate) orders: Vec<ServerOrder>,
    pub(crate) online_key: PublicKey,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    Pending,
    Refunded,
    Delivered,
    Lost,
}

/// A paid line.
#[derive(Clone, Debug)]
pub(crate) struct BookLine {
    pub(crate) price: u64,
    pub(crate) end: LineEnd,
    pub(crate) fell: bool,
    pub(crate) runs: u32,
    pub(crate) items: u32,
    pub(crate) unknown: bool,
    /// From the wallet's time of payment to the first current, in milliseconds.
    pub(crate) pay_to_motor_ms: Option<i64>,
}

/// Injected, and bit: it really did what it is meant to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct FaultCount {
    pub(crate) injected: u64,
    pub(crate) bit: u64,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) sales: u64,
    pub(crate) lines: Vec<BookLine>,
    pub(crate) paid_minor: u64,
    pub(crate) refunded_minor: u64,
    pub(crate) by_wallet: BTreeMap<String, u64>,
    pub(crate) faults: BTreeMap<&'static str, FaultCount>,
    pub(crate) violations: Vec<String>,
}

pub(crate) fn keep(sources: &Sources) -> Books {
    let mut books = Books::default();
    let mut machines: Vec<MachineStory> = Vec::new();
    for records in &sources.machines {
        machines.push(MachineStory::read(records, &sources.online_key));
    }
    for machine in &mut machines {
        books.violations.append(&mut machine.violations);
    }
    let placed = placed_lines(&sources.customers);
    let mut by_order: BTreeMap<u64, Vec<&LedgerEntry>> = BTreeMap::new();
    for entry in &sources.ledger {
        match order_of(&entry.out_trade_no) {
            Some(order) => by_order.entry(order).or_default().push(entry),
            None if entry.paid_ms.is_some() => {
                books.violations.push(format!("{} was paid and names no order", entry.out_trade_no));
            }
            None => {}
        }
    }
    for (order, attempts) in &by_order {
        keep_order(&mut books, sources, &machines, &placed, *order, attempts);
    }
    // Whoever signed it: what nobody paid for must not move.
    for (order, line) in machines.iter().flat_map(|machine| machine.of_line.keys()) {
        let paid = by_order.get(order).is_some_and(|attempts| attempts.iter().any(|a| a.paid_ms.is_some()));
        if !paid {
            books.violations.push(format!("order {order} line {line}: a motor ran and nobody had paid"));
        }
    }
    count_faults(&mut books, &machines);
    books
}

fn keep_order(
    books: &mut Books,
    sources: &Sources,
    machines: &[MachineStory],
    placed: &HashMap<u64, Vec<(u16, u32)>>,
    order: u64,
    attempts: &[&LedgerEntry],
) {
    let paid: u64 = attempts.iter().filter(|a| a.paid_ms.is_some()).map(|a| u64::from(a.amount_minor)).sum();
    let refunded: u64 =
        attempts.iter().flat_map(|a| &a.refunds).map(|refund| u64::from(refund.amount_minor)).sum();
    let server = sources.orders.iter().find(|server| server.id == order);
    if paid == 0 {
        if server.is_some_and(|server| server.paid_minor > 0) {
            books.violations.push(format!("order {order}: paid in the database and not in the ledger"));
        }
        return;
    }
    books.sales += 1;
    books.paid_minor += paid;
    books.refunded_minor += refunded;
    let sold =
        attempts.iter().filter(|attempt| attempt.paid_ms.is_some()).min_by_key(|attempt| attempt.paid_ms);
    if let Some(sold) = sold {
        *books.by_wallet.entry(sold.wallet.clone()).or_default() += 1;
    }
    let machine = machines.iter().find(|machine| machine.authorized.contains_key(&order));
    // What was sold: as authorized, else as the customer saw it, else one line of the whole.
    let prices: Vec<u64> = machine
        .and_then(|machine| machine.authorized.get(&order))
        .map(|body| body.lines.iter().map(|line| u64::from(line.price_minor)).collect())
        .or_else(|| placed.get(&order).map(|lines| lines.iter().map(|line| u64::from(line.1)).collect()))
        .unwrap_or_else(|| vec![paid]);
    let paid_ms = attempts.iter().filter_map(|attempt| attempt.paid_ms).min().unwrap_or(0);
    let ended = server.is_some_and(|server| server.state == "settled");

    let mut lines: Vec<BookLine> = (0u8..)
        .zip(&prices)
        .map(|(number, price)| {
            let runs: Vec<&Run> = machine
                .and_then(|machine| Some((machine, machine.of_line.get(&(order, number))?)))
                .map(|(machine, runs)| runs.iter().filter_map(|run| machine.runs.get(run)).collect())
                .unwrap_or_default();
            BookLine {
                price: *price,
                end: LineEnd::Lost,
                fell: runs.iter().any(|run| run.fell > 0),
                runs: u32::try_from(runs.len()).unwrap_or(u32::MAX),
                items: u32::try_from(runs.iter().map(|run| run.items.len()).sum::<usize>())
                    .unwrap_or(u32::MAX),
                unknown: machine.is_some_and(|machine| machine.unknown.contains(&(order, number))),
                pay_to_motor_ms: runs.iter().find_map(|run| run.current_ms).map(|at| at - paid_ms),
            }
        })
        .collect();
    // The customer waits for the first motor; the lines behind it wait for each other.
    let first = lines.iter().filter_map(|line| line.pay_to_motor_ms).min();
    for line in &mut lines {
        line.pay_to_motor_ms = line.pay_to_motor_ms.filter(|after| Some(*after) == first);
    }
    // More than one attempt paid: the others go back whole, and belong to no line.
    let extra = paid.saturating_sub(prices.iter().sum());
    assign(&mut lines, refunded.saturating_sub(extra), ended);
    let assigned: u64 =
        lines.iter().filter(|line| line.end == LineEnd::Refunded).map(|line| line.price).sum();
    if ended && assigned + extra != refunded {
        books.violations.push(format!("order {order}: refunds of {refunded} fit no lines"));
    }
    if let Some(machine) = machine {
        count_line_faults(books, machine, order, &lines);
    }
    let restarted = restarted(sources, machine, order, paid_ms);
    for (number, line) in (0u8..).zip(&lines).filter(|(_, line)| line.end == LineEnd::Refunded) {
        if !restarted && !explained(machine, order, paid_ms, number, line) {
            books.violations.push(format!("order {order} line {number}: a refund that no fault explains"));
        }
    }
    compare(books, server, order, paid, refunded, &lines);
    books.lines.append(&mut lines);
}

/// Says of each line what became of it: an order that has not ended is pending; money that went back belongs to the lines whose
/// prices it is, first to those that did not fall; then what fell is delivered and the rest lost.
fn assign(lines: &mut [BookLine], refunded: u64, ended: bool) {
    let back = lines_of(lines, refunded).unwrap_or(0);
    for (at, line) in lines.iter_mut().enumerate() {
        line.end = if !ended {
            LineEnd::Pending
        } else if back >> at & 1 == 1 {
            LineEnd::Refunded
        } else if line.fell {
            LineEnd::Delivered
        } else {
            LineEnd::Lost
        };
    }
}

/// The lines (a bit each) whose prices make this sum; of several choices the one with most lines that did not fall.
fn lines_of(lines: &[BookLine], sum: u64) -> Option<u32> {
    let chosen =
        |set: u32| lines.iter().enumerate().filter(move |(at, _)| set >> at & 1 == 1).map(|(_, line)| line);
    (0..1u32 << lines.len().min(MAX_LINES))
        .filter(|set| chosen(*set).map(|line| line.price).sum::<u64>() == sum)
        .max_by_key(|set| chosen(*set).filter(|line| !line.fell).count())
}

/// Whether something went wrong with this line, so that its refund is no surprise.
fn explained(machine: Option<&MachineStory>, order: u64, paid_ms: i64, number: u8, line: &BookLine) -> bool {
    let Some(machine) = machine else { return false };
    let runs = machine.of_line.get(&(order, number)).into_iter().flatten();
    let own = runs
        .filter_map(|run| machine.runs.get(run))
        .any(|run| run.faulty || run.item_fault.is_some() || run.after_fault);
    // A lost link delays an order past its deadline, but takes nothing from a line that ran.
    let not_run = line.runs == 0
        && (machine.link_cuts.contains_key(&order)
            || (0..number).any(|earlier| machine.unknown.contains(&(order, earlier))));
    let off_before = machine.power_cuts_ms.iter().any(|cut| paid_ms - POWER_OFF_MS < *cut && *cut <= paid_ms);
    own || not_run || machine.power_cuts.contains_key(&order) || (line.runs == 0 && off_before)
}

/// Whether the process was started anew while this order was open: a power cut of everything.
fn restarted(sources: &Sources, machine: Option<&MachineStory>, order: u64, paid_ms: i64) -> bool {
    let Some(machine) = machine else {
        // Never authorized: only a server that was down until it was too late does that.
        let mut starts = sources.machines.iter().flatten().filter(|record| record.seen == Seen::Started);
        return starts.any(|record| record.at_ms > paid_ms);
    };
    let ended = last_receipt_ms(sources, order).unwrap_or(i64::MAX);
    machine.starts_ms.iter().any(|start| paid_ms < *start && *start < ended)
}

fn last_receipt_ms(sources: &Sources, order: u64) -> Option<i64> {
    let receipts = sources.machines.iter().flatten().filter_map(|record| match &record.seen {
        Seen::Up { frame } => {
            receipt_of(frame).filter(|body| receipt_order(body) == Some(order)).map(|_| record.at_ms)
        }
        _ => None,
    });
    receipts.max()
}

fn compare(
    books: &mut Books,
    server: Option<&ServerOrder>,
    order: u64,
    paid: u64,
    refunded: u64,
    lines: &[BookLine],
) {
    let Some(server) = server else {
        books.violations.push(format!("order {order}: paid, and the database does not know it"));
        return;
    };
    if server.state != "settled" {
        return;
    }
    if server.paid_minor != paid {
        books.violations.push(format!("order {order}: {paid} paid, the database says {}", server.paid_minor));
    }
    if server.refunded_minor != refunded {
        books
            .violations
            .push(format!("order {order}: {refunded} refunded, the database says {}", server.refunded_minor));
    }
    let delivered: u64 =
        lines.iter().filter(|line| line.end == LineEnd::Delivered).map(|line| line.price).sum();
    let lost: u64 = lines.iter().filter(|line| line.end == LineEnd::Lost).map(|line| line.price).sum();
    if server.delivered_minor != delivered + lost {
        let says = server.delivered_minor;
        books.violations.push(format!("order {order}: {delivered} delivered, the database says {says}"));
    }
}

fn count_line_faults(books: &mut Books, machine: &MachineStory, order: u64, lines: &[BookLine]) {
    for (number, line) in (0u8..).zip(lines) {
        let runs = machine.of_line.get(&(order, number)).into_iter().flatten();
        for run in runs.filter_map(|run| machine.runs.get(run)) {
            let name = match run.item_fault {
                Some(ItemFault::Hang) => "hang",
                Some(ItemFault::Miss) => "miss",
                _ if run.faulty => "jam",
                _ => continue,
            };
            let count = books.faults.entry(name).or_default();
            // It bit when the customer's money had to go back for it.
            count.bit += u64::from(line.end == LineEnd::Refunded);
        }
    }
}

fn count_faults(books: &mut Books, machines: &[MachineStory]) {
    for machine in machines {
        for (name, cuts) in [("link_cut", &machine.link_cuts), ("power_cut", &machine.power_cuts)] {
            let count = books.faults.entry(name).or_default();
            count.injected += cuts.len() as u64;
            count.bit += cuts.values().filter(|bit| **bit).count() as u64;
        }
        for (name, drawn) in &machine.injected {
            books.faults.entry(name).or_default().injected += drawn;
        }
        let count = books.faults.entry("garbled_frame").or_default();
        count.injected += machine.garbled.injected;
        count.bit += machine.garbled.bit;
    }
}

fn placed_lines(customers: &[Record]) -> HashMap<u64, Vec<(u16, u32)>> {
    let placed = customers.iter().filter_map(|record| match &record.seen {
        Seen::Placed { order, lines, .. } => Some((*order, lines.clone())),
        _ => None,
    });
    placed.collect()
}

/// The order in an attempt's id, `V<order>_<number>_<random>`.
fn order_of(attempt: &str) -> Option<u64> {
    attempt.strip_prefix('V')?.split('_').next()?.parse().ok()
}
