//! The main board's end of a line with its control boards, sans-IO.

use super::{
    BoardLink, IdentifyRequest, Master, NoAnswer, POLL_VENDING_MS, Polls, QueryRequest, Reply, Request,
    SENDS, VendEvent, VendOrder, VendRequest, board_link::Asked,
};
use crate::{VendId, cobs::Decoder, codec::CodecError, frame::CONTROL_FRAME_MAX};

/// A line with `BOARDS` control boards, numbered from 0 in the order they were given.
///
/// It polls them, identifies and opens them, and brings vends to their end, one a board at a time. What goes in: the bytes of
/// the line, time, journaled nonces and outcomes. What comes out: bytes, and [`VendEvent`]s. Time is milliseconds of any
/// monotonic clock; extra calls are harmless.
///
/// # How a vend ends
/// By the board's word, which is asked for until it comes; as *unknown* when the board was reset, or silent for longer than a
/// vend lasts; or not started, when the board says so or has not got it. Then its outcome is journaled, then the board forgets
/// it, then it is over. Nothing is sent twice that may have started: in doubt the board is queried, and the request goes out again
/// only if the board has not got it, under the same number.
///
/// # What has to be journaled
/// A nonce before [`BoardLink::nonce_journaled`]; the number of a vend before [`Line::start_vend`]; the outcome before
/// [`Line::vend_journaled`]. After a restart: if a number is in the journal and no outcome, [`Line::recover_vend`].
///
/// # What is assumed of the line
/// It may lose, damage, double and delay frames, but it is a wire: what arrives after a later frame is a copy of what arrived
/// before it.
///
/// Memory: 600 bytes, and 470 bytes a board.
///
/// ```
/// use vend_protocol::control_link::{BoardLink, FIRST_ADDRESS, Line};
/// use vend_protocol::{ConfigHash, Nonce};
///
/// let (config, journaled_nonce) = (ConfigHash([7; 8]), None);
/// let board = BoardLink::new(FIRST_ADDRESS, config, journaled_nonce);
/// let mut line = Line::new(0x1234_5678 /* random */, [board]);
///
/// /// The main board's loop, as often as it can, and no later than `line.poll_timeout()`.
/// fn turn(line: &mut Line<1>, now_ms: u64, received: &[u8], uart: &mut Vec<u8>) {
///     for byte in received {
///         line.handle_byte(now_ms, *byte);
///     }
///     line.handle_timeout(now_ms);
///     if let Some(board) = line.board_mut(0)
///         && board.wants_nonce(now_ms)
///     {
///         let nonce = Nonce([4; 16]); // random; to the journal; then:
///         board.nonce_journaled(nonce);
///     }
///     while let Some(event) = line.poll_vend(now_ms, 0) {
///         // Ended: journal it, then line.vend_journaled(now_ms, 0). Over: the next vend.
/// #       let _ = event;
///     }
///     if let Some(bytes) = line.poll_transmit(now_ms) {
///         uart.extend_from_slice(bytes);
///     }
/// }
/// let mut uart = Vec::new();
/// turn(&mut line, 0, &[], &mut uart);
/// assert_eq!(uart[..4], [0, 12, 1, 0x84]); // a query to board 1
/// ```
#[derive(Clone, Debug)]
pub struct Line<const BOARDS: usize> {
    master: Master,
    decoder: Decoder<CONTROL_FRAME_MAX>,
    boards: [BoardLink; BOARDS],
    polls: Polls<BOARDS>,
    /// The exchange under way: with which board, about what.
    asked: Option<(usize, Asked)>,
}

/// Why the owner's request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// An exchange is under way: try again when it has ended.
    #[error("an exchange is under way")]
    Busy,
    /// There is no such board.
    #[error("no such board")]
    NoBoard,
    /// The request is longer than a frame.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl<const BOARDS: usize> Line<BOARDS> {
    /// A line on which nothing was said. `sequence` should be random, so that an answer to a request from before a restart is
    /// not taken for one of now.
    pub const fn new(sequence: u32, boards: [BoardLink; BOARDS]) -> Self {
        Self {
            master: Master::new(sequence),
            decoder: Decoder::new(),
            boards,
            polls: Polls::new(),
            asked: None,
        }
    }

    /// A board.
    pub fn board(&self, board: usize) -> Option<&BoardLink> {
        self.boards.get(board)
    }

    /// A board, to tell it of a journaled nonce or to take its late drops.
    pub fn board_mut(&mut self, board: usize) -> Option<&mut BoardLink> {
        self.boards.get_mut(board)
    }

    /// Starts a vend, as soon as a fresh status says that the board can. Its number is journaled, with its authority.
    ///
    /// `false`, and nothing happens, while another vend of this board is not over, or when there is no such board.
    #[must_use = "a vend that was not taken has no end"]
    pub fn start_vend(&mut self, now_ms: u64, board: usize, order: VendOrder) -> bool {
        let Some(link) = self.boards.get_mut(board).filter(|link| !link.is_vending()) else { return false };
        link.start_vend(now_ms, order);
        self.polls.hasten(board, now_ms);
        true
    }

    /// After a restart: this vend is journaled, and its outcome is not. Finds out what became of it; it is not sent again.
    /// `max_vend_ms`: as in its limits, or the board's if that is more.
    ///
    /// `false`, and nothing happens, while another vend of this board is not over, or when there is no such board.
    #[must_use = "a vend that was not taken has no end"]
    pub fn recover_vend(&mut self, now_ms: u64, board: usize, vend: VendId, max_vend_ms: u32) -> bool {
        let Some(link) = self.boards.get_mut(board).filter(|link| !link.is_vending()) else { return false };
        link.recover_vend(now_ms, vend, max_vend_ms);
        self.polls.hasten(board, now_ms);
        true
    }

    /// What became of the board's vend, each once, in order: ended, then, after [`Line::vend_journaled`], over.
    pub fn poll_vend(&mut self, now_ms: u64, board: usize) -> Option<VendEvent> {
        self.boards.get_mut(board)?.poll_vend(now_ms)
    }

    /// The outcome that [`VendEvent::Ended`] told is in the journal: the board may forget it.
    pub fn vend_journaled(&mut self, now_ms: u64, board: usize) {
        if let Some(vend) = self.boards.get_mut(board).and_then(|link| link.vend.as_mut()) {
            vend.journaled(now_ms);
            self.polls.hasten(board, now_ms);
        }
    }

    /// Makes a request of the owner's own: an abort, a task, a configuration, events, an update. [`Line::handle_byte`] gives the
    /// reply; [`Line::handle_timeout`] says when there will be none.
    ///
    /// # Errors
    /// [`AskError`]: nothing is sent.
    pub fn ask<R: Request>(&mut self, now_ms: u64, board: usize, request: &R) -> Result<(), AskError> {
        if self.master.is_busy() {
            return Err(AskError::Busy);
        }
        let link = self.boards.get(board).ok_or(AskError::NoBoard)?;
        self.master.begin(now_ms, link.address(), request)?;
        self.asked = Some((board, Asked::Other));
        Ok(())
    }

    /// When [`Line::poll_transmit`], [`Line::handle_timeout`] and [`Line::poll_vend`] are to be called at the latest, if nothing
    /// else is handled before: after that they may have something to say at once.
    pub fn poll_timeout(&self) -> u64 {
        let exchange = self.master.poll_timeout().unwrap_or_else(|| self.polls.next_ms());
        self.boards.iter().filter_map(BoardLink::timeout).fold(exchange, u64::min)
    }

    /// The bytes to put on the line now, if there are any. Begins what is due.
    pub fn poll_transmit(&mut self, now_ms: u64) -> Option<&[u8]> {
        if !self.master.is_busy() {
            self.begin(now_ms);
        }
        self.master.poll_transmit(now_ms)
    }

    fn begin(&mut self, now_ms: u64) {
        // Each of these needs a status that came after the last one, so no board can keep the others from their turn.
        for (board, link) in self.boards.iter_mut().enumerate() {
            if let Some(asked) = link.begin(now_ms, &mut self.master) {
                self.asked = Some((board, asked));
                return;
            }
        }
        if let Some(board) = self.polls.due(now_ms)
            && let Some(link) = self.boards.get(board)
        {
            self.polls.asked(board, now_ms, link.is_kept());
            let begun = self.master.begin_with(now_ms, link.address(), &QueryRequest {}, 1);
            self.asked = begun.ok().map(|()| (board, Asked::Status));
        }
    }

    /// Takes a byte of the line. Gives the reply to a request of [`Line::ask`] when this byte completed it; what it changed
    /// otherwise is told by [`Line::poll_vend`] and [`Line::board`].
    pub fn handle_byte(&mut self, now_ms: u64, byte: u8) -> Option<Reply<'_>> {
        let reply = self.master.handle_frame(self.decoder.push(byte)?)?;
        let (board, asked) = self.asked.take()?;
        self.polls.answered(board);
        let link = self.boards.get_mut(board)?;
        match asked {
            Asked::Status => {
                if let Ok(status) = reply.answer::<QueryRequest>() {
                    link.handle_status(now_ms, status);
                }
            }
            Asked::Vend => {
                if let Some(vend) = &mut link.vend {
                    match reply.answer::<VendRequest>() {
                        Ok(answer) => vend.handle_answer(answer),
                        Err(NoAnswer::Unsupported) => vend.unsupported(),
                        // Whether it started, its status tells.
                        Err(NoAnswer::Unreadable) => {}
                    }
                }
                self.polls.hasten(board, now_ms.saturating_add(POLL_VENDING_MS));
            }
            Asked::Forget => {
                // Forgotten or refused: the status tells.
                if let Some(vend) = &mut link.vend {
                    vend.forgotten();
                }
                self.polls.hasten(board, now_ms);
            }
            // Opened or refused: the status tells.
            Asked::Open => self.polls.hasten(board, now_ms),
            Asked::Identity => {
                if let Ok(identity) = reply.answer::<IdentifyRequest>() {
                    link.handle_identity(identity);
                }
                self.polls.hasten(board, now_ms);
            }
            Asked::Other => return Some(reply),
        }
        None
    }

    /// Time has passed; `true` when the request of [`Line::ask`] went unanswered to the end.
    pub fn handle_timeout(&mut self, now_ms: u64) -> bool {
        if !self.master.handle_timeout(now_ms) {
            return false;
        }
        let Some((board, asked)) = self.asked.take() else { return false };
        let link = self.boards.get_mut(board);
        let sends = if let Asked::Status = asked { 1 } else { SENDS };
        let kept = link.as_ref().is_some_and(|link| link.is_kept());
        self.polls.unanswered(board, now_ms, sends, kept);
        if let Asked::Forget = asked
            && let Some(vend) = link.and_then(|link| link.vend.as_mut())
        {
            vend.forgotten();
        }
        matches!(asked, Asked::Other)
    }
}
