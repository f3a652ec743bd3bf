//! A byte stream with packets on it: the only input and output of a connection.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Limits;
use super::session::End;
use super::wire::{Decoder, Packet, WireError};

/// Bytes read at once.
const READ_LEN: usize = 1_024;
/// How long a closed connection is still read from: closing with bytes unread makes TCP reset the connection, and
/// the last packet sent may be lost with it.
const LINGER: Duration = Duration::from_millis(200);

/// A stream, cut into packets. It carries TLS as well as TCP.
pub(super) struct Link<S> {
    stream: S,
    decoder: Decoder,
    input: Box<[u8]>,
    /// What of `input` was read and not yet decoded.
    unread: std::ops::Range<usize>,
    write_timeout: Duration,
    /// When the machine is given up, where it has not taken what is being written.
    stalled: Option<Instant>,
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(stream: S, limits: &Limits) -> Self {
        Self {
            stream,
            decoder: Decoder::new(limits.packet_size),
            input: vec![0; READ_LEN].into_boxed_slice(),
            unread: 0..0,
            write_timeout: limits.write_timeout,
            stalled: None,
            unflushed: false,
        }
    }

    /// The next packet of what has been read, or `None` where more must be read first.
    pub(super) fn packet(&mut self) -> Result<Option<Packet>, WireError> {
        let mut rest = self.input.get(self.unread.clone()).unwrap_or_default();
        // The library must not be able to end the task by a panic: the handler is still to be told of the end.
        let result = catch_unwind(AssertUnwindSafe(|| self.decoder.next(&mut rest)));
        self.unread.start = self.unread.end - rest.len();
        result.unwrap_or(Err(WireError::Malformed))
    }

    /// Reads some bytes. To be called once [`packet`](Self::packet) has no more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn read(&mut self) -> Result<(), End> {
        match self.stream.read(&mut self.input).await {
            Ok(0) | Err(_) => Err(End::Lost),
            Ok(len) => {
                self.unread = 0..len;
                Ok(())
            }
        }
    }

    /// Writes some of `out`; where there is none, reads, if that is wanted.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost, and nothing is written twice.
    pub(super) async fn step(&mut self, out: &mut Vec<u8>, read: bool) -> Result<(), End> {
        if !out.is_empty() {
            let until = *self.stalled.get_or_insert_with(|| Instant::now() + self.write_timeout);
            return match timeout_at(until, self.stream.write(out)).await {
                Err(_) => Err(End::Slow),
                Ok(Ok(0) | Err(_)) => Err(End::Lost),
                Ok(Ok(len)) => {
                    self.stalled = None;
                    self.unflushed = true;
                    out.drain(..len);
                    Ok(())
                }
            };
        }
        if self.unflushed {
            let until = *self.stalled.get_or_insert_with(|| Instant::now() + self.write_timeout);
            return match timeout_at(until, self.stream.flush()).await {
                Err(_) => Err(End::Slow),
                Ok(Err(_)) => Err(End::Lost),
                Ok(Ok(())) => {
                    self.stalled = None;
                    self.unflushed = false;
                    Ok(())
                }
            };
        }
        if read { self.read().await } else { pending().await }
    }

    /// Writes the last bytes and closes the stream.
    pub(super) async fn finish(mut self, last: &[u8]) {
        let write = async {
            self.stream.write_all(last).await?;
            self.stream.flush().await?;
            self.stream.shutdown().await
        };
        if !matches!(timeout(self.write_timeout, write).await, Ok(Ok(()))) {
            return;
        }
        let drain = async { while matches!(self.stream.read(&mut self.input).await, Ok(len) if len > 0) {} };
        let _ = timeout(LINGER, drain).await;
    }
}
