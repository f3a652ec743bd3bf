//! The main board's one control board, alone on its line. The rules are [`Line`]'s.

use vend_protocol::{
    ConfigHash, Nonce, Reason, VendId,
    control_link::{BoardLink, Identity, Line, VendEvent, VendOrder},
};

/// Its number on the line.
const ONLY: usize = 0;

/// One control board.
#[derive(Debug)]
pub(super) struct Board {
    line: Line<1>,
}

impl Board {
    /// `nonce`: the last one in the journal.
    pub(super) const fn new(address: u8, config: ConfigHash, nonce: Option<Nonce>, sequence: u32) -> Self {
        Self { line: Line::new(sequence, [BoardLink::new(address, config, nonce)]) }
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.line.board(ONLY)?.identity()
    }

    /// Whether it could start a vend now, or why not.
    pub(super) fn readiness(&self, now_ms: u64, without_sensor: bool) -> Result<(), Reason> {
        self.line.board(ONLY).ok_or(Reason::BOARD)?.readiness(now_ms, without_sensor)
    }

    /// Falls outside every sale that were counted since the last call.
    pub(super) fn take_late_drops(&mut self) -> u32 {
        self.line.board_mut(ONLY).map_or(0, BoardLink::take_late_drops)
    }

    /// Whether it waits to be opened and a nonce has to be journaled for it.
    pub(super) fn wants_nonce(&self, now_ms: u64) -> bool {
        self.line.board(ONLY).is_some_and(|board| board.wants_nonce(now_ms))
    }

    pub(super) fn nonce_journaled(&mut self, nonce: Nonce) {
        if let Some(board) = self.line.board_mut(ONLY) {
            board.nonce_journaled(nonce);
        }
    }

    /// No opening is tried for a while.
    pub(super) fn delay_opening(&mut self, now_ms: u64) {
        if let Some(board) = self.line.board_mut(ONLY) {
            board.delay_opening(now_ms);
        }
    }

    #[must_use = "a vend that was not taken has no end"]
    pub(super) fn start_vend(&mut self, now_ms: u64, order: VendOrder) -> bool {
        self.line.start_vend(now_ms, ONLY, order)
    }

    #[must_use = "a vend that was not taken has no end"]
    pub(super) fn recover_vend(&mut self, now_ms: u64, vend: VendId, max_vend_ms: u32) -> bool {
        self.line.recover_vend(now_ms, ONLY, vend, max_vend_ms)
    }

    pub(super) fn poll_vend(&mut self, now_ms: u64) -> Option<VendEvent> {
        self.line.poll_vend(now_ms, ONLY)
    }

    pub(super) fn vend_journaled(&mut self, now_ms: u64) {
        self.line.vend_journaled(now_ms, ONLY);
    }

    pub(super) fn poll_timeout(&self) -> u64 {
        self.line.poll_timeout()
    }

    /// Copies what is to be sent into `buffer` and gives its length.
    pub(super) fn poll_transmit(&mut self, now_ms: u64, buffer: &mut [u8]) -> Option<usize> {
        let bytes = self.line.poll_transmit(now_ms)?;
        buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(bytes.len())
    }

    pub(super) fn handle_byte(&mut self, now_ms: u64, byte: u8) {
        // Only a request of our own would have a reply.
        self.line.handle_byte(now_ms, byte);
    }

    pub(super) fn handle_timeout(&mut self, now_ms: u64) {
        self.line.handle_timeout(now_ms);
    }
}
