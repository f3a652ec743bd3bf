//! The kinds there are, as their constants are written: a kind without a vector is found out by its constant.

use vend_protocol::machine_link;

/// The two links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Machine,
    Control,
}

/// All kinds of a link, with the names of their constants in lower case.
pub(crate) fn all(link: Link) -> Vec<(u8, String)> {
    let source = match link {
        Link::Machine => include_str!("../../src/machine_link/kind.rs"),
        Link::Control => include_str!("../../src/control_link/kind.rs"),
    };
    let constants = source.lines().filter_map(|line| line.trim_start().strip_prefix("pub const "));
    let kinds = constants
        .filter_map(|rest| rest.split_once(": u8 = 0x"))
        .filter(|(name, _)| !name.starts_with("FIRST_"));
    kinds
        .map(|(name, number)| {
            let number = u8::from_str_radix(number.trim_end_matches(';'), 16).expect("a kind is two digits");
            (number, name.to_lowercase())
        })
        .collect()
}

/// What the vectors call a message: the kind's name, and from the second revision on its number: `quote`, `quote_2`.
pub(crate) fn message(link: Link, kind: u8, revision: u8) -> String {
    if revision == 1 { name(link, kind) } else { format!("{}_{revision}", name(link, kind)) }
}

/// What identifies a message in `released.txt`.
pub(crate) fn id(link: Link, kind: u8, revision: u8) -> String {
    let file = match link {
        Link::Machine => "machine_link",
        Link::Control => "control_link",
    };
    format!("{file} {kind:#04x} revision {revision} {}", message(link, kind, revision))
}

/// A kind's name.
fn name(link: Link, kind: u8) -> String {
    let found = all(link).into_iter().find(|known| known.0 == kind);
    found.unwrap_or_else(|| panic!("{kind:#04x} has no constant in kind.rs")).1
}

/// The kinds and revisions that the crate says it knows, on the machine link.
pub(crate) fn known() -> impl Iterator<Item = (u8, u8)> {
    let pairs = (0..=u8::MAX).flat_map(|kind| (0..=u8::MAX).map(move |revision| (kind, revision)));
    pairs.filter(|(kind, revision)| machine_link::kind::is_known(*kind, *revision))
}
