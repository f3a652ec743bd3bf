//! Payloads, read by the grammar alone: nothing here is shared with the crates that the specification describes.

use anyhow::{Context as _, Result, bail, ensure};

use super::grammar::{Definition, Field, Grammar, Type};

/// A value on the wire, in its order: the last part of its name, and the value as the files of vectors write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Reads the fields of a payload to its very end.
pub(crate) fn payload(grammar: &Grammar, fields: &[Field], bytes: &[u8]) -> Result<Vec<Leaf>> {
    let mut reader = Reader { grammar, bytes, leaves: Vec::new() };
    reader.fields(fields)?;
    ensure!(reader.bytes.is_empty(), "{} bytes behind the last field", reader.bytes.len());
    Ok(reader.leaves)
}

struct Reader<'a> {
    grammar: &'a Grammar,
    bytes: &'a [u8],
    leaves: Vec<Leaf>,
}

impl<'a> Reader<'a> {
    fn fields(&mut self, fields: &[Field]) -> Result<()> {
        for field in fields {
            self.value(&field.name, &field.kind).with_context(|| field.name.clone())?;
        }
        Ok(())
    }

    fn put(&mut self, name: &str, value: impl std::fmt::Display) {
        self.leaves.push(Leaf { name: name.into(), value: format!("{value}") });
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len).context("cut short")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1)?.first().copied().context("cut short")
    }

    fn integer(&mut self, bits: u32) -> Result<u64> {
        if bits == 8 {
            return Ok(self.byte()?.into());
        }
        let mut value = 0_u128;
        for place in 0..10 {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                ensure!(byte != 0 || place == 0, "an integer longer than need be");
                ensure!(value >> bits == 0, "an integer that does not fit");
                return Ok(u64::try_from(value)?);
            }
        }
        bail!("an integer without an end")
    }

    fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => bail!("{other} where 0 or 1 is due"),
        }
    }

    fn length(&mut self, most: usize) -> Result<usize> {
        let len = usize::try_from(self.integer(32)?)?;
        ensure!(len <= most, "{len} where at most {most} fit");
        Ok(len)
    }

    fn value(&mut self, name: &str, kind: &Type) -> Result<()> {
        match kind {
            Type::Unsigned(bits) => {
                let value = self.integer(*bits)?;
                self.put(name, value);
            }
            Type::Signed(8) => {
                let value = self.byte()?.cast_signed();
                self.put(name, value);
            }
            Type::Signed(bits) => {
                let zigzag = self.integer(*bits)?;
                let value = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                self.put(name, value);
            }
            Type::Bool => {
                let value = self.flag()?;
                self.put(name, u8::from(value));
            }
            Type::Array(len) => {
                let value = hex(self.take(*len)?);
                self.put(name, value);
            }
            Type::Bytes(most) => {
                let len = self.length(*most)?;
                let value = format!("{len} {}", hex(self.take(len)?));
                self.put(name, value.trim_end());
            }
            Type::Text(most) => {
                let len = self.length(*most)?;
                let text = std::str::from_utf8(self.take(len)?)?;
                self.put(name, format!("{len} \"{text}\""));
            }
            Type::List(item, most) => {
                let len = self.length(*most)?;
                self.put(name, len);
                for _ in 0..len {
                    self.value(name, item)?;
                }
            }
            Type::Option(inner) => {
                let some = self.flag()?;
                self.put(name, u8::from(some));
                if some {
                    self.value(name, inner)?;
                }
            }
            Type::Named(type_name) => self.named(name, type_name)?,
        }
        Ok(())
    }

    fn named(&mut self, name: &str, type_name: &str) -> Result<()> {
        let grammar = self.grammar;
        match grammar.types.get(type_name).with_context(|| format!("no type `{type_name}`"))? {
            Definition::Alias(kind, range) => {
                self.value(name, kind)?;
                let value = self.leaves.last().map_or("", |leaf| leaf.value.as_str());
                if let Some((low, high)) = range {
                    let value: u64 = value.parse()?;
                    ensure!((*low..=*high).contains(&value), "{value} is outside {low} to {high}");
                }
            }
            Definition::Open(kind, _) => self.value(name, kind)?,
            Definition::Fields(fields) => self.fields(fields)?,
            Definition::Cases(cases) => {
                let number = usize::try_from(self.integer(32)?)?;
                let case = cases.get(number).with_context(|| format!("there is no case {number}"))?;
                self.put(name, format!("{number} {}", case.name));
                self.fields(&case.fields)?;
            }
        }
        Ok(())
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
