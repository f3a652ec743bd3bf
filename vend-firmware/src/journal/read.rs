//! Reading sectors: where records are, and what is not one.

use embedded_storage::nor_flash::NorFlash;

use super::{
    Error, Record,
    layout::{BLANK, Binding, Header, Image, RECORD_MAX, Start, UNIT},
    offset_of,
};

/// The newest sector, or the newest whose sequence is below `below`.
pub(super) fn newest<F: NorFlash>(
    flash: &mut F,
    sector_len: u32,
    sectors: u32,
    below: Option<u64>,
) -> Result<Option<(u32, Start)>, Error<F::Error>> {
    let mut newest: Option<(u32, Start)> = None;
    for sector in 0..sectors {
        if let Some(start) = read_start(flash, sector_len, sector)?
            && below.is_none_or(|below| start.sequence < below)
            && newest.is_none_or(|(_, newest)| start.sequence > newest.sequence)
        {
            newest = Some((sector, start));
        }
    }
    Ok(newest)
}

pub(super) fn read_start<F: NorFlash>(
    flash: &mut F,
    sector_len: u32,
    sector: u32,
) -> Result<Option<Start>, Error<F::Error>> {
    let mut record = [0; RECORD_MAX];
    let at = sector * sector_len;
    Ok(read_image(flash, at, sector_len, &mut record)?.and_then(|(header, bytes)| header.start(bytes)))
}

/// What may be a record: its header and its bytes.
type MaybeRecord<'a> = (Header, &'a [u8]);

/// Reads what may be a record, of at most `room` bytes.
fn read_image<'a, F: NorFlash>(
    flash: &mut F,
    at: u32,
    room: u32,
    buffer: &'a mut [u8; RECORD_MAX],
) -> Result<Option<MaybeRecord<'a>>, Error<F::Error>> {
    let mut unit = [0; UNIT];
    flash.read(at, &mut unit).map_err(Error::Flash)?;
    read_rest(flash, at, unit, room, buffer)
}

/// As [`read_image`], when its first unit was read.
fn read_rest<'a, F: NorFlash>(
    flash: &mut F,
    at: u32,
    unit: [u8; UNIT],
    room: u32,
    buffer: &'a mut [u8; RECORD_MAX],
) -> Result<Option<MaybeRecord<'a>>, Error<F::Error>> {
    let Some(header) = Header::parse(unit) else { return Ok(None) };
    let Some(bytes) = buffer.get_mut(..header.record_len()) else { return Ok(None) };
    if offset_of(header.record_len()) > room {
        return Ok(None);
    }
    flash.read(at, bytes).map_err(Error::Flash)?;
    Ok(Some((header, bytes)))
}

pub(super) fn is_blank<F: NorFlash>(flash: &mut F, len: u32) -> Result<bool, Error<F::Error>> {
    let mut unit = [0; UNIT];
    for at in (0..len).step_by(UNIT) {
        flash.read(at, &mut unit).map_err(Error::Flash)?;
        if unit != [BLANK; UNIT] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the records of one sector.
pub(super) struct Reader<'a, F> {
    flash: &'a mut F,
    base: u32,
    binding: Binding,
    at: u32,
    end: u32,
    /// Behind the last unit that is not blank.
    pub(super) tail: u32,
    pub(super) next_index: u32,
}

impl<'a, F: NorFlash> Reader<'a, F> {
    pub(super) fn new(
        flash: &'a mut F,
        sector_len: u32,
        sector: u32,
        start: &Start,
    ) -> Result<Self, Error<F::Error>> {
        let at = offset_of(Image::start(start)?.len());
        let base = sector * sector_len;
        let end = sector_len - offset_of(UNIT);
        Ok(Self { flash, base, binding: Binding::of(start), at, end, tail: at, next_index: 1 })
    }

    pub(super) fn is_closed(&mut self) -> Result<bool, Error<F::Error>> {
        let mut unit = [0; UNIT];
        self.flash.read(self.base + self.end, &mut unit).map_err(Error::Flash)?;
        Ok(unit != [BLANK; UNIT])
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, Error<F::Error>> {
        let mut buffer = [0; RECORD_MAX];
        while self.at < self.end {
            let at = self.base + self.at;
            let mut unit = [0; UNIT];
            self.flash.read(at, &mut unit).map_err(Error::Flash)?;
            let image = read_rest(self.flash, at, unit, self.end - self.at, &mut buffer)?;
            if let Some((header, bytes)) = image
                && let Some(record) = header.record(bytes, self.binding).map_err(|_| Error::Corrupt)?
            {
                if header.index != self.next_index {
                    return Err(Error::Corrupt);
                }
                self.at += offset_of(header.record_len());
                self.tail = self.at;
                self.next_index += 1;
                return Ok(Some(record));
            }
            self.at += offset_of(UNIT);
            if unit != [BLANK; UNIT] {
                self.tail = self.at;
            }
        }
        Ok(None)
    }
}
