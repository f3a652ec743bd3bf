//! What the journal holds, and the state that its records add up to.

use serde::{Deserialize, Serialize};
use vend_protocol::{
    AuthSeq, List, Nonce, OrderId, Outcome, ReceiptHash, ReceiptNo, VendId,
    codec::{self, CodecError},
    signed::{AuthorizationBody, MAX_LINES, Signed},
};

/// Something that must not be forgotten.
///
/// `Receipt` is the largest, and records live for moments: they are not boxed, because there is no allocator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An authorization was verified and is about to be vended. Motion follows only after this is in flash.
    Taken(Taken),
    /// What became of the next line of the order.
    Outcome(LineOutcome),
    /// A receipt was signed. It ends the order that is open, or uses up a sequence without one.
    Receipt(StoredReceipt),
    /// The server has every receipt up to this one.
    Acknowledged(ReceiptNo),
    /// The control board is about to be opened under this nonce.
    Nonce(Nonce),
}

/// The body of [`Record::Taken`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The number of the first line's vend; the others follow it.
    pub first_vend: VendId,
    /// The authorization, as it was received.
    pub authorization: Signed,
}

/// The body of [`Record::Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineOutcome {
    /// The line, from 0.
    pub line: u8,
    /// The facts.
    pub outcome: Outcome,
}

/// The body of [`Record::Receipt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReceipt {
    /// Its number.
    pub number: ReceiptNo,
    /// The sequence it uses up.
    pub seq: AuthSeq,
    /// The order of that sequence.
    pub order: OrderId,
    /// Its hash.
    pub hash: ReceiptHash,
    /// The receipt.
    pub receipt: Signed,
}

/// What all records together say. Small enough to be kept twice: in the journal and in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The numbers that survive the erasure of old sectors.
    pub numbers: Numbers,
    /// The order that was taken and has no receipt yet.
    pub order: Option<OpenOrder>,
}

/// The numbers that survive the erasure of old sectors: each sector begins with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The highest sequence that was used up; 0: none.
    pub used_seq: u64,
    /// The number of the last receipt; 0: none.
    pub last_receipt: u64,
    /// Its hash.
    pub last_hash: ReceiptHash,
    /// Up to here the server has every receipt; 0: none.
    pub acknowledged: u64,
    /// No vend has had this number or a higher one.
    pub next_vend: VendId,
    /// The nonce the control board was last opened under, or was about to be.
    pub nonce: Option<Nonce>,
    /// The order of the last sequence that was used up.
    pub last_order: Option<OrderId>,
}

/// An order between its *taken* and its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// The authorization and its vend numbers.
    pub taken: Taken,
    /// What became of its lines, in order, so far.
    pub outcomes: List<Outcome, MAX_LINES>,
}

impl OpenOrder {
    /// What the authorization allows. It was verified before it was journaled.
    ///
    /// # Errors
    /// [`CodecError`] when it was not, which the journal does not let happen.
    pub fn body(&self) -> Result<AuthorizationBody, CodecError> {
        codec::decode(&self.taken.authorization.body)
    }
}

/// A record that cannot follow the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record that cannot follow the ones before it")]
pub struct OutOfOrder;

impl State {
    /// The state of an empty journal.
    pub fn empty() -> Result<Self, OutOfOrder> {
        let next_vend = VendId::new(1).map_err(|_| OutOfOrder)?;
        Ok(Self::of(Numbers {
            used_seq: 0,
            last_receipt: 0,
            last_hash: ReceiptHash::START,
            acknowledged: 0,
            next_vend,
            nonce: None,
            last_order: None,
        }))
    }

    pub(super) const fn of(numbers: Numbers) -> Self {
        Self { numbers, order: None }
    }

    /// The state after one more record.
    ///
    /// # Errors
    /// [`OutOfOrder`] when the record cannot be the next one: a sequence that does not rise, an outcome without an order, a
    /// receipt that is not the next. Nothing has changed then.
    pub fn apply(&mut self, record: &Record) -> Result<(), OutOfOrder> {
        match record {
            Record::Taken(taken) => self.apply_taken(taken),
            Record::Outcome(line) => {
                let order = self.order.as_mut().ok_or(OutOfOrder)?;
                let lines = order.body().map_err(|_| OutOfOrder)?.lines.len();
                if usize::from(line.line) != order.outcomes.len() || order.outcomes.len() >= lines {
                    return Err(OutOfOrder);
                }
                order.outcomes.push(line.outcome).map_err(|_| OutOfOrder)
            }
            Record::Receipt(receipt) => self.apply_receipt(receipt),
            Record::Acknowledged(number) => {
                let number = number.number();
                if number <= self.numbers.acknowledged || number > self.numbers.last_receipt {
                    return Err(OutOfOrder);
                }
                self.numbers.acknowledged = number;
                Ok(())
            }
            Record::Nonce(nonce) => {
                self.numbers.nonce = Some(*nonce);
                Ok(())
            }
        }
    }

    fn apply_taken(&mut self, taken: &Taken) -> Result<(), OutOfOrder> {
        let order = OpenOrder { taken: taken.clone(), outcomes: List::default() };
        let body = order.body().map_err(|_| OutOfOrder)?;
        if self.order.is_some()
            || body.seq.number() <= self.numbers.used_seq
            || taken.first_vend < self.numbers.next_vend
        {
            return Err(OutOfOrder);
        }
        let lines = u64::try_from(body.lines.len()).map_err(|_| OutOfOrder)?;
        let next = u64::from(taken.first_vend).checked_add(lines).ok_or(OutOfOrder)?;
        self.numbers.next_vend = VendId::new(next).map_err(|_| OutOfOrder)?;
        self.numbers.used_seq = body.seq.number();
        self.numbers.last_order = Some(body.order);
        self.order = Some(order);
        Ok(())
    }

    fn apply_receipt(&mut self, receipt: &StoredReceipt) -> Result<(), OutOfOrder> {
        let next = self.numbers.last_receipt.checked_add(1).ok_or(OutOfOrder)?;
        let seq = receipt.seq.number();
        let ends_order = match &self.order {
            Some(order) => {
                let body = order.body().map_err(|_| OutOfOrder)?;
                body.seq == receipt.seq && order.outcomes.len() == body.lines.len()
            }
            None => seq > self.numbers.used_seq,
        };
        if receipt.number.number() != next || !ends_order {
            return Err(OutOfOrder);
        }
        self.order = None;
        self.numbers.used_seq = seq;
        self.numbers.last_order = Some(receipt.order);
        self.numbers.last_receipt = next;
        self.numbers.last_hash = receipt.hash;
        Ok(())
    }

    /// Whether receipts wait for their acknowledgement.
    pub const fn has_unacknowledged(&self) -> bool {
        self.numbers.acknowledged < self.numbers.last_receipt
    }
}
