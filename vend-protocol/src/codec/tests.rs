use core::fmt::Debug;

use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    CodecError::{Invalid, NotCanonical, Unsupported},
    *,
};
use crate::{AuthSeq, Bytes, Currency, EnrolmentId, List, SlotId, Text, signed::Signature};

extern crate std;
use std::{format, vec::Vec};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Newtype(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Integers {
    unsigned: (u8, u16, u32, u64),
    signed: (i8, i16, i32, i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(Newtype),
    Tuple(u16, Option<bool>),
    Struct { text: Text<12>, bytes: Bytes<5>, unit: Unit },
    Nested(Option<Wire>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Wire {
    Off,
    On(u32),
}

/// Every construct of the format, one in another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct All {
    flag: bool,
    integers: Integers,
    maybe: Option<(Option<i16>,)>,
    array: [u8; 3],
    #[serde(with = "raw")]
    raw: [u8; 40],
    ids: (SlotId, AuthSeq, Currency, EnrolmentId),
    shapes: List<Shape, 3>,
    last: ((), Unit, Newtype),
}

/// Ours takes exactly what postcard reads to the end and writes back unchanged, and reads the same value.
fn agrees<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let theirs = postcard::take_from_bytes::<T>(bytes).ok().filter(|(value, rest)| {
        let mut again = [0; 512];
        rest.is_empty() && postcard::to_slice(value, &mut again).is_ok_and(|again| again == bytes)
    });
    let ours = decode::<T>(bytes);
    assert_eq!(ours.ok(), theirs.map(|(value, _)| value), "{} of {bytes:02x?}", core::any::type_name::<T>());
}

/// Reads the bytes as one type after another.
fn agrees_for_all(bytes: &[u8]) {
    macro_rules! each {
        ($($type:ty),* $(,)?) => { $(agrees::<$type>(bytes);)* };
    }
    each!((), bool, u8, u16, u32, u64, i8, i16, i32, i64, Unit, Newtype, (u8, u16), [u32; 2], [u8; 32], Raw);
    each!(Option<u8>, Option<Option<u16>>, Option<()>, Text<4>, Bytes<4>, List<u16, 2>, List<Text<3>, 2>);
    each!(SlotId, AuthSeq, Currency, EnrolmentId, Signature, Integers, Wire, Shape, List<Shape, 3>, All);
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let (mut bytes, mut theirs) = ([0; 512], [0; 512]);
    let len = encode(value, &mut bytes).unwrap();
    assert_eq!(&bytes[..len], postcard::to_slice(value, &mut theirs).unwrap(), "not postcard's bytes");
    assert_eq!(encode(value, &mut bytes[..len]), Ok(len), "it needs no more room than it takes");
    assert!(len == 0 || encode(value, &mut theirs[..len - 1]) == Err(CodecError::Full));
    bytes[..len].to_vec()
}

/// Integers of every length on the wire, alike often.
fn integer() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..u64::BITS).prop_map(|(value, shift)| value >> shift)
}

prop_compose! {
    fn integers()(u in (any::<u8>(), integer(), integer(), integer()), s in any::<(i8, i16, i32, i64)>(), shift in 0..63_u32)
        -> Integers
    {
        Integers {
            unsigned: (u.0, u16::try_from(u.1 & 0xFFFF).unwrap(), u32::try_from(u.2 & 0xFFFF_FFFF).unwrap(), u.3),
            signed: (s.0, s.1 >> (shift % 16), s.2 >> (shift % 32), s.3 >> shift),
        }
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let text = "\\PC{0,3}".prop_map(|text| Text::truncated(&text));
    let bytes =
        proptest::collection::vec(any::<u8>(), 0..=5).prop_map(|b| Bytes::try_from(b.as_slice()).unwrap());
    prop_oneof![
        Just(Shape::Unit),
        any::<u32>().prop_map(|n| Shape::Newtype(Newtype(n))),
        any::<(u16, Option<bool>)>().prop_map(|(n, flag)| Shape::Tuple(n, flag)),
        (text, bytes).prop_map(|(text, bytes)| Shape::Struct { text, bytes, unit: Unit }),
        any::<Option<Option<u32>>>().prop_map(|n| Shape::Nested(n.map(|n| n.map_or(Wire::Off, Wire::On)))),
    ]
}

prop_compose! {
    fn all()(
        flag in any::<bool>(),
        integers in integers(),
        maybe in any::<Option<(Option<i16>,)>>(),
        array in any::<[u8; 3]>(),
        raw in any::<[u8; 40]>(),
        slot in 1..=999_u64,
        seq in integer(),
        enrolment in any::<[u8; 16]>(),
        shapes in proptest::collection::vec(shape(), 0..=3),
        newtype in any::<u32>(),
    ) -> All {
        let ids = (SlotId::new(slot).unwrap(), AuthSeq::new(seq.max(1)).unwrap(), Currency::JPY, EnrolmentId(enrolment));
        let shapes = List::try_from_iter(shapes).unwrap();
        All { flag, integers, maybe, array, raw, ids, shapes, last: ((), Unit, Newtype(newtype)) }
    }
}

/// What may happen to one byte of an encoding.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    Replace(u8),
    Insert(u8),
    Remove,
    /// The integer that ends here is written one byte longer.
    Lengthen,
    CutHere,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<u8>().prop_map(Mutation::Replace),
        any::<u8>().prop_map(Mutation::Insert),
        Just(Mutation::Remove),
        Just(Mutation::Lengthen),
        Just(Mutation::CutHere),
    ]
}

fn mutate(bytes: &mut Vec<u8>, at: usize, mutation: Mutation) {
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    match mutation {
        Mutation::Replace(byte) => bytes[at] = byte,
        Mutation::Insert(byte) => bytes.insert(at, byte),
        Mutation::Remove => {
            bytes.remove(at);
        }
        Mutation::Lengthen => {
            bytes[at] |= 0x80;
            bytes.insert(at + 1, 0);
        }
        Mutation::CutHere => bytes.truncate(at),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_value_comes_back(value in all()) {
        prop_assert_eq!(decode::<All>(&encoded(&value)), Ok(value));
    }

    #[test]
    fn reads_mutated_values_as_postcard_does(
        value in all(),
        mutations in proptest::collection::vec((any::<usize>(), mutation()), 0..3),
    ) {
        let mut bytes = encoded(&value);
        for (at, mutation) in mutations {
            mutate(&mut bytes, at, mutation);
        }
        agrees::<All>(&bytes);
    }

    #[test]
    fn reads_mutated_parts_as_postcard_does(
        integers in integers(),
        shape in shape(),
        mutations in proptest::collection::vec((any::<usize>(), mutation()), 0..3),
    ) {
        let (unsigned, signed) = (integers.unsigned, integers.signed);
        let parts = [
            encoded(&integers), encoded(&shape), encoded(&unsigned.1), encoded(&unsigned.2), encoded(&unsigned.3),
            encoded(&signed.1), encoded(&signed.2), encoded(&signed.3), encoded(&[Some(unsigned.2), None]),
        ];
        for mut bytes in parts {
            for &(at, mutation) in &mutations {
                mutate(&mut bytes, at, mutation);
            }
            agrees_for_all(&bytes);
        }
    }

    #[test]
    fn reads_random_bytes_as_postcard_does(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        agrees_for_all(&bytes);
    }

    /// Small bytes are tags and lengths that fit, so these get further than random ones.
    #[test]
    fn reads_small_bytes_as_postcard_does(bytes in proptest::collection::vec(
        prop_oneof![0..5_u8, 0..5_u8, Just(0x80), Just(0xFF)], 0..24)
    ) {
        agrees_for_all(&bytes);
    }
}

#[test]
fn reads_all_of_the_shortest_bytes_as_postcard_does() {
    agrees_for_all(&[]);
    for first in 0..=u8::MAX {
        agrees_for_all(&[first]);
        for second in 0..=u8::MAX {
            agrees::<(u8, bool)>(&[first, second]);
            agrees::<u16>(&[first, second]);
            agrees::<i64>(&[first, second]);
            agrees::<Option<u8>>(&[first, second]);
            agrees::<Bytes<4>>(&[first, second]);
            agrees::<Text<4>>(&[first, second]);
            agrees::<List<u8, 2>>(&[first, second]);
            agrees::<Shape>(&[first, second]);
            agrees::<u16>(&[0xFF, first, second]);
        }
    }
}

#[test]
fn an_integer_has_one_spelling() {
    assert_eq!(decode::<u64>(&[0x80, 0x00]), Err(NotCanonical));
    assert_eq!(decode::<u16>(&[0xFF, 0xFF, 0x00]), Err(NotCanonical));
    assert_eq!(decode::<i32>(&[0x81, 0x00]), Err(NotCanonical), "signed");
    assert_eq!(decode::<Bytes<4>>(&[0x81, 0x00, 7]), Err(NotCanonical), "a length");
    assert_eq!(decode::<List<u8, 4>>(&[0x81, 0x00, 7]), Err(NotCanonical), "a number of items");
    assert_eq!(decode::<Wire>(&[0x80, 0x00]), Err(NotCanonical), "a case of an enum");
    assert_eq!(
        decode::<u32>(&[0x85, 0x80, 0x80, 0x80, 0x80, 0x00]),
        Err(NotCanonical),
        "more than five bytes"
    );
    assert_eq!(decode::<u16>(&[0x80, 0x80, 0x84, 0x00]), Err(Invalid), "too long, and too large besides");
}

#[test]
fn an_integer_out_of_range_is_invalid() {
    assert_eq!(decode::<u16>(&[0xFF, 0xFF, 0x03]), Ok(u16::MAX));
    assert_eq!(decode::<u16>(&[0x80, 0x80, 0x04]), Err(Invalid));
    assert_eq!(decode::<i16>(&[0xFF, 0xFF, 0x03]), Ok(i16::MIN));
    assert_eq!(decode::<i16>(&[0x80, 0x80, 0x04]), Err(Invalid));
    assert_eq!(decode::<u32>(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), Ok(u32::MAX));
    assert_eq!(decode::<u32>(&[0x80, 0x80, 0x80, 0x80, 0x10]), Err(Invalid));
    let nine = [0xFF; 9];
    assert_eq!(decode::<u64>(&[&nine[..], &[0x01]].concat()), Ok(u64::MAX));
    assert_eq!(decode::<u64>(&[&nine[..], &[0x02]].concat()), Err(Invalid));
    assert_eq!(decode::<i64>(&[&nine[..], &[0x01]].concat()), Ok(i64::MIN));
    assert_eq!(
        decode::<u64>(&[&nine[..], &[0x81, 0x00]].concat()),
        Err(Invalid),
        "no integer has eleven bytes"
    );
    assert_eq!(decode::<i8>(&[0x80]), Ok(i8::MIN), "one raw byte, not zigzag");
}

#[test]
fn what_is_cut_short_is_invalid() {
    assert_eq!(decode::<bool>(&[]), Err(Invalid));
    assert_eq!(decode::<u32>(&[0x80]), Err(Invalid));
    assert_eq!(decode::<[u8; 3]>(&[1, 2]), Err(Invalid));
    assert_eq!(decode::<Bytes<4>>(&[3, 1, 2]), Err(Invalid));
    assert_eq!(decode::<Option<u8>>(&[1]), Err(Invalid));
}

#[test]
fn what_is_left_over_is_not_canonical() {
    assert_eq!(decode::<()>(&[0]), Err(NotCanonical));
    assert_eq!(decode::<Option<u8>>(&[0, 0]), Err(NotCanonical));
    assert_eq!(decode::<Bytes<4>>(&[1, 2, 3]), Err(NotCanonical));
}

#[test]
fn tags_are_of_the_listed_ones() {
    assert_eq!(decode::<bool>(&[2]), Err(Invalid));
    assert_eq!(decode::<Option<u8>>(&[2, 0]), Err(Invalid));
    assert_eq!(decode::<Wire>(&[2]), Err(Invalid));
}

#[test]
fn text_is_utf_8_and_fits() {
    assert_eq!(decode::<Text<4>>(&[3, 0xE6, 0xB0, 0xB4]).as_deref(), Ok("水"));
    assert_eq!(decode::<Text<4>>(&[2, 0xE6, 0xB0]), Err(Invalid));
    assert_eq!(decode::<Text<4>>(&[2, 0xC0, 0x80]), Err(Invalid), "another spelling of U+0000");
    assert_eq!(decode::<Text<1>>(&[2, b'a', b'b']), Err(Invalid));
    assert_eq!(decode::<Bytes<1>>(&[2, 0, 0]), Err(Invalid));
    assert_eq!(decode::<List<u8, 1>>(&[2, 0, 0]), Err(Invalid));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Raw(#[serde(with = "raw")] [u8; 3]);

#[test]
fn raw_bytes_are_on_the_wire_as_serde_writes_them() {
    assert_eq!(encoded(&Raw([1, 2, 0x80])), encoded(&[1, 2, 0x80_u8]));
    assert_eq!(decode::<Raw>(&[1, 2, 0x80]), Ok(Raw([1, 2, 0x80])));
    assert_eq!(decode::<Raw>(&[1, 2]), Err(Invalid));
    assert_eq!(decode::<Raw>(&[1, 2, 3, 4]), Err(NotCanonical));
    let elsewhere = postcard::take_from_bytes::<Raw>(&[1, 2, 3, 4]);
    assert_eq!(elsewhere, Ok((Raw([1, 2, 3]), &[4_u8][..])), "a reader that does not know the name");
}

/// A container that goes by the hint and takes as many units as it is told.
#[derive(Debug, PartialEq)]
struct Units {
    hint: Option<usize>,
    taken: usize,
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnitsVisitor;

        impl<'de> serde::de::Visitor<'de> for UnitsVisitor {
            type Value = Units;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("units")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Units, A::Error> {
                let mut units = Units { hint: seq.size_hint(), taken: 0 };
                while seq.next_element::<()>()?.is_some() {
                    units.taken += 1;
                }
                Ok(units)
            }
        }

        deserializer.deserialize_seq(UnitsVisitor)
    }
}

#[test]
fn a_declared_length_beyond_the_end_makes_nobody_loop() {
    assert_eq!(decode::<Units>(&[0]), Ok(Units { hint: Some(0), taken: 0 }));
    assert_eq!(decode::<Units>(&[1]), Err(Invalid), "one item, and no byte left");
    assert_eq!(decode::<Units>(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), Err(Invalid));
    let mut reader = Reader::new(&[2, 0, 0, 0]);
    assert_eq!(Units::deserialize(&mut reader), Ok(Units { hint: Some(2), taken: 2 }));
}

#[test]
fn what_no_message_has_is_unsupported() {
    let bytes = [0; 32];
    assert_eq!(decode::<u128>(&bytes), Err(Unsupported));
    assert_eq!(decode::<i128>(&bytes), Err(Unsupported));
    assert_eq!(decode::<f32>(&bytes), Err(Unsupported));
    assert_eq!(decode::<f64>(&bytes), Err(Unsupported));
    assert_eq!(decode::<char>(&bytes), Err(Unsupported));
    assert_eq!(decode::<serde::de::IgnoredAny>(&bytes), Err(Unsupported));
}

#[test]
fn an_error_says_what_is_wrong() {
    assert_eq!(format!("{}", decode::<u8>(&[]).unwrap_err()), "not a valid value");
}
