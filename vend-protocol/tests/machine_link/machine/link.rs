//! The model machine's dealings with its session.

use std::collections::BTreeSet;

use vend_protocol::{
    List, MachineId, Nonce, PlanVersion, Reason, ReceiptNo, Text,
    frame::{Frame, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Acknowledgement, Authorization, Class, Command, End, LinkError, MachineEvent, Noted, PlanApplied,
        PlanPart, Prepare, Readiness, Ready, Unsupported, Void, kind,
    },
    signed::{AcceptedBody, AuthorizationBody, HelloBody, Revision, Signed, VoidBody},
};

use super::{Machine, Reads, Session, Todo, journal::Cursor};
use crate::{
    env::Env,
    toy::{self, Tag, ToySeal},
    world::SERVER_KEY,
};

/// What the server waits for. *Unsupported* is an answer too, and the session's own.
const ANSWERS: [u8; 4] = [kind::READY, kind::TAKEN, kind::BUSY, kind::SETTLED];

/// What came of a frame.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    /// The session's error.
    pub(crate) error: Option<LinkError>,
    /// It gave an event.
    pub(crate) event: bool,
    /// The end closes the connection; the machine comes back after so many milliseconds.
    pub(crate) close: Option<u64>,
    /// The message of the chain that is acknowledged.
    pub(crate) acknowledged: Option<u64>,
    /// The other end does not know this message.
    pub(crate) unsupported: Option<Unsupported>,
    /// The machine opened its session; the server has everything up to this number.
    pub(crate) opened: Option<u64>,
}

/// What the session had to send.
pub(crate) struct Transmitted {
    pub(crate) frame: Option<Vec<u8>>,
    /// What the cursor gave.
    pub(crate) given: Option<u64>,
    /// The cursor was asked and had nothing at hand.
    pub(crate) later: bool,
    /// Answers that are queued still.
    pub(crate) answers: u64,
}

/// A peer's list of the money messages it reads.
pub(crate) fn listed<const N: usize>(reads: &Reads) -> List<Revision, N> {
    List::try_from_iter(reads.iter().map(|(kind, revision)| Revision { kind: *kind, revision: *revision }))
        .unwrap()
}

impl Machine {
    pub(crate) fn connect(&mut self, env: &Env) {
        let Some(ram) = &mut self.ram else { return };
        ram.session = Some(Session::new(env.now_ms - ram.boot_ms, self.config.silence_ms));
        ram.idle = true;
    }

    /// The connection is no more. What was not journaled by now must not be: the next hello says what is used up.
    pub(crate) fn disconnect(&mut self, env: &mut Env, retry_ms: u64) {
        let Some(ram) = &mut self.ram else { return };
        if let Some(session) = ram.session.take() {
            env.counts.dropped += u64::from(session.dropped());
        }
        ram.hello = None;
        ram.answers = 0;
        ram.todo.clear();
        ram.connect_ms = env.now_ms + retry_ms;
    }

    pub(crate) fn wants_hello(&self, env: &Env) -> bool {
        let clock = self.ram.as_ref().map_or(0, |ram| env.now_ms - ram.boot_ms);
        self.session().is_some_and(|session| session.wants_hello(clock))
    }

    /// Says hello.
    pub(crate) fn greet(&mut self, env: &mut Env) -> Vec<u8> {
        let ram = self.ram.as_mut().expect("a machine that is on");
        let (nonce, ephemeral) = (Nonce(env.rng.bytes()), env.rng.bytes());
        ram.hello = Some((nonce, ephemeral));
        let body = HelloBody {
            machine: MachineId::new(7).unwrap(),
            enrolment: self.board.enrolment,
            nonce,
            ephemeral,
            journal: self.journal.id,
            used_seq: self.journal.used_seq,
            last_receipt: self.journal.last,
            plan: PlanVersion::new(self.journal.plan.into()).unwrap(),
            config: 0,
            key_list: 1,
            revisions: listed(&self.config.reads),
            frame_max: 1024,
            lines_max: 8,
            firmware: Text::truncated("model 1"),
        };
        let hello = toy::sign(self.board.key, Tag::Hello, &body);
        let mut out = [0; MACHINE_FRAME_MAX];
        let session = ram.session.as_mut().expect("a connection");
        let len = session.greet(env.now_ms - ram.boot_ms, &hello, &mut out).unwrap();
        env.note(|| format!("machine: hello, {} used, {} receipts", body.used_seq, body.last_receipt));
        out[..len].to_vec()
    }

    /// When the session has something to do by the clock alone.
    pub(crate) fn session_due(&self) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        Some(ram.session.as_ref()?.poll_timeout().saturating_add(ram.boot_ms))
    }

    pub(crate) fn session_timeout(&mut self, env: &Env) -> Result<(), LinkError> {
        let Some(ram) = &mut self.ram else { return Ok(()) };
        let Some(session) = &ram.session else { return Ok(()) };
        session.handle_timeout(env.now_ms - ram.boot_ms)
    }

    /// When [`Machine::transmit`] is to be called.
    pub(crate) fn transmit_due(&self) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        let open = ram.session.as_ref().is_some_and(Session::is_open);
        (open && !ram.idle).then_some(ram.retry_ms.max(ram.busy_until_ms))
    }

    /// When [`Machine::receive`] may be called.
    pub(crate) fn receive_due(&self) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        ram.session.as_ref().map(|_| ram.busy_until_ms)
    }

    pub(crate) fn transmit(&mut self, env: &mut Env) -> Transmitted {
        let ram = self.ram.as_mut().expect("a machine that is on");
        let session = ram.session.as_mut().expect("a connection");
        let later = env.rng.chance(env.faults.later);
        let mut cursor = Cursor { journal: &self.journal, later, asked: false, given: None };
        let mut out = [0; MACHINE_FRAME_MAX];
        let sent = session.poll_transmit(env.now_ms - ram.boot_ms, &mut cursor, &mut out);
        let len = sent.expect("everything fits and is in turn");
        let later = cursor.later && cursor.asked;
        env.counts.later += u64::from(later);
        ram.retry_ms = 0;
        if later {
            ram.retry_ms = env.now_ms + env.rng.between(1, 50);
        } else if len.is_none() {
            ram.idle = true;
        }
        let given = cursor.given;
        let frame = len.map(|len| out[..len].to_vec());
        let answered = frame.as_ref().is_some_and(|frame| ANSWERS.contains(&frame[1]));
        ram.answers -= u64::from(answered);
        let answers = ram.answers;
        self.tell_events(env);
        Transmitted { frame, given, later, answers }
    }

    /// Queues a message; whether there was room for it.
    pub(super) fn queue<M: Message>(&mut self, env: &mut Env, class: Class, message: &M) -> bool {
        let Some(ram) = &mut self.ram else { return false };
        let Some(session) = &mut ram.session else { return false };
        ram.idle = false;
        let queued = session.queue(class, message).is_ok();
        env.counts.no_room += u64::from(!queued);
        ram.answers += u64::from(queued && class == Class::Answer);
        queued
    }

    /// Queues an answer. One without room is not given: the server asks again.
    pub(crate) fn say<M: Message>(&mut self, env: &mut Env, class: Class, message: &M) {
        self.queue(env, class, message);
    }

    /// Takes a frame.
    pub(crate) fn receive(&mut self, env: &mut Env, bytes: &[u8]) -> Reaction {
        let ram = self.ram.as_mut().expect("a machine that is on");
        let clock = env.now_ms - ram.boot_ms;
        let session = ram.session.as_mut().expect("a connection");
        ram.idle = false;
        let event = session.handle_frame(clock, bytes);
        if let Some(time) = session.server_time_ms(clock) {
            ram.offset_ms = ram.offset_ms.max(time.checked_sub(clock));
        }
        let mut reaction = Reaction { event: matches!(event, Ok(Some(_))), ..Reaction::default() };
        match event {
            Err(error) => reaction.error = Some(error),
            Ok(Some(MachineEvent::Accepted(signed))) => {
                reaction.opened = self.accepted(env, &signed);
                reaction.close = reaction.opened.is_none().then_some(1_000);
            }
            Ok(Some(MachineEvent::Rejected { retry_s, .. })) => {
                reaction.close = Some(u64::from(retry_s).max(1) * 1_000);
            }
            // This server's keys do not change: it is somebody else's.
            Ok(Some(MachineEvent::KeyList(_))) => reaction.close = Some(1_000),
            Ok(None | Some(MachineEvent::Pending)) => {}
            Ok(Some(MachineEvent::Unsupported(unsupported))) => reaction.unsupported = Some(unsupported),
            Ok(Some(MachineEvent::Message(frame))) => reaction.acknowledged = self.message(env, &frame),
        }
        self.work(env);
        reaction
    }

    /// Believes an answer to this connection's hello and opens the session; the watermark is returned.
    fn accepted(&mut self, env: &mut Env, signed: &Signed) -> Option<u64> {
        let body: AcceptedBody = toy::verify(SERVER_KEY, Tag::Accepted, signed)?;
        let ram = self.ram.as_mut()?;
        let (nonce, ephemeral) = ram.hello.take()?;
        if body.enrolment != self.board.enrolment || body.nonce != nonce {
            return None;
        }
        let clock = env.now_ms - ram.boot_ms;
        let seal = ToySeal::agree(End::Machine, &ephemeral, &body.ephemeral);
        ram.session.as_mut()?.open(clock, seal, &body, self.journal.last);
        ram.offset_ms = ram.offset_ms.max(body.server_time_ms.checked_sub(clock));
        ram.floor_seq = body.floor_seq;
        ram.watermark = body.receipt_watermark;
        ram.told = BTreeSet::new();
        self.journal.set_watermark(body.receipt_watermark);
        env.counts.sessions += 1;
        env.note(|| format!("machine: open, watermark {}", body.receipt_watermark));
        self.tell_events(env);
        Some(body.receipt_watermark)
    }

    /// A message of an open session. The message of the chain that it acknowledges is returned.
    fn message(&mut self, env: &mut Env, frame: &Frame<'_>) -> Option<u64> {
        let own = self.board.enrolment;
        let todo = match frame.kind {
            kind::AUTHORIZATION => {
                let Authorization(signed) = frame.decode().unwrap();
                // What does not verify proves nothing, and is not answered.
                let body = toy::verify(SERVER_KEY, Tag::Authorization, &signed);
                body.filter(|body: &AuthorizationBody| body.enrolment == self.board.enrolment)
                    .map(Todo::Authorization)
            }
            kind::VOID => {
                let Void(signed) = frame.decode().unwrap();
                let body = toy::verify::<VoidBody>(SERVER_KEY, Tag::Void, &signed);
                body.filter(|body| body.enrolment == own).map(Todo::Void)
            }
            kind::COMMAND => Some(Todo::Command(frame.decode::<Command>().unwrap().id)),
            kind::ACKNOWLEDGEMENT => return self.acknowledged(env, &frame.decode().unwrap()),
            _ => {
                self.other_message(env, frame);
                None
            }
        };
        if let (Some(ram), Some(todo)) = (&mut self.ram, todo) {
            ram.todo.push_back(todo);
        }
        None
    }

    fn acknowledged(&mut self, env: &mut Env, message: &Acknowledgement) -> Option<u64> {
        let number = message.number.number();
        if message.journal != self.journal.id || !self.journal.acknowledge(number, message.hash) {
            return None;
        }
        env.counts.acknowledgements += 1;
        let session = self.ram.as_mut()?.session.as_mut()?;
        session.acknowledged(ReceiptNo::new(number).unwrap());
        Some(number)
    }

    fn other_message(&mut self, env: &mut Env, frame: &Frame<'_>) {
        match frame.kind {
            kind::PREPARE => {
                let Prepare { request, .. } = frame.decode().unwrap();
                let readiness = match self.journal.order {
                    None => Readiness::Ready,
                    Some(_) => Readiness::NotReady(Reason::BUSY),
                };
                self.say(env, Class::Answer, &Ready { request, readiness });
            }
            kind::PLAN_PART => {
                let PlanPart { plan, .. } = frame.decode().unwrap();
                self.journal.plan = plan.number();
                env.counts.plans += 1;
                self.say(env, Class::Event, &PlanApplied { plan });
            }
            kind::NOTED => {
                let Noted { kind, number } = frame.decode().unwrap();
                self.journal.events.remove(&(kind, number));
            }
            _ => {
                if let Some(session) = self.ram.as_mut().and_then(|ram| ram.session.as_mut()) {
                    session.unsupported(frame);
                }
            }
        }
    }
}
