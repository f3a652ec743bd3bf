//! Which board of a line is asked next.

use super::{POLL_IDLE_MS, POLL_VENDING_MS, SENDS};

/// A silent board is asked after [`POLL_IDLE_MS`], twice that, and so on, and at most so seldom, in milliseconds.
pub const SILENT_POLL_MAX_MS: u64 = POLL_IDLE_MS << BACKOFFS;
const BACKOFFS: u8 = 3;

/// The schedule of one line: a vending board every [`POLL_VENDING_MS`], others every [`POLL_IDLE_MS`], and who has waited longest
/// first.
///
/// A poll is sent once, and again when its turn comes, so that boards on a bad line take turns. A board that did not answer
/// [`SENDS`] sendings counts as silent: it is asked ever more seldom, up to [`SILENT_POLL_MAX_MS`], so that a dead board costs the
/// others 50 ms now and then. If its vend is not over it is asked after [`POLL_VENDING_MS`] all the same: somebody's money
/// waits for its word. It is back with its first answer.
///
/// ```
/// use vend_protocol::control_link::Polls;
/// let mut polls = Polls::<2>::new();
/// assert_eq!(polls.due(0), Some(0));
/// polls.asked(0, 0, true); // the first board vends
/// assert_eq!(polls.due(0), Some(1));
/// polls.asked(1, 0, false);
/// assert_eq!((polls.due(49), polls.next_ms()), (None, 50));
/// assert_eq!(polls.due(50), Some(0));
/// ```
#[derive(Clone, Debug)]
pub struct Polls<const BOARDS: usize> {
    boards: [Poll; BOARDS],
}

#[derive(Clone, Copy, Debug)]
struct Poll {
    due_ms: u64,
    /// Sendings in a row that were not answered, as far as they matter.
    missed: u8,
}

impl<const BOARDS: usize> Polls<BOARDS> {
    /// All boards are due.
    pub const fn new() -> Self {
        Self { boards: [Poll { due_ms: 0, missed: 0 }; BOARDS] }
    }

    /// The board that is to be asked now, if there is one.
    pub fn due(&self, now_ms: u64) -> Option<usize> {
        let waiting = self.boards.iter().enumerate().filter(|(_, poll)| poll.due_ms <= now_ms);
        waiting.min_by_key(|(_, poll)| poll.due_ms).map(|(board, _)| board)
    }

    /// When the next board is due.
    pub fn next_ms(&self) -> u64 {
        self.boards.iter().map(|poll| poll.due_ms).min().unwrap_or(u64::MAX)
    }

    /// The board is being asked; `vending`: its vend is not over.
    pub fn asked(&mut self, board: usize, now_ms: u64, vending: bool) {
        let period = if vending { POLL_VENDING_MS } else { POLL_IDLE_MS };
        if let Some(poll) = self.boards.get_mut(board) {
            poll.due_ms = now_ms.saturating_add(period);
        }
    }

    /// It answered.
    pub fn answered(&mut self, board: usize) {
        if let Some(poll) = self.boards.get_mut(board) {
            poll.missed = 0;
        }
    }

    /// It did not answer so many sendings of one request; `vending`: its vend is not over.
    pub fn unanswered(&mut self, board: usize, now_ms: u64, sends: u8, vending: bool) {
        if let Some(poll) = self.boards.get_mut(board) {
            poll.missed = poll.missed.saturating_add(sends).min(SENDS + BACKOFFS + 1);
            let wait = match poll.missed.checked_sub(SENDS) {
                None => 0,
                Some(_) if vending => POLL_VENDING_MS,
                Some(backoff) => (POLL_IDLE_MS << backoff).min(SILENT_POLL_MAX_MS),
            };
            poll.due_ms = now_ms.saturating_add(wait);
        }
    }

    /// It is to be asked no later than at `at_ms`.
    pub fn hasten(&mut self, board: usize, at_ms: u64) {
        if let Some(poll) = self.boards.get_mut(board) {
            poll.due_ms = poll.due_ms.min(at_ms);
        }
    }
}

impl<const BOARDS: usize> Default for Polls<BOARDS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_board_is_asked_ever_more_seldom_and_is_back_with_its_first_answer() {
        let mut polls = Polls::<1>::new();
        for wait in [0, 0, 0, 0, 0, 200, 400, 800, 1_600, 1_600] {
            polls.unanswered(0, 10_000, 1, false);
            assert_eq!(polls.next_ms(), 10_000 + wait);
        }
        polls.unanswered(0, 10_000, 1, true);
        assert_eq!(polls.next_ms(), 10_050, "a vend is in doubt");
        polls.answered(0);
        polls.asked(0, 20_000, false);
        assert_eq!(polls.next_ms(), 20_000 + POLL_IDLE_MS);
        polls.unanswered(0, 20_000, SENDS, false);
        assert_eq!(polls.next_ms(), 20_200, "a whole exchange");
    }

    #[test]
    fn a_vending_board_is_polled_in_time_beside_seven_dead_ones() {
        let mut polls = Polls::<8>::new();
        let (mut now_ms, mut last, mut longest, mut polled) = (0, 0, 0, 0);
        while now_ms < 60_000 {
            let Some(board) = polls.due(now_ms) else {
                now_ms = polls.next_ms();
                continue;
            };
            polls.asked(board, now_ms, board == 3);
            if board == 3 {
                longest = longest.max(now_ms - last);
                (last, polled) = (now_ms, polled + 1);
                polls.answered(board);
                now_ms += 20;
            } else {
                now_ms += super::super::RESEND_MS;
                polls.unanswered(board, now_ms, 1, false);
            }
        }
        assert!(polled > 800, "{polled} polls");
        assert!(longest <= 8 * 50, "{longest} ms between two polls");
    }

    #[test]
    fn a_board_that_does_not_exist_changes_nothing() {
        let mut polls = Polls::<1>::new();
        polls.asked(1, 5, true);
        polls.unanswered(1, 5, 1, false);
        polls.hasten(1, 5);
        assert_eq!(polls.due(0), Some(0));
        assert_eq!((Polls::<0>::default().due(0), Polls::<0>::new().next_ms()), (None, u64::MAX));
    }
}
