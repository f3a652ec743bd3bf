//! The books of made-up recordings.

use vend_payments::{
    session::{SessionKeys, SessionSeal},
    signed::Signer,
};
use vend_protocol::{
    AuthSeq, ConfigHash, Currency, EnrolmentId, List, Nonce, OrderId, PlanVersion, ProductId, SlotId, VendId,
    control_link::{VendLabel, VendLimits, VendRequest},
    frame,
    machine_link::{Authorization, Channel, End, kind},
    signed::{AuthorizationBody, AuthorizedLine, Revision},
};

use super::*;
use crate::record::hex;

fn line(price: u64, fell: bool) -> BookLine {
    BookLine { price, end: LineEnd::Lost, fell, runs: 1, items: 1, unknown: false, pay_to_motor_ms: None }
}

fn ends(lines: &[(u64, bool)], refunded: u64, ended: bool) -> Vec<LineEnd> {
    let mut lines: Vec<_> = lines.iter().map(|(price, fell)| line(*price, *fell)).collect();
    assign(&mut lines, refunded, ended);
    lines.iter().map(|line| line.end).collect()
}

#[test]
fn money_that_went_back_belongs_first_to_what_did_not_fall() {
    use LineEnd::{Delivered, Lost, Pending, Refunded};
    assert_eq!(ends(&[(200, true), (300, false)], 300, true), [Delivered, Refunded]);
    assert_eq!(ends(&[(300, true), (300, false)], 300, true), [Delivered, Refunded]);
    assert_eq!(ends(&[(300, true)], 300, true), [Refunded], "given away");
    assert_eq!(ends(&[(350, true), (350, true), (550, true)], 550, true), [Delivered, Delivered, Refunded]);
    assert_eq!(ends(&[(200, false), (300, false), (500, false)], 500, true), [Refunded, Refunded, Lost]);
    assert_eq!(ends(&[(300, false)], 0, true), [Lost]);
    assert_eq!(ends(&[(300, true)], 0, false), [Pending]);
}

/// A recording of one machine: an authorization for slot 5, a vend request and a run, each with what differs.
fn recording(requested: u64, label_line: u8, deadline_ms: u64) -> (Vec<Record>, PublicKey) {
    let signer = Signer::from_seed(&[1; 32]);
    let number = |n: u64| SlotId::new(n).unwrap();
    let line = AuthorizedLine { slot: number(5), product: ProductId::new(1).unwrap(), price_minor: 200 };
    let body = AuthorizationBody {
        enrolment: EnrolmentId([1; 16]),
        seq: AuthSeq::new(1).unwrap(),
        order: OrderId::new(7).unwrap(),
        plan: PlanVersion::new(1).unwrap(),
        deadline_ms,
        currency: Currency::CNY,
        lines: List::try_from_iter([line]).unwrap(),
    };
    let mut out = [0; 512];
    // Sealed, as it is on the line, with keys that the observer does not have.
    let mut channel = Channel::new(End::Server, 0, 0);
    let listed = Revision { kind: kind::AUTHORIZATION, revision: 1 };
    let keys = SessionKeys::new([7; 32], [8; 32]);
    channel.open(SessionSeal::new(End::Server, keys), List::try_from_iter([listed]).unwrap());
    let len = channel.send(&Authorization(signer.sign(&body).unwrap()), &mut out).unwrap();
    let down = hex(&out[..len]);
    let request = VendRequest {
        nonce: Nonce([0; 16]),
        vend: VendId::new(1).unwrap(),
        config: ConfigHash([0; 8]),
        lane: number(requested),
        limits: VendLimits::default(),
        label: VendLabel { authority: 1, line: label_line },
    };
    let len = frame::write(1, 1, &request, &mut out).unwrap();
    let lane = requested - 1;
    let seen = [
        Seen::Down { frame: down },
        Seen::Control { to_control: true, frame: hex(&out[..len]) },
        Seen::Plant { event: format!("1 run-started run=1 lane={lane} angle=0 fault=- stop=-") },
    ];
    (seen.map(|seen| Record { at_ms: 1_000_000, seen }).to_vec(), signer.public_key())
}

fn violations(requested: u64, label_line: u8, deadline_ms: u64) -> Vec<String> {
    let (records, key) = recording(requested, label_line, deadline_ms);
    MachineStory::read(&records, &key).violations
}

#[test]
fn a_run_counts_only_for_a_line_that_the_signed_authorization_names() {
    assert_eq!(violations(5, 0, 2_000_000), Vec::<String>::new());
    assert_eq!(violations(3, 0, 2_000_000), ["run 1 of lane 2 without an authorized line"]);
    assert_eq!(violations(5, 7, 2_000_000), ["run 1 of lane 4 without an authorized line"]);
    assert_eq!(violations(5, 0, 900_000), ["run 1 of lane 4 after the deadline"]);
    let (records, _) = recording(5, 0, 2_000_000);
    let story = MachineStory::read(&records, &Signer::from_seed(&[2; 32]).public_key());
    assert_eq!(
        story.violations.len(),
        1,
        "an authorization that the server's key did not sign allows nothing"
    );
}

#[test]
fn a_motor_for_an_order_that_nobody_paid_is_a_violation() {
    let (records, online_key) = recording(5, 0, 2_000_000);
    let sources = Sources {
        ledger: Vec::new(),
        customers: Vec::new(),
        machines: vec![records],
        orders: Vec::new(),
        online_key,
    };
    assert_eq!(keep(&sources).violations, ["order 7 line 0: a motor ran and nobody had paid"]);
}

#[test]
fn an_attempt_names_its_order() {
    assert_eq!(order_of("V12_1_0badcafe"), Some(12));
    assert_eq!(order_of("X12"), None);
}
