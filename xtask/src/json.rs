//! Enough of a JSON reader for `cargo metadata` and the demo's report.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// A JSON value. Numbers stay as they are written: they are only shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// A number, `true`, `false` or `null`.
    Word(String),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a whole document.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader { rest: text };
        let value = reader.value()?;
        if reader.rest.trim().is_empty() { Ok(value) } else { bail!("more than one JSON value") }
    }

    /// A member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members().and_then(|members| members.get(name))
    }

    /// The members of an object.
    pub(crate) const fn members(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The items of an array; none for anything else.
    pub(crate) fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    /// A string's text or a number's spelling.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) | Self::Word(text) = self { Some(text) } else { None }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Json> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next() {
            Some('{') => {
                let mut members = BTreeMap::new();
                self.each('}', |reader| {
                    let name = reader.string()?;
                    reader.expect(':')?;
                    members.insert(name, reader.value()?);
                    Ok(())
                })?;
                Ok(Json::Object(members))
            }
            Some('[') => {
                let mut items = Vec::new();
                self.each(']', |reader| {
                    items.push(reader.value()?);
                    Ok(())
                })?;
                Ok(Json::Array(items))
            }
            Some('"') => self.string().map(Json::Text),
            _ => {
                let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                if word.is_empty() {
                    bail!("not a JSON value: {:.20}", self.rest);
                }
                self.rest = rest;
                Ok(Json::Word(word.to_owned()))
            }
        }
    }

    /// What stands between an opening bracket and `end`, separated by commas.
    fn each(&mut self, end: char, mut one: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.rest = self.rest.get(1..).unwrap_or("");
        if self.take(end) {
            return Ok(());
        }
        loop {
            one(self)?;
            if self.take(end) {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    fn string(&mut self) -> Result<String> {
        self.expect('"')?;
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => match chars.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).collect();
                        // Half of a pair stands for a character we never look for.
                        let code = u32::from_str_radix(&digits, 16)?;
                        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    Some(other) => text.push(other),
                    None => bail!("a JSON string without an end"),
                },
                Some(other) => text.push(other),
                None => bail!("a JSON string without an end"),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        if self.take(wanted) { Ok(()) } else { bail!("`{wanted}` is missing before {:.20}", self.rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_again() {
        let json = Json::parse(r#" {"a": [1, -2.5e3, {"b": "x\n\"\u00e9"}], "c": {}, "d": [], "e": null} "#)
            .unwrap();
        let items = json.get("a").unwrap().items();
        assert_eq!((items[0].text(), items[1].text()), (Some("1"), Some("-2.5e3")));
        assert_eq!(items[2].get("b").unwrap().text(), Some("x\n\"é"));
        assert!(json.get("c").unwrap().members().unwrap().is_empty());
        assert_eq!(json.get("e"), Some(&Json::Word("null".to_owned())));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "[1,]", r#"{"a" 1}"#, r#""x"#, "1 2"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }
}
