//! The `wire` blocks of the specification, as a grammar.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

/// A type as the blocks write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// An unsigned integer of so many bits.
    Unsigned(u32),
    /// A signed one.
    Signed(u32),
    Bool,
    Array(usize),
    Bytes(usize),
    Text(usize),
    List(Box<Type>, usize),
    Option(Box<Type>),
    /// One that another block defines.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Type,
}

impl Field {
    fn pair(&self) -> (&str, &Type) {
        (&self.name, &self.kind)
    }
}

/// One case of a choice; its number is its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Definition {
    /// Another name of a type, with its range.
    Alias(Type, Option<(u64, u64)>),
    /// A number that may grow; those listed.
    Open(Type, BTreeMap<u64, String>),
    Fields(Vec<Field>),
    Cases(Vec<Case>),
}

/// All blocks of a page.
#[derive(Debug, Default)]
pub(crate) struct Grammar {
    pub(crate) types: BTreeMap<String, Definition>,
    /// By kind: the name, and the fields of the payload.
    pub(crate) messages: BTreeMap<u8, (String, Vec<Field>)>,
}

impl Grammar {
    /// Reads the blocks of a page.
    pub(crate) fn read(page: &str) -> Result<Self> {
        let mut grammar = Self::default();
        let mut lines: Option<Vec<&str>> = None;
        for (number, line) in page.lines().enumerate() {
            match &mut lines {
                None if line == "```wire" => lines = Some(Vec::new()),
                None => {}
                Some(block) if line == "```" => {
                    grammar
                        .block(block)
                        .with_context(|| format!("the block that ends at line {}", number + 1))?;
                    lines = None;
                }
                Some(block) => block.push(line),
            }
        }
        grammar.check()?;
        Ok(grammar)
    }

    fn block(&mut self, lines: &[&str]) -> Result<()> {
        let mut rest = lines;
        while let Some((head, below)) = rest.split_first() {
            let len = below.iter().take_while(|line| line.starts_with(' ')).count();
            let (body, after) = below.split_at(len);
            rest = after;
            if !head.is_empty() {
                self.definition(head, body).with_context(|| format!("`{head}`"))?;
            }
        }
        Ok(())
    }

    fn definition(&mut self, head: &str, body: &[&str]) -> Result<()> {
        let (name, about) = word(head);
        if let Some(kind) = name.strip_prefix("0x") {
            let kind = u8::from_str_radix(kind, 16).context("the kind")?;
            let (name, _) = word(about);
            return match self.messages.insert(kind, (name.into(), fields(body, 2)?)) {
                Some(_) => bail!("the kind stands twice"),
                None => Ok(()),
            };
        }
        let definition = match word(about) {
            ("cases", _) => Definition::Cases(cases(body)?),
            ("open", kind) => Definition::Open(Type::read(word(kind).0)?, open(body)?),
            ("", _) => Definition::Fields(fields(body, 2)?),
            _ => {
                let (kind, rest) = type_and_rest(about)?;
                let range = word(rest)
                    .0
                    .split_once("..")
                    .map(|(low, high)| Ok::<_, anyhow::Error>((low.parse()?, high.parse()?)));
                Definition::Alias(kind, range.transpose()?)
            }
        };
        match self.types.insert(name.into(), definition) {
            Some(_) => bail!("the name stands twice"),
            None => Ok(()),
        }
    }

    /// Every name that is used is defined.
    fn check(&self) -> Result<()> {
        let mut used: Vec<(&str, &Type)> = Vec::new();
        for (_, fields) in self.messages.values() {
            used.extend(fields.iter().map(Field::pair));
        }
        for (name, definition) in &self.types {
            match definition {
                Definition::Fields(fields) => used.extend(fields.iter().map(Field::pair)),
                Definition::Cases(cases) => {
                    used.extend(cases.iter().flat_map(|case| &case.fields).map(Field::pair));
                }
                Definition::Alias(kind, _) | Definition::Open(kind, _) => used.push((name, kind)),
            }
        }
        for (user, mut kind) in used {
            while let Type::List(inner, _) | Type::Option(inner) = kind {
                kind = inner;
            }
            if let Type::Named(name) = kind
                && !self.types.contains_key(name)
            {
                bail!("{user}: there is no type `{name}`");
            }
        }
        Ok(())
    }
}

impl Type {
    /// From its spelling.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let inside = |open: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix('>'));
        Ok(match text {
            "u8" | "u16" | "u32" | "u64" => Self::Unsigned(text.get(1..).unwrap_or("").parse()?),
            "i8" | "i16" | "i32" => Self::Signed(text.get(1..).unwrap_or("").parse()?),
            "bool" => Self::Bool,
            _ => {
                if let Some(len) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    Self::Array(len.parse()?)
                } else if let Some(most) = inside("bytes<") {
                    Self::Bytes(most.parse()?)
                } else if let Some(most) = inside("text<") {
                    Self::Text(most.parse()?)
                } else if let Some(items) = inside("list<") {
                    let (item, most) = items.rsplit_once(", ").context("a list without a limit")?;
                    Self::List(Box::new(Self::read(item)?), most.parse()?)
                } else if let Some(value) = inside("option<") {
                    Self::Option(Box::new(Self::read(value)?))
                } else if !text.is_empty()
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                {
                    Self::Named(text.into())
                } else {
                    bail!("`{text}` is not a type");
                }
            }
        })
    }
}

/// The first word, and what follows.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    (first, rest.trim_start())
}

/// A type may have a space in it, between brackets.
fn type_and_rest(text: &str) -> Result<(Type, &str)> {
    let mut depth = 0_i32;
    let end = text.find(|c: char| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        c == ' ' && depth == 0
    });
    let (kind, rest) = text.split_at(end.unwrap_or(text.len()));
    Ok((Type::read(kind)?, rest.trim_start()))
}

fn fields(lines: &[&str], indent: usize) -> Result<Vec<Field>> {
    lines.iter().map(|line| field(line, indent).with_context(|| format!("`{}`", line.trim()))).collect()
}

fn field(line: &str, indent: usize) -> Result<Field> {
    if indent_of(line) != indent {
        bail!("not indented by {indent}");
    }
    let (name, rest) = word(line);
    Ok(Field { name: name.into(), kind: type_and_rest(rest)?.0 })
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn cases(lines: &[&str]) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    for line in lines {
        if indent_of(line) == 4 {
            cases.last_mut().context("a field before the first case")?.fields.push(field(line, 4)?);
            continue;
        }
        let (number, rest) = word(line);
        if number.parse() != Ok(cases.len()) {
            bail!("case {} is due, not `{number}`", cases.len());
        }
        cases.push(Case { name: word(rest).0.into(), fields: Vec::new() });
    }
    Ok(cases)
}

fn open(lines: &[&str]) -> Result<BTreeMap<u64, String>> {
    let mut numbers = BTreeMap::new();
    for line in lines {
        let (number, rest) = word(line);
        let number = number.parse().with_context(|| format!("`{line}`"))?;
        if numbers.insert(number, word(rest).0.to_owned()).is_some() {
            bail!("{number} stands twice");
        }
    }
    Ok(numbers)
}
