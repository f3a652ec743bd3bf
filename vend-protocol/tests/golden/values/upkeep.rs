//! The messages of the machine link about configuration, commands and updates.

use vend_protocol::{
    DropReport, MotorCode, Outcome, Reason, Start,
    machine_link::{
        Action, CabinetConfig, Chunk, ChunkRequest, Command, CommandResult, CommandStatus, ConfigApplied,
        ConfigRefusal, DeviceConfig, DriveKind, FailurePolicy, ImageName, LaneConfig, LaneConfigPart,
        SensorPolicy, UpdateOffer, UpdateStatus, UpdateVerdict,
    },
};

use super::{NOW_MS, bodies, list, machine_link::put, signed, slot};
use crate::book::{Book, values};

pub(crate) fn put_all(book: &mut Book) {
    config(book);
    commands(book);
    update(book);
}

pub(crate) const SENSOR: SensorPolicy =
    SensorPolicy { without_sensor: false, extra_quarter_turns: 3, settle_ms: 1500 };

pub(crate) fn lane(number: u64) -> LaneConfig {
    LaneConfig {
        slot: slot(number),
        enabled: true,
        drive: DriveKind::SPIRAL,
        coupled_with: None,
        run_max_ms: 8000,
        over_current_ma: 900,
        stall_ms: 150,
        open_load_ma: 20,
        cool_down_ms: 500,
    }
}

fn config(book: &mut Book) {
    let config = DeviceConfig {
        version: 2,
        lane_parts: 1,
        cabinet: CabinetConfig {
            set_point_dc: Some(40),
            differential_dc: 20,
            health_limit_dc: Some(50),
            health_grace_min: 15,
            health_grace_door_min: 30,
            compressor_rest_s: 300,
            light_percent: 80,
        },
        sensor: SENSOR,
        failures: FailurePolicy { lane_failures: 2, machine_failures: 5 },
        telemetry_s: 60,
    };
    let frozen = CabinetConfig { set_point_dc: Some(-180), ..config.cabinet };
    put(book, values(config).and("below_zero", DeviceConfig { cabinet: frozen, ..config }));
    let wide = LaneConfig { coupled_with: Some(slot(14)), drive: DriveKind::MATRIX, ..lane(13) };
    put(book, values(LaneConfigPart { version: 2, part: 0, lanes: list([lane(12), wide]) }));
    let applied = ConfigApplied { version: 2, refused: None };
    put(
        book,
        values(applied).and("refused", ConfigApplied { refused: Some(ConfigRefusal::LANE), ..applied }),
    );
}

fn commands(book: &mut Book) {
    let lock = Command {
        id: 30,
        deadline_ms: NOW_MS + 60_000,
        action: Action::LOCK,
        slot: None,
        value: 0,
        grant: None,
    };
    let grant = Some(signed(&bodies::grant()));
    let test_vend = Command { action: Action::TEST_VEND, slot: Some(slot(12)), grant, ..lock.clone() };
    let interval = Command { action: Action::SET_INTERVAL, value: 300, ..lock.clone() };
    put(book, values(lock).and("test_vend", test_vend).and("set_interval", interval));

    let started =
        Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };
    let done = CommandResult { id: 30, status: CommandStatus::DONE, outcome: None, detail: 0 };
    let with = |outcome| CommandResult { outcome: Some(outcome), ..done };
    let results = values(done)
        .and("test_vend", with(started))
        .and("test_vend_not_started", with(Outcome::not_started(Reason::LANE)))
        .and("test_vend_not_seen", with(Outcome { drop: DropReport::NotSeen, ..started }))
        .and("test_vend_not_fitted", with(Outcome { drop: DropReport::NotFitted, ..started }))
        .and_case("outcome.start", "NotStarted");
    put(book, results);
}

fn update(book: &mut Book) {
    put(book, values(UpdateOffer(signed(&bodies::manifest()))));
    put(book, values(ChunkRequest { version: 12, image: ImageName::MAIN, offset: 65_536, length: 512 }));
    let bytes = [0x7F, b'E', b'L', b'F', 0, 0, 0, 0].as_slice().try_into().unwrap();
    put(book, values(Chunk { version: 12, image: ImageName::CONTROL, offset: 0, bytes }));
    put(book, values(UpdateVerdict { version: 12, status: UpdateStatus::CONFIRMED, detail: 0 }));
}
