//! States and verdicts in words.

/// An order's state, for its customer.
pub(in crate::web) fn order(state: &str, all_delivered: bool, some_delivered: bool) -> &'static str {
    match state {
        "preparing" => "One moment: asking the machine",
        "offered" => "Waiting for your payment",
        "paid" | "authorizing" | "authorized" => "Paid: the machine is getting ready",
        "taken" => "Paid: the machine is at work",
        "settling" | "settled" if all_delivered => "Done: please take your products",
        "settling" => "Your money is on its way back for what did not come out",
        "settled" if some_delivered => "Done: what did not come out was refunded",
        "settled" => "Nothing came out: your money was refunded",
        "closed" => "Closed: nothing was paid",
        "refused" => "Not sold: nothing was charged",
        _ => "In progress",
    }
}

/// A line's state, for its customer.
pub(in crate::web) fn line(state: &str) -> &'static str {
    match state {
        "delivered" => "delivered",
        "refunding" => "money on its way back",
        "refunded" => "refunded",
        "released" => "not bought",
        _ => "waiting",
    }
}

/// A line's verdict, for its customer.
pub(in crate::web) fn verdict(verdict: &str) -> &'static str {
    match verdict.split(':').next().unwrap_or_default() {
        "delivered" => "it came out",
        "unverified" => "the machine has handed it out",
        "not delivered" => "it did not come out",
        "not attempted" => "the machine did not start it",
        "unknown" => "the machine could not see whether it came out",
        "sensor fault" => "the machine's sensor failed",
        _ => "",
    }
}

/// A refund's state, for anybody.
pub(in crate::web) fn refund(state: &str) -> &'static str {
    match state {
        "reserved" => "about to be made",
        "sent" => "asked of the wallet",
        "succeeded" => "made",
        "needs_operator" => "waits for the operator",
        "replaced" => "closed by the wallet and made anew",
        _ => "in progress",
    }
}
