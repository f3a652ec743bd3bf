//! What the model machine tells of itself.

use vend_protocol::{
    List, ProductId, SlotId, Text,
    machine_link::{
        Class, CommandResult, CommandStatus, Fault, FaultCode, LogLevel, LogLine, SecurityCode,
        SecurityEvent, StockCause, StockEntry, StockReport, Telemetry, kind,
    },
};

use super::{Machine, Session};
use crate::{env::Env, newer::Newer};

impl Machine {
    /// Queues what the server has not noted and was not told on this connection, as far as there is room.
    pub(crate) fn tell_events(&mut self, env: &mut Env) {
        let Some(ram) = &self.ram else { return };
        if !ram.session.as_ref().is_some_and(Session::is_open) || ram.told.is_superset(&self.journal.events) {
            return;
        }
        let untold: Vec<_> = self.journal.events.difference(&ram.told).copied().collect();
        for (kind, number) in untold {
            if !self.tell(env, kind, number) {
                return;
            }
            if let Some(ram) = &mut self.ram {
                ram.told.insert((kind, number));
            }
        }
    }

    fn tell(&mut self, env: &mut Env, kind: u8, number: u64) -> bool {
        let short = u32::try_from(number).unwrap();
        match kind {
            kind::STOCK_REPORT => {
                let entry = StockEntry {
                    slot: SlotId::new(11).unwrap(),
                    product: ProductId::new(9).unwrap(),
                    count: 5,
                };
                let entries = List::try_from_iter([entry; 2]).unwrap();
                let report = StockReport { number: short, at_ms: 0, cause: StockCause::COUNTED, entries };
                self.queue(env, Class::Event, &report)
            }
            kind::COMMAND_RESULT => {
                let status = CommandStatus::DONE;
                let result = CommandResult { id: number, status, outcome: None, detail: 0 };
                self.queue(env, Class::Event, &result)
            }
            _ => {
                let event = SecurityEvent { number: short, at_ms: 0, code: SecurityCode::DOOR, count: 1 };
                self.queue(env, Class::Event, &event)
            }
        }
    }

    pub(crate) fn chatter_due(&self, env: &Env) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        (env.faults.chatter_ms > 0).then_some(ram.chatter_ms)
    }

    /// Something happens at the machine that the server would like to hear of.
    pub(crate) fn chatter(&mut self, env: &mut Env) {
        let Some(ram) = &mut self.ram else { return };
        ram.chatter_ms = env.now_ms + 1 + env.rng.below(env.faults.chatter_ms * 2);
        let (uptime_ms, what) = (env.now_ms - ram.boot_ms, env.rng.below(7));
        match what {
            0 | 1 => self.say(env, Class::State, &telemetry(uptime_ms)),
            2 => self.say(env, Class::Lossy, &log_line(uptime_ms)),
            3 => self.journal.add_event(kind::STOCK_REPORT),
            4 => self.journal.add_event(kind::SECURITY_EVENT),
            5 => self.say(env, Class::Event, &fault(self.journal.last_event)),
            _ => self.find_out(env),
        }
        if env.rng.chance(env.faults.newer) {
            self.say(env, Class::Event, &Newer::<0x3E, 1>(7));
            self.say(env, Class::Lossy, &Newer::<{ kind::TELEMETRY }, 2>(7));
        }
        self.tell_events(env);
    }

    /// The truth about a line that nobody witnessed comes to light.
    pub(crate) fn find_out(&mut self, env: &mut Env) {
        let Some((seq, receipt, line)) = self.journal.doubts.pop() else { return };
        let Some(outcome) = env.motors.ran.get(&(self.board.enrolment, seq, line)) else { return };
        let at_ms = self.server_time_ms(env.now_ms).unwrap_or(0);
        self.journal.amend(self.board, receipt, line, *outcome, at_ms);
        env.counts.amendments += 1;
        env.note(|| format!("machine: amendment {} of receipt {receipt}", self.journal.last));
    }
}

pub(crate) fn telemetry(uptime_ms: u64) -> Telemetry {
    Telemetry {
        at_ms: 0,
        uptime_s: u32::try_from(uptime_ms / 1000).unwrap(),
        temperatures_dc: List::try_from_iter([41, -180]).unwrap(),
        signal_dbm: -71,
        supply_mv: 24_000,
        door_open: false,
        vends: 0,
        failures: 0,
        connections: 1,
        journal_used: 0,
        dropped: 0,
    }
}

fn log_line(uptime_ms: u64) -> LogLine {
    let (module, text) = (Text::truncated("model"), Text::truncated("a line of the log"));
    LogLine { uptime_ms, level: LogLevel::INFO, module, text }
}

fn fault(number: u64) -> Fault {
    let number = u32::try_from(number).unwrap();
    Fault { number, at_ms: 0, code: FaultCode::DOOR_OPEN, slot: None, raised: true, detail: 0 }
}
