//! Words to tell stories with.

use super::{Way, World};
use crate::server::{Answer, Line};

impl World {
    /// A customer has paid these lines; nobody asked the machine.
    pub(crate) fn pay(&mut self, prices: &[u32]) -> u64 {
        self.env.wallet.pay(prices)
    }

    /// Sells one line after the other and waits until each is settled.
    #[track_caller]
    pub(crate) fn sell(&mut self, orders: usize) {
        for _ in 0..orders {
            let order = self.pay(&[350]);
            self.run_until(30_000, |world| world.is_booked(order));
        }
    }

    /// All lines of the order are delivered or given back.
    pub(crate) fn is_booked(&self, order: u64) -> bool {
        let order = self.server.ledger.orders.get(&order);
        order.is_some_and(|order| order.lines.iter().all(|line| line.pending == 0))
    }

    pub(crate) fn line(&self, order: u64, index: usize) -> Line {
        self.server.ledger.orders[&order].lines[index]
    }

    /// Motor starts so far.
    pub(crate) fn starts(&self) -> usize {
        self.env.motors.ran.len()
    }

    /// Kinds of all messages that were sent on this connection.
    pub(crate) fn kinds(&self, way: Way) -> Vec<u8> {
        self.checks.track(way).kinds()
    }

    /// How many messages of this kind were sent on this connection.
    pub(crate) fn sent(&self, way: Way, kind: u8) -> usize {
        self.kinds(way).into_iter().filter(|sent| *sent == kind).count()
    }

    /// What the machine answered since the server started.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.server.ram.as_ref().map(|ram| ram.answers.clone()).unwrap_or_default()
    }

    /// Runs until a new session is open after the present one.
    #[track_caller]
    pub(crate) fn reconnect(&mut self) {
        let sessions = self.env.counts.sessions;
        self.cut();
        self.run_until(60_000, |world| world.env.counts.sessions > sessions && world.is_open());
    }

    /// A frame from nobody arrives at once.
    pub(crate) fn put_in(&mut self, way: Way, frame: Vec<u8>) {
        let now_ms = self.env.now_ms;
        self.network.put_in(way, frame, now_ms);
    }

    /// The bytes of a frame that was sent on this connection.
    pub(crate) fn recorded(&self, way: Way, sequence: usize) -> Vec<u8> {
        self.checks.track(way).bytes(sequence)
    }
}
