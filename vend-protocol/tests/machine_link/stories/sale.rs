//! The rules of a sale.

use vend_protocol::{
    AuthSeq, EnrolmentId, JournalId, Reason, ReceiptHash, ReceiptNo, Start,
    machine_link::{Acknowledgement, Authorization, Busy, Class, kind},
};

use super::authorization_body;
use crate::{
    server::{Answer, DEADLINE_MS},
    toy::{self, Tag},
    world::{SERVER_KEY, Way, World},
};

/// Why the lines of the last receipt were not started; `None` for one that was.
fn reasons(world: &World) -> Vec<Option<Reason>> {
    let receipt = world.server.ledger.receipts.last().expect("a receipt");
    let reason = |start| if let Start::NotStarted(reason) = start { Some(reason) } else { None };
    receipt.lines.iter().map(|line| reason(line.outcome.start)).collect()
}

#[test]
fn a_machine_that_is_ready_is_paid_for_and_vends() {
    let mut world = World::connected();
    assert!(world.server.prepare(&world.env, &[350, 200]));
    world.flush();
    world.run_until(30_000, |world| world.is_booked(1));
    assert_eq!((world.answers(), world.starts()), (vec![Answer::Ready, Answer::Taken(1)], 2));
    let up = world.kinds(Way::Up);
    let after_hello = &up[up.iter().position(|kind| *kind == kind::READY).unwrap()..];
    assert_eq!(after_hello, [kind::READY, kind::TAKEN, kind::RECEIPT]);
}

#[test]
fn a_machine_that_is_vending_is_not_ready_and_no_money_is_asked_for() {
    let mut world = World::connected();
    world.pay(&[350]);
    world.run_until(5_000, |world| world.starts() == 1);
    world.server.prepare(&world.env, &[200]);
    world.flush();
    world.run_for(20_000);
    assert!(world.answers().contains(&Answer::NotReady));
    assert_eq!(world.env.wallet.paid.len(), 1);
}

#[test]
fn ready_after_three_seconds_is_no_answer() {
    for (stopped_ms, orders) in [(2_000, 1), (3_500, 0)] {
        let mut world = World::connected();
        world.server.prepare(&world.env, &[350]);
        world.flush();
        world.machine.stop(world.env.now_ms + stopped_ms);
        world.run_for(20_000);
        assert_eq!(world.env.wallet.paid.len(), orders, "{stopped_ms} ms");
    }
}

#[test]
fn what_does_not_verify_is_not_answered() {
    let mut world = World::connected();
    let deadline_ms = world.env.server_time_ms() + 60_000;
    let own = world.machine.board.enrolment;
    let forged = toy::sign(SERVER_KEY + 1, Tag::Authorization, &authorization_body(own, 1, deadline_ms));
    let another =
        toy::sign(SERVER_KEY, Tag::Authorization, &authorization_body(EnrolmentId([9; 16]), 1, deadline_ms));
    let void = toy::sign(SERVER_KEY, Tag::Void, &authorization_body(own, 1, deadline_ms));
    let sent = world.kinds(Way::Up).len();
    for signed in [forged, another, void] {
        world.server.send(&Authorization(signed));
    }
    world.flush();
    world.run_for(4_000);
    assert_eq!((world.kinds(Way::Up).len(), world.starts()), (sent, 0));
    assert_eq!(world.machine.journal.used_seq, 0);
}

#[test]
fn the_intent_is_journaled_before_taken_and_taken_before_motion() {
    let mut world = World::connected();
    world.pay(&[350]);
    world.run_until(5_000, |world| world.machine.journal.order.is_some());
    assert_eq!((world.sent(Way::Up, kind::TAKEN), world.starts()), (0, 0));
    world.cut_machine_power(1_000);
    world.run_until(30_000, |world| world.is_booked(1));
    assert_eq!((reasons(&world), world.starts()), (vec![Some(Reason::INTERRUPTED)], 0));
    assert_eq!(world.line(1, 0).refunded, 350);
}

#[test]
fn a_line_whose_motor_may_have_started_is_unknown_and_is_never_started_again() {
    let mut world = World::connected();
    world.pay(&[350, 200]);
    world.run_until(5_000, |world| world.starts() == 1);
    world.cut_machine_power(1_000);
    world.run_until(30_000, |world| world.is_booked(1));
    assert_eq!((reasons(&world), world.starts()), (vec![None, Some(Reason::INTERRUPTED)], 1));
    assert_eq!((world.line(1, 0).refunded, world.line(1, 1).refunded), (350, 200));
    // The truth comes later, as an amendment, and moves no money.
    world.machine.find_out(&mut world.env);
    world.calm_down();
    assert_eq!(world.sent(Way::Up, kind::AMENDMENT), 1);
    assert_eq!((world.line(1, 0).given_away, world.line(1, 0).refunded), (350, 350));
}

#[test]
fn an_authorization_that_comes_too_late_uses_its_sequence_up_and_is_answered_with_a_receipt() {
    let mut world = World::connected();
    world.network.lose.push((Way::Down, kind::AUTHORIZATION));
    world.pay(&[350]);
    world.run_for(1_000);
    world.network.down_until_ms = u64::MAX;
    world.cut();
    world.run_for(DEADLINE_MS);
    world.network.down_until_ms = 0;
    world.run_until(20_000, |world| world.is_booked(1));
    assert_eq!((reasons(&world), world.starts()), (vec![Some(Reason::EXPIRED)], 0));
    assert_eq!(world.machine.journal.used_seq, 1);
}

#[test]
fn busy_uses_nothing_up_and_the_server_asks_again() {
    let mut world = World::connected();
    world.machine.journal.capacity = 0;
    world.pay(&[350]);
    world.run_for(12_000);
    assert_eq!(world.answers(), [Answer::Busy(1); 3]);
    assert_eq!(world.machine.journal.used_seq, 0);
    world.machine.journal.capacity = 24;
    world.run_until(30_000, |world| world.is_booked(1));
    assert_eq!((world.starts(), world.env.counts.sessions), (1, 1));
}

#[test]
fn a_receipt_is_kept_until_its_own_hash_in_its_own_journal_is_acknowledged() {
    let mut world = World::connected();
    world.server.config.misnames = Some(1);
    world.checks.server_lies = true;
    world.sell(1);
    world.run_for(1_000);
    assert_eq!(world.sent(Way::Down, kind::ACKNOWLEDGEMENT), 1);
    let (journal, hash) = (world.machine.journal.id, world.machine.journal.entry(1).unwrap().hash);
    let (other, number) = (JournalId([0; 8]), ReceiptNo::new(1).unwrap());
    let wrong = [(other, hash), (journal, ReceiptHash([0; 32]))];
    for (journal, hash) in wrong {
        world.server.send(&Acknowledgement { journal, number, hash });
    }
    world.flush();
    world.run_for(1_000);
    assert_eq!(world.machine.journal.unacknowledged(), 1);
    world.server.send(&Acknowledgement { journal, number, hash });
    world.flush();
    world.run_for(1_000);
    assert_eq!(world.machine.journal.unacknowledged(), 0);
}

#[test]
fn a_used_sequence_is_never_run_again_whatever_is_sent() {
    let mut world = World::connected();
    world.sell(1);
    world.run_for(1_000);
    for _ in 0..2 {
        for _ in 0..3 {
            let at = world.answers().len();
            world.server.send_open(&world.env, 1);
            world.flush();
            world.run_for(1_000);
            assert_eq!(&world.answers()[at..], [Answer::Settled(1)]);
        }
        // The machine knows it after a restart as well.
        let sessions = world.env.counts.sessions;
        world.cut_machine_power(500);
        world.run_until(20_000, |world| world.env.counts.sessions > sessions && world.is_open());
    }
    assert_eq!((world.starts(), world.machine.journal.last), (1, 1));
}

#[test]
fn while_its_receipt_is_on_its_way_a_used_sequence_needs_no_other_answer() {
    let mut world = World::connected();
    world.server.deaf_until_ms = u64::MAX;
    world.sell(1);
    let sent = world.kinds(Way::Up);
    world.server.send_open(&world.env, 1);
    world.flush();
    world.run_for(2_000);
    assert_eq!((world.kinds(Way::Up), world.starts()), (sent, 1));
    assert_eq!(world.env.counts.on_its_way, 1);
}

#[test]
fn a_sequence_that_is_being_vended_is_answered_taken() {
    let mut world = World::connected();
    world.pay(&[350, 200, 100]);
    world.run_until(5_000, |world| world.starts() == 1);
    world.server.send_open(&world.env, 1);
    world.server.void(1);
    world.server.send_open(&world.env, 1);
    world.flush();
    world.run_until(60_000, |world| world.is_booked(1));
    let taken = world.answers().iter().filter(|answer| **answer == Answer::Taken(1)).count();
    assert!(taken >= 3, "{:?}", world.answers());
    assert_eq!(world.starts(), 3, "a void does not stop what was taken");
}

#[test]
fn a_void_uses_a_sequence_up_without_motion() {
    let mut world = World::connected();
    world.network.lose.push((Way::Down, kind::AUTHORIZATION));
    world.pay(&[350]);
    world.run_for(1_000);
    let authorization = world.server.ledger.authorizations[&1].signed.clone().unwrap();
    world.server.void(1);
    world.reconnect();
    world.run_until(20_000, |world| world.is_booked(1));
    assert_eq!((world.sent(Way::Down, kind::VOID), world.sent(Way::Down, kind::AUTHORIZATION)), (1, 0));
    assert!(world.server.ledger.receipts[0].lines.is_empty());
    assert_eq!(world.line(1, 0).refunded, 350);
    // What it made void must not run, however it comes.
    world.run_for(1_000);
    world.server.send(&Authorization(authorization));
    world.flush();
    world.run_for(1_000);
    assert_eq!((world.answers().last(), world.starts()), (Some(&Answer::Settled(1)), 0));
}

#[test]
fn a_machine_that_says_nothing_is_not_waited_for_for_ever_and_its_delivery_is_given_away() {
    let mut world = World::connected();
    world.pay(&[350, 200]);
    world.run_until(5_000, |world| world.starts() == 1);
    world.network.down_until_ms = u64::MAX;
    world.cut();
    world.run_until(400_000, |world| world.is_booked(1));
    assert_eq!((world.line(1, 0).refunded, world.line(1, 1).refunded), (350, 200));
    assert!(world.server.ledger.authorizations[&1].void.is_some());
    world.calm_down();
    let fell: u32 = (0..2).map(|line| world.line(1, line).given_away).sum();
    let seen = world.env.motors.ran.values().filter(|outcome| outcome.verdict().is_delivered()).count();
    assert_eq!((world.starts(), fell > 0), (2, seen > 0));
}

#[test]
fn an_answer_about_nothing_changes_nothing() {
    let mut world = World::connected();
    let seq = AuthSeq::new(77).unwrap();
    world.machine.say(&mut world.env, Class::Answer, &Busy { seq });
    world.sell(1);
    assert_eq!(world.starts(), 1);
}
