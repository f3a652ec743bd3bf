//! The server: its session, and the receipts in its database.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize};
use vend_protocol::{
    List, ReceiptHash, ReceiptNo, codec,
    frame::{MACHINE_FRAME_MAX, Message},
    machine_link::{
        Acknowledgement, Authorization, ChainedKind, Clock, Command, KeyList, LinkError, PlanPart, Prepare,
        Rejection, ServerEvent, ServerSession, Void, kind,
    },
    signed::{AcceptedBody, HelloBody, KeyListBody, Revision, Signed},
};

use super::{
    Log, Sent,
    machine::{SILENCE_MAX_MS, chained, chained_kind, drawn},
    toy::{Keys, Toy, is_signed, sign},
};
use crate::{sample::sample, script::Way};

/// What the steps do not vary.
static TEMPLATE: LazyLock<AcceptedBody> = LazyLock::new(|| sample(1));

/// A message of a future version: the machine does not know it.
#[derive(Serialize, Deserialize)]
pub(super) struct Novel(u32);

impl Message for Novel {
    const KIND: u8 = 0x7E;
    const REVISION: u8 = 1;
}

pub(super) struct ServerEnd {
    /// 0 or 1 accepts, 2 lets the machine wait, 3 rejects it, 4 has a newer key list for it.
    pub(super) policy: u8,
    stored: BTreeSet<u64>,
    /// Stored on this connection, and not acknowledged yet.
    unacknowledged: VecDeque<u64>,
    drawn: u64,
    link: Option<Link>,
}

struct Link {
    session: ServerSession<Toy>,
    keys: Option<Keys>,
    taken: usize,
    /// The number the next receipt has.
    money: u64,
}

impl ServerEnd {
    pub(super) fn new() -> Self {
        let mut end = Self {
            policy: 0,
            stored: BTreeSet::new(),
            unacknowledged: VecDeque::new(),
            drawn: 0,
            link: None,
        };
        end.connect(0);
        end
    }

    pub(super) fn connect(&mut self, now_ms: u64) {
        let session = ServerSession::new(now_ms, SILENCE_MAX_MS);
        self.link = Some(Link { session, keys: None, taken: 0, money: 0 });
        self.unacknowledged.clear();
    }

    /// A backup with receipts up to this one is put back, and the server starts anew.
    pub(super) fn restore(&mut self, stored: u8) {
        self.stored.retain(|number| *number <= u64::from(stored));
        self.link = None;
    }

    /// Takes a frame and gives what it is answered with; on an error the connection is closed.
    pub(super) fn handle(&mut self, now_ms: u64, frame: &[u8], log: &mut Log) -> Option<Vec<u8>> {
        let mut link = self.link.take()?;
        let event = link.session.handle_frame(now_ms, frame).ok()?;
        let mut answer = None;
        match event {
            Some(ServerEvent::Hello(hello)) => answer = self.hello(&mut link, now_ms, &hello),
            Some(ServerEvent::Message(frame)) => {
                let message = Sent { kind: frame.kind, payload: frame.payload.to_vec() };
                link.took(log, &message);
                self.store(&mut link, &message);
            }
            Some(ServerEvent::ClockRequest(request)) => {
                let payload = postcard::to_allocvec(&request).unwrap_or_default();
                link.took(log, &Sent { kind: kind::CLOCK_REQUEST, payload });
                // Any time will do: the machine must not go back with it.
                let server_time_ms = sample(now_ms);
                answer = link.send(&Clock { request: request.request, server_time_ms }, log);
            }
            Some(ServerEvent::Unsupported(unsupported)) => {
                let payload = postcard::to_allocvec(&unsupported).unwrap_or_default();
                link.took(log, &Sent { kind: kind::UNSUPPORTED, payload });
                assert_eq!(unsupported.kind, Novel::KIND, "the machine knows every other message");
            }
            // An altered hello: there is no session yet in which to answer, so the connection is closed.
            Some(ServerEvent::Unknown(unknown)) => {
                assert!(!link.session.is_open(), "the machine sent {unknown:?}");
                return None;
            }
            None => {}
        }
        self.link = Some(link);
        answer
    }

    fn hello(&mut self, link: &mut Link, now_ms: u64, hello: &Signed) -> Option<Vec<u8>> {
        let body: HelloBody = codec::decode(&hello.body).ok()?;
        let mut out = vec![0; MACHINE_FRAME_MAX];
        if !is_signed(Way::Up, hello) || self.policy % 5 == 3 {
            let len = link.session.reject(Rejection::SIGNATURE, 5, &mut out).expect("before it is open");
            out.truncate(len);
            return Some(out);
        }
        if self.policy % 5 == 2 {
            let len = link.session.pending(now_ms, 5, &mut out).expect("before it is open");
            out.truncate(len);
            return Some(out);
        }
        if self.policy % 5 == 4 {
            let list = KeyListBody { version: body.key_list + 1, ..sample(1) };
            let mut bytes = [0; MACHINE_FRAME_MAX];
            let len = codec::encode(&list, &mut bytes).expect("it fits");
            let list = sign(Way::Down, &bytes[..len]);
            let len = link.session.key_list(now_ms, &list, &mut out).expect("before it is open");
            out.truncate(len);
            return Some(out);
        }
        self.drawn += 1;
        let keys = Keys { machine: drawn(&body.nonce.0), server: self.drawn };
        let watermark = (1..=u64::MAX).take_while(|number| self.stored.contains(number)).last().unwrap_or(0);
        let mut ephemeral = [0; 32];
        ephemeral[..8].copy_from_slice(&keys.server.to_le_bytes());
        let accepted = AcceptedBody {
            nonce: body.nonce,
            ephemeral,
            receipt_watermark: watermark,
            keepalive_s: 60,
            revisions: revisions(&[kind::RECEIPT, kind::AMENDMENT]),
            ..TEMPLATE.clone()
        };
        let mut bytes = [0; MACHINE_FRAME_MAX];
        let len = codec::encode(&accepted, &mut bytes).expect("it fits");
        let accepted = sign(Way::Down, &bytes[..len]);
        let listed = revisions(&[kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT]);
        let seal = Toy { keys, way: Way::Down };
        let len = link.session.accept(&accepted, seal, listed, &mut out).expect("before it is open");
        out.truncate(len);
        (link.keys, link.money) = (Some(keys), watermark + 1);
        Some(out)
    }

    fn store(&mut self, link: &mut Link, message: &Sent) {
        if !matches!(message.kind, kind::RECEIPT | kind::AMENDMENT) {
            return;
        }
        let signed: Signed = codec::decode(&message.payload).expect("the machine sends what it can read");
        assert!(
            is_signed(Way::Up, &signed) && signed.body.as_slice() == chained(link.money),
            "money out of order"
        );
        assert_eq!(message.kind == kind::AMENDMENT, chained_kind(link.money) == ChainedKind::Amendment);
        self.stored.insert(link.money);
        self.unacknowledged.push_back(link.money);
        link.money += 1;
    }

    pub(super) fn acknowledge(&mut self, log: &mut Log) -> Option<Vec<u8>> {
        let number = self.unacknowledged.pop_front()?;
        let number = ReceiptNo::new(number).expect("from 1");
        let acknowledgement = Acknowledgement { number, hash: ReceiptHash::START, ..sample(1) };
        self.link.as_mut()?.send(&acknowledgement, log)
    }

    pub(super) fn send(&mut self, what: u8, log: &mut Log) -> Option<Vec<u8>> {
        self.drawn += 1;
        let (number, link) = (self.drawn, self.link.as_mut()?);
        match what % 7 {
            0 => link.send(&sample::<Prepare>(number), log),
            1 => link.send(&sample::<PlanPart>(number), log),
            2 => link.send(&sample::<Command>(number), log),
            3 => link.send(&sample::<Authorization>(number), log),
            4 => link.send(&sample::<Void>(number), log),
            5 => link.send(&sample::<KeyList>(number), log),
            _ => link.send(&Novel(u32::try_from(number).unwrap_or(0)), log),
        }
    }

    pub(super) fn tick(&mut self, now_ms: u64) {
        if self.is_over(now_ms) {
            self.link = None;
        }
    }

    pub(super) fn timeout(&self) -> Option<u64> {
        self.link.as_ref().map(|link| link.session.poll_timeout())
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        self.link.as_ref().is_none_or(|link| link.session.handle_timeout(now_ms).is_err())
    }

    pub(super) fn has_all(&self, written: u64) {
        assert_eq!((1..=written).find(|number| !self.stored.contains(number)), None, "a receipt is lost");
    }
}

impl Link {
    fn send<M: Message>(&mut self, message: &M, log: &mut Log) -> Option<Vec<u8>> {
        let mut out = vec![0; MACHINE_FRAME_MAX];
        match self.session.send(message, &mut out) {
            Ok(len) => out.truncate(len),
            Err(LinkError::OutOfTurn(_)) if self.keys.is_none() => return None,
            Err(error) => panic!("kind {:#04x} cannot be sent: {error}", M::KIND),
        }
        log.sent(self.keys.expect("nothing is sent before the session is open"), Way::Down, &out);
        Some(out)
    }

    fn took(&mut self, log: &Log, message: &Sent) {
        let keys = self.keys.expect("nothing is taken before the session is open");
        log.taken(keys, Way::Up, &mut self.taken, message, |_| false);
    }
}

fn revisions<const N: usize>(kinds: &[u8]) -> List<Revision, N> {
    List::try_from_iter(kinds.iter().map(|kind| Revision { kind: *kind, revision: 1 })).expect("few kinds")
}
