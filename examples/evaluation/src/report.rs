//! The report: what the books say, for people and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use vend_payments::sandbox::FaultCounts;

use crate::{
    books::{Books, FaultCount, LineEnd},
    faults::Rates,
};

/// Enough sales for every fault to have turned up.
const ENOUGH_SALES: u64 = 100;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) sales: u64,
    pub(crate) lines: u64,
    pub(crate) delivered: u64,
    pub(crate) refunded: u64,
    pub(crate) pending: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) given_away: u64,
    pub(crate) unknown: u64,
    pub(crate) paid_minor: u64,
    pub(crate) delivered_minor: u64,
    pub(crate) refunded_minor: u64,
    pub(crate) by_wallet: BTreeMap<String, u64>,
    pub(crate) faults: BTreeMap<&'static str, FaultCount>,
    pub(crate) pay_to_motor_ms: Percentiles,
    pub(crate) uplink_bytes_per_sale: u64,
    pub(crate) downlink_bytes_per_sale: u64,
    pub(crate) seconds: u64,
    pub(crate) violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: i64,
    pub(crate) p99: i64,
}

/// What only the running process knows.
pub(crate) struct Running {
    /// Payloads published by and to machines in this run.
    pub(crate) bytes: (u64, u64),
    /// Sales of this run.
    pub(crate) sales: u64,
    pub(crate) seconds: u64,
    pub(crate) notifications: FaultCounts,
    pub(crate) rates: Rates,
}

impl Report {
    pub(crate) fn new(books: Books, running: &Running) -> Self {
        let count = |end| books.lines.iter().filter(|line| line.end == end).count() as u64;
        let sum = |end| books.lines.iter().filter(|line| line.end == end).map(|line| line.price).sum::<u64>();
        let lines = &books.lines;
        let mut times: Vec<i64> = lines.iter().filter_map(|line| line.pay_to_motor_ms).collect();
        times.sort_unstable();
        let notifications = running.notifications;
        let mut faults = books.faults;
        faults.insert(
            "notification_doubled",
            FaultCount { injected: notifications.double_injected, bit: notifications.double_bit },
        );
        faults.insert(
            "notification_late",
            FaultCount { injected: notifications.late_injected, bit: notifications.late_bit },
        );
        let mut report = Self {
            sales: books.sales,
            lines: lines.len() as u64,
            delivered: count(LineEnd::Delivered),
            refunded: count(LineEnd::Refunded),
            pending: count(LineEnd::Pending),
            lost: count(LineEnd::Lost),
            doubled: lines.iter().filter(|line| line.runs > 1 || line.items > 1).count() as u64,
            given_away: lines.iter().filter(|line| line.end == LineEnd::Refunded && line.fell).count() as u64,
            unknown: lines.iter().filter(|line| line.unknown).count() as u64,
            paid_minor: books.paid_minor,
            delivered_minor: sum(LineEnd::Delivered),
            refunded_minor: books.refunded_minor,
            by_wallet: books.by_wallet,
            faults,
            pay_to_motor_ms: Percentiles { p50: percentile(&times, 50), p99: percentile(&times, 99) },
            uplink_bytes_per_sale: running.bytes.0.checked_div(running.sales).unwrap_or(0),
            downlink_bytes_per_sale: running.bytes.1.checked_div(running.sales).unwrap_or(0),
            seconds: running.seconds,
            violations: books.violations,
        };
        report.check_money(sum(LineEnd::Pending), sum(LineEnd::Lost));
        report.check_faults(running);
        report
    }

    /// Paid = delivered + refunded + pending (and lost, which is a failure of its own).
    fn check_money(&mut self, pending_minor: u64, lost_minor: u64) {
        let booked = self.delivered_minor + self.refunded_minor + pending_minor + lost_minor;
        if booked != self.paid_minor {
            self.violations
                .push(format!("money does not balance: {} paid, {booked} booked", self.paid_minor));
        }
    }

    /// In a long enough run every fault that was asked for has bitten.
    fn check_faults(&mut self, running: &Running) {
        if running.sales < ENOUGH_SALES {
            return;
        }
        let rates = running.rates;
        let asked = [
            ("jam", rates.jam),
            ("hang", rates.hang),
            ("miss", rates.miss),
            ("notification_doubled", u32::from(rates.doubled)),
            ("notification_late", u32::from(rates.late)),
            ("link_cut", rates.link_cut),
            ("garbled_frame", rates.garbled),
            ("power_cut", rates.power_cut),
        ];
        for (name, _) in asked.into_iter().filter(|(_, permille)| *permille > 0) {
            if self.faults.get(name).is_none_or(|count| count.bit == 0) {
                self.violations.push(format!("the fault {name} never bit"));
            }
        }
    }

    /// Whether everything is as it must be.
    pub(crate) const fn passed(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.pending == 0 && self.violations.is_empty()
    }

    /// The table at the end of a run.
    pub(crate) fn print(&self) {
        let yuan = |minor: u64| format!("{}.{:02}", minor / 100, minor % 100);
        println!("\n  The books, from the plants' logs and the wallets' ledger");
        println!("  ────────────────────────────────────────────────────────");
        println!("  sales {:>6}   lines {:>6}", self.sales, self.lines);
        println!("  delivered  {:>6}   ¥{:>10}", self.delivered, yuan(self.delivered_minor));
        println!("  refunded   {:>6}   ¥{:>10}", self.refunded, yuan(self.refunded_minor));
        println!("  paid                ¥{:>10}", yuan(self.paid_minor));
        println!("  pending {}   lost {}   doubled {}", self.pending, self.lost, self.doubled);
        println!("  given away {}   unknown {}", self.given_away, self.unknown);
        let wallets: Vec<String> =
            self.by_wallet.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("  by wallet: {}", wallets.join(", "));
        println!("  pay to motor: p50 {} ms, p99 {} ms", self.pay_to_motor_ms.p50, self.pay_to_motor_ms.p99);
        println!(
            "  bytes a sale on the machine link: {} up, {} down",
            self.uplink_bytes_per_sale, self.downlink_bytes_per_sale
        );
        println!("\n  fault                   injected    bit");
        for (name, count) in self.faults.iter().filter(|(_, count)| count.injected > 0) {
            println!("  {name:<22} {:>9} {:>6}", count.injected, count.bit);
        }
        for violation in &self.violations {
            println!("  VIOLATION: {violation}");
        }
        let verdict = if self.passed() { "every line was delivered or refunded, once" } else { "FAILED" };
        println!("\n  {verdict} ({} s)", self.seconds);
    }
}

/// By nearest rank; 0 of nothing.
fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let values: Vec<i64> = (1..=100).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99), percentile(&[], 50)), (50, 99, 0));
        assert_eq!(percentile(&[7], 99), 7);
    }
}
