//! The stories of the connection to the server, one a test.

use std::vec::Vec;

use vend_protocol::{
    EnrolmentId, Nonce, OrderId, PlanVersion, Reason,
    frame::Message,
    machine_link::{
        Authorization, Chunk, CodeEnd, HELLO_ROUND_TRIP_MAX_MS, HideCode, ImageName, Noted, Quote,
        QuoteAnswer, StockSet, TIME_RENEWAL_MS, kind,
    },
    signed::AcceptedBody,
};

use super::{
    server::{Answer, SLOTS},
    stories::{ready, reasons},
    *,
};

#[test]
fn before_accepted_nothing_is_considered() {
    let mut world = World::new(1, Faults::default());
    world.server.silent = true;
    world.run(3_000);
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    // A server, or someone on the wire, that sends before it proved itself.
    let signed = world.server.issued[&seq].signed.clone();
    let mut frame = [0; 1024];
    let len = vend_protocol::frame::write(0, 1, &Authorization(signed), &mut frame).unwrap();
    world.deliver(&frame[..len]);
    world.run(5_000);
    assert_eq!(world.motor_starts(), 0);
    assert!(!world.main.as_ref().unwrap().machine.is_connected());
}

/// A machine whose every hello is answered with one field altered learns nothing from it and vends nothing; with the same
/// answer unaltered it does.
#[track_caller]
fn an_altered_accepted_is_not_believed(alter: fn(&mut AcceptedBody)) {
    let mut world = World::new(1, Faults::default());
    (world.vend_ms, world.perfect) = (Some(1000), true);
    world.server.alter_accepted = Some(alter);
    world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    let believed = world.run_until(20_000, |world| {
        let machine = &world.main.as_ref().unwrap().machine;
        machine.is_connected() || machine.server_time_ms(world.now_ms).is_some()
    });
    assert!(!believed);
    assert!(!world.server.hellos.is_empty(), "the server never answered");
    assert_eq!(world.motor_starts(), 0);
    world.server.alter_accepted = None;
    world.settle();
    world.run(5_000);
    assert!(world.main.as_ref().unwrap().machine.is_connected());
}

#[test]
fn an_accepted_for_another_hello_is_not_believed() {
    an_altered_accepted_is_not_believed(|accepted| accepted.nonce = Nonce([7; 16]));
}

#[test]
fn an_accepted_for_another_enrolment_is_not_believed() {
    an_altered_accepted_is_not_believed(|accepted| accepted.enrolment = EnrolmentId([7; 16]));
}

#[test]
fn an_accepted_out_of_the_key_lists_time_is_not_believed() {
    an_altered_accepted_is_not_believed(|accepted| accepted.server_time_ms = server::EPOCH_MS - 1);
    an_altered_accepted_is_not_believed(|accepted| accepted.server_time_ms += 86_400_000_000);
}

#[test]
fn an_accepted_after_ten_seconds_is_not_believed() {
    for (round_trip_ms, believed) in [(HELLO_ROUND_TRIP_MAX_MS, true), (HELLO_ROUND_TRIP_MAX_MS + 1, false)] {
        let mut world = World::new(1, Faults::default());
        (world.vend_ms, world.perfect) = (Some(1000), true);
        world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
        let sent_ms = loop {
            let now_ms = world.now_ms;
            world.step();
            if !world.up.is_empty() {
                break now_ms;
            }
            world.now_ms = world.next_event_ms().max(now_ms + 1);
        };
        let (_, hello) = world.up.pop_front().unwrap();
        world.server.receive(sent_ms, &hello, &mut world.rng).unwrap();
        world.server.silent = true;
        let accepted = world.server.down.pop_front().unwrap();
        world.now_ms = sent_ms + round_trip_ms;
        let machine = &mut world.main.as_mut().unwrap().machine;
        machine.handle_machine_frame(world.now_ms, &accepted);
        assert_eq!(machine.is_connected(), believed);
        assert_eq!(machine.server_time_ms(world.now_ms).is_some(), believed);
        // The plan and the authorization are on their way behind it.
        world.run(10_000);
        assert_eq!(world.main.as_ref().unwrap().machine.is_connected(), believed);
        assert_eq!(world.motor_starts(), u32::from(believed));
    }
}

#[test]
fn a_newer_plan_replaces_the_old_one() {
    let mut world = ready();
    world.server.plan = 2;
    world.server.send_plan();
    world.run(1_000);
    let plan = world.main.as_ref().unwrap().machine.plan();
    assert_eq!(plan.version().unwrap().number(), 2);
    assert_eq!(plan.entries().count(), usize::from(SLOTS));
    assert!(plan.entries().all(|entry| entry.capacity == 8));
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Newer {}

impl Message for Newer {
    const KIND: u8 = 0x7E;
    const REVISION: u8 = 9;
}

#[test]
fn what_this_firmware_does_without_is_answered_unsupported_and_has_no_other_effect() {
    let mut world = ready();
    let order = OrderId::new(1).unwrap();
    world.server.send(&Newer {});
    world.server.send(&HideCode { order, end: CodeEnd::PAID });
    world.server.send(&Quote { request: 1, answer: QuoteAnswer::Refused(Reason::BUSY) });
    world.server.send(&StockSet { plan: PlanVersion::new(1).unwrap(), entries: List::default() });
    world.server.send(&Noted { kind: kind::FAULT, number: 1 });
    world.server.send(&Chunk {
        version: 1,
        image: ImageName::MAIN,
        offset: 0,
        bytes: vend_protocol::Bytes::default(),
    });
    world.run(1_000);
    let kinds: Vec<_> = world
        .server
        .answers
        .iter()
        .map(|answer| match answer {
            Answer::Unsupported(unsupported) => unsupported.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, [0x7E, kind::HIDE_CODE, kind::QUOTE, kind::STOCK_SET, kind::NOTED, kind::CHUNK]);
    assert!(world.connected);
}

#[test]
fn a_sequence_at_or_below_the_floor_is_settled_and_turns_no_motor() {
    let mut world = ready();
    let lines = [Server::line(1)];
    world.server.floor_seq = 2;
    world.reconnect_with(|_| ());
    world.server.answers.clear();
    for seq in 1..=2 {
        assert_eq!(world.server.issue(world.now_ms, 60_000, &lines), seq);
        world.run(3_000);
    }
    // A void below it is told the same.
    world.server.void(1);
    world.run(3_000);
    assert_eq!(world.server.answers, [Answer::Settled(1), Answer::Settled(2), Answer::Settled(1)]);
    assert_eq!(world.motor_starts(), 0);
    // A later answer with a lower floor gives nothing back.
    world.reconnect_with(|server| {
        server.floor_seq = 0;
        server.issued.values_mut().for_each(|issued| issued.held = true);
    });
    world.server.answers.clear();
    let signed = world.server.issued[&2].signed.clone();
    world.server.send(&Authorization(signed));
    world.run(3_000);
    assert_eq!((&world.server.answers[..], world.motor_starts()), (&[Answer::Settled(2)][..], 0));
    world.server.floor_seq = 2;
    let seq = world.server.issue(world.now_ms, 60_000, &lines);
    world.run(10_000);
    assert_eq!(reasons(&world, seq), [None]);
}

fn time_ms(world: &World) -> u64 {
    world.main.as_ref().unwrap().machine.server_time_ms(world.now_ms).unwrap()
}

#[test]
fn time_runs_on_without_a_link() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1), Server::line(2)]);
    assert!(world.run_until(5_000, |world| world.motor_starts() == 1));
    world.server.silent = true;
    world.disconnect();
    let before = time_ms(&world);
    world.run(10_000);
    assert_eq!((world.motor_starts(), time_ms(&world)), (2, before + 10_000));
    world.server.silent = false;
    world.run(20_000);
    assert_eq!(reasons(&world, seq), [None, None]);
}

/// [`World::drain_main`] looks at the clock at every step of every story.
#[test]
fn time_stands_still_until_an_earlier_server_has_caught_up_and_never_goes_back() {
    let mut world = ready();
    world.run(30_000);
    let known = time_ms(&world);
    world.reconnect_with(|server| server.clock_ahead_ms = -20_000);
    assert!(world.main.as_ref().unwrap().machine.is_connected());
    let stopped = time_ms(&world);
    assert!((known..known + 2_500).contains(&stopped), "it ran on until the other answer came");
    // What is too late for the machine's clock stays too late.
    let seq = world.server.issue(world.now_ms - 10_000, 0, &[Server::line(1)]);
    world.run(5_000);
    assert_eq!((time_ms(&world), reasons(&world, seq)), (stopped, [Some(Reason::EXPIRED)].to_vec()));
    world.run(30_000);
    let truth = EPOCH_MS + world.now_ms - 20_000;
    assert!((truth - 200..=truth).contains(&time_ms(&world)), "it goes by the server's");
}

#[test]
fn an_answer_about_the_time_that_goes_back_makes_the_clock_stand_still_until_the_server_has_caught_up() {
    let mut world = ready();
    world.server.clock_ahead_ms = -120_000;
    let before = time_ms(&world);
    world.run(100_000);
    assert!(!world.server.asked_time_ms.is_empty());
    let stopped = time_ms(&world);
    assert!((before..before + 62_000).contains(&stopped), "it ran on until it asked, and never back");
    world.run(20_000);
    assert_eq!(time_ms(&world), stopped);
    world.run(200_000);
    let truth = EPOCH_MS + world.now_ms - 120_000;
    assert!((truth - 200..=truth).contains(&time_ms(&world)), "it goes by the server's");
}

#[test]
fn a_quiet_link_asks_for_the_time_and_closes_when_nobody_answers() {
    let mut world = ready();
    world.server.asked_time_ms.clear();
    world.run(3_600_000);
    assert_eq!(world.server.hellos.len(), 1, "one connection, one hello");
    assert!((55..=61).contains(&world.server.asked_time_ms.len()), "{:?}", world.server.asked_time_ms);
    world.server.timeless = true;
    world.server.asked_time_ms.clear();
    let closed = world.run_until(160_000, |world| !world.connected);
    assert!(closed);
    let [asked_ms] = world.server.asked_time_ms[..] else { panic!("{:?}", world.server.asked_time_ms) };
    let silent_ms = world.now_ms - asked_ms;
    assert!((29_000..31_000).contains(&silent_ms), "{silent_ms} ms after the question");
    world.settle();
}

#[test]
fn a_machine_asks_before_its_link_counts_as_dead_whatever_the_servers_keepalive_is() {
    for keepalive_s in [0, 300] {
        let mut world = World::new(1, Faults::default());
        world.server.keepalive_s = keepalive_s;
        world.settle();
        world.run(600_000);
        assert_eq!(world.server.hellos.len(), 1, "{keepalive_s}");
    }
}

#[test]
fn time_is_renewed_before_it_is_six_hours_old() {
    let mut world = World::new(1, Faults::default());
    (world.server.keepalive_s, world.silence_ms) = (0, u64::MAX / 4);
    world.boot_main();
    world.settle();
    world.run(5_000);
    world.server.asked_time_ms.clear();
    world.server.clock_ahead_ms = 7_000;
    world.run(TIME_RENEWAL_MS);
    assert_eq!(world.server.asked_time_ms.len(), 1);
    let truth = EPOCH_MS + world.now_ms + 7_000;
    assert!((truth - 200..=truth).contains(&time_ms(&world)));
}

#[test]
fn a_machine_that_is_turned_away_comes_back_within_the_longest_wait() {
    use vend_protocol::machine_link::{Rejected, Rejection};
    for (retry_s, retry_ms) in [(0, 500), (30, 30_000), (u16::MAX, 600_000)] {
        let mut world = World::new(1, Faults::default());
        world.server.silent = true;
        world.run(1_000);
        let mut frame = [0; 64];
        let message = Rejected { code: Rejection::RETIRED, retry_s };
        let len = vend_protocol::frame::write(0, 1, &message, &mut frame).unwrap();
        let machine = &mut world.main.as_mut().unwrap().machine;
        machine.handle_machine_frame(world.now_ms, &frame[..len]);
        let action = machine.poll_action(world.now_ms, &mut [0; MACHINE_FRAME_MAX]);
        assert_eq!(action, Some(Action::CloseLink { retry_ms }));
    }
}
