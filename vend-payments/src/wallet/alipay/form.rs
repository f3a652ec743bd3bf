//! Form encoding, read and written by ourselves: the signature is over exactly these bytes decoded once.

use std::collections::BTreeMap;
use std::prelude::v1::*;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// More fields than any notification has: a longer body is refused before it costs anything.
const MAX_FIELDS: usize = 128;

/// Everything but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The fields of a form, sorted by name. `None` when it is not one, or a name comes twice: which of the two
/// the signature is about, nobody could say.
pub(crate) fn parse(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    for pair in body.split(|&b| b == b'&') {
        if fields.len() == MAX_FIELDS {
            return None;
        }
        let mut halves = pair.splitn(2, |&b| b == b'=');
        let name = decode(halves.next()?)?;
        let value = decode(halves.next()?)?;
        if name.is_empty() || fields.insert(name, value).is_some() {
            return None;
        }
    }
    Some(fields)
}

/// `name=value&...` in the order given.
pub(crate) fn write<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(utf8_percent_encode(name, ENCODED));
        text.push('=');
        text.extend(utf8_percent_encode(value, ENCODED));
    }
    text
}

fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (&[high, low], tail) = rest.split_first_chunk()?;
                rest = tail;
                hex(high)? << 4 | hex(low)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn forms_decode_once_and_exactly() {
        let fields = parse("a=1%2B1&b=x+y&c=%E6%94%AF&d=&e=%2525&f=k=v".as_bytes()).unwrap();
        let values: Vec<_> = fields.values().map(String::as_str).collect();
        assert_eq!(values, ["1+1", "x y", "支", "", "%25", "k=v"]);
    }

    #[test]
    fn a_doubled_form_key_is_refused() {
        assert!(parse(b"a=1&b=2&a=1").is_none());
        assert!(parse(b"a=1&%61=2").is_none(), "also under another spelling");
    }

    #[test]
    fn what_is_not_a_form_is_refused() {
        for text in ["", "a", "=1", "a=1&", "&a=1", "a=%", "a=%4", "a=%zz", "a=%ff", "a=%+1"] {
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
        let many: Vec<_> = (0..200).map(|i| format!("a{i}=1")).collect();
        assert!(parse(many.join("&").as_bytes()).is_none());
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = write([("a", "x y+z&=%支"), ("b", "")]);
        assert_eq!(text, "a=x%20y%2Bz%26%3D%25%E6%94%AF&b=");
        assert_eq!(parse(text.as_bytes()).unwrap()["a"], "x y+z&=%支");
    }
}
