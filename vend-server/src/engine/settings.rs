//! The engine's times and limits.

use std::time::Duration;

/// Times and limits of sales. The default is what the rules say; a demo shortens what a wallet would stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// An unpaid order is closed at the wallet after this (180 s).
    pub unpaid_after: Duration,
    /// No line starts later than this after payment (120 s).
    pub deadline: Duration,
    /// The longest a machine may take for one order's vends (120 s).
    pub max_vend: Duration,
    /// Silence beyond deadline and longest vend that makes an outcome unknown (60 s).
    pub silence_grace: Duration,
    /// How long an unknown outcome waits for the machine before its money goes back (15 min).
    pub unknown_refund_after: Duration,
    /// Unknown outcomes and sensor faults refunded without an operator, a machine and day (3).
    pub doubtful_per_day: u32,
    /// How long further ones wait for the operator (24 h).
    pub operator_wait: Duration,
    /// Unpaid orders at once at one machine (3).
    pub unpaid_per_machine: u32,
    /// When an attempt is queried, after it was offered; from the end on the last gap repeats.
    pub query_after: Vec<Duration>,
    /// The gap between tries of a refund that is not finished; doubled up to 64 times.
    pub refund_retry: Duration,
    /// The answer of a wallet later than this is unknown (10 s).
    pub wallet_timeout: Duration,
    /// A machine sends something at least this often (300 s).
    pub keepalive: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            unpaid_after: seconds(180),
            deadline: seconds(120),
            max_vend: seconds(120),
            silence_grace: seconds(60),
            unknown_refund_after: seconds(900),
            doubtful_per_day: 3,
            operator_wait: seconds(24 * 3600),
            unpaid_per_machine: 3,
            // https://pay.weixin.qq.com/doc/v3/merchant/4012075249
            query_after: [5, 30, 60, 180, 300, 600, 1800].map(seconds).to_vec(),
            refund_retry: seconds(15),
            wallet_timeout: seconds(10),
            keepalive: seconds(300),
        }
    }
}

impl Settings {
    /// Divides what waits for a wallet by `scale`: queries and refund retries, and the time an unpaid order stays open (that
    /// one by 6 at most, since a person pays it).
    #[must_use]
    pub fn scaled(mut self, scale: u32) -> Self {
        let scale = scale.max(1);
        self.query_after.iter_mut().for_each(|after| *after /= scale);
        self.refund_retry /= scale;
        self.unpaid_after /= scale.min(6);
        self
    }
}
