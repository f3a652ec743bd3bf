//! What the main board knows of one control board, and what it has to ask it.

use super::{
    ForgetRequest, IdentifyRequest, Identity, Master, OpenRequest, QueryAnswer, SensorState, VendEvent,
    VendOrder, VendState, vend::Vend,
};
use crate::{ConfigHash, Nonce, Reason, VendId};

/// An opening that did not succeed is tried again after this, twice this, and so on, in milliseconds. Each writes a nonce.
const OPEN_AGAIN_MS: u64 = 500;
/// And at most after this, in milliseconds.
const OPEN_AGAIN_MAX_MS: u64 = 60_000;
/// A board that did not tell who it is is asked again after this, in milliseconds.
const IDENTIFY_AGAIN_MS: u64 = 1_000;
/// A status older than this says nothing any more, in milliseconds: a poll, an exchange given up, and a little more. A board
/// that lost power is then not offered to the next customer.
pub const STATUS_MAX_AGE_MS: u64 = 700;

/// One control board, as the main board sees it. It lives in a [`super::Line`].
///
/// # How it is opened
/// The nonce is journaled before it is sent: when [`BoardLink::wants_nonce`] says so, the owner draws one, journals it and calls
/// [`BoardLink::nonce_journaled`]. That is so only when the board's last status shows that it has another nonce or none, runs
/// nothing and has the right configuration, and while no vend of ours is in doubt: in doubt the board is queried before it is
/// opened. A result that the board keeps is forgotten before, unless it is that of the vend under way.
///
/// Memory: 450 bytes.
#[derive(Clone, Debug)]
pub struct BoardLink {
    address: u8,
    config: ConfigHash,
    /// The last one that was journaled.
    nonce: Option<Nonce>,
    /// No opening was tried with it.
    fresh: bool,
    open_not_before_ms: u64,
    open_again_ms: u64,
    identity: Option<Identity>,
    identify_not_before_ms: u64,
    status: Option<QueryAnswer>,
    status_at_ms: u64,
    /// At the last look: which start of the board, under which nonce, and how many falls it had counted.
    seen: Option<(u32, Option<Nonce>, u32)>,
    late_drops: u32,
    pub(super) vend: Option<Vend>,
}

/// What a board is asked, besides its status.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Status,
    Vend,
    Forget,
    Open,
    Identity,
    /// The owner's own request.
    Other,
}

impl BoardLink {
    /// The board at `address`, which must have this configuration. `nonce`: the last one in the journal.
    pub const fn new(address: u8, config: ConfigHash, nonce: Option<Nonce>) -> Self {
        Self {
            address,
            config,
            nonce,
            fresh: false,
            open_not_before_ms: 0,
            open_again_ms: OPEN_AGAIN_MS,
            identity: None,
            identify_not_before_ms: 0,
            status: None,
            status_at_ms: 0,
            seen: None,
            late_drops: 0,
            vend: None,
        }
    }

    /// Its address.
    pub const fn address(&self) -> u8 {
        self.address
    }

    /// Who it is, once it told.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Its status, when it is not older than [`STATUS_MAX_AGE_MS`].
    pub fn status(&self, now_ms: u64) -> Option<&QueryAnswer> {
        let age_ms = now_ms.saturating_sub(self.status_at_ms);
        self.status.as_ref().filter(|_| age_ms <= STATUS_MAX_AGE_MS)
    }

    /// Whether it could start a vend now, or why not.
    ///
    /// # Errors
    /// [`Reason::BOARD`] when it is silent, not identified, not opened or has another configuration; [`Reason::DOOR`],
    /// [`Reason::SENSOR`], [`Reason::BUSY`].
    pub fn readiness(&self, now_ms: u64, without_sensor: bool) -> Result<(), Reason> {
        let status = self.status(now_ms).ok_or(Reason::BOARD)?;
        self.check(status, without_sensor)?;
        if is_running(status) || self.is_vending() { Err(Reason::BUSY) } else { Ok(()) }
    }

    fn check(&self, status: &QueryAnswer, without_sensor: bool) -> Result<(), Reason> {
        let opened = self.nonce.is_some() && status.nonce == self.nonce;
        if !opened || status.config != self.config || self.identity.is_none() {
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

    /// Whether a vend is under way: from its start or recovery until [`VendEvent::Over`].
    pub const fn is_vending(&self) -> bool {
        self.vend.is_some()
    }

    /// Falls outside every vend's window that were counted since the last call.
    pub const fn take_late_drops(&mut self) -> u32 {
        core::mem::replace(&mut self.late_drops, 0)
    }

    /// Whether the board waits to be opened, and a fresh nonce has to be journaled for it.
    pub fn wants_nonce(&self, now_ms: u64) -> bool {
        !self.fresh && now_ms >= self.open_not_before_ms && self.wants_opening(now_ms)
    }

    /// This fresh, random nonce is in the journal: the board may be opened with it.
    pub const fn nonce_journaled(&mut self, nonce: Nonce) {
        self.nonce = Some(nonce);
        self.fresh = true;
    }

    /// No opening is tried for a while, the longer the oftener: the journal had no room for a nonce.
    pub fn delay_opening(&mut self, now_ms: u64) {
        self.open_not_before_ms = now_ms.saturating_add(self.open_again_ms);
        self.open_again_ms = self.open_again_ms.saturating_mul(2).min(OPEN_AGAIN_MAX_MS);
    }

    fn wants_opening(&self, now_ms: u64) -> bool {
        let Some(status) = self.status(now_ms) else { return false };
        self.vend.is_none()
            && !is_running(status)
            && status.config == self.config
            && (status.nonce.is_none() || status.nonce != self.nonce)
    }

    pub(super) fn is_kept(&self) -> bool {
        self.vend.as_ref().is_some_and(Vend::is_kept)
    }

    pub(super) fn start_vend(&mut self, now_ms: u64, order: VendOrder) {
        self.vend = Some(Vend::start(now_ms, order));
    }

    pub(super) fn recover_vend(&mut self, now_ms: u64, vend: VendId, max_vend_ms: u32) {
        self.vend = Some(Vend::recover(now_ms, vend, self.nonce, max_vend_ms));
    }

    /// Begins what is to be asked now, besides the status.
    pub(super) fn begin(&mut self, now_ms: u64, master: &mut Master) -> Option<Asked> {
        let address = self.address;
        let board_ms = self.identity.as_ref().map_or(0, |identity| identity.max_vend_ms);
        if let Some(vend) = &mut self.vend
            && let Some(request) = vend.take_request(now_ms, self.nonce, self.config, board_ms)
        {
            return master.begin(now_ms, address, &request).ok().map(|()| Asked::Vend);
        }
        let last = self.status(now_ms)?.last;
        if let Some(last) = last
            && let VendState::Done(_) = last.state
            && !self.vend.as_ref().is_some_and(|vend| vend.keeps(&last))
        {
            // Its outcome is journaled, or it was given up as unknown.
            self.status = None;
            let forget = ForgetRequest { nonce: last.nonce, vend: last.vend };
            return master.begin(now_ms, address, &forget).ok().map(|()| Asked::Forget);
        }
        if let Some(nonce) = self.nonce.filter(|_| self.fresh)
            && self.wants_opening(now_ms)
        {
            self.delay_opening(now_ms);
            self.fresh = false;
            self.status = None;
            let open = OpenRequest { nonce, config: self.config };
            return master.begin(now_ms, address, &open).ok().map(|()| Asked::Open);
        }
        if self.identity.is_none() && now_ms >= self.identify_not_before_ms {
            self.identify_not_before_ms = now_ms.saturating_add(IDENTIFY_AGAIN_MS);
            return master.begin(now_ms, address, &IdentifyRequest {}).ok().map(|()| Asked::Identity);
        }
        None
    }

    pub(super) fn handle_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    pub(super) fn handle_status(&mut self, now_ms: u64, status: QueryAnswer) {
        let (boot, falls) = (status.status.boot, status.status.late_drops);
        let fallen = match self.seen {
            Some((before, _, counted)) if before == boot && falls >= counted => falls - counted,
            // It started again, and counts from 0.
            Some(_) => falls,
            None => 0,
        };
        self.late_drops = self.late_drops.saturating_add(fallen);
        if self.seen.is_some_and(|(before, nonce, _)| before != boot || nonce != status.nonce) {
            // Perhaps another board, with other lanes.
            self.identity = None;
            self.identify_not_before_ms = now_ms;
        }
        self.seen = Some((boot, status.nonce, falls));
        if status.nonce.is_some() && status.nonce == self.nonce {
            self.open_again_ms = OPEN_AGAIN_MS;
        }
        let without_sensor = self.vend.as_ref().is_some_and(Vend::without_sensor);
        let check = self.check(&status, without_sensor);
        if let Some(vend) = &mut self.vend {
            vend.handle_status(now_ms, &status, check);
        }
        self.status = Some(status);
        self.status_at_ms = now_ms;
    }

    /// When [`BoardLink::poll_vend`] has something to do without anything having come in.
    pub(super) fn timeout(&self) -> Option<u64> {
        self.vend.as_ref()?.timeout()
    }

    pub(super) fn poll_vend(&mut self, now_ms: u64) -> Option<VendEvent> {
        let vend = self.vend.as_mut()?;
        let event = vend.poll(now_ms);
        if vend.is_told() {
            self.vend = None;
        }
        event
    }
}

fn is_running(status: &QueryAnswer) -> bool {
    status.last.is_some_and(|last| last.state == VendState::Running)
}
