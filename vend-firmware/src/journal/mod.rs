//! The journal: an append-only log in NOR flash, and the machine's only memory of money.
//!
//! A power cut at any moment loses at most the record that was being written, and then all of it.
//!
//! # In flash
//! A ring of equal sectors, each a whole number of erase blocks. All numbers are little endian.
//!
//! ```text
//! sector     start record, records, blank units, closing unit
//! record     0      mark 0xA7
//!            1      kind: 1 start, 2 taken, 3 outcome, 4 receipt, 5 acknowledged, 6 nonce
//!            2..4   length of the payload, at most 532
//!            4..8   index: the record's number in its sector; the start is 0
//!            8..n   payload, canonical postcard (`vend_protocol::codec`)
//!            n..n+4 CRC-32/ISO-HDLC of journal (8 bytes), sector sequence (u64) and bytes 0..n
//!                   (for a start: of 16 zeros and bytes 0..n)
//!            zeros up to a multiple of 8 bytes
//! start      format (1), journal, sector sequence, number of carried records, and the [`Numbers`]
//! closing    the sector's last 8 bytes: blank until the next sector is complete
//! ```
//!
//! # Reading
//! The newest sector (highest sequence) that has all its carried records is the active one; the state is its start's
//! numbers with its records applied. What is not a record is stepped over unit by unit: a power cut left it, and the
//! record after it has the index the lost one would have had. An index that is skipped means that a record was lost
//! *after* it was written. That, and a closed sector without a successor, is [`Error::Corrupt`]: a machine that went on
//! from an older state could vend an order twice. (The very last record cannot be told from one that was never finished.)
//!
//! # Erasing
//! When a record does not fit, the next sector of the ring is erased, if every receipt in it is acknowledged; else the
//! journal is [full](Error::Full). The new sector starts with the numbers, then an open order is carried over, then the old
//! one is closed. Room for all records of an order is made by [`Journal::reserve`] before the order is taken.
//!
//! Memory: about 700 bytes, and as much again on the stack. Time: one record is one write; opening reads all of the active
//! sector; an erase happens in `reserve`, and in [`Journal::append`] only after power cuts wasted the reserved room.

mod layout;
mod read;
mod record;
#[cfg(test)]
pub(crate) mod test_flash;
#[cfg(test)]
mod tests;

use embedded_storage::nor_flash::NorFlash;
use vend_protocol::{AuthSeq, JournalId, ReceiptNo, codec::CodecError, signed::MAX_LINES};

use layout::{Binding, CLOSING, Image, OUTCOME_MAX, Place, RECORD_MAX, Start, UNIT};
use read::{Reader, is_blank, newest, read_start};
pub use record::{LineOutcome, Numbers, OpenOrder, OutOfOrder, Record, State, StoredReceipt, Taken};

/// The smallest sector, in bytes.
pub const SECTOR_MIN: u32 = 4096;

/// Room for all records of an order: taken, every outcome, the receipt.
const ORDER_ROOM: usize = 2 * RECORD_MAX + MAX_LINES * OUTCOME_MAX;

/// Why the journal could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// The flash failed. Nothing can be appended until the journal is opened again.
    #[error("the flash failed")]
    Flash(E),
    /// The flash's blocks do not fit the layout: fewer than two sectors, a sector below [`SECTOR_MIN`] or not of whole erase
    /// blocks, write or read units that do not divide 8.
    #[error("flash of an unfit geometry")]
    Geometry,
    /// The flash is blank: it was never formatted.
    #[error("the journal was never formatted")]
    Blank,
    /// Records that were written are not there any more. The machine needs a new key; see the module's documentation.
    #[error("the journal is damaged")]
    Corrupt,
    /// No room until the server acknowledges receipts.
    #[error("the journal is full")]
    Full,
    /// The record cannot be the next one.
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
    /// The record cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// An earlier write failed, so that it is not known what is in flash. Open the journal again.
    #[error("an earlier write failed")]
    Broken,
}

/// Which receipt is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The one with this number, also when it is acknowledged, as long as it has not been erased.
    Number(ReceiptNo),
    /// The oldest that is still there from this number on.
    From(ReceiptNo),
    /// The unacknowledged one for this sequence; without one, the unacknowledged one for the next sequence below.
    Sequence(AuthSeq),
}

/// The journal on a flash.
#[derive(Debug)]
pub struct Journal<F> {
    flash: F,
    sector_len: u32,
    sectors: u32,
    active: Active,
    state: State,
    reserved: bool,
    broken: bool,
}

/// The sector that is written to.
#[derive(Clone, Copy, Debug)]
struct Active {
    sector: u32,
    start: Start,
    /// Where the next record goes, from the sector's beginning.
    tail: u32,
    next_index: u32,
}

impl<F: NorFlash> Journal<F> {
    /// Erases the flash and begins an empty journal.
    ///
    /// Only for a key that has never signed anything: an emptied journal under a used key would vend orders again. `id` must
    /// be random.
    ///
    /// # Errors
    /// [`Error::Geometry`], [`Error::Flash`].
    pub fn format(mut flash: F, sector_len: u32, id: JournalId) -> Result<Self, Error<F::Error>> {
        let sectors = Self::geometry(&flash, sector_len)?;
        flash.erase(0, sectors * sector_len).map_err(Error::Flash)?;
        let state = State::empty()?;
        let start = Start::new(id, 1, 0, state.numbers);
        let image = Image::start(&start)?;
        flash.write(0, image.as_slice()).map_err(Error::Flash)?;
        let active = Active { sector: 0, start, tail: offset_of(image.len()), next_index: 1 };
        Ok(Self { flash, sector_len, sectors, active, state, reserved: false, broken: false })
    }

    /// Opens a journal after a restart.
    ///
    /// # Errors
    /// [`Error::Blank`] or [`Error::Corrupt`]: the machine must not sell under its key. [`Error::Geometry`], [`Error::Flash`].
    pub fn open(mut flash: F, sector_len: u32) -> Result<Self, Error<F::Error>> {
        let sectors = Self::geometry(&flash, sector_len)?;
        let mut below = None;
        // Twice at most: the newest sector may be one whose making was interrupted, the one before it is then whole.
        for _ in 0..2 {
            let Some((sector, start)) = newest(&mut flash, sector_len, sectors, below)? else { break };
            let mut reader = Reader::new(&mut flash, sector_len, sector, &start)?;
            if reader.is_closed()? {
                return Err(Error::Corrupt);
            }
            let mut state = State::of(start.numbers);
            while let Some(record) = reader.next()? {
                state.apply(&record).map_err(|_| Error::Corrupt)?;
            }
            let (tail, next_index) = (reader.tail, reader.next_index);
            if next_index > u32::from(start.carried) {
                let active = Active { sector, start, tail, next_index };
                let mut journal =
                    Self { flash, sector_len, sectors, active, state, reserved: false, broken: false };
                journal.close_predecessor()?;
                return Ok(journal);
            }
            below = Some(start.sequence);
        }
        let blank = below.is_none() && is_blank(&mut flash, sectors * sector_len)?;
        Err(if blank { Error::Blank } else { Error::Corrupt })
    }

    /// The journal's random name.
    pub const fn id(&self) -> JournalId {
        self.active.start.journal
    }

    /// What all records together say.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Makes room for all records of an order, or of an order that is refused. It stays reserved until the order's receipt
    /// is appended or the journal is opened again. May erase a sector.
    ///
    /// # Errors
    /// [`Error::Full`]: nothing may be taken now. [`Error::Flash`], [`Error::Broken`].
    pub fn reserve(&mut self) -> Result<(), Error<F::Error>> {
        if self.broken {
            return Err(Error::Broken);
        }
        self.reserved = false;
        if self.free() < ORDER_ROOM + self.owed() {
            self.roll(&self.state.clone())?;
        }
        self.reserved = true;
        Ok(())
    }

    /// Appends a record. When this returns, it is in flash.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] and [`Error::Full`]: nothing was written. After [`Error::Flash`] only opening the journal again
    /// tells whether it was.
    pub fn append(&mut self, record: &Record) -> Result<(), Error<F::Error>> {
        if self.broken {
            return Err(Error::Broken);
        }
        let mut after = self.state.clone();
        after.apply(record)?;
        let of_order = matches!(record, Record::Taken(_) | Record::Outcome(_) | Record::Receipt(_));
        let kept = if of_order { 0 } else { self.owed() };
        let mut image = Image::record(record, self.place())?;
        if self.free() < image.len() + kept {
            if !of_order {
                // It takes effect in the new sector's numbers: an acknowledgement may be what frees that sector.
                self.roll(&after)?;
                self.state = after;
                return Ok(());
            }
            self.roll(&self.state.clone())?;
            image = Image::record(record, self.place())?;
        }
        self.write_at_tail(&image)?;
        if matches!(record, Record::Receipt(_) | Record::Taken(_)) {
            self.reserved = false;
        }
        self.state = after;
        Ok(())
    }

    /// Finds a receipt.
    ///
    /// # Errors
    /// [`Error::Flash`]; [`Error::Corrupt`] when a sector that may hold it is damaged and something in it is unacknowledged.
    pub fn receipt(&mut self, lookup: Lookup) -> Result<Option<StoredReceipt>, Error<F::Error>> {
        let numbers = self.state.numbers;
        let wanted = match lookup {
            Lookup::Number(number) => Some(number.number()),
            Lookup::From(number) => return self.receipts(number.number(), |_| true),
            Lookup::Sequence(seq) => {
                let mut found = None;
                self.receipts(numbers.acknowledged.saturating_add(1), |receipt| {
                    if receipt.seq <= seq {
                        found = Some(receipt.number.number());
                    }
                    false
                })?;
                found
            }
        };
        match wanted {
            Some(wanted) => self.receipts(wanted, |receipt| receipt.number.number() == wanted),
            None => Ok(None),
        }
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// Reads receipts from the number `first` on, oldest first, until `stop` says so; gives that one. Sectors that end
    /// below `first` are not read, so that what rotted in them hurts nobody; of a damaged one in which all is acknowledged the
    /// rest is stepped over.
    fn receipts(
        &mut self,
        first: u64,
        mut stop: impl FnMut(&StoredReceipt) -> bool,
    ) -> Result<Option<StoredReceipt>, Error<F::Error>> {
        for back in (0..self.sectors).rev() {
            let sector = (self.active.sector + self.sectors - back) % self.sectors;
            let Some(start) = read_start(&mut self.flash, self.sector_len, sector)? else { continue };
            let in_ring = start.journal == self.id()
                && start.sequence.checked_add(u64::from(back)) == Some(self.active.start.sequence);
            if !in_ring {
                continue;
            }
            let mut needed = true;
            if back > 0 {
                // Its last receipt is the one that its successor began with.
                let next = read_start(&mut self.flash, self.sector_len, (sector + 1) % self.sectors)?
                    .filter(|next| Some(next.sequence) == start.sequence.checked_add(1));
                let last = next.map_or(u64::MAX, |next| next.numbers.last_receipt);
                if last < first {
                    continue;
                }
                needed = last > self.state.numbers.acknowledged;
            }
            let mut reader = Reader::new(&mut self.flash, self.sector_len, sector, &start)?;
            loop {
                let record = match reader.next() {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    Err(Error::Corrupt) if !needed => break,
                    Err(error) => return Err(error),
                };
                if let Record::Receipt(receipt) = record
                    && receipt.number.number() >= first
                    && stop(&receipt)
                {
                    return Ok(Some(receipt));
                }
            }
        }
        Ok(None)
    }

    /// What the open order, or the one room is reserved for, will still write.
    fn owed(&self) -> usize {
        match &self.state.order {
            Some(order) => {
                let outcomes = MAX_LINES.saturating_sub(order.outcomes.len());
                RECORD_MAX + outcomes * OUTCOME_MAX
            }
            None if self.reserved => ORDER_ROOM,
            None => 0,
        }
    }

    /// Bytes left in the active sector, without its closing unit.
    fn free(&self) -> usize {
        let end = self.sector_len.saturating_sub(offset_of(UNIT));
        usize::try_from(end.saturating_sub(self.active.tail)).unwrap_or(0)
    }

    const fn place(&self) -> Place {
        Place { binding: Binding::of(&self.active.start), index: self.active.next_index }
    }

    fn write_at_tail(&mut self, image: &Image) -> Result<(), Error<F::Error>> {
        let at = self.active.sector * self.sector_len + self.active.tail;
        self.write(at, image.as_slice())?;
        self.active.tail += offset_of(image.len());
        self.active.next_index += 1;
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        self.flash.write(at, bytes).map_err(|error| {
            self.broken = true;
            Error::Flash(error)
        })
    }

    /// Goes on in the next sector of the ring, which begins with `state`.
    fn roll(&mut self, state: &State) -> Result<(), Error<F::Error>> {
        let sector = (self.active.sector + 1) % self.sectors;
        if !self.is_dead(sector, state.numbers.acknowledged)? {
            return Err(Error::Full);
        }
        let at = sector * self.sector_len;
        self.flash.erase(at, at + self.sector_len).map_err(|error| {
            self.broken = true;
            Error::Flash(error)
        })?;
        let outcomes = state.order.as_ref().map_or(0, |order| 1 + order.outcomes.len());
        let carried = u8::try_from(outcomes).map_err(|_| CodecError::Full)?;
        let sequence = self.active.start.sequence.checked_add(1).ok_or(Error::Corrupt)?;
        let mut numbers = state.numbers;
        if let Some(order) = &state.order {
            // Applying the carried records leads to these numbers again.
            numbers.next_vend = order.taken.first_vend;
            numbers.used_seq = order.body()?.seq.number().saturating_sub(1);
        }
        let start = Start::new(self.id(), sequence, carried, numbers);
        let image = Image::start(&start)?;
        self.write(at, image.as_slice())?;
        let old = self.active;
        self.active = Active { sector, start, tail: offset_of(image.len()), next_index: 1 };
        if let Some(order) = &state.order {
            self.carry(order)?;
        }
        self.close(old.sector)
    }

    fn carry(&mut self, order: &OpenOrder) -> Result<(), Error<F::Error>> {
        let image = Image::record(&Record::Taken(order.taken.clone()), self.place())?;
        self.write_at_tail(&image)?;
        for (line, outcome) in (0..).zip(order.outcomes.iter()) {
            let record = Record::Outcome(LineOutcome { line, outcome: *outcome });
            let image = Image::record(&record, self.place())?;
            self.write_at_tail(&image)?;
        }
        Ok(())
    }

    /// Whether nothing in a sector is needed any more.
    fn is_dead(&mut self, sector: u32, acknowledged: u64) -> Result<bool, Error<F::Error>> {
        let Some(start) = read_start(&mut self.flash, self.sector_len, sector)? else {
            // Never used, or its erasing was interrupted, which was begun because it was dead.
            return Ok(true);
        };
        let successor = read_start(&mut self.flash, self.sector_len, (sector + 1) % self.sectors)?
            .filter(|next| Some(next.sequence) == start.sequence.checked_add(1));
        // Its last receipt is the one that its successor began with.
        let last = successor.map_or(self.state.numbers.last_receipt, |next| next.numbers.last_receipt);
        Ok(start.journal != self.id() || start.sequence > self.active.start.sequence || last <= acknowledged)
    }

    fn close(&mut self, sector: u32) -> Result<(), Error<F::Error>> {
        let at = (sector + 1) * self.sector_len - offset_of(UNIT);
        self.write(at, &CLOSING)
    }

    /// A power cut may have come between the new sector's completion and the old one's closing.
    fn close_predecessor(&mut self) -> Result<(), Error<F::Error>> {
        let sector = (self.active.sector + self.sectors - 1) % self.sectors;
        let Some(start) = read_start(&mut self.flash, self.sector_len, sector)? else { return Ok(()) };
        if start.sequence.checked_add(1) != Some(self.active.start.sequence) {
            return Ok(());
        }
        if Reader::new(&mut self.flash, self.sector_len, sector, &start)?.is_closed()? {
            return Ok(());
        }
        self.close(sector)
    }

    fn geometry(flash: &F, sector_len: u32) -> Result<u32, Error<F::Error>> {
        let divides = |small: usize, large: usize| small > 0 && large.is_multiple_of(small);
        let len = usize::try_from(sector_len).map_err(|_| Error::Geometry)?;
        let capacity = u32::try_from(flash.capacity()).map_err(|_| Error::Geometry)?;
        let fits = sector_len >= SECTOR_MIN
            && divides(F::ERASE_SIZE, len)
            && divides(F::WRITE_SIZE, UNIT)
            && divides(F::READ_SIZE, UNIT)
            && divides(UNIT, len);
        let sectors = capacity.checked_div(sector_len).unwrap_or(0);
        if fits && sectors >= 2 { Ok(sectors) } else { Err(Error::Geometry) }
    }
}

/// Records are at most some hundred bytes, so their lengths fit any offset.
fn offset_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
