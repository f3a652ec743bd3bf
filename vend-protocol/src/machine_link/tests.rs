//! Both ends of a connection, joined by hand. The long stories are in `tests/machine_link`.

extern crate std;

use std::vec::Vec;

use super::*;
use crate::{
    AuthSeq, Bytes, EnrolmentId, KeyId, List, Nonce, PlanVersion, ReceiptNo,
    frame::{self, FrameError, MACHINE_FRAME_MAX},
    signed::{AcceptedBody, Revision, Signature, Signed},
};

/// Not a MAC: it only ties a code to its message and direction, so that the rules can be tested without cryptography.
#[derive(Clone, Debug)]
struct Toy {
    own: u8,
    theirs: u8,
}

impl Toy {
    const MACHINE: Self = Self { own: 1, theirs: 2 };
    const SERVER: Self = Self { own: 2, theirs: 1 };

    fn code(key: u8, message: &[u8]) -> [u8; MAC_LEN] {
        let sum = message
            .iter()
            .fold(u32::from(key), |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        [sum.to_le_bytes(); 4].concat().try_into().unwrap()
    }
}

impl Seal for Toy {
    fn seal(&self, message: &[u8]) -> [u8; MAC_LEN] {
        Self::code(self.own, message)
    }

    fn verify(&self, message: &[u8], code: &[u8; MAC_LEN]) -> bool {
        Self::code(self.theirs, message) == *code
    }
}

/// A journal with receipts 1 to its number.
struct Journal(u64, Signed);

impl MoneyCursor for Journal {
    fn next(&mut self, from: ReceiptNo) -> Next<'_> {
        if from.number() > self.0 {
            return Next::End;
        }
        let kind = if from.number() == 3 { ChainedKind::Amendment } else { ChainedKind::Receipt };
        Next::Message(Chained { number: from, kind, signed: &self.1 })
    }
}

fn signed(text: &[u8]) -> Signed {
    Signed {
        key_id: KeyId([3; 8]),
        body: Bytes::try_from(text).unwrap(),
        signature: Signature::from_bytes([5; 64]),
    }
}

fn accepted(listed: &[u8]) -> AcceptedBody {
    let revisions = listed.iter().map(|kind| Revision { kind: *kind, revision: 1 });
    AcceptedBody {
        enrolment: EnrolmentId([1; 16]),
        nonce: Nonce([2; 16]),
        ephemeral: [0; 32],
        server_time_ms: 1_000_000,
        receipt_watermark: 0,
        issued_seq: 0,
        floor_seq: 0,
        plan: PlanVersion::new(0).unwrap(),
        config: 0,
        key_list: 1,
        keepalive_s: 60,
        revisions: List::try_from_iter(revisions).unwrap(),
        frame_max: 1024,
    }
}

const MACHINE_LISTS: [u8; 3] = [kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT];
const SERVER_LISTS: [u8; 2] = [kind::RECEIPT, kind::AMENDMENT];

type Machine = MachineSession<Toy, 8, 64>;

struct Pair {
    machine: Machine,
    server: ServerSession<Toy>,
    journal: Journal,
    out: [u8; MACHINE_FRAME_MAX],
}

impl Pair {
    fn new() -> Self {
        Self {
            machine: Machine::new(0, 90_000),
            server: ServerSession::new(0, 90_000),
            journal: Journal(0, signed(b"receipt")),
            out: [0; MACHINE_FRAME_MAX],
        }
    }

    fn opened(server_lists: &[u8], last_number: u64) -> Self {
        let mut pair = Self::new();
        assert!(pair.machine.wants_hello(0));
        let len = pair.machine.greet(0, &signed(b"hello"), &mut pair.out).unwrap();
        assert!(matches!(pair.server.handle_frame(0, &pair.out[..len]), Ok(Some(ServerEvent::Hello(_)))));
        let listed = MACHINE_LISTS.map(|kind| Revision { kind, revision: 1 });
        let listed = List::try_from_iter(listed).unwrap();
        let len = pair.server.accept(&signed(b"accepted"), Toy::SERVER, listed, &mut pair.out).unwrap();
        let event = pair.machine.handle_frame(5, &pair.out[..len]).unwrap().unwrap();
        assert!(matches!(event, MachineEvent::Accepted(answer) if &answer.body[..] == b"accepted"));
        pair.machine.open(5, Toy::MACHINE, &accepted(server_lists), last_number);
        pair.journal.0 = last_number;
        pair
    }

    /// The kinds the machine sends now, each taken by the server.
    fn kinds_up(&mut self, now_ms: u64) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let Some(len) = self.machine.poll_transmit(now_ms, &mut self.journal, &mut self.out).unwrap() {
            kinds.push(self.out[1]);
            self.server.handle_frame(now_ms, &self.out[..len]).unwrap();
        }
        kinds
    }
}

fn taken() -> Taken {
    Taken { seq: AuthSeq::new(1).unwrap() }
}

#[test]
fn nothing_passes_before_the_session_is_open() {
    let mut pair = Pair::new();
    pair.journal.0 = 5;
    pair.machine.queue(Class::Answer, &taken()).unwrap();
    assert!(pair.kinds_up(0).is_empty());
    assert_eq!(pair.server.send(&taken(), &mut pair.out), Err(LinkError::OutOfTurn(kind::TAKEN)));
    let len = frame::write(PLAIN, 1, &taken(), &mut pair.out).unwrap();
    assert_eq!(pair.server.handle_frame(0, &pair.out[..len]).unwrap_err(), LinkError::OutOfTurn(kind::TAKEN));
    let len = frame::write(SEALED, 1, &taken(), &mut pair.out).unwrap();
    assert_eq!(pair.server.handle_frame(0, &pair.out[..len]).unwrap_err(), LinkError::OutOfTurn(kind::TAKEN));
}

#[test]
fn answers_go_before_money_and_money_before_the_rest() {
    let mut pair = Pair::opened(&SERVER_LISTS, 3);
    pair.machine.queue(Class::Lossy, &LateDrop { after: None, at_ms: 0 }).unwrap();
    pair.machine.queue(Class::Event, &KeyListApplied { version: 1 }).unwrap();
    pair.machine.queue(Class::Answer, &taken()).unwrap();
    let order =
        [kind::TAKEN, kind::RECEIPT, kind::RECEIPT, kind::AMENDMENT, kind::KEY_LIST_APPLIED, kind::LATE_DROP];
    assert_eq!(pair.kinds_up(5), order);
}

#[test]
fn a_money_message_the_server_cannot_read_is_not_sent_and_blocks_nothing() {
    let mut pair = Pair::opened(&[kind::RECEIPT], 4);
    assert_eq!(pair.kinds_up(5), [kind::RECEIPT; 3], "number 3 is an amendment");
}

#[test]
fn only_a_window_of_receipts_is_on_its_way() {
    let mut pair = Pair::opened(&SERVER_LISTS, 20);
    assert_eq!(pair.kinds_up(5).len(), WINDOW);
    assert_eq!(pair.machine.wanted(), None);
    pair.machine.acknowledged(ReceiptNo::new(2).unwrap());
    pair.machine.acknowledged(ReceiptNo::new(2).unwrap());
    assert_eq!(pair.kinds_up(5).len(), 1, "an acknowledgement doubled makes room once");
    // The server does not know the receipt that was sent second: it must not hold a place.
    let unsupported = Unsupported { kind: kind::RECEIPT, revision: 1, sequence: 4 };
    let len = pair.server.send(&unsupported, &mut pair.out).unwrap();
    pair.machine.handle_frame(6, &pair.out[..len]).unwrap();
    assert_eq!(pair.kinds_up(6).len(), 1);
}

#[test]
fn a_watermark_beyond_the_journal_does_not_hide_what_is_written_next() {
    let mut pair = Pair::opened(&SERVER_LISTS, 0);
    let body = AcceptedBody { receipt_watermark: 9, ..accepted(&SERVER_LISTS) };
    pair.machine.open(5, Toy::MACHINE, &body, 2);
    assert_eq!(pair.machine.wanted(), ReceiptNo::new(3).ok());
}

#[test]
fn an_unknown_message_is_answered_and_has_no_other_effect() {
    let mut pair = Pair::opened(&SERVER_LISTS, 0);
    let len = pair.server.channel_for_tests().send_encoded(0x7E, 1, &[1, 2, 3], &mut pair.out).unwrap();
    assert!(pair.machine.handle_frame(6, &pair.out[..len]).unwrap().is_none());
    let len = pair.machine.poll_transmit(6, &mut pair.journal, &mut pair.out).unwrap().unwrap();
    let Some(ServerEvent::Unsupported(answer)) = pair.server.handle_frame(6, &pair.out[..len]).unwrap()
    else {
        panic!("not answered")
    };
    assert_eq!(answer, Unsupported { kind: 0x7E, revision: 1, sequence: 2 });
}

#[test]
fn an_altered_message_closes_and_a_repeat_does_not_keep_a_dead_link_alive() {
    let mut pair = Pair::opened(&SERVER_LISTS, 0);
    pair.machine.queue(Class::Answer, &taken()).unwrap();
    let len = pair.machine.poll_transmit(6, &mut pair.journal, &mut pair.out).unwrap().unwrap();
    let sent = pair.out[..len].to_vec();
    for at in 0..len - 4 {
        let mut altered = sent.clone();
        altered[at] ^= 0x20;
        frame::finish(len - 4, &mut altered).unwrap();
        assert_eq!(
            pair.server.clone().handle_frame(6, &altered).unwrap_err(),
            LinkError::Forged,
            "byte {at}"
        );
    }
    assert!(pair.server.handle_frame(6, &sent).unwrap().is_some());
    assert!(pair.server.handle_frame(50_000, &sent).unwrap().is_none());
    assert_eq!(pair.server.poll_timeout(), 90_006);
    assert_eq!(pair.server.handle_timeout(90_006), Err(LinkError::Silent));
    assert_eq!(
        pair.machine.handle_frame(6, &sent).unwrap_err(),
        LinkError::Forged,
        "sent back to its sender"
    );
}

#[test]
fn a_missing_message_closes() {
    let mut pair = Pair::opened(&SERVER_LISTS, 2);
    pair.machine.poll_transmit(6, &mut pair.journal, &mut pair.out).unwrap().unwrap();
    let len = pair.machine.poll_transmit(6, &mut pair.journal, &mut pair.out).unwrap().unwrap();
    let error = pair.server.handle_frame(6, &pair.out[..len]).unwrap_err();
    assert_eq!(error, LinkError::Gap { expected: 2, got: 3 });
}

#[test]
fn a_machine_with_nothing_to_send_asks_for_the_time_at_once_so_that_the_server_knows_it_is_there() {
    let mut pair = Pair::opened(&SERVER_LISTS, 0);
    assert_eq!(pair.machine.poll_timeout(), 5, "due as soon as it is open");
    assert_eq!(pair.kinds_up(5), [kind::CLOCK_REQUEST]);
    let mut pair = Pair::opened(&SERVER_LISTS, 1);
    assert_eq!(pair.kinds_up(5), [kind::RECEIPT], "that proves it as well");
    assert_eq!(pair.machine.poll_timeout(), 60_005);
}

#[test]
fn an_idle_machine_asks_for_the_time_which_never_goes_back() {
    let mut pair = Pair::opened(&SERVER_LISTS, 0);
    assert_eq!(pair.machine.server_time_ms(1_005), Some(1_001_000));
    pair.kinds_up(5);
    assert_eq!(pair.machine.poll_timeout(), 60_005);
    // After an earlier time the machine's stands still until that has caught up.
    let answers =
        [(60_005, 1_070_000, 1_070_000), (120_005, 1_129_000, 1_130_000), (180_005, 1_189_500, 1_189_500)];
    for (now, server_time, known) in answers {
        let len = pair.machine.poll_transmit(now, &mut pair.journal, &mut pair.out).unwrap().unwrap();
        let Some(ServerEvent::ClockRequest(asked)) = pair.server.handle_frame(now, &pair.out[..len]).unwrap()
        else {
            panic!("not a clock request")
        };
        let clock = Clock { request: asked.request, server_time_ms: server_time };
        let len = pair.server.send(&clock, &mut pair.out).unwrap();
        pair.machine.handle_frame(now, &pair.out[..len]).unwrap();
        assert_eq!(pair.machine.server_time_ms(now), Some(known));
    }
}

#[test]
fn a_late_answer_to_the_hello_gives_no_time() {
    let mut pair = Pair::new();
    let len = pair.machine.greet(0, &signed(b"hello"), &mut pair.out).unwrap();
    pair.server.handle_frame(0, &pair.out[..len]).unwrap();
    let len = pair.server.accept(&signed(b"a"), Toy::SERVER, List::default(), &mut pair.out).unwrap();
    assert!(pair.machine.handle_timeout(HELLO_ROUND_TRIP_MAX_MS).is_ok());
    let late = pair.machine.clone().handle_frame(HELLO_ROUND_TRIP_MAX_MS + 1, &pair.out[..len]);
    assert_eq!(late.unwrap_err(), LinkError::HelloUnanswered);
    let silent = pair.machine.handle_timeout(HELLO_ROUND_TRIP_MAX_MS + 1);
    assert_eq!(silent, Err(LinkError::HelloUnanswered));
    assert!(pair.machine.handle_frame(HELLO_ROUND_TRIP_MAX_MS, &pair.out[..len]).is_ok());
}

#[test]
fn an_unsigned_answer_cannot_keep_a_machine_away_for_long() {
    let mut pair = Pair::new();
    let len = pair.machine.greet(0, &signed(b"hello"), &mut pair.out).unwrap();
    pair.server.handle_frame(0, &pair.out[..len]).unwrap();
    let len = pair.server.pending(0, u16::MAX, &mut pair.out).unwrap();
    assert!(matches!(pair.machine.handle_frame(0, &pair.out[..len]), Ok(Some(MachineEvent::Pending))));
    let due = u64::from(RETRY_MAX_S) * 1000;
    assert!(!pair.machine.wants_hello(due - 1) && pair.machine.wants_hello(due));
    let len = pair.server.reject(Rejection::RETIRED, u16::MAX, &mut pair.out).unwrap();
    let Ok(Some(MachineEvent::Rejected { code, retry_s })) = pair.machine.handle_frame(0, &pair.out[..len])
    else {
        panic!("not rejected")
    };
    assert_eq!((code, retry_s), (Rejection::RETIRED, RETRY_MAX_S));
}

#[test]
fn an_answer_nobody_asked_for_closes() {
    let mut pair = Pair::new();
    let len = pair.server.accept(&signed(b"a"), Toy::SERVER, List::default(), &mut pair.out).unwrap();
    let error = pair.machine.handle_frame(0, &pair.out[..len]).unwrap_err();
    assert_eq!(error, LinkError::OutOfTurn(kind::ACCEPTED));
}

#[test]
fn a_connection_without_a_hello_is_closed() {
    let pair = Pair::new();
    assert_eq!(pair.server.poll_timeout(), 30_000);
    assert_eq!(pair.server.handle_timeout(30_000), Err(LinkError::Silent));
}

#[test]
fn a_recorder_reads_sealed_and_plain_frames_alike() {
    let mut pair = Pair::opened(&SERVER_LISTS, 0);
    pair.machine.queue(Class::Answer, &taken()).unwrap();
    let len = pair.machine.poll_transmit(5, &mut pair.journal, &mut pair.out).unwrap().unwrap();
    let sealed = dangerous_unverified(&pair.out[..len]).unwrap();
    assert_eq!((sealed.address, sealed.decode()), (SEALED, Ok(taken())));
    let len = frame::write(PLAIN, 1, &taken(), &mut pair.out).unwrap();
    assert_eq!(dangerous_unverified(&pair.out[..len]).unwrap().decode(), Ok(taken()));
    let len = frame::write(SEALED, 1, &taken(), &mut pair.out).unwrap();
    assert_eq!(dangerous_unverified(&pair.out[..len]), Err(FrameError::Short), "no room for a code");
}

#[test]
fn a_machine_with_an_old_key_list_is_sent_the_newest_before_it_is_accepted() {
    let mut pair = Pair::new();
    let len = pair.machine.greet(0, &signed(b"hello"), &mut pair.out).unwrap();
    pair.server.handle_frame(0, &pair.out[..len]).unwrap();
    let len = pair.server.key_list(0, &signed(b"list"), &mut pair.out).unwrap();
    let Ok(Some(MachineEvent::KeyList(list))) = pair.machine.handle_frame(1, &pair.out[..len]) else {
        panic!("not a key list")
    };
    assert_eq!(&list.body[..], b"list");
    // It waits until the list is stored, however long that takes.
    assert!(!pair.machine.wants_hello(80_000) && pair.machine.handle_timeout(80_000).is_ok());
    assert!(pair.machine.handle_frame(1, &pair.out[..len]).unwrap().is_none(), "doubled");
    pair.machine.greet_again(500);
    assert!(pair.machine.wants_hello(500));
    let len = pair.machine.greet(500, &signed(b"hello again"), &mut pair.out).unwrap();
    assert!(matches!(pair.server.handle_frame(500, &pair.out[..len]), Ok(Some(ServerEvent::Hello(_)))));
    let len = pair.server.accept(&signed(b"a"), Toy::SERVER, List::default(), &mut pair.out).unwrap();
    assert!(matches!(pair.machine.handle_frame(500, &pair.out[..len]), Ok(Some(MachineEvent::Accepted(_)))));
    assert_eq!(
        pair.server.key_list(500, &signed(b"list"), &mut pair.out),
        Err(LinkError::OutOfTurn(kind::KEY_LIST))
    );
    // Nobody asked for this one.
    let mut other = Pair::new();
    let len = other.server.key_list(0, &signed(b"list"), &mut other.out).unwrap();
    let unasked = other.machine.handle_frame(0, &other.out[..len]).unwrap_err();
    assert_eq!(unasked, LinkError::OutOfTurn(kind::KEY_LIST));
}
