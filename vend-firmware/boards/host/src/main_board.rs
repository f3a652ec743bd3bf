//! The main board's task: carries out what the [`Machine`] wants.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use vend_firmware::{
    journal::{self, Journal},
    machine::{Action, JournalAnswer, JournalRequest, Machine, MachineConfig, Random},
};
use vend_payments::enrolment::{Enrolled, Ticket};
use vend_protocol::frame::MACHINE_FRAME_MAX;

use crate::{
    HostError, MqttVersion, Status,
    control_board::config_hash,
    enrol::enrol,
    flash::{FileFlash, FlashError},
    identity::{Identity, remove_key_list, store_key_list},
    mqtt::{Connection, Event, Login},
    tap::{MachineDirection, Tap},
    wire::WireEnd,
};

/// Slots of the largest planogram.
const SLOTS: usize = 128;
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What the main board is made of.
#[derive(Clone)]
pub(crate) struct MainBoard {
    pub(crate) dir: PathBuf,
    pub(crate) ticket: Option<String>,
    pub(crate) mqtt: (String, u16),
    pub(crate) version: MqttVersion,
    pub(crate) lanes: u8,
    pub(crate) line: WireEnd,
    pub(crate) taps: Arc<dyn Tap>,
    pub(crate) status: Arc<Mutex<Status>>,
}

/// The operating system's random bytes.
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Nonces that repeat would let old answers pass for new ones. A system without random bytes cannot go on.
        #[allow(clippy::expect_used, reason = "the process must not go on without random bytes")]
        getrandom::fill(bytes).expect("random bytes from the system");
    }
}

/// The file of the flash.
pub(crate) fn flash_path(dir: &Path) -> PathBuf {
    dir.join("flash.bin")
}

/// Opens the identity of a folder and the journal that belongs to it, or makes both.
pub(crate) fn open(dir: &Path, may_enrol: bool) -> Result<(Identity, Journal<FileFlash>), HostError> {
    let path = flash_path(dir);
    if let Some(identity) = Identity::load(dir)? {
        let flash = FileFlash::open(&path).map_err(|error| HostError::Journal(error.to_string()))?;
        let journal = Journal::open(flash, FileFlash::SECTOR_LEN)
            .map_err(|error| HostError::Journal(error.to_string()))?;
        if journal.id() != identity.journal {
            return Err(HostError::Journal(String::from("it belongs to another key")));
        }
        return Ok((identity, journal));
    }
    if !may_enrol {
        return Err(HostError::NoTicket);
    }
    let identity = Identity::draw()?;
    remove_key_list(dir)?;
    // The journal first: an identity on the disk always has one.
    let flash = FileFlash::create(&path).map_err(|error| HostError::File { path, error })?;
    let journal = Journal::format(flash, FileFlash::SECTOR_LEN, identity.journal)
        .map_err(|error| HostError::Journal(error.to_string()))?;
    identity.store(dir)?;
    Ok((identity, journal))
}

impl MainBoard {
    /// Runs from the board's start until the future is dropped or something cannot be helped.
    pub(crate) async fn run(self) -> HostError {
        match Box::pin(self.boot()).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn boot(self) -> Result<std::convert::Infallible, HostError> {
        self.line.clear();
        let (mut identity, journal) = open(&self.dir, self.ticket.is_some())?;
        let Enrolled { machine, keys } = if let Some(enrolled) = identity.enrolled() {
            enrolled
        } else {
            let ticket = Ticket::parse(self.ticket.as_deref().ok_or(HostError::NoTicket)?)?;
            enrol(&self.dir, &mut identity, &ticket).await?
        };
        let mut config = MachineConfig::new(machine);
        config.board_config = config_hash(self.lanes);
        let (journal_id, state) = (journal.id(), journal.state().clone());
        let booted = Instant::now();
        let machine = Machine::new(config, identity.signer(), keys, journal_id, state, SystemRandom, 0);
        let login = Login {
            host: self.mqtt.0.clone(),
            port: self.mqtt.1,
            version: self.version,
            machine: machine.config().machine,
            password: String::from_utf8_lossy(&identity.login().password()).into_owned(),
        };
        let retry = FIRST_RETRY;
        let running =
            Running { board: self, machine, journal, booted, login, link: None, retry, connect_at: booted };
        Box::pin(running.run()).await
    }
}

struct Running {
    board: MainBoard,
    machine: Machine<SystemRandom, SLOTS>,
    journal: Journal<FileFlash>,
    booted: Instant,
    login: Login,
    link: Option<Connection>,
    retry: Duration,
    connect_at: Instant,
}

impl Running {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.booted.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn run(mut self) -> Result<std::convert::Infallible, HostError> {
        let mut bytes = [0; 256];
        loop {
            if self.link.is_none() && Instant::now() >= self.connect_at {
                self.link = Some(Connection::open(&self.login));
            }
            self.act()?;
            self.report();
            let mut wake = self.booted + Duration::from_millis(self.machine.poll_timeout());
            if self.link.is_none() {
                wake = wake.min(self.connect_at);
            }
            let line = self.board.line.clone();
            tokio::select! {
                len = line.receive(&mut bytes) => {
                    let now_ms = self.now_ms();
                    self.machine.handle_control_bytes(now_ms, bytes.get(..len).unwrap_or(&[]));
                }
                event = next_event(&mut self.link) => self.handle_link(event),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let now_ms = self.now_ms();
            self.machine.handle_timeout(now_ms);
        }
    }

    fn handle_link(&mut self, event: Event) {
        let now_ms = self.now_ms();
        match event {
            Event::Up => self.machine.handle_connected(now_ms),
            Event::Heard => self.machine.handle_heard(now_ms),
            Event::Frame(frame) => {
                self.board.taps.machine_frame(MachineDirection::Down, &frame);
                self.machine.handle_machine_frame(now_ms, &frame);
                if self.machine.is_connected() {
                    self.retry = FIRST_RETRY;
                }
            }
            Event::Down(why) => {
                tracing::debug!(why, "the connection to the server is gone");
                self.disconnect(Duration::ZERO);
            }
        }
    }

    fn disconnect(&mut self, at_least: Duration) {
        self.link = None;
        let now_ms = self.now_ms();
        self.machine.handle_disconnected(now_ms);
        self.connect_at = Instant::now() + self.retry.max(at_least);
        self.retry = (self.retry * 2).min(LAST_RETRY);
    }

    /// Does everything the machine wants done now.
    fn act(&mut self) -> Result<(), HostError> {
        let mut buffer = [0; MACHINE_FRAME_MAX];
        loop {
            let now_ms = self.now_ms();
            let Some(action) = self.machine.poll_action(now_ms, &mut buffer) else { return Ok(()) };
            match action {
                Action::Journal(request) => {
                    let answer = ask(&mut self.journal, request)?;
                    let now_ms = self.now_ms();
                    self.machine.journaled(now_ms, answer);
                    if self.machine.is_broken() {
                        return Err(HostError::Journal(String::from("a record is missing from it")));
                    }
                }
                Action::ControlBytes(len) => self.board.line.send(buffer.get(..len).unwrap_or(&[])),
                Action::MachineFrame(len) => {
                    let frame = buffer.get(..len).unwrap_or(&[]);
                    self.board.taps.machine_frame(MachineDirection::Up, frame);
                    if !self.link.as_ref().is_some_and(|link| link.publish(frame)) {
                        self.disconnect(Duration::ZERO);
                    }
                }
                Action::StoreKeyList(list) => {
                    let stored = store_key_list(&self.board.dir, &list);
                    if let Err(error) = &stored {
                        tracing::warn!(%error, "the newer key list is not stored");
                    }
                    self.machine.key_list_stored(now_ms, stored.is_ok());
                }
                Action::CloseLink { retry_ms } => {
                    self.disconnect(Duration::from_millis(retry_ms.into()));
                }
            }
        }
    }

    fn report(&self) {
        let numbers = &self.machine.state().numbers;
        let mut status = self.board.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.machine = Some(self.login.machine);
        status.connected = self.machine.is_connected();
        status.plan = self.machine.plan().version();
        status.busy = self.machine.is_vending();
        status.unacknowledged = numbers.last_receipt.saturating_sub(numbers.acknowledged);
    }
}

async fn next_event(link: &mut Option<Connection>) -> Event {
    match link {
        Some(link) => link.event().await,
        None => std::future::pending().await,
    }
}

fn ask(journal: &mut Journal<FileFlash>, request: JournalRequest) -> Result<JournalAnswer, HostError> {
    let answer = match request {
        JournalRequest::Append(record) => journal.append(&record).map(|()| JournalAnswer::Done),
        JournalRequest::Reserve => journal.reserve().map(|()| JournalAnswer::Done),
        JournalRequest::Find(lookup) => journal.receipt(lookup).map(JournalAnswer::Found),
    };
    match answer {
        Ok(answer) => Ok(answer),
        Err(journal::Error::Full) => Ok(JournalAnswer::Full),
        Err(journal::Error::<FlashError>::Flash(error)) => Err(HostError::Journal(error.to_string())),
        Err(error) => Err(HostError::Journal(error.to_string())),
    }
}
