//! What happened on a board, from the board's memory to the main board's.

use super::{BoardStatus, EVENTS_MAX, Event, EventCode, EventsAnswer, EventsRequest};
use crate::{List, SlotId, machine_link::FaultCode};

/// A board's memory of what happened, for `N` events that nobody has fetched yet.
///
/// When it is full the newest are lost, and counted: as soon as there is room, an [`EventCode::OVERFLOW`] takes their place. Numbers
/// rise from 1 and have no gaps.
///
/// Memory: 28 bytes an event.
///
/// ```
/// use vend_protocol::control_link::{EventCode, EventLog, EventsRequest, Occurrence};
/// use vend_protocol::machine_link::FaultCode;
///
/// let mut log = EventLog::<16>::new(77 /* the board's boot */);
/// log.push(0, EventCode::STARTED);
/// log.push(1_500, Occurrence { fault: FaultCode::SUPPLY, value: 17_300, ..EventCode::FAULT_RAISED.into() });
/// let answer = log.answer(2_000, &EventsRequest { boot: 77, after: 1 });
/// assert_eq!(answer.events.iter().map(|event| event.code).collect::<Vec<_>>(), [EventCode::FAULT_RAISED]);
/// ```
#[derive(Clone, Debug)]
pub struct EventLog<const N: usize> {
    boot: u32,
    /// The oldest first.
    events: [Option<Event>; N],
    newest: u32,
    lost: u32,
}

/// Something that happened: an [`Event`] without its number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// What.
    pub code: EventCode,
    /// The fault, for the two codes that are about one; else 0.
    pub fault: FaultCode,
    /// The lane, if it is about one.
    pub lane: Option<SlotId>,
    /// A number that goes with it: see the codes.
    pub value: i32,
}

impl From<EventCode> for Occurrence {
    /// Without a fault, a lane or a number.
    fn from(code: EventCode) -> Self {
        Self { code, fault: FaultCode(0), lane: None, value: 0 }
    }
}

impl<const N: usize> EventLog<N> {
    /// Nothing happened since the start that `boot` names: [`BoardStatus::boot`].
    pub const fn new(boot: u32) -> Self {
        Self { boot, events: [None; N], newest: 0, lost: 0 }
    }

    /// The number of the newest event, for [`BoardStatus::newest_event`]; 0: none.
    pub const fn newest(&self) -> u32 {
        self.newest
    }

    /// Something happened. `uptime_ms`: milliseconds since the board started, wrapping.
    pub fn push(&mut self, uptime_ms: u32, what: impl Into<Occurrence>) {
        self.tell_lost(uptime_ms);
        // Behind a loss that is not told nothing is put, or it would be out of order.
        if self.lost > 0 || !self.put(uptime_ms, what.into()) {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// The answer to a request. What the main board has is dropped.
    pub fn answer(&mut self, uptime_ms: u32, request: &EventsRequest) -> EventsAnswer {
        if request.boot == self.boot {
            let had = |event: &Option<Event>| event.is_some_and(|event| event.number <= request.after);
            let had = self.events.iter().take_while(|event| had(event)).count();
            if let Some(dropped) = self.events.get_mut(..had) {
                dropped.fill(None);
            }
            // `had` is at most `N`.
            self.events.rotate_left(had.min(N));
            self.tell_lost(uptime_ms);
        }
        let mut events = List::default();
        let mut waiting = self.events.iter().flatten();
        waiting.by_ref().take(EVENTS_MAX).for_each(|event| {
            // There are no more than it has room for.
            let _ = events.push(*event);
        });
        EventsAnswer { boot: self.boot, uptime_ms, events, more: waiting.next().is_some() }
    }

    /// Puts the loss where the lost ones would be, if there is room.
    fn tell_lost(&mut self, uptime_ms: u32) {
        let value = i32::try_from(self.lost).unwrap_or(i32::MAX);
        if value > 0 && self.put(uptime_ms, Occurrence { value, ..EventCode::OVERFLOW.into() }) {
            self.lost = 0;
        }
    }

    fn put(&mut self, uptime_ms: u32, what: Occurrence) -> bool {
        let Some(place) = self.events.iter_mut().find(|event| event.is_none()) else { return false };
        self.newest = self.newest.wrapping_add(1);
        let Occurrence { code, fault, lane, value } = what;
        *place = Some(Event { number: self.newest, uptime_ms, code, fault, lane, value });
        true
    }
}

/// How far the main board has a board's events.
///
/// ```
/// use vend_protocol::control_link::{BoardStatus, EventCursor, EventsAnswer, EventsRequest, Line};
///
/// /// When nothing else is asked: fetches what has happened.
/// fn fetch(line: &mut Line<1>, now_ms: u64, cursor: &EventCursor) {
///     let status = line.board(0).and_then(|board| board.status(now_ms));
///     if let Some(request) = status.and_then(|status| cursor.request(&status.status)) {
///         let _ = line.ask(now_ms, 0, &request); // if the line is busy, the next time
///     }
/// }
///
/// /// With the answer, from `Line::handle_byte`.
/// fn fetched(answer: &EventsAnswer, cursor: &mut EventCursor) {
///     for event in answer.events.iter() {
///         println!("{} ms ago: {}", answer.age_ms(event), event.code);
///     }
///     cursor.advance(answer); // from here on the board may forget them
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCursor {
    boot: u32,
    after: u32,
}

impl EventCursor {
    /// The request to make, when the board's status says that something happened.
    pub fn request(&self, status: &BoardStatus) -> Option<EventsRequest> {
        let after = if status.boot == self.boot { self.after } else { 0 };
        (status.newest_event > after).then_some(EventsRequest { boot: status.boot, after })
    }

    /// These events are dealt with: the next request tells the board to drop them.
    pub fn advance(&mut self, answer: &EventsAnswer) {
        if let Some(last) = answer.events.iter().last() {
            *self = Self { boot: answer.boot, after: last.number };
        }
    }
}

impl EventsAnswer {
    /// How long ago it happened, in milliseconds; of what is older than 49 days, the remainder.
    pub const fn age_ms(&self, event: &Event) -> u32 {
        self.uptime_ms.wrapping_sub(event.uptime_ms)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// What a step of the test does.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// So many things happen.
        Happen(u8),
        /// The main board fetches; the request or the answer may be lost.
        Fetch { lost: bool },
        /// The board starts again.
        Restart,
        /// The main board does.
        Forget,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12_u8).prop_map(Step::Happen),
            5 => any::<bool>().prop_map(|lost| Step::Fetch { lost }),
            1 => Just(Step::Restart),
            1 => Just(Step::Forget),
        ]
    }

    fn status(log: &EventLog<10>, boot: u32) -> BoardStatus {
        BoardStatus {
            boot,
            sensor: super::super::SensorState::CLEAR,
            door_open: false,
            late_drops: 0,
            faults: 0,
            inputs: 0,
            temperatures_dc: List::default(),
            supply_mv: 0,
            newest_event: log.newest(),
        }
    }

    proptest! {
        /// Values are 0, 1, 2 and so on since the board's start: whatever is lost on the line, each is fetched or counted as lost.
        #[test]
        fn each_event_is_fetched_once_or_counted(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut boot, mut happened) = (1, 0);
            let mut log = EventLog::<10>::new(boot);
            let mut cursor = EventCursor::default();
            let mut fetched: Vec<Event> = Vec::new();
            for step in steps.into_iter().chain([Step::Fetch { lost: false }; 40]) {
                match step {
                    Step::Happen(count) => for _ in 0..count {
                        log.push(0, Occurrence { value: happened, ..EventCode::INPUTS.into() });
                        happened += 1;
                    },
                    Step::Fetch { lost } => {
                        let Some(request) = cursor.request(&status(&log, boot)) else { continue };
                        let answer = log.answer(0, &request);
                        if !lost {
                            fetched.extend(answer.events.iter());
                            cursor.advance(&answer);
                        }
                    }
                    Step::Restart => {
                        (boot, happened) = (boot + 1, 0);
                        log = EventLog::new(boot);
                        fetched.clear();
                    }
                    Step::Forget => {
                        // What the board has not dropped is told again.
                        cursor = EventCursor::default();
                    }
                }
            }
            fetched.sort_by_key(|event| event.number);
            fetched.dedup();
            let mut next = 0;
            for (number, event) in (1..).zip(&fetched) {
                prop_assert_eq!(event.number, number);
                if event.code == EventCode::OVERFLOW {
                    next += event.value;
                } else {
                    prop_assert_eq!(event.value, next);
                    next += 1;
                }
            }
            prop_assert_eq!(next, happened);
        }
    }

    #[test]
    fn a_number_of_another_start_drops_nothing() {
        let mut log = EventLog::<4>::new(2);
        log.push(0, EventCode::STARTED);
        let answer = log.answer(5, &EventsRequest { boot: 1, after: 9 });
        assert_eq!((answer.boot, answer.events.len()), (2, 1));
        assert_eq!(log.answer(5, &EventsRequest { boot: 2, after: 1 }).events.len(), 0);
    }

    #[test]
    fn there_is_more_when_more_wait_than_one_answer_has_room_for() {
        let mut log = EventLog::<9>::new(1);
        for value in 0..9 {
            log.push(7, Occurrence { value, ..EventCode::INPUTS.into() });
        }
        let answer = log.answer(10, &EventsRequest { boot: 1, after: 0 });
        assert_eq!((answer.events.len(), answer.more), (EVENTS_MAX, true));
        assert_eq!(answer.events.iter().map(|event| answer.age_ms(event)).next(), Some(3));
        let answer = log.answer(10, &EventsRequest { boot: 1, after: 8 });
        assert_eq!((answer.events.len(), answer.more), (1, false));
    }
}
