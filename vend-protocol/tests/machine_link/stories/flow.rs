//! What goes first, and how much of it.

use vend_protocol::{
    AuthSeq, Reason, Text,
    machine_link::{Busy, Class, LogLevel, LogLine, Readiness, Ready, WINDOW, kind},
};

use crate::{
    faults::CALM,
    machine::{Session, telemetry},
    world::{Way, World},
};

/// A machine with so many receipts that the server has lost, and a server that acknowledges nothing yet.
fn backlog(receipts: usize) -> World {
    let mut world = World::connected();
    world.back_up();
    world.sell(receipts);
    world.restore_server();
    world.server.deaf_until_ms = u64::MAX;
    world.machine.journal.capacity = 0;
    world.run_until(20_000, |world| world.env.counts.sessions == 2 && world.is_open());
    world
}

#[test]
fn twenty_receipts_go_a_window_at_a_time() {
    let mut world = backlog(20);
    world.run_for(60_000);
    assert_eq!(world.sent(Way::Up, kind::RECEIPT), WINDOW);
    world.server.deaf_until_ms = 0;
    world.calm_down();
    assert_eq!(world.sent(Way::Up, kind::RECEIPT), 20, "each once");
    assert_eq!((world.starts(), world.env.counts.sessions), (20, 2));
}

#[test]
fn telemetry_is_not_held_up_by_a_full_window() {
    let mut world = backlog(12);
    world.run_for(5_000);
    let before = world.sent(Way::Up, kind::TELEMETRY);
    world.machine.say(&mut world.env, Class::State, &telemetry(0));
    world.run_for(1_000);
    assert_eq!(world.sent(Way::Up, kind::TELEMETRY), before + 1);
}

#[test]
fn one_number_that_is_never_acknowledged_holds_up_no_other() {
    let mut world = World::connected();
    world.server.config.misnames = Some(3);
    world.checks.server_lies = true;
    world.sell(20);
    world.run_for(1_000);
    let journal = &world.machine.journal;
    assert_eq!(
        (journal.unacknowledged(), journal.entry(3).map(|entry| entry.acknowledged)),
        (1, Some(false))
    );
    assert_eq!(world.sent(Way::Up, kind::RECEIPT), 20);
    assert_eq!(world.env.counts.sessions, 1);
    // The next connection's watermark says that the server has it.
    world.reconnect();
    world.calm_down();
    assert_eq!(world.sent(Way::Up, kind::RECEIPT), 0);
}

#[test]
fn answers_go_before_money_and_money_before_everything_else() {
    let mut world = backlog(3);
    world.cut();
    world.run_until(20_000, |world| world.env.counts.sessions == 3);
    let line = LogLine {
        uptime_ms: 1,
        level: LogLevel::INFO,
        module: Text::truncated("model"),
        text: Text::truncated("a line"),
    };
    world.machine.say(&mut world.env, Class::Lossy, &line);
    world.machine.say(&mut world.env, Class::State, &telemetry(0));
    world.machine.journal.add_event(kind::STOCK_REPORT);
    world.machine.tell_events(&mut world.env);
    let seq = AuthSeq::new(1).unwrap();
    world.machine.say(&mut world.env, Class::Answer, &Busy { seq });
    world.run_for(3_000);
    let order = [
        kind::HELLO,
        kind::BUSY,
        kind::RECEIPT,
        kind::RECEIPT,
        kind::RECEIPT,
        kind::STOCK_REPORT,
        kind::TELEMETRY,
        kind::LOG_LINE,
    ];
    assert_eq!(world.kinds(Way::Up), order);
}

#[test]
fn a_journal_that_is_not_ready_is_asked_again() {
    let mut world = World::connected();
    world.env.faults.later = 950;
    world.sell(3);
    assert!(world.env.counts.later > 20);
    world.env.faults = CALM;
    world.calm_down();
    assert_eq!(world.sent(Way::Up, kind::RECEIPT), 3);
}

#[test]
fn what_may_be_lost_makes_room_for_what_must_not() {
    let mut world = World::connected();
    world.machine.stop(world.env.now_ms + 2_000);
    for index in 0..12 {
        let text = Text::truncated(&format!("line {index}"));
        let line = LogLine { uptime_ms: 1, level: LogLevel::INFO, module: Text::truncated("model"), text };
        world.machine.say(&mut world.env, Class::Lossy, &line);
    }
    world.machine.say(&mut world.env, Class::State, &telemetry(0));
    let answer = Ready { request: 99, readiness: Readiness::NotReady(Reason::DOOR) };
    world.machine.say(&mut world.env, Class::Answer, &answer);
    world.run_for(5_000);
    let sent: Vec<_> = (0..=20).filter_map(|sequence| world.checks.track(Way::Up).frame(sequence)).collect();
    let lines = sent.iter().filter_map(|frame| frame.decode::<LogLine>().ok());
    let lines: Vec<_> = lines.map(|line| line.text.as_str().to_string()).collect();
    assert_eq!(lines, ["line 8", "line 9", "line 10", "line 11"], "the oldest went");
    assert_eq!((world.sent(Way::Up, kind::READY), world.sent(Way::Up, kind::TELEMETRY)), (1, 1));
    assert_eq!(world.machine.session().map(Session::dropped), Some(8));
}

#[test]
fn an_event_is_told_on_every_connection_until_it_is_noted() {
    let mut world = World::connected();
    world.network.lose.push((Way::Down, kind::NOTED));
    world.machine.journal.add_event(kind::STOCK_REPORT);
    world.machine.tell_events(&mut world.env);
    world.run_for(2_000);
    assert_eq!((world.sent(Way::Up, kind::STOCK_REPORT), world.machine.journal.events.len()), (1, 1));
    world.reconnect();
    world.calm_down();
    assert_eq!(world.sent(Way::Up, kind::STOCK_REPORT), 1);
    world.reconnect();
    world.run_for(2_000);
    assert_eq!(world.sent(Way::Up, kind::STOCK_REPORT), 0);
}
