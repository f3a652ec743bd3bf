//! The main board: verifies, journals, commands, accounts. Sans-IO.
//!
//! [`Machine`] has no clock, no flash and no line of its own. What happens goes in by `handle_*`, what is to be done comes
//! out of [`Machine::poll_action`], and time is an argument: milliseconds on any monotonic clock. Extra calls are harmless.
//!
//! # The order of things
//! Nothing that depends on a record is done before [`Machine::journaled`] said that it is in flash: no *taken* and no motion
//! before the authorization is, no *forget* before the outcome is, no opening of the control board before its nonce is. One
//! journal request is under way at a time; the runner carries it out and answers before it polls again.
//!
//! # How things end
//! - An order that was taken ends with one receipt, whatever happens: each line by the board's word, or *unknown* when the
//!   board was reset or silent for longer than a vend lasts, or *not attempted*.
//! - After a restart a line whose vend may have been sent is asked for at the control board; the lines after it are not
//!   attempted.
//! - A journal that failed ([`Machine::is_broken`]) stops sales: nothing is taken or used up until a restart.
//!
//! - A connection ends at the first frame that is not the server's, that cannot be read, or that is missing. What was
//!   queued on it is gone: receipts are in the journal, plan and key list in the next hello, and answers are asked for
//!   again.
//!
//! # The server's time
//! There is one clock, the session's: the time in the server's answer to the hello, renewed by the session. Between two
//! connections it runs on, so that an order that was taken is finished without a link. It never goes back.
//!
//! # Limits
//! 16 small messages, 8 sequences asked for again, 8 acknowledgements, one *prepare* and one key list wait at most; an answer that
//! does not fit is not given, and the server asks again. The planogram has `SLOTS` slots. A link on which nothing was heard for
//! [`MachineConfig::silence_ms`] is closed, a hello unanswered for 10 s too.

mod board;
mod inbox;
mod io;
mod key_list;
mod link;
mod order;
mod plan;
mod receipts;
#[cfg(all(test, feature = "control"))]
mod simulation;

use vend_payments::{keys::TrustedKeys, signed::Signer};
use vend_protocol::{
    EnrolmentId, JournalId, Nonce, Reason,
    machine_link::{Busy, Class, Readiness, Taken},
};

use crate::journal::{Record, State};
use board::Board;
pub use io::{Action, JournalAnswer, JournalRequest, MachineConfig, Random};
use link::Link;
use order::{Incoming, Work};
pub use plan::Plan;
use receipts::Asked;

/// A full journal is tried again after this, in milliseconds.
const FULL_RETRY_MS: u64 = 1_000;

/// What a journal request was for.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and no allocator")]
enum Pending {
    Append(Record),
    ReserveForOrder,
    ReserveForPrepare,
    Asked(Asked),
}

/// The main board of one machine with one control board. `SLOTS` is the most slots of a planogram.
///
/// Memory: 7.6 kB, and 80 bytes a slot (measured on a 64-bit host).
#[derive(Debug)]
pub struct Machine<R, const SLOTS: usize> {
    config: MachineConfig,
    signer: Signer,
    keys: TrustedKeys,
    enrolment: EnrolmentId,
    random: R,
    journal: JournalId,
    state: State,
    pending: Option<Pending>,
    /// A record of the order that is to be appended, and not before when.
    due: Option<(Record, u64)>,
    broken: bool,
    link: Link,
    board: Board,
    work: Work,
    plan: Plan<SLOTS>,
    /// A key list that is to be stored.
    key_list: Option<key_list::Waiting>,
}

impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    /// A machine after a restart: `journal` and `state` are those of the opened [`crate::journal::Journal`].
    ///
    /// An order that was open is brought to its end by itself.
    pub fn new(
        config: MachineConfig,
        signer: Signer,
        keys: TrustedKeys,
        journal: JournalId,
        state: State,
        mut random: R,
        now_ms: u64,
    ) -> Self {
        let mut sequence = [0; 4];
        random.fill(&mut sequence);
        let sequence = u32::from_le_bytes(sequence);
        let board = Board::new(config.board_address, config.board_config, state.numbers.nonce, sequence);
        let enrolment = signer.public_key().fingerprint();
        let mut machine = Self {
            config,
            signer,
            keys,
            enrolment,
            random,
            journal,
            state,
            pending: None,
            due: None,
            broken: false,
            link: Link::new(),
            board,
            work: Work::Idle,
            plan: Plan::new(),
            key_list: None,
        };
        machine.recover_order(now_ms);
        machine
    }

    /// The link to the server is up: a new connection, with nothing received on it yet.
    pub fn handle_connected(&mut self, now_ms: u64) {
        self.link_connected(now_ms);
    }

    /// The link to the server is gone.
    pub fn handle_disconnected(&mut self, now_ms: u64) {
        self.link_disconnected(now_ms);
    }

    /// A frame came from the server.
    pub fn handle_machine_frame(&mut self, now_ms: u64, frame: &[u8]) {
        self.link_frame(now_ms, frame);
    }

    /// The layer below heard from the server (an MQTT ping was answered).
    pub fn handle_heard(&mut self, now_ms: u64) {
        if let Some(session) = self.link.session() {
            session.heard(now_ms);
        }
    }

    /// Bytes came from the control board.
    pub fn handle_control_bytes(&mut self, now_ms: u64, bytes: &[u8]) {
        for byte in bytes {
            self.board.handle_byte(now_ms, *byte);
            // What a vend saw before its own window is counted together with its end, which is not taken note of yet.
            for _ in 0..self.board.take_late_drops().min(3) {
                let after = self.late_drop_order();
                self.late_drop(now_ms, after);
            }
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.link_timeout(now_ms);
        self.board.handle_timeout(now_ms);
    }

    /// When [`Machine::handle_timeout`] and [`Machine::poll_action`] are to be called at the latest.
    pub fn poll_timeout(&self) -> u64 {
        let board = self.board.poll_timeout();
        self.link.poll_timeout().map_or(board, |link| link.min(board))
    }

    /// The next thing to be done; `None` until something is handled or [`Machine::poll_timeout`] has come. `buffer` takes
    /// frames: it must have at least [`vend_protocol::frame::MACHINE_FRAME_MAX`] bytes.
    pub fn poll_action(&mut self, now_ms: u64, buffer: &mut [u8]) -> Option<Action> {
        if let Some(retry_ms) = self.link.close.take() {
            return Some(Action::CloseLink { retry_ms });
        }
        if self.pending.is_none()
            && !self.broken
            && let Some(request) = self.next_request(now_ms)
        {
            return Some(Action::Journal(request));
        }
        if let Some(action) = self.store_key_list() {
            return Some(action);
        }
        if let Some(len) = self.board.poll_transmit(now_ms, buffer) {
            return Some(Action::ControlBytes(len));
        }
        if let Some(len) = self.link_transmit(now_ms, buffer) {
            return Some(Action::MachineFrame(len));
        }
        self.link.close.take().map(|retry_ms| Action::CloseLink { retry_ms })
    }

    /// The journal's answer to the last [`Action::Journal`].
    pub fn journaled(&mut self, now_ms: u64, answer: JournalAnswer) {
        let Some(pending) = self.pending.take() else { return };
        match (pending, answer) {
            (Pending::Append(record), JournalAnswer::Done) => self.appended(now_ms, &record),
            (Pending::ReserveForOrder, JournalAnswer::Done) => match self.decide(now_ms) {
                Some(record) => self.due = Some((record, now_ms)),
                None => self.broken = true,
            },
            (Pending::ReserveForOrder, JournalAnswer::Full) => {
                if let Work::Considering(incoming) = core::mem::replace(&mut self.work, Work::Idle) {
                    let seq = match incoming {
                        Incoming::Authorization { permit, .. } => permit.body().seq,
                        Incoming::Void(void) => void.seq,
                    };
                    self.link.queue(Class::Answer, &Busy { seq });
                }
            }
            (Pending::ReserveForPrepare, JournalAnswer::Done) => self.answer_prepare(Readiness::Ready),
            (Pending::ReserveForPrepare, JournalAnswer::Full) => {
                self.answer_prepare(Readiness::NotReady(Reason::JOURNAL));
            }
            (Pending::Asked(asked), JournalAnswer::Found(found)) => self.found(asked, found),
            // One acknowledgement may not be enough to free a sector; the next is tried together with it.
            (Pending::Append(Record::Acknowledged(number)), JournalAnswer::Full) => {
                self.link.receipts.watermark_refused(number);
            }
            (Pending::Append(Record::Nonce(_)), JournalAnswer::Full) => self.board.delay_opening(now_ms),
            // Power cuts wasted the room that was reserved: acknowledgements will make some.
            (Pending::Append(record), JournalAnswer::Full) => {
                self.due = Some((record, now_ms.saturating_add(FULL_RETRY_MS)));
            }
            _ => self.broken = true,
        }
    }

    /// What it is.
    pub const fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// Whether the journal failed. The machine then sells nothing; a restart opens the journal again.
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the server accepted the hello of the present connection.
    pub fn is_connected(&self) -> bool {
        self.link.is_open()
    }

    /// Whether an order is being vended.
    pub const fn is_vending(&self) -> bool {
        matches!(self.work, Work::Vending(_))
    }

    /// The planogram.
    pub const fn plan(&self) -> &Plan<SLOTS> {
        &self.plan
    }

    /// What the journal holds.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The server's time in milliseconds since 1970, UTC; `None` before the first hello was accepted.
    /// It never goes back.
    pub fn server_time_ms(&self, now_ms: u64) -> Option<u64> {
        self.link.server_time_ms(now_ms)
    }
}

/// Between the journal and the rest.
impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    fn next_request(&mut self, now_ms: u64) -> Option<JournalRequest> {
        if let Work::Considering(_) = self.work {
            return Some(self.ask(Pending::ReserveForOrder, JournalRequest::Reserve));
        }
        if let Some((record, _)) = self.due.take_if(|(_, due_ms)| now_ms >= *due_ms) {
            return Some(self.append(record));
        }
        if let Some(record) = self.drive_order(now_ms) {
            return Some(self.append(record));
        }
        let numbers = self.state.numbers;
        if let Some(number) = self.link.receipts.watermark(numbers.acknowledged, numbers.last_receipt) {
            return Some(self.append(Record::Acknowledged(number)));
        }
        if !matches!(self.work, Work::Vending(_)) && self.board.wants_nonce(now_ms) {
            let mut nonce = Nonce([0; 16]);
            self.random.fill(&mut nonce.0);
            return Some(self.append(Record::Nonce(nonce)));
        }
        if let Some(request) = self.check_prepare(now_ms) {
            return Some(request);
        }
        let (asked, lookup) = self.link_lookup()?;
        Some(self.ask(Pending::Asked(asked), JournalRequest::Find(lookup)))
    }

    fn ask(&mut self, pending: Pending, request: JournalRequest) -> JournalRequest {
        self.pending = Some(pending);
        request
    }

    fn append(&mut self, record: Record) -> JournalRequest {
        self.pending = Some(Pending::Append(record.clone()));
        JournalRequest::Append(record)
    }

    fn appended(&mut self, now_ms: u64, record: &Record) {
        let before = self.state.numbers.last_order;
        if self.state.apply(record).is_err() {
            self.broken = true;
            return;
        }
        match record {
            Record::Taken(_) => {
                self.taken_journaled(now_ms, before);
                if let Work::Vending(vending) = &self.work {
                    self.link.queue(Class::Answer, &Taken { seq: vending.seq() });
                }
            }
            Record::Outcome(line) => self.outcome_journaled(now_ms, line.outcome),
            // It is sent when the cursor comes to it.
            Record::Receipt(_) => self.work = Work::Idle,
            Record::Acknowledged(_) => {}
            Record::Nonce(nonce) => self.board.nonce_journaled(*nonce),
        }
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use core::mem::size_of;

    use super::Machine;

    #[test]
    fn the_memory_is_what_the_documentation_says() {
        type Random = fn(&mut [u8]);
        let empty = size_of::<Machine<Random, 0>>();
        assert!((7_500..7_650).contains(&empty), "{empty}");
        assert_eq!(size_of::<Machine<Random, 16>>() - empty, 16 * 80);
    }
}
