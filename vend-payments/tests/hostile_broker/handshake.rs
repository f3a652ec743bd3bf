//! What the broker can do to the hello and its answer.

use vend_payments::{
    session::{Offer, SessionRefused},
    signed::{SignatureError, Signer},
};
use vend_protocol::{
    Nonce, codec,
    frame::{self, Frame},
    machine_link::{
        Accepted, Channel, End, HELLO_ROUND_TRIP_MAX_MS, Hello, LinkError, MachineEvent, MachineSession,
        Pending, RETRY_MAX_S, Rejected, Rejection, kind,
    },
    signed::{AcceptedBody, HelloBody, Signed},
};

use crate::{
    MACHINE,
    link::{MachineEnd, Parties, ServerEnd, Shared, body, deliver, forged, framed, plain, send, signed_in},
    messages::{self, nonce},
};

/// No way round the handshake: of what the broker has, nothing is taken by an end that is not open or that opened for nobody.
fn nothing_gets_in(parties: &Parties, end: &mut Channel<Shared>, from: End) {
    let mut earlier = parties.connect(77);
    let sender = if from == End::Machine { &mut earlier.machine } else { &mut earlier.server };
    for message in messages::of(from, parties) {
        let old = send(sender, &message);
        let own = forged(from, message.kind, message.revision, 2, &message.payload);
        for frame in [old, own] {
            let (taken, error) = deliver(&mut end.clone(), [&frame]);
            assert!(taken.is_empty() && error.is_some(), "kind {:#04x}", message.kind);
        }
    }
}

/// The frame with one bit of each byte flipped, and the checksum made right again; another bit from byte to byte.
fn flipped(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..frame.len() - frame::CRC_LEN).map(|at| {
        let mut altered = body(frame);
        altered[at] ^= 1 << (at % 8);
        framed(&altered)
    })
}

#[test]
fn an_altered_hello_opens_nothing() {
    let parties = Parties::new(MACHINE);
    let (_, hello) = MachineEnd::greet(&parties, 1);
    for altered in flipped(&hello) {
        let mut server = ServerEnd::new(1);
        assert!(server.hear(&parties, &altered).is_err());
        assert!(!server.channel.is_open());
        // What would be the next message, if it had opened.
        let taken = forged(End::Machine, kind::TAKEN, 1, 2, &[18]);
        assert!(deliver(&mut server.channel, [&taken]).1.is_some());
    }
    parties.connect(2);
}

#[test]
fn an_altered_answer_opens_nothing() {
    let parties = Parties::new(MACHINE);
    let (_, hello) = MachineEnd::greet(&parties, 1);
    let accepted = ServerEnd::new(1).hear(&parties, &hello).unwrap();
    for altered in flipped(&accepted) {
        let (mut machine, _) = MachineEnd::greet(&parties, 1);
        assert!(machine.hear(&parties, &altered).is_err());
        assert!(!machine.channel.is_open());
    }
    let (mut machine, _) = MachineEnd::greet(&parties, 1);
    machine.hear(&parties, &accepted).unwrap();
}

#[test]
fn a_recorded_hello_is_answered_and_nobody_can_use_the_answer() {
    let parties = Parties::new(MACHINE);
    let old = parties.connect(1);
    // The broker plays the old hello to the server.
    let mut server = ServerEnd::new(3);
    let accepted = server.hear(&parties, &old.hello).unwrap();
    nothing_gets_in(&parties, &mut server.channel, End::Machine);
    // A machine that says hello now does not take the answer to the old one, neither the new nor the recorded answer.
    for answer in [&accepted, &old.accepted] {
        let (mut machine, _) = MachineEnd::greet(&parties, 2);
        assert!(machine.hear(&parties, answer).is_err());
        nothing_gets_in(&parties, &mut machine.channel, End::Server);
    }
}

#[test]
fn two_answers_to_one_hello_do_not_join_two_sessions() {
    let parties = Parties::new(MACHINE);
    let (mut machine, hello) = MachineEnd::greet(&parties, 1);
    let (mut first, mut second) = (ServerEnd::new(1), ServerEnd::new(2));
    first.hear(&parties, &hello).unwrap();
    let answer = second.hear(&parties, &hello).unwrap();
    machine.hear(&parties, &answer).unwrap();
    // The machine is joined to the server's second end only.
    for message in messages::of(End::Machine, &parties) {
        let frame = send(&mut machine.channel, &message);
        assert_eq!(deliver(&mut first.channel.clone(), [&frame]).1, Some(LinkError::Forged));
        assert_eq!(deliver(&mut second.channel, [&frame]), (vec![message], None));
    }
}

#[test]
fn the_broker_cannot_put_its_own_ephemeral_keys_in() {
    let parties = Parties::new(MACHINE);
    let broker = Signer::from_seed(&[0xBB; 32]);
    let (mut machine, hello) = MachineEnd::greet(&parties, 1);
    let said: HelloBody = codec::decode(&signed_in(&hello).body).unwrap();
    let (own, _) = Offer::hello([0xBC; 32], &broker, said, 0).unwrap();
    assert_ne!(own.body, signed_in(&hello).body);
    // Signed by the broker; under the machine's name; with the machine's signature.
    let renamed = Signed { key_id: parties.machine.key_id(), ..own.clone() };
    let resigned = Signed { body: own.body, ..signed_in(&hello) };
    for forgery in [own, renamed, resigned] {
        assert!(ServerEnd::new(1).hear(&parties, &plain(1, &Hello(forgery))).is_err());
    }

    let accepted = ServerEnd::new(1).hear(&parties, &hello).unwrap();
    let mut said: AcceptedBody = codec::decode(&signed_in(&accepted).body).unwrap();
    said.ephemeral = [9; 32];
    let own = broker.sign(&said).unwrap();
    let renamed = Signed { key_id: parties.online.key_id(), ..own.clone() };
    let resigned = Signed { body: own.body, ..signed_in(&accepted) };
    for forgery in [own, renamed, resigned] {
        let (mut machine, _) = MachineEnd::greet(&parties, 1);
        assert!(machine.hear(&parties, &plain(1, &Accepted(forgery))).is_err());
        assert!(!machine.channel.is_open());
    }
    machine.hear(&parties, &accepted).unwrap();
}

#[test]
fn another_machines_handshake_fits_nowhere() {
    let (parties, neighbour) = (Parties::new(MACHINE), Parties::new(0x44));
    let strange = neighbour.connect(1);
    assert!(ServerEnd::new(1).hear(&parties, &strange.hello).is_err());
    // The same nonce even, and the server's own signature: but for another enrolment.
    let (mut machine, hello) = MachineEnd::greet(&parties, 1);
    let refused = machine.hear(&parties, &strange.accepted).unwrap_err();
    assert_eq!(refused, SessionRefused::from(SignatureError::Mismatch).to_string());
    // Hello and answer sent back to where they came from.
    let (mut machine, _) = MachineEnd::greet(&parties, 1);
    assert!(machine.hear(&parties, &hello).is_err());
    let mut server = ServerEnd::new(1);
    let accepted = server.hear(&parties, &hello).unwrap();
    assert!(ServerEnd::new(1).hear(&parties, &accepted).is_err());
    assert_eq!(deliver(&mut server.channel, [&accepted]), (vec![], None), "it is open, and this is old");
}

#[test]
fn an_answer_that_was_kept_back_gives_no_time() {
    let parties = Parties::new(MACHINE);
    let (signed, offer) = Offer::hello([1; 32], &parties.machine, parties.hello_body(nonce(1)), 0).unwrap();
    let mut server = ServerEnd::new(1);
    let accepted = server.hear(&parties, &plain(1, &Hello(signed))).unwrap();
    let late = offer.accept(&parties.keys, &signed_in(&accepted), HELLO_ROUND_TRIP_MAX_MS + 1);
    assert_eq!(late.unwrap_err(), SessionRefused::Late);
}

type Session = MachineSession<Shared, 4, 64>;

#[test]
fn forged_rejected_and_pending_delay_a_machine_for_minutes_at_most() {
    let parties = Parties::new(MACHINE);
    let hello =
        |nonce: Nonce| Offer::hello([1; 32], &parties.machine, parties.hello_body(nonce), 0).unwrap().0;
    let mut out = [0; frame::MACHINE_FRAME_MAX];
    let limit_ms = u64::from(RETRY_MAX_S) * 1000;

    let mut session = Session::new(0, u64::MAX);
    session.greet(0, &hello(nonce(1)), &mut out).unwrap();
    let rejected = plain(1, &Rejected { code: Rejection::RETIRED, retry_s: u16::MAX });
    match session.handle_frame(5, &rejected).unwrap() {
        Some(MachineEvent::Rejected { retry_s, .. }) => assert!(retry_s <= RETRY_MAX_S),
        event => panic!("{event:?}"),
    }

    let mut session = Session::new(0, u64::MAX);
    session.greet(0, &hello(nonce(1)), &mut out).unwrap();
    let pending = plain(1, &Pending { retry_s: u16::MAX });
    assert!(matches!(session.handle_frame(5, &pending).unwrap(), Some(MachineEvent::Pending)));
    assert!(!session.wants_hello(limit_ms) && session.wants_hello(5 + limit_ms));
    // The next hello is another one, and the answer to the first is not taken for it.
    let len = session.greet(5 + limit_ms, &hello(nonce(2)), &mut out).unwrap();
    assert_eq!(Frame::parse(&out[..len]).unwrap().sequence, 2);
    parties.connect(3);
}
