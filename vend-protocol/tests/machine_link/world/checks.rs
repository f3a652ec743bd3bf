//! What must hold of each connection, seen from outside: who sent what, and what the other end made of it.

use std::collections::{BTreeMap, BTreeSet};

use vend_protocol::{
    JournalId, ReceiptHash,
    frame::{Frame, FrameError},
    machine_link::{
        Acknowledgement, ChainedKind, HELLO_ROUND_TRIP_MAX_MS, LinkError, PLAIN, WINDOW,
        dangerous_unverified, kind,
    },
};

use super::Way;
use crate::{
    env::Env,
    machine::{Journal, Reaction, Transmitted},
    server::lists,
};

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Track {
    /// Every frame that was sent.
    sent: Vec<Vec<u8>>,
    /// How many messages the receiver took.
    taken: usize,
}

impl Track {
    pub(crate) fn kinds(&self) -> Vec<u8> {
        self.sent.iter().map(|frame| frame[1]).collect()
    }

    pub(crate) fn bytes(&self, sequence: usize) -> Vec<u8> {
        self.sent[sequence - 1].clone()
    }

    pub(crate) fn frame(&self, sequence: u32) -> Option<Frame<'_>> {
        let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
        dangerous_unverified(self.sent.get(index)?).ok()
    }
}

#[derive(Default)]
pub(crate) struct Checks {
    up: Track,
    down: Track,
    /// Messages of the chain that are on their way on this connection: frame sequence and number.
    in_flight: BTreeMap<u32, u64>,
    /// The server's time as the machine's session knew it last.
    time_ms: u64,
    /// The last number of the chain that was sent on this connection, or that the server has.
    last_money: u64,
    /// What the server acknowledged and has not lost by a restore.
    pub(crate) acknowledged: BTreeMap<(JournalId, u64), ReceiptHash>,
    /// It acknowledges what it does not have, for the story's sake.
    pub(crate) server_lies: bool,
    /// What it lost by a restore, until the machine has heard of that.
    pub(crate) forgotten: BTreeSet<(JournalId, u64)>,
}

impl Checks {
    pub(crate) const fn track(&self, way: Way) -> &Track {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    const fn track_mut(&mut self, way: Way) -> &mut Track {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    pub(crate) fn connect(&mut self) {
        let Self { acknowledged, forgotten, server_lies, .. } = std::mem::take(self);
        *self = Self { acknowledged, server_lies, forgotten, ..Self::default() };
    }

    /// The session's time never goes back, and is late by no more than a hello may take.
    pub(crate) fn time(&mut self, env: &Env, session: u64) {
        let truth = env.server_time_ms();
        assert!(session >= self.time_ms, "the time went back from {} to {session}", self.time_ms);
        let late_by = truth.checked_sub(session).expect("nobody knows what time it will be");
        assert!(late_by <= HELLO_ROUND_TRIP_MAX_MS, "the machine's clock is {late_by} ms late");
        self.time_ms = session;
    }

    /// The machine opened its session.
    pub(crate) fn opened(&mut self, watermark: u64) {
        self.last_money = watermark;
        self.forgotten.retain(|(_, number)| *number <= watermark);
    }

    pub(crate) fn sent(&mut self, way: Way, frame: &[u8]) {
        let track = self.track_mut(way);
        track.sent.push(frame.to_vec());
        let sequence = dangerous_unverified(frame).expect("a whole frame").sequence;
        assert_eq!(sequence as usize, track.sent.len(), "the sequence rises by one with each message");
        if way == Way::Down && frame[1] == kind::ACKNOWLEDGEMENT && !self.server_lies {
            let Acknowledgement { journal, number, hash } =
                dangerous_unverified(frame).unwrap().decode().unwrap();
            self.acknowledged.insert((journal, number.number()), hash);
        }
    }

    /// Answers before money, money before everything else, in the order of its numbers, a window of it at a time.
    pub(crate) fn transmitted(
        &mut self,
        env: &mut Env,
        sent: &Transmitted,
        journal: &Journal,
        reads: &[(u8, u8)],
    ) {
        let Some(frame) = &sent.frame else { return };
        let frame = dangerous_unverified(frame).expect("a whole frame");
        match frame.kind {
            kind::RECEIPT | kind::AMENDMENT => {
                assert_eq!(sent.answers, 0, "money goes before an answer");
                let number = sent.given.expect("money comes from the journal");
                assert!(number > self.last_money, "number {number} was sent on this connection");
                self.last_money = number;
                self.in_flight.insert(frame.sequence, number);
                let on_their_way = self.in_flight.len();
                assert!(on_their_way <= WINDOW, "{on_their_way} are on their way");
                env.counts.window_full += u64::from(on_their_way == WINDOW);
            }
            kind::READY | kind::TAKEN | kind::BUSY | kind::SETTLED | kind::UNSUPPORTED => {}
            other => {
                assert_eq!(sent.answers, 0, "kind {other:#04x} goes before an answer");
                let waiting = (self.last_money + 1..=journal.last)
                    .filter_map(|number| journal.entry(number))
                    .any(|entry| lists(reads, money_kind(entry.kind)));
                let allowed = self.in_flight.len() >= WINDOW || sent.later || !waiting;
                assert!(allowed, "kind {other:#04x} goes before money");
            }
        }
    }

    /// Messages are taken in order, unaltered, at most once.
    pub(crate) fn received(&mut self, env: &mut Env, way: Way, bytes: &[u8], was_open: bool, is: &Reaction) {
        let track = self.track_mut(way);
        let due = track.sent.get(track.taken);
        let genuine = due.is_some_and(|due| due == bytes);
        if let Some(error) = is.error {
            // A plain one on an open session is a hello that somebody made the machine say again.
            let good = genuine && was_open && bytes[0] != PLAIN;
            assert!(!good, "the message that is due was refused: {error}");
            let doubled = was_open && track.sent.iter().take(track.taken).any(|sent| sent == bytes);
            assert!(!doubled, "a doubled message closed the connection: {error}");
            return count(env, error);
        }
        let frame = Frame::parse(bytes).expect("no session takes what is not a frame");
        let sequence = frame.sequence as usize;
        if frame.address == PLAIN && sequence > track.taken {
            assert!(!was_open, "a plain frame on an open session");
            assert_eq!(sequence, track.taken + 1, "in order");
            assert!(is.event || !kind::is_known(frame.kind, frame.revision), "a handshake was swallowed");
            env.counts.forged_handshakes += u64::from(!genuine);
            track.taken = sequence;
        } else if is.event || sequence > track.taken {
            assert_eq!(sequence, track.taken + 1, "in order, at most once, none left out");
            assert!(genuine, "{way:?} {sequence}: not what was sent");
            let inside = frame.kind == kind::CLOCK || !kind::is_known(frame.kind, frame.revision);
            assert!(is.event || inside, "kind {:#04x} was swallowed", frame.kind);
            track.taken += 1;
        } else {
            env.counts.repeats += 1;
        }
        self.answered(env, way, is);
    }

    fn answered(&mut self, env: &mut Env, way: Way, is: &Reaction) {
        if let Some(number) = is.acknowledged {
            self.in_flight.retain(|_, in_flight| *in_flight != number);
        }
        if let Some(unsupported) = is.unsupported {
            env.counts.unsupported += 1;
            let named = self.track(way.other()).frame(unsupported.sequence).expect("a message that was sent");
            let is_that = (named.kind, named.revision) == (unsupported.kind, unsupported.revision);
            assert!(is_that, "{unsupported:?} names another message");
            if way == Way::Down {
                self.in_flight.remove(&unsupported.sequence);
            }
        }
    }
}

const fn money_kind(kind: ChainedKind) -> u8 {
    match kind {
        ChainedKind::Receipt => kind::RECEIPT,
        ChainedKind::Amendment => kind::AMENDMENT,
    }
}

fn count(env: &mut Env, error: LinkError) {
    env.note(|| format!("refused: {error}"));
    let counter = match error {
        LinkError::Gap { .. } => &mut env.counts.gaps,
        LinkError::Forged => &mut env.counts.forged,
        LinkError::Frame(FrameError::Checksum) => &mut env.counts.damaged,
        LinkError::Silent => &mut env.counts.silent,
        LinkError::HelloUnanswered => &mut env.counts.unanswered,
        LinkError::OutOfTurn(_) => &mut env.counts.out_of_turn,
        _ => return,
    };
    *counter += 1;
}
