//! What the sandbox knows: built from the ledger's lines only, the same way live and after a restart.

use std::collections::HashMap;
use std::prelude::v1::*;

use serde::{Deserialize, Serialize};

use super::FaultCounts;

/// Which wallet an order is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Provider {
    WeChat,
    Alipay,
}

impl Provider {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::WeChat => "wechat",
            Self::Alipay => "alipay",
        }
    }
}

/// An order's name: `out_trade_no` is unique at one wallet only.
pub(super) type Key = (Provider, String);

/// One line of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) at_ms: i64,
    pub(super) wallet: Provider,
    pub(super) out_trade_no: String,
    #[serde(flatten)]
    pub(super) event: Event,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    Created(NewOrder),
    /// The same order asked for again: a new code, and the old one is dead.
    Recoded {
        code: String,
    },
    /// Alipay's trade begins with a scan.
    Scanned,
    Paid {
        transaction: String,
        payer_minor: u32,
        double: bool,
        late_ms: Option<u32>,
    },
    Closed,
    Refunded(Refund),
    Delivered {
        notice: String,
        answered: bool,
        acknowledged: bool,
        copy: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NewOrder {
    pub(super) amount_minor: u32,
    pub(super) description: String,
    pub(super) notify_url: String,
    pub(super) expires_ms: i64,
    pub(super) code: String,
    /// The parameters that must be the same when the order is asked for again.
    pub(super) fingerprint: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) amount_minor: u32,
    pub(super) number: String,
    pub(super) notify_url: Option<String>,
    /// When it succeeds.
    pub(super) done_ms: i64,
    /// The time of its line.
    #[serde(skip)]
    pub(super) at_ms: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) at_ms: i64,
    pub(super) transaction: String,
    pub(super) payer_minor: u32,
}

/// A notification that the receiver is owed.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// `payment`, `closed`, or `refund:<id>`.
    pub(super) id: String,
    pub(super) url: String,
    pub(super) first_due_ms: i64,
    pub(super) tries: u32,
    pub(super) last_try_ms: i64,
    pub(super) acknowledged_ms: Option<i64>,
    /// A second delivery right after the first is owed too.
    pub(super) copy_owed: bool,
    pub(super) late: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) new: NewOrder,
    pub(super) created_ms: i64,
    /// When the present code was made.
    pub(super) code_ms: i64,
    pub(super) scanned: bool,
    pub(super) paid: Option<Payment>,
    pub(super) closed_ms: Option<i64>,
    pub(super) refunds: Vec<Refund>,
    pub(super) notices: Vec<Notice>,
}

impl Order {
    pub(super) fn refunded_minor(&self) -> u32 {
        self.refunds.iter().map(|refund| refund.amount_minor).fold(0, u32::saturating_add)
    }

    pub(super) fn notice(&self, id: &str) -> Option<&Notice> {
        self.notices.iter().find(|notice| notice.id == id)
    }

    /// Whether the code can no longer be paid at `now_ms`: its own two hours, or the order's last moment.
    pub(super) fn is_expired(&self, now_ms: i64) -> bool {
        now_ms >= self.new.expires_ms || now_ms.saturating_sub(self.code_ms) >= 2 * 3_600_000
    }

    fn owe(&mut self, id: String, url: &str, first_due_ms: i64) -> &mut Notice {
        self.notices.push(Notice {
            id,
            url: String::from(url),
            first_due_ms,
            tries: 0,
            last_try_ms: 0,
            acknowledged_ms: None,
            copy_owed: false,
            late: false,
        });
        let last = self.notices.len() - 1;
        &mut self.notices[last]
    }
}

#[derive(Debug, Default)]
pub(super) struct Book {
    orders: Vec<Order>,
    index: HashMap<Key, usize>,
    codes: HashMap<String, usize>,
    refunds: HashMap<(Provider, String), usize>,
    pub(super) counts: FaultCounts,
}

impl Book {
    pub(super) fn get(&self, key: &Key) -> Option<&Order> {
        self.index.get(key).map(|&at| &self.orders[at])
    }

    /// The order of a code that is its present one.
    pub(super) fn by_code(&self, code: &str) -> Option<&Order> {
        self.codes.get(code).map(|&at| &self.orders[at])
    }

    /// WeChat's refund ids are unique for a merchant, not for an order.
    pub(super) fn by_refund(&self, provider: Provider, refund: &str) -> Option<(&Order, &Refund)> {
        let order = &self.orders[*self.refunds.get(&(provider, String::from(refund)))?];
        order.refunds.iter().find(|found| found.id == refund).map(|found| (order, found))
    }

    pub(super) fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Takes a line in. `false` when it does not fit what came before it, which only a damaged ledger has.
    pub(super) fn apply(&mut self, line: Line) -> bool {
        let key = (line.wallet, line.out_trade_no);
        let at = line.at_ms;
        if let Event::Created(new) = line.event {
            let place = self.orders.len();
            self.codes.insert(new.code.clone(), place);
            self.orders.push(Order {
                key: key.clone(),
                created_ms: at,
                code_ms: at,
                // WeChat knows an order from the start.
                scanned: key.0 == Provider::WeChat,
                new,
                paid: None,
                closed_ms: None,
                refunds: Vec::new(),
                notices: Vec::new(),
            });
            return self.index.insert(key, place).is_none();
        }
        let Some(&place) = self.index.get(&key) else { return false };
        let order = &mut self.orders[place];
        match line.event {
            Event::Created(_) => return false,
            Event::Recoded { code } => {
                self.codes.remove(&order.new.code);
                self.codes.insert(code.clone(), place);
                order.new.code = code;
                order.code_ms = at;
            }
            Event::Scanned => order.scanned = true,
            Event::Paid { transaction, payer_minor, double, late_ms } => {
                order.scanned = true;
                order.paid = Some(Payment { at_ms: at, transaction, payer_minor });
                let url = order.new.notify_url.clone();
                let due = at.saturating_add(late_ms.map_or(0, i64::from));
                let notice = order.owe(String::from("payment"), &url, due);
                notice.copy_owed = double;
                notice.late = late_ms.is_some();
                self.counts.double_injected += u64::from(double);
                self.counts.late_injected += u64::from(late_ms.is_some());
            }
            Event::Closed => order.closed_ms = Some(at),
            Event::Refunded(mut refund) => {
                refund.at_ms = at;
                if let Some(url) = refund.notify_url.clone() {
                    order.owe(["refund:", &refund.id].concat(), &url, refund.done_ms);
                }
                let done_ms = refund.done_ms;
                self.refunds.insert((key.0, refund.id.clone()), place);
                order.refunds.push(refund);
                // Alipay reports the end of a wholly refunded trade, to the order's own address.
                if key.0 == Provider::Alipay && order.refunded_minor() == order.new.amount_minor {
                    let url = order.new.notify_url.clone();
                    order.owe(String::from("closed"), &url, done_ms);
                }
            }
            Event::Delivered { notice, answered, acknowledged, copy } => {
                let Some(notice) = order.notices.iter_mut().find(|found| found.id == notice) else {
                    return false;
                };
                if copy {
                    notice.copy_owed = false;
                    self.counts.double_bit += u64::from(answered);
                } else {
                    self.counts.late_bit += u64::from(notice.late && notice.tries == 0 && answered);
                    notice.tries += 1;
                    notice.last_try_ms = at;
                }
                if acknowledged && notice.acknowledged_ms.is_none() {
                    notice.acknowledged_ms = Some(at);
                }
            }
        }
        true
    }
}
