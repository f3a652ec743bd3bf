//! A book is a file of vectors and the values that it is made from.

use std::{
    any,
    collections::BTreeMap,
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};
use vend_protocol::{codec, frame::MACHINE_FRAME_MAX};

use super::{
    fields::{Field, fields},
    file::{self, Entry, hex},
    sample::{Size, Wishes, make},
    shape::{Kind, Shape},
};

/// What a vector is of: something that is released as a whole.
pub(crate) struct Subject {
    /// `machine_link 0x04 1 receipt` or `signed_bodies vend/receipt/1 receipt`.
    pub(crate) id: String,
    pub(crate) shape: Shape,
}

/// One value, and all that its file says of it.
pub(crate) struct Vector {
    /// The subject's place in its book.
    pub(crate) subject: usize,
    pub(crate) fields: Vec<Field>,
    pub(crate) entry: Entry,
    /// Whether the payload is read as the value that the vector was made from.
    reads_back: Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>,
}

impl Vector {
    /// Whether these bytes are read as this value.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), String> {
        (self.reads_back)(payload)
    }
}

/// A file and its values.
pub(crate) struct Book {
    pub(crate) file: &'static str,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) vectors: Vec<Vector>,
}

/// Values of one type, each with the name of its case.
pub(crate) struct Values<T> {
    shape: Shape,
    pub(crate) values: Vec<(String, T)>,
}

impl<T: Serialize + DeserializeOwned> Values<T> {
    /// A value written out by hand.
    pub(crate) fn and(mut self, case: &str, value: T) -> Self {
        self.values.push((case.into(), value));
        self
    }

    /// The smallest and the largest value with this case of this enum.
    pub(crate) fn and_case(self, path: &str, name: &str) -> Self {
        self.and_cases(&[(path, name)])
    }

    /// The smallest and the largest value with these cases of these enums.
    pub(crate) fn and_cases(self, cases: &[(&str, &str)]) -> Self {
        let number = |path: &str, name: &str| match self.shape.part(path).map(|part| &part.kind) {
            Some(Kind::Enum(cases)) => cases.iter().position(|case| *case == name).expect("a case of it"),
            other => panic!("{path} is no enum, but {other:?}"),
        };
        let wish = |&(path, name): &(&str, &str)| (path.into(), i128::try_from(number(path, name)).unwrap());
        let wishes: Wishes = cases.iter().map(wish).collect();
        let name = cases.last().map_or("", |case| case.1).to_lowercase();
        self.and_made(&format!("small_{name}"), Size::Small, &wishes).and_made(
            &format!("most_{name}"),
            Size::Most,
            &wishes,
        )
    }

    /// A value made up, unless it is there already.
    fn and_made(self, case: &str, size: Size, wishes: &Wishes) -> Self {
        let made = make::<T>(size, &self.shape, wishes);
        let value = made.unwrap_or_else(|_| panic!("{} takes no {case}", any::type_name::<T>())).0;
        let payload = encoded(&value);
        if self.values.iter().any(|(_, known)| encoded(known) == payload) {
            self
        } else {
            self.and(case, value)
        }
    }
}

/// A first value, written out by hand, and some made up: the least, the most, and the least with nothing missing.
pub(crate) fn values<T: Serialize + DeserializeOwned>(typical: T) -> Values<T> {
    let none = Wishes::new();
    Values { shape: Shape::of::<T>(), values: vec![("typical".into(), typical)] }
        .and_made("least", Size::Least, &none)
        .and_made("small", Size::Small, &none)
        .and_made("most", Size::Most, &none)
}

impl Book {
    pub(crate) fn new(file: &'static str) -> Self {
        Self { file, subjects: Vec::new(), vectors: Vec::new() }
    }

    /// Puts in all values of a subject. `entry` begins a vector's entry and `frame` ends it, given the payload.
    pub(crate) fn put<T: Serialize + DeserializeOwned + PartialEq + Debug + Clone + Send + Sync + 'static>(
        &mut self,
        id: String,
        values: Values<T>,
        begin: impl Fn(&str) -> Entry,
        end: impl Fn(&mut Entry, &T),
    ) {
        let Values { shape, values } = values;
        let subject = self.subjects.len();
        for (case, value) in values {
            let mut entry = begin(&case);
            let fields = fields(&value);
            for field in &fields {
                entry.put("field", field.line(&shape));
            }
            entry.put("payload", hex(&encoded(&value)));
            end(&mut entry, &value);
            let reads_back = Box::new(move |payload: &[u8]| match codec::decode::<T>(payload) {
                Ok(read) if read == value => Ok(()),
                other => Err(format!("{other:?} instead of {value:?}")),
            });
            self.vectors.push(Vector { subject, fields, entry, reads_back });
        }
        self.subjects.push(Subject { id, shape });
    }

    /// The entries of the file by name; before that, what is missing is added when that was asked for.
    pub(crate) fn entries(&self) -> BTreeMap<String, Entry> {
        entries(self.file, &self.vectors.iter().map(|vector| vector.entry.clone()).collect::<Vec<_>>())
    }
}

/// See [`Book::entries`].
pub(crate) fn entries(file: &str, table: &[Entry]) -> BTreeMap<String, Entry> {
    /// One test at a time looks what is missing.
    static ADDING: Mutex<()> = Mutex::new(());
    let _guard = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = file::read(file);
    if file::told_to("add") {
        let there = |entry: &&Entry| found.iter().any(|found| found.name == entry.name);
        let missing: Vec<Entry> = table.iter().filter(|entry| !there(entry)).cloned().collect();
        file::append(file, &missing);
        found.extend(missing);
    }
    let count = found.len();
    let by_name: BTreeMap<_, _> = found.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
    assert_eq!(by_name.len(), count, "{file}: a name stands there twice");
    by_name
}

/// A value's bytes.
pub(crate) fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = [0; MACHINE_FRAME_MAX];
    let len = codec::encode(value, &mut out).expect("no value is longer than a frame");
    out[..len].to_vec()
}
