//! The messages of the machine link in which a machine tells of itself.

use vend_protocol::machine_link::{
    Fault, FaultCode, LogLevel, LogLine, Noted, SecurityCode, SecurityEvent, Telemetry, kind,
};

use super::{NOW_MS, list, machine_link::put, slot, text};
use crate::book::{Book, values};

pub(crate) fn put_all(book: &mut Book) {
    let telemetry = Telemetry {
        at_ms: NOW_MS,
        uptime_s: 86_400,
        temperatures_dc: list([38, -12]),
        signal_dbm: -71,
        supply_mv: 24_100,
        door_open: false,
        vends: 4021,
        failures: 17,
        connections: 96,
        journal_used: 384,
        dropped: 0,
    };
    put(book, values(telemetry));
    let raised = Fault {
        number: 5,
        at_ms: NOW_MS,
        code: FaultCode::MOTOR,
        slot: Some(slot(12)),
        raised: true,
        detail: 940,
    };
    let cleared =
        Fault { number: 6, slot: None, raised: false, code: FaultCode::COOLING, detail: -3, ..raised };
    let makers_own = Fault { code: FaultCode(300), ..raised };
    put(book, values(raised).and("cleared", cleared).and("of_the_maker", makers_own));
    put(book, values(SecurityEvent { number: 1, at_ms: NOW_MS, code: SecurityCode::DOOR, count: 1 }));
    put(book, values(Noted { kind: kind::STOCK_REPORT, number: 2 }));
    let line = LogLine {
        uptime_ms: 123_456,
        level: LogLevel::WARN,
        module: text("modem"),
        text: text("signal lost for 12 s"),
    };
    put(book, values(line));
}
