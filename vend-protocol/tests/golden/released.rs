//! What is released never changes: `released.txt` keeps the shape and the checksum of it.

use vend_protocol::frame::checksum;

use super::{
    book::{Book, Subject},
    file::{self, Entry},
};

const FILE: &str = "released.txt";

const ADVICE: &str = "\nA released message never changes: machines in the field speak it. Undo the change, or give what is new a \
    revision or a kind of its own beside the old one (docs/spec/wire.md). To put a message on the list that is new in this \
    release, run the tests with VEND_GOLDEN=release.";

/// The entry of a subject: its vectors' checksum and its parts. `vectors` counts those that are covered, the first ones of
/// the file: vectors may be added.
fn entry(book: &Book, number: usize, subject: &Subject, vectors: Option<usize>) -> Entry {
    let found = file::read(book.file);
    let of = book
        .vectors
        .iter()
        .filter(|vector| vector.subject == number)
        .map(|vector| vector.entry.name.as_str());
    let names: Vec<&str> = of.collect();
    // In the order of the file, which is the order in which they were added.
    let payloads: Vec<Vec<u8>> = found
        .iter()
        .filter(|entry| names.contains(&entry.name.as_str()))
        .map(|entry| entry.bytes("payload"))
        .collect();
    let covered = &payloads[..vectors.unwrap_or(payloads.len()).min(payloads.len())];
    let mut entry = Entry::new(&subject.id);
    entry.put("vectors", covered.len());
    entry.put("checksum", format!("{:#010x}", checksum(&covered.concat())));
    for part in &subject.shape.0 {
        entry.put("field", part);
    }
    entry
}

#[test]
fn what_is_released_has_not_changed() {
    let books = super::books();
    let subjects = || {
        books.iter().flat_map(|book| {
            book.subjects.iter().enumerate().map(move |(number, subject)| (book, number, subject))
        })
    };
    let released = file::read(FILE);
    for entry_then in &released {
        let id = &entry_then.name;
        let (book, number, subject) = subjects()
            .find(|(_, _, subject)| subject.id == *id)
            .unwrap_or_else(|| panic!("{id} was released and is gone.{ADVICE}"));
        let vectors = entry_then.text("vectors").parse().expect("a number of vectors");
        let entry_now = entry(book, number, subject, Some(vectors));
        let (then, now) = (&entry_then.lines, &entry_now.lines);
        for at in 0..then.len().max(now.len()) {
            let show = |line: Option<&(String, String)>| {
                line.map_or("nothing".into(), |(key, value)| format!("{key} {value}"))
            };
            let (then, now) = (show(then.get(at)), show(now.get(at)));
            assert!(then == now, "{id} was released with\n  {then}\nand has now\n  {now}{ADVICE}");
        }
    }
    if file::told_to("release") {
        let new = subjects().filter(|(_, _, subject)| released.iter().all(|entry| entry.name != subject.id));
        let new: Vec<_> = new.map(|(book, number, subject)| entry(book, number, subject, None)).collect();
        file::append(FILE, &new);
    }
}
