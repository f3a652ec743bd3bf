//! The stories of receipts on their way to the server, one a test.

use std::vec::Vec;

use vend_protocol::{
    ReceiptHash, ReceiptNo,
    machine_link::{Acknowledgement, WINDOW},
};

use super::{
    server::Answer,
    stories::{ready, reasons},
    *,
};
use crate::journal::Lookup;

impl World {
    fn state(&self) -> &State {
        self.main.as_ref().unwrap().machine.state()
    }

    /// The acknowledgement of a receipt that is in the journal.
    fn acknowledgement(&mut self, number: u64) -> Option<Acknowledgement> {
        let journal = &mut self.main.as_mut().unwrap().journal;
        let number = ReceiptNo::new(number).unwrap();
        let hash = journal.receipt(Lookup::Number(number)).unwrap()?.hash;
        Some(Acknowledgement { journal: journal.id(), number, hash })
    }

    /// Receipts without a motion.
    fn write_receipts(&mut self, count: u64) {
        for _ in 0..count {
            self.server.issue(self.now_ms - 1_000, 0, &[Server::line(1)]);
            self.run(1_000);
        }
    }

    /// The numbers of the receipts that came.
    fn received(&self) -> Vec<u64> {
        let receipts = self.server.answers.iter();
        receipts
            .filter_map(|answer| match answer {
                Answer::Receipt(receipt) => Some(receipt.number.number()),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn an_acknowledgement_of_another_receipt_is_ignored() {
    let mut world = ready();
    world.server.deaf = true;
    world.write_receipts(2);
    let genuine = world.acknowledgement(1).unwrap();
    world.server.send(&Acknowledgement { hash: ReceiptHash([1; 32]), ..genuine });
    world.server.send(&Acknowledgement { journal: JournalId([1; 8]), ..genuine });
    world.server.send(&Acknowledgement { number: ReceiptNo::new(3).unwrap(), ..genuine });
    world.run(2_000);
    assert_eq!(world.state().numbers.acknowledged, 0);
    // And one that leaves another out acknowledges nothing: the next accepted tells.
    let second = world.acknowledgement(2).unwrap();
    world.server.send(&second);
    world.run(2_000);
    assert_eq!(world.state().numbers.acknowledged, 0);
    world.server.send(&genuine);
    world.run(2_000);
    assert_eq!(world.state().numbers.acknowledged, 1);
    world.server.deaf = false;
    world.reconnect_with(|_| ());
    assert!(!world.state().has_unacknowledged());
}

#[test]
fn no_more_than_a_window_of_receipts_is_on_its_way_and_each_is_sent_once() {
    let mut world = ready();
    world.server.deaf = true;
    world.write_receipts(12);
    let window: Vec<_> = (1..=WINDOW as u64).collect();
    assert_eq!(world.received(), window);
    world.server.answers.clear();
    for number in 1..=3 {
        let acknowledgement = world.acknowledgement(number).unwrap();
        // One that is doubled makes room once.
        world.server.send(&acknowledgement);
        world.server.send(&acknowledgement);
    }
    world.run(2_000);
    assert_eq!(world.received(), [9, 10, 11]);
    assert_eq!(world.state().numbers.acknowledged, 3);
    world.server.answers.clear();
    world.reconnect_with(|server| {
        server.watermark_ahead = 3;
        server.issued.values_mut().for_each(|issued| issued.held = true);
    });
    assert_eq!(world.received(), (4..=11).collect::<Vec<_>>());
}

#[test]
fn a_watermark_beyond_the_journal_acknowledges_nothing_that_is_written_later() {
    let mut world = ready();
    world.reconnect_with(|server| (server.watermark_ahead, server.deaf) = (100, true));
    world.write_receipts(2);
    assert_eq!((world.received(), world.state().numbers.acknowledged), ([1, 2].to_vec(), 0));
}

#[test]
fn a_restored_server_asks_for_receipts_that_are_erased_and_nothing_waits_for_them() {
    let mut world = ready();
    world.write_receipts(12);
    assert_eq!(world.state().numbers.acknowledged, 12);
    // Its watermark is 0: the first ones are on their way when the journal erases all of them.
    (world.server.deaf, world.server.receipts) = (true, BTreeMap::new());
    world.server.answers.clear();
    world.reconnect_with(|_| ());
    assert_eq!(world.received(), (1..=8).collect::<Vec<_>>());
    let acknowledgements: Vec<_> = (1..=8).map(|number| world.acknowledgement(number).unwrap()).collect();
    while world.acknowledgement(12).is_some() {
        // Each opening of the control board writes a nonce.
        world.cut_control(10);
        world.run(1_000);
    }
    for acknowledgement in acknowledgements {
        world.server.send(&acknowledgement);
    }
    world.lookups = 0;
    world.run(2_000);
    assert_eq!(world.lookups, 9, "for the acknowledgements, and once for what comes next");
    world.server.deaf = false;
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(10_000);
    assert_eq!(reasons(&world, seq), [None]);
    assert!(!world.state().has_unacknowledged());
}
