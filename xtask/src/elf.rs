//! Reads what a linker wrote for the microcontroller: 32-bit ELF, little endian. Enough of it to say what an image
//! weighs, what each symbol weighs, and who calls whom.
//!
//! Source: Tool Interface Standard, Executable and Linking Format, version 1.2, 1995; ELF for the Arm Architecture.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};

const SHT_SYMTAB: u32 = 2;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC: u32 = 2;
const SHF_EXECINSTR: u32 = 4;
const STT_OBJECT: u8 = 1;
const STT_FUNC: u8 = 2;
const SECTION_HEADER_LEN: usize = 40;
const SYMBOL_LEN: usize = 16;

/// A section.
pub(crate) struct Section {
    /// Its name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) size: u32,
    kind: u32,
    flags: u32,
    address: u32,
    offset: u32,
    link: u32,
    name_at: u32,
}

impl Section {
    /// Whether its bytes are stored on the chip. `.bss` is not: it is zeros in RAM.
    pub(crate) const fn stored(&self) -> bool {
        self.flags & SHF_ALLOC != 0 && self.kind != SHT_NOBITS
    }
}

/// A function or an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Symbol {
    /// Where it begins.
    address: u32,
    /// Its bytes.
    pub(crate) size: u32,
    /// Its name as people write it.
    pub(crate) name: String,
    function: bool,
}

/// An image.
pub(crate) struct Image {
    /// All sections.
    pub(crate) sections: Vec<Section>,
    /// Functions and objects, by address.
    pub(crate) symbols: Vec<Symbol>,
    bytes: Vec<u8>,
}

impl Image {
    /// Reads an image.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self> {
        if !bytes.starts_with(&[0x7F, b'E', b'L', b'F', 1, 1]) {
            bail!("not a 32-bit little-endian ELF file");
        }
        let mut image = Self { sections: Vec::new(), symbols: Vec::new(), bytes };
        let table = image.word(0x20)?;
        let (count, names) = (image.half(0x30)?, image.half(0x32)?);
        for number in 0..usize::from(count) {
            let section = image.section(table as usize + number * SECTION_HEADER_LEN)?;
            image.sections.push(section);
        }
        let names = image.sections.get(usize::from(names)).context("no section names")?.offset;
        for number in 0..image.sections.len() {
            let name_at = image.sections.get(number).map_or(0, |section| section.name_at);
            let name = image.text(names as usize + name_at as usize)?;
            if let Some(section) = image.sections.get_mut(number) {
                section.name = name;
            }
        }
        image.symbols = image.read_symbols()?;
        Ok(image)
    }

    fn section(&self, at: usize) -> Result<Section> {
        Ok(Section {
            name: String::new(),
            name_at: self.word(at)?,
            kind: self.word(at + 4)?,
            flags: self.word(at + 8)?,
            address: self.word(at + 12)?,
            offset: self.word(at + 16)?,
            size: self.word(at + 20)?,
            link: self.word(at + 24)?,
        })
    }

    fn read_symbols(&self) -> Result<Vec<Symbol>> {
        let table = self.sections.iter().find(|section| section.kind == SHT_SYMTAB);
        let table = table.context("no symbol table: the image was stripped")?;
        let names = self.sections.get(table.link as usize).context("no symbol names")?.offset as usize;
        let mut symbols = Vec::new();
        for at in (table.offset as usize..(table.offset + table.size) as usize).step_by(SYMBOL_LEN) {
            let kind = self.byte(at + 12)? & 0xF;
            if kind != STT_FUNC && kind != STT_OBJECT {
                continue;
            }
            let name = self.text(names + self.word(at)? as usize)?;
            symbols.push(Symbol {
                // The lowest bit says Thumb.
                address: self.word(at + 4)? & !1,
                size: self.word(at + 8)?,
                name: format!("{:#}", rustc_demangle::demangle(&name)),
                function: kind == STT_FUNC,
            });
        }
        symbols.sort();
        Ok(symbols)
    }

    /// For each function the ones that branch to it, by their place in `symbols`.
    pub(crate) fn callers(&self) -> Result<BTreeMap<usize, BTreeSet<usize>>> {
        let mut callers: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        let code = self.sections.iter().find(|section| section.flags & SHF_EXECINSTR != 0);
        let code = code.context("no code")?;
        for (caller, symbol) in self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.function) {
            let mut at = symbol.address;
            while at < symbol.address + symbol.size {
                let offset = (at - code.address + code.offset) as usize;
                let (first, second) = (self.half(offset)?, self.half(offset + 2)?);
                if let Some(target) = branch(at, first, second)
                    && let Some(callee) = self.symbols.iter().position(|s| s.function && s.address == target)
                    && callee != caller
                {
                    callers.entry(callee).or_default().insert(caller);
                }
                at += if first >> 11 >= 0b11101 { 4 } else { 2 };
            }
        }
        Ok(callers)
    }

    fn byte(&self, at: usize) -> Result<u8> {
        self.bytes.get(at).copied().context("the file is cut off")
    }

    fn half(&self, at: usize) -> Result<u16> {
        Ok(u16::from_le_bytes([self.byte(at)?, self.byte(at + 1)?]))
    }

    fn word(&self, at: usize) -> Result<u32> {
        Ok(u32::from(self.half(at)?) | u32::from(self.half(at + 2)?) << 16)
    }

    fn text(&self, at: usize) -> Result<String> {
        let bytes = self.bytes.get(at..).context("the file is cut off")?;
        let end = bytes.iter().position(|byte| *byte == 0).context("the file is cut off")?;
        Ok(String::from_utf8_lossy(bytes.get(..end).unwrap_or(&[])).into_owned())
    }
}

/// Where the instruction at `at` branches to, if it is `BL` (T1), `B.W` (T4) or `B` (T2): calls and tail calls. Source: Armv7-M
/// Architecture Reference Manual, A7.7.12 and A7.7.18.
fn branch(at: u32, first: u16, second: u16) -> Option<u32> {
    let (first, second) = (u32::from(first), u32::from(second));
    let from = at.wrapping_add(4);
    if first >> 11 == 0b11100 {
        // The sign bit of eleven halfwords moved to the top and back.
        let offset = ((first << 21).cast_signed() >> 20).cast_unsigned();
        return Some(from.wrapping_add(offset));
    }
    if first >> 11 != 0b11110 || second & 0x9000 != 0x9000 {
        return None;
    }
    let sign = first >> 10 & 1;
    let i1 = !(second >> 13 ^ sign) & 1;
    let i2 = !(second >> 11 ^ sign) & 1;
    let bits = sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1;
    let offset = ((bits << 7).cast_signed() >> 7).cast_unsigned();
    Some(from.wrapping_add(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_lead_where_the_disassembler_says() {
        // From `llvm-objdump`: bl forwards, bl backwards, b.w forwards, b backwards, and two that are no branches.
        assert_eq!(branch(0x1000, 0xF000, 0xF802), Some(0x1008));
        assert_eq!(branch(0x1000, 0xF7FF, 0xFFFE), Some(0x1000));
        assert_eq!(branch(0x1000, 0xF001, 0xB800), Some(0x2004));
        assert_eq!(branch(0x1000, 0xE7FE, 0x0000), Some(0x1000));
        assert_eq!(branch(0x1000, 0x4770, 0x0000), None);
        assert_eq!(branch(0x1000, 0xF44F, 0x0070), None);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(Image::read(Vec::new()).is_err());
        assert!(Image::read(b"\x7FELF\x02\x01".to_vec()).is_err());
        let mut cut = vec![0x7F, b'E', b'L', b'F', 1, 1];
        cut.resize(0x34, 0);
        cut[0x30] = 1;
        cut[0x21] = 0xFF;
        assert!(Image::read(cut).is_err());
    }
}
