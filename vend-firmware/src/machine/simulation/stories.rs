//! The stories that the rules are there for, one a test.

use std::vec;

use vend_protocol::{
    EnrolmentId, Reason, Verdict,
    machine_link::{Authorization, Readiness},
    signed::Signed,
};

use super::{server::Answer, *};
use crate::journal::Lookup;

pub(super) fn ready() -> World {
    let mut world = World::new(1, Faults::default());
    (world.vend_ms, world.perfect) = (Some(1000), true);
    world.settle();
    world.run(2_000);
    world.server.answers.clear();
    world
}

pub(super) fn receipt_of(world: &World, seq: u64) -> &vend_protocol::signed::ReceiptBody {
    world.server.issued[&seq].receipt.as_ref().expect("a receipt")
}

pub(super) fn reasons(world: &World, seq: u64) -> std::vec::Vec<Option<Reason>> {
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
pub(super) fn until_motion(world: &mut World) {
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
fn a_repeated_authorization_whose_receipt_waits_gets_it_once_on_each_connection() {
    let mut world = ready();
    world.server.deaf = true;
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(5_000);
    assert!(matches!(&world.server.answers[..], [Answer::Taken(_), Answer::Receipt(_)]));
    world.server.answers.clear();
    world.server.send_open(seq);
    world.run(3_000);
    assert_eq!(world.server.answers, [], "it was sent on this connection");
    world.reconnect_with(|_| ());
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
fn a_server_restored_from_an_old_backup_gets_what_is_still_there_and_no_more_is_searched() {
    let mut world = ready();
    let mut last = 0;
    while last < 120 {
        last = world.server.issue(world.now_ms - 1_000, 0, &[Server::line(1)]);
        world.run(1_000);
    }
    assert!(!world.main.as_ref().unwrap().machine.state().has_unacknowledged());
    // Its watermark is 0.
    world.server.receipts.clear();
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
    assert_eq!(usize::try_from(world.lookups).unwrap(), 2 * kept.len(), "to send, and to compare the hash");
    // It is alive and goes on.
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(10_000);
    assert_eq!(reasons(&world, seq), [None]);
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

impl World {
    fn late_fall(&mut self) {
        self.control.as_mut().unwrap().state.note_late_drop();
        self.run(600);
    }

    /// A frame arrives at the machine, whoever made it.
    pub(super) fn deliver(&mut self, frame: &[u8]) {
        if let Some(main) = &mut self.main {
            main.machine.handle_machine_frame(self.now_ms, frame);
        }
        self.drain_main();
    }

    /// Loses the connection with all on it, changes the server, and connects again.
    pub(super) fn reconnect_with(&mut self, change: impl FnOnce(&mut Server)) {
        self.disconnect();
        change(&mut self.server);
        self.run(5_000);
    }
}
