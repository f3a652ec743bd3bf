//! The rules of `docs/spec/wire.md`, one by one: a session, a sale, what goes first, and peers of other versions or with another
//! past.

mod flow;
mod history;
mod sale;
mod session;

use vend_protocol::{EnrolmentId, List, Nonce, PlanVersion, signed::AcceptedBody};

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
