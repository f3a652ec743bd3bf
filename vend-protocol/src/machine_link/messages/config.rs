//! The configuration of a machine: set points, policies, lanes.
//!
//! A configuration is one [`DeviceConfig`] and as many [`LaneConfigPart`]s as it announces. The machine applies it when it has
//! all of one version, and never while it vends.

use serde::{Deserialize, Serialize};

use super::message;
use crate::{
    List, SlotId,
    machine_link::{LANE_PART_ENTRIES, kind},
    outcome::open_number,
};

/// Server to machine: everything that is not about one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// Rising; 0 is the configuration a machine is built with.
    pub version: u32,
    /// How many [`LaneConfigPart`]s belong to it.
    pub lane_parts: u8,
    /// Temperatures and light.
    pub cabinet: CabinetConfig,
    /// How a fall is looked for.
    pub sensor: SensorPolicy,
    /// When failures put something out of service.
    pub failures: FailurePolicy,
    /// Telemetry is sent this often, in seconds; 0: never.
    pub telemetry_s: u16,
}
message!(DeviceConfig, kind::DEVICE_CONFIG);

/// Set points of the cabinet. Temperatures are tenths of a degree Celsius.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CabinetConfig {
    /// What the thermostat keeps; `None`: no cooling and no heating.
    pub set_point_dc: Option<i16>,
    /// The thermostat switches at half of this above and below.
    pub differential_dc: u16,
    /// Above this for longer than the grace time nothing perishable is sold; `None`: no health lock.
    pub health_limit_dc: Option<i16>,
    /// The grace time, in minutes.
    pub health_grace_min: u16,
    /// The grace time after the door was closed or a defrost ended, in minutes.
    pub health_grace_door_min: u16,
    /// The compressor rests at least so long between two starts, in seconds.
    pub compressor_rest_s: u16,
    /// The light, 0 to 100 %.
    pub light_percent: u8,
}

/// How a fall is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorPolicy {
    /// Lanes may vend when no drop sensor is fitted.
    pub without_sensor: bool,
    /// Quarter turns after the first turn, until something falls: 0 to 3.
    pub extra_quarter_turns: u8,
    /// The window stays open so long after the motor has stopped, in milliseconds.
    pub settle_ms: u16,
}

/// When failures put something out of service. 0 is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailurePolicy {
    /// Failures in a row that disable a lane.
    pub lane_failures: u8,
    /// Failures in a row, in any lanes, that lock the machine.
    pub machine_failures: u8,
}

/// Server to machine: lanes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneConfigPart {
    /// The configuration it belongs to.
    pub version: u32,
    /// 0 to `lane_parts` - 1.
    pub part: u8,
    /// Its lanes.
    pub lanes: List<LaneConfig, LANE_PART_ENTRIES>,
}
message!(LaneConfigPart, kind::LANE_CONFIG_PART);

/// One lane. Also what the main board tells a control board with [`crate::control_link::ConfigureRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneConfig {
    /// The lane.
    pub slot: SlotId,
    /// Whether it may vend.
    pub enabled: bool,
    /// What turns it.
    pub drive: DriveKind,
    /// A lane whose motor turns with this one's, for a wide product.
    pub coupled_with: Option<SlotId>,
    /// The motor runs at most so long, in milliseconds.
    pub run_max_ms: u16,
    /// Current above this for longer than `stall_ms` is a stall, in milliamperes; 0: not watched.
    pub over_current_ma: u16,
    /// See above, in milliseconds.
    pub stall_ms: u16,
    /// Current below this while driven is a broken wire, in milliamperes; 0: not watched.
    pub open_load_ma: u16,
    /// The motor rests so long before its next run, in milliseconds.
    pub cool_down_ms: u16,
}

open_number! {
    /// What moves the product of a lane.
    DriveKind {
        /// A spiral with a home switch.
        SPIRAL = 1 "spiral",
        /// A spiral in a row and column matrix.
        MATRIX = 2 "matrix spiral",
        /// A belt.
        CONVEYOR = 3 "conveyor",
        /// An elevator that fetches from the shelf.
        ELEVATOR = 4 "elevator",
        /// A door with an electronic lock.
        LOCK = 5 "lock",
        /// A hook or pusher.
        PUSHER = 6 "pusher",
    }
}

/// Machine to server: the answer to a whole configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigApplied {
    /// The version it goes by now.
    pub version: u32,
    /// Why a newer one was refused, if it was.
    pub refused: Option<ConfigRefusal>,
}
message!(ConfigApplied, kind::CONFIG_APPLIED);

open_number! {
    /// Why a configuration was refused. The whole of it was: a machine never goes by half a configuration.
    ConfigRefusal {
        /// Its version is not above the present one.
        OLD = 1 "an old version",
        /// A value is outside what the machine can do.
        RANGE = 2 "a value out of range",
        /// It names a lane the machine does not have.
        LANE = 3 "no such lane",
        /// It names a drive the machine does not have.
        DRIVE = 4 "no such drive",
        /// There is no room to keep it.
        ROOM = 5 "no room",
    }
}
