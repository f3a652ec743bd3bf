//! What a host machine is made of.

use std::{path::PathBuf, sync::Arc};

use vend_hal::sim::PlantConfig;

use crate::tap::{NoTap, Tap};

/// What a host machine is made of.
pub struct HostConfig {
    /// Where its flash, identity and plant log are. Created when missing.
    pub dir: PathBuf,
    /// The enrolment ticket (see [`vend_payments::enrolment::Ticket`]); needed until the machine is enrolled.
    pub ticket: Option<String>,
    /// The server's MQTT listener, `host:port`. Plain TCP.
    pub mqtt: String,
    /// Which MQTT the machine speaks.
    pub mqtt_version: MqttVersion,
    /// The plant: lanes (at most [`HostConfig::MAX_LANES`]), speed, chance of faults, seed. Slot 1 is lane 0.
    pub plant: PlantConfig,
    /// What listens in, and may garble the wire between the boards.
    pub taps: Arc<dyn Tap>,
}

impl HostConfig {
    /// Lanes of the largest plant.
    pub const MAX_LANES: u8 = 60;

    /// A machine in `dir` with a plant in real time, that looks for its server on `127.0.0.1:1883` and has no ticket.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            ticket: None,
            mqtt: String::from("127.0.0.1:1883"),
            mqtt_version: MqttVersion::V311,
            plant: PlantConfig::default(),
            taps: Arc::new(NoTap),
        }
    }
}

impl core::fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Without the ticket: it holds a claim code.
        f.debug_struct("HostConfig")
            .field("dir", &self.dir)
            .field("mqtt", &self.mqtt)
            .field("mqtt_version", &self.mqtt_version)
            .field("plant", &self.plant)
            .finish_non_exhaustive()
    }
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1, which modems' built-in stacks speak.
    #[default]
    V311,
    /// 5.
    V5,
}
