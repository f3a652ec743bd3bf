//! A control board as its machine sees it: a peer that runs one vend at a time and remembers the result.

mod local;
mod state;

pub use local::{BoardHandle, LocalBoard, Motion};
pub use state::{BoardConfig, BoardState, VendOrder};

use crate::{LaneId, Outcome, SensorFault, VendLimits};

/// Names one opening of a board by its machine. Random; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

/// Names one configuration of a board's lanes. Opaque here; a machine and a board that differ in it do not vend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfigHash(pub [u8; 8]);

/// Numbers the vends of one opening. Rising; gaps are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VendId(pub u32);

/// The command to vend once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendCommand {
    /// The opening it belongs to.
    pub nonce: Nonce,
    /// Its number in that opening.
    pub vend_id: VendId,
    /// The configuration the machine believes the board has.
    pub config_hash: ConfigHash,
    /// Which lane.
    pub lane: LaneId,
    /// The bounds.
    pub limits: VendLimits,
}

/// A board's answer to an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The board's configuration.
    pub config_hash: ConfigHash,
    /// How many lanes it has.
    pub lanes: u8,
    /// The longest a started vend can take, in milliseconds.
    pub max_vend_ms: u32,
}

/// Where the last vend stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendState {
    /// None was started since the board started or the last was forgotten.
    Idle,
    /// It was accepted and has not ended.
    Running {
        /// The opening it belongs to.
        nonce: Nonce,
        /// Its number.
        vend_id: VendId,
        /// How long ago it was accepted, in milliseconds.
        elapsed_ms: u32,
    },
    /// It ended. Kept until forgotten.
    Done {
        /// The opening it belongs to.
        nonce: Nonce,
        /// Its number.
        vend_id: VendId,
        /// What became of it.
        outcome: Outcome,
    },
}

/// Everything a board can say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardStatus {
    /// The present opening. `None` after a reset.
    pub nonce: Option<Nonce>,
    /// The highest vend number that was accepted in the present opening.
    pub last_vend_id: Option<VendId>,
    /// The board's configuration.
    pub config_hash: ConfigHash,
    /// How many lanes it has.
    pub lanes: u8,
    /// The longest a started vend can take, in milliseconds.
    pub max_vend_ms: u32,
    /// Where the last vend stands.
    pub vend: VendState,
    /// The drop sensor, as of the newest test. Tested every two seconds while no vend runs, and before each.
    pub sensor: SensorState,
    /// How often something fell outside every vend's window since the board started. Wraps.
    pub late_drops: u32,
    /// The vend before the newest of these falls; `None` if there was none in this board's memory.
    pub late_drop_after: Option<(Nonce, VendId)>,
}

/// What is known of the drop sensor before a sale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SensorState {
    /// Not tested since the board started.
    #[default]
    Untested,
    /// It passed its newest test.
    Ok,
    /// It failed its newest test. A vend would be refused, unless the fault has gone.
    Fault(SensorFault),
    /// There is none.
    NotFitted,
}

/// Why a board was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenRefused {
    /// A vend runs.
    #[error("a vend is running")]
    Running,
    /// The nonce named an earlier opening. A command that was delayed must not bring an old opening back.
    #[error("the nonce was used before")]
    NonceUsed,
    /// A reason this version has no name for, from a newer peer.
    #[error("refused for reason {0}")]
    Other(u8),
}

/// Why a vend was not started. Nothing moved, and its number was not used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartRefused {
    /// The board is not open: it was reset, or never opened.
    #[error("the board is not open")]
    NotOpen,
    /// The command belongs to another opening.
    #[error("the command belongs to another opening")]
    OtherNonce,
    /// The board has another configuration.
    #[error("the board has another configuration")]
    OtherConfig,
    /// The number is lower than, or equal to, one that was accepted and has been forgotten.
    #[error("the vend number is not rising")]
    NotRising,
    /// The number is that of the last vend, which was on another lane.
    #[error("the vend number names another lane's vend")]
    IdReused,
    /// Another vend runs.
    #[error("another vend is running")]
    Running,
    /// The last result has not been forgotten and would be lost.
    #[error("the last result has not been forgotten")]
    ResultKept,
    /// The board has no such lane.
    #[error("the board has no such lane")]
    NoSuchLane,
    /// Within these limits the vend could last longer than the board allows.
    #[error("the limits allow a longer vend than the board does")]
    TooLong,
    /// A reason this version has no name for, from a newer peer.
    #[error("refused for reason {0}")]
    Other(u8),
}

/// Why a result was not forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetRefused {
    /// The vend still runs.
    #[error("the vend is running")]
    Running,
    /// The board keeps the result of another vend.
    #[error("the kept result is of another vend")]
    OtherVend,
    /// A reason this version has no name for, from a newer peer.
    #[error("refused for reason {0}")]
    Other(u8),
}

/// A board that turns motors, seen by the machine: in the same chip or behind a link.
///
/// It is a peer, not a part. Dropping a `ControlBoard` loses nothing and stops nothing: a vend that was started runs
/// to its end, and its result is kept until it is forgotten.
///
/// Each method's outer error means that no answer came; the command may have been carried out all the same, and
/// [`query`](Self::query) tells. The inner one is the board's refusal.
///
/// ```
/// use vend_hal::{ConfigHash, ControlBoard, LaneId, Nonce, VendCommand, VendId, VendLimits, VendState};
///
/// /// Sells once from lane 3. The caller has journaled the nonce and the intent.
/// async fn sell<B: ControlBoard>(board: &mut B, nonce: Nonce) -> Result<VendState, B::Error> {
///     let Ok(opened) = board.open(nonce).await? else { return Ok(VendState::Idle) };
///     let command = VendCommand {
///         nonce,
///         vend_id: VendId(1),
///         config_hash: opened.config_hash,
///         lane: LaneId::new(3),
///         limits: VendLimits::default(),
///     };
///     if board.start(&command).await?.is_err() {
///         return Ok(VendState::Idle);
///     }
///     loop {
///         let state = board.poll().await?;
///         if !matches!(state, VendState::Running { .. }) {
///             return Ok(state); // journal it, then `forget`
///         }
///     }
/// }
/// ```
pub trait ControlBoard {
    /// Why no answer came.
    type Error: core::fmt::Debug;

    /// Opens the board under a nonce the caller has journaled. The same nonce again is answered again and changes
    /// nothing; another one makes every number of the opening before worthless.
    ///
    /// # Errors
    /// No answer came. The board may have been opened.
    ///
    /// # Cancel safety
    /// As if no answer had come.
    async fn open(&mut self, nonce: Nonce) -> Result<Result<Opened, OpenRefused>, Self::Error>;

    /// Asks for everything. Changes nothing.
    ///
    /// # Errors
    /// No answer came.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    async fn query(&mut self) -> Result<BoardStatus, Self::Error>;

    /// Starts a vend and answers at once with its state. The number of the last vend is answered with the state that
    /// one has, and nothing moves.
    ///
    /// # Errors
    /// No answer came. The vend may have been started: poll, query, or start again with the same number.
    ///
    /// # Cancel safety
    /// As if no answer had come. A vend that was started runs on.
    async fn start(&mut self, command: &VendCommand) -> Result<Result<VendState, StartRefused>, Self::Error>;

    /// Asks where the last vend stands. Changes nothing.
    ///
    /// # Errors
    /// No answer came.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    async fn poll(&mut self) -> Result<VendState, Self::Error>;

    /// Lets the board forget a result the caller has journaled. Forgetting what is forgotten succeeds.
    ///
    /// # Errors
    /// No answer came. The result may have been forgotten.
    ///
    /// # Cancel safety
    /// As if no answer had come.
    async fn forget(
        &mut self,
        nonce: Nonce,
        vend_id: VendId,
    ) -> Result<Result<(), ForgetRefused>, Self::Error>;
}
