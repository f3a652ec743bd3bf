//! A running host machine.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc as sync_mpsc},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use tokio::{sync::mpsc, task, time::Instant};
use vend_hal::{
    LaneId,
    sim::{FileLog, Plant, PlantEvent, PlantLog, RealClock},
};
use vend_payments::enrolment::Ticket;
use vend_protocol::{MachineId, PlanVersion, SlotId};

use crate::{
    HostConfig, HostError, control_board,
    main_board::{self, MainBoard},
    tap::Tap,
    wire::{WireEnd, wire},
};

/// A board, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Board {
    /// The main board: journal, orders, modem.
    Main,
    /// The control board: motors and sensors.
    Control,
    /// Both at once.
    Both,
}

/// How a host machine does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a lamp of its own")]
pub struct Status {
    /// Its number, once it is enrolled.
    pub machine: Option<MachineId>,
    /// The server accepted its hello, and the connection stands.
    pub connected: bool,
    /// The planogram it sells from, once it has all of one.
    pub plan: Option<PlanVersion>,
    /// An order is being vended.
    pub busy: bool,
    /// Receipts the server has not acknowledged.
    pub unacknowledged: u64,
    /// The main board has power.
    pub main_on: bool,
    /// The control board has power.
    pub control_on: bool,
}

/// A machine that runs on a thread of its own. Dropping the handle stops it.
#[derive(Debug)]
pub struct HostMachine {
    commands: mpsc::UnboundedSender<Command>,
    status: Arc<Mutex<Status>>,
    failure: Arc<Mutex<Option<String>>>,
    plant: Plant,
    lanes: u8,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Cut { board: Board, off_for: Duration, done: sync_mpsc::Sender<()> },
    Stop,
}

/// Writes the plant's log and tells the taps.
struct TappedLog {
    log: FileLog,
    taps: Arc<dyn Tap>,
}

impl PlantLog for TappedLog {
    fn append(&mut self, event: &PlantEvent) -> std::io::Result<()> {
        self.log.append(event)?;
        self.taps.plant_event(event);
        Ok(())
    }
}

impl HostMachine {
    /// Starts a machine. It enrols itself if it has to, connects, and goes on until it is stopped.
    ///
    /// # Errors
    /// [`HostError`] for what can be found out at once: files, ticket, journal. A server that cannot be reached is none:
    /// the machine tries again for ever.
    pub fn start(config: HostConfig) -> Result<Self, HostError> {
        let lanes = config.plant.lanes;
        if lanes == 0 || lanes > HostConfig::MAX_LANES {
            return Err(HostError::Lanes);
        }
        let mqtt = address(&config.mqtt).ok_or_else(|| HostError::Address(config.mqtt.clone()))?;
        std::fs::create_dir_all(&config.dir)
            .map_err(|error| HostError::File { path: config.dir.clone(), error })?;
        if let Some(ticket) = &config.ticket {
            Ticket::parse(ticket)?;
        }
        let (identity, _) = main_board::open(&config.dir, config.ticket.is_some())?;
        let enrolled = identity.enrolled();
        if enrolled.is_none() && config.ticket.is_none() {
            return Err(HostError::NoTicket);
        }
        let plant = plant(&config)?;
        let status = Arc::new(Mutex::new(Status {
            machine: enrolled.map(|enrolled| enrolled.machine),
            ..Status::default()
        }));
        let failure = Arc::default();
        let (commands, inbox) = mpsc::unbounded_channel();
        let thread = {
            let (plant, status, failure) = (plant.clone(), Arc::clone(&status), Arc::clone(&failure));
            let thread = std::thread::Builder::new().name(String::from("vend-machine"));
            let body = move || run(config, mqtt, plant, status, failure, inbox);
            thread.spawn(body).map_err(HostError::Thread)?
        };
        Ok(Self { commands, status, failure, plant, lanes, thread: Some(thread) })
    }

    /// How it does now.
    pub fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number, once it is enrolled.
    pub fn machine_id(&self) -> Option<MachineId> {
        self.status().machine
    }

    /// Why its main board stopped by itself, if it did: a refused enrolment, a journal that failed.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cuts a board's power now, for at least `off_for`; then it boots from its flash. Returns when the power is gone. A
    /// board that is off already stays off for at least as long.
    pub fn cut_power(&self, board: Board, off_for: Duration) {
        let (done, gone) = sync_mpsc::channel();
        if self.commands.send(Command::Cut { board, off_for, done }).is_ok() {
            // An error means that the machine has stopped: its power is gone too.
            let _ = gone.recv();
        }
    }

    /// Puts `items` more into a slot and takes out what hangs there. Slots the machine does not have are ignored.
    pub fn refill(&self, slot: SlotId, items: u32) {
        let lane = u8::try_from(slot.number().saturating_sub(1)).ok().filter(|lane| *lane < self.lanes);
        if let Some(lane) = lane {
            self.plant.refill(LaneId::new(lane), items);
        }
    }

    /// The plant, to look into it and to break things.
    pub fn plant(&self) -> Plant {
        self.plant.clone()
    }

    /// Stops it, as if the power had been cut, and waits for its thread to end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself; then there is only the thread to wait for.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for HostMachine {
    fn drop(&mut self) {
        self.end();
    }
}

fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { None } else { Some((String::from(host), port.parse().ok()?)) }
}

fn plant(config: &HostConfig) -> Result<Plant, HostError> {
    let path = config.dir.join("plant.log");
    let (log, events) = FileLog::open(&path).map_err(|error| HostError::File { path, error })?;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let wall = vend_hal::Instant::from_millis(u64::try_from(since_1970.as_millis()).unwrap_or(0));
    // Logs of several machines are comparable, and a clock that was set back does not turn a log around.
    let now = events.last().map_or(wall, |last| last.at.max(wall));
    let log = TappedLog { log, taps: Arc::clone(&config.taps) };
    Ok(Plant::restore(config.plant, RealClock::starting_at(now), log, &events))
}

fn run(
    config: HostConfig,
    mqtt: (String, u16),
    plant: Plant,
    status: Arc<Mutex<Status>>,
    failure: Arc<Mutex<Option<String>>>,
    inbox: mpsc::UnboundedReceiver<Command>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            return;
        }
    };
    let (main_line, control_line) = wire(&config.taps);
    let main_board = MainBoard {
        dir: config.dir,
        ticket: config.ticket,
        mqtt,
        version: config.mqtt_version,
        lanes: config.plant.lanes,
        line: main_line,
        taps: config.taps,
        status: Arc::clone(&status),
    };
    let now = Instant::now();
    let supervisor = Supervisor {
        main_board,
        control_line,
        plant,
        status,
        failure,
        main: Power::Off { until: Some(now) },
        control: Power::Off { until: Some(now) },
    };
    task::LocalSet::new().block_on(&runtime, supervisor.run(inbox));
}

/// Whether a board runs.
enum Power {
    On(task::JoinHandle<Option<HostError>>),
    /// Until when; `None`: for good.
    Off {
        until: Option<Instant>,
    },
}

impl Power {
    const fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    fn until(&self) -> Option<Instant> {
        match self {
            Self::On(_) => None,
            Self::Off { until } => *until,
        }
    }

    /// Drops the board's task where it waits.
    async fn cut(&mut self, until: Instant) {
        match self {
            Self::On(task) => {
                task.abort();
                let _ = task.await;
                *self = Self::Off { until: Some(until) };
            }
            Self::Off { until: Some(already) } => *already = until.max(*already),
            Self::Off { until: None } => {}
        }
    }

    /// Waits for the board's task to end by itself.
    async fn ended(&mut self) -> Option<HostError> {
        match self {
            Self::On(task) => task.await.unwrap_or(None),
            Self::Off { .. } => std::future::pending().await,
        }
    }
}

struct Supervisor {
    main_board: MainBoard,
    control_line: WireEnd,
    plant: Plant,
    status: Arc<Mutex<Status>>,
    failure: Arc<Mutex<Option<String>>>,
    main: Power,
    control: Power,
}

impl Supervisor {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        loop {
            self.boot();
            let wake = [self.main.until(), self.control.until()].into_iter().flatten().min();
            let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Cut { board, off_for, done }) => {
                        self.cut(board, off_for).await;
                        // Nobody waits any more when the handle is gone.
                        let _ = done.send(());
                    }
                    Some(Command::Stop) | None => {
                        self.cut(Board::Both, Duration::ZERO).await;
                        return;
                    }
                },
                error = self.main.ended() => {
                    self.main = Power::Off { until: None };
                    let why = error.map_or_else(|| String::from("the main board's task panicked"), |e| e.to_string());
                    tracing::error!(why, "the main board stopped");
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                }
                _ = self.control.ended() => self.control = Power::Off { until: Some(Instant::now()) },
                () = tokio::time::sleep_until(wake) => {}
            }
            self.report();
        }
    }

    fn boot(&mut self) {
        let now = Instant::now();
        if self.main.until().is_some_and(|until| now >= until) {
            let board = self.main_board.clone();
            self.main = Power::On(task::spawn_local(async move { Some(Box::pin(board.run()).await) }));
        }
        if self.control.until().is_some_and(|until| now >= until) {
            let (plant, line) = (self.plant.clone(), self.control_line.clone());
            let lanes = self.main_board.lanes;
            self.control = Power::On(task::spawn_local(async move {
                control_board::run(plant, lanes, line).await;
                None
            }));
        }
        self.report();
    }

    async fn cut(&mut self, board: Board, off_for: Duration) {
        let until = Instant::now() + off_for;
        if board != Board::Main {
            // First the plant: the drivers of a board without power cannot switch anything any more.
            self.plant.cut_power();
            self.control.cut(until).await;
        }
        if board != Board::Control {
            self.main.cut(until).await;
        }
        self.report();
    }

    fn report(&self) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.main_on = self.main.is_on();
        status.control_on = self.control.is_on();
        if !status.main_on {
            (status.connected, status.busy, status.plan) = (false, false, None);
        }
    }
}
