//! The rules, one by one.

use super::*;
use crate::{Attempt, Evidence};

const ONE: Nonce = Nonce([1; 16]);
const TWO: Nonce = Nonce([2; 16]);
const NOW: Instant = Instant::ORIGIN;

fn command(nonce: Nonce, number: u32) -> VendCommand {
    VendCommand {
        nonce,
        vend_id: VendId(number),
        config_hash: ConfigHash([3; 8]),
        lane: LaneId::new(0),
        limits: VendLimits::default(),
    }
}

fn board() -> BoardState {
    BoardState::new(BoardConfig { config_hash: ConfigHash([3; 8]), ..BoardConfig::default() }, 4)
}

fn opened() -> BoardState {
    let mut board = board();
    board.open(NOW, ONE).unwrap();
    board
}

/// A board whose vend 5 has ended.
fn done() -> BoardState {
    let mut board = opened();
    board.start(NOW, &command(ONE, 5)).unwrap();
    run(&mut board);
    board
}

fn run(board: &mut BoardState) {
    let order = board.take_order(NOW).unwrap();
    board.finish(order.vend_id, Outcome::interrupted());
}

#[test]
fn nothing_starts_before_opening_or_under_another_nonce() {
    assert_eq!(board().start(NOW, &command(ONE, 1)), Err(StartRefused::NotOpen));
    assert_eq!(opened().start(NOW, &command(TWO, 1)), Err(StartRefused::OtherNonce));
}

#[test]
fn nothing_starts_with_another_configuration_lane_or_longer_than_allowed() {
    let other = VendCommand { config_hash: ConfigHash([4; 8]), ..command(ONE, 1) };
    assert_eq!(opened().start(NOW, &other), Err(StartRefused::OtherConfig));
    let other = VendCommand { lane: LaneId::new(4), ..command(ONE, 1) };
    assert_eq!(opened().start(NOW, &other), Err(StartRefused::NoSuchLane));
    let limits = VendLimits { return_home_ms: 30_000, ..VendLimits::default() };
    let other = VendCommand { limits, ..command(ONE, 1) };
    assert_eq!(opened().start(NOW, &other), Err(StartRefused::TooLong));
}

#[test]
fn a_refused_vend_uses_nothing_up() {
    let mut board = opened();
    let other = VendCommand { lane: LaneId::new(4), ..command(ONE, 1) };
    assert!(board.start(NOW, &other).is_err());
    assert!(board.start(NOW, &command(ONE, 1)).is_ok());
}

#[test]
fn a_vend_is_taken_once() {
    let mut board = opened();
    board.start(NOW, &command(ONE, 1)).unwrap();
    assert!(board.take_order(NOW).is_some());
    assert_eq!(board.take_order(NOW), None);
    assert!(matches!(board.start(NOW, &command(ONE, 1)), Ok(VendState::Running { .. })));
    assert_eq!(board.take_order(NOW), None);
    assert_eq!(board.start(NOW, &command(ONE, 2)), Err(StartRefused::Running));
    assert_eq!(board.forget(NOW, ONE, VendId(1)), Err(ForgetRefused::Running));
}

#[test]
fn an_equal_number_is_answered_until_forgotten_and_never_starts_again() {
    let mut board = done();
    assert!(matches!(board.start(NOW, &command(ONE, 5)), Ok(VendState::Done { vend_id: VendId(5), .. })));
    let elsewhere = VendCommand { lane: LaneId::new(1), ..command(ONE, 5) };
    assert_eq!(board.start(NOW, &elsewhere), Err(StartRefused::IdReused));
    assert_eq!(board.start(NOW, &command(ONE, 4)), Err(StartRefused::NotRising));
    board.forget(NOW, ONE, VendId(5)).unwrap();
    board.forget(NOW, ONE, VendId(5)).unwrap();
    assert_eq!(board.start(NOW, &command(ONE, 5)), Err(StartRefused::NotRising));
    assert_eq!(board.take_order(NOW), None);
}

#[test]
fn a_result_is_kept_until_it_itself_is_forgotten() {
    let mut board = done();
    assert_eq!(board.start(NOW, &command(ONE, 6)), Err(StartRefused::ResultKept));
    assert_eq!(board.forget(NOW, ONE, VendId(6)), Err(ForgetRefused::OtherVend));
    assert_eq!(board.forget(NOW, TWO, VendId(5)), Err(ForgetRefused::OtherVend));
    board.open(NOW, TWO).unwrap();
    assert!(matches!(board.poll(NOW), VendState::Done { nonce: ONE, vend_id: VendId(5), .. }));
    // The number lives in its own opening only.
    assert_eq!(board.start(NOW, &command(TWO, 5)), Err(StartRefused::ResultKept));
    board.forget(NOW, ONE, VendId(5)).unwrap();
    assert!(board.start(NOW, &command(TWO, 5)).is_ok());
}

#[test]
fn opening_again_does_not_lower_the_number() {
    let mut board = done();
    board.forget(NOW, ONE, VendId(5)).unwrap();
    board.open(NOW, ONE).unwrap();
    assert_eq!(board.start(NOW, &command(ONE, 5)), Err(StartRefused::NotRising));
}

#[test]
fn an_opening_that_was_left_does_not_come_back() {
    let mut board = opened();
    board.open(NOW, TWO).unwrap();
    assert_eq!(board.open(NOW, ONE), Err(OpenRefused::NonceUsed));
    assert_eq!(board.query(NOW).nonce, Some(TWO));
}

#[test]
fn nothing_is_opened_while_a_vend_runs() {
    let mut board = opened();
    board.start(NOW, &command(ONE, 1)).unwrap();
    assert_eq!(board.open(NOW, TWO), Err(OpenRefused::Running));
    assert!(board.open(NOW, ONE).is_ok());
    assert!(board.reconfigure(BoardConfig::default()).is_err());
}

#[test]
fn a_result_for_another_number_is_ignored() {
    let mut board = opened();
    board.start(NOW, &command(ONE, 1)).unwrap();
    board.finish(VendId(1), Outcome::interrupted());
    assert!(matches!(board.poll(NOW), VendState::Running { .. }), "it was not even taken");
    board.take_order(NOW).unwrap();
    board.finish(VendId(2), Outcome::interrupted());
    assert!(matches!(board.poll(NOW), VendState::Running { .. }));
}

#[test]
fn a_vend_that_was_not_begun_in_time_never_is() {
    let mut board = opened();
    board.start(NOW, &command(ONE, 1)).unwrap();
    let later = NOW.after_ms(BEGIN_WITHIN_MS);
    assert_eq!(board.take_order(later), None);
    let VendState::Done { outcome, .. } = board.poll(later) else { panic!("no result") };
    assert_eq!(outcome.attempt, Attempt::NotStarted(NotStarted::TooLate));
}

#[test]
fn an_early_break_belongs_to_the_vend_before() {
    let mut board = done();
    board.forget(NOW, ONE, VendId(5)).unwrap();
    board.start(NOW, &command(ONE, 6)).unwrap();
    let order = board.take_order(NOW).unwrap();
    let evidence = Evidence { early_breaks: 1, ..Evidence::EMPTY };
    board.finish(order.vend_id, Outcome { evidence, ..Outcome::interrupted() });
    let status = board.query(NOW);
    assert_eq!((status.late_drops, status.late_drop_after), (1, Some((ONE, VendId(5)))));
    board.note_late_drop();
    assert_eq!(board.query(NOW).late_drop_after, Some((ONE, VendId(6))));
}
