//! Boards that break one rule each: the simulator must notice every one of them.

use crate::single;

/// The rule that is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Broken {
    #[default]
    Nothing,
    /// The control board starts whenever it answers a vend with a state.
    RepeatStarts,
    /// The control board is still open after it lost its power.
    NonceOutlivesPower,
    /// The main board opens anew after a restart, instead of asking what became of its vend.
    OpensInDoubt,
    /// The main board sends the vend of an open sale again after a restart, once the board is ready.
    ResendsAfterRestart,
    /// The same, under a new number.
    NewNumberAfterRestart,
    /// The main board lets the result be forgotten before it is journaled.
    ForgetsFirst,
}

/// Meets every single fault under the broken rule, and expects this violation among what comes of it.
fn is_caught(broken: Broken, violation: &str) {
    let totals = single::singles(2, broken);
    let such = totals.failed.iter().filter(|failed| failed.contains(violation)).count();
    println!("{broken:?}: {} of {} runs fail, {such} of them: {violation}", totals.failed.len(), totals.runs);
    assert!(such > 0, "{broken:?} went unnoticed");
}

const TWICE: &str = "started twice";

#[test]
fn a_board_that_starts_on_a_repeat_is_caught() {
    is_caught(Broken::RepeatStarts, TWICE);
}

#[test]
fn a_board_that_is_open_after_a_reset_is_caught() {
    is_caught(Broken::NonceOutlivesPower, TWICE);
}

#[test]
fn a_main_board_that_opens_where_it_should_ask_is_caught() {
    is_caught(Broken::OpensInDoubt, TWICE);
}

#[test]
fn a_main_board_that_sends_again_after_a_restart_is_caught() {
    is_caught(Broken::ResendsAfterRestart, TWICE);
}

#[test]
fn a_main_board_that_gives_a_sale_another_number_is_caught() {
    is_caught(Broken::NewNumberAfterRestart, TWICE);
}

#[test]
fn a_main_board_that_lets_a_result_be_forgotten_too_early_is_caught() {
    is_caught(Broken::ForgetsFirst, "was not attempted, and the motor started");
}
