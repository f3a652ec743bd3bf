//! The control board's task.

use embedded_hal_async::delay::DelayNs;
use vend_firmware::control::{ControlConfig, serve};
use vend_hal::{
    Bank, BoardConfig, DropSensor, LaneId, LocalBoard, NotStarted, Outcome, VendLimits, sim::Plant,
};
use vend_protocol::ConfigHash;

use crate::{HostConfig, wire::WireEnd};

const LANES: usize = HostConfig::MAX_LANES as usize;

/// What main board and control board must agree on: here, the number of lanes.
pub(crate) const fn config_hash(lanes: u8) -> ConfigHash {
    ConfigHash([b'h', b'o', b's', b't', b'-', b'1', 0, lanes])
}

/// Waits in real time.
#[derive(Clone, Copy, Debug)]
struct TokioDelay;

impl DelayNs for TokioDelay {
    async fn delay_ns(&mut self, ns: u32) {
        tokio::time::sleep(std::time::Duration::from_nanos(ns.into())).await;
    }

    async fn delay_us(&mut self, us: u32) {
        tokio::time::sleep(std::time::Duration::from_micros(us.into())).await;
    }

    async fn delay_ms(&mut self, ms: u32) {
        tokio::time::sleep(std::time::Duration::from_millis(ms.into())).await;
    }
}

/// The first lanes of a bank.
struct First<B> {
    bank: B,
    lanes: u8,
}

impl<B: Bank> Bank for First<B> {
    fn lanes(&self) -> u8 {
        self.lanes
    }

    async fn vend<S: DropSensor>(&mut self, lane: LaneId, limits: &VendLimits, sensor: &mut S) -> Outcome {
        if lane.index() < self.lanes {
            self.bank.vend(lane, limits, sensor).await
        } else {
            Outcome::not_started(NotStarted::NoSuchLane)
        }
    }
}

/// Runs the control board from its start until the future is dropped.
pub(crate) async fn run(plant: Plant, lanes: u8, mut line: WireEnd) {
    line.clear();
    plant.restore_power();
    let time = plant.timer(TokioDelay);
    let bank = First { bank: plant.spirals::<LANES, _>(&time), lanes };
    let config =
        BoardConfig { config_hash: vend_hal::ConfigHash(config_hash(lanes).0), ..BoardConfig::default() };
    let sensor = plant.ir_beam(time.clone());
    let mut board = LocalBoard::new(config, bank, sensor, time);
    let (mut handle, mut motion) = board.split();
    // The line of this board cannot fail or end, so neither of the two does.
    tokio::select! {
        _ = serve(&mut line, ControlConfig::default(), &mut handle) => {}
        _ = motion.run() => {}
    }
}
