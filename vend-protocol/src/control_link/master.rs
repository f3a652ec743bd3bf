//! The main board's end of the control link, sans-IO.

use super::{
    ForgetAnswer, ForgetRequest, IdentifyRequest, Identity, OpenAnswer, OpenRequest, QueryAnswer,
    QueryRequest, RESEND_MS, VendAnswer, VendRequest,
};
use crate::{
    cobs,
    codec::CodecError,
    frame::{self, CONTROL_FRAME_MAX, Frame, Message},
};

/// A request the main board may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Who are you?
    Identify,
    /// Take this nonce.
    Open(OpenRequest),
    /// Start this vend.
    Vend(VendRequest),
    /// What is your state?
    Query,
    /// Drop this result.
    Forget(ForgetRequest),
}

/// A board's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Exchange::Identify`].
    Identity(Identity),
    /// To [`Exchange::Open`].
    Opened(OpenAnswer),
    /// To [`Exchange::Vend`].
    Vending(VendAnswer),
    /// To [`Exchange::Query`].
    Status(QueryAnswer),
    /// To [`Exchange::Forget`].
    Forgotten(ForgetAnswer),
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    exchange: Exchange,
    sequence: u32,
    send_at_ms: u64,
    sends_left: u8,
}

/// Makes one exchange with one board at a time: sends, sends again, gives up.
///
/// Memory: about 120 bytes. Giving up says nothing about the board: a vend may have started, so the caller queries.
#[derive(Clone, Debug)]
pub struct Master {
    address: u8,
    sequence: u32,
    pending: Option<Pending>,
}

/// Sends before a board counts as silent.
const SENDS: u8 = 6;

impl Master {
    /// For the board at `address`. `sequence` should be random, so that an answer to a request from before a restart is not
    /// taken for one of now.
    pub const fn new(address: u8, sequence: u32) -> Self {
        Self { address, sequence, pending: None }
    }

    /// Begins an exchange; one that was under way is abandoned.
    pub const fn begin(&mut self, now_ms: u64, exchange: Exchange) {
        self.sequence = self.sequence.wrapping_add(1);
        self.pending =
            Some(Pending { exchange, sequence: self.sequence, send_at_ms: now_ms, sends_left: SENDS });
    }

    /// Whether an exchange is under way.
    pub const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// When [`Master::poll_transmit`] or [`Master::handle_timeout`] has something to do; `None` when idle.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.pending.map(|pending| pending.send_at_ms)
    }

    /// Writes the bytes to put on the line now, COBS-coded; `None` when there are none.
    ///
    /// # Errors
    /// [`CodecError::Full`] when `line` is shorter than `cobs::line_len(CONTROL_FRAME_MAX)`.
    pub fn poll_transmit(&mut self, now_ms: u64, line: &mut [u8]) -> Result<Option<usize>, CodecError> {
        let Some(pending) = self.pending.as_mut() else { return Ok(None) };
        if now_ms < pending.send_at_ms || pending.sends_left == 0 {
            return Ok(None);
        }
        let mut frame = [0; CONTROL_FRAME_MAX];
        let (address, sequence) = (self.address, pending.sequence);
        let len = match &pending.exchange {
            Exchange::Identify => frame::write(address, sequence, &IdentifyRequest {}, &mut frame),
            Exchange::Open(request) => frame::write(address, sequence, request, &mut frame),
            Exchange::Vend(request) => frame::write(address, sequence, request, &mut frame),
            Exchange::Query => frame::write(address, sequence, &QueryRequest {}, &mut frame),
            Exchange::Forget(request) => frame::write(address, sequence, request, &mut frame),
        }?;
        let frame = frame.get(..len).ok_or(CodecError::Full)?;
        let len = cobs::encode(frame, line).ok_or(CodecError::Full)?;
        pending.sends_left -= 1;
        pending.send_at_ms = now_ms.saturating_add(RESEND_MS);
        Ok(Some(len))
    }

    /// Takes a frame from the line; gives the exchange and its answer, if it is that. Anything else is ignored.
    pub fn handle_frame(&mut self, bytes: &[u8]) -> Option<(Exchange, Answer)> {
        let pending = self.pending?;
        let frame = Frame::parse(bytes).ok()?;
        if frame.address != self.address || frame.sequence != pending.sequence {
            return None;
        }
        let answer = match pending.exchange {
            Exchange::Identify => Answer::Identity(frame.decode().ok()?),
            Exchange::Open(_) => Answer::Opened(frame.decode().ok()?),
            Exchange::Vend(_) => Answer::Vending(frame.decode().ok()?),
            Exchange::Query => Answer::Status(frame.decode().ok()?),
            Exchange::Forget(_) => Answer::Forgotten(frame.decode().ok()?),
        };
        self.pending = None;
        Some((pending.exchange, answer))
    }

    /// Time has passed; gives the exchange that went unanswered to the end.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Option<Exchange> {
        let pending = self.pending?;
        if pending.sends_left > 0 || now_ms < pending.send_at_ms {
            return None;
        }
        self.pending = None;
        Some(pending.exchange)
    }
}

/// Writes a board's answer to a request frame, COBS-coded: same address, same sequence.
///
/// # Errors
/// [`CodecError::Full`] when `line` is too short.
pub fn answer<M: Message>(request: &Frame<'_>, message: &M, line: &mut [u8]) -> Result<usize, CodecError> {
    let mut frame = [0; CONTROL_FRAME_MAX];
    let len = frame::write(request.address, request.sequence, message, &mut frame)?;
    cobs::encode(frame.get(..len).ok_or(CodecError::Full)?, line).ok_or(CodecError::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ConfigHash, List,
        control_link::{BoardStatus, SensorState},
    };

    fn status() -> QueryAnswer {
        QueryAnswer {
            nonce: None,
            config: ConfigHash([1; 8]),
            last: None,
            status: BoardStatus {
                boot: 1,
                sensor: SensorState::CLEAR,
                door_open: false,
                late_drops: 0,
                faults: 0,
                inputs: 0,
                temperatures_dc: List::default(),
                supply_mv: 0,
                newest_event: 0,
            },
        }
    }

    fn receive(line: &[u8]) -> ([u8; CONTROL_FRAME_MAX], usize) {
        let mut decoder = cobs::Decoder::<CONTROL_FRAME_MAX>::new();
        for byte in line {
            if let Some(frame) = decoder.push(*byte) {
                let mut copy = [0; CONTROL_FRAME_MAX];
                copy[..frame.len()].copy_from_slice(frame);
                return (copy, frame.len());
            }
        }
        panic!("no frame on the line");
    }

    #[test]
    fn a_lost_request_is_sent_again_and_its_late_answer_still_counts() {
        let mut master = Master::new(1, 99);
        let mut line = [0; cobs::line_len(CONTROL_FRAME_MAX)];
        master.begin(0, Exchange::Query);
        let len = master.poll_transmit(0, &mut line).unwrap().unwrap();
        let (request, request_len) = receive(&line[..len]);
        assert_eq!(master.poll_transmit(RESEND_MS - 1, &mut line), Ok(None));
        assert!(master.poll_transmit(RESEND_MS, &mut line).unwrap().is_some());

        let request = Frame::parse(&request[..request_len]).unwrap();
        let len = answer(&request, &status(), &mut line).unwrap();
        let (frame, frame_len) = receive(&line[..len]);
        assert_eq!(
            master.handle_frame(&frame[..frame_len]),
            Some((Exchange::Query, Answer::Status(status())))
        );
        assert_eq!(master.handle_frame(&frame[..frame_len]), None, "a doubled answer has no effect");
    }

    #[test]
    fn an_answer_to_another_request_or_from_another_board_is_ignored() {
        let mut master = Master::new(1, 0);
        let mut frame = [0; 64];
        master.begin(0, Exchange::Query);
        for (address, sequence) in [(1, 7), (2, 1)] {
            let len = frame::write(address, sequence, &status(), &mut frame).unwrap();
            assert_eq!(master.handle_frame(&frame[..len]), None);
        }
        let len = frame::write(1, 1, &status(), &mut frame).unwrap();
        assert!(master.handle_frame(&frame[..len]).is_some());
    }

    #[test]
    fn a_silent_board_is_given_up_in_bounded_time() {
        let mut master = Master::new(1, 0);
        let mut line = [0; cobs::line_len(CONTROL_FRAME_MAX)];
        master.begin(0, Exchange::Query);
        let (mut now, mut sends) = (0, 0);
        let given_up = loop {
            sends += usize::from(master.poll_transmit(now, &mut line).unwrap().is_some());
            if let Some(exchange) = master.handle_timeout(now) {
                break exchange;
            }
            now = master.poll_timeout().unwrap();
        };
        assert_eq!((given_up, sends, now), (Exchange::Query, 6, 6 * RESEND_MS));
        assert!(!master.is_busy());
    }
}
