//! The session's keys, step by step, against `vectors/session.txt`: what is in that file is what others build from.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::{fmt::Write as _, fs, path::Path};

use hkdf::Hkdf;
use sha2::{Digest, Sha256, Sha512};
use vend_payments::{
    keys::TrustedKeys,
    session::{Offer, SessionKeys, SessionSeal, VerifiedHello},
    signed::Signer,
};
use vend_protocol::{
    AuthSeq, EnrolmentId, JournalId, List, MachineId, Nonce, PlanVersion, Text,
    frame::{self, Message},
    machine_link::{Acknowledgement, End, Seal, Taken, kind},
    signed::{AcceptedBody, HelloBody, KeyListBody, Revision, Signed},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/session.txt");
const MACHINE_SEED: [u8; 32] = [0x31; 32];
const ONLINE_SEED: [u8; 32] = [0x32; 32];
const MACHINE_SECRET: [u8; 32] = *b"the machine's 32 ephemeral bytes";
const SERVER_SECRET: [u8; 32] = *b"the server's 32 ephemeral bytes.";
const TIME_MS: u64 = 1_800_000_000_000;

fn hello(enrolment: EnrolmentId) -> HelloBody {
    let revisions = [kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT];
    HelloBody {
        machine: MachineId::new(1042).unwrap(),
        enrolment,
        nonce: Nonce(*b"a nonce of hello"),
        ephemeral: [0; 32],
        journal: JournalId(*b"journal."),
        used_seq: 17,
        last_receipt: 15,
        plan: PlanVersion::new(3).unwrap(),
        config: 2,
        key_list: 1,
        revisions: List::try_from_iter(revisions.map(|kind| Revision { kind, revision: 1 })).unwrap(),
        frame_max: 1024,
        lines_max: 8,
        firmware: Text::truncated("main 0.1.0"),
    }
}

fn accepted() -> AcceptedBody {
    let revisions = [kind::RECEIPT, kind::AMENDMENT];
    AcceptedBody {
        enrolment: EnrolmentId([0; 16]),
        nonce: Nonce([0; 16]),
        ephemeral: [0; 32],
        server_time_ms: TIME_MS,
        receipt_watermark: 14,
        issued_seq: 18,
        floor_seq: 0,
        plan: PlanVersion::new(4).unwrap(),
        config: 2,
        key_list: 1,
        keepalive_s: 60,
        revisions: List::try_from_iter(revisions.map(|kind| Revision { kind, revision: 1 })).unwrap(),
        frame_max: 1024,
    }
}

fn keys(online: &Signer) -> TrustedKeys {
    let root = Signer::from_seed(&[0x33; 32]);
    let keys = List::try_from_iter([online.public_key().to_bytes()]).unwrap();
    let list = KeyListBody { version: 1, not_before_ms: 0, expires_ms: u64::MAX, keys };
    let key = root.public_key();
    TrustedKeys::from_root(&key.to_bytes(), key.fingerprint(), &root.sign(&list).unwrap()).unwrap()
}

/// Header and payload of the second message of an end, sealed: the first one was its half of the handshake.
fn message<M: Message>(message: &M) -> Vec<u8> {
    let mut frame = [0; 256];
    let len = frame::write(1, 2, message, &mut frame).unwrap();
    frame[..len - frame::CRC_LEN].to_vec()
}

fn up_message() -> Vec<u8> {
    message(&Taken { seq: AuthSeq::new(18).unwrap() })
}

fn down_message() -> Vec<u8> {
    message(&Acknowledgement {
        journal: JournalId(*b"journal."),
        number: vend_protocol::ReceiptNo::new(15).unwrap(),
        hash: vend_protocol::ReceiptHash([0xA5; 32]),
    })
}

fn tagged_hash(tag: &[u8; 16], body: &[u8]) -> [u8; 32] {
    *Sha512::new().chain_update(tag).chain_update(body).finalize().first_chunk().unwrap()
}

/// What both ends say and hold when all goes well.
struct Agreed {
    hello: Signed,
    accepted: Signed,
    machine: SessionSeal,
    server: SessionSeal,
}

fn agree() -> Agreed {
    let (machine, online) = (Signer::from_seed(&MACHINE_SEED), Signer::from_seed(&ONLINE_SEED));
    let key = machine.public_key();
    let (hello, offer) = Offer::hello(MACHINE_SECRET, &machine, hello(key.fingerprint()), 0).unwrap();
    let heard = VerifiedHello::verify(&hello, MachineId::new(1042).unwrap(), &key).unwrap();
    let (accepted, server) = heard.answer(SERVER_SECRET, &online, accepted()).unwrap();
    let (_, machine) = offer.accept(&keys(&online), &accepted, 0).unwrap();
    Agreed { hello, accepted, machine, server }
}

/// The file's text: every input and every step, computed with the bare algorithms.
fn text(agreed: &Agreed) -> (String, SessionKeys) {
    let base = x25519_dalek::X25519_BASEPOINT_BYTES;
    let server_ephemeral = x25519_dalek::x25519(SERVER_SECRET, base);
    let shared = x25519_dalek::x25519(MACHINE_SECRET, server_ephemeral);
    let hello_hash = tagged_hash(b"vend/hello/1\0\0\0\0", &agreed.hello.body);
    let accepted_hash = tagged_hash(b"vend/accepted/1\0", &agreed.accepted.body);
    let salt = b"vend/session/1\0\0";
    let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(salt), &shared);
    let info = [hello_hash, accepted_hash].concat();
    let mut keys = [[0; 32]; 2];
    hkdf.expand(&info, keys.as_flattened_mut()).unwrap();
    let (up, down) = (up_message(), down_message());

    let mut out = String::from(HEAD);
    let mut section = |title: &str, lines: &[(&str, &[u8])]| {
        writeln!(out, "\n# {title}").unwrap();
        for (name, bytes) in lines {
            write!(out, "{name} = ").unwrap();
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")).unwrap();
            out.push('\n');
        }
    };
    section(
        "The machine: its Ed25519 seed, its ephemeral X25519 key, its signed hello.",
        &[
            ("machine_seed", &MACHINE_SEED),
            ("machine_secret", &MACHINE_SECRET),
            ("machine_ephemeral", &x25519_dalek::x25519(MACHINE_SECRET, base)),
            ("hello_body", &agreed.hello.body),
            ("hello_signature", &agreed.hello.signature.to_bytes()),
        ],
    );
    section(
        "The server: the same of its online key, and its signed answer.",
        &[
            ("server_seed", &ONLINE_SEED),
            ("server_secret", &SERVER_SECRET),
            ("server_ephemeral", &server_ephemeral),
            ("accepted_body", &agreed.accepted.body),
            ("accepted_signature", &agreed.accepted.signature.to_bytes()),
        ],
    );
    section(
        "The keys.",
        &[
            ("shared", &shared),
            ("hello_hash", &hello_hash),
            ("accepted_hash", &accepted_hash),
            ("salt", salt),
            ("prk", &prk),
            ("up", &keys[0]),
            ("down", &keys[1]),
        ],
    );
    section(
        "A message of the machine (taken, 18) and one of the server (acknowledgement): header and payload, and the code.",
        &[
            ("up_message", &up),
            ("up_code", &agreed.machine.seal(&up)),
            ("down_message", &down),
            ("down_code", &agreed.server.seal(&down)),
        ],
    );
    (out, SessionKeys::new(keys[0], keys[1]))
}

const HEAD: &str = "\
# The session of the machine link, version 1: one example with every step.
#
# shared        = X25519(machine_secret, server_ephemeral) = X25519(server_secret, machine_ephemeral)
# hello_hash    = first 32 bytes of SHA-512(tag vend/hello/1, hello_body)
# accepted_hash = first 32 bytes of SHA-512(tag vend/accepted/1, accepted_body)
# prk           = HKDF-Extract(SHA-256, salt, shared)
# up, down      = HKDF-Expand(SHA-256, prk, info = hello_hash accepted_hash, 64 bytes), each a half
# up_code       = first 16 bytes of HMAC-SHA-256(up, up_message); down_code likewise
#
# Signatures are Ed25519 over tag and body. A tag is 16 bytes: its text, then zeros. Bytes are in the order in which they
# are sent. `python3 check_session.py` beside this file computes it all again with nothing but Python.
";

#[test]
fn the_example_is_what_it_has_always_been() {
    let agreed = agree();
    let (text, keys) = text(&agreed);
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    if text != kept {
        let now = Path::new(env!("CARGO_TARGET_TMPDIR")).join("session.txt");
        fs::write(&now, text).unwrap();
        panic!(
            "the example has changed. Once released it must not; what is computed now is in {}",
            now.display()
        );
    }
    // The keys of the file are the ones both ends have: each verifies what the other sealed with them.
    let other = SessionSeal::new(End::Server, keys);
    assert!(other.verify(&up_message(), &agreed.machine.seal(&up_message())));
    assert!(agreed.machine.verify(&down_message(), &other.seal(&down_message())));
}
