//! The main board's end of one exchange, sans-IO.

use super::{LINE_MAX, RESEND_MS, Request, SENDS, Unsupported};
use crate::{
    cobs,
    codec::{self, CodecError},
    frame::{self, CONTROL_FRAME_MAX, Frame, Message},
};

/// Makes one exchange at a time with the boards of one line: sends, sends again, gives up.
///
/// A request is sent every [`RESEND_MS`], [`SENDS`] times in all. Giving up says nothing about the board: a vend may have
/// started, so the caller queries. [`super::Line`] does all of that; this is for who needs another policy above the exchange.
///
/// Memory: 300 bytes; the request stays encoded until it is answered.
///
/// ```
/// use vend_protocol::cobs::Decoder;
/// use vend_protocol::control_link::{FIRST_ADDRESS, Master, OpenAnswer, OpenRequest, RESEND_MS};
/// use vend_protocol::frame::{self, CONTROL_FRAME_MAX};
/// # use vend_protocol::{ConfigHash, Nonce, frame::Frame};
/// # let (journaled, config) = (Nonce([1; 16]), ConfigHash([2; 8]));
/// let mut master = Master::new(0x1234_5678); // random
/// master.begin(0, FIRST_ADDRESS, &OpenRequest { nonce: journaled, config }).unwrap();
/// let line = master.poll_transmit(0).unwrap(); // to the UART
/// # let mut board = Decoder::<CONTROL_FRAME_MAX>::new();
/// # let request: Vec<u8> = line.iter().find_map(|byte| board.push(*byte).map(<[u8]>::to_vec)).unwrap();
/// # let request = Frame::parse(&request).unwrap();
/// # let mut answer = [0; CONTROL_FRAME_MAX];
/// # let len = frame::write(1, request.sequence, &OpenAnswer { refused: None }, &mut answer).unwrap();
/// # let (mut from_uart, mut coded) = (Vec::new(), [0; 64]);
/// # let coded_len = vend_protocol::cobs::encode(&answer[..len], &mut coded).unwrap();
/// # from_uart.extend_from_slice(&coded[..coded_len]);
/// assert_eq!(master.poll_timeout(), Some(RESEND_MS)); // call poll_transmit and handle_timeout then
///
/// let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
/// for byte in from_uart {
///     let Some(frame) = decoder.push(byte) else { continue };
///     let Some(reply) = master.handle_frame(frame) else { continue };
///     assert_eq!(reply.answer::<OpenRequest>(), Ok(OpenAnswer { refused: None }));
/// }
/// assert!(!master.is_busy());
/// ```
#[derive(Clone, Debug)]
pub struct Master {
    sequence: u32,
    pending: Option<Pending>,
    line: [u8; LINE_MAX],
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    address: u8,
    /// Kind and revision of the request.
    request: [u8; 2],
    /// Kind and revision of its answer.
    answer: [u8; 2],
    len: usize,
    send_at_ms: u64,
    sends_left: u8,
}

/// What ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    frame: Frame<'a>,
}

/// Why a reply is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The board does not know the request, or cannot read it. It will not answer otherwise.
    #[error("the board does not know the request")]
    Unsupported,
    /// The board answered something that is not the answer.
    #[error("the answer cannot be read")]
    Unreadable,
}

impl Reply<'_> {
    /// The answer to the request that was made.
    ///
    /// # Errors
    /// [`NoAnswer`]: the board did nothing, or its answer is not of this protocol.
    pub fn answer<R: Request>(&self) -> Result<R::Answer, NoAnswer> {
        if self.frame.is::<Unsupported>() {
            return Err(NoAnswer::Unsupported);
        }
        self.frame.decode().map_err(|_| NoAnswer::Unreadable)
    }
}

impl Master {
    /// A master with nothing to do. `sequence` should be random, so that an answer to a request from before a restart is not
    /// taken for one of now.
    pub const fn new(sequence: u32) -> Self {
        Self { sequence, pending: None, line: [0; LINE_MAX] }
    }

    /// Begins an exchange with the board at `address`; one that was under way is abandoned.
    ///
    /// # Errors
    /// [`CodecError::Full`] when the request is longer than a frame, which none of this crate is. Nothing is sent then.
    pub fn begin<R: Request>(&mut self, now_ms: u64, address: u8, request: &R) -> Result<(), CodecError> {
        self.begin_with(now_ms, address, request, SENDS)
    }

    /// As [`Master::begin`], with another number of sends.
    ///
    /// # Errors
    /// As [`Master::begin`].
    pub fn begin_with<R: Request>(
        &mut self,
        now_ms: u64,
        address: u8,
        request: &R,
        sends: u8,
    ) -> Result<(), CodecError> {
        // Only this much is there once for each request, so that an image stays small.
        let len = codec::encode(request, self.abandon())?;
        let kinds = [R::KIND, R::REVISION, R::Answer::KIND, R::Answer::REVISION];
        self.begin_encoded(now_ms, address, kinds, len, sends)
    }

    /// Ends an exchange that is under way; gives the place where the next one's payload goes.
    #[inline(never)]
    fn abandon(&mut self) -> &mut [u8] {
        self.pending = None;
        &mut self.line
    }

    /// Begins the exchange whose request's payload is the first `len` bytes of the line.
    #[inline(never)]
    fn begin_encoded(
        &mut self,
        now_ms: u64,
        address: u8,
        kinds: [u8; 4],
        len: usize,
        sends: u8,
    ) -> Result<(), CodecError> {
        let [kind, revision, answer_kind, answer_revision] = kinds;
        self.sequence = self.sequence.wrapping_add(1);
        let mut frame = [0; CONTROL_FRAME_MAX];
        let payload = self.line.get(..len).ok_or(CodecError::Full)?;
        let len = write_payload([address, kind, revision], self.sequence, payload, &mut frame)?;
        self.pending = Some(Pending {
            address,
            request: [kind, revision],
            answer: [answer_kind, answer_revision],
            len: code(&frame, len, &mut self.line)?,
            send_at_ms: now_ms,
            sends_left: sends,
        });
        Ok(())
    }

    /// Whether an exchange is under way.
    pub const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// When [`Master::poll_transmit`] or [`Master::handle_timeout`] has something to do; `None` when idle.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.pending.map(|pending| pending.send_at_ms)
    }

    /// The bytes to put on the line now, if there are any.
    pub fn poll_transmit(&mut self, now_ms: u64) -> Option<&[u8]> {
        let pending = self.pending.as_mut()?;
        if now_ms < pending.send_at_ms {
            return None;
        }
        pending.sends_left = pending.sends_left.checked_sub(1)?;
        pending.send_at_ms = now_ms.saturating_add(RESEND_MS);
        self.line.get(..pending.len)
    }

    /// Takes a frame from the line; gives the reply, if it is one to the exchange that is under way, and ends the exchange.
    /// Anything else is ignored: another board's frame, a late or doubled answer, the echo of what was sent.
    pub fn handle_frame<'a>(&mut self, bytes: &'a [u8]) -> Option<Reply<'a>> {
        let pending = self.pending?;
        let frame = Frame::parse(bytes).ok()?;
        if frame.address != pending.address || frame.sequence != self.sequence {
            return None;
        }
        if [frame.kind, frame.revision] != pending.answer {
            let unsupported: Unsupported = frame.decode().ok()?;
            if [unsupported.kind, unsupported.revision] != pending.request {
                return None;
            }
        }
        self.pending = None;
        Some(Reply { frame })
    }

    /// Time has passed; `true` when the exchange went unanswered to the end, and ended by that.
    pub fn handle_timeout(&mut self, now_ms: u64) -> bool {
        let given_up =
            self.pending.is_some_and(|pending| pending.sends_left == 0 && now_ms >= pending.send_at_ms);
        if given_up {
            self.pending = None;
        }
        given_up
    }
}

/// Writes the frame of a payload that is encoded already; gives its length.
pub(super) fn write_payload(
    head: [u8; 3],
    sequence: u32,
    payload: &[u8],
    frame: &mut [u8; CONTROL_FRAME_MAX],
) -> Result<usize, CodecError> {
    let len = frame::write_body(head, sequence, frame, frame::encoded(payload))?;
    frame::finish(len, frame)
}

/// Codes the first `len` bytes of a frame for the line.
pub(super) fn code(
    frame: &[u8; CONTROL_FRAME_MAX],
    len: usize,
    line: &mut [u8; LINE_MAX],
) -> Result<usize, CodecError> {
    cobs::encode(frame.get(..len).ok_or(CodecError::Full)?, line).ok_or(CodecError::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Nonce, VendId,
        control_link::{ForgetAnswer, ForgetRequest, QueryRequest, Refusal, VendAnswer},
    };

    fn forget() -> ForgetRequest {
        ForgetRequest { nonce: Nonce([1; 16]), vend: VendId::new(7).unwrap() }
    }

    const DONE: ForgetAnswer = ForgetAnswer { refused: None };

    /// The sequence of the request on the line.
    fn sequence(line: &[u8]) -> u32 {
        let mut decoder = cobs::Decoder::<CONTROL_FRAME_MAX>::new();
        for byte in line {
            if let Some(frame) = decoder.push(*byte) {
                return Frame::parse(frame).unwrap().sequence;
            }
        }
        panic!("no frame on the line");
    }

    fn framed<M: Message>(address: u8, sequence: u32, message: &M, out: &mut [u8; 64]) -> usize {
        frame::write(address, sequence, message, out).unwrap()
    }

    #[test]
    fn a_lost_request_is_sent_again_and_its_late_answer_still_counts() {
        let mut master = Master::new(99);
        master.begin(0, 1, &forget()).unwrap();
        let first = sequence(master.poll_transmit(0).unwrap());
        assert_eq!(master.poll_transmit(RESEND_MS - 1), None);
        assert_eq!(sequence(master.poll_transmit(RESEND_MS).unwrap()), first);

        let mut out = [0; 64];
        let len = framed(1, first, &DONE, &mut out);
        let reply = master.handle_frame(&out[..len]).unwrap();
        assert_eq!(reply.answer::<ForgetRequest>(), Ok(DONE));
        assert_eq!(master.handle_frame(&out[..len]), None, "a doubled answer has no effect");
    }

    #[test]
    fn an_answer_to_another_request_or_from_another_board_is_ignored() {
        let mut master = Master::new(0);
        let mut out = [0; 64];
        master.begin(0, 1, &forget()).unwrap();
        for (address, sequence) in [(1, 7), (2, 1)] {
            let len = framed(address, sequence, &DONE, &mut out);
            assert_eq!(master.handle_frame(&out[..len]), None);
        }
        let len = framed(1, 1, &VendAnswer::Refused(Refusal::NONCE), &mut out);
        assert_eq!(master.handle_frame(&out[..len]), None, "another kind");
        let len = framed(1, 1, &forget(), &mut out);
        assert_eq!(master.handle_frame(&out[..len]), None, "the line's echo");
        let len = framed(1, 1, &DONE, &mut out);
        assert!(master.handle_frame(&out[..len]).is_some());
    }

    #[test]
    fn a_board_that_does_not_know_the_request_ends_the_exchange() {
        let mut master = Master::new(0);
        let mut out = [0; 64];
        master.begin(0, 1, &forget()).unwrap();
        let len = framed(1, 1, &Unsupported { kind: QueryRequest::KIND, revision: 1 }, &mut out);
        assert_eq!(master.handle_frame(&out[..len]), None, "another request");
        let len = framed(1, 1, &Unsupported { kind: ForgetRequest::KIND, revision: 1 }, &mut out);
        let reply = master.handle_frame(&out[..len]).unwrap();
        assert_eq!(reply.answer::<ForgetRequest>(), Err(NoAnswer::Unsupported));
        assert!(!master.is_busy());
    }

    #[test]
    fn a_silent_board_is_given_up_in_bounded_time() {
        let mut master = Master::new(0);
        master.begin(0, 1, &forget()).unwrap();
        let (mut now, mut sends) = (0, 0);
        loop {
            sends += u32::from(master.poll_transmit(now).is_some());
            if master.handle_timeout(now) {
                break;
            }
            now = master.poll_timeout().unwrap();
        }
        assert_eq!((sends, now), (6, 6 * RESEND_MS));
        assert!(!master.is_busy() && !master.handle_timeout(now));
    }
}
