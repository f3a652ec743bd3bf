//! A broker between a machine and the server that holds everything but their keys: what it can do to every message of the link.
//!
//! It can close a connection; whoever carries the messages always can. It cannot have one message taken that was not sent, or
//! not in this place, and what it kept back is delivered on the next connection.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod handshake;
mod link;
mod messages;
mod story;

use vend_protocol::{
    frame,
    machine_link::{Channel, End, LinkError, MAC_LEN, Pending, Rejected, Rejection},
};

use link::{Pair, Parties, Shared, body, deliver, forged, framed, plain, send};
use messages::Example;

const MACHINE: u8 = 0x43;

/// One direction of an open link on which every message is sent once.
struct Direction {
    from: End,
    messages: Vec<Example>,
    frames: Vec<Vec<u8>>,
    /// The sender after each frame, and the receiver before it.
    senders: Vec<Channel<Shared>>,
    receivers: Vec<Channel<Shared>>,
}

impl Direction {
    fn new(parties: &Parties, from: End, pair: &Pair) -> Self {
        let messages = messages::of(from, parties);
        let (mut sender, mut receiver) = (pair.end(from).clone(), pair.end(other(from)).clone());
        let (mut frames, mut senders, mut receivers) = (Vec::new(), Vec::new(), Vec::new());
        for message in &messages {
            frames.push(send(&mut sender, message));
            senders.push(sender.clone());
            receivers.push(receiver.clone());
            assert_eq!(deliver(&mut receiver, frames.last()), (vec![message.clone()], None));
        }
        Self { from, messages, frames, senders, receivers }
    }

    fn positions(&self) -> std::ops::Range<usize> {
        0..self.frames.len()
    }

    /// Plays frames to the receiver that waits for frame `at`, and gives back how many of the messages from there on it took and
    /// whether it closed. It must take nothing but those, each once and in order.
    fn play<'a>(
        &self,
        at: usize,
        frames: impl IntoIterator<Item = &'a Vec<u8>>,
    ) -> (usize, Option<LinkError>) {
        let (taken, error) = deliver(&mut self.receivers[at].clone(), frames);
        assert!(self.messages[at..].starts_with(&taken), "position {at}: took what was not sent here");
        (taken.len(), error)
    }

    /// Frame `at` is replaced by one that is no message of this place: it is not taken, and the connection ends.
    fn refuses(&self, at: usize, forgery: &[u8], what: &str) -> LinkError {
        let (taken, error) = self.play(at, [&forgery.to_vec(), &self.frames[at]]);
        assert_eq!(taken, 0, "{what} at {at}");
        error.unwrap_or_else(|| panic!("{what} at {at} did not close the connection"))
    }

    /// A frame that has no effect: everything arrives all the same.
    fn ignores(&self, at: usize, frame: &Vec<u8>, what: &str) {
        let (taken, error) = self.play(at, std::iter::once(frame).chain(&self.frames[at..]));
        assert_eq!((taken, error), (self.frames.len() - at, None), "{what} at {at}");
    }

    /// After a connection on which `taken` messages arrived, the next one brings the others.
    fn resumes(&self, taken: usize, next: &Pair) {
        let (mut sender, mut receiver) = (next.end(self.from).clone(), next.end(other(self.from)).clone());
        let rest = &self.messages[taken..];
        let frames: Vec<_> = rest.iter().map(|message| send(&mut sender, message)).collect();
        assert_eq!(deliver(&mut receiver, &frames), (rest.to_vec(), None));
    }
}

const fn other(end: End) -> End {
    match end {
        End::Machine => End::Server,
        End::Server => End::Machine,
    }
}

/// Both directions of session 1 of the machine, and an honest session after it.
fn directions() -> ([Direction; 2], Pair) {
    let parties = Parties::new(MACHINE);
    let pair = parties.connect(1);
    ([End::Machine, End::Server].map(|from| Direction::new(&parties, from, &pair)), parties.connect(9))
}

#[test]
fn a_message_with_a_code_of_the_brokers_own_is_not_taken() {
    let (directions, next) = directions();
    for direction in &directions {
        for at in direction.positions() {
            let message = &direction.messages[at];
            let sequence = u32::try_from(at).unwrap() + 2;
            let code =
                |payload: &[u8]| forged(direction.from, message.kind, message.revision, sequence, payload);
            let mut other = message.payload.clone();
            other[0] ^= 1;
            let header = &direction.frames[at][..frame::HEADER_LEN];
            let plain_header = [&[vend_protocol::machine_link::PLAIN], &header[1..]].concat();
            for (what, forgery) in [
                ("the message, coded by the broker", code(&message.payload)),
                ("another message, coded by the broker", code(&other)),
                ("a code of zeros", framed(&[header, &message.payload, &[0; MAC_LEN]].concat())),
                ("no code", framed(&[header, &message.payload].concat())),
                ("no code, and not sealed", framed(&[&plain_header[..], &message.payload].concat())),
                ("nothing but a header", framed(header)),
                ("nothing", framed(&[])),
                ("no frame", Vec::new()),
            ] {
                direction.refuses(at, &forgery, what);
            }
            direction.resumes(at, &next);
        }
    }
}

#[test]
fn a_message_of_another_session_is_not_taken() {
    let parties = Parties::new(MACHINE);
    let pair = parties.connect(1);
    let neighbour = Parties::new(0x44);
    for from in [End::Machine, End::Server] {
        let direction = Direction::new(&parties, from, &pair);
        // Before, after, and with another machine: each of all their messages in each place.
        let others = [(&parties, 2), (&neighbour, 1)];
        for strange in
            others.map(|(parties, session)| Direction::new(parties, from, &parties.connect(session)))
        {
            for at in direction.positions() {
                for frame in &strange.frames {
                    assert_eq!(direction.refuses(at, frame, "another session's"), LinkError::Forged);
                }
                let code = strange.frames[at].len() - frame::CRC_LEN - MAC_LEN;
                let own = &direction.frames[at];
                let spliced =
                    [&own[..own.len() - frame::CRC_LEN - MAC_LEN], &strange.frames[at][code..code + MAC_LEN]];
                let refused = direction.refuses(at, &framed(&spliced.concat()), "another session's code");
                assert_eq!(refused, LinkError::Forged);
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_even_under_a_right_checksum() {
    let (directions, _) = directions();
    for direction in &directions {
        for at in direction.positions() {
            let own = body(&direction.frames[at]);
            for bit in 0..own.len() * 8 {
                let mut altered = own.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                let refused = direction.refuses(at, &framed(&altered), "a flipped bit");
                assert_eq!(refused, LinkError::Forged, "bit {bit} of kind {:#04x}", own[1]);
            }
            for bit in 0..frame::CRC_LEN * 8 {
                let mut altered = direction.frames[at].clone();
                altered[own.len() + bit / 8] ^= 1 << (bit % 8);
                direction.refuses(at, &altered, "a flipped bit of the checksum");
            }
        }
    }
}

#[test]
fn a_message_cut_lengthened_or_put_together_from_two_is_not_taken() {
    let (directions, next) = directions();
    for direction in &directions {
        for at in direction.positions() {
            let own = body(&direction.frames[at]);
            for len in 0..own.len() {
                direction.refuses(at, &framed(&own[..len]), "a cut message");
            }
            direction.refuses(at, &framed(&[&own[..], &[0]].concat()), "a longer message");
            let others = |from: &usize| direction.messages[*from].payload != direction.messages[at].payload;
            for from in direction.positions().filter(others) {
                let strange = body(&direction.frames[from]);
                let (header, rest) = own.split_at(frame::HEADER_LEN);
                let (strange_header, strange_rest) = strange.split_at(frame::HEADER_LEN);
                // The counter of this place on a message of another one.
                let renumbered = [&strange_header[..3], &header[3..], strange_rest].concat();
                // This kind and counter on the payload of another one, with the code of either.
                let payload = [header, strange_rest].concat();
                let code =
                    [header, &strange_rest[..strange_rest.len() - MAC_LEN], &rest[rest.len() - MAC_LEN..]];
                for (what, mixed) in [
                    ("an old message under a new number", renumbered),
                    ("another payload with its code", payload),
                    ("another payload with this code", code.concat()),
                ] {
                    assert_eq!(direction.refuses(at, &framed(&mixed), what), LinkError::Forged);
                }
            }
            direction.resumes(at, &next);
        }
    }
}

#[test]
fn a_message_again_has_no_effect_and_on_the_next_connection_it_is_a_forgery() {
    let parties = Parties::new(MACHINE);
    let pair = parties.connect(1);
    for from in [End::Machine, End::Server] {
        let direction = Direction::new(&parties, from, &pair);
        let after = Direction::new(&parties, from, &parties.connect(9));
        for at in direction.positions() {
            for earlier in &direction.frames[..at] {
                direction.ignores(at, earlier, "an earlier message");
            }
            // Twice at once, and the whole session once more.
            let doubled = [&direction.frames[at]].into_iter().chain(&direction.frames[at..]);
            assert_eq!(direction.play(at, doubled), (direction.frames.len() - at, None));
            let again = direction.frames[at..].iter().chain(&direction.frames);
            assert_eq!(direction.play(at, again), (direction.frames.len() - at, None));
            for old in &direction.frames {
                assert_eq!(after.refuses(at, old, "a message of before"), LinkError::Forged);
            }
        }
    }
}

#[test]
fn a_message_sent_back_to_its_sender_is_a_forgery() {
    let (directions, _) = directions();
    for direction in &directions {
        for at in direction.positions() {
            for back in &direction.frames[..=at] {
                let (taken, error) = deliver(&mut direction.senders[at].clone(), [back]);
                assert_eq!((taken, error), (vec![], Some(LinkError::Forged)));
            }
        }
        // Also to a sender that has heard as much itself.
        let opposite = if direction.from == End::Machine { &directions[1] } else { &directions[0] };
        let heard = opposite.receivers.last().unwrap();
        for back in &direction.frames {
            assert_eq!(deliver(&mut heard.clone(), [back]).1, Some(LinkError::Forged));
        }
    }
}

#[test]
fn messages_out_of_order_or_missing_end_the_connection_and_come_with_the_next() {
    let (directions, next) = directions();
    for direction in &directions {
        let last = direction.frames.len() - 1;
        for at in direction.positions() {
            let due = u32::try_from(at).unwrap() + 2;
            for later in at + 1..=last {
                let got = due + u32::try_from(later - at).unwrap();
                let error = direction.refuses(at, &direction.frames[later], "a later message");
                assert_eq!(error, LinkError::Gap { expected: due, got });
            }
            // Kept back: what was in front of it has arrived, and the next connection brings it.
            let (taken, error) = direction.play(at, &direction.frames[at + 1..]);
            assert_eq!((taken, error.is_some()), (0, at < last), "without the last there is only silence");
            direction.resumes(at, &next);
        }
    }
}

#[test]
fn unsigned_answers_mean_nothing_once_the_link_is_open() {
    let (directions, _) = directions();
    let rejected = Rejected { code: Rejection::RETIRED, retry_s: u16::MAX };
    let pending = Pending { retry_s: u16::MAX };
    for direction in &directions {
        for at in direction.positions() {
            let due = u32::try_from(at).unwrap() + 2;
            for frame in [plain(due, &rejected), plain(due, &pending), plain(due + 7, &pending)] {
                assert_eq!(direction.refuses(at, &frame, "an unsigned answer"), LinkError::Forged);
            }
            // One with an old number counts as doubled by the transport.
            direction.ignores(at, &plain(1, &rejected), "an old rejection");
        }
    }
}
