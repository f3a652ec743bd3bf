//! Spellings: what a decoder must read and what it must refuse, part by part.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use vend_protocol::{
    AuthSeq, Bytes, Currency, List, OrderId, Reason, SlotId, Text,
    codec::{
        self,
        CodecError::{self, Invalid, NotCanonical},
    },
    machine_link::Readiness,
};

use super::{
    book::{encoded, entries},
    fields::fields,
    file::{Entry, hex, unhex},
    shape::Shape,
    values::{order, seq, slot, text},
};

const FILE: &str = "codec.txt";

/// What a spelling is checked by.
struct Case {
    entry: Entry,
    check: Box<dyn Fn(&[u8])>,
}

/// All spellings of one type.
struct Type {
    name: &'static str,
    /// As the specification writes it.
    spec: &'static str,
    cases: Vec<Case>,
}

fn spelt(name: &'static str, spec: &'static str) -> Type {
    Type { name, spec, cases: Vec::new() }
}

impl Type {
    fn entry(&self, case: &str, bytes: &[u8]) -> Entry {
        let mut entry = Entry::new(format!("{}.{case}", self.name));
        entry.put("type", self.spec);
        entry.put("bytes", hex(bytes));
        entry
    }

    /// A value, and so its only spelling.
    fn reads<T>(mut self, case: &str, value: T) -> Self
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
    {
        let mut entry = self.entry(case, &encoded(&value));
        let shape = Shape::of::<T>();
        for field in fields(&value) {
            entry.put("field", field.line(&shape));
        }
        let name = entry.name.clone();
        let check =
            move |bytes: &[u8]| assert_eq!(codec::decode::<T>(bytes).as_ref(), Ok(&value), "[{name}]");
        self.cases.push(Case { entry, check: Box::new(check) });
        self
    }

    /// Bytes that are none.
    fn refuses<T: DeserializeOwned + PartialEq + Debug>(
        mut self,
        case: &str,
        bytes: &str,
        error: CodecError,
        why: &str,
    ) -> Self {
        let mut entry = self.entry(case, &unhex(bytes).expect("hexadecimal"));
        entry.put("refused", why);
        let name = entry.name.clone();
        let check = move |bytes: &[u8]| assert_eq!(codec::decode::<T>(bytes), Err(error), "[{name}]");
        self.cases.push(Case { entry, check: Box::new(check) });
        self
    }
}

const OVERLONG: &str = "an integer longer than need be";
const CUT: &str = "cut short";
const RANGE: &str = "out of range";
const BEHIND: &str = "a byte behind the last field";

fn table() -> Vec<Type> {
    integers().into_iter().chain(signed()).chain(runs()).chain(lists()).chain(ranges()).collect()
}

fn integers() -> [Type; 5] {
    [
        spelt("bool", "bool")
            .reads("no", false)
            .reads("yes", true)
            .refuses::<bool>("two", "02", Invalid, "neither 0 nor 1")
            .refuses::<bool>("all_ones", "ff", Invalid, "neither 0 nor 1")
            .refuses::<bool>("nothing", "", Invalid, CUT),
        spelt("u8", "u8")
            .reads("least", 0_u8)
            .reads("most", u8::MAX)
            .refuses::<u8>("nothing", "", Invalid, CUT)
            .refuses::<u8>("two_bytes", "8001", NotCanonical, BEHIND),
        spelt("u16", "u16")
            .reads("zero", 0_u16)
            .reads("one_byte_most", 127_u16)
            .reads("two_bytes_least", 128_u16)
            .reads("two_bytes_most", 16_383_u16)
            .reads("three_bytes_least", 16_384_u16)
            .reads("most", u16::MAX)
            .refuses::<u16>("zero_in_two", "8000", NotCanonical, OVERLONG)
            .refuses::<u16>("five_in_three", "858000", NotCanonical, OVERLONG)
            .refuses::<u16>("most_in_four", "ffff8300", NotCanonical, OVERLONG)
            .refuses::<u16>("most_plus_one", "808004", Invalid, RANGE)
            .refuses::<u16>("four_bytes", "80808001", Invalid, RANGE)
            .refuses::<u16>("without_end", "ffff", Invalid, CUT)
            .refuses::<u16>("nothing", "", Invalid, CUT)
            .refuses::<u16>("byte_behind", "0500", NotCanonical, BEHIND),
        spelt("u32", "u32")
            .reads("most", u32::MAX)
            .refuses::<u32>("most_in_six", "ffffffff8f00", NotCanonical, OVERLONG)
            .refuses::<u32>("most_plus_one", "8080808010", Invalid, RANGE)
            .refuses::<u32>("bits_cut_off", "ffffffff7f", Invalid, RANGE),
        spelt("u64", "u64")
            .reads("milliseconds", 1_800_000_000_000_u64)
            .reads("most", u64::MAX)
            .refuses::<u64>("zero_in_ten", "80808080808080808000", NotCanonical, OVERLONG)
            .refuses::<u64>("most_plus_one", "80808080808080808002", Invalid, RANGE)
            .refuses::<u64>("eleven_bytes", "8080808080808080808001", Invalid, RANGE),
    ]
}

fn signed() -> [Type; 3] {
    [
        spelt("i8", "i8")
            .reads("zero", 0_i8)
            .reads("minus_one", -1_i8)
            .reads("least", i8::MIN)
            .reads("most", i8::MAX),
        spelt("i16", "i16")
            .reads("zero", 0_i16)
            .reads("minus_one", -1_i16)
            .reads("one", 1_i16)
            .reads("one_byte_least", -64_i16)
            .reads("two_bytes_least_above_zero", 64_i16)
            .reads("least", i16::MIN)
            .reads("most", i16::MAX)
            .refuses::<i16>("minus_one_in_two", "8100", NotCanonical, OVERLONG)
            .refuses::<i16>("most_plus_one", "808004", Invalid, RANGE),
        spelt("i32", "i32").reads("least", i32::MIN).reads("most", i32::MAX).refuses::<i32>(
            "most_plus_one",
            "8080808010",
            Invalid,
            RANGE,
        ),
    ]
}

fn runs() -> [Type; 3] {
    let bytes = |bytes: &[u8]| Bytes::<4>::try_from(bytes).unwrap();
    [
        spelt("array", "[4]")
            .reads("four", [1_u8, 2, 3, 4])
            .refuses::<[u8; 4]>("three", "010203", Invalid, CUT)
            .refuses::<[u8; 4]>("five", "0102030405", NotCanonical, BEHIND),
        spelt("bytes", "bytes<4>")
            .reads("none", bytes(&[]))
            .reads("full", bytes(&[0, 1, 2, 0xFF]))
            .refuses::<Bytes<4>>("too_long", "050102030405", Invalid, "more than the limit")
            .refuses::<Bytes<4>>("cut", "04010203", Invalid, CUT)
            .refuses::<Bytes<4>>("byte_behind", "020102ff", NotCanonical, BEHIND)
            .refuses::<Bytes<4>>("length_overlong", "8000", NotCanonical, OVERLONG)
            .refuses::<Bytes<4>>(
                "length_of_4_gib",
                "ffffffff0f",
                Invalid,
                "more than the limit, and cut short",
            ),
        spelt("text", "text<4>")
            .reads("none", text::<4>(""))
            .reads("two_characters", text::<4>("气z"))
            .reads("full", text::<4>("zzzz"))
            .refuses::<Text<4>>("too_long", "057a7a7a7a7a", Invalid, "more than the limit")
            .refuses::<Text<4>>("cut", "047a7a7a", Invalid, CUT)
            .refuses::<Text<4>>("no_lead_byte", "0180", Invalid, "not UTF-8")
            .refuses::<Text<4>>("cut_character", "02e6b0", Invalid, "not UTF-8")
            .refuses::<Text<4>>(
                "zero_in_two",
                "02c080",
                Invalid,
                "not UTF-8: a character longer than need be",
            )
            .refuses::<Text<4>>("surrogate", "03eda080", Invalid, "not UTF-8: half of a pair of UTF-16")
            .refuses::<Text<4>>("above_unicode", "04f4908080", Invalid, "not UTF-8: above U+10FFFF"),
    ]
}

fn lists() -> [Type; 4] {
    let list = |items: &[u16]| List::<u16, 2>::try_from_iter(items.iter().copied()).unwrap();
    [
        spelt("list", "list<u16, 2>")
            .reads("none", list(&[]))
            .reads("one", list(&[128]))
            .reads("full", list(&[5, 65_535]))
            .refuses::<List<u16, 2>>("too_long", "03050607", Invalid, "more than the limit")
            .refuses::<List<u16, 2>>("cut", "0205", Invalid, CUT)
            .refuses::<List<u16, 2>>("cut_in_item", "02058f", Invalid, CUT)
            .refuses::<List<u16, 2>>("item_overlong", "018500", NotCanonical, OVERLONG)
            .refuses::<List<u16, 2>>("byte_behind", "010506", NotCanonical, BEHIND)
            .refuses::<List<u16, 2>>("length_overlong", "810005", NotCanonical, OVERLONG)
            .refuses::<List<u16, 2>>(
                "length_of_4_gib",
                "ffffffff0f",
                Invalid,
                "more than the limit, and cut short",
            ),
        spelt("option", "option<u16>")
            .reads("none", None::<u16>)
            .reads("some", Some(300_u16))
            .refuses::<Option<u16>>("two", "02", Invalid, "neither 0 nor 1")
            .refuses::<Option<u16>>("two_and_value", "0205", Invalid, "neither 0 nor 1")
            .refuses::<Option<u16>>("cut", "01", Invalid, CUT)
            .refuses::<Option<u16>>("none_and_value", "0005", NotCanonical, BEHIND),
        spelt("cases", "cases(nothing, u8)")
            .reads("first", Readiness::Ready)
            .reads("second", Readiness::NotReady(Reason::DOOR))
            .reads("second_with_unlisted_number", Readiness::NotReady(Reason(255)))
            .refuses::<Readiness>("unknown", "02", Invalid, "no such case")
            .refuses::<Readiness>("first_in_two", "8000", NotCanonical, OVERLONG)
            .refuses::<Readiness>("cut", "01", Invalid, CUT)
            .refuses::<Readiness>("first_and_value", "000b", NotCanonical, BEHIND),
        spelt("fields", "fields(u8, u16)")
            .reads("both", (1_u8, 300_u16))
            .refuses::<(u8, u16)>("cut", "01", Invalid, CUT)
            .refuses::<(u8, u16)>("byte_behind", "01ac0200", NotCanonical, BEHIND),
    ]
}

fn ranges() -> [Type; 4] {
    [
        spelt("slot", "u16 1..999")
            .reads("least", slot(1))
            .reads("most", slot(999))
            .refuses::<SlotId>("zero", "00", Invalid, RANGE)
            .refuses::<SlotId>("most_plus_one", "e807", Invalid, RANGE)
            .refuses::<SlotId>("one_in_two", "8100", NotCanonical, OVERLONG),
        spelt("currency", "u16 1..999")
            .reads("renminbi", Currency::CNY)
            .refuses::<Currency>("zero", "00", Invalid, RANGE)
            .refuses::<Currency>("most_plus_one", "e807", Invalid, RANGE),
        spelt("order", "u64 1..9007199254740991")
            .reads("most", order((1 << 53) - 1))
            .refuses::<OrderId>("zero", "00", Invalid, RANGE)
            .refuses::<OrderId>("most_plus_one", "8080808080808010", Invalid, RANGE),
        spelt("auth_seq", "u64 1..18446744073709551615")
            .reads("least", seq(1))
            .reads("most", seq(u64::MAX))
            .refuses::<AuthSeq>("zero", "00", Invalid, RANGE),
    ]
}

#[test]
fn every_spelling_is_read_or_refused_as_its_file_says() {
    let cases: Vec<Case> = table().into_iter().flat_map(|spelt| spelt.cases).collect();
    let ours: Vec<Entry> = cases.iter().map(|case| case.entry.clone()).collect();
    let file = entries(FILE, &ours);
    assert_eq!(file.len(), cases.len(), "{FILE}: an entry without a case; they are kept for ever");
    for case in &cases {
        let name = &case.entry.name;
        let entry = file.get(name).unwrap_or_else(|| panic!("{FILE} has no [{name}]: VEND_GOLDEN=add"));
        assert_eq!(&case.entry, entry);
        (case.check)(&entry.bytes("bytes"));
    }
}
