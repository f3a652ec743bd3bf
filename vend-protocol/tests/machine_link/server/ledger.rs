//! The server's database: what was committed survives everything but a restore from a backup.

use std::collections::{BTreeMap, BTreeSet};

use vend_protocol::{
    EnrolmentId, JournalId, ReceiptHash,
    signed::{AmendmentBody, Authority, ReceiptBody, Signed},
};

use crate::env::Wallet;

/// A line of an order: its price is delivered, refunded or pending, in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) price: u32,
    pub(crate) delivered: u32,
    pub(crate) refunded: u32,
    pub(crate) pending: u32,
    /// It is decided that the money goes back.
    pub(crate) refund_due: bool,
    /// Its delivery was learned after that.
    pub(crate) given_away: u32,
}

impl Line {
    const fn paid(price: u32) -> Self {
        Self { price, delivered: 0, refunded: 0, pending: price, refund_due: false, given_away: 0 }
    }

    fn deliver(&mut self) {
        if self.refund_due || self.pending == 0 {
            self.given_away += self.price;
        } else {
            self.delivered += self.pending;
            self.pending = 0;
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) paid: u32,
    pub(crate) paid_ms: u64,
    pub(crate) lines: Vec<Line>,
    pub(crate) authorization: Option<u64>,
}

impl Order {
    fn give_back(&mut self) {
        for line in self.lines.iter_mut().filter(|line| line.pending > 0) {
            line.refund_due = true;
        }
    }

    /// Nothing was decided yet, and nothing is authorized.
    pub(crate) fn waits(&self) -> bool {
        self.authorization.is_none() && self.lines.iter().all(|line| !line.refund_due)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Authorized {
    pub(crate) order: u64,
    pub(crate) enrolment: EnrolmentId,
    pub(crate) deadline_ms: u64,
    pub(crate) signed: Option<Signed>,
    pub(crate) void: Option<Signed>,
    pub(crate) open: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) enrolment: EnrolmentId,
    pub(crate) orders: BTreeMap<u64, Order>,
    pub(crate) authorizations: BTreeMap<u64, Authorized>,
    pub(crate) issued_seq: u64,
    pub(crate) floor_seq: u64,
    /// Restored, and the machine has not said yet which sequences it has used.
    pub(crate) needs_hello: bool,
    pub(crate) chain: BTreeMap<(JournalId, u64), ReceiptHash>,
    pub(crate) receipts: Vec<ReceiptBody>,
    pub(crate) noted: BTreeSet<(JournalId, u8, u64)>,
    /// The last command, and the last whose result is known.
    pub(crate) command: u64,
    pub(crate) result: u64,
    /// Somebody must look: a sequence was settled whose receipt never came.
    pub(crate) alarms: u32,
}

impl Ledger {
    pub(crate) fn new(enrolment: EnrolmentId) -> Self {
        Self {
            enrolment,
            orders: BTreeMap::new(),
            authorizations: BTreeMap::new(),
            issued_seq: 0,
            floor_seq: 0,
            needs_hello: false,
            chain: BTreeMap::new(),
            receipts: Vec::new(),
            noted: BTreeSet::new(),
            command: 0,
            result: 0,
            alarms: 0,
        }
    }

    /// The last number up to which everything of this journal is here.
    pub(crate) fn watermark(&self, journal: JournalId) -> u64 {
        let mut numbers = 1..;
        numbers.find(|number| !self.chain.contains_key(&(journal, *number))).unwrap_or(1) - 1
    }

    pub(crate) fn pay(&mut self, order: u64, prices: &[u32], now_ms: u64) {
        let lines = prices.iter().map(|price| Line::paid(*price)).collect();
        let paid = prices.iter().sum();
        self.orders.entry(order).or_insert(Order { paid, paid_ms: now_ms, lines, authorization: None });
    }

    pub(crate) fn open(&self) -> Option<(u64, &Authorized)> {
        self.authorizations.iter().map(|(seq, open)| (*seq, open)).find(|(_, open)| open.open)
    }

    /// Gives the order the next sequence.
    pub(crate) fn number(&mut self, order: u64, deadline_ms: u64) -> u64 {
        assert!(self.open().is_none(), "at most one open authorization");
        self.issued_seq += 1;
        let enrolment = self.enrolment;
        let authorized = Authorized { order, enrolment, deadline_ms, signed: None, void: None, open: true };
        self.authorizations.insert(self.issued_seq, authorized);
        self.orders.get_mut(&order).expect("a paid order").authorization = Some(self.issued_seq);
        self.issued_seq
    }

    pub(crate) fn give_back(&mut self, order: u64) {
        self.orders.get_mut(&order).expect("a paid order").give_back();
    }

    pub(crate) fn book_refund(&mut self, order: u64, line: u8) {
        let order = self.orders.get_mut(&order).expect("a paid order");
        let line = &mut order.lines[usize::from(line)];
        line.refunded += line.pending;
        line.pending = 0;
    }

    /// Stores a message of the chain; whether it is new. `whole`: this server reads every kind of the chain.
    fn link(&mut self, key: (JournalId, u64), previous: ReceiptHash, hash: ReceiptHash, whole: bool) -> bool {
        if let Some(known) = self.chain.get(&key) {
            assert_eq!(*known, hash, "number {} was told in two ways", key.1);
            return false;
        }
        if whole {
            assert_eq!(key.1, self.watermark(key.0) + 1, "the chain arrives in order");
            let before = self.chain.get(&(key.0, key.1 - 1)).copied().unwrap_or(ReceiptHash::START);
            assert_eq!(previous, before, "number {} follows the one before it", key.1);
        }
        self.chain.insert(key, hash);
        true
    }

    /// Stores and books a receipt; whether it is new.
    pub(crate) fn receipt(&mut self, body: &ReceiptBody, hash: ReceiptHash, whole: bool) -> bool {
        if !self.link((body.journal, body.number.number()), body.previous, hash, whole) {
            return false;
        }
        let Authority::Authorization { seq, order } = body.authority else { return true };
        let same =
            |known: &ReceiptBody| (known.enrolment, known.authority) == (body.enrolment, body.authority);
        let twice = self.receipts.iter().any(same);
        assert!(!twice, "one final receipt for each sequence, not two for {seq}");
        let authorized = self.authorizations.get_mut(&seq.number());
        if let Some(authorized) = authorized.filter(|authorized| authorized.enrolment == body.enrolment) {
            assert_eq!(authorized.order, order.number(), "the receipt of {seq} is for its order");
            authorized.open = false;
        }
        let order = self.orders.get_mut(&order.number()).expect("an order that the wallet knows");
        for (index, line) in order.lines.iter_mut().enumerate() {
            if body.lines.get(index).is_some_and(|line| line.outcome.verdict().is_delivered()) {
                line.deliver();
            } else if line.pending > 0 {
                line.refund_due = true;
            }
        }
        self.receipts.push(body.clone());
        true
    }

    /// Stores an amendment and books what it changes.
    pub(crate) fn amendment(&mut self, body: &AmendmentBody, hash: ReceiptHash, whole: bool) -> bool {
        if !self.link((body.journal, body.number.number()), body.previous, hash, whole) {
            return false;
        }
        let amended =
            self.receipts.iter().find(|known| (known.journal, known.number) == (body.journal, body.amends));
        if let Some(Authority::Authorization { order, .. }) = amended.map(|known| known.authority)
            && body.outcome.verdict().is_delivered()
            && let Some(order) = self.orders.get_mut(&order.number())
        {
            // It was unknown, so its money went back.
            order.lines[usize::from(body.line)].given_away += order.lines[usize::from(body.line)].price;
        }
        true
    }

    /// The machine says that these are used up and their receipts acknowledged.
    pub(crate) fn settled(&mut self, up_to: u64) {
        let Some((seq, order)) = self.open().map(|(seq, open)| (seq, open.order)) else { return };
        if seq <= up_to {
            self.alarms += 1;
            self.authorizations.get_mut(&seq).expect("it is open").open = false;
            self.give_back(order);
        }
    }

    /// Another board speaks for the machine from now on. What the old one did with its orders is not known.
    pub(crate) fn replace_board(&mut self, enrolment: EnrolmentId) {
        self.enrolment = enrolment;
        self.floor_seq = self.issued_seq;
        let open: Vec<_> = self.open().map(|(seq, open)| (seq, open.order)).into_iter().collect();
        for (seq, order) in open {
            self.authorizations.get_mut(&seq).expect("it is open").open = false;
            self.give_back(order);
        }
    }

    /// What an older copy of the database is after it was compared with the wallet's books. What was paid or might have been
    /// authorized since is given back: nobody knows here what the machine did with it.
    pub(crate) fn restored(mut self, wallet: &Wallet, now_ms: u64) -> Self {
        for (order, (prices, _)) in wallet.paid.iter().filter(|(_, (_, booked))| *booked) {
            if !self.orders.contains_key(order) {
                self.pay(*order, prices, now_ms);
            }
        }
        for (number, order) in &mut self.orders {
            if order.authorization.is_none() {
                order.give_back();
            }
            for (index, line) in (0..).zip(&mut order.lines) {
                line.refund_due |= wallet.is_refunded(*number, index) && line.pending > 0;
            }
        }
        self.needs_hello = true;
        self
    }

    /// I1: paid = delivered + refunded + pending, of each order and each line, and the wallet's books agree.
    pub(crate) fn check(&self, wallet: &Wallet) {
        for (number, order) in &self.orders {
            let (prices, _) = &wallet.paid[number];
            let mut sum = 0;
            for (index, (line, price)) in (0..).zip(order.lines.iter().zip(prices)) {
                let booked = line.delivered + line.refunded + line.pending;
                assert_eq!(booked, *price, "I1: line {number}/{index}: {line:?}");
                let back = wallet.refunds.get(&(*number, index)).copied().unwrap_or(0);
                assert!(line.refunded <= back, "I1: refunded but not at the wallet: {number}/{index}");
                let kept_and_back = line.delivered > 0 && back > 0;
                assert!(!kept_and_back, "I1: delivered and refunded: {number}/{index}: {line:?}");
                sum += booked;
            }
            assert_eq!(sum, order.paid, "I1: order {number}");
        }
    }

    /// Nothing is pending.
    pub(crate) fn is_settled(&self, wallet: &Wallet) -> bool {
        let pending = |order: &Order| order.lines.iter().any(|line| line.pending > 0);
        self.open().is_none()
            && self.orders.len() == wallet.paid.len()
            && !self.orders.values().any(pending)
            && self.result == self.command
    }
}
