//! What one machine's recording says, read from beginning to end.

use std::collections::{BTreeMap, HashMap, HashSet};

use vend_hal::sim::{Happening, ItemFault, PlantEvent};
use vend_payments::signed::PublicKey;
use vend_protocol::{
    EnrolmentId,
    control_link::VendRequest,
    frame::Frame,
    machine_link::{Authorization, Hello, Receipt, dangerous_unverified},
    signed::{AuthorizationBody, ReceiptBody},
};

use super::FaultCount;
use crate::record::{Record, Seen, unhex};

/// From a line's start, which has to be before the deadline, to its motor: the self-test and the way over the line.
const LATE_START_MS: u64 = 3_000;

/// One run of a motor.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub(super) items: Vec<u64>,
    pub(super) fell: u32,
    pub(super) faulty: bool,
    pub(super) item_fault: Option<ItemFault>,
    /// The run of the same lane before it ended badly.
    pub(super) after_fault: bool,
    pub(super) current_ms: Option<i64>,
}

/// What one machine's recording says.
#[derive(Default)]
pub(super) struct MachineStory {
    pub(super) runs: HashMap<u64, Run>,
    /// Runs of each line: (order, line).
    pub(super) of_line: HashMap<(u64, u8), Vec<u64>>,
    pub(super) authorized: HashMap<u64, AuthorizationBody>,
    pub(super) unknown: HashSet<(u64, u8)>,
    /// Orders during which something was cut; `true`: before the receipt was acknowledged it bit.
    pub(super) link_cuts: HashMap<u64, bool>,
    pub(super) power_cuts: HashMap<u64, bool>,
    /// When power was cut: the next customer may meet a board that is still off.
    pub(super) power_cuts_ms: Vec<i64>,
    pub(super) garbled: FaultCount,
    /// Faults of lines as drawn.
    pub(super) injected: BTreeMap<&'static str, u64>,
    /// The key whose authorizations this machine may use: the first it was given one for.
    pub(super) enrolment: Option<EnrolmentId>,
    pub(super) starts_ms: Vec<i64>,
    pub(super) violations: Vec<String>,
}

pub(super) fn receipt_of(frame: &str) -> Option<ReceiptBody> {
    let bytes = unhex(frame);
    let Receipt(signed) = dangerous_unverified(&bytes).ok()?.decode().ok()?;
    vend_protocol::codec::decode(&signed.body).ok()
}

pub(super) fn receipt_order(body: &ReceiptBody) -> Option<u64> {
    match body.authority {
        vend_protocol::signed::Authority::Authorization { order, .. } => Some(order.number()),
        _ => None,
    }
}

impl MachineStory {
    /// Follows one machine's recording.
    pub(super) fn read(records: &[Record], key: &PublicKey) -> Self {
        let mut story = Self::default();
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
        let frame = dangerous_unverified(&bytes).ok();
        let signed = frame.and_then(|frame| frame.decode::<Authorization>().ok());
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
        let hello = dangerous_unverified(&bytes).is_ok_and(|frame| frame.is::<Hello>());
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
