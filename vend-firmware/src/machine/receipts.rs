//! Receipts on their way to the server: read from the journal, sent by the session, acknowledged into the journal.

use vend_protocol::{
    AuthSeq, ReceiptNo,
    machine_link::{Acknowledgement, Chained, ChainedKind, Class, MoneyCursor, Next, Settled, WINDOW},
};

use super::{Machine, Random};
use crate::journal::{Lookup, StoredReceipt};

/// Sequences asked for again that wait for the journal. At the limit a new one is dropped, and the server asks once more.
const ASKED_MAX: usize = 8;

/// A first-in-first-out queue of fixed size.
#[derive(Debug)]
struct Queue<T, const N: usize> {
    items: [Option<T>; N],
}

impl<T: Copy + PartialEq, const N: usize> Queue<T, N> {
    const fn new() -> Self {
        Self { items: [const { None }; N] }
    }

    /// Appends what is not in it; what does not fit is dropped.
    fn push(&mut self, item: T) {
        let place = self.items.iter_mut().find(|place| place.is_none_or(|there| there == item));
        if let Some(place) = place {
            *place = Some(item);
        }
    }

    fn pop(&mut self) -> Option<T> {
        let first = self.items.first_mut()?.take();
        self.items.rotate_left(1);
        first
    }
}

/// What the journal is asked for the link's sake.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// Whether this acknowledgement is for a receipt of ours.
    Acknowledged(Acknowledgement),
    /// Whether the receipt of a sequence that was used up before still waits for its acknowledgement.
    Sequence(AuthSeq),
    /// The next receipt to send: the oldest from this number on.
    Next(ReceiptNo),
}

/// Receipts on their way on one connection.
#[derive(Debug)]
pub(super) struct Receipts {
    /// As many as receipts can be on their way: what does not fit is for none of them.
    acknowledgements: Queue<Acknowledgement, WINDOW>,
    sequences: Queue<AuthSeq, ASKED_MAX>,
    /// The one read last.
    loaded: Option<StoredReceipt>,
    /// Of those the session wants, none up to here is in flash any more.
    gone: u64,
    /// The server has every receipt up to here: to be journaled.
    watermark: u64,
    /// For this watermark the journal had no room.
    watermark_tried: u64,
}

impl Receipts {
    pub(super) const fn new() -> Self {
        Self {
            acknowledgements: Queue::new(),
            sequences: Queue::new(),
            loaded: None,
            gone: 0,
            watermark: 0,
            watermark_tried: 0,
        }
    }

    /// A new connection, or none: the server has everything up to `watermark`.
    pub(super) fn restart(&mut self, watermark: u64) {
        *self = Self { watermark, ..Self::new() };
    }

    pub(super) const fn cursor(&self, last_receipt: u64) -> Cursor<'_> {
        Cursor { receipts: self, last_receipt }
    }

    pub(super) fn acknowledged(&mut self, acknowledgement: Acknowledgement) {
        self.acknowledgements.push(acknowledgement);
    }

    pub(super) fn asked_again(&mut self, seq: AuthSeq) {
        self.sequences.push(seq);
    }

    /// The watermark that is to be journaled.
    pub(super) fn watermark(&self, acknowledged: u64, last_receipt: u64) -> Option<ReceiptNo> {
        let number = self.watermark.min(last_receipt);
        let news = self.watermark > self.watermark_tried && number > acknowledged;
        news.then(|| ReceiptNo::new(number).ok())?
    }

    /// The journal has no room for this watermark: the next one is tried together with it.
    pub(super) const fn watermark_refused(&mut self, number: ReceiptNo) {
        self.watermark_tried = number.number();
    }

    fn from(&self, wanted: ReceiptNo, last_receipt: u64) -> Option<ReceiptNo> {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.number >= wanted) {
            return None;
        }
        let from = wanted.number().max(self.gone.saturating_add(1));
        (from <= last_receipt).then(|| ReceiptNo::new(from).ok())?
    }
}

/// Where the session reads the receipts: what was loaded from the journal.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    receipts: &'a Receipts,
    last_receipt: u64,
}

impl MoneyCursor for Cursor<'_> {
    fn next(&mut self, from: ReceiptNo) -> Next<'_> {
        match &self.receipts.loaded {
            Some(StoredReceipt { number, receipt, .. }) if *number >= from => {
                Next::Message(Chained { number: *number, kind: ChainedKind::Receipt, signed: receipt })
            }
            _ if self.receipts.from(from, self.last_receipt).is_some() => Next::Later,
            _ => Next::End,
        }
    }
}

impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    /// What has to be read from the journal next for the link's sake.
    pub(super) fn link_lookup(&mut self) -> Option<(Asked, Lookup)> {
        let receipts = &mut self.link.receipts;
        if let Some(acknowledgement) = receipts.acknowledgements.pop() {
            let lookup = Lookup::Number(acknowledgement.number);
            return Some((Asked::Acknowledged(acknowledgement), lookup));
        }
        if let Some(seq) = receipts.sequences.pop() {
            return Some((Asked::Sequence(seq), Lookup::Sequence(seq)));
        }
        let wanted = self.link.wanted()?;
        let from = self.link.receipts.from(wanted, self.state.numbers.last_receipt)?;
        Some((Asked::Next(from), Lookup::From(from)))
    }

    pub(super) fn found(&mut self, asked: Asked, found: Option<StoredReceipt>) {
        match asked {
            Asked::Acknowledged(acknowledgement) => self.found_acknowledged(&acknowledgement, found.as_ref()),
            Asked::Sequence(seq) => self.found_sequence(seq, found.as_ref()),
            Asked::Next(from) => self.found_next(from, found),
        }
    }

    fn found_acknowledged(&mut self, acknowledgement: &Acknowledgement, found: Option<&StoredReceipt>) {
        let number = acknowledgement.number.number();
        let acknowledged = self.state.numbers.acknowledged;
        // Any other hash is not about our receipt. One that was sent to a restored server may have been erased since.
        let ours = found.map_or(number <= acknowledged, |found| found.hash == acknowledgement.hash);
        if !ours {
            return;
        }
        if let Some(session) = self.link.session() {
            session.acknowledged(acknowledgement.number);
        }
        // In order: the server acknowledges as it receives.
        let receipts = &mut self.link.receipts;
        if Some(number) == acknowledged.max(receipts.watermark).checked_add(1) {
            receipts.watermark = number;
        }
    }

    fn found_sequence(&mut self, seq: AuthSeq, found: Option<&StoredReceipt>) {
        // A receipt that is not acknowledged is the answer: it was sent on this connection, or will be when its turn comes.
        let waits = found.is_some_and(|found| found.number.number() > self.link.receipts.watermark);
        if !waits {
            self.link.queue(Class::Answer, &Settled { up_to: seq });
        }
    }

    fn found_next(&mut self, from: ReceiptNo, found: Option<StoredReceipt>) {
        let numbers = self.state.numbers;
        let next =
            found.as_ref().map_or(numbers.last_receipt.saturating_add(1), |found| found.number.number());
        // Acknowledged ones that an older watermark asks for may have been erased.
        if next > from.number().max(numbers.acknowledged.saturating_add(1)) {
            // One was written and never acknowledged, and it is gone.
            self.broken = true;
            return;
        }
        if found.is_none() {
            self.link.receipts.gone = numbers.last_receipt;
        }
        self.link.receipts.loaded = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_each_item_once_and_gives_the_oldest_first() {
        let mut queue = Queue::<u8, 3>::new();
        for item in [1, 2, 1, 3, 4] {
            queue.push(item);
        }
        assert_eq!([(); 4].map(|()| queue.pop()), [Some(1), Some(2), Some(3), None]);
        queue.push(4);
        assert_eq!(queue.pop(), Some(4));
    }
}
