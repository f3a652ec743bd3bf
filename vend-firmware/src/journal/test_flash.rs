//! A flash that loses power after any byte.

extern crate std;

use std::{cell::RefCell, rc::Rc, vec, vec::Vec};

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// `SplitMix64`, so that a failing seed can be run again.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.next().to_le_bytes()[0])
    }
}

/// A NOR flash: bits are cleared by writes, set by erases. Clones are the same flash.
#[derive(Clone, Debug)]
pub(crate) struct TestFlash(Rc<RefCell<Cells>>);

#[derive(Debug)]
struct Cells {
    bytes: Vec<u8>,
    /// Steps until the power goes; a step is a byte written or 64 bytes erased.
    left: Option<u64>,
    steps: u64,
    rng: Rng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestFlashError {
    PowerLost,
    Misuse,
}

impl NorFlashError for TestFlashError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

const ERASE_STEP: usize = 64;

impl TestFlash {
    pub(crate) fn new(len: usize, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let bytes = (0..len).map(|_| rng.next().to_le_bytes()[0]).collect();
        Self(Rc::new(RefCell::new(Cells { bytes, left: None, steps: 0, rng })))
    }

    pub(crate) fn blank(len: usize, seed: u64) -> Self {
        let flash = Self::new(len, seed);
        flash.0.borrow_mut().bytes = vec![0xFF; len];
        flash
    }

    pub(crate) fn cut_after(&self, steps: Option<u64>) {
        self.0.borrow_mut().left = steps;
    }

    pub(crate) fn steps(&self) -> u64 {
        self.0.borrow().steps
    }

    pub(crate) fn with_bytes<R>(&self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        f(&mut self.0.borrow_mut().bytes)
    }
}

impl Cells {
    fn step(&mut self) -> bool {
        match &mut self.left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        self.steps += 1;
        true
    }
}

impl ErrorType for TestFlash {
    type Error = TestFlashError;
}

impl ReadNorFlash for TestFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), TestFlashError> {
        let cells = self.0.borrow();
        if cells.left == Some(0) {
            return Err(TestFlashError::PowerLost);
        }
        let offset = offset as usize;
        out.copy_from_slice(cells.bytes.get(offset..offset + out.len()).ok_or(TestFlashError::Misuse)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl NorFlash for TestFlash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), TestFlashError> {
        let mut cells = self.0.borrow_mut();
        for at in (from as usize..to as usize).step_by(ERASE_STEP) {
            let whole = cells.step();
            for byte in at..at + ERASE_STEP {
                // An interrupted erase leaves any bits.
                let set = if whole { 0xFF } else { cells.rng.next().to_le_bytes()[0] };
                cells.bytes[byte] |= set;
            }
            if !whole {
                return Err(TestFlashError::PowerLost);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), TestFlashError> {
        let mut cells = self.0.borrow_mut();
        if !(offset as usize).is_multiple_of(8) || !bytes.len().is_multiple_of(8) {
            return Err(TestFlashError::Misuse);
        }
        for (at, byte) in (offset as usize..).zip(bytes) {
            if cells.left != Some(0) && cells.bytes[at] != 0xFF {
                // Units are written once after an erase: flash with error correction allows no more.
                return Err(TestFlashError::Misuse);
            }
            let whole = cells.step();
            let kept = if whole { 0 } else { cells.rng.next().to_le_bytes()[0] };
            cells.bytes[at] &= byte | kept;
            if !whole {
                return Err(TestFlashError::PowerLost);
            }
        }
        Ok(())
    }
}
