//! Golden bytes: the files in `tests/vectors` are the truth, and this crate has to agree with them both ways.
//!
//! To add vectors, write values in `values/` and run the tests once with `VEND_GOLDEN=add`: what is missing is put at the
//! end of its file, and what is there is never written again. To release messages, run them with `VEND_GOLDEN=release`: what
//! is in `released.txt` must stay as it is for ever.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is its report")]

mod book;
mod codec;
mod fields;
mod file;
mod framing;
mod kinds;
mod released;
mod sample;
mod shape;
mod values;

use std::{collections::BTreeSet, sync::LazyLock};

use book::{Book, Subject, Vector};
use fields::Value;
use kinds::Link;
use shape::{Kind, Part};

/// All books. Made once, since each type of them is asked for its limits.
fn books() -> &'static [Book] {
    static BOOKS: LazyLock<Vec<Book>> = LazyLock::new(|| {
        vec![values::machine_link::book(), values::control_link::book(), values::bodies::book()]
    });
    &BOOKS
}

/// Calls `check` with each vector and what its file says of it.
fn each(check: impl Fn(&Vector, &file::Entry)) {
    for book in books() {
        let entries = book.entries();
        for vector in &book.vectors {
            let name = &vector.entry.name;
            let entry = entries.get(name).unwrap_or_else(|| {
                panic!(
                    "{} has no [{name}]: run the tests with VEND_GOLDEN=add, and look at what it adds",
                    book.file
                )
            });
            check(vector, entry);
        }
    }
}

#[test]
fn every_value_gives_the_bytes_of_its_vector() {
    each(|vector, entry| {
        for key in ["payload", "frame", "line"] {
            let (ours, theirs) = (vector.entry.all(key).next(), entry.all(key).next());
            assert_eq!(ours, theirs, "[{}] {key}", entry.name);
        }
    });
}

#[test]
fn the_bytes_of_every_vector_give_its_value() {
    each(|vector, entry| {
        let payload = entry.bytes("payload");
        vector.check(&payload).unwrap_or_else(|error| panic!("[{}] {error}", entry.name));
        if entry.all("line").next().is_some() {
            assert_eq!(values::control_link::payload_of(&entry.bytes("line")), payload, "[{}]", entry.name);
        } else if entry.all("frame").next().is_some() {
            let frame = entry.bytes("frame");
            assert_eq!(values::machine_link::payload_of(frame[1], &frame), payload, "[{}]", entry.name);
        }
    });
}

#[test]
fn what_people_read_of_every_vector_is_what_it_is() {
    each(|vector, entry| {
        let texts =
            |entry: &file::Entry| entry.lines.iter().filter(|(key, _)| key != "payload").cloned().collect();
        let (ours, theirs): (Vec<_>, Vec<_>) = (texts(&vector.entry), texts(entry));
        assert_eq!(ours, theirs, "[{}]", entry.name);
    });
}

#[test]
fn every_vector_has_a_value() {
    for book in books() {
        let names: BTreeSet<&str> = book.vectors.iter().map(|vector| vector.entry.name.as_str()).collect();
        assert_eq!(names.len(), book.vectors.len(), "{}: two values have one name", book.file);
        for name in book.entries().keys() {
            assert!(
                names.contains(name.as_str()),
                "{}: no value for [{name}]; vectors are kept for ever",
                book.file
            );
        }
    }
}

#[test]
fn every_kind_has_a_vector() {
    let subjects: BTreeSet<&str> =
        books().iter().flat_map(|book| &book.subjects).map(|subject| subject.id.as_str()).collect();
    let of_constants = [Link::Machine, Link::Control]
        .into_iter()
        .flat_map(|link| kinds::all(link).into_iter().map(move |(kind, _)| kinds::id(link, kind, 1)));
    let known = kinds::known().map(|(kind, revision)| kinds::id(Link::Machine, kind, revision));
    for id in of_constants.chain(known) {
        assert!(subjects.contains(id.as_str()), "no vectors of {id}: add values in tests/golden/values");
    }
}

/// The numbers, lengths and cases that vectors must reach in a part.
fn extremes(part: &Part) -> Vec<i128> {
    let full = |most: usize| vec![0, i128::try_from(most).unwrap()];
    match &part.kind {
        Kind::Bool | Kind::Option => vec![0, 1],
        Kind::Int { least, most, .. } => vec![*least, *most],
        Kind::Array(_) => Vec::new(),
        Kind::Bytes(most) | Kind::Text(most) | Kind::List(most) => full(*most),
        Kind::Enum(cases) => (0..cases.len()).map(|case| i128::try_from(case).unwrap()).collect(),
    }
}

fn reached(value: &Value) -> i128 {
    let len = |len: usize| i128::try_from(len).unwrap();
    match value {
        Value::Bool(flag) | Value::Option(flag) => i128::from(*flag),
        Value::Byte(byte) => i128::from(*byte),
        Value::Int(number) => *number,
        Value::Array(bytes) | Value::Bytes(bytes) => len(bytes.len()),
        Value::Text(text) => len(text.len()),
        Value::List(items) => len(*items),
        Value::Case(number, _) => i128::from(*number),
    }
}

#[test]
fn vectors_reach_every_case_and_every_limit() {
    for book in books() {
        for (number, Subject { id, shape }) in book.subjects.iter().enumerate() {
            let of = book.vectors.iter().filter(|vector| vector.subject == number);
            let fields: Vec<_> = of.flat_map(|vector| &vector.fields).collect();
            for part in &shape.0 {
                let values: BTreeSet<i128> = fields
                    .iter()
                    .filter(|field| field.part() == part.path)
                    .map(|field| reached(&field.value))
                    .collect();
                for extreme in extremes(part) {
                    assert!(values.contains(&extreme), "{id}: no vector has {extreme} in {part}");
                }
            }
        }
    }
}
