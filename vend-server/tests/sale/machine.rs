//! A machine of the tests' own: it speaks the real link over real MQTT and does what the test says.

use std::{net::SocketAddr, time::Duration};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::{sync::mpsc, time::timeout};
use vend_payments::{
    enrolment::{LoginSecret, Ticket, claim, verify_grant},
    receipt::receipt_hash,
    signed::Signer,
};
use vend_protocol::{
    DropReport, JournalId, List, MachineId, MotorCode, Nonce, Outcome, PlanVersion, ReceiptHash, ReceiptNo,
    Start,
    frame::{Frame, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Accepted, Acknowledgement, Authorization, Claim, ClaimGranted, End, Hello, PlanApplied, PlanPart,
        Prepare, Readiness, Ready, Receipt, Received, Session, Taken, Void, kind,
    },
    signed::{
        AcceptedBody, Authority, AuthorizationBody, HelloBody, ReceiptBody, ReceiptLine, Signed, VoidBody,
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
    session: Session,
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    task: tokio::task::JoinHandle<()>,
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

    /// Connects, says hello and takes the planogram. Returns the receipt watermark the server names.
    pub(crate) async fn connect(&mut self, mqtt: SocketAddr) -> u64 {
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
        self.link = Some(Link { client, session: Session::new(End::Machine, 0, 60_000), frames, task });
        let nonce = Nonce([7; 16]);
        let hello = HelloBody {
            machine: self.id,
            enrolment: self.signer.public_key().fingerprint(),
            nonce,
            ephemeral: [0; 32],
            config: 0,
            key_list: 0,
            journal: self.journal,
            used_seq: self.used_seq,
            last_receipt: self.number,
            plan: self.plan,
            revisions: List::default(),
            frame_max: 1024,
            lines_max: 8,
            firmware: "test".try_into().unwrap(),
        };
        let hello = Hello(self.signer.sign(&hello).unwrap());
        self.send(&hello).await;
        let Accepted(accepted) = self.expect().await;
        let accepted: AcceptedBody = self.keys.verify(&accepted).unwrap();
        assert_eq!(accepted.nonce, nonce);
        self.link.as_mut().unwrap().session.open();
        while self.plan != accepted.plan {
            let part: PlanPart = self.expect().await;
            if part.part + 1 == part.parts {
                self.plan = part.plan;
                self.send(&PlanApplied { plan: part.plan }).await;
            }
        }
        accepted.receipt_watermark
    }

    pub(crate) fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            link.task.abort();
        }
    }

    pub(crate) async fn send<M: Message>(&mut self, message: &M) {
        let link = self.link.as_mut().unwrap();
        let mut out = [0; MACHINE_FRAME_MAX];
        let len = link.session.send(message, &mut out).unwrap();
        let topic = vend_protocol::machine_link::up_topic(self.id).to_string();
        link.client.publish(topic, QoS::AtLeastOnce, false, out[..len].to_vec()).await.unwrap();
    }

    async fn frame(&mut self) -> Option<Vec<u8>> {
        timeout(WAIT, self.link.as_mut().unwrap().frames.recv()).await.ok().flatten()
    }

    /// The next message, which must be an `M`; plan parts in between are taken.
    pub(crate) async fn expect<M: Message>(&mut self) -> M {
        loop {
            let bytes = self.frame().await.unwrap_or_else(|| panic!("kind {:#04x} did not come", M::KIND));
            let received = self.link.as_mut().unwrap().session.receive(0, &bytes).unwrap();
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

    /// Nothing comes for a while.
    pub(crate) async fn expect_silence(&mut self, for_: Duration) {
        if let Ok(Some(bytes)) = timeout(for_, self.link.as_mut().unwrap().frames.recv()).await {
            panic!("kind {:#04x} came", Frame::parse(&bytes).unwrap().kind);
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
