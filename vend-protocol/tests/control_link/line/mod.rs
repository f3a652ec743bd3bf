//! What the main board's line tells of its board, and what it asks when, over a perfect wire.

mod pair;

use vend_protocol::{
    ConfigHash, DropReport, MotorCode, Nonce, Outcome, Reason, Verdict,
    control_link::{
        AbortRequest, AskError, BoardStatus, IdentifyRequest, NoAnswer, OpenRequest, POLL_IDLE_MS,
        POLL_VENDING_MS, QueryRequest, RESEND_MS, Refusal, SENDS, STATUS_MAX_AGE_MS, SelfTestRequest,
        SensorState, VendAnswer, VendEnd, VendEvent, VendGate, VendOrder, VendRequest, VendResult, VendState,
    },
    frame::Message,
};

use pair::{Board, CONFIG, Pair, number, order, sold};

#[test]
fn readiness_says_why_not() {
    let mut pair = Pair::new();
    assert_eq!(pair.readiness(), Err(Reason::BOARD), "nothing was heard");
    pair.opens = false;
    pair.run(1_000);
    assert_eq!(pair.readiness(), Err(Reason::BOARD), "not opened");
    pair.opens = true;
    pair.run(1_000);
    assert_eq!(pair.readiness(), Ok(()));
    pair.board().status.door_open = true;
    pair.run(300);
    assert_eq!(pair.readiness(), Err(Reason::DOOR));
    pair.board().status.door_open = false;
    for sensor in [SensorState::UNTESTED, SensorState::BLOCKED, SensorState::FAULT, SensorState(200)] {
        pair.board().status.sensor = sensor;
        pair.run(300);
        assert_eq!(pair.readiness(), Err(Reason::SENSOR), "{sensor}");
    }
    pair.board().status.sensor = SensorState::NOT_FITTED;
    pair.run(300);
    assert_eq!(pair.readiness(), Err(Reason::SENSOR));
    let now_ms = pair.now_ms;
    assert_eq!(pair.link().readiness(now_ms, true), Ok(()));
    pair.board().status.sensor = SensorState::CLEAR;
    pair.run(300);
    pair.start(1);
    assert_eq!(pair.readiness(), Err(Reason::BUSY));
    pair.board = None;
    pair.run(STATUS_MAX_AGE_MS + 300);
    assert_eq!(pair.readiness(), Err(Reason::BOARD), "silent");
}

#[test]
fn another_configuration_is_neither_opened_nor_ready() {
    let mut pair = Pair::new();
    pair.board().gate = VendGate::new(ConfigHash([4; 8]));
    pair.run(3_000);
    assert_eq!((pair.readiness(), pair.nonces), (Err(Reason::BOARD), 0));
    pair.board().gate.reconfigure(CONFIG).unwrap();
    pair.run(1_000);
    assert_eq!((pair.readiness(), pair.nonces), (Ok(()), 1));
}

#[test]
fn falls_are_counted_once_and_from_0_after_a_restart_of_the_board() {
    let mut pair = Pair::new();
    pair.board().status.late_drops = 7;
    pair.run(1_000);
    assert_eq!(pair.link().take_late_drops(), 0, "before the first look");
    pair.board().status.late_drops = 9;
    pair.run(1_000);
    assert_eq!((pair.link().take_late_drops(), pair.link().take_late_drops()), (2, 0));
    // More than before the restart: only the boot tells.
    pair.board =
        Some(Board { status: BoardStatus { late_drops: 11, ..Board::new(2).status }, ..Board::new(2) });
    pair.run(1_000);
    assert_eq!(pair.link().take_late_drops(), 11);
}

#[test]
fn a_board_that_started_again_is_identified_again() {
    let mut pair = Pair::ready();
    let identified = pair.board().identified;
    pair.run(5_000);
    assert_eq!(pair.board().identified, identified);
    pair.board = Some(Board::new(2));
    pair.run(1_000);
    assert!(pair.board().identified > 0);
    assert_eq!(pair.readiness(), Ok(()));
}

#[test]
fn a_refused_opening_is_tried_with_a_fresh_nonce_and_ever_more_seldom() {
    let mut pair = Pair::new();
    // A board that refuses what it had before: every nonce of this main board.
    for number in 1..=8 {
        let nonce = Nonce([number; 16]);
        assert_eq!(pair.board().gate.open(0, &OpenRequest { nonce, config: CONFIG }).refused, None);
    }
    assert_eq!(
        pair.board().gate.open(0, &OpenRequest { nonce: Nonce([99; 16]), config: CONFIG }).refused,
        None
    );
    pair.run(40_000);
    let times = &pair.board().openings;
    assert_eq!(times.len(), 7, "{times:?}");
    assert!(times.windows(3).all(|at| at[2] - at[1] >= 2 * (at[1] - at[0]) - 200), "{times:?}");
    assert_eq!(pair.nonces, 7, "a nonce is used once");
    pair.run(200_000);
    assert_eq!(pair.readiness(), Ok(()), "the ninth is new to the board");
}

#[test]
fn a_foreign_result_is_forgotten_under_its_own_nonce_before_the_board_is_opened() {
    let mut pair = Pair::new();
    let foreign = Nonce([200; 16]);
    let gate = &mut pair.board().gate;
    assert_eq!(gate.open(0, &OpenRequest { nonce: foreign, config: CONFIG }).refused, None);
    let VendOrder { vend, lane, limits, label, .. } = order(1, 0);
    let request = VendRequest { nonce: foreign, vend, config: CONFIG, lane, limits, label };
    assert_eq!(gate.vend(0, &request, |_| Ok(())), VendAnswer::State(VendState::Running));
    assert_eq!(gate.poll_start(0), Some(request));
    pair.run(2_000);
    assert_eq!((pair.nonces, pair.readiness()), (0, Err(Reason::BOARD)), "not while it runs");
    pair.board().gate.finish(vend, sold());
    pair.run(2_000);
    assert_eq!((pair.nonces, pair.readiness()), (1, Ok(())));
}

#[test]
fn a_vend_is_ended_by_the_boards_word_with_its_evidence_and_then_forgotten() {
    let mut pair = Pair::ready();
    pair.start(4);
    let order = order(5, u64::MAX);
    assert!(!pair.line.start_vend(pair.now_ms, 0, order), "one at a time");
    pair.run(100);
    let now_ms = pair.now_ms;
    let request = pair.board().gate.poll_start(now_ms).unwrap();
    assert_eq!((request.vend, request.lane, request.label.authority), (number(4), order.lane, 9));
    pair.run(500);
    assert_eq!(pair.events, []);
    pair.board().gate.finish(number(4), sold());
    pair.run(500);
    let end = VendEnd { vend: number(4), outcome: sold().outcome, evidence: sold().evidence };
    assert_eq!(pair.events, [VendEvent::Ended(end), VendEvent::Over(number(4))]);
    let now_ms = pair.now_ms;
    assert_eq!(pair.link().status(now_ms).unwrap().last, None);
    assert_eq!(pair.readiness(), Ok(()));
}

#[test]
fn nothing_of_a_vend_waits_for_the_next_poll_but_its_end() {
    for phase in 0..POLL_IDLE_MS {
        let mut pair = Pair::ready();
        pair.run(phase);
        pair.start(4);
        pair.run(1);
        let now_ms = pair.now_ms;
        assert!(pair.board().gate.poll_start(now_ms).is_some(), "{phase}");
        pair.board().gate.finish(number(4), sold());
        pair.run(POLL_VENDING_MS + 2);
        assert_eq!(pair.events.len(), 2, "{phase}: {:?}", pair.events);
    }
}

#[test]
fn what_a_refusal_means_for_the_line() {
    let cases = [
        (Refusal::LANE, Outcome::not_started(Reason::LANE)),
        (Refusal::DISABLED, Outcome::not_started(Reason::LANE)),
        (Refusal::TASK, Outcome::not_started(Reason::REFUSED)),
        (Refusal(250), Outcome::not_started(Reason::REFUSED)),
        (Refusal::NONCE, Outcome::unwitnessed()),
    ];
    for (refusal, outcome) in cases {
        let mut pair = Pair::ready();
        pair.board().says = Some(VendAnswer::Refused(refusal));
        pair.start(1);
        pair.run(3_000);
        assert_eq!(pair.end().outcome, outcome, "{refusal}");
        assert_eq!(pair.events.last(), Some(&VendEvent::Over(number(1))));
    }
}

#[test]
fn a_vend_waits_for_a_fresh_status_and_no_longer_than_its_deadline() {
    let mut pair = Pair::ready();
    pair.board = None;
    pair.start(1);
    pair.run(999);
    assert_eq!(pair.events, []);
    pair.run(2);
    assert_eq!(pair.end().outcome, Outcome::not_started(Reason::BOARD));

    let mut pair = Pair::ready();
    pair.board().status.door_open = true;
    pair.start(1);
    pair.run(500);
    assert_eq!(
        pair.end().outcome,
        Outcome::not_started(Reason::DOOR),
        "the status before was too old to count"
    );

    let mut pair = Pair::ready();
    let (late, now_ms) = (order(1, pair.now_ms - 1), pair.now_ms);
    assert!(pair.line.start_vend(now_ms, 0, late));
    pair.run(500);
    assert_eq!(pair.end().outcome, Outcome::not_started(Reason::EXPIRED));
    assert!(!pair.board().asked.contains(&VendRequest::KIND));
}

#[test]
fn a_silent_board_is_waited_for_as_long_as_a_vend_may_last() {
    let mut pair = Pair::ready();
    pair.start(1);
    pair.run(100);
    let now_ms = pair.now_ms;
    let request = pair.board().gate.poll_start(now_ms).unwrap();
    let mut board = pair.board.take();
    pair.run(31_500);
    assert_eq!(pair.events, []);
    pair.run(500);
    assert_eq!(pair.end().outcome.verdict(), Verdict::Unknown);
    // It comes back with the result of what was given up, and is asked to forget it.
    board.as_mut().unwrap().gate.finish(request.vend, sold());
    pair.board = board;
    pair.run(5_000);
    assert_eq!(pair.readiness(), Ok(()));
    assert_eq!(pair.events.len(), 2, "{:?}", pair.events);
}

#[test]
fn a_board_that_lost_a_running_vend_under_the_same_nonce_is_not_sent_it_again() {
    let mut pair = Pair::ready();
    pair.start(1);
    pair.run(200);
    let now_ms = pair.now_ms;
    let request = pair.board().gate.poll_start(now_ms).unwrap();
    // That should not happen: its memory is damaged, say.
    pair.board().gate = VendGate::new(CONFIG);
    pair.board().gate.open(now_ms, &OpenRequest { nonce: request.nonce, config: CONFIG });
    pair.run(1_000);
    assert_eq!(pair.end().outcome, Outcome::unwitnessed());
    assert_eq!(pair.board().gate.poll_start(now_ms), None);
}

#[test]
fn a_vend_lives_in_the_nonce_it_was_sent_under_whatever_is_journaled_meanwhile() {
    let mut pair = Pair::ready();
    pair.loses = Some(VendRequest::KIND);
    pair.start(1);
    pair.run(200);
    // An owner who does not wait to be asked for a nonce.
    pair.link().nonce_journaled(Nonce([77; 16]));
    // The first exchange is given up.
    pair.run(u64::from(SENDS) * RESEND_MS);
    pair.loses = None;
    pair.run(u64::from(SENDS) * RESEND_MS);
    let now_ms = pair.now_ms;
    let request = pair.board().gate.poll_start(now_ms).expect("it is sent again");
    assert_eq!((request.nonce, request.vend), (Nonce([1; 16]), number(1)));
    pair.board().gate.finish(number(1), sold());
    pair.run(400);
    assert_eq!(pair.end().outcome, sold().outcome);
}

#[test]
fn a_board_is_not_opened_before_the_outcome_of_its_vend_is_journaled() {
    let mut pair = Pair::ready();
    pair.journals = false;
    pair.start(1);
    pair.run(200);
    pair.board = Some(Board::new(2));
    // The journal is full for a while. After a restart now the vend would be looked for under the nonce in the journal.
    pair.run(2_000);
    assert_eq!((pair.end().outcome, pair.nonces), (Outcome::unwitnessed(), 1));
    assert!(pair.board().openings.is_empty());
    let now_ms = pair.now_ms;
    pair.line.vend_journaled(now_ms, 0);
    pair.journals = true;
    pair.run(2_000);
    assert_eq!((pair.readiness(), pair.nonces), (Ok(()), 2));
}

#[test]
fn an_abort_ends_the_vend() {
    let mut pair = Pair::ready();
    pair.start(1);
    pair.run(100);
    let now_ms = pair.now_ms;
    let request = pair.board().gate.poll_start(now_ms).unwrap();
    let abort = AbortRequest { nonce: request.nonce, vend: request.vend };
    pair.ask(&abort, |reply| format!("{:?}", reply.answer::<AbortRequest>().unwrap()));
    pair.run(100);
    assert_eq!(pair.replies, ["State(Running)"]);
    assert!(pair.board().gate.is_aborted());
    let outcome = Outcome { motor: MotorCode::ABORTED, drop: DropReport::NotSeen, ..sold().outcome };
    pair.board().gate.finish(request.vend, VendResult { outcome, ..sold() });
    pair.run(500);
    assert_eq!(pair.end().outcome, outcome);
}

#[test]
fn the_owners_requests_are_answered_or_not() {
    let mut pair = Pair::ready();
    pair.ask(&IdentifyRequest {}, |reply| format!("{}", reply.answer::<IdentifyRequest>().unwrap().lanes));
    assert_eq!(pair.line.ask(pair.now_ms, 0, &QueryRequest {}), Err(AskError::Busy));
    pair.run(100);
    pair.ask(&SelfTestRequest { task: 1 }, |reply| {
        assert_eq!(reply.answer::<SelfTestRequest>(), Err(NoAnswer::Unsupported));
        "unsupported".into()
    });
    pair.run(100);
    assert_eq!(pair.replies, ["6", "unsupported"]);
    assert_eq!(pair.line.ask(pair.now_ms, 1, &QueryRequest {}), Err(AskError::NoBoard));

    pair.board = None;
    pair.ask(&QueryRequest {}, |_| String::new());
    pair.run(u64::from(SENDS) * RESEND_MS);
    assert_eq!(pair.unanswered, 0);
    pair.run(1);
    assert_eq!(pair.unanswered, 1);
}
