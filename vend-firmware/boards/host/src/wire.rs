//! The line between the boards: bytes in order, and taps on it.

use std::{cell::RefCell, collections::VecDeque, convert::Infallible, rc::Rc, sync::Arc};

use tokio::sync::Notify;
use vend_protocol::{cobs::Decoder, frame::CONTROL_FRAME_MAX};

use crate::tap::{Direction, Tap};

/// Bytes that a receiver that does not listen can be behind; more are lost, as in a UART.
const BUFFER_MAX: usize = 4096;

#[derive(Default)]
struct Half {
    bytes: RefCell<VecDeque<u8>>,
    arrived: Notify,
}

/// One board's end of the line. It can be taken up again after a restart of the board.
#[derive(Clone)]
pub(crate) struct WireEnd {
    out: Rc<Half>,
    incoming: Rc<Half>,
    direction: Direction,
    taps: Arc<dyn Tap>,
}

/// A line: the main board's end and the control board's.
pub(crate) fn wire(taps: &Arc<dyn Tap>) -> (WireEnd, WireEnd) {
    let (down, up) = (Rc::new(Half::default()), Rc::new(Half::default()));
    let main = WireEnd {
        out: Rc::clone(&down),
        incoming: Rc::clone(&up),
        direction: Direction::ToControl,
        taps: Arc::clone(taps),
    };
    let control = WireEnd { out: up, incoming: down, direction: Direction::ToMain, taps: Arc::clone(taps) };
    (main, control)
}

impl WireEnd {
    /// The board has just got power: what arrived before is lost.
    pub(crate) fn clear(&self) {
        self.incoming.bytes.borrow_mut().clear();
    }

    /// Waits for bytes and takes some.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> usize {
        loop {
            let arrived = self.incoming.arrived.notified();
            {
                let mut bytes = self.incoming.bytes.borrow_mut();
                if !bytes.is_empty() {
                    let len = bytes.len().min(buffer.len());
                    for (place, byte) in buffer.iter_mut().zip(bytes.drain(..len)) {
                        *place = byte;
                    }
                    return len;
                }
            }
            arrived.await;
        }
    }

    /// Sends one coded frame.
    pub(crate) fn send(&self, line: &[u8]) {
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        for byte in line {
            if let Some(frame) = decoder.push(*byte) {
                self.taps.control_frame(self.direction, frame);
            }
        }
        let mut line = line.to_vec();
        self.taps.control_bytes(self.direction, &mut line);
        let mut bytes = self.out.bytes.borrow_mut();
        let room = BUFFER_MAX.saturating_sub(bytes.len());
        bytes.extend(line.into_iter().take(room));
        self.out.arrived.notify_one();
    }
}

impl embedded_io_async::ErrorType for WireEnd {
    type Error = Infallible;
}

impl embedded_io_async::Read for WireEnd {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.receive(buffer).await)
    }
}

impl embedded_io_async::Write for WireEnd {
    /// Takes all of a frame at once.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.send(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
