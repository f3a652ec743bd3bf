//! The machine's journal: what was appended survives a restart, what was not does not.

use std::collections::{BTreeSet, VecDeque};

use vend_protocol::{
    EnrolmentId, JournalId, List, Outcome, ReceiptHash, ReceiptNo, SlotId,
    machine_link::{Chained, ChainedKind, MoneyCursor, Next},
    signed::{AmendmentBody, Authority, AuthorizationBody, ReceiptBody, ReceiptLine, Signed},
};

use crate::toy::{self, Tag};

/// Acknowledged messages that are kept while there is room.
const KEPT: usize = 40;

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board {
    pub(crate) enrolment: EnrolmentId,
    pub(crate) key: u64,
}

/// A message of the chain.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) kind: ChainedKind,
    pub(crate) signed: Signed,
    pub(crate) hash: ReceiptHash,
    /// The sequence that a receipt is about.
    pub(crate) seq: Option<u64>,
    pub(crate) acknowledged: bool,
}

/// A line of the order that is being vended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLine {
    pub(crate) slot: SlotId,
    pub(crate) state: LineState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineState {
    Waiting,
    /// From here the motor may have been started.
    Starting,
    Done(Outcome),
}

/// The order that is being vended.
#[derive(Clone, Debug)]
pub(crate) struct OpenOrder {
    pub(crate) seq: u64,
    pub(crate) deadline_ms: u64,
    pub(crate) lines: Vec<OpenLine>,
    authority: Authority,
}

impl OpenOrder {
    /// The first line that has no outcome.
    pub(crate) fn next(&self) -> Option<(u8, LineState)> {
        let next = (0..).zip(&self.lines).find(|(_, line)| !matches!(line.state, LineState::Done(_)));
        next.map(|(index, line)| (index, line.state))
    }
}

#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) id: JournalId,
    pub(crate) used_seq: u64,
    pub(crate) order: Option<OpenOrder>,
    pub(crate) plan: u32,
    /// The last command that was done.
    pub(crate) command: u64,
    /// Kind and number of what the server has not noted.
    pub(crate) events: BTreeSet<(u8, u64)>,
    pub(crate) last_event: u64,
    /// The number of the last message of the chain.
    pub(crate) last: u64,
    last_hash: ReceiptHash,
    chain: VecDeque<Entry>,
    /// Sequence, receipt and line of what was not witnessed and may be found out.
    pub(crate) doubts: Vec<(u64, u64, u8)>,
    /// Messages that are not acknowledged find room.
    pub(crate) capacity: usize,
}

impl Journal {
    pub(crate) fn format(id: JournalId) -> Self {
        Self {
            id,
            used_seq: 0,
            order: None,
            plan: 0,
            command: 0,
            events: BTreeSet::new(),
            last_event: 0,
            last: 0,
            last_hash: ReceiptHash::START,
            chain: VecDeque::new(),
            doubts: Vec::new(),
            capacity: 24,
        }
    }

    pub(crate) fn entry(&self, number: u64) -> Option<&Entry> {
        self.chain.iter().find(|entry| entry.number == number)
    }

    pub(crate) fn receipt_of(&self, seq: u64) -> Option<&Entry> {
        self.chain.iter().find(|entry| entry.seq == Some(seq))
    }

    pub(crate) fn first_kept(&self) -> u64 {
        self.chain.front().map_or(self.last + 1, |entry| entry.number)
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.chain.iter().filter(|entry| !entry.acknowledged).count()
    }

    /// Another order could end without its receipt finding room.
    pub(crate) fn is_full(&self) -> bool {
        self.unacknowledged() >= self.capacity
    }

    /// The intent: from here the sequence is used up.
    pub(crate) fn take(&mut self, body: &AuthorizationBody) {
        let lines = body.lines.iter().map(|line| OpenLine { slot: line.slot, state: LineState::Waiting });
        self.used_seq = body.seq.number();
        self.order = Some(OpenOrder {
            seq: self.used_seq,
            deadline_ms: body.deadline_ms,
            lines: lines.collect(),
            authority: Authority::Authorization { seq: body.seq, order: body.order },
        });
    }

    pub(crate) fn note_line(&mut self, line: u8, state: LineState) {
        let order = self.order.as_mut().expect("an order is open");
        order.lines[usize::from(line)].state = state;
    }

    /// The receipt of the open order, all of whose lines have ended.
    pub(crate) fn close_order(&mut self, board: Board, at_ms: u64) {
        let order = self.order.take().expect("an order is open");
        let number = self.last + 1;
        let outcome = |line: &OpenLine| match line.state {
            LineState::Done(outcome) => ReceiptLine { slot: line.slot, outcome },
            state => panic!("a receipt for a line that is {state:?}"),
        };
        let lines: Vec<_> = order.lines.iter().map(outcome).collect();
        let doubtful = (0..).zip(&lines).filter(|(_, line)| line.outcome.verdict().is_doubtful());
        self.doubts.extend(doubtful.map(|(line, _)| (order.seq, number, line)));
        self.write_receipt(board, order.authority, at_ms, lines);
    }

    /// A receipt, and with it the end of its sequence.
    pub(crate) fn write_receipt(
        &mut self,
        board: Board,
        authority: Authority,
        at_ms: u64,
        lines: impl IntoIterator<Item = ReceiptLine>,
    ) {
        let Authority::Authorization { seq, .. } = authority else { panic!("no other authority here") };
        self.used_seq = self.used_seq.max(seq.number());
        let body = ReceiptBody {
            enrolment: board.enrolment,
            journal: self.id,
            number: ReceiptNo::new(self.last + 1).unwrap(),
            previous: self.last_hash,
            authority,
            at_ms,
            lines: List::try_from_iter(lines).unwrap(),
        };
        let signed = toy::sign(board.key, Tag::Receipt, &body);
        self.append(ChainedKind::Receipt, signed, Some(seq.number()));
    }

    /// The truth about a line of an earlier receipt.
    pub(crate) fn amend(&mut self, board: Board, amends: u64, line: u8, outcome: Outcome, at_ms: u64) {
        let body = AmendmentBody {
            enrolment: board.enrolment,
            journal: self.id,
            number: ReceiptNo::new(self.last + 1).unwrap(),
            previous: self.last_hash,
            amends: ReceiptNo::new(amends).unwrap(),
            line,
            outcome,
            at_ms,
        };
        let signed = toy::sign(board.key, Tag::Amendment, &body);
        self.append(ChainedKind::Amendment, signed, None);
    }

    fn append(&mut self, kind: ChainedKind, signed: Signed, seq: Option<u64>) {
        let tag = if kind == ChainedKind::Receipt { Tag::Receipt } else { Tag::Amendment };
        let hash = toy::hash(tag, &signed);
        self.last += 1;
        self.last_hash = hash;
        self.chain.push_back(Entry { number: self.last, kind, signed, hash, seq, acknowledged: false });
    }

    /// The server has this very message.
    pub(crate) fn acknowledge(&mut self, number: u64, hash: ReceiptHash) -> bool {
        let entry = self.chain.iter_mut().find(|entry| entry.number == number && entry.hash == hash);
        let known = entry.is_some();
        if let Some(entry) = entry {
            entry.acknowledged = true;
        }
        self.reclaim();
        known
    }

    /// The server has everything up to here and, whatever it said before, nothing above.
    pub(crate) fn set_watermark(&mut self, watermark: u64) {
        for entry in &mut self.chain {
            entry.acknowledged = entry.number <= watermark;
        }
        self.reclaim();
    }

    fn reclaim(&mut self) {
        while self.chain.len() > KEPT && self.chain.front().is_some_and(|entry| entry.acknowledged) {
            self.chain.pop_front();
        }
    }

    /// Notes something that the server is to hear of.
    pub(crate) fn add_event(&mut self, kind: u8) {
        self.last_event += 1;
        self.events.insert((kind, self.last_event));
    }
}

/// Reads the chain for the session, and remembers what it said.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) journal: &'a Journal,
    /// It says that the next message is not at hand yet.
    pub(crate) later: bool,
    pub(crate) asked: bool,
    pub(crate) given: Option<u64>,
}

impl MoneyCursor for Cursor<'_> {
    fn next(&mut self, from: ReceiptNo) -> Next<'_> {
        self.asked = true;
        if self.later {
            return Next::Later;
        }
        let found = self.journal.chain.iter().find(|entry| entry.number >= from.number());
        let Some(Entry { number, kind, signed, .. }) = found else { return Next::End };
        self.given = Some(*number);
        Next::Message(Chained { number: ReceiptNo::new(*number).unwrap(), kind: *kind, signed })
    }
}
