//! Which receipts and amendments are on their way.

use super::WINDOW;
use crate::{ReceiptNo, signed::Signed};

/// What of the chain of receipts a cursor found.
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// The next message.
    Message(Chained<'a>),
    /// It is not at hand yet: ask again.
    Later,
    /// There is none.
    End,
}

/// A numbered and signed message of the chain, as it stands in the journal.
#[derive(Clone, Copy, Debug)]
pub struct Chained<'a> {
    /// Its number.
    pub number: ReceiptNo,
    /// Which it is.
    pub kind: ChainedKind,
    /// The message.
    pub signed: &'a Signed,
}

/// The kinds of messages in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainedKind {
    /// A [`super::Receipt`].
    Receipt,
    /// An [`super::Amendment`].
    Amendment,
}

/// Where a session reads money messages: the journal, and nowhere else. The session keeps no copy of one.
pub trait MoneyCursor {
    /// The first message with this number or a higher one.
    fn next(&mut self, from: ReceiptNo) -> Next<'_>;
}

/// How far the chain was sent on this connection, and what of it is not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Window {
    next: u64,
    /// Frame sequence and number.
    in_flight: [Option<(u32, u64)>; WINDOW],
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { next: 1, in_flight: [None; WINDOW] }
    }

    /// A new connection: the other end has everything up to `watermark`.
    pub(super) const fn restart(&mut self, watermark: u64) {
        self.next = watermark.saturating_add(1);
        self.in_flight = [None; WINDOW];
    }

    /// The number to be sent next, if one more may be on its way.
    pub(super) fn wanted(&self) -> Option<ReceiptNo> {
        self.in_flight.iter().any(Option::is_none).then(|| ReceiptNo::new(self.next).ok())?
    }

    pub(super) fn sent(&mut self, sequence: u32, number: ReceiptNo) {
        if let Some(free) = self.in_flight.iter_mut().find(|entry| entry.is_none()) {
            *free = Some((sequence, number.number()));
        }
        self.pass(number);
    }

    /// Goes on behind this one without sending it.
    pub(super) const fn pass(&mut self, number: ReceiptNo) {
        self.next = number.number().saturating_add(1);
    }

    pub(super) fn acknowledged(&mut self, number: ReceiptNo) {
        self.release(|_, in_flight| in_flight == number.number());
    }

    pub(super) fn unsupported(&mut self, sequence: u32) {
        self.release(|in_flight, _| in_flight == sequence);
    }

    fn release(&mut self, which: impl Fn(u32, u64) -> bool) {
        for entry in &mut self.in_flight {
            if entry.is_some_and(|(sequence, number)| which(sequence, number)) {
                *entry = None;
            }
        }
    }
}
