//! The rules of `docs/spec/wire.md`, one by one: a session, a sale, what goes first, and peers of other versions or with another
//! past.

mod flow;
mod history;
mod sale;
mod session;

use vend_protocol::{
    AuthSeq, Currency, EnrolmentId, List, Nonce, OrderId, PlanVersion, ProductId, SlotId,
    signed::{AcceptedBody, AuthorizationBody, AuthorizedLine},
};

/// An *accepted* for sessions that are joined by hand.
fn accepted_body() -> AcceptedBody {
    AcceptedBody {
        enrolment: EnrolmentId([1; 16]),
        nonce: Nonce([2; 16]),
        ephemeral: [0; 32],
        server_time_ms: 1_000_000,
        receipt_watermark: 0,
        issued_seq: 0,
        floor_seq: 0,
        plan: PlanVersion::new(0).unwrap(),
        config: 0,
        key_list: 1,
        keepalive_s: 60,
        revisions: List::default(),
        frame_max: 1024,
    }
}

/// An authorization of one line, written by hand.
fn authorization_body(enrolment: EnrolmentId, seq: u64, deadline_ms: u64) -> AuthorizationBody {
    let line = AuthorizedLine {
        slot: SlotId::new(11).unwrap(),
        product: ProductId::new(100).unwrap(),
        price_minor: 350,
    };
    AuthorizationBody {
        enrolment,
        seq: AuthSeq::new(seq).unwrap(),
        order: OrderId::new(1).unwrap(),
        plan: PlanVersion::new(1).unwrap(),
        deadline_ms,
        currency: Currency::new(156).unwrap(),
        lines: List::try_from_iter([line]).unwrap(),
    }
}
