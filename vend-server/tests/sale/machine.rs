//! A machine of the tests' own: it speaks the real link over real MQTT and does what the test says.

use std::{net::SocketAddr, time::Duration};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::{sync::mpsc, time::timeout};
use vend_payments::{
    enrolment::{LoginSecret, Ticket, claim, verify_grant},
    receipt::receipt_hash,
    session::{Offer, SessionSeal},
    signed::Signer,
};
use vend_protocol::{
    DropReport, JournalId, List, MachineId, MotorCode, Nonce, Outcome, PlanVersion, ReceiptHash, ReceiptNo,
    Start,
    frame::{Frame, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Accepted, Acknowledgement, Authorization, Channel, Claim, ClaimGranted, Clock, ClockRequest, End,
        Hello, PLAIN, PlanApplied, PlanPart, Prepare, Readiness, Ready, Receipt, Received, Taken, Void, kind,
    },
    signed::{
        AcceptedBody, Authority, AuthorizationBody, HelloBody, ReceiptBody, ReceiptLine, Revision, Signed,
        VoidBody,
    },
};
use vend_server::server::Server;

/// Longer than anything takes here.
const WAIT: Duration = Duration::from_secs(10);

pub(crate) struct TestMachine {
    pub(crate) id: MachineId,
    pub(crate) signer: Signer,
    secret: LoginSecret,
    keys: vend_payments::keys::TrustedKeys,
    pub(crate) journal: JournalId,
    /// Receipts so far.
    pub(crate) number: u64,
    pub(crate) last_hash: ReceiptHash,
    pub(crate) used_seq: u64,
    plan: PlanVersion,
    link: Option<Link>,
}

struct Link {
    client: AsyncClient,
    channel: Channel<SessionSeal>,
    /// The last frame that was written.
    last: Vec<u8>,
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    task: tokio::task::JoinHandle<()>,
}

/// What the server reads.
const RECEIPTS: Revision = Revision { kind: kind::RECEIPT, revision: 1 };

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// What a machine reports of a line.
pub(crate) fn seen(drop: DropReport) -> Outcome {
    Outcome { start: Start::Started, motor: MotorCode::OK, drop, interrupted: false }
}

impl TestMachine {
    /// Enrols a machine with a key made of `seed`.
    pub(crate) async fn enrol(server: &Server, id: MachineId, seed: u8) -> Self {
        let signer = Signer::from_seed(&[seed; 32]);
        let secret = LoginSecret::from_random([seed; 32]);
        let url = format!("http://{}", server.http());
        let ticket = server.engine().new_ticket(id, &url).await.unwrap();
        let ticket = Ticket::parse(ticket.reveal()).unwrap();
        let nonce = Nonce([seed; 16]);
        let claim = Claim(claim(&signer, nonce, &secret, &ticket.code).unwrap());
        let mut out = [0; MACHINE_FRAME_MAX];
        let len = vend_protocol::frame::write(0, 1, &claim, &mut out).unwrap();
        let answer = reqwest::Client::new()
            .post(format!("{url}/enrol"))
            .header("content-type", "application/octet-stream")
            .body(out[..len].to_vec())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let answer = answer.bytes().await.unwrap();
        let granted: ClaimGranted = Frame::parse(&answer).unwrap().decode().unwrap();
        let enrolled = verify_grant(&granted, ticket.root, &signer.public_key(), nonce).unwrap();
        assert_eq!(enrolled.machine, id);
        Self {
            id,
            signer,
            secret,
            keys: enrolled.keys,
            journal: JournalId([seed; 8]),
            number: 0,
            last_hash: ReceiptHash::START,
            used_seq: 0,
            plan: PlanVersion::new(0).unwrap(),
            link: None,
        }
    }

    /// Connects, says hello and takes the planogram. Returns what the server said to the hello.
    pub(crate) async fn connect(&mut self, mqtt: SocketAddr) -> AcceptedBody {
        self.dial(mqtt).await;
        let accepted = self.greet(self.hello()).await;
        self.ask_time().await;
        while self.plan != accepted.plan {
            let part: PlanPart = self.expect().await;
            if part.part + 1 == part.parts {
                self.plan = part.plan;
                self.send(&PlanApplied { plan: part.plan }).await;
            }
        }
        accepted
    }

    /// Asks for the time, and so proves to the server that it is there.
    pub(crate) async fn ask_time(&mut self) {
        self.send(&ClockRequest { request: 7 }).await;
        assert_eq!(self.expect::<Clock>().await.request, 7);
    }

    /// Logs in, and says nothing.
    pub(crate) async fn dial(&mut self, mqtt: SocketAddr) {
        let mut options = MqttOptions::new(self.id.to_string(), mqtt.ip().to_string(), mqtt.port());
        let password = String::from_utf8(self.secret.password().to_vec()).unwrap();
        options.set_credentials(self.id.to_string(), password).set_clean_session(true);
        let (client, mut events) = AsyncClient::new(options, 16);
        client
            .subscribe(vend_protocol::machine_link::down_topic(self.id).to_string(), QoS::AtLeastOnce)
            .await
            .unwrap();
        let (sender, frames) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(publish)) = event {
                    let _ = sender.send(publish.payload.to_vec());
                }
            }
        });
        let channel = Channel::new(End::Machine, 0, 60_000);
        self.link = Some(Link { client, channel, last: Vec::new(), frames, task });
    }

    /// What it says of itself.
    pub(crate) fn hello(&self) -> HelloBody {
        let reads = [kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT];
        HelloBody {
            machine: self.id,
            enrolment: self.signer.public_key().fingerprint(),
            nonce: Nonce(random()),
            ephemeral: [0; 32],
            journal: self.journal,
            used_seq: self.used_seq,
            last_receipt: self.number,
            plan: self.plan,
            config: 0,
            key_list: self.keys.version(),
            revisions: List::try_from_iter(reads.map(|kind| Revision { kind, revision: 1 })).unwrap(),
            frame_max: 1024,
            lines_max: 8,
            firmware: "test".try_into().unwrap(),
        }
    }

    /// Says this hello.
    pub(crate) async fn say_hello(&mut self, hello: HelloBody) -> Offer {
        let (signed, offer) = Offer::hello(random(), &self.signer, hello, 0).unwrap();
        self.send(&Hello(signed)).await;
        offer
    }

    /// Says this hello and opens the session with the server's answer. The server has not heard anything sealed then.
    pub(crate) async fn greet(&mut self, hello: HelloBody) -> AcceptedBody {
        let offer = self.say_hello(hello).await;
        let Accepted(signed) = self.expect().await;
        let (accepted, seal) = offer.accept(&self.keys, &signed, 0).unwrap();
        self.link().channel.open(seal, accepted.revisions);
        accepted
    }

    pub(crate) fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            link.task.abort();
        }
    }

    fn link(&mut self) -> &mut Link {
        self.link.as_mut().unwrap()
    }

    pub(crate) async fn send<M: Message>(&mut self, message: &M) {
        let frame = self.frame(message);
        self.send_frame(frame).await;
    }

    /// Writes the next frame of this connection, without sending it.
    pub(crate) fn frame<M: Message>(&mut self, message: &M) -> Vec<u8> {
        let link = self.link();
        let mut out = [0; MACHINE_FRAME_MAX];
        let len = link.channel.send(message, &mut out).unwrap();
        link.last = out[..len].to_vec();
        link.last.clone()
    }

    /// Sends a message of this kind and revision that says nothing; its sequence is returned.
    pub(crate) async fn send_kind(&mut self, kind: u8, revision: u8) -> u32 {
        let mut out = [0; 64];
        let len = self.link().channel.send_encoded(kind, revision, &[], &mut out).unwrap();
        self.send_frame(out[..len].to_vec()).await;
        Frame::parse(&out[..len]).unwrap().sequence
    }

    /// The same without the session's code.
    pub(crate) fn plain_frame<M: Message>(&mut self, message: &M) -> Vec<u8> {
        let mut out = [0; MACHINE_FRAME_MAX];
        let sequence = Frame::parse(&self.link().last).unwrap().sequence + 1;
        let len = vend_protocol::frame::write(PLAIN, sequence, message, &mut out).unwrap();
        out[..len].to_vec()
    }

    /// The frame that was written last.
    pub(crate) fn last_frame(&mut self) -> Vec<u8> {
        self.link().last.clone()
    }

    /// Seals with these keys from now on.
    pub(crate) fn seal_with(&mut self, seal: SessionSeal) {
        self.link().channel.open(seal, List::try_from_iter([RECEIPTS]).unwrap());
    }

    pub(crate) async fn send_frame(&mut self, frame: Vec<u8>) {
        let topic = vend_protocol::machine_link::up_topic(self.id).to_string();
        self.link().client.publish(topic, QoS::AtLeastOnce, false, frame).await.unwrap();
    }

    /// The next message, which must be an `M`; plan parts in between are taken.
    pub(crate) async fn expect<M: Message>(&mut self) -> M {
        loop {
            let frame = timeout(WAIT, self.link().frames.recv()).await.ok().flatten();
            let frame = frame.unwrap_or_else(|| panic!("kind {:#04x} did not come", M::KIND));
            let received = self.link().channel.receive(0, &frame).unwrap();
            let Received::Message(frame) = received else { continue };
            if frame.kind == kind::PLAN_PART && M::KIND != kind::PLAN_PART {
                let part: PlanPart = frame.decode().unwrap();
                self.plan = part.plan;
                continue;
            }
            return frame
                .decode()
                .unwrap_or_else(|_| panic!("kind {:#04x} came, not {:#04x}", frame.kind, M::KIND));
        }
    }

    /// The server closes the connection without another word.
    pub(crate) async fn expect_closed(&mut self) {
        let end = timeout(WAIT, self.link().frames.recv()).await.unwrap();
        if let Some(frame) = end {
            panic!("kind {:#04x} came", Frame::parse(&frame).unwrap().kind);
        }
    }

    /// Nothing comes for a while.
    pub(crate) async fn expect_silence(&mut self, for_: Duration) {
        if let Ok(Some(frame)) = timeout(for_, self.link().frames.recv()).await {
            panic!("kind {:#04x} came", Frame::parse(&frame).unwrap().kind);
        }
    }

    /// Answers the server's question before money is asked for.
    pub(crate) async fn answer_prepare(&mut self, readiness: Readiness) {
        let prepare: Prepare = self.expect().await;
        self.send(&Ready { request: prepare.request, readiness }).await;
    }

    /// The next authorization, verified.
    pub(crate) async fn authorization(&mut self) -> AuthorizationBody {
        let Authorization(signed) = self.expect().await;
        self.keys.verify(&signed).unwrap()
    }

    pub(crate) async fn void(&mut self) -> VoidBody {
        let Void(signed) = self.expect().await;
        self.keys.verify(&signed).unwrap()
    }

    /// Takes an authorization and reports these outcomes; returns the receipt.
    pub(crate) async fn vend(&mut self, body: &AuthorizationBody, outcomes: &[Outcome]) -> Signed {
        self.send(&Taken { seq: body.seq }).await;
        let receipt = self.receipt(body, outcomes);
        self.send(&Receipt(receipt.clone())).await;
        receipt
    }

    /// Writes the next receipt of the chain.
    pub(crate) fn receipt(&mut self, body: &AuthorizationBody, outcomes: &[Outcome]) -> Signed {
        self.number += 1;
        let lines = body
            .lines
            .iter()
            .zip(outcomes)
            .map(|(line, outcome)| ReceiptLine { slot: line.slot, outcome: *outcome });
        let receipt = ReceiptBody {
            enrolment: self.signer.public_key().fingerprint(),
            journal: self.journal,
            number: ReceiptNo::new(self.number).unwrap(),
            previous: self.last_hash,
            authority: Authority::Authorization { seq: body.seq, order: body.order },
            at_ms: 0,
            lines: List::try_from_iter(lines).unwrap(),
        };
        let signed = self.signer.sign(&receipt).unwrap();
        self.last_hash = receipt_hash(&signed);
        self.used_seq = self.used_seq.max(body.seq.number());
        signed
    }

    /// The acknowledgement of exactly this receipt.
    pub(crate) async fn expect_acknowledged(&mut self, receipt: &Signed) {
        let acknowledgement: Acknowledgement = self.expect().await;
        assert_eq!(acknowledgement.hash, receipt_hash(receipt));
    }
}
