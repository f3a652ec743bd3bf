//! The stories that the rules are there for, one a test.

use std::vec;

use vend_protocol::{
    EnrolmentId, Nonce, Reason, Verdict,
    machine_link::{Authorization, HELLO_ROUND_TRIP_MAX_MS, Readiness, Unsupported},
    signed::{AcceptedBody, Signed},
};

use super::{
    server::{Answer, SLOTS},
    *,
};
use crate::journal::Lookup;

fn ready() -> World {
    let mut world = World::new(1, Faults::default());
    (world.vend_ms, world.perfect) = (Some(1000), true);
    world.settle();
    world.run(2_000);
    world.server.answers.clear();
    world
}

fn receipt_of(world: &World, seq: u64) -> &vend_protocol::signed::ReceiptBody {
    world.server.issued[&seq].receipt.as_ref().expect("a receipt")
}

fn reasons(world: &World, seq: u64) -> std::vec::Vec<Option<Reason>> {
    let lines = receipt_of(world, seq).lines;
    lines
        .iter()
        .map(|line| match line.outcome.start {
            vend_protocol::Start::NotStarted(reason) => Some(reason),
            vend_protocol::Start::Started => None,
        })
        .collect()
}

/// Runs until a motor turns for the first time.
fn until_motion(world: &mut World) {
    assert!(world.run_until(5_000, |world| world.motor_starts() == 1));
}

#[test]
fn a_paid_order_is_taken_vended_line_by_line_and_accounted() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1), Server::line(2), Server::line(1)]);
    world.run(10_000);
    assert_eq!(world.motor_starts(), 3);
    assert_eq!(world.server.answers.first(), Some(&Answer::Taken(seq)));
    assert_eq!(receipt_of(&world, seq).lines.len(), 3);
    let state = world.main.as_ref().unwrap().machine.state();
    assert!(!state.has_unacknowledged() && state.numbers.used_seq == seq);
}

#[test]
fn an_authorization_for_another_enrolment_turns_no_motor() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    // The bytes on their way are lost; the same order reaches the machine for another key.
    world.server.down.clear();
    let mut body = world.server.issued[&seq].body.clone();
    body.enrolment = EnrolmentId([7; 16]);
    let signed = world.server.signer.sign(&body).unwrap();
    world.reconnect_with(|server| server.issued.get_mut(&seq).unwrap().held = true);
    world.server.send(&Authorization(signed));
    world.run(10_000);
    assert_eq!(world.motor_starts(), 0);
    assert!(!world.server.answers.contains(&Answer::Taken(seq)));
}

#[test]
fn an_altered_authorization_turns_no_motor() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    let mut body = world.server.issued[&seq].body.clone();
    let genuine = world.server.issued[&seq].signed.clone();
    body.deadline_ms += 3_600_000;
    let altered = Signed { body: world.server.signer.sign(&body).unwrap().body, ..genuine };
    world.reconnect_with(|server| server.issued.get_mut(&seq).unwrap().held = true);
    world.server.send(&Authorization(altered));
    world.run(10_000);
    assert_eq!(world.motor_starts(), 0);
    assert!(!world.server.answers.contains(&Answer::Taken(seq)));
}

#[test]
fn an_authorization_of_a_thief_turns_no_motor() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    let thief = Signer::from_seed(&[66; 32]).sign(&world.server.issued[&seq].body).unwrap();
    world.reconnect_with(|server| server.issued.get_mut(&seq).unwrap().held = true);
    let renamed = Signed { key_id: world.server.signer.key_id(), ..thief.clone() };
    world.server.send(&Authorization(thief));
    world.server.send(&Authorization(renamed));
    world.run(10_000);
    assert_eq!(world.motor_starts(), 0);
}

#[test]
fn a_late_authorization_turns_no_motor_and_says_expired() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms - 1_000, 0, &[Server::line(1), Server::line(2)]);
    world.run(5_000);
    assert_eq!(world.motor_starts(), 0);
    assert_eq!(reasons(&world, seq), [Some(Reason::EXPIRED); 2]);
}

#[test]
fn the_deadline_counts_at_the_start_of_every_line() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 1_500, &[Server::line(1), Server::line(2), Server::line(3)]);
    world.run(10_000);
    assert_eq!(reasons(&world, seq), [None, None, Some(Reason::EXPIRED)]);
}

#[test]
fn a_repeated_authorization_turns_no_motor_a_second_time() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    for _ in 0..3 {
        world.server.send_open(seq);
    }
    world.run(5_000);
    assert_eq!(world.motor_starts(), 1);
    // Settled by now: a replay is told so, after a restart too.
    for _ in 0..2 {
        world.server.answers.clear();
        world.server.send_open(seq);
        world.run(5_000);
        assert_eq!(world.server.answers, [Answer::Settled(seq)]);
        assert_eq!(world.motor_starts(), 1);
        world.cut_main(100);
        world.settle();
    }
}

#[test]
fn a_repeated_authorization_gets_the_stored_receipt_until_it_is_acknowledged() {
    let mut world = ready();
    world.server.deaf = true;
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(5_000);
    world.server.answers.clear();
    world.server.send_open(seq);
    world.run(3_000);
    assert!(matches!(&world.server.answers[..], [Answer::Receipt(_)]), "{:?}", world.server.answers);
    assert_eq!(world.motor_starts(), 1);
}

#[test]
fn a_voided_authorization_turns_no_motor() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    let authorization = world.server.issued[&seq].signed.clone();
    world.reconnect_with(|server| server.issued.get_mut(&seq).unwrap().void = true);
    world.run(3_000);
    assert!(receipt_of(&world, seq).lines.is_empty());
    world.server.answers.clear();
    world.server.send(&Authorization(authorization));
    world.run(10_000);
    assert_eq!(world.motor_starts(), 0);
    assert_eq!(world.server.answers, [Answer::Settled(seq)]);
}

#[test]
fn another_price_slot_or_plan_is_not_vended() {
    let mut world = ready();
    let mut dear = Server::line(1);
    dear.price_minor += 1;
    let mut swapped = Server::line(1);
    swapped.product = Server::line(2).product;
    for line in [dear, swapped] {
        let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(2), line]);
        world.run(5_000);
        assert_eq!(reasons(&world, seq), [Some(Reason::PLAN); 2]);
    }
    assert_eq!(world.motor_starts(), 0);
}

#[test]
fn a_blocked_sensor_is_not_ready_and_uses_the_authorization_up() {
    let mut world = ready();
    world.sensor = SensorState::Fault(vend_hal::SensorFault::Blocked);
    world.control.as_mut().unwrap().state.note_sensor(world.sensor);
    world.run(1_000);
    world.server.prepare(&[1]);
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(3_000);
    assert_eq!(world.server.answers.first(), Some(&Answer::Ready(Readiness::NotReady(Reason::SENSOR))));
    assert_eq!(reasons(&world, seq), [Some(Reason::SENSOR)]);
    assert_eq!(world.motor_starts(), 0);
}

#[test]
fn a_ready_machine_says_so_and_a_vending_one_is_busy() {
    let mut world = ready();
    world.server.prepare(&[1, 2]);
    world.run(500);
    world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    until_motion(&mut world);
    world.server.prepare(&[1]);
    world.run(500);
    let answers: vec::Vec<_> =
        world.server.answers.iter().filter(|answer| matches!(answer, Answer::Ready(_))).collect();
    let busy = Answer::Ready(Readiness::NotReady(Reason::BUSY));
    assert_eq!(answers, [&Answer::Ready(Readiness::Ready), &busy]);
}

#[test]
fn a_second_authorization_during_an_order_is_busy_and_not_used_up() {
    let mut world = ready();
    let first = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    until_motion(&mut world);
    let second = world.server.issue(world.now_ms, 60_000, &[Server::line(2)]);
    world.run(15_000);
    assert!(world.server.answers.contains(&Answer::Busy(second)));
    assert_eq!(reasons(&world, first), [None]);
    assert_eq!(reasons(&world, second), [None]);
    assert_eq!(world.motor_starts(), 2);
}

#[test]
fn a_full_journal_is_busy_and_uses_nothing_up() {
    let mut world = ready();
    world.server.deaf = true;
    let full = loop {
        let seq = world.server.issue(world.now_ms - 1_000, 0, &[Server::line(1)]);
        world.run(1_000);
        if world.server.answers.contains(&Answer::Busy(seq)) {
            break seq;
        }
        assert!(seq < 200);
    };
    let used = world.main.as_ref().unwrap().machine.state().numbers.used_seq;
    assert_eq!(used, full - 1);
    world.server.prepare(&[1]);
    world.run(1_000);
    let not_ready = Answer::Ready(Readiness::NotReady(Reason::JOURNAL));
    assert!(world.server.answers.contains(&not_ready), "{:?}", world.server.answers.last());
    // The server hears again: everything is resent in order, acknowledged, and there is room.
    world.server.deaf = false;
    world.server.answers.clear();
    world.reconnect_with(|_| ());
    world.run(20_000);
    world.server.send_open(full);
    world.run(2_000);
    assert!(world.server.open().is_none());
}

#[test]
fn a_restart_in_the_middle_finds_the_vend_on_the_control_board() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1), Server::line(2)]);
    until_motion(&mut world);
    world.cut_main(200);
    world.run(15_000);
    assert_eq!(reasons(&world, seq), [None, Some(Reason::INTERRUPTED)]);
    assert_ne!(receipt_of(&world, seq).lines.get(0).unwrap().outcome.verdict(), Verdict::Unknown);
    assert_eq!(world.motor_starts(), 1);
}

#[test]
fn a_reset_of_the_control_board_makes_the_line_unknown_and_starts_nothing_again() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1), Server::line(2)]);
    until_motion(&mut world);
    world.cut_control(200);
    world.run(15_000);
    assert_eq!(receipt_of(&world, seq).lines.get(0).unwrap().outcome.verdict(), Verdict::Unknown);
    assert_eq!(reasons(&world, seq), [None, Some(Reason::EARLIER_LINE)]);
    assert_eq!(world.motor_starts(), 1);
    // And the machine sells on, under a new nonce.
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(10_000);
    assert_eq!(reasons(&world, seq), [None]);
}

#[test]
fn a_silent_control_board_is_waited_for_as_long_as_a_vend_may_last() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    until_motion(&mut world);
    world.faults.control_lost = 1000;
    world.run(29_000);
    assert!(world.server.issued[&seq].receipt.is_none(), "too early to say unknown");
    world.run(6_000);
    assert_eq!(receipt_of(&world, seq).lines.get(0).unwrap().outcome.verdict(), Verdict::Unknown);
    world.faults.control_lost = 0;
    world.settle();
    assert_eq!(world.motor_starts(), 1);
}

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
    world.main.as_mut().unwrap().machine.handle_machine_frame(world.now_ms, &frame[..len]);
    world.run(5_000);
    assert_eq!(world.motor_starts(), 0);
    assert!(!world.main.as_ref().unwrap().machine.is_connected());
}

#[test]
fn a_server_restored_from_an_old_backup_gets_what_is_still_there_and_no_more_is_searched() {
    let mut world = ready();
    let mut last = 0;
    while last < 120 {
        last = world.server.issue(world.now_ms - 1_000, 0, &[Server::line(1)]);
        world.run(1_000);
    }
    assert!(!world.main.as_ref().unwrap().machine.state().has_unacknowledged());
    // Its watermark is 0, and it acknowledges nothing.
    world.server.deaf = true;
    world.server.answers.clear();
    world.lookups = 0;
    world.reconnect_with(|_| ());
    world.run(10_000);
    let main = world.main.as_mut().unwrap();
    let kept: vec::Vec<_> = (1..=last)
        .filter(|number| {
            let number = vend_protocol::ReceiptNo::new(*number).unwrap();
            main.journal.receipt(Lookup::Number(number)).unwrap().is_some()
        })
        .collect();
    let resent: vec::Vec<_> = world
        .server
        .answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Receipt(receipt) => Some(receipt.number.number()),
            _ => None,
        })
        .collect();
    assert!((2..60).contains(&kept.len()), "{kept:?}");
    assert_eq!(resent, kept);
    assert_eq!(usize::try_from(world.lookups).unwrap(), kept.len());
    // It is alive and goes on.
    world.server.deaf = false;
    world.server.receipts.clear();
    world.reconnect_with(|_| ());
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(10_000);
    assert_eq!(reasons(&world, seq), [None]);
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
    assert!(world.server.answers.contains(&Answer::Accepted), "the server never answered");
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
        world.server.receive(sent_ms, &hello, &mut world.rng);
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
fn an_acknowledgement_of_another_receipt_is_ignored() {
    let mut world = ready();
    world.server.deaf = true;
    let seq = world.server.issue(world.now_ms - 1_000, 0, &[Server::line(1)]);
    world.run(2_000);
    let journal = world.main.as_ref().unwrap().journal.id();
    let number = vend_protocol::ReceiptNo::new(1).unwrap();
    let wrong = vend_protocol::ReceiptHash([1; 32]);
    world.server.send(&vend_protocol::machine_link::Acknowledgement { journal, number, hash: wrong });
    world.run(2_000);
    assert!(world.main.as_ref().unwrap().machine.state().has_unacknowledged());
    world.server.deaf = false;
    world.reconnect_with(|_| ());
    world.run(5_000);
    assert!(world.server.issued[&seq].receipt.is_some());
    assert!(!world.main.as_ref().unwrap().machine.state().has_unacknowledged());
}

#[test]
fn a_newer_plan_replaces_the_old_one_and_an_unknown_message_is_answered() {
    let mut world = ready();
    world.server.plan = 2;
    world.server.send_plan();
    world.run(1_000);
    let version = world.main.as_ref().unwrap().machine.plan().version().unwrap();
    assert_eq!(version.number(), 2);
    assert_eq!(world.main.as_ref().unwrap().machine.plan().entries().count(), usize::from(SLOTS));
    world.server.send(&Newer {});
    world.run(1_000);
    let answer = Answer::Unsupported(Unsupported { kind: 0x7E, revision: 9, sequence: 6 });
    assert!(world.server.answers.contains(&answer), "{:?}", world.server.answers);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Newer {}

impl vend_protocol::frame::Message for Newer {
    const KIND: u8 = 0x7E;
    const REVISION: u8 = 9;
}

#[test]
fn a_late_fall_names_the_order_before() {
    let mut world = ready();
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(5_000);
    world.late_fall();
    assert_eq!(world.server.late_drops, [Some(world.server.issued[&seq].body.order)]);
}

#[test]
fn a_late_fall_in_the_first_line_of_an_order_names_the_order_before() {
    let mut world = ready();
    let first = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(5_000);
    let second = world.server.issue(world.now_ms, 60_000, &[Server::line(1), Server::line(2)]);
    for motor_starts in [2, 3] {
        assert!(world.run_until(5_000, |world| world.motor_starts() == motor_starts));
        world.late_fall();
    }
    world.run(5_000);
    world.late_fall();
    let [first, second] = [first, second].map(|seq| Some(world.server.issued[&seq].body.order));
    assert_eq!(world.server.late_drops, [first, second, second]);
}

#[test]
fn a_late_fall_after_a_restart_in_the_first_line_names_no_order() {
    let mut world = ready();
    world.vend_ms = Some(5_000);
    world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(8_000);
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    assert!(world.run_until(5_000, |world| world.motor_starts() == 2));
    world.cut_main(100);
    world.run(3_000);
    world.late_fall();
    assert_eq!(world.server.late_drops, [None]);
    world.run(10_000);
    world.late_fall();
    assert_eq!(world.server.late_drops, [None, Some(world.server.issued[&seq].body.order)]);
}

#[test]
fn time_is_renewed_before_it_is_six_hours_old() {
    let mut world = ready();
    world.run(6 * 3_600_000 + 60_000);
    assert!(world.server.answers.contains(&Answer::Accepted));
}

impl World {
    fn late_fall(&mut self) {
        self.control.as_mut().unwrap().state.note_late_drop();
        self.run(600);
    }

    /// Loses the connection with all on it, changes the server, and connects again.
    fn reconnect_with(&mut self, change: impl FnOnce(&mut Server)) {
        self.disconnect();
        change(&mut self.server);
        self.run(5_000);
    }
}
