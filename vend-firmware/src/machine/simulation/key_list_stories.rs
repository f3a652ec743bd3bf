//! The stories of a change of the server's keys, one a test.

use std::vec::Vec;

use vend_protocol::{Reason, machine_link::KeyList};

use super::{
    server::Answer,
    stories::{ready, reasons, until_motion},
    *,
};

const NEXT_SEED: [u8; 32] = [9; 32];

/// What the machine answered about key lists.
fn applied(world: &World) -> Vec<u32> {
    let answers = world.server.answers.iter();
    answers
        .filter_map(|answer| match answer {
            Answer::KeyListApplied(version) => Some(*version),
            _ => None,
        })
        .collect()
}

/// The versions that the hellos named.
fn named(world: &World) -> Vec<u32> {
    world.server.hellos.iter().map(|hello| hello.key_list).collect()
}

#[test]
fn a_newer_list_is_stored_then_answered_and_its_keys_are_the_only_ones() {
    let mut world = ready();
    let list = key_list(2, &NEXT_SEED);
    world.server.send(&KeyList(list.clone()));
    world.run(1_000);
    assert_eq!((applied(&world), &world.stored_list), ([2].to_vec(), &Some(list)));
    // What the old key signs is nothing any more.
    world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(5_000);
    assert_eq!(world.motor_starts(), 0);
    world.reconnect_with(|_| ());
    assert!(!world.main.as_ref().unwrap().machine.is_connected());
    world.server.signer = Signer::from_seed(&NEXT_SEED);
    world.server.issued.clear();
    for _ in 0..2 {
        world.settle();
        let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
        world.run(5_000);
        assert_eq!(reasons(&world, seq), [None]);
        world.cut_main(100);
    }
}

#[test]
fn a_power_cut_before_a_list_is_stored_leaves_the_old_one_and_it_is_sent_again() {
    let mut world = ready();
    (world.store_fault, world.server.hellos) = (Some(StoreFault::CutBefore), Vec::new());
    world.reconnect_with(|server| server.key_list = Some((2, key_list(2, &SERVER_SEED))));
    assert!(world.run_until(10_000, |world| !applied(world).is_empty()));
    assert_eq!((named(&world), applied(&world)), ([1, 1].to_vec(), [2].to_vec()));
    assert!(world.stored_list.is_some());
}

#[test]
fn a_power_cut_between_storing_a_list_and_answering_leaves_the_new_one_and_the_hello_says_so() {
    let mut world = ready();
    (world.store_fault, world.server.hellos) = (Some(StoreFault::CutAfter), Vec::new());
    world.reconnect_with(|server| server.key_list = Some((2, key_list(2, &SERVER_SEED))));
    world.settle();
    world.run(5_000);
    assert_eq!((named(&world), applied(&world)), ([1, 2].to_vec(), [].to_vec()));
}

#[test]
fn a_list_that_cannot_be_stored_is_not_used_and_sent_again_on_the_next_connection() {
    let mut world = ready();
    (world.store_fault, world.server.hellos) = (Some(StoreFault::Failed), Vec::new());
    world.reconnect_with(|server| server.key_list = Some((2, key_list(2, &SERVER_SEED))));
    assert_eq!((applied(&world), &world.stored_list), ([1].to_vec(), &None));
    world.reconnect_with(|_| ());
    assert_eq!((named(&world), applied(&world)), ([1, 1].to_vec(), [1, 2].to_vec()));
}

#[test]
fn a_list_that_is_not_newer_not_the_roots_or_out_of_its_time_changes_nothing() {
    let mut world = ready();
    let thief = Signer::from_seed(&SERVER_SEED);
    let keys = List::try_from_iter([thief.public_key().to_bytes()]).unwrap();
    let body =
        KeyListBody { version: 7, not_before_ms: EPOCH_MS, expires_ms: EPOCH_MS + 1_000_000_000, keys };
    let root = Signer::from_seed(&ROOT_SEED);
    let renamed = Signed { key_id: root.key_id(), ..thief.sign(&body).unwrap() };
    let expired = KeyListBody { expires_ms: EPOCH_MS + world.now_ms, ..body.clone() };
    let early = KeyListBody { not_before_ms: EPOCH_MS + 60_000_000, ..body.clone() };
    for list in [
        key_list(1, &SERVER_SEED),
        thief.sign(&body).unwrap(),
        renamed,
        root.sign(&expired).unwrap(),
        root.sign(&early).unwrap(),
    ] {
        world.server.answers.clear();
        world.server.send(&KeyList(list));
        world.run(1_000);
        assert_eq!((applied(&world), &world.stored_list), ([1].to_vec(), &None));
    }
}

#[test]
fn of_two_lists_that_wait_the_newest_is_stored() {
    for versions in [[2, 3], [3, 2]] {
        let mut world = ready();
        let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
        until_motion(&mut world);
        for version in versions {
            world.server.send(&KeyList(key_list(version, &SERVER_SEED)));
        }
        world.run(500);
        assert_eq!(world.stored_list, None, "no flash is written while a motor turns");
        world.run(5_000);
        assert_eq!(reasons(&world, seq), [None::<Reason>]);
        assert_eq!((applied(&world), &world.stored_list), ([3].to_vec(), &Some(key_list(3, &SERVER_SEED))));
    }
}

#[test]
fn a_machine_that_slept_through_two_changes_of_keys_takes_the_newest_list_and_sells() {
    let mut world = ready();
    // Neither of the keys that sign now is in the machine's list, and the list it has is over.
    world.server.signer = Signer::from_seed(&NEXT_SEED);
    world.server.hellos = Vec::new();
    world.reconnect_with(|server| server.key_list_first = Some((3, key_list(3, &NEXT_SEED))));
    world.settle();
    assert_eq!((named(&world), &world.stored_list), ([1, 3].to_vec(), &Some(key_list(3, &NEXT_SEED))));
    let seq = world.server.issue(world.now_ms, 60_000, &[Server::line(1)]);
    world.run(5_000);
    assert_eq!(reasons(&world, seq), [None]);
}

#[test]
fn a_list_in_place_of_accepted_is_not_used_before_it_is_stored() {
    for (fault, again) in [(StoreFault::Failed, 1), (StoreFault::CutBefore, 1), (StoreFault::CutAfter, 3)] {
        let mut world = ready();
        world.server.signer = Signer::from_seed(&NEXT_SEED);
        (world.store_fault, world.server.hellos) = (Some(fault), Vec::new());
        world.reconnect_with(|server| server.key_list_first = Some((3, key_list(3, &NEXT_SEED))));
        assert!(
            world.run_until(60_000, |world| world
                .main
                .as_ref()
                .is_some_and(|main| main.machine.is_connected()))
        );
        assert_eq!(named(&world)[..2], [1, again]);
        assert_eq!(named(&world).last(), Some(&3));
    }
}

#[test]
fn a_list_in_place_of_accepted_that_is_not_newer_or_not_the_roots_closes_the_connection() {
    let thief = Signer::from_seed(&SERVER_SEED);
    let keys = List::try_from_iter([thief.public_key().to_bytes()]).unwrap();
    let body = KeyListBody { version: 7, not_before_ms: 0, expires_ms: u64::MAX, keys };
    for list in [key_list(1, &NEXT_SEED), thief.sign(&body).unwrap()] {
        let mut world = ready();
        world.server.hellos = Vec::new();
        world.reconnect_with(|server| server.key_list_first = Some((9, list)));
        world.run(500);
        assert!(!world.main.as_ref().unwrap().machine.is_connected());
        assert!(named(&world).iter().all(|version| *version == 1) && !named(&world).is_empty());
        assert_eq!(world.stored_list, None);
    }
}
