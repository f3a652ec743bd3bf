//! The model server's dealings with its session.

use vend_protocol::{
    List, PlanVersion, ProductId, ReceiptHash, SlotId,
    frame::{Frame, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Acknowledgement, Amendment, Busy, Clock, CommandResult, End, LinkError, Noted, PREPARE_TIMEOUT_MS,
        Prepare, PrepareLine, Readiness, Ready, Receipt, Rejection, SecurityEvent, ServerEvent, Settled,
        StockReport, Taken, Unsupported, kind,
    },
    signed::{AcceptedBody, AmendmentBody, HelloBody, ReceiptBody, Signed},
};

use super::{Answer, Server, Todo, Welcome};
use crate::{
    env::Env,
    machine::{Reaction, listed},
    toy::{self, Tag, ToySeal},
    world::SERVER_KEY,
};

/// What a machine must read to sell anything.
const MONEY_DOWN: [u8; 3] = [kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT];

fn reads(hello: &HelloBody, kind: u8) -> bool {
    hello.revisions.iter().any(|listed| listed.kind == kind && listed.revision >= 1)
}

impl Server {
    /// Sends a message on the open session. One that the machine did not list is not sent.
    pub(crate) fn send<M: Message>(&mut self, message: &M) {
        let Some(ram) = &mut self.ram else { return };
        let Some(session) = &mut ram.session else { return };
        let mut out = [0; MACHINE_FRAME_MAX];
        match session.send(message, &mut out) {
            Ok(len) => ram.outgoing.push(out[..len].to_vec()),
            Err(LinkError::NotListed(_)) => {}
            Err(error) => panic!("a message that cannot be sent: {error}"),
        }
    }

    /// Takes a frame.
    pub(crate) fn receive(&mut self, env: &mut Env, bytes: &[u8]) -> Reaction {
        let session = self.ram.as_mut().and_then(|ram| ram.session.as_mut()).expect("a connection");
        let event = session.handle_frame(env.now_ms, bytes);
        let mut reaction = Reaction { event: matches!(event, Ok(Some(_))), ..Reaction::default() };
        match event {
            Err(error) => reaction.error = Some(error),
            Ok(None) => {}
            Ok(Some(ServerEvent::Hello(signed))) => self.hello(env, &signed),
            Ok(Some(ServerEvent::ClockRequest(asked))) => {
                self.proven();
                env.counts.clocks += 1;
                let server_time_ms = env.server_time_ms();
                self.send(&Clock { request: asked.request, server_time_ms });
            }
            Ok(Some(ServerEvent::Unknown(_))) if !session.is_open() => {
                self.reject(env, Rejection::REVISION, 2);
            }
            Ok(Some(ServerEvent::Unknown(unknown))) => self.send(&unknown),
            Ok(Some(ServerEvent::Unsupported(unsupported))) => reaction.unsupported = Some(unsupported),
            Ok(Some(ServerEvent::Message(frame))) => {
                self.proven();
                self.message(env, &frame);
            }
        }
        reaction
    }

    fn hello(&mut self, env: &mut Env, signed: &Signed) {
        let body: Option<HelloBody> =
            self.keys.values().find_map(|key| toy::verify(*key, Tag::Hello, signed));
        match body {
            None => self.reject(env, Rejection::SIGNATURE, 2),
            Some(body) if MONEY_DOWN.iter().any(|kind| !reads(&body, *kind)) => {
                self.reject(env, Rejection::REVISION, 2);
            }
            Some(body) if body.enrolment != self.ledger.enrolment => self.reject(env, Rejection::RETIRED, 2),
            Some(body) => self.welcome(env, body),
        }
    }

    fn welcome(&mut self, env: &mut Env, body: HelloBody) {
        let mut welcome = self.config.welcome;
        if env.rng.chance(env.faults.unwelcome) {
            let seconds = u16::try_from(env.rng.between(1, 4)).unwrap();
            let late = Welcome::Late(env.rng.between(1_000, 13_000));
            let any = [Welcome::Rejected(seconds), Welcome::Pending(seconds), late];
            welcome = any[usize::try_from(env.rng.below(3)).unwrap()];
        }
        let delay_ms = match welcome {
            Welcome::Rejected(retry_s) => return self.reject(env, Rejection::LOGIN, retry_s),
            Welcome::Pending(retry_s) => {
                env.counts.pending += 1;
                let now_ms = env.now_ms;
                return self.plain(|session, out| session.pending(now_ms, retry_s, out));
            }
            Welcome::Accepted => 0,
            Welcome::Late(delay_ms) => {
                env.counts.late_hellos += 1;
                delay_ms
            }
        };
        if let Some(ram) = &mut self.ram {
            ram.todo.push_back((env.now_ms + delay_ms, Todo::Accept(Box::new(body))));
        }
    }

    fn reject(&mut self, env: &mut Env, code: Rejection, retry_s: u16) {
        env.counts.rejected += 1;
        env.note(|| format!("server: rejects, {code}"));
        self.plain(|session, out| session.reject(code, retry_s, out));
    }

    fn plain(&mut self, write: impl FnOnce(&mut super::Session, &mut [u8]) -> Result<usize, LinkError>) {
        let Some(ram) = &mut self.ram else { return };
        let Some(session) = &mut ram.session else { return };
        let mut out = [0; MACHINE_FRAME_MAX];
        if let Ok(len) = write(session, &mut out) {
            ram.outgoing.push(out[..len].to_vec());
        }
    }

    fn accept(&mut self, env: &mut Env, hello: HelloBody) {
        let body = AcceptedBody {
            enrolment: hello.enrolment,
            nonce: hello.nonce,
            ephemeral: env.rng.bytes(),
            server_time_ms: env.server_time_ms(),
            receipt_watermark: self.ledger.watermark(hello.journal),
            issued_seq: self.ledger.issued_seq,
            floor_seq: self.ledger.floor_seq,
            plan: PlanVersion::new(self.config.plan.into()).unwrap(),
            config: 0,
            key_list: 1,
            keepalive_s: self.config.keepalive_s,
            revisions: listed(&self.config.reads),
            frame_max: 1024,
        };
        let accepted = toy::sign(SERVER_KEY, Tag::Accepted, &body);
        let seal = ToySeal::agree(End::Server, &hello.ephemeral, &body.ephemeral);
        env.note(|| format!("server: accepts, watermark {}", body.receipt_watermark));
        self.plain(|session, out| session.accept(&accepted, seal, hello.revisions, out));
        if let Some(ram) = &mut self.ram {
            ram.hello = Some(hello);
        }
    }

    /// A sealed frame came: the hello was no recording, and what it says may change what lasts.
    fn proven(&mut self) {
        let Some(hello) = self.ram.as_ref().and_then(|ram| ram.hello.as_ref()) else { return };
        self.ledger.issued_seq = self.ledger.issued_seq.max(hello.used_seq);
        self.ledger.needs_hello = false;
    }

    fn message(&mut self, env: &mut Env, frame: &Frame<'_>) {
        let todo = match frame.kind {
            kind::RECEIPT if self.config.forgets_receipts => {
                let Frame { kind, revision, sequence, .. } = *frame;
                return self.send(&Unsupported { kind, revision, sequence });
            }
            kind::RECEIPT => Todo::Receipt(Box::new(frame.decode::<Receipt>().unwrap().0)),
            kind::AMENDMENT => Todo::Amendment(Box::new(frame.decode::<Amendment>().unwrap().0)),
            kind::STOCK_REPORT => {
                Todo::Note(frame.kind, frame.decode::<StockReport>().unwrap().number.into())
            }
            kind::SECURITY_EVENT => {
                Todo::Note(frame.kind, frame.decode::<SecurityEvent>().unwrap().number.into())
            }
            kind::COMMAND_RESULT => Todo::Note(frame.kind, frame.decode::<CommandResult>().unwrap().id),
            _ => return self.answer(env, frame),
        };
        if let Some(ram) = &mut self.ram {
            ram.todo.push_back((env.now_ms, todo));
        }
    }

    fn answer(&mut self, env: &mut Env, frame: &Frame<'_>) {
        let answer = match frame.kind {
            kind::READY => {
                let ready: Ready = frame.decode().unwrap();
                self.ready(env, ready);
                if ready.readiness == Readiness::Ready { Answer::Ready } else { Answer::NotReady }
            }
            kind::TAKEN => {
                env.counts.taken += 1;
                let seq = frame.decode::<Taken>().unwrap().seq.number();
                self.answered(seq);
                Answer::Taken(seq)
            }
            kind::BUSY => Answer::Busy(frame.decode::<Busy>().unwrap().seq.number()),
            kind::SETTLED => {
                let up_to = frame.decode::<Settled>().unwrap().up_to.number();
                self.ledger.settled(up_to);
                self.answered(up_to);
                Answer::Settled(up_to)
            }
            // For people: telemetry, log lines, faults, an applied plan.
            _ => return,
        };
        if let Some(ram) = &mut self.ram {
            ram.answers.push(answer);
        }
    }

    fn answered(&mut self, seq: u64) {
        if let Some((sent, _, answered)) = self.ram.as_mut().and_then(|ram| ram.sent.as_mut()) {
            *answered |= *sent == seq;
        }
    }

    /// Asks whether the machine could vend this now, for a customer who would pay then. Whether there was a link to ask by.
    pub(crate) fn prepare(&mut self, env: &Env, prices: &[u32]) -> bool {
        let Some(ram) = &mut self.ram else { return false };
        if !ram.session.as_ref().is_some_and(super::Session::is_open) {
            return false;
        }
        ram.requests += 1;
        let request = ram.requests;
        ram.asked = Some((request, env.now_ms + PREPARE_TIMEOUT_MS, prices.to_vec()));
        let line = |price: &u32| PrepareLine {
            slot: SlotId::new(11).unwrap(),
            product: ProductId::new(100).unwrap(),
            price_minor: *price,
        };
        let plan = PlanVersion::new(self.config.plan.into()).unwrap();
        let lines = List::try_from_iter(prices.iter().map(line)).unwrap();
        self.send(&Prepare { request, plan, lines });
        true
    }

    fn ready(&mut self, env: &mut Env, ready: Ready) {
        let Some(ram) = &mut self.ram else { return };
        let Some((_, until_ms, prices)) = ram.asked.take_if(|asked| asked.0 == ready.request) else { return };
        if ready.readiness == Readiness::Ready && env.now_ms <= until_ms {
            env.wallet.pay(&prices);
        } else {
            env.counts.not_ready += 1;
        }
    }

    pub(crate) fn todo_due(&self) -> Option<u64> {
        let ram = self.ram.as_ref()?;
        let acknowledge = ram.acknowledge.front().map(|_| self.deaf_until_ms);
        ram.todo.front().map(|(due, _)| *due).into_iter().chain(acknowledge).min()
    }

    /// Does one thing that power may be cut before or after.
    pub(crate) fn do_next(&mut self, env: &mut Env) {
        let Some(ram) = &mut self.ram else { return };
        let may = env.now_ms >= self.deaf_until_ms;
        if may && let Some(acknowledgement) = ram.acknowledge.pop_front() {
            return self.send(&acknowledgement);
        }
        let Some((_, todo)) = ram.todo.pop_front() else { return };
        match todo {
            Todo::Accept(hello) => self.accept(env, *hello),
            Todo::Receipt(signed) => self.commit_receipt(env, &signed),
            Todo::Amendment(signed) => self.commit_amendment(&signed),
            Todo::Note(kind, number) => self.commit_note(kind, number),
        }
    }

    /// The key of the board that speaks on this connection. What a replaced one signed is booked as well.
    fn key(&self) -> u64 {
        let hello = self.ram.as_ref().and_then(|ram| ram.hello.as_ref()).expect("an open session");
        self.keys[&hello.enrolment]
    }

    fn commit_receipt(&mut self, env: &mut Env, signed: &Signed) {
        let body: ReceiptBody = toy::verify(self.key(), Tag::Receipt, signed).expect("an unaltered receipt");
        let hash = toy::hash(Tag::Receipt, signed);
        let whole = self.reads_all();
        let new = self.ledger.receipt(&body, hash, whole);
        env.note(|| format!("server: commits receipt {}, new: {new}", body.number));
        self.acknowledge(Acknowledgement { journal: body.journal, number: body.number, hash });
    }

    fn commit_amendment(&mut self, signed: &Signed) {
        let body: AmendmentBody =
            toy::verify(self.key(), Tag::Amendment, signed).expect("an unaltered amendment");
        let hash = toy::hash(Tag::Amendment, signed);
        let whole = self.reads_all();
        self.ledger.amendment(&body, hash, whole);
        self.acknowledge(Acknowledgement { journal: body.journal, number: body.number, hash });
    }

    fn acknowledge(&mut self, mut acknowledgement: Acknowledgement) {
        if self.config.misnames == Some(acknowledgement.number.number()) {
            acknowledgement.hash = ReceiptHash([9; 32]);
        }
        if let Some(ram) = &mut self.ram {
            ram.acknowledge.push_back(acknowledgement);
        }
    }

    fn commit_note(&mut self, kind: u8, number: u64) {
        let Some(journal) = self.ram.as_ref().and_then(|ram| Some(ram.hello.as_ref()?.journal)) else {
            return;
        };
        self.ledger.noted.insert((journal, kind, number));
        if kind == kind::COMMAND_RESULT {
            self.ledger.result = self.ledger.result.max(number).min(self.ledger.command);
        }
        self.send(&Noted { kind, number });
    }
}
