//! A model machine: the session under test, a journal, one order at a time, one motor.

mod journal;
mod link;
mod tell;

use std::collections::{BTreeSet, VecDeque};

use vend_protocol::{
    AuthSeq, EnrolmentId, JournalId, Nonce, Outcome, Reason,
    machine_link::{Busy, Class, MachineSession, Settled, Taken, kind},
    signed::{Authority, AuthorizationBody, ReceiptLine, VoidBody},
};

use self::journal::LineState;
pub(crate) use self::{
    journal::{Board, Journal},
    link::{Reaction, Transmitted, listed},
    tell::telemetry,
};
use crate::{env::Env, toy::ToySeal};

pub(crate) type Session = MachineSession<ToySeal, 6, 176>;

/// How long a vend takes at most.
pub(crate) const MAX_VEND_MS: u64 = 6_000;

/// The money messages a peer lists: kind and highest revision.
pub(crate) type Reads = Vec<(u8, u8)>;

pub(crate) struct Config {
    pub(crate) reads: Reads,
    pub(crate) silence_ms: u64,
}

pub(crate) struct Machine {
    pub(crate) board: Board,
    pub(crate) journal: Journal,
    pub(crate) config: Config,
    /// `None`: without power.
    pub(crate) ram: Option<Ram>,
    /// When power comes back.
    pub(crate) on_ms: u64,
}

/// What a machine forgets without power.
pub(crate) struct Ram {
    boot_ms: u64,
    pub(crate) session: Option<Session>,
    /// When it connects again.
    pub(crate) connect_ms: u64,
    hello: Option<(Nonce, [u8; 32])>,
    /// Nothing to send, as far as the session said.
    idle: bool,
    /// The journal was not ready: asked again then.
    retry_ms: u64,
    busy_until_ms: u64,
    slow_until_ms: u64,
    chatter_ms: u64,
    /// Answers that are queued.
    answers: u64,
    /// Events that were queued on this connection.
    told: BTreeSet<(u8, u64)>,
    todo: VecDeque<Todo>,
    vend: Option<Vend>,
    /// The line whose start is journaled and whose motor is next.
    armed: Option<u8>,
    /// The open order is from before this start.
    recovering: bool,
    pub(crate) floor_seq: u64,
    watermark: u64,
    /// Server time less own clock.
    offset_ms: Option<u64>,
}

#[derive(Clone, Debug)]
enum Todo {
    Authorization(AuthorizationBody),
    Void(VoidBody),
    Command(u64),
}

struct Vend {
    line: u8,
    end_ms: u64,
    outcome: Outcome,
}

impl Machine {
    /// A machine with a fresh board, switched on.
    pub(crate) fn new(env: &mut Env) -> Self {
        let board = Board { enrolment: EnrolmentId(env.rng.bytes()), key: env.rng.next() };
        let journal = Journal::format(JournalId(env.rng.bytes()));
        let reads = vec![(kind::AUTHORIZATION, 1), (kind::VOID, 1), (kind::ACKNOWLEDGEMENT, 1)];
        let config = Config { reads, silence_ms: 25_000 };
        Self { board, journal, config, ram: None, on_ms: env.now_ms }
    }

    pub(crate) fn boot(&mut self, env: &mut Env) {
        env.note(|| "machine: boots".into());
        self.ram = Some(Ram {
            boot_ms: env.now_ms,
            session: None,
            connect_ms: env.now_ms + 100,
            hello: None,
            idle: true,
            retry_ms: 0,
            busy_until_ms: 0,
            slow_until_ms: 0,
            chatter_ms: env.now_ms + 1_000,
            answers: 0,
            told: BTreeSet::new(),
            todo: VecDeque::new(),
            vend: None,
            armed: None,
            recovering: self.journal.order.is_some(),
            floor_seq: 0,
            watermark: 0,
            offset_ms: None,
        });
    }

    pub(crate) fn power_off(&mut self, until_ms: u64) {
        self.ram = None;
        self.on_ms = until_ms;
    }

    /// It does nothing at all until then.
    pub(crate) fn stop(&mut self, until_ms: u64) {
        if let Some(ram) = &mut self.ram {
            ram.busy_until_ms = until_ms;
        }
    }

    /// It does everything slowly until then.
    pub(crate) fn slow_down(&mut self, until_ms: u64) {
        if let Some(ram) = &mut self.ram {
            ram.slow_until_ms = until_ms;
        }
    }

    /// The session, if there is a connection.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.ram.as_ref()?.session.as_ref()
    }

    /// What the machine holds for the server's time.
    pub(crate) fn server_time_ms(&self, now_ms: u64) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        Some(ram.offset_ms? + (now_ms - ram.boot_ms))
    }

    /// What the session holds for the server's time.
    pub(crate) fn session_time_ms(&self, now_ms: u64) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        ram.session.as_ref()?.server_time_ms(now_ms - ram.boot_ms)
    }

    /// When [`Machine::step`] has something to do.
    pub(crate) fn step_due(&self) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        match &ram.vend {
            _ if !ram.todo.is_empty() => Some(ram.busy_until_ms),
            Some(vend) => Some(vend.end_ms),
            None if self.journal.order.is_some() => Some(ram.busy_until_ms),
            None => None,
        }
    }

    /// Does one thing that power may be cut before or after.
    pub(crate) fn step(&mut self, env: &mut Env) {
        let Some(ram) = &mut self.ram else { return };
        ram.idle = false;
        let motion = match &ram.vend {
            Some(vend) => vend.end_ms <= env.now_ms,
            None => self.journal.order.is_some(),
        };
        if motion && (ram.todo.is_empty() || env.rng.chance(500)) {
            self.move_on(env);
        } else {
            match ram.todo.pop_front() {
                Some(Todo::Authorization(body)) => self.authorized(env, &body),
                Some(Todo::Void(body)) => self.voided(env, &body),
                Some(Todo::Command(id)) => self.commanded(env, id),
                None => {}
            }
        }
        self.work(env);
    }

    /// Whatever it did took its time.
    fn work(&mut self, env: &mut Env) {
        let Some(ram) = &mut self.ram else { return };
        let slow = if env.now_ms < ram.slow_until_ms { env.rng.below(9_000) } else { 0 };
        ram.busy_until_ms = env.now_ms + slow;
    }

    /// One step of the order that is being vended.
    fn move_on(&mut self, env: &mut Env) {
        let (Some(ram), Some(order)) = (&mut self.ram, &self.journal.order) else { return };
        if let Some(vend) = ram.vend.take() {
            env.note(|| format!("machine: line {} ended, {}", vend.line, vend.outcome.verdict()));
            return self.journal.note_line(vend.line, LineState::Done(vend.outcome));
        }
        let late = ram.offset_ms.is_none_or(|offset| offset + (env.now_ms - ram.boot_ms) > order.deadline_ms);
        let not_started = |reason| LineState::Done(Outcome::not_started(reason));
        match order.next() {
            Some((line, LineState::Starting)) if ram.armed.take() == Some(line) => {
                let outcome = env.motors.start((self.board.enrolment, order.seq, line), &mut env.rng);
                env.counts.starts += 1;
                env.note(|| format!("machine: motor of {}/{line} starts", order.seq));
                let end_ms = env.now_ms + env.rng.between(1_000, MAX_VEND_MS);
                ram.vend = Some(Vend { line, end_ms, outcome });
            }
            Some((line, LineState::Starting)) => {
                self.journal.note_line(line, LineState::Done(Outcome::unwitnessed()));
            }
            Some((line, _)) if ram.recovering => {
                self.journal.note_line(line, not_started(Reason::INTERRUPTED));
            }
            Some((line, _)) if late => self.journal.note_line(line, not_started(Reason::EXPIRED)),
            Some((line, _)) => {
                self.journal.note_line(line, LineState::Starting);
                ram.armed = Some(line);
            }
            None => {
                ram.recovering = false;
                self.receipt(env, Journal::close_order);
            }
        }
    }

    fn receipt(&mut self, env: &mut Env, write: impl FnOnce(&mut Journal, Board, u64)) {
        let at_ms = self.server_time_ms(env.now_ms).unwrap_or(0);
        write(&mut self.journal, self.board, at_ms);
        env.counts.receipts += 1;
        env.note(|| format!("machine: receipt {}", self.journal.last));
    }

    fn authorized(&mut self, env: &mut Env, body: &AuthorizationBody) {
        if self.answered(env, body.seq.number()) {
            return;
        }
        let late = self.server_time_ms(env.now_ms).is_none_or(|time| time > body.deadline_ms);
        let reason = match () {
            () if late => Reason::EXPIRED,
            () if env.rng.chance(env.faults.unable) => Reason::SENSOR,
            () => {
                self.journal.take(body);
                env.note(|| format!("machine: takes {}", body.seq));
                return self.say(env, Class::Answer, &Taken { seq: body.seq });
            }
        };
        if reason == Reason::EXPIRED {
            env.counts.expired += 1;
        } else {
            env.counts.unable += 1;
        }
        let outcome = Outcome::not_started(reason);
        let lines: Vec<_> = body.lines.iter().map(|line| ReceiptLine { slot: line.slot, outcome }).collect();
        let authority = Authority::Authorization { seq: body.seq, order: body.order };
        self.receipt(env, |journal, board, at_ms| journal.write_receipt(board, authority, at_ms, lines));
    }

    fn voided(&mut self, env: &mut Env, body: &VoidBody) {
        if self.answered(env, body.seq.number()) {
            return;
        }
        env.counts.voids += 1;
        let authority = Authority::Authorization { seq: body.seq, order: body.order };
        self.receipt(env, |journal, board, at_ms| journal.write_receipt(board, authority, at_ms, []));
    }

    /// Answers an authorization or void that is not to be run: used up before, or not now.
    fn answered(&mut self, env: &mut Env, seq: u64) -> bool {
        let Some(ram) = &self.ram else { return true };
        let number = AuthSeq::new(seq).unwrap();
        let open = self.journal.order.as_ref().map(|order| order.seq);
        if open == Some(seq) {
            self.say(env, Class::Answer, &Taken { seq: number });
        } else if seq <= self.journal.used_seq.max(ram.floor_seq) {
            let receipt = self.journal.receipt_of(seq);
            if receipt.is_some_and(|receipt| receipt.number > ram.watermark && !receipt.acknowledged) {
                // The receipt is the answer, and it is on its way.
                env.counts.on_its_way += 1;
            } else {
                env.counts.settled += 1;
                self.say(env, Class::Answer, &Settled { up_to: number });
            }
        } else if open.is_some() || self.journal.is_full() || env.rng.chance(env.faults.busy) {
            env.counts.busy += 1;
            self.say(env, Class::Answer, &Busy { seq: number });
        } else {
            return false;
        }
        true
    }

    fn commanded(&mut self, env: &mut Env, id: u64) {
        if id > self.journal.command {
            // Journaled as done, then done.
            self.journal.command = id;
            env.counts.commands += 1;
        }
        let result = (kind::COMMAND_RESULT, id);
        self.journal.events.insert(result);
        if let Some(ram) = &mut self.ram {
            ram.told.remove(&result);
        }
        self.tell_events(env);
    }
}
