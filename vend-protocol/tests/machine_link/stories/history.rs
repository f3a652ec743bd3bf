//! Peers of other versions, and peers with another past.

use vend_protocol::machine_link::{Authorization, kind};

use super::authorization_body;
use crate::{
    machine::Reads,
    server::Answer,
    toy::{self, Tag},
    world::{SERVER_KEY, Way, World},
};

/// A world with an amendment between two receipts, none of which the server has: it comes back with a database from before, and
/// reads only this from then on.
fn amended(reads: Reads) -> World {
    let mut world = World::connected();
    world.back_up();
    world.pay(&[350]);
    world.run_until(5_000, |world| world.starts() == 1);
    world.cut_machine_power(500);
    world.run_until(20_000, |world| world.env.counts.sessions == 2 && world.is_booked(1));
    world.machine.find_out(&mut world.env);
    world.sell(1);
    world.run_for(1_000);
    assert_eq!(world.machine.journal.last, 3);
    world.server.config.reads = reads;
    world.restore_server();
    world.run_until(20_000, |world| world.env.counts.sessions == 3 && world.is_open());
    world.run_for(5_000);
    world
}

fn chain(world: &World) -> Vec<u8> {
    let money = |kind: &u8| [kind::RECEIPT, kind::AMENDMENT].contains(kind);
    world.kinds(Way::Up).into_iter().filter(money).collect()
}

#[test]
fn a_restored_server_gets_everything_since_its_backup_again() {
    let mut world = amended(vec![(kind::RECEIPT, 1), (kind::AMENDMENT, 1)]);
    assert_eq!(chain(&world), [kind::RECEIPT, kind::AMENDMENT, kind::RECEIPT]);
    world.calm_down();
    assert_eq!((world.starts(), world.server.ledger.issued_seq), (2, 2), "it knows what was used");
    world.sell(1);
    assert_eq!((world.starts(), world.server.ledger.issued_seq), (3, 3));
}

#[test]
fn a_server_that_lists_no_amendments_gets_none_and_every_receipt() {
    for reads in [vec![(kind::RECEIPT, 1)], vec![(kind::RECEIPT, 1), (kind::AMENDMENT, 0)]] {
        let mut world = amended(reads);
        assert_eq!(chain(&world), [kind::RECEIPT; 2]);
        let waiting = world.machine.journal.unacknowledged();
        assert_eq!(waiting, 1, "the amendment waits for a server that reads it");
        world.server.config.reads = vec![(kind::RECEIPT, 1), (kind::AMENDMENT, 1)];
        world.reconnect();
        world.run_until(10_000, |world| world.machine.journal.unacknowledged() == 0);
    }
}

#[test]
fn a_later_revision_in_the_list_includes_the_earlier_ones() {
    let mut world = amended(vec![(kind::RECEIPT, 2), (kind::AMENDMENT, 7)]);
    assert_eq!(chain(&world), [kind::RECEIPT, kind::AMENDMENT, kind::RECEIPT]);
    world.calm_down();
}

#[test]
fn a_server_that_cannot_read_its_receipts_after_all_is_not_pestered_and_nothing_else_waits() {
    let mut world = World::connected();
    world.back_up();
    world.sell(12);
    world.server.config.forgets_receipts = true;
    world.restore_server();
    world.run_until(20_000, |world| world.env.counts.sessions == 2 && world.is_open());
    world.machine.journal.add_event(kind::STOCK_REPORT);
    world.machine.tell_events(&mut world.env);
    world.run_for(60_000);
    assert_eq!(world.sent(Way::Up, kind::RECEIPT), 12, "each once, though none was acknowledged");
    assert_eq!((world.env.counts.unsupported, world.machine.journal.unacknowledged()), (12, 12));
    assert!(world.machine.journal.events.is_empty());
    world.server.config.forgets_receipts = false;
    world.reconnect();
    world.calm_down();
}

#[test]
fn a_machine_that_cannot_read_authorizations_is_rejected_and_the_money_goes_back() {
    let mut world = World::calm();
    world.machine.config.reads = vec![(kind::VOID, 1), (kind::ACKNOWLEDGEMENT, 1), (kind::AUTHORIZATION, 0)];
    world.pay(&[350]);
    world.run_until(400_000, |world| world.is_booked(1));
    assert!(world.env.counts.rejected > 5 && world.env.counts.sessions == 0);
    assert_eq!(world.line(1, 0).refunded, 350);
}

#[test]
fn a_replaced_board_runs_nothing_up_to_the_floor() {
    let mut world = World::connected();
    world.sell(3);
    world.pay(&[350]);
    world.run_until(5_000, |world| world.starts() == 4);
    world.replace_board();
    world.run_until(20_000, |world| world.env.counts.sessions == 2 && world.is_open());
    world.run_for(1_000);
    assert_eq!(world.line(4, 0).refunded, 350, "what the old board did with it is not known");
    let enrolment = world.machine.board.enrolment;
    for seq in [1, 3, 4] {
        let body = authorization_body(enrolment, seq, world.env.server_time_ms() + 60_000);
        world.server.send(&Authorization(toy::sign(SERVER_KEY, Tag::Authorization, &body)));
        world.flush();
        world.run_for(1_000);
        assert_eq!(world.answers().last(), Some(&Answer::Settled(seq)));
    }
    assert_eq!(world.starts(), 4);
    world.sell(1);
    assert_eq!((world.starts(), world.server.ledger.issued_seq), (5, 5));
}

#[test]
fn a_board_that_was_replaced_is_rejected() {
    let mut world = World::connected();
    let (board, journal) = (world.machine.board, world.machine.journal.id);
    world.replace_board();
    world.run_until(20_000, |world| world.env.counts.sessions == 2 && world.is_open());
    // The old board is switched on again.
    world.cut_machine_power(100);
    world.machine.board = board;
    world.machine.journal.id = journal;
    world.run_for(20_000);
    assert!(world.env.counts.rejected > 0 && world.env.counts.sessions == 2);
}

#[test]
fn a_plan_that_differs_is_sent_and_one_that_does_not_is_not() {
    let mut world = World::connected();
    assert_eq!((world.sent(Way::Down, kind::PLAN_PART), world.sent(Way::Up, kind::PLAN_APPLIED)), (1, 1));
    world.reconnect();
    world.run_for(1_000);
    assert_eq!(world.sent(Way::Down, kind::PLAN_PART), 0);
    world.server.config.plan = 2;
    world.reconnect();
    world.run_for(1_000);
    assert_eq!((world.sent(Way::Down, kind::PLAN_PART), world.machine.journal.plan), (1, 2));
}
