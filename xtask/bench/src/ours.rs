//! Our own contestant: what a machine or server does, without the cryptography.

use serde::{Serialize, de::DeserializeOwned};
use vend_protocol::{
    Full, codec,
    frame::{self, CRC_LEN, HEADER_LEN, Message},
    machine_link::{Authorization, Hello, MAC_LEN, Receipt},
    signed::Signed,
};

use crate::{
    contest::Entry,
    samples::{Body, Samples},
};

const WHO: &str = "ours";

/// What our frame adds to a message of an open session.
pub(crate) const fn frame_bytes() -> usize {
    HEADER_LEN + MAC_LEN + CRC_LEN
}

/// All five.
pub(crate) fn entries(samples: &Samples) -> Vec<Entry> {
    vec![
        signed("receipt", samples, samples.receipt.clone(), Receipt, |message| message.0),
        signed("authorization", samples, samples.authorization.clone(), Authorization, |message| message.0),
        signed("hello", samples, samples.hello.clone(), Hello, |message| message.0),
        plain("telemetry", samples.telemetry.clone()),
        plain("acknowledgement", samples.acknowledgement),
    ]
}

fn signed<B, M>(
    case: &'static str,
    samples: &Samples,
    body: B,
    message: fn(Signed) -> M,
    envelope: fn(M) -> Signed,
) -> Entry
where
    B: Serialize + DeserializeOwned + PartialEq + Clone + 'static,
    M: Message + 'static,
{
    let (key_id, signature) = (samples.key_id, samples.signature);
    let sample = body.clone();
    Entry {
        case,
        who: WHO,
        signature_bytes: 64,
        write: Box::new(move |out| {
            let body = Body::fill(|out| codec::encode(&body, out).map_err(|_| Full)).unwrap();
            frame::write(0, 1, &message(Signed { key_id, body, signature }), out).unwrap()
        }),
        read: Box::new(move |frame, compare| {
            let signed = envelope(frame.decode::<M>().unwrap());
            let body = codec::decode::<B>(&signed.body).unwrap();
            compare.finish(&(signed.key_id, signed.signature), &(key_id, signature))
                && compare.finish(&body, &sample)
        }),
    }
}

fn plain<M: Message + PartialEq + Clone + 'static>(case: &'static str, message: M) -> Entry {
    let sample = message.clone();
    Entry {
        case,
        who: WHO,
        signature_bytes: 0,
        write: Box::new(move |out| frame::write(0, 1, &message, out).unwrap()),
        read: Box::new(move |frame, compare| compare.finish(&frame.decode::<M>().unwrap(), &sample)),
    }
}
