//! What waits to be sent at a machine, encoded, in order of importance.

use crate::{
    bounded::fill,
    codec::{self, CodecError},
    frame::Message,
};

/// How important a message is, and what happens to it when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// An answer the server waits for. Goes before money, which waits for nobody. Takes the place of a lossy one.
    Answer,
    /// An event that is kept elsewhere until the server has noted it. Takes the place of a lossy one.
    Event,
    /// How the machine is: a newer one replaces one of the same kind.
    State,
    /// Something that may be lost: the oldest goes when there is no room.
    Lossy,
}

/// There is no room for a message that must not be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room to send")]
pub struct OutboxFull;

#[derive(Clone, Copy, Debug)]
struct Entry<const BYTES: usize> {
    /// `None`: free.
    class: Option<Class>,
    kind: u8,
    revision: u8,
    /// Of all that were queued, which this is.
    number: u32,
    len: usize,
    payload: [u8; BYTES],
}

/// At most `SLOTS` messages of at most `BYTES` bytes of payload each. Memory: `SLOTS` times `BYTES` plus 16.
///
/// Entries stay where they are, and the one to send is looked for: moving them would cost an image more than looking.
#[derive(Clone, Debug)]
pub(super) struct Outbox<const SLOTS: usize, const BYTES: usize> {
    entries: [Entry<BYTES>; SLOTS],
    queued: u32,
    dropped: u32,
}

impl<const SLOTS: usize, const BYTES: usize> Outbox<SLOTS, BYTES> {
    pub(super) const fn new() -> Self {
        let free = Entry { class: None, kind: 0, revision: 0, number: 0, len: 0, payload: [0; BYTES] };
        Self { entries: [free; SLOTS], queued: 0, dropped: 0 }
    }

    /// Lossy messages that found no room, or lost it to something more important.
    pub(super) const fn dropped(&self) -> u32 {
        self.dropped
    }

    pub(super) fn push<M: Message>(&mut self, class: Class, message: &M) -> Result<(), OutboxFull> {
        let mut payload = [0; BYTES];
        let len = codec::encode(message, &mut payload).map_err(|_| OutboxFull)?;
        self.insert(class, [M::KIND, M::REVISION], payload.get(..len).unwrap_or(&[]))
    }

    /// One copy of it for all messages, and no entry is moved.
    #[inline(never)]
    fn insert(&mut self, class: Class, [kind, revision]: [u8; 2], payload: &[u8]) -> Result<(), OutboxFull> {
        let number = self.queued;
        match self.place_for(class, kind) {
            Some(entry) => {
                (entry.class, entry.kind, entry.revision) = (Some(class), kind, revision);
                (entry.number, entry.len) = (number, payload.len());
                fill(&mut entry.payload, payload);
            }
            None if class >= Class::State => self.dropped = self.dropped.saturating_add(1),
            None => return Err(OutboxFull),
        }
        self.queued = number.wrapping_add(1);
        Ok(())
    }

    /// Where a message of this class goes: for a state in the place of an older one of its kind, else where it is free, else in
    /// the place of the oldest of the least important that may be lost.
    fn place_for(&mut self, class: Class, kind: u8) -> Option<&mut Entry<BYTES>> {
        let same = |entry: &Entry<BYTES>| entry.class == Some(Class::State) && entry.kind == kind;
        let replaced = self.entries.iter().position(|entry| class == Class::State && same(entry));
        let mut at = replaced.or_else(|| self.entries.iter().position(|entry| entry.class.is_none()));
        if at.is_none() {
            let may_go = |entry: &Entry<BYTES>| entry.class >= Some(Class::State.max(class));
            let oldest = |entry: &Entry<BYTES>| (entry.class, self.queued.wrapping_sub(entry.number));
            let entries = self.entries.iter().enumerate().filter(|(_, entry)| may_go(entry));
            at = entries.max_by_key(|(_, entry)| oldest(entry)).map(|(at, _)| at);
            self.dropped = self.dropped.saturating_add(u32::from(at.is_some()));
        }
        self.entries.get_mut(at?)
    }

    /// Sends the most important message, the oldest of its class, if it is at least as important as `least`; it stays when
    /// sending fails.
    pub(super) fn send_first<E: From<CodecError>>(
        &mut self,
        least: Class,
        send: impl FnOnce(u8, u8, &[u8]) -> Result<usize, E>,
    ) -> Result<Option<usize>, E> {
        let queued = self.queued;
        let rank = |entry: &Entry<BYTES>| (entry.class, !queued.wrapping_sub(entry.number));
        let waiting = self.entries.iter_mut().filter(|entry| entry.class.is_some_and(|class| class <= least));
        let Some(entry) = waiting.min_by_key(|entry| rank(entry)) else { return Ok(None) };
        let payload = entry.payload.get(..entry.len).ok_or(CodecError::Full)?;
        let len = send(entry.kind, entry.revision, payload)?;
        entry.class = None;
        Ok(Some(len))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;
    use crate::{
        AuthSeq,
        machine_link::{Busy, ClockRequest, KeyListApplied, Settled, Taken, kind},
    };

    fn drain<const SLOTS: usize>(outbox: &mut Outbox<SLOTS, 16>) -> Vec<(u8, u8)> {
        let mut sent = Vec::new();
        let one =
            |kind, _, payload: &[u8]| Ok::<_, CodecError>(usize::from(kind) << 8 | usize::from(payload[0]));
        while let Some(pair) = outbox.send_first(Class::Lossy, one).unwrap() {
            sent.push((u8::try_from(pair >> 8).unwrap(), u8::try_from(pair & 0xFF).unwrap()));
        }
        sent
    }

    fn seq(number: u64) -> AuthSeq {
        AuthSeq::new(number).unwrap()
    }

    #[test]
    fn the_most_important_goes_first_and_the_oldest_of_its_class() {
        let mut outbox = Outbox::<8, 16>::new();
        outbox.push(Class::Lossy, &ClockRequest { request: 1 }).unwrap();
        outbox.push(Class::Event, &KeyListApplied { version: 2 }).unwrap();
        outbox.push(Class::Answer, &Taken { seq: seq(3) }).unwrap();
        outbox.push(Class::Answer, &Busy { seq: seq(4) }).unwrap();
        outbox.push(Class::Event, &KeyListApplied { version: 5 }).unwrap();
        let order = [
            (kind::TAKEN, 3),
            (kind::BUSY, 4),
            (kind::KEY_LIST_APPLIED, 2),
            (kind::KEY_LIST_APPLIED, 5),
            (kind::CLOCK_REQUEST, 1),
        ];
        assert_eq!(drain(&mut outbox), order);
    }

    #[test]
    fn a_newer_state_replaces_an_older_one() {
        let mut outbox = Outbox::<2, 16>::new();
        for request in 1..=9 {
            outbox.push(Class::State, &ClockRequest { request }).unwrap();
        }
        assert_eq!((drain(&mut outbox), outbox.dropped()), (std::vec![(kind::CLOCK_REQUEST, 9)], 0));
    }

    #[test]
    fn without_room_the_oldest_lossy_one_goes_and_an_answer_is_never_lost_silently() {
        let mut outbox = Outbox::<3, 16>::new();
        for request in 1..=4 {
            outbox.push(Class::Lossy, &ClockRequest { request }).unwrap();
        }
        assert_eq!(outbox.dropped(), 1);
        for number in 1..=3 {
            outbox.push(Class::Answer, &Taken { seq: seq(number) }).unwrap();
        }
        assert_eq!(outbox.dropped(), 4);
        assert_eq!(outbox.push(Class::Answer, &Settled { up_to: seq(4) }), Err(OutboxFull));
        outbox.push(Class::Lossy, &ClockRequest { request: 5 }).unwrap();
        assert_eq!(outbox.dropped(), 5);
        assert_eq!(drain(&mut outbox), [(kind::TAKEN, 1), (kind::TAKEN, 2), (kind::TAKEN, 3)]);
    }

    #[test]
    fn what_could_not_be_sent_stays() {
        let mut outbox = Outbox::<1, 16>::new();
        outbox.push(Class::Answer, &Taken { seq: seq(1) }).unwrap();
        assert!(outbox.send_first(Class::Answer, |_, _, _| Err(CodecError::Full)).is_err());
        assert_eq!(outbox.push(Class::Event, &KeyListApplied { version: 1 }), Err(OutboxFull));
        assert_eq!(drain(&mut outbox), [(kind::TAKEN, 1)]);
    }
}
