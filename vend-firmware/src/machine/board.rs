//! The main board's dealings with its control board: polling, opening, what it knows of it.

use vend_protocol::{
    ConfigHash, Nonce, Reason, VendId,
    cobs::Decoder,
    codec::CodecError,
    control_link::{
        Answer, Exchange, ForgetRequest, Identity, Master, OpenRequest, POLL_IDLE_MS, POLL_VENDING_MS,
        QueryAnswer, SensorState, VendAnswer, VendState,
    },
    frame::CONTROL_FRAME_MAX,
};

/// An opening that did not succeed is tried again after this, twice this, and so on, in milliseconds. Each writes a nonce.
const OPEN_AGAIN_MS: u64 = 500;
/// And at most after this, in milliseconds.
const OPEN_AGAIN_MAX_MS: u64 = 60_000;
/// A status older than this says nothing any more, in milliseconds: a poll, an exchange given up, and a little more. A board that
/// lost power is then not offered to the next customer.
const STATUS_MAX_AGE_MS: u64 = 700;

/// What the control link brought.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A new status.
    Status,
    /// The answer to a vend request.
    Vending(VendAnswer),
    /// A vend request stayed unanswered.
    VendUnanswered,
    /// A result was forgotten, or could not be.
    Forgotten,
}

/// One control board.
#[derive(Debug)]
pub(super) struct Board {
    master: Master,
    decoder: Decoder<CONTROL_FRAME_MAX>,
    identity: Option<Identity>,
    status: Option<QueryAnswer>,
    status_at_ms: u64,
    next_poll_ms: u64,
    /// A journaled nonce that no opening has been tried with.
    fresh_nonce: Option<Nonce>,
    open_not_before_ms: u64,
    open_again_ms: u64,
    /// Falls counted at the last look, under which nonce of the board.
    falls: Option<(Option<Nonce>, u32)>,
    late_drops: u32,
}

impl Board {
    pub(super) fn new(address: u8, sequence: u32) -> Self {
        Self {
            master: Master::new(address, sequence),
            decoder: Decoder::new(),
            identity: None,
            status: None,
            status_at_ms: 0,
            next_poll_ms: 0,
            fresh_nonce: None,
            open_not_before_ms: 0,
            open_again_ms: OPEN_AGAIN_MS,
            falls: None,
            late_drops: 0,
        }
    }

    pub(super) const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The status, when it is not too old.
    pub(super) fn status(&self, now_ms: u64) -> Option<&QueryAnswer> {
        let age = now_ms.saturating_sub(self.status_at_ms);
        self.status.as_ref().filter(|_| age <= STATUS_MAX_AGE_MS)
    }

    /// The status, when it was asked for after `since_ms`.
    pub(super) fn status_since(&self, since_ms: u64) -> Option<&QueryAnswer> {
        self.status.as_ref().filter(|_| self.status_at_ms >= since_ms)
    }

    /// Whether the board could start a vend now, or why not.
    pub(super) fn check(
        &self,
        status: &QueryAnswer,
        config: ConfigHash,
        nonce: Option<Nonce>,
        without_sensor: bool,
    ) -> Result<(), Reason> {
        if nonce.is_none() || status.nonce != nonce || status.config != config || self.identity.is_none() {
            return Err(Reason::BOARD);
        }
        if status.status.door_open {
            return Err(Reason::DOOR);
        }
        match status.status.sensor {
            SensorState::CLEAR => Ok(()),
            SensorState::NOT_FITTED if without_sensor => Ok(()),
            _ => Err(Reason::SENSOR),
        }
    }

    /// Falls outside every sale that were counted since the last call.
    pub(super) const fn take_late_drops(&mut self) -> u32 {
        core::mem::replace(&mut self.late_drops, 0)
    }

    pub(super) const fn nonce_journaled(&mut self, nonce: Nonce) {
        self.fresh_nonce = Some(nonce);
    }

    /// No opening is tried for a while.
    pub(super) fn delay_opening(&mut self, now_ms: u64) {
        self.open_not_before_ms = now_ms.saturating_add(self.open_again_ms);
        self.open_again_ms = self.open_again_ms.saturating_mul(2).min(OPEN_AGAIN_MAX_MS);
    }

    /// Whether the board waits to be opened and a nonce has to be journaled for it.
    pub(super) fn wants_nonce(&self, now_ms: u64, current: Option<Nonce>, config: ConfigHash) -> bool {
        self.fresh_nonce.is_none()
            && now_ms >= self.open_not_before_ms
            && self.wants_opening(now_ms, current, config)
    }

    fn wants_opening(&self, now_ms: u64, current: Option<Nonce>, config: ConfigHash) -> bool {
        let Some(status) = self.status(now_ms) else { return false };
        let running = status.last.is_some_and(|last| last.state == VendState::Running);
        !running && status.config == config && (status.nonce.is_none() || status.nonce != current)
    }

    /// Begins an exchange at once; a poll that was under way is abandoned.
    pub(super) const fn begin(&mut self, now_ms: u64, exchange: Exchange) {
        self.master.begin(now_ms, exchange);
    }

    /// Asks for the status as soon as nothing else is under way.
    pub(super) const fn poll_now(&mut self, now_ms: u64) {
        self.next_poll_ms = now_ms;
    }

    /// Begins what is due. `keep` is the vend whose result must not be forgotten; with it no opening takes place.
    pub(super) fn drive(
        &mut self,
        now_ms: u64,
        nonce: Option<Nonce>,
        config: ConfigHash,
        keep: Option<VendId>,
        in_order: bool,
    ) {
        if self.master.is_busy() {
            return;
        }
        let status = self.status(now_ms).copied();
        if status.is_some_and(|status| status.nonce.is_some() && status.nonce == nonce) {
            self.open_again_ms = OPEN_AGAIN_MS;
        }
        if let Some(status) = status
            && let Some(last) = status.last
            && let VendState::Done(_) = last.state
            && keep != Some(last.vend)
        {
            // Its outcome is journaled, or it was given up as unknown.
            self.status = None;
            let forget = ForgetRequest { nonce: last.nonce, vend: last.vend };
            return self.begin(now_ms, Exchange::Forget(forget));
        }
        if let Some(fresh) = self.fresh_nonce
            && !in_order
            && self.wants_opening(now_ms, Some(fresh), config)
        {
            self.delay_opening(now_ms);
            self.fresh_nonce = None;
            self.status = None;
            return self.begin(now_ms, Exchange::Open(OpenRequest { nonce: fresh, config }));
        }
        if self.identity.is_none() && status.is_some() {
            return self.begin(now_ms, Exchange::Identify);
        }
        if now_ms >= self.next_poll_ms {
            let period = if keep.is_some() { POLL_VENDING_MS } else { POLL_IDLE_MS };
            self.next_poll_ms = now_ms.saturating_add(period);
            self.begin(now_ms, Exchange::Query);
        }
    }

    pub(super) fn poll_timeout(&self) -> u64 {
        self.master.poll_timeout().unwrap_or(self.next_poll_ms)
    }

    pub(super) fn poll_transmit(
        &mut self,
        now_ms: u64,
        line: &mut [u8],
    ) -> Result<Option<usize>, CodecError> {
        self.master.poll_transmit(now_ms, line)
    }

    pub(super) fn handle_byte(&mut self, now_ms: u64, byte: u8) -> Option<Event> {
        let frame = self.decoder.push(byte)?;
        let (_, answer) = self.master.handle_frame(frame)?;
        match answer {
            Answer::Identity(identity) => {
                self.identity = Some(identity);
                self.next_poll_ms = now_ms;
                None
            }
            Answer::Opened(_) => {
                // Opened or refused: the status tells.
                self.next_poll_ms = now_ms;
                None
            }
            Answer::Vending(answer) => Some(Event::Vending(answer)),
            Answer::Status(status) => {
                self.handle_status(now_ms, status);
                Some(Event::Status)
            }
            Answer::Forgotten(_) => {
                self.next_poll_ms = now_ms;
                Some(Event::Forgotten)
            }
        }
    }

    fn handle_status(&mut self, now_ms: u64, status: QueryAnswer) {
        let falls = status.status.late_drops;
        match self.falls {
            Some((nonce, before)) if nonce == status.nonce => {
                self.late_drops = self.late_drops.saturating_add(falls.wrapping_sub(before));
            }
            // Another opening: the board may have lost power, and counts from 0 again.
            Some((_, before)) if falls < before => self.late_drops = self.late_drops.saturating_add(falls),
            Some((_, before)) => self.late_drops = self.late_drops.saturating_add(falls - before),
            None => {}
        }
        if self.falls.is_some_and(|(nonce, _)| nonce != status.nonce) {
            // Perhaps another board, with other lanes.
            self.identity = None;
        }
        self.falls = Some((status.nonce, falls));
        self.status = Some(status);
        self.status_at_ms = now_ms;
    }

    pub(super) fn handle_timeout(&mut self, now_ms: u64) -> Option<Event> {
        match self.master.handle_timeout(now_ms)? {
            Exchange::Vend(_) => {
                self.next_poll_ms = now_ms;
                Some(Event::VendUnanswered)
            }
            Exchange::Forget(_) => Some(Event::Forgotten),
            Exchange::Identify | Exchange::Open(_) | Exchange::Query => {
                self.next_poll_ms = self.next_poll_ms.max(now_ms);
                None
            }
        }
    }
}
