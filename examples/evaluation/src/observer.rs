//! The observer at one machine: records its lines, garbles some, and pulls plugs at the planned moment.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use vend_firmware_host::{Board, Direction, HostMachine, MachineDirection, Tap};
use vend_hal::sim::{Happening, PlantEvent};
use vend_protocol::{
    cobs, control_link,
    frame::{CONTROL_FRAME_MAX, Frame},
    machine_link,
    signed::AuthorizationBody,
};

use crate::{
    faults::Dice,
    proxy::Proxy,
    record::{Record, Recorder, Seen, hex},
};

/// What is planned for one sale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Cut the link this long after the authorization (or when the receipt leaves, if that is earlier), for so long.
    pub(crate) link_cut: Option<(Duration, Duration)>,
    /// Lose the receipt's acknowledgement, then cut the link for so long: the server has the receipt and the machine does not
    /// know.
    pub(crate) lost_acknowledgement: Option<Duration>,
    /// Cut a board's power likewise.
    pub(crate) power_cut: Option<(Board, Duration, Duration)>,
}

/// The observer at one machine.
pub(crate) struct Observer {
    recorder: Recorder,
    proxy: Proxy,
    runtime: tokio::runtime::Handle,
    garble: Mutex<Garble>,
    /// Plans by order, and what is armed at the moment.
    state: Mutex<State>,
    host: OnceLock<Arc<HostMachine>>,
    /// Bytes published, up and down.
    bytes: Mutex<(u64, u64)>,
}

#[derive(Default)]
struct State {
    planned: std::collections::HashMap<u64, Plan>,
    /// The order whose plan has begun, with what is left of it: a delayed cut finds itself outdated.
    armed: Option<(u64, Plan)>,
}

struct Garble {
    dice: Dice,
    permille: u64,
}

impl Observer {
    pub(crate) fn new(recorder: Recorder, proxy: Proxy, dice: Dice, garbled_permille: u32) -> Arc<Self> {
        recorder.write(Seen::Started);
        Arc::new(Self {
            recorder,
            proxy,
            runtime: tokio::runtime::Handle::current(),
            garble: Mutex::new(Garble { dice, permille: u64::from(garbled_permille) }),
            state: Mutex::default(),
            host: OnceLock::new(),
            bytes: Mutex::default(),
        })
    }

    /// The machine whose plug it can pull.
    pub(crate) fn attach(&self, host: &Arc<HostMachine>) {
        let _ = self.host.set(Arc::clone(host));
    }

    pub(crate) fn write(&self, seen: Seen) {
        self.recorder.write(seen);
    }

    /// Bytes of MQTT PUBLISH payloads so far: up, down.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a sale's cuts, before it is paid.
    pub(crate) fn plan(&self, order: u64, plan: Plan) {
        if plan.link_cut.is_some() || plan.lost_acknowledgement.is_some() || plan.power_cut.is_some() {
            self.lock().planned.insert(order, plan);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receipt leaves. It will arrive; nothing will come back.
    fn lose_acknowledgement(self: &Arc<Self>, order: u64) {
        let off_for = {
            let mut state = self.lock();
            let armed = state.armed.as_mut().filter(|armed| armed.0 == order);
            armed.and_then(|(_, plan)| plan.lost_acknowledgement.take())
        };
        let Some(off_for) = off_for else { return };
        self.recorder.write(Seen::LinkCut { order });
        self.proxy.deafen();
        let proxy = self.proxy.clone();
        self.runtime.spawn(async move {
            // Long enough for the server to commit and answer.
            tokio::time::sleep(Duration::from_millis(500)).await;
            proxy.cut(off_for);
        });
    }

    /// An authorization arrives: the planned moments start to count.
    fn authorization(self: &Arc<Self>, order: u64) {
        let Some(plan) = self.lock().planned.remove(&order) else { return };
        self.lock().armed = Some((order, plan));
        for delay in [plan.link_cut.map(|cut| cut.0), plan.power_cut.map(|cut| cut.1)].into_iter().flatten() {
            let observer = Arc::clone(self);
            self.runtime.spawn(async move {
                tokio::time::sleep(delay).await;
                observer.strike(order, Some(delay));
            });
        }
    }

    /// Pulls the plugs whose moment has come; `after` is `None` when the receipt leaves and it is now or never.
    fn strike(self: &Arc<Self>, order: u64, after: Option<Duration>) {
        let (link, power) = {
            let mut state = self.lock();
            let Some((armed, plan)) = state.armed.as_mut().filter(|armed| armed.0 == order) else { return };
            let _ = armed;
            let due = |delay: Duration| after.is_none_or(|after| after >= delay);
            let link = plan.link_cut.filter(|cut| due(cut.0));
            let power = plan.power_cut.filter(|cut| due(cut.1));
            if link.is_some() {
                plan.link_cut = None;
            }
            if power.is_some() {
                plan.power_cut = None;
            }
            (link, power)
        };
        if let Some((_, off_for)) = link {
            self.recorder.write(Seen::LinkCut { order });
            self.proxy.cut(off_for);
        }
        if let (Some((board, _, off_for)), Some(host)) = (power, self.host.get()) {
            self.recorder.write(Seen::PowerCut { order, board: format!("{board:?}").to_lowercase() });
            let host = Arc::clone(host);
            // It waits for the machine's own thread, which may be the caller.
            self.runtime.spawn_blocking(move || host.cut_power(board, off_for));
        }
    }
}

/// The observer as a machine's tap.
pub(crate) struct ObserverTap(pub(crate) Arc<Observer>);

impl Tap for ObserverTap {
    fn control_frame(&self, direction: Direction, frame: &[u8]) {
        let Ok(parsed) = Frame::parse(frame) else { return };
        if matches!(parsed.kind, control_link::kind::VEND | control_link::kind::VENDING) {
            let to_control = direction == Direction::ToControl;
            self.0.recorder.write(Seen::Control { to_control, frame: hex(frame) });
        }
    }

    fn control_bytes(&self, _direction: Direction, line: &mut Vec<u8>) {
        let mut garble = self.0.garble.lock().unwrap_or_else(PoisonError::into_inner);
        let permille = garble.permille;
        if line.is_empty() || garble.dice.below(1000) >= permille {
            return;
        }
        let before = frames(line);
        let at = usize::try_from(garble.dice.below(line.len() as u64)).unwrap_or(0);
        if garble.dice.below(2) == 0 {
            line.remove(at);
        } else if let Some(byte) = line.get_mut(at) {
            *byte ^= 1 << garble.dice.below(8);
        }
        drop(garble);
        // A lost delimiter next to another one does no harm, and is not counted as one.
        self.0.recorder.write(Seen::Garbled { noticed: frames(line) != before });
    }

    fn machine_frame(&self, direction: MachineDirection, frame: &[u8]) {
        {
            let mut bytes = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            match direction {
                MachineDirection::Up => bytes.0 += frame.len() as u64,
                MachineDirection::Down => bytes.1 += frame.len() as u64,
            }
        }
        // It has none of the session's keys, and needs none to know what passes.
        let Ok(parsed) = machine_link::dangerous_unverified(frame) else { return };
        match (direction, parsed.kind) {
            (MachineDirection::Down, machine_link::kind::AUTHORIZATION) => {
                self.0.recorder.write(Seen::Down { frame: hex(frame) });
                let order = parsed
                    .decode::<machine_link::Authorization>()
                    .ok()
                    .and_then(|authorization| {
                        vend_protocol::codec::decode::<AuthorizationBody>(&authorization.0.body).ok()
                    })
                    .map(|body| body.order.number());
                if let Some(order) = order {
                    self.0.authorization(order);
                }
            }
            (MachineDirection::Up, machine_link::kind::HELLO) => {
                self.0.recorder.write(Seen::Up { frame: hex(frame) });
            }
            (MachineDirection::Up, machine_link::kind::RECEIPT) => {
                self.0.recorder.write(Seen::Up { frame: hex(frame) });
                let armed = self.0.lock().armed.as_ref().map(|armed| armed.0);
                if let Some(order) = armed {
                    self.0.lose_acknowledgement(order);
                    self.0.strike(order, None);
                }
            }
            (MachineDirection::Down, machine_link::kind::ACKNOWLEDGEMENT) => self.0.lock().armed = None,
            _ => {}
        }
    }

    fn plant_event(&self, event: &PlantEvent) {
        if is_kept(event) {
            self.0.recorder.write(Seen::Plant { event: event.to_string() });
        }
    }
}

/// Whether the books need it.
fn is_kept(event: &PlantEvent) -> bool {
    matches!(
        event.what,
        Happening::RunStarted { .. }
            | Happening::CurrentFlowed { .. }
            | Happening::ItemPushed { .. }
            | Happening::ItemFell { .. }
            | Happening::RunEnded { .. }
    )
}

/// Takes what the plant's own log has and the recording lacks: a kill between the two writes leaves one event.
pub(crate) fn catch_up(recorder: &Recorder, recorded: &[Record], plant_log: &str) {
    let known = recorded.iter().filter(|record| matches!(record.seen, Seen::Plant { .. })).count();
    let events = plant_log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events = events.filter_map(|line| line.trim_end().parse::<PlantEvent>().ok()).filter(is_kept);
    for event in events.skip(known) {
        let at_ms = i64::try_from(event.at.as_millis()).unwrap_or(i64::MAX);
        recorder.write_at(at_ms, Seen::Plant { event: event.to_string() });
    }
}

/// The frames that a receiver would take from these bytes.
fn frames(line: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = cobs::Decoder::<CONTROL_FRAME_MAX>::new();
    // Whatever came before ended with a delimiter, and whatever follows begins with one.
    let bytes = [0].into_iter().chain(line.iter().copied()).chain([0]);
    let mut frames = Vec::new();
    for byte in bytes {
        if let Some(frame) = decoder.push(byte)
            && Frame::parse(frame).is_ok()
        {
            frames.push(frame.to_vec());
        }
    }
    frames
}
