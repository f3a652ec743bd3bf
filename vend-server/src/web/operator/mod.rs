//! Operators: machines, products, orders and alarms.

pub(super) mod alarms;
pub(super) mod machine;
pub(super) mod machines;
pub(super) mod orders;
pub(super) mod products;

use vend_protocol::ProductId;

use super::form::Fields;

/// The longest name or place of a machine and reason to stop one, in bytes.
const TEXT_MAX: usize = 200;

/// A line of text that is not too long and has no control characters.
fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let text = fields.one(name);
    (text.len() <= TEXT_MAX && !text.chars().any(char::is_control)).then_some(text)
}

/// The number to page on from.
fn before(fields: &Fields) -> Option<i64> {
    fields.one("before").parse().ok().filter(|before| *before > 0)
}

fn product(text: &str) -> Option<ProductId> {
    text.parse().ok()
}
