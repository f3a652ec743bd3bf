use vend_protocol::{
    EnrolmentId, JournalId, List, MachineId, Nonce, PlanVersion, Text,
    machine_link::Seal,
    signed::{AcceptedBody, HelloBody, KeyListBody},
};

use super::*;
use crate::{
    keys::TrustedKeys,
    signed::{SignatureError, Signer},
};

/// The time of the key list's beginning, and of the server.
const NOW_MS: u64 = 1_800_000_000_000;

struct Parties {
    machine: Signer,
    online: Signer,
    keys: TrustedKeys,
}

fn parties() -> Parties {
    let (root, online, machine) =
        (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]), Signer::from_seed(&[3; 32]));
    let list = KeyListBody {
        version: 1,
        not_before_ms: NOW_MS,
        expires_ms: NOW_MS + 1000,
        keys: List::try_from_iter([online.public_key().to_bytes()]).unwrap(),
    };
    let root_key = root.public_key();
    let list = root.sign(&list).unwrap();
    let keys = TrustedKeys::from_root(&root_key.to_bytes(), root_key.fingerprint(), &list).unwrap();
    Parties { machine, online, keys }
}

fn number() -> MachineId {
    MachineId::new(7).unwrap()
}

fn hello(enrolment: EnrolmentId) -> HelloBody {
    HelloBody {
        machine: number(),
        enrolment,
        nonce: Nonce([5; 16]),
        ephemeral: [0; 32],
        journal: JournalId([6; 8]),
        used_seq: 3,
        last_receipt: 4,
        plan: PlanVersion::new(2).unwrap(),
        config: 1,
        key_list: 1,
        revisions: List::default(),
        frame_max: 1024,
        lines_max: 8,
        firmware: Text::truncated("test"),
    }
}

fn accepted() -> AcceptedBody {
    AcceptedBody {
        enrolment: EnrolmentId([0; 16]),
        nonce: Nonce([0; 16]),
        ephemeral: [0; 32],
        server_time_ms: NOW_MS,
        receipt_watermark: 4,
        issued_seq: 3,
        floor_seq: 0,
        plan: PlanVersion::new(2).unwrap(),
        config: 1,
        key_list: 1,
        keepalive_s: 60,
        revisions: List::default(),
        frame_max: 1024,
    }
}

#[test]
fn both_ends_agree() {
    let Parties { machine, online, keys } = parties();
    let key = machine.public_key();
    let (signed, offer) = Offer::hello([11; 32], &machine, hello(key.fingerprint()), 500).unwrap();
    let heard = VerifiedHello::verify(&signed, number(), &key).unwrap();
    let (answer, server) = heard.answer([12; 32], &online, accepted()).unwrap();
    let (body, machine) = offer.accept(&keys, &answer, 600).unwrap();
    assert_eq!(body.server_time_ms, NOW_MS);
    assert!(server.verify(b"up", &machine.seal(b"up")));
    assert!(machine.verify(b"down", &server.seal(b"down")));
    assert!(!machine.verify(b"up", &machine.seal(b"up")), "sent back");
    let _ = SignatureError::Mismatch;
}
