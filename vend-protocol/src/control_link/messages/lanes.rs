//! Lanes: how they are, how they shall be, and what is done with them that releases no product.

use serde::{Deserialize, Serialize};

use super::{Refusal, message};
use crate::{
    ConfigHash, List, MotorCode, SlotId,
    control_link::LANE_REPORTS_MAX,
    machine_link::{DriveKind, LANE_PART_ENTRIES, LaneConfig, SensorPolicy},
    outcome::open_number,
};

/// Main board: how are your lanes, from this one on?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanesRequest {
    /// The first lane of the page.
    pub from: SlotId,
}
message!(LanesRequest, LANES => LanesAnswer);

/// Control board: lanes in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanesAnswer {
    /// The lanes of the page.
    pub lanes: List<LaneReport, LANE_REPORTS_MAX>,
    /// There are more behind them.
    pub more: bool,
}
message!(LanesAnswer, LANE_REPORTS);

/// How a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// The lane.
    pub lane: SlotId,
    /// What moves it.
    pub drive: DriveKind,
    /// Whether the configuration lets it vend.
    pub enabled: bool,
    /// It rests at home; `true` for a lane that has no home.
    pub at_home: bool,
    /// How its motor ended in the last scan or vend since the board started, if there was one.
    pub motor: Option<MotorCode>,
}

/// Main board: go by this configuration. Sent part by part, in order; the board goes by it when it has all of them.
///
/// A part that the board has is answered again and changes nothing; one ahead of what it has is refused. The first part of a
/// hash begins anew. Refused while a vend or a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureRequest {
    /// The name of the whole configuration. The main board gives it; to the board it is opaque.
    pub config: ConfigHash,
    /// 0 to `parts` - 1.
    pub part: u8,
    /// How many parts there are: 1 or more, the same in all.
    pub parts: u8,
    /// How a fall is looked for, the same in all parts.
    pub sensor: SensorPolicy,
    /// Its lanes. A lane that no part names is disabled.
    pub lanes: List<LaneConfig, LANE_PART_ENTRIES>,
}
message!(ConfigureRequest, CONFIGURE => ConfigureAnswer);

/// Control board: the answer to [`ConfigureRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureAnswer {
    /// The configuration in force now.
    pub config: ConfigHash,
    /// The part of the request's configuration that the board waits for; `parts` when it has all of them.
    pub next: u8,
    /// Why this part was refused, if it was. The configuration in force stays then.
    pub refused: Option<Refusal>,
}
message!(ConfigureAnswer, CONFIGURED);

/// Main board: find out which motors are there, without releasing product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneScanRequest {
    /// The main board's choice: the number of the last task is answered with its state, another one starts a new task.
    pub task: u32,
    /// This lane only; `None`: all.
    pub lane: Option<SlotId>,
}
message!(LaneScanRequest, LANE_SCAN => TaskAnswer);

/// Main board: bring every mechanism home that can go there without releasing product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeAllRequest {
    /// As in [`LaneScanRequest`].
    pub task: u32,
}
message!(HomeAllRequest, HOME_ALL => TaskAnswer);

/// Main board: test sensors, supply and outputs, without motion that could release product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTestRequest {
    /// As in [`LaneScanRequest`].
    pub task: u32,
}
message!(SelfTestRequest, SELF_TEST => TaskAnswer);

/// Control board: the answer to the request of a task.
///
/// One task runs at a time, and no vend beside it. It ends by itself within [`crate::control_link::TASK_MAX_MS`]; asking again
/// is how the main board learns of the end. A board that lost power has forgotten it: then asking again starts it again, which
/// is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskAnswer {
    /// The task that was asked for.
    pub task: u32,
    /// How it stands.
    pub state: TaskState,
}
message!(TaskAnswer, TASK);

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// It was not begun.
    Refused(Refusal),
    /// Under way.
    Running,
    /// Ended.
    Done(TaskResult),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// In one number.
    pub code: TaskCode,
    /// Lanes that failed; [`LanesRequest`] tells which.
    pub lanes_failed: u16,
}

open_number! {
    /// How a task ended.
    TaskCode {
        /// All is well.
        OK = 0 "ok",
        /// Some lanes failed.
        LANES = 1 "lanes failed",
        /// An interlock forbade or stopped it.
        INTERLOCK = 2 "interlock",
        /// The drop sensor failed its test.
        SENSOR = 3 "drop sensor",
        /// The motor supply is outside its limits.
        SUPPLY = 4 "motor supply",
        /// An output, a driver or a measurement failed.
        DRIVE = 5 "drive",
        /// It did not end in time.
        TIMEOUT = 6 "too long",
    }
}
