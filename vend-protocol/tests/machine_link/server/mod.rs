//! A model server: the session under test, a ledger, jobs that survive a restart.

mod jobs;
mod ledger;
mod link;

use std::collections::{BTreeMap, VecDeque};

use vend_protocol::{
    EnrolmentId,
    machine_link::{Acknowledgement, ServerSession, kind},
    signed::{HelloBody, Signed},
};

pub(crate) use self::ledger::{Ledger, Line};
use crate::{env::Env, machine::Reads, toy::ToySeal};

pub(crate) type Session = ServerSession<ToySeal>;

/// From payment to deadline.
pub(crate) const DEADLINE_MS: u64 = 60_000;
/// From the deadline to when a machine that said nothing is not waited for.
pub(crate) const UNKNOWN_MS: u64 = crate::machine::MAX_VEND_MS + 20_000;
/// From then to the refund.
pub(crate) const REFUND_MS: u64 = 60_000;
/// An authorization that was not answered is sent again after this.
pub(crate) const AGAIN_MS: u64 = 5_000;

pub(crate) struct Config {
    pub(crate) reads: Reads,
    pub(crate) silence_ms: u64,
    pub(crate) keepalive_s: u16,
    pub(crate) plan: u32,
    pub(crate) welcome: Welcome,
    /// Acknowledges this number under another hash.
    pub(crate) misnames: Option<u64>,
    /// Answers *unsupported* to receipts, though it lists them.
    pub(crate) forgets_receipts: bool,
}

/// What becomes of a hello that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    Accepted,
    /// After so many milliseconds.
    Late(u64),
    /// Come back on this connection after so many seconds.
    Pending(u16),
    /// Come back on another connection after so many seconds.
    Rejected(u16),
}

/// Whether this revision 1 is in a list.
pub(crate) fn lists(reads: &[(u8, u8)], kind: u8) -> bool {
    reads.iter().any(|(listed, revision)| *listed == kind && *revision >= 1)
}

pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) backup: Option<Ledger>,
    /// The keys of all boards that ever were enrolled.
    pub(crate) keys: BTreeMap<EnrolmentId, u64>,
    /// `None`: without power.
    pub(crate) ram: Option<Ram>,
    /// When power comes back.
    pub(crate) on_ms: u64,
    /// Nothing is acknowledged before.
    pub(crate) deaf_until_ms: u64,
}

/// What a server forgets without power.
#[derive(Default)]
pub(crate) struct Ram {
    pub(crate) session: Option<Session>,
    /// Frames to be sent, in order.
    pub(crate) outgoing: Vec<Vec<u8>>,
    /// What is to be done and when, in order.
    todo: VecDeque<(u64, Todo)>,
    /// What is committed and to be acknowledged.
    acknowledge: VecDeque<Acknowledgement>,
    /// What the hello says, until a sealed frame proves that it is not a recording.
    hello: Option<HelloBody>,
    /// When the open authorization or its void was sent on this connection, and whether it was answered.
    sent: Option<(u64, u64, bool)>,
    plan_sent: bool,
    command_sent: u64,
    /// The prices that *prepare* was sent for, its number, and until when an answer counts.
    asked: Option<(u32, u64, Vec<u32>)>,
    requests: u32,
    pub(crate) answers: Vec<Answer>,
}

/// What a machine answered, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ready,
    NotReady,
    Taken(u64),
    Busy(u64),
    Settled(u64),
}

enum Todo {
    Accept(Box<HelloBody>),
    Receipt(Box<Signed>),
    Amendment(Box<Signed>),
    Note(u8, u64),
}

impl Server {
    pub(crate) fn new(enrolment: EnrolmentId, key: u64) -> Self {
        let config = Config {
            reads: vec![(kind::RECEIPT, 1), (kind::AMENDMENT, 1)],
            silence_ms: 25_000,
            keepalive_s: 10,
            plan: 1,
            welcome: Welcome::Accepted,
            misnames: None,
            forgets_receipts: false,
        };
        Self {
            config,
            ledger: Ledger::new(enrolment),
            backup: None,
            keys: BTreeMap::from([(enrolment, key)]),
            ram: Some(Ram::default()),
            on_ms: 0,
            deaf_until_ms: 0,
        }
    }

    pub(crate) fn boot(&mut self, env: &Env) {
        env.note(|| "server: starts".into());
        self.ram = Some(Ram::default());
    }

    pub(crate) fn power_off(&mut self, until_ms: u64) {
        self.ram = None;
        self.on_ms = until_ms;
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.ram.as_ref()?.session.as_ref()
    }

    pub(crate) fn connect(&mut self, env: &Env) {
        let answers = self.ram.take().map(|ram| ram.answers).unwrap_or_default();
        let session = Some(Session::new(env.now_ms, self.config.silence_ms));
        self.ram = Some(Ram { session, answers, ..Ram::default() });
    }

    /// The connection is no more. What it brought and was not committed is gone.
    pub(crate) fn disconnect(&mut self) {
        if let Some(ram) = self.ram.take() {
            self.ram = Some(Ram { answers: ram.answers, ..Ram::default() });
        }
    }

    pub(crate) fn session_due(&self) -> Option<u64> {
        self.session().map(Session::poll_timeout)
    }

    /// Reads every kind of the chain.
    fn reads_all(&self) -> bool {
        [kind::RECEIPT, kind::AMENDMENT].iter().all(|kind| lists(&self.config.reads, *kind))
    }
}
