extern crate std;

use std::{vec, vec::Vec};

use vend_protocol::{
    Bytes, Currency, EnrolmentId, KeyId, List, Nonce, OrderId, Outcome, PlanVersion, ProductId, Reason,
    ReceiptHash, SlotId,
    signed::{AuthorizationBody, AuthorizedLine, Signature, Signed},
};

use super::{
    test_flash::{Rng, TestFlash, TestFlashError},
    *,
};

const SECTOR: u32 = 4096;

/// What a plain memory would hold.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    state: State,
    receipts: Vec<StoredReceipt>,
}

fn signed(rng: &mut Rng, body: &[u8]) -> Signed {
    let signature: [u8; 64] = rng.bytes();
    Signed {
        key_id: KeyId(rng.bytes()),
        body: Bytes::try_from(body).unwrap(),
        signature: Signature::from_bytes(signature),
    }
}

fn taken(rng: &mut Rng, state: &State) -> Record {
    let line = AuthorizedLine {
        slot: SlotId::new(1 + rng.below(900)).unwrap(),
        product: ProductId::new(1 + rng.below(1 << 32)).unwrap(),
        price_minor: 350,
    };
    let lines = 1 + rng.below(8);
    let body = AuthorizationBody {
        enrolment: EnrolmentId(rng.bytes()),
        seq: AuthSeq::new(state.numbers.used_seq + 1 + rng.below(3)).unwrap(),
        order: OrderId::new(1 + rng.below(1 << 50)).unwrap(),
        plan: PlanVersion::new(1).unwrap(),
        deadline_ms: rng.next(),
        currency: Currency::CNY,
        lines: List::try_from_iter((0..lines).map(|_| line)).unwrap(),
    };
    let mut bytes = [0; 384];
    let len = codec_encode(&body, &mut bytes);
    Record::Taken(Taken { first_vend: state.numbers.next_vend, authorization: signed(rng, &bytes[..len]) })
}

fn codec_encode<T: serde::Serialize>(value: &T, out: &mut [u8]) -> usize {
    vend_protocol::codec::encode(value, out).unwrap()
}

fn receipt(rng: &mut Rng, state: &State) -> Record {
    let (seq, order) = match &state.order {
        Some(order) => (order.body().unwrap().seq, order.body().unwrap().order),
        None => (AuthSeq::new(state.numbers.used_seq + 1).unwrap(), OrderId::new(1).unwrap()),
    };
    let len = usize::try_from(rng.below(385)).unwrap();
    let body: Vec<u8> = (0..len).map(|_| rng.next().to_le_bytes()[0]).collect();
    Record::Receipt(StoredReceipt {
        number: ReceiptNo::new(state.numbers.last_receipt + 1).unwrap(),
        seq,
        order,
        hash: ReceiptHash(rng.bytes()),
        receipt: signed(rng, &body),
    })
}

/// The next thing a machine might write; `None`: it reserves.
fn next_op(rng: &mut Rng, state: &State) -> Option<Record> {
    if let Some(order) = &state.order {
        if rng.chance(150) && state.has_unacknowledged() {
            return Some(Record::Acknowledged(ReceiptNo::new(state.numbers.last_receipt).unwrap()));
        }
        if order.outcomes.len() < order.body().unwrap().lines.len() {
            let line = u8::try_from(order.outcomes.len()).unwrap();
            return Some(Record::Outcome(LineOutcome {
                line,
                outcome: Outcome::not_started(Reason(rng.bytes::<1>()[0])),
            }));
        }
        return Some(receipt(rng, state));
    }
    match rng.below(10) {
        0..=2 => None,
        3 => Some(Record::Nonce(Nonce(rng.bytes()))),
        4..=6 if state.has_unacknowledged() => {
            let numbers = state.numbers;
            let unacknowledged = numbers.last_receipt - numbers.acknowledged;
            let number = numbers.acknowledged + 1 + rng.below(unacknowledged);
            Some(Record::Acknowledged(ReceiptNo::new(number).unwrap()))
        }
        7 => Some(receipt(rng, state)),
        _ => Some(taken(rng, state)),
    }
}

impl Model {
    fn apply(&mut self, record: &Record) {
        self.state.apply(record).unwrap();
        if let Record::Receipt(receipt) = record {
            self.receipts.push(receipt.clone());
        }
    }
}

fn check(journal: &mut Journal<TestFlash>, model: &Model) {
    assert_eq!(journal.state(), &model.state);
    if journal.active.start.sequence > 1 {
        let before = (journal.active.sector + journal.sectors - 1) % journal.sectors;
        let closing = usize::try_from((before + 1) * SECTOR).unwrap() - 8;
        let closed = journal.flash.with_bytes(|bytes| bytes[closing..closing + 8] != [0xFF; 8]);
        assert!(closed, "without it a rotten start of the new sector would pass for one never made");
    }
    let mut found = Vec::new();
    let all = journal.receipts(0, |receipt| {
        found.push(receipt.clone());
        false
    });
    assert_eq!(all, Ok(None));
    let first = found.first().map_or(model.state.numbers.last_receipt, |first| first.number.number() - 1);
    assert!(first <= model.state.numbers.acknowledged, "an unacknowledged receipt was erased");
    let first = usize::try_from(first).unwrap();
    assert_eq!(found, model.receipts[first..]);
    if let Some(last) = model.receipts.last()
        && model.state.has_unacknowledged()
    {
        assert_eq!(journal.receipt(Lookup::Number(last.number)).unwrap().as_ref(), Some(last));
        assert_eq!(journal.receipt(Lookup::Sequence(last.seq)).unwrap().as_ref(), Some(last));
    }
}

/// Runs random operations; the power goes after `cut` steps and comes back. Gives the steps of the whole run.
fn run(seed: u64, ops: u32, cut: Option<u64>, sectors: u32) -> u64 {
    let flash = TestFlash::new((SECTOR * sectors) as usize, seed);
    let mut rng = Rng(seed);
    let mut journal = Journal::format(flash.clone(), SECTOR, JournalId(rng.bytes())).unwrap();
    let mut model = Model { state: State::empty().unwrap(), receipts: Vec::new() };
    let before = flash.steps();
    flash.cut_after(cut);
    for _ in 0..ops {
        let op = next_op(&mut rng, &model.state);
        let mut after = model.clone();
        if let Some(record) = &op {
            after.apply(record);
        }
        let result = match &op {
            Some(record) => journal.append(record),
            None => journal.reserve(),
        };
        match result {
            Ok(()) => model = after,
            Err(Error::Full) => {
                // Random records without reservation may fill it; the acknowledgement of everything always frees it.
                let last = model.state.numbers.last_receipt;
                if model.state.has_unacknowledged() {
                    let record = Record::Acknowledged(ReceiptNo::new(last).unwrap());
                    let mut acknowledged = model.clone();
                    acknowledged.apply(&record);
                    match journal.append(&record) {
                        Ok(()) => model = acknowledged,
                        Err(Error::Flash(TestFlashError::PowerLost)) => {
                            flash.cut_after(None);
                            journal = Journal::open(flash.clone(), SECTOR).unwrap();
                            if journal.state() == &acknowledged.state {
                                model = acknowledged;
                            }
                        }
                        Err(error) => panic!("full for an acknowledgement: {error:?}"),
                    }
                }
            }
            Err(Error::Flash(TestFlashError::PowerLost)) => {
                assert!(journal.append(&Record::Nonce(Nonce([1; 16]))).is_err(), "it has no power");
                flash.cut_after(None);
                journal = Journal::open(flash.clone(), SECTOR).unwrap();
                if journal.state() == &after.state && op.is_some() {
                    model = after;
                }
                check(&mut journal, &model);
            }
            Err(error) => panic!("{error:?} for {op:?}"),
        }
    }
    flash.cut_after(None);
    let mut journal = Journal::open(flash.clone(), SECTOR).unwrap();
    check(&mut journal, &model);
    flash.steps() - before
}

#[test]
fn nothing_that_was_appended_is_lost_wherever_the_power_is_cut() {
    // Long enough to go round the ring. For the time it takes not at every step, but at strides that drift through the units;
    // with `VEND_EVERY_CUT` set at all of them.
    let every = std::env::var_os("VEND_EVERY_CUT").is_some();
    for (seed, sectors, ops, stride) in [(1, 2, 45, 5), (2, 3, 90, 31)] {
        let stride = if every { 1 } else { stride };
        let steps = run(seed, ops, None, sectors);
        assert!(steps > 2_500, "{steps}");
        for cut in (0..steps).step_by(stride) {
            run(seed, ops, Some(cut), sectors);
        }
    }
}

#[test]
fn many_random_journals_agree_with_a_plain_model() {
    for seed in 0..60 {
        let mut rng = Rng(seed ^ 0xABCD);
        run(seed, 300, Some(rng.below(60_000)), 2 + u32::try_from(seed % 4).unwrap());
    }
}

/// The next record of an order after the other; `None`: room is to be reserved.
fn next_of_order(rng: &mut Rng, state: &State, reserved: bool) -> Option<Record> {
    match &state.order {
        None if state.has_unacknowledged() => {
            Some(Record::Acknowledged(ReceiptNo::new(state.numbers.last_receipt).unwrap()))
        }
        None if reserved => Some(taken(rng, state)),
        None => None,
        Some(order) if order.outcomes.len() < order.body().unwrap().lines.len() => {
            let line = u8::try_from(order.outcomes.len()).unwrap();
            Some(Record::Outcome(LineOutcome { line, outcome: Outcome::not_started(Reason::LANE) }))
        }
        Some(_) => Some(receipt(rng, state)),
    }
}

/// Power goes again and again, also while the journal recovers and carries an open order to the next sector.
#[test]
fn an_order_gets_its_receipt_however_often_the_power_is_cut() {
    let mut carried = 0;
    for seed in 0..200 {
        let flash = TestFlash::new(SECTOR as usize * 2, seed);
        let mut rng = Rng(seed);
        let mut journal = Journal::format(flash.clone(), SECTOR, JournalId([1; 8])).unwrap();
        let mut reserved = false;
        flash.cut_after(Some(rng.below(900)));
        while journal.state().numbers.last_receipt < 8 {
            let before = journal.state().clone();
            let op = next_of_order(&mut rng, &before, reserved);
            let result = match &op {
                Some(record) => journal.append(record),
                None => journal.reserve(),
            };
            reserved = op.is_none() && result.is_ok();
            match result {
                Ok(()) => continue,
                Err(Error::Flash(_)) => {}
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
            journal = loop {
                flash.cut_after(Some(rng.below(40)));
                match Journal::open(flash.clone(), SECTOR) {
                    Ok(opened) => break opened,
                    // Nothing is written by opening but the closing unit: the next time it gets through.
                    Err(Error::Flash(_)) => flash.cut_after(None),
                    Err(error) => panic!("seed {seed}: {error:?}"),
                }
            };
            carried += u32::from(journal.active.start.carried > 0);
            let mut after = before.clone();
            if let Some(record) = &op {
                after.apply(record).unwrap();
            }
            let state = journal.state();
            assert!(*state == before || *state == after, "seed {seed}: {state:?}");
            flash.cut_after(Some(rng.below(900)));
        }
    }
    assert!(carried > 2, "{carried}");
}

#[test]
fn a_full_journal_says_so_before_an_order_and_overwrites_nothing() {
    let flash = TestFlash::blank(SECTOR as usize * 3, 0);
    let mut rng = Rng(7);
    let mut journal = Journal::format(flash, SECTOR, JournalId([1; 8])).unwrap();
    let mut receipts = vec![];
    let full = loop {
        if let Err(error) = journal.reserve() {
            break error;
        }
        let record = receipt(&mut rng, journal.state());
        journal.append(&record).unwrap();
        receipts.push(record);
        assert!(receipts.len() < 100);
    };
    assert_eq!(full, Error::Full);
    for record in &receipts {
        let Record::Receipt(receipt) = record else { unreachable!() };
        assert_eq!(journal.receipt(Lookup::Number(receipt.number)).unwrap().as_ref(), Some(receipt));
    }
    let last = ReceiptNo::new(u64::try_from(receipts.len()).unwrap()).unwrap();
    journal.append(&Record::Acknowledged(last)).unwrap();
    journal.reserve().unwrap();
}

fn written(seed: u64) -> (TestFlash, u64) {
    let flash = TestFlash::new(SECTOR as usize * 3, seed);
    let mut rng = Rng(seed);
    let mut journal = Journal::format(flash.clone(), SECTOR, JournalId([9; 8])).unwrap();
    for _ in 0..40 {
        journal.append(&Record::Nonce(Nonce(rng.bytes()))).unwrap();
    }
    (flash, u64::from(journal.active.tail))
}

#[test]
fn a_record_that_rotted_is_an_error_and_never_an_older_state() {
    let (flash, tail) = written(1);
    let last_record = tail - 32;
    let clean = flash.with_bytes(|bytes| bytes.clone());
    for at in 0..usize::try_from(last_record).unwrap() {
        flash.with_bytes(|bytes| {
            bytes.clone_from(&clean);
            bytes[at] ^= 1;
        });
        match Journal::open(flash.clone(), SECTOR) {
            Err(Error::Corrupt) => {}
            // The zeros behind a record say nothing.
            Ok(journal) => assert_eq!(journal.active.next_index, 41, "byte {at}"),
            Err(error) => panic!("byte {at}: {error:?}"),
        }
    }
}

#[test]
fn a_lost_sector_start_is_an_error_and_never_an_older_state() {
    let flash = TestFlash::new(SECTOR as usize * 3, 5);
    let mut rng = Rng(5);
    let mut journal = Journal::format(flash.clone(), SECTOR, JournalId([9; 8])).unwrap();
    while journal.active.start.sequence < 3 {
        journal.append(&Record::Nonce(Nonce(rng.bytes()))).unwrap();
    }
    let at = usize::try_from(journal.active.sector * SECTOR).unwrap();
    flash.with_bytes(|bytes| bytes[at + 20] ^= 4);
    assert_eq!(Journal::open(flash, SECTOR).map(|_| ()), Err(Error::Corrupt));
}

/// A journal of three sectors, each of which holds receipts; all but the last receipt are acknowledged.
fn round_the_ring() -> (Journal<TestFlash>, Vec<StoredReceipt>) {
    let flash = TestFlash::new(SECTOR as usize * 3, 6);
    let mut rng = Rng(6);
    let mut journal = Journal::format(flash, SECTOR, JournalId([9; 8])).unwrap();
    let mut receipts = vec![];
    while journal.active.start.sequence < 4 || !journal.state().has_unacknowledged() {
        if journal.state().has_unacknowledged() {
            let last = ReceiptNo::new(journal.state().numbers.last_receipt).unwrap();
            journal.append(&Record::Acknowledged(last)).unwrap();
        }
        let record = receipt(&mut rng, journal.state());
        journal.append(&record).unwrap();
        let Record::Receipt(receipt) = record else { unreachable!() };
        receipts.push(receipt);
    }
    (journal, receipts)
}

/// Flips a bit of the first record of the sector `back` sectors before the active one.
fn rot(journal: &mut Journal<TestFlash>, back: u32) {
    let sector = (journal.active.sector + journal.sectors - back) % journal.sectors;
    let start = read_start(&mut journal.flash, SECTOR, sector).unwrap().unwrap();
    let at = usize::try_from(sector * SECTOR).unwrap() + Image::start(&start).unwrap().len() + 20;
    journal.flash.with_bytes(|bytes| bytes[at] ^= 1);
}

#[test]
fn a_record_that_rotted_among_acknowledged_ones_hides_no_other() {
    let (mut journal, receipts) = round_the_ring();
    for back in [1, 2] {
        rot(&mut journal, back);
    }
    let last = receipts.last().unwrap();
    for lookup in [Lookup::Number(last.number), Lookup::Sequence(last.seq)] {
        assert_eq!(journal.receipt(lookup).unwrap().as_ref(), Some(last), "{lookup:?}");
    }
    // The damaged ones count as erased.
    assert_eq!(journal.receipt(Lookup::Number(receipts[0].number)), Ok(None));
    let from = journal.receipt(Lookup::From(receipts[0].number)).unwrap().unwrap();
    assert_eq!(journal.receipt(Lookup::Number(from.number)).unwrap(), Some(from));
    journal.reserve().unwrap();
}

#[test]
fn a_record_that_rotted_among_unacknowledged_ones_is_an_error() {
    let (mut journal, receipts) = round_the_ring();
    // With a record behind it, it cannot be one that was never finished.
    journal.append(&Record::Nonce(Nonce([1; 16]))).unwrap();
    rot(&mut journal, 0);
    let last = receipts.last().unwrap();
    for lookup in [Lookup::Number(last.number), Lookup::From(last.number)] {
        assert_eq!(journal.receipt(lookup), Err(Error::Corrupt), "{lookup:?}");
    }
}

#[test]
fn what_was_never_formatted_or_does_not_fit_is_told_apart() {
    let open = |flash, sector| Journal::open(flash, sector).map(|_| ());
    assert_eq!(open(TestFlash::blank(8192, 0), SECTOR), Err(Error::Blank));
    assert_eq!(open(TestFlash::new(8192, 0), SECTOR), Err(Error::Corrupt));
    assert_eq!(open(TestFlash::blank(4096, 0), SECTOR), Err(Error::Geometry));
    assert_eq!(open(TestFlash::blank(8192, 0), 2048), Err(Error::Geometry));
    assert_eq!(open(TestFlash::blank(16384, 0), 6000), Err(Error::Geometry));
}

#[test]
fn records_out_of_order_are_not_written() {
    let flash = TestFlash::blank(8192, 0);
    let mut rng = Rng(1);
    let mut journal = Journal::format(flash.clone(), SECTOR, JournalId([9; 8])).unwrap();
    let steps = flash.steps();
    let outcome = Record::Outcome(LineOutcome { line: 0, outcome: Outcome::unwitnessed() });
    let acknowledged = Record::Acknowledged(ReceiptNo::new(1).unwrap());
    for record in [outcome, acknowledged] {
        assert_eq!(journal.append(&record), Err(Error::OutOfOrder(OutOfOrder)));
    }
    let Record::Receipt(mut second) = receipt(&mut rng, journal.state()) else { unreachable!() };
    second.number = ReceiptNo::new(2).unwrap();
    assert!(journal.append(&Record::Receipt(second)).is_err());
    assert_eq!(flash.steps(), steps);
}
