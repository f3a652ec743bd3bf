//! The books, kept by an observer that believes neither server nor machine.
//!
//! Motion and items come from the plant's log, money from the wallets' ledger, and what a motion was for from recordings of
//! the lines between the boards and to the server. Only whether an order has ended is the server's own word; everything it
//! says beyond that is compared with the rest.

use std::collections::{BTreeMap, HashMap, HashSet};

use vend_hal::sim::{Happening, ItemFault, PlantEvent};
use vend_payments::{sandbox::ledger::LedgerEntry, signed::PublicKey};
use vend_protocol::{
    EnrolmentId,
    control_link::VendRequest,
    frame::Frame,
    machine_link::{Authorization, Hello, Receipt},
    signed::{AuthorizationBody, MAX_LINES, ReceiptBody},
};

use crate::record::{Record, Seen, unhex};

/// From a line's start, which has to be before the deadline, to its motor: the self-test and the way over the line.
const LATE_START_MS: u64 = 3_000;

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

/// One run of a motor.
#[derive(Clone, Debug, Default)]
struct Run {
    items: Vec<u64>,
    fell: u32,
    faulty: bool,
    item_fault: Option<ItemFault>,
    /// The run of the same lane before it ended badly.
    after_fault: bool,
    current_ms: Option<i64>,
}

/// What one machine's recording says.
#[derive(Default)]
struct MachineStory {
    runs: HashMap<u64, Run>,
    /// Runs of each line: (order, line).
    of_line: HashMap<(u64, u8), Vec<u64>>,
    authorized: HashMap<u64, AuthorizationBody>,
    unknown: HashSet<(u64, u8)>,
    /// Orders during which something was cut; `true`: before the receipt was acknowledged it bit.
    link_cuts: HashMap<u64, bool>,
    power_cuts: HashMap<u64, bool>,
    /// When power was cut: the next customer may meet a board that is still off.
    power_cuts_ms: Vec<i64>,
    garbled: FaultCount,
    /// Faults of lines as drawn.
    injected: BTreeMap<&'static str, u64>,
    /// The key whose authorizations this machine may use: the first it was given one for.
    enrolment: Option<EnrolmentId>,
    starts_ms: Vec<i64>,
    violations: Vec<String>,
}

pub(crate) fn keep(sources: &Sources) -> Books {
    let mut books = Books::default();
    let mut machines: Vec<MachineStory> = Vec::new();
    for records in &sources.machines {
        machines.push(read_machine(records, &sources.online_key));
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

fn receipt_of(frame: &str) -> Option<ReceiptBody> {
    let bytes = unhex(frame);
    let Receipt(signed) = Frame::parse(&bytes).ok()?.decode().ok()?;
    vend_protocol::codec::decode(&signed.body).ok()
}

fn receipt_order(body: &ReceiptBody) -> Option<u64> {
    match body.authority {
        vend_protocol::signed::Authority::Authorization { order, .. } => Some(order.number()),
        _ => None,
    }
}

/// Follows one machine's recording from beginning to end.
fn read_machine(records: &[Record], key: &PublicKey) -> MachineStory {
    let mut story = MachineStory::default();
    let mut reader = Reader::default();
    for record in records {
        match &record.seen {
            Seen::Started => story.starts_ms.push(record.at_ms),
            Seen::Down { frame } => reader.authorization(&mut story, frame, key),
            Seen::Up { frame } => {
                if let Some(body) = receipt_of(frame) {
                    read_receipt(&mut story, &body);
                }
            }
            Seen::Control { to_control: true, frame } => reader.request(&story, frame),
            Seen::Plant { event } => {
                if let Ok(event) = event.parse::<PlantEvent>() {
                    reader.plant(&mut story, &event, record.at_ms);
                }
            }
            Seen::LinkCut { order } => {
                story.link_cuts.insert(*order, false);
                reader.open_cuts.push((*order, "link"));
            }
            Seen::PowerCut { order, .. } => {
                story.power_cuts.insert(*order, false);
                story.power_cuts_ms.push(record.at_ms);
                reader.open_cuts.push((*order, "power"));
            }
            Seen::Garbled { noticed } => {
                story.garbled.injected += 1;
                story.garbled.bit += u64::from(*noticed);
            }
            Seen::Injected { fault, .. } => {
                let known = ["jam", "hang", "miss"].into_iter().find(|name| name == fault);
                if let Some(name) = known {
                    *story.injected.entry(name).or_default() += 1;
                }
            }
            Seen::Control { .. } | Seen::Placed { .. } => {}
        }
        reader.settle_cuts(&mut story, &record.seen);
    }
    story
}

fn read_receipt(story: &mut MachineStory, body: &ReceiptBody) {
    let Some(order) = receipt_order(body) else { return };
    for (number, line) in (0u8..).zip(body.lines.iter()) {
        if line.outcome.verdict().is_doubtful() {
            story.unknown.insert((order, number));
        }
    }
}

#[derive(Default)]
struct Reader {
    /// Sequence to order.
    order_of_seq: HashMap<u64, u64>,
    /// Vends asked for whose run has not begun, by lane: (order, line).
    asked: HashMap<u8, (u64, u8)>,
    seen_vends: HashSet<u32>,
    /// What each lane's last run was for.
    lane_line: HashMap<u8, (u64, u8)>,
    bad_lanes: HashSet<u8>,
    open_cuts: Vec<(u64, &'static str)>,
}

impl Reader {
    fn authorization(&mut self, story: &mut MachineStory, frame: &str, key: &PublicKey) {
        let bytes = unhex(frame);
        let signed = Frame::parse(&bytes).ok().and_then(|frame| frame.decode::<Authorization>().ok());
        // The observer checks the signature itself: only what the server's key signed allows a motion.
        let Some(body) = signed.and_then(|signed| key.verify::<AuthorizationBody>(&signed.0).ok()) else {
            return;
        };
        if *story.enrolment.get_or_insert(body.enrolment) != body.enrolment {
            return;
        }
        self.order_of_seq.insert(body.seq.number(), body.order.number());
        story.authorized.insert(body.order.number(), body);
    }

    fn request(&mut self, story: &MachineStory, frame: &str) {
        let bytes = unhex(frame);
        let Some(request) = Frame::parse(&bytes).ok().and_then(|frame| frame.decode::<VendRequest>().ok())
        else {
            return;
        };
        if !self.seen_vends.insert(request.vend.number()) {
            return;
        }
        let Some(order) = self.order_of_seq.get(&request.label.authority) else { return };
        // The machine's own label is believed only as far as the signed body bears it out.
        let line =
            story.authorized.get(order).and_then(|body| body.lines.get(usize::from(request.label.line)));
        if line.is_none_or(|line| line.slot != request.lane) {
            return;
        }
        let lane = u8::try_from(request.lane.number().saturating_sub(1)).unwrap_or(u8::MAX);
        self.asked.insert(lane, (*order, request.label.line));
    }

    fn plant(&mut self, story: &mut MachineStory, event: &PlantEvent, at_ms: i64) {
        match event.what {
            Happening::RunStarted { run, lane, fault, .. } => {
                let lane = lane.index();
                let asked = self.asked.remove(&lane);
                let entry = Run {
                    faulty: fault.is_some(),
                    after_fault: self.bad_lanes.remove(&lane),
                    ..Run::default()
                };
                if fault.is_some() {
                    self.bad_lanes.insert(lane);
                }
                story.runs.insert(run, entry);
                if asked.is_none() {
                    story.violations.push(format!("run {run} of lane {lane} without an authorized line"));
                }
                let deadline =
                    asked.and_then(|(order, _)| story.authorized.get(&order)).map(|body| body.deadline_ms);
                if deadline
                    .is_some_and(|deadline| u64::try_from(at_ms).unwrap_or(0) > deadline + LATE_START_MS)
                {
                    story.violations.push(format!("run {run} of lane {lane} after the deadline"));
                }
                // A run that nobody asked for is booked with the line before it, which then has been vended twice.
                if let Some(line) = asked.or_else(|| self.lane_line.get(&lane).copied()) {
                    self.lane_line.insert(lane, line);
                    story.of_line.entry(line).or_default().push(run);
                }
            }
            Happening::CurrentFlowed { run, .. } => {
                if let Some(run) = story.runs.get_mut(&run) {
                    run.current_ms = Some(at_ms);
                }
            }
            Happening::ItemPushed { run, item, fault, .. } => {
                if let Some(run) = story.runs.get_mut(&run) {
                    run.items.push(item);
                    run.item_fault = run.item_fault.or(fault);
                }
            }
            Happening::ItemFell { run, .. } => {
                if let Some(run) = story.runs.get_mut(&run) {
                    run.fell += 1;
                }
            }
            // A coil that was left between two homes: its next run may push nothing.
            Happening::RunEnded { lane, angle, .. } if angle % 1_000_000 != 0 => {
                self.bad_lanes.insert(lane.index());
            }
            _ => {}
        }
    }

    /// A cut was made while the sale was open. It bit when the machine then had to say hello again (its link or its main board
    /// was gone), or sent the sale's receipt after it (the sale was not over).
    fn settle_cuts(&mut self, story: &mut MachineStory, seen: &Seen) {
        let Seen::Up { frame } = seen else { return };
        let bytes = unhex(frame);
        let hello = Frame::parse(&bytes).is_ok_and(|frame| frame.is::<Hello>());
        let receipt = receipt_of(frame).as_ref().and_then(receipt_order);
        self.open_cuts.retain(|(order, what)| {
            let bit = hello || (receipt == Some(*order) && *what == "power");
            if bit {
                let cuts = if *what == "link" { &mut story.link_cuts } else { &mut story.power_cuts };
                cuts.insert(*order, true);
            }
            !bit
        });
    }
}

#[cfg(test)]
mod tests {
    use vend_payments::signed::Signer;
    use vend_protocol::{
        AuthSeq, ConfigHash, Currency, List, Nonce, OrderId, PlanVersion, ProductId, SlotId, VendId,
        control_link::{VendLabel, VendLimits},
        frame,
        signed::AuthorizedLine,
    };

    use super::*;
    use crate::record::hex;

    fn line(price: u64, fell: bool) -> BookLine {
        BookLine { price, end: LineEnd::Lost, fell, runs: 1, items: 1, unknown: false, pay_to_motor_ms: None }
    }

    fn ends(lines: &[(u64, bool)], refunded: u64, ended: bool) -> Vec<LineEnd> {
        let mut lines: Vec<_> = lines.iter().map(|(price, fell)| line(*price, *fell)).collect();
        assign(&mut lines, refunded, ended);
        lines.iter().map(|line| line.end).collect()
    }

    #[test]
    fn money_that_went_back_belongs_first_to_what_did_not_fall() {
        use LineEnd::{Delivered, Lost, Pending, Refunded};
        assert_eq!(ends(&[(200, true), (300, false)], 300, true), [Delivered, Refunded]);
        assert_eq!(ends(&[(300, true), (300, false)], 300, true), [Delivered, Refunded]);
        assert_eq!(ends(&[(300, true)], 300, true), [Refunded], "given away");
        assert_eq!(
            ends(&[(350, true), (350, true), (550, true)], 550, true),
            [Delivered, Delivered, Refunded]
        );
        assert_eq!(ends(&[(200, false), (300, false), (500, false)], 500, true), [Refunded, Refunded, Lost]);
        assert_eq!(ends(&[(300, false)], 0, true), [Lost]);
        assert_eq!(ends(&[(300, true)], 0, false), [Pending]);
    }

    /// A recording of one machine: an authorization for slot 5, a vend request and a run, each with what differs.
    fn recording(requested: u64, label_line: u8, deadline_ms: u64) -> (Vec<Record>, PublicKey) {
        let signer = Signer::from_seed(&[1; 32]);
        let number = |n: u64| SlotId::new(n).unwrap();
        let line = AuthorizedLine { slot: number(5), product: ProductId::new(1).unwrap(), price_minor: 200 };
        let body = AuthorizationBody {
            enrolment: EnrolmentId([1; 16]),
            seq: AuthSeq::new(1).unwrap(),
            order: OrderId::new(7).unwrap(),
            plan: PlanVersion::new(1).unwrap(),
            deadline_ms,
            currency: Currency::CNY,
            lines: List::try_from_iter([line]).unwrap(),
        };
        let mut out = [0; 512];
        let len = frame::write(0, 1, &Authorization(signer.sign(&body).unwrap()), &mut out).unwrap();
        let down = hex(&out[..len]);
        let request = VendRequest {
            nonce: Nonce([0; 16]),
            vend: VendId::new(1).unwrap(),
            config: ConfigHash([0; 8]),
            lane: number(requested),
            limits: VendLimits::default(),
            label: VendLabel { authority: 1, line: label_line },
        };
        let len = frame::write(1, 1, &request, &mut out).unwrap();
        let lane = requested - 1;
        let seen = [
            Seen::Down { frame: down },
            Seen::Control { to_control: true, frame: hex(&out[..len]) },
            Seen::Plant { event: format!("1 run-started run=1 lane={lane} angle=0 fault=- stop=-") },
        ];
        (seen.map(|seen| Record { at_ms: 1_000_000, seen }).to_vec(), signer.public_key())
    }

    fn violations(requested: u64, label_line: u8, deadline_ms: u64) -> Vec<String> {
        let (records, key) = recording(requested, label_line, deadline_ms);
        read_machine(&records, &key).violations
    }

    #[test]
    fn a_run_counts_only_for_a_line_that_the_signed_authorization_names() {
        assert_eq!(violations(5, 0, 2_000_000), Vec::<String>::new());
        assert_eq!(violations(3, 0, 2_000_000), ["run 1 of lane 2 without an authorized line"]);
        assert_eq!(violations(5, 7, 2_000_000), ["run 1 of lane 4 without an authorized line"]);
        assert_eq!(violations(5, 0, 900_000), ["run 1 of lane 4 after the deadline"]);
        let (records, _) = recording(5, 0, 2_000_000);
        let story = read_machine(&records, &Signer::from_seed(&[2; 32]).public_key());
        assert_eq!(
            story.violations.len(),
            1,
            "an authorization that the server's key did not sign allows nothing"
        );
    }

    #[test]
    fn a_motor_for_an_order_that_nobody_paid_is_a_violation() {
        let (records, online_key) = recording(5, 0, 2_000_000);
        let sources = Sources {
            ledger: Vec::new(),
            customers: Vec::new(),
            machines: vec![records],
            orders: Vec::new(),
            online_key,
        };
        assert_eq!(keep(&sources).violations, ["order 7 line 0: a motor ran and nobody had paid"]);
    }

    #[test]
    fn an_attempt_names_its_order() {
        assert_eq!(order_of("V12_1_0badcafe"), Some(12));
        assert_eq!(order_of("X12"), None);
    }
}
