//! NOR flash in a file.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// The size of the flash, in bytes.
const CAPACITY: usize = 256 * 1024;

/// Flash that is a file: writes clear bits, erases set them, and each is in the file before it returns.
///
/// It survives the death of the process at any moment. It does not wait for the disk: a PC that loses its power may lose the
/// newest writes, which real flash would not.
#[derive(Debug)]
pub(crate) struct FileFlash {
    file: File,
}

/// Why the flash failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlashError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// Out of bounds or not aligned.
    #[error("outside the flash, or not aligned")]
    Misuse,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::File(_) => NorFlashErrorKind::Other,
            Self::Misuse => NorFlashErrorKind::OutOfBounds,
        }
    }
}

impl FileFlash {
    /// Bytes of a sector of the journal.
    pub(crate) const SECTOR_LEN: u32 = 16 * 1024;

    /// A new flash in place of what was there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(&vec![0xFF; CAPACITY], 0)?;
        Ok(Self { file })
    }

    /// A flash that was created before.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != CAPACITY as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the flash file has another size"));
        }
        Ok(Self { file })
    }

    fn check(from: usize, len: usize, unit: usize) -> Result<(), FlashError> {
        let inside = from.checked_add(len).is_some_and(|end| end <= CAPACITY);
        let aligned = from.is_multiple_of(unit) && len.is_multiple_of(unit);
        if inside && aligned { Ok(()) } else { Err(FlashError::Misuse) }
    }
}

impl ErrorType for FileFlash {
    type Error = FlashError;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        Self::check(offset as usize, bytes.len(), 1)?;
        Ok(self.file.read_exact_at(bytes, offset.into())?)
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let len = to.checked_sub(from).ok_or(FlashError::Misuse)? as usize;
        Self::check(from as usize, len, Self::ERASE_SIZE)?;
        Ok(self.file.write_all_at(&vec![0xFF; len], from.into())?)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        Self::check(offset as usize, bytes.len(), Self::WRITE_SIZE)?;
        let mut cells = vec![0; bytes.len()];
        self.file.read_exact_at(&mut cells, offset.into())?;
        for (cell, byte) in cells.iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(self.file.write_all_at(&cells, offset.into())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_cleared_by_writes_and_set_by_erases_and_stay_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flash.bin");
        let mut flash = FileFlash::create(&path).unwrap();
        flash.write(8, &[0x0F; 8]).unwrap();
        flash.write(8, &[0xF1; 8]).unwrap();
        assert!(flash.write(4, &[0; 8]).is_err() && flash.erase(0, 100).is_err());
        drop(flash);
        let mut flash = FileFlash::open(&path).unwrap();
        let mut bytes = [0; 16];
        flash.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [[0xFF; 8], [0x01; 8]].concat()[..]);
        flash.erase(0, 4096).unwrap();
        flash.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [0xFF; 16]);
    }
}
