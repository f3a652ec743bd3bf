//! The stories of a broker that wants product, or the machine's trust, one a test. At best it closes the link.

use std::vec::Vec;

use vend_payments::session::{SessionKeys, SessionSeal};
use vend_protocol::{
    JournalId, ReceiptNo,
    frame::{self, CRC_LEN, HEADER_LEN, Message, checksum},
    machine_link::{Acknowledgement, End, PLAIN, SEALED, Seal, dangerous_unverified, kind},
};

use super::{
    broker::{altered, in_place_of},
    server::Answer,
    stories::{ready, receipt_of},
    *,
};

impl World {
    /// The frame that the server sends next, taken off the line.
    fn intercepted(&mut self, send: impl FnOnce(&mut Server)) -> Vec<u8> {
        send(&mut self.server);
        self.server.down.pop_back().unwrap()
    }

    /// The frame does nothing but close the link, and the machine comes back.
    #[track_caller]
    fn only_closes(&mut self, frame: &[u8]) {
        let before = self.main.as_ref().unwrap().machine.state().clone();
        let plan = self.main.as_ref().unwrap().machine.plan().version();
        let motor_starts = self.motor_starts();
        assert!(self.main.as_ref().unwrap().machine.is_connected());
        self.server.answers.clear();
        self.deliver(frame);
        let machine = &self.main.as_ref().unwrap().machine;
        assert!(!self.connected && !machine.is_connected(), "{frame:02x?}");
        assert_eq!((machine.state(), machine.plan().version()), (&before, plan));
        self.settle();
        self.run(300);
        // But for receipts, which a server that was restored is sent again.
        let answered = self.server.answers.iter().find(|answer| !matches!(answer, Answer::Receipt(_)));
        assert_eq!((answered, self.motor_starts()), (None, motor_starts));
    }
}

/// A frame with this sequence, sealed with these keys; `None` leaves out what seals.
fn forged<M: Message>(message: &M, sequence: u32, seal: Option<&SessionSeal>) -> Vec<u8> {
    let mut out = [0; 1024];
    let address = if seal.is_some() { SEALED } else { PLAIN };
    let len = frame::write(address, sequence, message, &mut out).unwrap();
    let mut body = out[..len - CRC_LEN].to_vec();
    if let Some(seal) = seal {
        body.extend(seal.seal(&body));
    }
    let crc = checksum(&body);
    body.extend(crc.to_le_bytes());
    body
}

#[test]
fn a_forged_acknowledgement_only_closes_the_link() {
    let mut world = ready();
    // A receipt the server has not got: who makes the machine forget it keeps the money of an order that was not vended.
    world.server.deaf = true;
    world.server.issue(world.now_ms - 1_000, 0, &[Server::line(1)]);
    world.run(2_000);
    let [Answer::Receipt(receipt)] = &world.server.answers[..] else { panic!("no receipt") };
    let receipt = receipt.clone();
    world.server.issued.clear();
    // What the broker saw, since nothing is secret from it but the keys.
    let seen = world.broker.kept.iter().rev();
    let seen =
        seen.map(|frame| dangerous_unverified(frame).unwrap()).find(|frame| frame.kind == kind::RECEIPT);
    let vend_protocol::machine_link::Receipt(signed) = seen.unwrap().decode().unwrap();
    let hash = vend_payments::receipt::receipt_hash(&signed);
    let acknowledgement = Acknowledgement { journal: receipt.journal, number: receipt.number, hash };
    let guessed = |end| SessionSeal::new(end, SessionKeys::new([0; 32], [0; 32]));
    for seal in [None, Some(guessed(End::Server)), Some(guessed(End::Machine))] {
        let next = world.intercepted(|server| server.prepare(&[1]));
        let sequence = frame::Frame::parse(&next).unwrap().sequence;
        let frame = forged(&acknowledgement, sequence, seal.as_ref());
        let before = world.main.as_ref().unwrap().machine.state().clone();
        world.deliver(&frame);
        assert!(!world.connected && before.has_unacknowledged());
        assert_eq!(world.main.as_ref().unwrap().machine.state(), &before);
        world.settle();
    }
    assert_eq!(receipt.number, ReceiptNo::new(1).unwrap());
    assert_ne!(receipt.journal, JournalId([0; 8]));
}

#[test]
fn what_was_sent_yesterday_only_closes_the_link_today() {
    let mut world = ready();
    world.server.prepare(&[1]);
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(70_000);
    assert!(receipt_of(&world, seq).lines.len() == 1);
    let yesterday: Vec<_> = world.broker.kept.iter().cloned().collect();
    let kinds = [
        kind::ACCEPTED,
        kind::PREPARE,
        kind::AUTHORIZATION,
        kind::ACKNOWLEDGEMENT,
        kind::PLAN_PART,
        kind::CLOCK,
    ];
    assert!(kinds.iter().all(|kind| yesterday.iter().any(|frame| frame[1] == *kind)));
    world.reconnect_with(|_| ());
    for frame in &yesterday {
        let next = world.intercepted(|server| server.prepare(&[1]));
        // In today's place, since a broker can count.
        world.only_closes(&in_place_of(frame, &next));
        // As it was: a place that is taken, or one that is not due yet.
        let due = u32::from_le_bytes(next[3..HEADER_LEN].try_into().unwrap());
        if frame[0] == SEALED && frame::Frame::parse(frame).unwrap().sequence > due {
            world.only_closes(frame);
        }
    }
}

#[test]
fn an_altered_prepare_only_closes_the_link() {
    let mut world = ready();
    let len = world.intercepted(|server| server.prepare(&[1])).len();
    world.disconnect();
    world.settle();
    for bit in (0..(len - CRC_LEN) * 8).step_by(3) {
        let frame = world.intercepted(|server| server.prepare(&[1]));
        world.only_closes(&altered(&frame, bit));
    }
}

#[test]
fn a_frame_of_this_connection_sent_again_has_no_effect_and_one_that_is_lost_closes() {
    let mut world = ready();
    world.server.prepare(&[1]);
    let frame = world.server.down.back().unwrap().clone();
    world.run(500);
    world.deliver(&frame);
    world.run(500);
    assert_eq!(world.server.answers.len(), 1, "one question, one answer: {:?}", world.server.answers);
    assert!(world.connected);
    world.intercepted(|server| server.prepare(&[1]));
    let next = world.intercepted(|server| server.prepare(&[2]));
    world.only_closes(&next);
}

#[test]
fn what_the_machine_sent_is_not_taken_for_the_servers() {
    let mut world = ready();
    world.server.prepare(&[1]);
    world.run(500);
    let sent = world.broker.kept.iter().rev().find(|frame| frame[1] == kind::READY).unwrap().clone();
    let next = world.intercepted(|server| server.prepare(&[1]));
    world.only_closes(&in_place_of(&sent, &next));
    let mut turned = in_place_of(&sent, &world.intercepted(|server| server.prepare(&[1])));
    // With the kind of a message that is as long.
    turned[1] = kind::HIDE_CODE;
    let body = turned[..turned.len() - CRC_LEN].to_vec();
    let crc = checksum(&body);
    let frame: Vec<u8> = body.into_iter().chain(crc.to_le_bytes()).collect();
    world.only_closes(&frame);
}
