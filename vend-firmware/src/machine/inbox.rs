//! What the server asks of the machine: what comes in on an open session.

use vend_payments::authorization::{Permit, verify_void};
use vend_protocol::{
    AuthSeq, OrderId, Reason,
    frame::{Frame, FrameError},
    machine_link::{
        Acknowledgement, Authorization, Busy, Class, KeyList, LateDrop, PlanApplied, PlanPart, Readiness,
        Ready, Taken, Void, kind,
    },
    signed::Signed,
};

use super::{
    JournalRequest, Machine, Pending, Random,
    order::{Incoming, Work},
};

impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    /// Takes a message of an open session.
    ///
    /// # Errors
    /// A known message that cannot be read: this is not a server to talk to.
    pub(super) fn dispatch(&mut self, now_ms: u64, frame: &Frame<'_>) -> Result<(), FrameError> {
        match frame.kind {
            kind::PREPARE => self.link.prepare = Some(frame.decode()?),
            kind::AUTHORIZATION => {
                let Authorization(signed) = frame.decode()?;
                self.authorization(now_ms, signed);
            }
            kind::VOID => {
                let Void(signed) = frame.decode()?;
                self.void(now_ms, &signed);
            }
            kind::ACKNOWLEDGEMENT => {
                let acknowledgement: Acknowledgement = frame.decode()?;
                if acknowledgement.journal == self.journal {
                    self.link.receipts.acknowledged(acknowledgement);
                }
            }
            kind::PLAN_PART => {
                let part: PlanPart = frame.decode()?;
                if let Some(plan) = self.plan.handle(&part) {
                    self.link.queue(Class::Event, &PlanApplied { plan });
                }
            }
            kind::KEY_LIST => {
                let KeyList(list) = frame.decode()?;
                self.key_list(now_ms, list);
            }
            // Configurations, commands, updates, selection at the machine, stock: this firmware does without.
            _ => {
                if let Some(session) = self.link.session() {
                    session.unsupported(frame);
                }
            }
        }
        Ok(())
    }

    fn authorization(&mut self, now_ms: u64, signed: Signed) {
        if !self.keys_in_time(now_ms) {
            return;
        }
        // What does not verify proves nothing and is not answered.
        let Ok(permit) = Permit::verify(&signed, &self.keys, self.enrolment) else { return };
        let seq = permit.body().seq;
        self.consider(seq, Incoming::Authorization { permit, signed });
    }

    fn void(&mut self, now_ms: u64, signed: &Signed) {
        if !self.keys_in_time(now_ms) {
            return;
        }
        let Ok(void) = verify_void(signed, &self.keys, self.enrolment) else { return };
        self.consider(void.seq, Incoming::Void(void));
    }

    fn keys_in_time(&self, now_ms: u64) -> bool {
        self.server_time_ms(now_ms).is_some_and(|time| self.keys.check_time(time).is_ok())
    }

    fn consider(&mut self, seq: AuthSeq, incoming: Incoming) {
        if let Work::Vending(vending) = &self.work
            && vending.seq() == seq
        {
            self.link.queue(Class::Answer, &Taken { seq });
        } else if seq.number() <= self.state.numbers.used_seq.max(self.link.floor_seq) {
            self.link.receipts.asked_again(seq);
        } else if self.broken || !matches!(self.work, Work::Idle) {
            self.link.queue(Class::Answer, &Busy { seq });
        } else {
            self.work = Work::Considering(incoming);
        }
    }

    pub(super) fn late_drop(&mut self, now_ms: u64, after: Option<OrderId>) {
        let at_ms = self.server_time_ms(now_ms).unwrap_or(0);
        self.link.queue(Class::Lossy, &LateDrop { after, at_ms });
    }

    pub(super) fn check_prepare(&mut self, now_ms: u64) -> Option<JournalRequest> {
        let prepare = self.link.prepare.as_ref()?;
        let ready = match &self.work {
            Work::Idle if self.server_time_ms(now_ms).is_none() => Err(Reason::CLOCK),
            Work::Idle => {
                let lines = prepare.lines.iter().map(|line| (line.slot, line.product, line.price_minor));
                self.readiness(now_ms, prepare.plan, lines)
            }
            _ => Err(Reason::BUSY),
        };
        match ready {
            Ok(()) => Some(self.ask(Pending::ReserveForPrepare, JournalRequest::Reserve)),
            Err(reason) => {
                self.answer_prepare(Readiness::NotReady(reason));
                None
            }
        }
    }

    pub(super) fn answer_prepare(&mut self, readiness: Readiness) {
        if let Some(prepare) = self.link.prepare.take() {
            self.link.queue(Class::Answer, &Ready { request: prepare.request, readiness });
        }
    }
}
