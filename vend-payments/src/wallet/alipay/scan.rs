//! Finds the members of a JSON object in its bytes. Alipay signs a member's text as it stands in the answer,
//! so parsing and writing it again would lose what was signed.

use std::prelude::v1::*;

/// The members of the outermost object: each name, and its value as it stands. `None` when the bytes are not
/// one object, or a name comes twice. It does not check what is inside the values; the JSON parser does that
/// afterwards, to whatever the signature covered.
pub(crate) fn members(json: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let mut at = Cursor { json, at: 0 };
    let mut found: Vec<(&str, &[u8])> = Vec::new();
    at.expect(b'{')?;
    if at.peek()? == b'}' {
        at.at += 1;
    } else {
        loop {
            at.peek()?;
            let name = at.string()?;
            // Names with escapes would be other spellings of a name that is looked for.
            let name =
                core::str::from_utf8(&name[1..name.len() - 1]).ok().filter(|name| !name.contains('\\'))?;
            at.expect(b':')?;
            at.peek()?;
            let value = at.value()?;
            if found.iter().any(|(other, _)| *other == name) {
                return None;
            }
            found.push((name, value));
            match at.peek()? {
                b',' => at.at += 1,
                b'}' => break at.at += 1,
                _ => return None,
            }
        }
    }
    at.peek().is_none().then_some(found)
}

struct Cursor<'j> {
    json: &'j [u8],
    at: usize,
}

impl<'j> Cursor<'j> {
    /// The next byte that is not white space, without passing it.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.json.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        let found = self.peek()? == wanted;
        self.at += 1;
        found.then_some(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'j [u8]> {
        let start = self.at;
        if self.json.get(start) != Some(&b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.json.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.json.get(start..self.at)
    }

    /// A value of any kind. Brackets are counted, not matched by kind: the parser does that.
    fn value(&mut self) -> Option<&'j [u8]> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.json.get(self.at)? {
                b'"' => {
                    self.string()?;
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => break,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        break;
                    }
                }
                _ => (),
            }
            self.at += 1;
        }
        self.json.get(start..self.at).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Option<Vec<(&str, &str)>> {
        let members = members(json.as_bytes())?;
        Some(members.into_iter().map(|(name, value)| (name, core::str::from_utf8(value).unwrap())).collect())
    }

    #[test]
    fn members_are_found_as_they_stand() {
        let json = r#" {"a_response": {"x":"}\"sign\":\"","y":[1, {"z":"\\"}]} ,"sign":"AB\/C=" , "n":12 }"#;
        assert_eq!(
            found(json).unwrap(),
            [
                ("a_response", r#"{"x":"}\"sign\":\"","y":[1, {"z":"\\"}]}"#),
                ("sign", r#""AB\/C=""#),
                ("n", "12 ")
            ]
        );
        assert_eq!(found("{}").unwrap(), []);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for json in [
            "",
            " ",
            "[]",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":"1}"#,
            r#"{"a":1}x"#,
            r#"{"a":1,}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"#,
            r#"{"a":"\"#,
            r#"{"\u0061":1}"#,
            "{a:1}",
            r#"{"a":1]"#,
        ] {
            assert!(found(json).is_none(), "{json}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        // Every byte string of three over an alphabet that reaches every branch.
        let alphabet = b"{}[]\":,\\a ";
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    let _ = members(&[b'{', *a, *b, *c]);
                    let _ = members(&[*a, b'"', *b, *c, b'"']);
                }
            }
        }
    }
}
