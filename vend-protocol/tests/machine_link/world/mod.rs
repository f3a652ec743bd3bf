//! Both ends and the network between them, in virtual time: one step is one thing that happens.

mod checks;
mod network;
mod story;
mod trouble;

use vend_protocol::machine_link::LinkError;

pub(crate) use self::network::Way;
use self::{checks::Checks, network::Network};
use crate::{
    env::{Env, Trace},
    faults::{CALM, Faults},
    machine::{Machine, Reaction},
    server::Server,
};

/// The server's key. The machine has it from its key list.
pub(crate) const SERVER_KEY: u64 = 0x5E7_1E55;
/// Before a machine whose connection failed makes another one, in milliseconds.
const RETRY_MS: u64 = 1_000;

pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) machine: Machine,
    pub(crate) server: Server,
    pub(crate) network: Network,
    pub(crate) checks: Checks,
    customer_ms: u64,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Deliver(Way),
    Tell(Way),
    MachineBoot,
    MachineConnect,
    MachineHello,
    MachineTimeout,
    MachineTransmit,
    MachineStep,
    MachineChatter,
    ServerBoot,
    ServerTimeout,
    ServerTodo,
    ServerJob,
    Customer,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults, trace: Trace) -> Self {
        let mut env = Env::new(seed, faults, trace);
        let machine = Machine::new(&mut env);
        let server = Server::new(machine.board.enrolment, machine.board.key);
        let (network, checks) = (Network::default(), Checks::default());
        Self { env, machine, server, network, checks, customer_ms: 2_000 }
    }

    /// A world where nothing goes wrong by itself; before the first connection.
    pub(crate) fn calm() -> Self {
        Self::new(7, CALM, None)
    }

    /// A calm world with an open session and nothing on its way.
    pub(crate) fn connected() -> Self {
        let mut world = Self::calm();
        world.run_for(2_000);
        assert!(world.is_open(), "a calm world connects");
        world
    }

    /// Both ends hold the session for open.
    pub(crate) fn is_open(&self) -> bool {
        let machine = self.machine.session().is_some_and(crate::machine::Session::is_open);
        machine && self.server.session().is_some_and(crate::server::Session::is_open)
    }

    /// Runs for so many milliseconds.
    pub(crate) fn run_for(&mut self, ms: u64) {
        let end_ms = self.env.now_ms + ms;
        while self.step(end_ms) {}
    }

    /// Runs until this holds, and fails when it does not within so many milliseconds.
    #[track_caller]
    pub(crate) fn run_until(&mut self, limit_ms: u64, holds: impl Fn(&Self) -> bool) {
        let end_ms = self.env.now_ms + limit_ms;
        while !holds(self) {
            assert!(self.step(end_ms), "it does not come about within {limit_ms} ms: {}", self.picture());
        }
    }

    /// One thing happens, and then everything is checked; `false` when nothing more happens until then.
    pub(crate) fn step(&mut self, end_ms: u64) -> bool {
        let dues = self.dues();
        let now = self.env.now_ms;
        let next = dues.iter().filter_map(|(_, due)| *due).min().unwrap_or(u64::MAX).max(now);
        if next > end_ms {
            self.env.now_ms = end_ms;
            return false;
        }
        self.env.now_ms = next;
        let ready = || dues.iter().filter(|(_, due)| due.is_some_and(|due| due <= next));
        let which = self.env.rng.below(ready().count() as u64);
        let (action, _) = ready().nth(usize::try_from(which).unwrap()).expect("one of them");
        self.act(*action);
        self.env.counts.steps += 1;
        self.check();
        true
    }

    fn dues(&self) -> [(Action, Option<u64>); 16] {
        let (env, machine, server) = (&self.env, &self.machine, &self.server);
        let ram = machine.ram.as_ref();
        let idle = ram.filter(|ram| ram.session.is_none());
        let wants_hello = machine.wants_hello(env);
        let later = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
        [
            (Action::Deliver(Way::Up), self.network.due(Way::Up)),
            (Action::Deliver(Way::Down), later(self.network.due(Way::Down), machine.receive_due())),
            (Action::Tell(Way::Up), self.network.told_due(Way::Up)),
            (Action::Tell(Way::Down), self.network.told_due(Way::Down)),
            (Action::MachineBoot, ram.is_none().then_some(machine.on_ms)),
            (Action::MachineConnect, idle.map(|ram| ram.connect_ms)),
            (Action::MachineHello, wants_hello.then_some(env.now_ms)),
            (Action::MachineTimeout, machine.session_due().filter(|_| !wants_hello)),
            (Action::MachineTransmit, machine.transmit_due()),
            (Action::MachineStep, machine.step_due()),
            (Action::MachineChatter, machine.chatter_due(env)),
            (Action::ServerBoot, server.ram.is_none().then_some(server.on_ms)),
            (Action::ServerTimeout, server.session_due()),
            (Action::ServerTodo, server.todo_due()),
            (Action::ServerJob, server.job_due(env)),
            (Action::Customer, (env.faults.customer_ms > 0).then_some(self.customer_ms)),
        ]
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Deliver(way) => self.deliver(way),
            Action::Tell(Way::Up) => self.close_machine("told", RETRY_MS),
            Action::Tell(Way::Down) => self.close_server("told"),
            Action::MachineBoot => self.machine.boot(&mut self.env),
            Action::MachineConnect => self.connect(),
            Action::MachineHello => {
                let frame = self.machine.greet(&mut self.env);
                self.send(Way::Up, frame);
            }
            Action::MachineTimeout => self.machine_timeout(),
            Action::MachineTransmit => {
                self.transmit();
            }
            Action::MachineStep => self.machine.step(&mut self.env),
            Action::MachineChatter => self.machine.chatter(&mut self.env),
            Action::ServerBoot => self.server.boot(&self.env),
            Action::ServerTimeout => {
                let session = self.server.session().expect("a connection");
                assert!(session.handle_timeout(self.env.now_ms).is_err(), "a timeout that says nothing");
                self.env.counts.silent += 1;
                self.close_server("silent");
            }
            Action::ServerTodo => self.server.do_next(&mut self.env),
            Action::ServerJob => self.server.job(&mut self.env),
            Action::Customer => self.customer(),
        }
        self.flush();
    }

    fn send(&mut self, way: Way, frame: Vec<u8>) {
        self.checks.sent(way, &frame);
        self.env.note(|| format!("{way:?} {} kind {:#04x}", self.checks.track(way).kinds().len(), frame[1]));
        self.network.send(&mut self.env, way, frame);
    }

    /// Sends what the server wrote.
    pub(crate) fn flush(&mut self) {
        let outgoing = self.server.ram.as_mut().map(|ram| std::mem::take(&mut ram.outgoing));
        for frame in outgoing.unwrap_or_default() {
            self.send(Way::Down, frame);
        }
    }

    fn connect(&mut self) {
        if self.server.ram.is_none() || self.env.now_ms < self.network.down_until_ms {
            return self.machine.disconnect(&mut self.env, 2_000);
        }
        self.env.note(|| "a new connection".into());
        self.network.connect();
        self.machine.connect(&self.env);
        self.server.connect(&self.env);
        self.checks.connect();
    }

    fn deliver(&mut self, way: Way) {
        let Some(frame) = self.network.take(way) else { return };
        let (was_open, reaction) = match way {
            Way::Up => {
                let was_open = self.server.session().is_some_and(crate::server::Session::is_open);
                (was_open, self.server.receive(&mut self.env, &frame))
            }
            Way::Down => {
                let was_open = self.machine.session().is_some_and(crate::machine::Session::is_open);
                (was_open, self.machine.receive(&mut self.env, &frame))
            }
        };
        self.checks.received(&mut self.env, way, &frame, was_open, &reaction);
        let Reaction { error, close, opened, .. } = reaction;
        if let Some(watermark) = opened {
            self.checks.opened(watermark);
        }
        match (way, close, error) {
            (_, None, None) => {}
            (Way::Up, ..) => self.close_server("refused"),
            (Way::Down, retry_ms, _) => self.close_machine("refused", retry_ms.unwrap_or(RETRY_MS)),
        }
    }

    fn transmit(&mut self) -> bool {
        let sent = self.machine.transmit(&mut self.env);
        let reads = &self.server.config.reads;
        self.checks.transmitted(&mut self.env, &sent, &self.machine.journal, reads);
        let any = sent.frame.is_some();
        if let Some(frame) = sent.frame {
            self.send(Way::Up, frame);
        }
        any
    }

    /// What a session names as its next moment must be one at which it has something to do.
    fn machine_timeout(&mut self) {
        if let Err(error) = self.machine.session_timeout(&self.env) {
            let counts = &mut self.env.counts;
            *if error == LinkError::Silent { &mut counts.silent } else { &mut counts.unanswered } += 1;
            return self.close_machine("timeout", RETRY_MS);
        }
        let open = self.machine.session().is_some_and(crate::machine::Session::is_open);
        let sent = open && self.transmit();
        let due = self.machine.session_due().unwrap_or(u64::MAX);
        let excused = self.machine.wants_hello(&self.env);
        assert!(sent || excused || due > self.env.now_ms, "the session wakes its machine for nothing");
    }

    pub(crate) fn close_machine(&mut self, why: &str, retry_ms: u64) {
        self.env.note(|| format!("machine: closes, {why}"));
        self.machine.disconnect(&mut self.env, retry_ms);
        self.network.close(&mut self.env, Way::Up);
    }

    pub(crate) fn close_server(&mut self, why: &str) {
        self.env.note(|| format!("server: closes, {why}"));
        self.server.disconnect();
        self.network.close(&mut self.env, Way::Down);
    }

    fn customer(&mut self) {
        self.customer_ms = self.env.now_ms + 1 + self.env.rng.below(self.env.faults.customer_ms * 2);
        if self.env.rng.chance(150) && self.server.ledger.command == self.server.ledger.result {
            self.server.ledger.command += 1;
        }
        let lines = self.env.rng.between(1, 3);
        let prices: Vec<u32> =
            (0..lines).map(|_| u32::try_from(self.env.rng.between(100, 900)).unwrap()).collect();
        // Somebody else pays an order that was offered before.
        if !self.server.prepare(&self.env, &prices) && self.env.rng.chance(400) {
            self.env.wallet.pay(&prices);
        }
    }

    /// What must hold at every step, whatever happened.
    fn check(&mut self) {
        let (ledger, journal) = (&self.server.ledger, &self.machine.journal);
        ledger.check(&self.env.wallet);
        // I2 is held where a motor starts: `Motors::start`.
        for (key, hash) in &self.checks.acknowledged {
            assert_eq!(ledger.chain.get(key), Some(hash), "I5: acknowledged but not in the ledger: {key:?}");
        }
        for number in 1..=journal.last {
            let key = (journal.id, number);
            let kept = journal.entry(number).is_some_and(|entry| !entry.acknowledged);
            let forgotten = self.checks.forgotten.contains(&key) && journal.entry(number).is_some();
            let safe = kept || forgotten || ledger.chain.contains_key(&key);
            assert!(safe, "I5: {number} is in neither the journal nor the ledger");
        }
        if let Some(time) = self.machine.session_time_ms(self.env.now_ms) {
            self.checks.time(&self.env, time);
        }
    }

    pub(crate) fn picture(&self) -> String {
        let orders: Vec<_> = self.server.ledger.orders.iter().collect();
        let journal = &self.machine.journal;
        format!(
            "connected {}, open {:?}, {} of {} receipts open, machine {:?}, events {:?}, orders {orders:?}",
            self.is_open(),
            self.server.ledger.open().map(|(seq, open)| (seq, open.deadline_ms)),
            journal.unacknowledged(),
            journal.last,
            journal.order,
            journal.events,
        )
    }
}
