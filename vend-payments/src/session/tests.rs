use core::mem::{needs_drop, size_of};

use vend_protocol::{
    Bytes, EnrolmentId, JournalId, List, MachineId, Nonce, PlanVersion, Text, codec, hex_array,
    machine_link::{End, HELLO_ROUND_TRIP_MAX_MS, MAC_LEN, Seal},
    signed::{AcceptedBody, HelloBody, KeyListBody, Signed},
};
use zeroize::ZeroizeOnDrop;

use super::{
    agreement::{Half, HelloHash},
    *,
};
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

/// A hello at 500 ms, its offer, and the server's answer.
fn exchange(parties: &Parties) -> (Signed, Offer, Signed, SessionSeal) {
    let key = parties.machine.public_key();
    let (signed, offer) = Offer::hello([11; 32], &parties.machine, hello(key.fingerprint()), 500).unwrap();
    let heard = VerifiedHello::verify(&signed, number(), &key).unwrap();
    let (answer, server) = heard.answer([12; 32], &parties.online, accepted()).unwrap();
    (signed, offer, answer, server)
}

/// Every message that differs from this one in one bit of its body.
fn flipped(signed: &Signed) -> impl Iterator<Item = Signed> + '_ {
    (0..signed.body.len() * 8).map(|bit| {
        let body = Bytes::fill(|bytes| {
            bytes[..signed.body.len()].copy_from_slice(&signed.body);
            bytes[bit / 8] ^= 1 << (bit % 8);
            Ok::<_, vend_protocol::Full>(signed.body.len())
        });
        Signed { body: body.unwrap(), ..signed.clone() }
    })
}

#[test]
fn both_ends_agree_and_a_message_sent_back_is_a_forgery() {
    let parties = parties();
    let (_, offer, answer, server) = exchange(&parties);
    let (body, machine) = offer.accept(&parties.keys, &answer, 600).unwrap();
    assert_eq!((body.server_time_ms, body.nonce), (NOW_MS, Nonce([5; 16])));
    assert!(server.verify(b"up", &machine.seal(b"up")));
    assert!(machine.verify(b"down", &server.seal(b"down")));
    assert!(!machine.verify(b"up", &machine.seal(b"up")));
    assert!(!server.verify(b"down", &server.seal(b"down")));
}

#[test]
fn a_code_fits_one_message_only() {
    let [machine, server] =
        [End::Machine, End::Server].map(|end| SessionSeal::new(end, SessionKeys::new([1; 32], [2; 32])));
    // Kind 3, revision 1, message 2 of the machine.
    let message = [1, 3, 1, 2, 0, 0, 0, 18];
    let code = machine.seal(&message);
    assert!(server.verify(&message, &code));
    for bit in 0..message.len() * 8 {
        let mut other = message;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!server.verify(&other, &code), "bit {bit} of the message, the counter among them");
    }
    for bit in 0..MAC_LEN * 8 {
        let mut other = code;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!server.verify(&message, &other), "bit {bit} of the code");
    }
    assert!(!server.verify(&message[..7], &code));
}

#[test]
fn what_is_altered_on_the_way_is_refused_by_its_signature() {
    let parties = parties();
    let key = parties.machine.public_key();
    let (hello, _, answer, _) = exchange(&parties);
    for altered in flipped(&hello) {
        let refused = VerifiedHello::verify(&altered, number(), &key).unwrap_err();
        assert_eq!(refused, SignatureError::Forged);
    }
    for altered in flipped(&answer) {
        let (_, offer, ..) = exchange(&parties);
        let refused = offer.accept(&parties.keys, &altered, 600).unwrap_err();
        assert_eq!(refused, SignatureError::Forged.into());
    }
}

/// The keys bind both bodies by themselves: even with a stolen signing key nobody can have the ends agree on something else
/// than what each of them signed.
#[test]
fn any_other_bit_in_either_body_gives_other_keys() {
    let parties = parties();
    let (hello, _, answer, server) = exchange(&parties);
    let theirs = codec::decode::<AcceptedBody>(&answer.body).unwrap().ephemeral;
    let agrees = |theirs, hello: &Signed, answer: &Signed| {
        let keys = Half::from_random([11; 32]).agree(theirs, &HelloHash::of(hello), answer);
        keys.is_some_and(|keys| server.verify(b"up", &SessionSeal::new(End::Machine, keys).seal(b"up")))
    };
    assert!(agrees(theirs, &hello, &answer));
    for altered in flipped(&hello) {
        assert!(!agrees(theirs, &altered, &answer));
    }
    for altered in flipped(&answer) {
        // The ephemeral key that the altered body carries, top bit and all, which X25519 does not look at.
        let theirs = codec::decode::<AcceptedBody>(&altered.body).map_or(theirs, |body| body.ephemeral);
        assert!(!agrees(theirs, &hello, &altered));
    }
    let mut other = theirs;
    other[0] ^= 1;
    assert!(!agrees(other, &hello, &answer), "an ephemeral key that was exchanged");
}

#[test]
fn an_answer_counts_only_for_this_hello_in_time_and_under_the_list() {
    let parties = parties();
    let enrolment = parties.machine.public_key().fingerprint();
    let good = AcceptedBody { enrolment, nonce: Nonce([5; 16]), ephemeral: [9; 32], ..accepted() };
    let judge = |signer: &Signer, body: &AcceptedBody, now_ms| {
        let (_, offer, ..) = exchange(&parties);
        let refused = offer.accept(&parties.keys, &signer.sign(body).unwrap(), now_ms);
        refused.map(|(body, _)| body)
    };
    let online = &parties.online;
    assert_eq!(judge(online, &good, 500 + HELLO_ROUND_TRIP_MAX_MS).as_ref(), Ok(&good));
    assert_eq!(judge(online, &good, 501 + HELLO_ROUND_TRIP_MAX_MS), Err(SessionRefused::Late));
    assert_eq!(judge(&parties.machine, &good, 600), Err(SignatureError::UnknownKey.into()));
    let mismatch = Err(SignatureError::Mismatch.into());
    let other = AcceptedBody { enrolment: EnrolmentId([1; 16]), ..good.clone() };
    assert_eq!(judge(online, &other, 600), mismatch, "another machine's");
    assert_eq!(judge(online, &AcceptedBody { nonce: Nonce([6; 16]), ..good.clone() }, 600), mismatch);
    for server_time_ms in [NOW_MS - 1, NOW_MS + 1000] {
        let other = AcceptedBody { server_time_ms, ..good.clone() };
        assert_eq!(judge(online, &other, 600), Err(SignatureError::KeyListTime.into()));
    }
}

#[test]
fn a_hello_speaks_for_its_own_key_and_number_only() {
    let parties = parties();
    let key = parties.machine.public_key();
    let verify = |body: &HelloBody| {
        VerifiedHello::verify(&parties.machine.sign(body).unwrap(), number(), &key)
            .map(|heard| heard.body().clone())
    };
    let good = hello(key.fingerprint());
    assert_eq!(verify(&good).as_ref(), Ok(&good));
    let mismatch = Err(SignatureError::Mismatch);
    assert_eq!(verify(&HelloBody { machine: MachineId::new(8).unwrap(), ..good.clone() }), mismatch);
    assert_eq!(verify(&HelloBody { enrolment: EnrolmentId([1; 16]), ..good.clone() }), mismatch);
    let stranger = VerifiedHello::verify(&parties.online.sign(&good).unwrap(), number(), &key);
    assert_eq!(stranger.unwrap_err(), SignatureError::UnknownKey);
}

/// The points of small order, as numbers below 2^255: 0, 1, the two of order 8, p - 1, and p and p + 1, which are 0 and 1 again.
const WEAK: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn an_ephemeral_key_with_which_everybody_knows_the_result_is_refused() {
    let parties = parties();
    let key = parties.machine.public_key();
    for point in WEAK {
        for top in [0, 0x80] {
            let mut ephemeral: [u8; 32] = hex_array(point).unwrap();
            ephemeral[31] |= top;
            let (_, offer, ..) = exchange(&parties);
            let answer =
                AcceptedBody { enrolment: key.fingerprint(), nonce: Nonce([5; 16]), ephemeral, ..accepted() };
            let refused = offer.accept(&parties.keys, &parties.online.sign(&answer).unwrap(), 600);
            assert_eq!(refused.unwrap_err(), SessionRefused::WeakKey, "{point}");

            let weak = parties.machine.sign(&HelloBody { ephemeral, ..hello(key.fingerprint()) }).unwrap();
            let heard = VerifiedHello::verify(&weak, number(), &key).unwrap();
            let refused = heard.answer([12; 32], &parties.online, accepted()).unwrap_err();
            assert_eq!(refused, AnswerError::WeakKey, "{point}");
        }
    }
}

/// RFC 7748, section 6.1.
#[test]
fn the_curve_is_the_one_of_the_rfc() {
    let secret: [u8; 32] =
        hex_array("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a").unwrap();
    let public: [u8; 32] =
        hex_array("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a").unwrap();
    assert_eq!(Half::from_random(secret).ephemeral(), public);
    let bob: [u8; 32] =
        hex_array("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f").unwrap();
    let shared: [u8; 32] =
        hex_array("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742").unwrap();
    assert_eq!(x25519_dalek::x25519(secret, bob), shared);
}

#[test]
fn secrets_are_wiped_when_dropped_and_the_memory_is_as_documented() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<SessionKeys>();
    wiped::<x25519_dalek::StaticSecret>();
    wiped::<x25519_dalek::SharedSecret>();
    // What HMAC is made of.
    wiped::<sha2::Sha256>();
    assert!(needs_drop::<Offer>() && needs_drop::<SessionSeal>());
    assert_eq!((size_of::<SessionSeal>(), size_of::<Offer>()), (65, 104));
}

#[test]
fn no_secret_is_printed() {
    extern crate std;
    let parties = parties();
    let (_, offer, _, server) = exchange(&parties);
    let keys = SessionKeys::new([11; 32], [12; 32]);
    let text = std::format!("{offer:?} {server:?} {keys:?}");
    assert_eq!(text, "Offer(05050505050505050505050505050505, ..) SessionSeal(Server, ..) SessionKeys(..)");
}
