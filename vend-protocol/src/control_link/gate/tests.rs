use super::*;
use crate::{
    SlotId,
    control_link::{Evidence, VendLabel, VendLimits},
};

const CONFIG: ConfigHash = ConfigHash([0; 8]);

fn nonce(number: u8) -> Nonce {
    Nonce([number; 16])
}

fn request(number: u8, vend: u64) -> VendRequest {
    VendRequest {
        nonce: nonce(number),
        vend: VendId::new(vend).unwrap(),
        config: CONFIG,
        lane: SlotId::new(3).unwrap(),
        limits: VendLimits::default(),
        label: VendLabel { authority: 1, line: 0 },
    }
}

fn opened(gate: &mut VendGate, number: u8) -> Option<Refusal> {
    gate.open(0, &OpenRequest { nonce: nonce(number), config: CONFIG }).refused
}

fn sold() -> VendResult {
    let outcome =
        Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };
    VendResult { outcome, evidence: Evidence::default() }
}

const RUNNING: VendAnswer = VendAnswer::State(VendState::Running);

fn refused(refusal: Refusal) -> VendAnswer {
    VendAnswer::Refused(refusal)
}

fn gate() -> VendGate {
    let mut gate = VendGate::new(CONFIG);
    assert_eq!(opened(&mut gate, 1), None);
    gate
}

#[test]
fn a_number_starts_once_whatever_is_repeated() {
    let mut gate = gate();
    let vend = request(1, 5);
    assert_eq!(gate.vend(0, &vend, |_| Ok(())), RUNNING);
    assert_eq!(gate.vend(0, &vend, |_| Err(Refusal::LANE)), RUNNING, "a repeat asks nobody");
    assert_eq!(gate.poll_start(1), Some(vend));
    assert_eq!((gate.vend(2, &vend, |_| Ok(())), gate.poll_start(2)), (RUNNING, None));
    gate.finish(vend.vend, sold());
    let done = VendAnswer::State(VendState::Done(sold()));
    assert_eq!((gate.vend(3, &vend, |_| Ok(())), gate.poll_start(3)), (done, None));
    assert_eq!(gate.vend(3, &request(1, 6), |_| Ok(())), refused(Refusal::RESULT_KEPT));
    let forget = ForgetRequest { nonce: vend.nonce, vend: vend.vend };
    for _ in 0..2 {
        assert_eq!(gate.forget(4, &forget).refused, None);
    }
    assert_eq!(gate.vend(5, &vend, |_| Ok(())), refused(Refusal::OLD_VEND));
    assert_eq!(gate.vend(5, &request(1, 4), |_| Ok(())), refused(Refusal::OLD_VEND));
    assert_eq!(gate.vend(5, &request(1, 6), |_| Ok(())), RUNNING);
}

#[test]
fn a_repeated_opening_does_not_lower_the_mark() {
    let mut gate = gate();
    assert_eq!(gate.vend(0, &request(1, 5), |_| Ok(())), RUNNING);
    assert_eq!(opened(&mut gate, 1), None, "also while a vend runs");
    assert_eq!(opened(&mut gate, 2), Some(Refusal::RUNNING));
    assert_eq!(gate.poll_start(0), Some(request(1, 5)));
    gate.finish(request(1, 5).vend, sold());
    let forget = ForgetRequest { nonce: nonce(1), vend: request(1, 5).vend };
    gate.forget(0, &forget);
    assert_eq!(opened(&mut gate, 1), None);
    assert_eq!(gate.vend(0, &request(1, 5), |_| Ok(())), refused(Refusal::OLD_VEND));
}

#[test]
fn a_nonce_that_was_left_does_not_come_back() {
    let mut gate = gate();
    for number in 2..=9 {
        assert_eq!(opened(&mut gate, number), None);
        for left in 1..number {
            assert_eq!(opened(&mut gate, left), Some(Refusal::NONCE));
        }
    }
    assert_eq!(gate.vend(0, &request(1, 1), |_| Ok(())), refused(Refusal::NONCE));
}

#[test]
fn a_result_outlives_an_opening_under_its_own_nonce() {
    let mut gate = gate();
    let vend = request(1, 5);
    assert_eq!(gate.vend(0, &vend, |_| Ok(())), RUNNING);
    assert_eq!(gate.poll_start(0), Some(vend));
    gate.finish(vend.vend, sold());
    assert_eq!(opened(&mut gate, 2), None);
    assert_eq!(gate.last().map(|last| last.nonce), Some(nonce(1)));
    // The same number under the new nonce is another vend.
    assert_eq!(gate.vend(0, &request(2, 5), |_| Ok(())), refused(Refusal::RESULT_KEPT));
    let other = ForgetRequest { nonce: nonce(2), vend: vend.vend };
    assert_eq!(gate.forget(0, &other).refused, Some(Refusal::OTHER_VEND));
    assert_eq!(gate.forget(0, &ForgetRequest { nonce: nonce(1), ..other }).refused, None);
    assert_eq!(gate.vend(0, &request(2, 5), |_| Ok(())), RUNNING);
}

#[test]
fn a_vend_that_nobody_begins_is_never_begun() {
    let mut gate = gate();
    assert_eq!(gate.vend(0, &request(1, 5), |_| Ok(())), RUNNING);
    assert_eq!(gate.poll_start(BEGIN_WITHIN_MS), None);
    let Some(LastVend { state: VendState::Done(result), .. }) = gate.last() else { panic!("not done") };
    assert_eq!(result.outcome, Outcome::not_started(Reason::REFUSED));
}

#[test]
fn an_abort_ends_what_runs_and_forbids_what_waits() {
    let mut gate = gate();
    let abort = AbortRequest { nonce: nonce(1), vend: request(1, 5).vend };
    assert_eq!(gate.abort(0, &abort), refused(Refusal::OTHER_VEND));
    assert_eq!(gate.vend(0, &request(1, 5), |_| Ok(())), RUNNING);
    let VendAnswer::State(VendState::Done(result)) = gate.abort(0, &abort) else { panic!("not done") };
    assert_eq!(result.outcome.verdict(), crate::Verdict::NotAttempted);
    assert_eq!(gate.poll_start(0), None);
    gate.forget(0, &ForgetRequest { nonce: nonce(1), vend: abort.vend });

    assert_eq!(gate.vend(0, &request(1, 6), |_| Ok(())), RUNNING);
    let abort = AbortRequest { vend: request(1, 6).vend, ..abort };
    assert_eq!(gate.poll_start(0), Some(request(1, 6)));
    assert!(!gate.is_aborted());
    assert_eq!(gate.abort(0, &abort), RUNNING);
    assert!(gate.is_aborted());
    gate.finish(abort.vend, sold());
    assert!(!gate.is_aborted());
    assert_eq!(gate.abort(0, &abort), VendAnswer::State(VendState::Done(sold())));
}

#[test]
fn what_a_vend_must_agree_with() {
    let mut gate = VendGate::new(CONFIG);
    assert_eq!(gate.vend(0, &request(1, 1), |_| Ok(())), refused(Refusal::NONCE));
    let other = OpenRequest { nonce: nonce(1), config: ConfigHash([9; 8]) };
    assert_eq!(gate.open(0, &other).refused, Some(Refusal::CONFIG));
    assert_eq!(opened(&mut gate, 1), None);
    let other = VendRequest { config: ConfigHash([9; 8]), ..request(1, 1) };
    assert_eq!(gate.vend(0, &other, |_| Ok(())), refused(Refusal::CONFIG));
    assert_eq!(gate.vend(0, &request(1, 1), |_| Err(Refusal::LANE)), refused(Refusal::LANE));
    assert_eq!(gate.vend(0, &request(1, 1), |_| Ok(())), RUNNING, "a refused number is not used up");
    let other = VendRequest { lane: SlotId::new(4).unwrap(), ..request(1, 1) };
    assert_eq!(gate.vend(0, &other, |_| Ok(())), refused(Refusal::OLD_VEND), "another lane is no repeat");
    assert_eq!(gate.reconfigure(ConfigHash([9; 8])), Err(Refusal::RUNNING));
}
