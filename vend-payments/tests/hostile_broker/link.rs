//! Two ends with real keys, and what a broker can do to the frames between them.

use std::rc::Rc;

use vend_payments::{
    keys::TrustedKeys,
    session::{Offer, SessionKeys, SessionSeal, VerifiedHello},
    signed::{PublicKey, Signer},
};
use vend_protocol::{
    EnrolmentId, List, MachineId, Nonce, PlanVersion, Text,
    frame::{self, Frame, Message},
    machine_link::{Accepted, Channel, End, Hello, LinkError, MAC_LEN, Received, SEALED, Seal, kind},
    signed::{AcceptedBody, HelloBody, KeyListBody, REVISIONS_MAX, Revision, Signed},
};

use crate::messages::{Example, JOURNAL, nonce};

/// The server's time at every hello.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// Who takes part, each with its own keys. The broker has none of them.
pub(crate) struct Parties {
    pub(crate) root: Signer,
    pub(crate) online: Signer,
    pub(crate) machine: Signer,
    pub(crate) keys: TrustedKeys,
}

impl Parties {
    /// The operator's, with the machine whose key this seed gives.
    pub(crate) fn new(machine: u8) -> Self {
        let (root, online) = (Signer::from_seed(&[0x41; 32]), Signer::from_seed(&[0x42; 32]));
        let keys = List::try_from_iter([online.public_key().to_bytes()]).unwrap();
        let list = KeyListBody { version: 1, not_before_ms: 0, expires_ms: u64::MAX, keys };
        let key = root.public_key();
        let list = root.sign(&list).unwrap();
        let keys = TrustedKeys::from_root(&key.to_bytes(), key.fingerprint(), &list).unwrap();
        Self { root, online, machine: Signer::from_seed(&[machine; 32]), keys }
    }

    pub(crate) fn number() -> MachineId {
        MachineId::new(7).unwrap()
    }

    pub(crate) fn machine_key(&self) -> PublicKey {
        self.machine.public_key()
    }

    pub(crate) fn hello_body(&self, nonce: Nonce) -> HelloBody {
        HelloBody {
            machine: Self::number(),
            enrolment: self.machine_key().fingerprint(),
            nonce,
            ephemeral: [0; 32],
            journal: JOURNAL,
            used_seq: 17,
            last_receipt: 16,
            plan: PlanVersion::new(4).unwrap(),
            config: 2,
            key_list: 1,
            revisions: listed(&[kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT]),
            frame_max: 1024,
            lines_max: 8,
            firmware: Text::truncated("test"),
        }
    }

    pub(crate) fn accepted_body() -> AcceptedBody {
        AcceptedBody {
            enrolment: EnrolmentId([0; 16]),
            nonce: Nonce([0; 16]),
            ephemeral: [0; 32],
            server_time_ms: NOW_MS,
            receipt_watermark: 0,
            issued_seq: 17,
            floor_seq: 0,
            plan: PlanVersion::new(4).unwrap(),
            config: 2,
            key_list: 1,
            keepalive_s: 5,
            revisions: listed(&[kind::RECEIPT, kind::AMENDMENT]),
            frame_max: 1024,
        }
    }

    /// Both ends of an honest session, open; sessions of other numbers have other nonces and keys.
    pub(crate) fn connect(&self, session: u8) -> Pair {
        let (mut machine, hello) = MachineEnd::greet(self, session);
        let mut server = ServerEnd::new(session);
        let accepted = server.hear(self, &hello).unwrap();
        machine.hear(self, &accepted).unwrap();
        assert!(machine.channel.is_open() && server.channel.is_open());
        Pair { machine: machine.channel, server: server.channel, hello, accepted }
    }
}

fn listed(kinds: &[u8]) -> List<Revision, REVISIONS_MAX> {
    List::try_from_iter(kinds.iter().map(|&kind| Revision { kind, revision: 1 })).unwrap()
}

/// A session's seal in as many copies of its end as a test tries things on. There is no `Clone` outside of tests.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Rc<SessionSeal>);

impl Seal for Shared {
    fn seal(&self, message: &[u8]) -> [u8; MAC_LEN] {
        self.0.seal(message)
    }

    fn verify(&self, message: &[u8], code: &[u8; MAC_LEN]) -> bool {
        self.0.verify(message, code)
    }
}

/// An open link, and what opened it.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) machine: Channel<Shared>,
    pub(crate) server: Channel<Shared>,
    pub(crate) hello: Vec<u8>,
    pub(crate) accepted: Vec<u8>,
}

impl Pair {
    pub(crate) fn end(&self, end: End) -> &Channel<Shared> {
        match end {
            End::Machine => &self.machine,
            End::Server => &self.server,
        }
    }
}

/// A machine that has said hello.
pub(crate) struct MachineEnd {
    pub(crate) channel: Channel<Shared>,
    offer: Option<Offer>,
}

impl MachineEnd {
    pub(crate) fn greet(parties: &Parties, session: u8) -> (Self, Vec<u8>) {
        let random = [session.wrapping_mul(2); 32];
        let (signed, offer) =
            Offer::hello(random, &parties.machine, parties.hello_body(nonce(session)), 0).unwrap();
        let mut channel = Channel::new(End::Machine, 0, u64::MAX);
        let frame = write(&mut channel, &Hello(signed));
        (Self { channel, offer: Some(offer) }, frame)
    }

    /// What a machine does with a frame before it is open; an error closes the connection.
    pub(crate) fn hear(&mut self, parties: &Parties, bytes: &[u8]) -> Result<(), String> {
        let Received::Message(frame) = self.channel.receive(1, bytes).map_err(said)? else { return Ok(()) };
        let Accepted(signed) = frame.decode().map_err(said)?;
        let offer = self.offer.take().ok_or("answered before")?;
        let (body, seal) = offer.accept(&parties.keys, &signed, 1).map_err(said)?;
        self.channel.open(Shared(Rc::new(seal)), body.revisions);
        Ok(())
    }
}

/// A server that waits for a hello.
pub(crate) struct ServerEnd {
    pub(crate) channel: Channel<Shared>,
    random: [u8; 32],
}

impl ServerEnd {
    pub(crate) fn new(session: u8) -> Self {
        let random = [session.wrapping_mul(2) + 1; 32];
        Self { channel: Channel::new(End::Server, 0, u64::MAX), random }
    }

    /// What a server does with a frame before it is open: its answer's frame; an error closes the connection.
    pub(crate) fn hear(&mut self, parties: &Parties, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let frame = match self.channel.receive(1, bytes).map_err(said)? {
            Received::Message(frame) => frame,
            Received::Repeat => return Err("a repeated hello".to_owned()),
        };
        let Hello(signed) = frame.decode().map_err(said)?;
        let heard =
            VerifiedHello::verify(&signed, Parties::number(), &parties.machine_key()).map_err(said)?;
        let (signed, seal) =
            heard.answer(self.random, &parties.online, Parties::accepted_body()).map_err(said)?;
        let frame = write(&mut self.channel, &Accepted(signed));
        self.channel.open(Shared(Rc::new(seal)), heard.body().revisions);
        Ok(frame)
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn write<M: Message>(channel: &mut Channel<Shared>, message: &M) -> Vec<u8> {
    let mut out = vec![0; frame::MACHINE_FRAME_MAX];
    let len = channel.send(message, &mut out).unwrap();
    out.truncate(len);
    out
}

/// Sends an example.
pub(crate) fn send(channel: &mut Channel<Shared>, example: &Example) -> Vec<u8> {
    let mut out = vec![0; frame::MACHINE_FRAME_MAX];
    let len = channel.send_encoded(example.kind, example.revision, &example.payload, &mut out).unwrap();
    out.truncate(len);
    out
}

/// What an end took of some frames, in this order, and the error it closed with, if it did.
pub(crate) fn deliver<'a>(
    channel: &mut Channel<Shared>,
    frames: impl IntoIterator<Item = &'a Vec<u8>>,
) -> (Vec<Example>, Option<LinkError>) {
    let mut taken = Vec::new();
    for bytes in frames {
        match channel.receive(1, bytes) {
            Ok(Received::Message(Frame { kind, revision, payload, .. })) => {
                taken.push(Example { kind, revision, payload: payload.to_vec() });
            }
            Ok(Received::Repeat) => {}
            Err(error) => return (taken, Some(error)),
        }
    }
    (taken, None)
}

/// Everything of a frame but its checksum.
pub(crate) fn body(frame: &[u8]) -> Vec<u8> {
    frame[..frame.len() - frame::CRC_LEN].to_vec()
}

/// The frame that the broker makes of this: the checksum is right, which proves nothing.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    [body, &frame::checksum(body).to_le_bytes()].concat()
}

/// A sealed frame, with a code that the broker computed with keys of its own.
pub(crate) fn forged(sender: End, kind: u8, revision: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let header = [&[SEALED, kind, revision][..], &sequence.to_le_bytes()].concat();
    let message = [&header, payload].concat();
    let seal = SessionSeal::new(sender, SessionKeys::new([0xBB; 32], [0xBC; 32]));
    framed(&[&message[..], &seal.seal(&message)].concat())
}

/// A handshake message as anybody can write it: nothing in it is sealed.
pub(crate) fn plain<M: Message>(sequence: u32, message: &M) -> Vec<u8> {
    let mut out = vec![0; frame::MACHINE_FRAME_MAX];
    let len = frame::write(vend_protocol::machine_link::PLAIN, sequence, message, &mut out).unwrap();
    out.truncate(len);
    out
}

/// The signed message in a hello or an accepted.
pub(crate) fn signed_in(frame: &[u8]) -> Signed {
    let frame = Frame::parse(frame).unwrap();
    frame
        .decode::<Hello>()
        .map(|hello| hello.0)
        .or_else(|_| frame.decode::<Accepted>().map(|it| it.0))
        .unwrap()
}
