//! A control board's side of the control link, answered from `vend-hal`.
//!
//! [`Responder`] is sans-IO: bytes of the line in, bytes for the line out, nothing kept but the decoder. The board's memory
//! and its rules are `vend-hal`'s, so whatever is lost or doubled on the line starts nothing twice. [`serve`] joins it to a
//! UART; the board runs [`vend_hal::Motion::run`] beside it, so that answers come while a motor turns.
//!
//! # Limits
//! [`BoardSession`]'s: a frame that is too long, for another address or with a wrong checksum is not answered. What `vend-hal`
//! cannot do (aborting, configurations, tasks, updates) is answered *unsupported*. Memory: 700 bytes.

#[cfg(test)]
mod differential;
mod map;
#[cfg(test)]
mod tests;

use core::convert::Infallible;

use embedded_io_async::{Read, Write};
use vend_hal::{
    BoardHandle, BoardStatus, Clock, ForgetRefused, Nonce, OpenRefused, Opened, StartRefused, VendCommand,
    VendId, VendState,
};
use vend_protocol::{
    Text,
    control_link::{
        self, BoardHandler, BoardSession, Features, ForgetAnswer, ForgetRequest, Identity, OpenAnswer,
        OpenRequest, QueryAnswer, Refusal, VendAnswer, VendRequest,
    },
};

/// What a [`Responder`] answers from: a [`BoardHandle`], or a board with a door contact around one.
pub trait Commands {
    /// As [`vend_hal::BoardState::open`].
    ///
    /// # Errors
    /// The board's refusal.
    fn open(&mut self, nonce: Nonce) -> Result<Opened, OpenRefused>;

    /// As [`vend_hal::BoardState::query`].
    fn query(&mut self) -> BoardStatus;

    /// As [`vend_hal::BoardState::start`].
    ///
    /// # Errors
    /// The board's refusal.
    fn start(&mut self, command: &VendCommand) -> Result<VendState, StartRefused>;

    /// As [`vend_hal::BoardState::forget`].
    ///
    /// # Errors
    /// The board's refusal.
    fn forget(&mut self, nonce: Nonce, vend: VendId) -> Result<(), ForgetRefused>;

    /// Whether the door is open. A board without a contact says no; its interlocks decide all the same.
    fn door_open(&mut self) -> bool {
        false
    }
}

impl<T: Clock> Commands for BoardHandle<'_, T> {
    fn open(&mut self, nonce: Nonce) -> Result<Opened, OpenRefused> {
        BoardHandle::open(self, nonce)
    }

    fn query(&mut self) -> BoardStatus {
        BoardHandle::query(self)
    }

    fn start(&mut self, command: &VendCommand) -> Result<VendState, StartRefused> {
        BoardHandle::start(self, command)
    }

    fn forget(&mut self, nonce: Nonce, vend: VendId) -> Result<(), ForgetRefused> {
        BoardHandle::forget(self, nonce, vend)
    }
}

/// What a control board is on its line.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Its address on the line, 1 to 247.
    pub address: u8,
    /// A number that differs from the one of the start before: random, from a counter in memory that outlives a reset, or from
    /// whatever else the chip has that is likely to differ.
    pub boot: u32,
    /// What is fitted besides the drop sensor.
    pub features: Features,
    /// The version of the running image; 0: it was put in otherwise than by an update.
    pub version: u32,
    /// Its firmware, for people.
    pub firmware: Text<24>,
    /// What hardware it is, as the manifest of an update names it.
    pub hardware: Text<24>,
    /// Its serial number; empty: it has none.
    pub serial: Text<24>,
    /// Its own bounds of a vend. What a request asks for can only make them stricter.
    pub limits: vend_hal::VendLimits,
}

impl Default for ControlConfig {
    /// The first address, boot 0, nothing fitted besides what `vend-hal` says, and its default limits.
    fn default() -> Self {
        Self {
            address: vend_protocol::control_link::FIRST_ADDRESS,
            boot: 0,
            features: Features::default(),
            version: 0,
            firmware: Text::truncated(concat!("vend-firmware ", env!("CARGO_PKG_VERSION"))),
            hardware: Text::default(),
            serial: Text::default(),
            limits: vend_hal::VendLimits::default(),
        }
    }
}

/// Answers the main board's frames.
#[derive(Clone, Debug)]
pub struct Responder {
    config: ControlConfig,
    session: BoardSession,
}

impl Responder {
    /// A responder that has seen nothing.
    pub const fn new(config: ControlConfig) -> Self {
        Self { session: BoardSession::new(config.address), config }
    }

    /// Takes a byte of the line. When it completes a request for this board, the answer is given, to be written at once.
    pub fn handle_byte(&mut self, byte: u8, board: &mut impl Commands) -> Option<&[u8]> {
        self.session.handle_byte(byte, &mut Answers { config: &self.config, board })
    }
}

/// The answers to one request.
struct Answers<'a, C> {
    config: &'a ControlConfig,
    board: &'a mut C,
}

impl<C: Commands> BoardHandler for Answers<'_, C> {
    fn identify(&mut self) -> Identity {
        map::identity(&self.board.query(), self.config)
    }

    fn query(&mut self) -> QueryAnswer {
        let status = self.board.query();
        map::status(&status, self.board.door_open(), self.config)
    }

    fn open(&mut self, request: &OpenRequest) -> OpenAnswer {
        let opened = if map::config_to_hal(request.config) == self.board.query().config_hash {
            self.board.open(map::nonce_to_hal(request.nonce)).map_err(map::open_refused)
        } else {
            Err(Refusal::CONFIG)
        };
        OpenAnswer { refused: opened.err() }
    }

    fn vend(&mut self, request: &VendRequest) -> VendAnswer {
        match self.try_vend(request) {
            Ok(state) => VendAnswer::State(state),
            Err(refusal) => VendAnswer::Refused(refusal),
        }
    }

    fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer {
        let forgotten = self.board.forget(map::nonce_to_hal(request.nonce), VendId(request.vend.number()));
        ForgetAnswer { refused: forgotten.err().map(map::forget_refused) }
    }
}

impl<C: Commands> Answers<'_, C> {
    fn try_vend(&mut self, request: &VendRequest) -> Result<control_link::VendState, Refusal> {
        let command = map::command(request, &self.config.limits);
        let status = self.board.query();
        // Only what would start now is looked at closer: a repeat is answered with the state of what was started before.
        if map::would_start(&status, &command) {
            map::check(&status, request, &command)?;
        }
        let state = self.board.start(&command).map_err(map::start_refused)?;
        // `start` answers with the state of the vend it was asked for, so there is one.
        map::vend_state(&state).map(|(_, _, state)| state).ok_or(Refusal::OLD_VEND)
    }
}

/// Why [`serve`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError<E> {
    /// The line failed.
    #[error("the line failed")]
    Line(E),
    /// The line was closed.
    #[error("the line was closed")]
    Closed,
}

/// Answers requests from a line for ever.
///
/// To be joined with [`vend_hal::Motion::run`] in one task, or spawned beside it.
///
/// # Errors
/// When the line fails or ends. What the board runs goes on.
///
/// # Cancel safety
/// Dropping it loses at most the request that was being read, which the main board sends again.
pub async fn serve<L: Read + Write>(
    line: &mut L,
    config: ControlConfig,
    board: &mut impl Commands,
) -> Result<Infallible, ServeError<L::Error>> {
    let mut responder = Responder::new(config);
    let mut input = [0; 64];
    loop {
        let len = line.read(&mut input).await.map_err(ServeError::Line)?;
        if len == 0 {
            return Err(ServeError::Closed);
        }
        for byte in input.iter().take(len) {
            if let Some(answer) = responder.handle_byte(*byte, board) {
                line.write_all(answer).await.map_err(ServeError::Line)?;
                line.flush().await.map_err(ServeError::Line)?;
            }
        }
    }
}
