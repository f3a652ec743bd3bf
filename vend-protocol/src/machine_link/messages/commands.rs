//! What an operator tells a machine to do.

use serde::{Deserialize, Serialize};

use super::message;
use crate::{Outcome, SlotId, machine_link::kind, outcome::open_number, signed::Signed};

/// Server to machine: do this, once. The machine keeps the last results: the same identifier again is answered with the
/// stored result. One that is not idempotent is journaled as done before it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Rising under one enrolment.
    pub id: u64,
    /// Not begun after this, in milliseconds since 1970, UTC.
    pub deadline_ms: u64,
    /// What.
    pub action: Action,
    /// The lane, if it is about one.
    pub slot: Option<SlotId>,
    /// The action's number, where it has one.
    pub value: u32,
    /// A signed [`crate::signed::GrantBody`], for what can release product.
    pub grant: Option<Signed>,
}
message!(Command, kind::COMMAND);

open_number! {
    /// What a command asks for.
    Action {
        /// Sell nothing.
        LOCK = 1 "lock",
        /// Sell again.
        UNLOCK = 2 "unlock",
        /// Restart the main board, when no order is open.
        REBOOT = 3 "reboot",
        /// Run lane `slot` once, with a grant, a service technician standing before it.
        TEST_VEND = 4 "test vend",
        /// Test sensors, motors and supply, without releasing product.
        SELF_TEST = 5 "self-test",
        /// Send telemetry every `value` seconds, until the next configuration.
        SET_INTERVAL = 6 "set interval",
        /// Bring every mechanism home, without releasing product.
        HOME_ALL = 7 "home all",
        /// Send the stock of every lane.
        REPORT_STOCK = 8 "report stock",
        /// Enable lane `slot` again after failures.
        ENABLE_LANE = 9 "enable lane",
        /// Disable lane `slot`.
        DISABLE_LANE = 10 "disable lane",
    }
}

/// Machine to server: what became of a command. Sent on each connection until [`super::Noted`] names its kind and identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Of which command.
    pub id: u64,
    /// What became of it.
    pub status: CommandStatus,
    /// The outcome of a test vend.
    pub outcome: Option<Outcome>,
    /// A number for people: what failed in a self-test, say.
    pub detail: u32,
}
message!(CommandResult, kind::COMMAND_RESULT);

open_number! {
    /// What became of a command.
    CommandStatus {
        /// It was done.
        DONE = 0 "done",
        /// It was tried and failed.
        FAILED = 1 "failed",
        /// Its deadline had passed.
        EXPIRED = 2 "expired",
        /// The machine does not know the action.
        UNKNOWN = 3 "unknown action",
        /// It needs a grant, and there was none that holds.
        NOT_GRANTED = 4 "not granted",
        /// Not while an order is open.
        BUSY = 5 "busy",
        /// The machine restarted in the middle of it.
        INTERRUPTED = 6 "interrupted",
        /// Its identifier is below the last one, and its result is not kept any more.
        OLD = 7 "an old command",
    }
}
