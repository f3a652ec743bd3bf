//! The rules of a session.

use vend_protocol::{
    AuthSeq, List,
    frame::{self, checksum},
    machine_link::{
        Class, End, HELLO_ROUND_TRIP_MAX_MS, LinkError, MachineEvent, MachineSession, PLAIN, SEALED, Seal,
        ServerEvent, ServerSession, TIME_RENEWAL_MS, Taken, kind,
    },
};

use super::accepted_body;
use crate::{
    faults::{CALM, Faults},
    machine::telemetry,
    newer::Newer,
    server::Welcome,
    toy::{self, Tag, ToySeal},
    world::{Way, World},
};

fn taken() -> Taken {
    Taken { seq: AuthSeq::new(1).unwrap() }
}

#[test]
fn each_connection_counts_from_one_in_each_direction() {
    let mut world = World::connected();
    for _ in 0..3 {
        for (way, first) in [(Way::Up, kind::HELLO), (Way::Down, kind::ACCEPTED)] {
            let track = world.checks.track(way);
            assert_eq!(track.frame(1).map(|frame| (frame.kind, frame.sequence)), Some((first, 1)));
        }
        world.reconnect();
    }
}

#[test]
fn a_doubled_message_has_no_effect() {
    let mut world = World::new(3, Faults { doubled: 1000, ..CALM }, None);
    world.run_for(2_000);
    world.sell(3);
    let counts = world.env.counts;
    assert!(counts.repeats > 15, "{}", counts.repeats);
    assert_eq!((world.starts(), counts.sessions, counts.receipts), (3, 1, 3));
}

#[test]
fn a_missing_message_closes_the_connection_and_the_next_one_brings_it() {
    let mut world = World::connected();
    world.network.lose.push((Way::Up, kind::RECEIPT));
    world.sell(1);
    assert_eq!((world.env.counts.gaps, world.env.counts.sessions, world.starts()), (1, 2, 1));
    world.calm_down();
}

#[test]
fn a_message_that_overtakes_another_closes_the_connection() {
    let mut world = World::connected();
    world.env.faults.swapped = 1000;
    world.pay(&[350]);
    world.server.ledger.command += 1;
    world.run_until(20_000, |world| world.env.counts.gaps > 0);
    world.calm_down();
    assert_eq!(world.starts(), 1);
}

#[test]
fn a_damaged_message_closes_the_connection() {
    for (flipped, altered) in [(1000, 0), (0, 1000)] {
        let mut world = World::connected();
        world.env.faults = Faults { flipped, altered, ..CALM };
        world.pay(&[350]);
        world.run_until(20_000, |world| world.env.counts.damaged + world.env.counts.forged > 0);
        assert_eq!(world.starts(), 0);
        world.calm_down();
        assert_eq!(world.starts(), 1);
    }
}

#[test]
fn only_the_handshake_passes_before_it_is_done() {
    for address in [PLAIN, SEALED] {
        let mut world = World::calm();
        world.run_until(1_000, |world| world.sent(Way::Up, kind::HELLO) > 0);
        let mut out = [0; 64];
        let len = frame::write(address, 1, &taken(), &mut out).unwrap();
        world.put_in(Way::Up, out[..len].to_vec());
        world.run_until(5_000, World::is_open);
        assert_eq!((world.env.counts.out_of_turn, world.answers().len()), (1, 0));
    }
}

#[test]
fn a_message_from_the_wrong_end_closes_the_connection() {
    let mut world = World::calm();
    world.run_until(1_000, |world| world.sent(Way::Up, kind::HELLO) > 0);
    world.put_in(Way::Down, world.recorded(Way::Up, 1));
    world.run_for(9);
    assert!(world.machine.session().is_none(), "closed at once");
    assert_eq!(world.env.counts.out_of_turn, 1);
    world.run_until(5_000, World::is_open);
    // Sealed, it has the code of the other direction.
    world.run_for(1_000);
    world.put_in(Way::Down, world.recorded(Way::Up, 2));
    world.run_for(9);
    assert!(world.machine.session().is_none(), "closed at once");
    assert_eq!(world.env.counts.forged, 1);
    world.run_until(5_000, World::is_open);
}

/// Writes a sealed frame of any kind, which no session would.
fn sealed(seal: &ToySeal, kind: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&[SEALED, kind, 1][..], &sequence.to_le_bytes(), payload].concat();
    frame.extend(seal.seal(&frame));
    frame.extend(checksum(&frame).to_le_bytes());
    frame
}

#[test]
fn a_handshake_message_on_an_open_session_closes_it_sealed_or_not() {
    let seals = [End::Machine, End::Server].map(|end| ToySeal::agree(end, &[1; 32], &[2; 32]));
    let [machine_seal, server_seal] = &seals;
    let hello = toy::sign(1, Tag::Hello, &0);
    let mut out = [0; 1024];
    let mut machine = MachineSession::<ToySeal, 4, 64>::new(0, 60_000);
    let mut server = ServerSession::new(0, 60_000);
    let len = machine.greet(0, &hello, &mut out).unwrap();
    let greeting = out[..len].to_vec();
    assert!(matches!(server.handle_frame(0, &greeting), Ok(Some(ServerEvent::Hello(_)))));
    let len = server.accept(&hello, server_seal.clone(), List::default(), &mut out).unwrap();
    assert!(matches!(machine.handle_frame(0, &out[..len]), Ok(Some(MachineEvent::Accepted(_)))));
    machine.open(0, machine_seal.clone(), &accepted_body(), 0);

    let pending = [9];
    for kind in [kind::ACCEPTED, kind::REJECTED, kind::PENDING] {
        let frame = sealed(server_seal, kind, 2, &pending);
        assert_eq!(machine.clone().handle_frame(0, &frame).unwrap_err(), LinkError::OutOfTurn(kind));
    }
    let frame = sealed(machine_seal, kind::HELLO, 2, &pending);
    assert_eq!(server.clone().handle_frame(0, &frame).unwrap_err(), LinkError::OutOfTurn(kind::HELLO));
    // Plain, with the next sequence; the doubled hello itself is a repeat.
    let len = frame::write(PLAIN, 2, &Newer::<{ kind::PENDING }, 1>(9), &mut out).unwrap();
    assert_eq!(machine.handle_frame(0, &out[..len]).unwrap_err(), LinkError::Forged);
    assert!(server.handle_frame(0, &greeting).unwrap().is_none());
    assert!(machine.is_open() && !machine.wants_hello(1_000_000));
}

#[test]
fn an_accepted_that_answers_another_hello_is_not_believed() {
    let mut world = World::connected();
    let old = world.recorded(Way::Down, 1);
    world.cut();
    world.run_until(10_000, |world| world.kinds(Way::Up) == [kind::HELLO]);
    world.put_in(Way::Down, old);
    world.run_for(9);
    assert!(world.machine.session().is_none(), "closed at once");
    world.run_until(10_000, World::is_open);
}

#[test]
fn a_recorded_hello_changes_nothing_that_lasts() {
    let mut world = World::connected();
    world.sell(2);
    let old = world.recorded(Way::Up, 1);
    world.server.ledger.needs_hello = true;
    world.cut_machine_power(1_000_000);
    world.run_for(2_000);
    // Somebody else connects and plays the recording.
    world.network.connect();
    world.server.connect(&world.env);
    world.checks.connect();
    world.put_in(Way::Up, old);
    world.run_for(5_000);
    assert!(world.server.session().is_some_and(crate::server::Session::is_open));
    assert!(world.server.ledger.needs_hello, "no sealed frame has come");
}

#[test]
fn a_connection_without_a_hello_is_closed() {
    let mut world = World::connected();
    world.server.config.silence_ms = 3_600_000;
    world.cut_machine_power(1_000_000);
    world.run_for(2_000);
    world.network.connect();
    world.server.connect(&world.env);
    world.checks.connect();
    world.run_for(29_999);
    assert!(world.server.session().is_some());
    world.run_for(1);
    assert!(world.server.session().is_none());
}

#[test]
fn an_answer_to_the_hello_later_than_ten_seconds_is_no_answer() {
    let mut world = World::calm();
    world.server.config.welcome = Welcome::Late(HELLO_ROUND_TRIP_MAX_MS);
    world.run_for(60_000);
    assert!(world.env.counts.unanswered >= 3 && world.env.counts.sessions == 0);
    world.server.config.welcome = Welcome::Late(HELLO_ROUND_TRIP_MAX_MS - 500);
    world.run_until(30_000, World::is_open);
}

#[test]
fn a_machine_that_is_put_off_says_hello_again_on_the_same_connection() {
    let mut world = World::calm();
    world.server.config.welcome = Welcome::Pending(3);
    world.run_for(10_000);
    assert_eq!(world.kinds(Way::Up), [kind::HELLO; 4]);
    world.server.config.welcome = Welcome::Accepted;
    world.run_until(10_000, World::is_open);
    assert_eq!(world.sent(Way::Up, kind::HELLO), 5);
    world.sell(1);
}

#[test]
fn a_machine_that_is_rejected_comes_back_later_on_another_connection() {
    let mut world = World::calm();
    world.server.config.welcome = Welcome::Rejected(7);
    world.run_until(5_000, |world| world.machine.session().is_none() && world.env.counts.rejected == 1);
    world.server.config.welcome = Welcome::Accepted;
    world.run_for(6_500);
    assert!(world.machine.session().is_none());
    world.run_until(2_000, World::is_open);
}

#[test]
fn the_time_is_the_servers_and_is_asked_for_every_six_hours() {
    let mut world = World::calm();
    world.server.config.keepalive_s = 0;
    world.server.config.silence_ms = u64::MAX / 4;
    world.machine.config.silence_ms = u64::MAX / 4;
    world.run_until(5_000, World::is_open);
    let learned = world.env.now_ms;
    world.run_for(TIME_RENEWAL_MS - 1_000);
    assert_eq!(world.sent(Way::Up, kind::CLOCK_REQUEST), 1, "one to prove that it is there");
    let opened = learned + TIME_RENEWAL_MS;
    world.run_for(2_000);
    assert!(world.env.now_ms >= opened);
    assert_eq!(world.sent(Way::Up, kind::CLOCK_REQUEST), 2);
    world.run_for(TIME_RENEWAL_MS);
    assert_eq!(world.sent(Way::Up, kind::CLOCK_REQUEST), 3);
}

#[test]
fn nothing_is_sent_again_by_a_timer_on_a_live_connection() {
    let mut world = World::connected();
    world.server.deaf_until_ms = u64::MAX;
    world.sell(2);
    world.run_for(3_600_000);
    assert_eq!(world.sent(Way::Up, kind::RECEIPT), 2);
    assert_eq!(world.sent(Way::Down, kind::AUTHORIZATION), 2);
    assert_eq!(world.env.counts.sessions, 1, "and an idle link is kept alive");
}

#[test]
fn a_new_connection_brings_everything_that_was_not_acknowledged() {
    let mut world = World::connected();
    world.network.lose.push((Way::Down, kind::AUTHORIZATION));
    let order = world.pay(&[350]);
    world.run_for(500);
    assert_eq!(world.sent(Way::Down, kind::AUTHORIZATION), 1);
    world.reconnect();
    world.run_until(30_000, |world| world.is_booked(order));
    assert_eq!((world.sent(Way::Down, kind::AUTHORIZATION), world.starts()), (1, 1));
}

#[test]
fn an_authorization_that_was_not_answered_is_sent_again_and_answered_from_the_journal() {
    let mut world = World::connected();
    let order = world.pay(&[350]);
    world.run_until(1_000, |world| world.sent(Way::Down, kind::AUTHORIZATION) == 1);
    world.machine.stop(world.env.now_ms + 7_000);
    world.run_until(30_000, |world| world.is_booked(order));
    assert_eq!(world.sent(Way::Down, kind::AUTHORIZATION), 2);
    assert_eq!((world.starts(), world.env.counts.sessions), (1, 1));
}

#[test]
fn a_link_that_has_gone_silent_without_a_word_is_dead_at_both_ends() {
    for ways in [&[Way::Up][..], &[Way::Down], &Way::BOTH] {
        let mut world = World::connected();
        for way in ways {
            world.network.silence(*way);
        }
        let order = world.pay(&[350]);
        let silence_ms = world.machine.config.silence_ms;
        // Whoever closes first may not reach the other end: each has its own deadline.
        world.run_until(2 * silence_ms + 5_000, |world| world.env.counts.sessions == 2 && world.is_open());
        assert!(world.env.counts.silent > 0);
        world.run_until(30_000, |world| world.is_booked(order));
        assert_eq!(world.starts(), 1);
    }
}

#[test]
fn a_machine_that_talks_to_a_server_with_nothing_to_say_keeps_the_connection() {
    let mut world = World::connected();
    for _ in 0..60 {
        world.machine.say(&mut world.env, Class::State, &telemetry(0));
        world.run_for(4_000);
    }
    assert_eq!((world.env.counts.silent, world.env.counts.sessions), (0, 1));
}

#[test]
fn a_message_nobody_knows_is_answered_and_holds_nothing_up() {
    let mut world = World::connected();
    world.server.send(&Newer::<0x7E, 1>(1));
    world.server.send(&Newer::<{ kind::AUTHORIZATION }, 2>(1));
    world.server.send(&Newer::<{ kind::PREPARE }, 2>(1));
    world.machine.say(&mut world.env, Class::Event, &Newer::<0x3E, 1>(1));
    world.machine.say(&mut world.env, Class::Lossy, &Newer::<{ kind::TELEMETRY }, 2>(1));
    world.flush();
    world.sell(1);
    // The authorization of a revision that the machine did not list was not even sent.
    assert_eq!(world.sent(Way::Up, kind::UNSUPPORTED), 2);
    assert_eq!(world.sent(Way::Down, kind::UNSUPPORTED), 2);
    assert_eq!((world.env.counts.unsupported, world.env.counts.sessions), (4, 1));
}
