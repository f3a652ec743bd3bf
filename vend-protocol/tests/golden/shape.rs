//! What a type looks like on the wire: its parts in order, with their widths, ranges, capacities and cases.
//!
//! Nothing of it is written down in the types themselves, so it is found out by asking: which numbers, how long a list
//! and how long a text does a part take? Ranges are taken to be without holes.

use std::{collections::VecDeque, fmt};

use serde::de::DeserializeOwned;

use super::sample::{Size, Wishes, make};

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// From `least` to `most`. A wider unsigned integer is named by the narrowest type that holds the range: from 16
    /// bits on they are alike on the wire.
    Int {
        name: &'static str,
        least: i128,
        most: i128,
    },
    /// Bytes, as many as this always.
    Array(usize),
    /// At most so many bytes.
    Bytes(usize),
    /// UTF-8 of at most so many bytes.
    Text(usize),
    /// At most so many items.
    List(usize),
    Option,
    /// By their numbers from 0.
    Enum(Vec<&'static str>),
}

impl Kind {
    /// The most items or bytes.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Array(most) | Self::Bytes(most) | Self::Text(most) | Self::List(most) => *most,
            _ => panic!("{self} has no capacity"),
        }
    }

    /// Without range and cases: what stands behind a field's name in a file of vectors.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Int { name, .. } => (*name).into(),
            Self::Array(len) => format!("[{len}]"),
            Self::Bytes(most) => format!("bytes<{most}>"),
            Self::Text(most) => format!("text<{most}>"),
            Self::List(most) => format!("list<{most}>"),
            Self::Option => "option".into(),
            Self::Enum(_) => "enum".into(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.type_name())?;
        match self {
            Self::Int { name, least, most } if (*least, *most) != range(name) => {
                write!(f, " {least}..={most}")
            }
            Self::Enum(cases) => {
                cases.iter().enumerate().try_for_each(|(at, case)| write!(f, " {at}={case}"))
            }
            _ => Ok(()),
        }
    }
}

fn range(name: &str) -> (i128, i128) {
    let bits: u32 = name.trim_start_matches(['u', 'i']).parse().expect("the name of an integer");
    if name.starts_with('u') { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) }
}

/// A part of a type, by its path. The items of a list are `list[]`, the contents of a case `field.Case`; whether `field` is
/// there is `field?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) kind: Kind,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.trim_end_matches('?'), self.kind)
    }
}

/// All parts of a type, as they are on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape(pub(crate) Vec<Part>);

impl Shape {
    pub(crate) fn of<T: DeserializeOwned>() -> Self {
        let mut shape = Self::default();
        // Each case of each enum is looked into once: that is a wish.
        let mut wishes_to_try = VecDeque::from([Wishes::new()]);
        while let Some(wishes) = wishes_to_try.pop_front() {
            let (_, parts) = make::<T>(Size::One, &shape, &wishes).expect("1 is in every range");
            // The last first, so that what is new is put in front of what follows it.
            let mut at = shape.0.len();
            for part in parts.into_iter().rev() {
                if let Some(known) = shape.0.iter().position(|known| known.path == part.path) {
                    at = known;
                    continue;
                }
                if let Kind::Enum(cases) = &part.kind {
                    for case in 1..cases.len() {
                        wishes_to_try.push_back(with(&wishes, &part.path, i128::try_from(case).unwrap()));
                    }
                }
                let kind = limits::<T>(&wishes, &part);
                shape.0.insert(at, Part { kind, ..part });
            }
        }
        shape
    }

    pub(crate) fn part(&self, path: &str) -> Option<&Part> {
        self.0.iter().find(|part| part.path == path)
    }
}

fn with(wishes: &Wishes, path: &str, wish: i128) -> Wishes {
    let mut wishes = wishes.clone();
    wishes.insert(path.into(), wish);
    wishes
}

/// The part with the limits that the type sets to it.
fn limits<T: DeserializeOwned>(wishes: &Wishes, part: &Part) -> Kind {
    let any = Shape::default();
    let takes = |wish: i128| make::<T>(Size::One, &any, &with(wishes, &part.path, wish)).is_ok();
    let capacity = || {
        // Longer than any frame.
        assert!(!takes(5000), "{}: no capacity", part.path);
        usize::try_from(boundary(0, 5000, takes)).unwrap()
    };
    match part.kind {
        Kind::Int { name, least, most } => {
            let least = if takes(least) { least } else { boundary(1, least, takes) };
            let most = if takes(most) { most } else { boundary(1, most, takes) };
            let unsigned = ["u16", "u32", "u64"];
            let narrowest = unsigned.into_iter().find(|name| range(name).1 >= most);
            let name = if unsigned.contains(&name) { narrowest.unwrap_or(name) } else { name };
            Kind::Int { name, least, most }
        }
        Kind::Bytes(_) => Kind::Bytes(capacity()),
        Kind::Text(_) => Kind::Text(capacity()),
        Kind::List(_) => Kind::List(capacity()),
        ref whole => whole.clone(),
    }
}

/// The last number that is taken, between one that is and one that is not.
fn boundary(mut taken: i128, mut refused: i128, takes: impl Fn(i128) -> bool) -> i128 {
    while taken.abs_diff(refused) > 1 {
        let middle = i128::midpoint(taken, refused);
        if takes(middle) { taken = middle } else { refused = middle }
    }
    taken
}
