//! What the server does by itself: each job is one step, decided by the ledger alone, so a server that was killed goes on.

use vend_protocol::{
    AuthSeq, Currency, List, OrderId, PlanVersion, ProductId, SlotId, Text,
    machine_link::{Action, Authorization, Command, PlanEntry, PlanPart, Void, kind},
    signed::{AuthorizationBody, AuthorizedLine, VoidBody},
};

use super::{AGAIN_MS, DEADLINE_MS, REFUND_MS, Server, UNKNOWN_MS};
use crate::{
    env::{EPOCH_MS, Env},
    newer::Newer,
    toy::{self, Tag},
    world::SERVER_KEY,
};

#[derive(Clone, Copy, Debug)]
enum Job {
    /// The wallet says that an order is paid.
    Pay(u64),
    Number(u64),
    Sign(u64),
    /// The open authorization, or its void.
    Send(u64),
    Void(u64),
    /// Too late to authorize: the money goes back.
    Refuse(u64),
    /// Silence for too long: the money goes back.
    GiveUp(u64),
    Refund(u64, u8),
    BookRefund(u64, u8),
    Command(u64),
    Plan,
}

impl Server {
    pub(crate) fn job_due(&self, env: &Env) -> Option<u64> {
        self.next_job(env).map(|(due, _)| due)
    }

    fn next_job(&self, env: &Env) -> Option<(u64, Job)> {
        self.ram.as_ref()?;
        let unbooked = env.wallet.paid.iter().find(|(_, (_, booked))| !booked);
        let pay = unbooked.map(|(order, _)| (env.now_ms, Job::Pay(*order)));
        let jobs = [pay, self.order_job(env), self.authorization_job(env), self.refund_job(env)];
        jobs.into_iter().chain([self.telling_job(env)]).flatten().min_by_key(|(due, _)| *due)
    }

    fn order_job(&self, env: &Env) -> Option<(u64, Job)> {
        let (number, order) = self.ledger.orders.iter().find(|(_, order)| order.waits())?;
        let late_ms = order.paid_ms + DEADLINE_MS;
        if env.now_ms >= late_ms {
            Some((env.now_ms, Job::Refuse(*number)))
        } else if self.ledger.open().is_none() && !self.ledger.needs_hello {
            Some((env.now_ms, Job::Number(*number)))
        } else {
            Some((late_ms, Job::Refuse(*number)))
        }
    }

    fn authorization_job(&self, env: &Env) -> Option<(u64, Job)> {
        let (seq, open) = self.ledger.open()?;
        if open.signed.is_none() {
            return Some((env.now_ms, Job::Sign(seq)));
        }
        let ram = self.ram.as_ref()?;
        let unknown_ms = open.deadline_ms - EPOCH_MS + UNKNOWN_MS;
        let undecided = self.ledger.orders[&open.order].lines.iter().any(|line| !line.refund_due);
        let send_ms = match ram.sent {
            _ if !ram.session.as_ref().is_some_and(super::Session::is_open) => None,
            Some((sent, at_ms, answered)) if sent == seq => (!answered).then_some(at_ms + AGAIN_MS),
            _ => Some(env.now_ms),
        };
        let jobs = [
            send_ms.map(|due| (due, Job::Send(seq))),
            open.void.is_none().then_some((unknown_ms, Job::Void(seq))),
            undecided.then_some((unknown_ms + REFUND_MS, Job::GiveUp(seq))),
        ];
        jobs.into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn refund_job(&self, env: &Env) -> Option<(u64, Job)> {
        for (number, order) in &self.ledger.orders {
            for (index, line) in (0..).zip(&order.lines) {
                if line.refund_due && line.pending > 0 {
                    let at_wallet = env.wallet.is_refunded(*number, index);
                    let job = if at_wallet { Job::BookRefund } else { Job::Refund };
                    return Some((env.now_ms, job(*number, index)));
                }
            }
        }
        None
    }

    fn telling_job(&self, env: &Env) -> Option<(u64, Job)> {
        let ram = self.ram.as_ref()?;
        let session = ram.session.as_ref().filter(|session| session.is_open())?;
        if !ram.plan_sent && session.is_open() {
            return Some((env.now_ms, Job::Plan));
        }
        let command = self.ledger.command;
        let untold = command > self.ledger.result && ram.command_sent < command;
        untold.then_some((env.now_ms, Job::Command(command)))
    }

    /// Does one job that is due.
    pub(crate) fn job(&mut self, env: &mut Env) {
        let Some((_, job)) = self.next_job(env) else { return };
        env.note(|| format!("server: {job:?}"));
        match job {
            Job::Pay(order) => {
                let (prices, booked) = env.wallet.paid.get_mut(&order).expect("a payment");
                self.ledger.pay(order, prices, env.now_ms);
                *booked = true;
            }
            Job::Number(order) => {
                self.ledger.number(order, env.server_time_ms() + DEADLINE_MS);
            }
            Job::Sign(seq) => self.sign(seq),
            Job::Send(seq) => self.send_open(env, seq),
            Job::Void(seq) => self.void(seq),
            Job::Refuse(order) => self.ledger.give_back(order),
            Job::GiveUp(seq) => self.ledger.give_back(self.ledger.authorizations[&seq].order),
            Job::Refund(order, line) => {
                let amount = self.ledger.orders[&order].lines[usize::from(line)].pending;
                env.wallet.refund(order, line, amount);
            }
            Job::BookRefund(order, line) => self.ledger.book_refund(order, line),
            Job::Command(id) => self.send_command(id),
            Job::Plan => self.send_plan(env),
        }
    }

    fn sign(&mut self, seq: u64) {
        let plan = PlanVersion::new(self.config.plan.into()).unwrap();
        let authorized = self.ledger.authorizations.get_mut(&seq).expect("it is open");
        let order = &self.ledger.orders[&authorized.order];
        let line = |(index, line): (u64, &super::ledger::Line)| AuthorizedLine {
            slot: SlotId::new(11 + index).unwrap(),
            product: ProductId::new(100 + index).unwrap(),
            price_minor: line.price,
        };
        let body = AuthorizationBody {
            enrolment: authorized.enrolment,
            seq: AuthSeq::new(seq).unwrap(),
            order: OrderId::new(authorized.order).unwrap(),
            plan,
            deadline_ms: authorized.deadline_ms,
            currency: Currency::new(156).unwrap(),
            lines: List::try_from_iter((0..).zip(&order.lines).map(line)).unwrap(),
        };
        authorized.signed = Some(toy::sign(SERVER_KEY, Tag::Authorization, &body));
    }

    /// Says that this sequence must not be run any more.
    pub(crate) fn void(&mut self, seq: u64) {
        let authorized = self.ledger.authorizations.get_mut(&seq).expect("it is open");
        let (seq, order) = (AuthSeq::new(seq).unwrap(), OrderId::new(authorized.order).unwrap());
        let body = VoidBody { enrolment: authorized.enrolment, seq, order };
        authorized.void = Some(toy::sign(SERVER_KEY, Tag::Void, &body));
        if let Some(ram) = &mut self.ram {
            ram.sent = None;
        }
    }

    /// Sends an authorization or its void.
    pub(crate) fn send_open(&mut self, env: &Env, seq: u64) {
        let open = &self.ledger.authorizations[&seq];
        let signed = open.signed.clone().expect("signed before it is sent");
        match open.void.clone() {
            Some(void) => self.send(&Void(void)),
            None => self.send(&Authorization(signed)),
        }
        if let Some(ram) = &mut self.ram {
            ram.sent = Some((seq, env.now_ms, false));
        }
    }

    fn send_command(&mut self, id: u64) {
        let action = Action::REPORT_STOCK;
        self.send(&Command { id, deadline_ms: u64::MAX, action, slot: None, value: 0, grant: None });
        if let Some(ram) = &mut self.ram {
            ram.command_sent = id;
        }
    }

    /// The plan, if the machine has another one; and something from a later version of this protocol now and then.
    fn send_plan(&mut self, env: &mut Env) {
        let Some(ram) = &mut self.ram else { return };
        ram.plan_sent = true;
        let known = ram.hello.as_ref().is_some_and(|hello| hello.plan.number() == self.config.plan);
        if !known {
            let entry = PlanEntry {
                slot: SlotId::new(11).unwrap(),
                product: ProductId::new(100).unwrap(),
                price_minor: 350,
                capacity: 8,
                name: Text::truncated("Sparkling 气泡水"),
            };
            let part = PlanPart {
                plan: PlanVersion::new(self.config.plan.into()).unwrap(),
                currency: Currency::new(156).unwrap(),
                part: 0,
                parts: 1,
                entries: List::try_from_iter([entry]).unwrap(),
            };
            self.send(&part);
        }
        if env.rng.chance(env.faults.newer) {
            self.send(&Newer::<0x7E, 1>(1));
            self.send(&Newer::<{ kind::PREPARE }, 2>(2));
        }
    }
}
