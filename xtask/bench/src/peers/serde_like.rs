//! The encodings of Rust types: `serde_json`, `minicbor`, `bincode` and bare `postcard`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use vend_protocol::machine_link::kind;

use super::{
    natural::{Acknowledgement, Authorization, Hello, Receipt, Signed, Telemetry},
    octets::{Octets, Octets8, Octets64},
};
use crate::{
    contest::{Entry, framed},
    samples::Samples,
};

/// What every message can do.
trait Wire:
    Serialize
    + DeserializeOwned
    + bincode::Encode
    + bincode::Decode<()>
    + minicbor::Encode<()>
    + for<'b> minicbor::Decode<'b, ()>
    + PartialEq
    + Clone
    + 'static
{
}

impl<T> Wire for T where
    T: Serialize
        + DeserializeOwned
        + bincode::Encode
        + bincode::Decode<()>
        + minicbor::Encode<()>
        + for<'b> minicbor::Decode<'b, ()>
        + PartialEq
        + Clone
        + 'static
{
}

/// An encoding.
trait Codec: 'static {
    const WHO: &'static str;

    /// Writes and gives the length.
    fn write<T: Wire>(value: &T, out: &mut [u8]) -> usize;

    /// Writes into a vector, for the body of an envelope.
    fn to_vec<T: Wire>(value: &T) -> Vec<u8>;

    fn read<T: Wire>(bytes: &[u8]) -> T;
}

struct Postcard;

impl Codec for Postcard {
    const WHO: &'static str = "postcard";

    fn write<T: Wire>(value: &T, out: &mut [u8]) -> usize {
        postcard::to_slice(value, out).unwrap().len()
    }

    fn to_vec<T: Wire>(value: &T) -> Vec<u8> {
        postcard::to_allocvec(value).unwrap()
    }

    fn read<T: Wire>(bytes: &[u8]) -> T {
        postcard::from_bytes(bytes).unwrap()
    }
}

struct Bincode;

impl Codec for Bincode {
    const WHO: &'static str = "bincode";

    fn write<T: Wire>(value: &T, out: &mut [u8]) -> usize {
        bincode::encode_into_slice(value, out, bincode::config::standard()).unwrap()
    }

    fn to_vec<T: Wire>(value: &T) -> Vec<u8> {
        bincode::encode_to_vec(value, bincode::config::standard()).unwrap()
    }

    fn read<T: Wire>(bytes: &[u8]) -> T {
        bincode::decode_from_slice(bytes, bincode::config::standard()).unwrap().0
    }
}

struct Minicbor;

impl Codec for Minicbor {
    const WHO: &'static str = "minicbor";

    fn write<T: Wire>(value: &T, out: &mut [u8]) -> usize {
        let room = out.len();
        let mut rest = out;
        minicbor::encode(value, &mut rest).unwrap();
        room - rest.len()
    }

    fn to_vec<T: Wire>(value: &T) -> Vec<u8> {
        minicbor::to_vec(value).unwrap()
    }

    fn read<T: Wire>(bytes: &[u8]) -> T {
        minicbor::decode(bytes).unwrap()
    }
}

pub(crate) fn postcard(samples: &Samples) -> Vec<Entry> {
    entries::<Postcard>(samples)
}

pub(crate) fn bincode(samples: &Samples) -> Vec<Entry> {
    entries::<Bincode>(samples)
}

pub(crate) fn minicbor(samples: &Samples) -> Vec<Entry> {
    entries::<Minicbor>(samples)
}

fn entries<C: Codec>(samples: &Samples) -> Vec<Entry> {
    vec![
        signed::<C, _>("receipt", kind::RECEIPT, samples, Receipt::from(&samples.receipt)),
        signed::<C, _>(
            "authorization",
            kind::AUTHORIZATION,
            samples,
            Authorization::from(&samples.authorization),
        ),
        signed::<C, _>("hello", kind::HELLO, samples, Hello::from(&samples.hello)),
        plain::<C, _>("telemetry", kind::TELEMETRY, Telemetry::from(&samples.telemetry)),
        plain::<C, _>(
            "acknowledgement",
            kind::ACKNOWLEDGEMENT,
            Acknowledgement::from(&samples.acknowledgement),
        ),
    ]
}

fn signed<C: Codec, B: Wire>(case: &'static str, kind: u8, samples: &Samples, body: B) -> Entry {
    let (key_id, signature) = (Octets8(samples.key_id.0), Octets64(samples.signature.to_bytes()));
    let sample = body.clone();
    Entry {
        case,
        who: C::WHO,
        signature_bytes: 64,
        write: Box::new(move |out| {
            let signed = Signed { key_id, body: Octets(C::to_vec(&body)), signature };
            framed(kind, out, |out| C::write(&signed, out))
        }),
        read: Box::new(move |frame, compare| {
            let signed: Signed = C::read(frame.payload);
            let body: B = C::read(&signed.body.0);
            compare.finish(&(signed.key_id, signed.signature), &(key_id, signature))
                && compare.finish(&body, &sample)
        }),
    }
}

fn plain<C: Codec, M: Wire>(case: &'static str, kind: u8, message: M) -> Entry {
    let sample = message.clone();
    Entry {
        case,
        who: C::WHO,
        signature_bytes: 0,
        write: Box::new(move |out| framed(kind, out, |out| C::write(&message, out))),
        read: Box::new(move |frame, compare| compare.finish(&C::read::<M>(frame.payload), &sample)),
    }
}

/// JSON's envelope: the body stands in it as an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SignedJson<B> {
    key_id: Octets8,
    body: B,
    signature: Octets64,
}

/// Characters of a signature in base64url without padding.
const SIGNATURE_CHARS: usize = 86;

pub(crate) fn json(samples: &Samples) -> Vec<Entry> {
    fn signed<B: Wire>(case: &'static str, kind: u8, samples: &Samples, body: B) -> Entry {
        let key_id = Octets8(samples.key_id.0);
        let message = SignedJson { key_id, body, signature: Octets64(samples.signature.to_bytes()) };
        json_entry(case, kind, SIGNATURE_CHARS, message)
    }

    vec![
        signed("receipt", kind::RECEIPT, samples, Receipt::from(&samples.receipt)),
        signed("authorization", kind::AUTHORIZATION, samples, Authorization::from(&samples.authorization)),
        signed("hello", kind::HELLO, samples, Hello::from(&samples.hello)),
        json_entry("telemetry", kind::TELEMETRY, 0, Telemetry::from(&samples.telemetry)),
        json_entry(
            "acknowledgement",
            kind::ACKNOWLEDGEMENT,
            0,
            Acknowledgement::from(&samples.acknowledgement),
        ),
    ]
}

fn json_entry<M>(case: &'static str, kind: u8, signature_bytes: usize, message: M) -> Entry
where
    M: Serialize + DeserializeOwned + PartialEq + Clone + 'static,
{
    let sample = message.clone();
    Entry {
        case,
        who: "serde_json",
        signature_bytes,
        write: Box::new(move |out| {
            framed(kind, out, |out| {
                let room = out.len();
                let mut rest = out;
                serde_json::to_writer(&mut rest, &message).unwrap();
                room - rest.len()
            })
        }),
        read: Box::new(move |frame, compare| {
            compare.finish(&serde_json::from_slice::<M>(frame.payload).unwrap(), &sample)
        }),
    }
}
