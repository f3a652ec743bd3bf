//! A control board in the same chip as whoever commands it.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;

use super::{
    BoardConfig, BoardState, BoardStatus, ControlBoard, ForgetRefused, Nonce, OpenRefused, Opened,
    SensorState, StartRefused, VendCommand, VendId, VendOrder, VendState,
};
use crate::{Bank, Clock, DropSensor, Instant, Outcome, Sight};

/// How often the motion side looks for an order and at the drop sensor while idle, in ms.
const IDLE_POLL_MS: u32 = 2;

/// How often the drop sensor is tested while idle, in ms.
const SENSOR_TEST_EVERY_MS: u32 = 2_000;

/// A board over mechanisms of the same chip.
///
/// [`split`](Self::split) gives its two sides: a [`BoardHandle`] that answers commands at once, for whoever speaks
/// for the machine (its main loop, or a link to another chip), and a [`Motion`] that runs vends. Motion goes on
/// while commands are answered, because the two are two futures: two tasks of an executor, or one task that joins
/// them. They share a cell and so must stay on one thread: one executor of a chip, or the local task set of a PC's.
///
/// The side that speaks over a link owns the handle, decodes a command, calls the handle's method and encodes what it
/// returns; nothing in between waits, so the answer is as quick as the link.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use vend_hal::sim::{Plant, PlantConfig, VirtualClock};
/// use vend_hal::{BoardConfig, ControlBoard, LaneId, LocalBoard, Nonce, VendCommand, VendId, VendLimits, VendState};
/// # use vend_hal::{ConfigHash, DropReport};
///
/// let clock = VirtualClock::new();
/// let plant = Plant::new(PlantConfig::default(), clock.clone());
/// plant.refill(LaneId::new(0), 5);
/// let time = plant.timer(clock.delay());
/// let mut board = LocalBoard::new(BoardConfig::default(), plant.spirals::<4, _>(&time),
///     plant.ir_beam(time.clone()), time);
/// let (mut handle, mut motion) = board.split();
///
/// let machine = async {
///     let nonce = Nonce([1; 16]);
///     ControlBoard::open(&mut handle, nonce).await.unwrap().unwrap();
///     let command = VendCommand {
///         nonce,
///         vend_id: VendId(1),
///         config_hash: ConfigHash::default(),
///         lane: LaneId::new(0),
///         limits: VendLimits::default(),
///     };
///     ControlBoard::start(&mut handle, &command).await.unwrap().unwrap();
///     loop {
///         clock.delay_ms(50).await;
///         if let VendState::Done { outcome, .. } = ControlBoard::poll(&mut handle).await.unwrap() {
///             return outcome;
///         }
///     }
/// };
/// let outcome = clock.run_beside(machine, motion.run());
/// assert_eq!(outcome.drop, DropReport::Seen);
/// # }
/// ```
#[derive(Debug)]
pub struct LocalBoard<B, S, T> {
    state: Cell<BoardState>,
    bank: B,
    sensor: S,
    time: T,
}

impl<B: Bank, S: DropSensor, T: Clock + DelayNs + Clone> LocalBoard<B, S, T> {
    /// A board that has just started: not open, motors off.
    pub fn new(config: BoardConfig, bank: B, sensor: S, time: T) -> Self {
        let state = Cell::new(BoardState::new(config, bank.lanes()));
        Self { state, bank, sensor, time }
    }

    /// Its two sides. What the board remembers outlives them.
    pub fn split(&mut self) -> (BoardHandle<'_, T>, Motion<'_, B, S, T>) {
        let handle = BoardHandle { state: &self.state, time: self.time.clone() };
        let motion = Motion {
            state: &self.state,
            bank: &mut self.bank,
            sensor: &mut self.sensor,
            time: self.time.clone(),
            tested: None,
        };
        (handle, motion)
    }
}

/// The side of a [`LocalBoard`] that answers commands.
///
/// Its own methods are synchronous, for a link that answers within a polling interval; as a [`ControlBoard`] it has
/// the same ones as futures that are ready at once. It can be cloned; dropping it stops nothing.
#[derive(Clone, Debug)]
pub struct BoardHandle<'a, T> {
    state: &'a Cell<BoardState>,
    time: T,
}

impl<T: Clock> BoardHandle<'_, T> {
    /// As [`BoardState::open`].
    pub fn open(&self, nonce: Nonce) -> Result<Opened, OpenRefused> {
        with(self.state, |state| state.open(self.time.now(), nonce))
    }

    /// As [`BoardState::query`].
    pub fn query(&self) -> BoardStatus {
        with(self.state, |state| state.query(self.time.now()))
    }

    /// As [`BoardState::start`].
    pub fn start(&self, command: &VendCommand) -> Result<VendState, StartRefused> {
        with(self.state, |state| state.start(self.time.now(), command))
    }

    /// As [`BoardState::poll`].
    pub fn poll(&self) -> VendState {
        with(self.state, |state| state.poll(self.time.now()))
    }

    /// As [`BoardState::forget`].
    pub fn forget(&self, nonce: Nonce, vend_id: VendId) -> Result<(), ForgetRefused> {
        with(self.state, |state| state.forget(self.time.now(), nonce, vend_id))
    }

    /// As [`BoardState::reconfigure`].
    pub fn reconfigure(&self, config: BoardConfig) -> Result<(), OpenRefused> {
        with(self.state, |state| state.reconfigure(config))
    }
}

impl<T: Clock> ControlBoard for BoardHandle<'_, T> {
    type Error = Infallible;

    async fn open(&mut self, nonce: Nonce) -> Result<Result<Opened, OpenRefused>, Infallible> {
        Ok(BoardHandle::open(self, nonce))
    }

    async fn query(&mut self) -> Result<BoardStatus, Infallible> {
        Ok(BoardHandle::query(self))
    }

    async fn start(&mut self, command: &VendCommand) -> Result<Result<VendState, StartRefused>, Infallible> {
        Ok(BoardHandle::start(self, command))
    }

    async fn poll(&mut self) -> Result<VendState, Infallible> {
        Ok(BoardHandle::poll(self))
    }

    async fn forget(
        &mut self,
        nonce: Nonce,
        vend_id: VendId,
    ) -> Result<Result<(), ForgetRefused>, Infallible> {
        Ok(BoardHandle::forget(self, nonce, vend_id))
    }
}

/// The side of a [`LocalBoard`] that moves.
#[derive(Debug)]
pub struct Motion<'a, B, S, T> {
    state: &'a Cell<BoardState>,
    bank: &'a mut B,
    sensor: &'a mut S,
    time: T,
    tested: Option<Instant>,
}

impl<B: Bank, S: DropSensor, T: Clock + DelayNs + Clone> Motion<'_, B, S, T> {
    /// Runs vends as they are accepted and watches for late falls in between, for ever.
    ///
    /// # Cancel safety
    /// Dropping the future during a vend switches the motor off; the vend's result is then
    /// [`Outcome::interrupted`]. It may be called again.
    pub async fn run(&mut self) -> Infallible {
        loop {
            self.step().await;
        }
    }

    /// Runs one vend to its end if one is waiting, else waits for 2 ms and looks at the drop sensor.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn step(&mut self) {
        match with(self.state, |state| state.take_order(self.time.now())) {
            Some(order) => self.vend(order).await,
            None => self.idle().await,
        }
    }

    async fn vend(&mut self, order: VendOrder) {
        let mut result = Finish { state: self.state, order, outcome: Outcome::interrupted() };
        let mut time = self.time.clone();
        let deadline = async {
            // In pieces, and by the clock: a delay takes at least its time, and its clock may be another one.
            loop {
                let left_ms = order.deadline.millis_since(time.now());
                if left_ms == 0 {
                    return Outcome::interrupted();
                }
                time.delay_ms(left_ms).await;
            }
        };
        let vend = self.bank.vend(order.lane, &order.limits, self.sensor);
        // The mechanism's own bounds end it sooner. This one is for a mechanism whose bounds are wrong.
        result.outcome = first(vend, deadline).await;
    }

    async fn idle(&mut self) {
        let now = self.time.now();
        if self.tested.is_none_or(|tested| now.millis_since(tested) >= SENSOR_TEST_EVERY_MS) {
            self.tested = Some(now);
            self.test_sensor().await;
        }
        self.time.delay_ms(IDLE_POLL_MS).await;
        if let Sight::Passed { .. } = self.sensor.sample(self.time.now()) {
            with(self.state, BoardState::note_late_drop);
        }
    }

    async fn test_sensor(&mut self) {
        let sensor = if self.sensor.fitted() {
            self.sensor.self_test().await.map_or_else(SensorState::Fault, |()| SensorState::Ok)
        } else {
            SensorState::NotFitted
        };
        with(self.state, |state| state.note_sensor(sensor));
    }
}

/// Writes the result of a vend when it is dropped, so that a vend whose future was dropped has one too.
struct Finish<'a> {
    state: &'a Cell<BoardState>,
    order: VendOrder,
    outcome: Outcome,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        with(self.state, |state| state.finish(self.order.vend_id, self.outcome));
    }
}

/// Changes the state in its cell. `f` is this crate's own and never reaches for the cell, so no change is lost.
fn with<R>(cell: &Cell<BoardState>, f: impl FnOnce(&mut BoardState) -> R) -> R {
    let mut state = cell.get();
    let result = f(&mut state);
    cell.set(state);
    result
}

/// What the first of two futures to end returns. `a` is asked first.
async fn first<R>(a: impl Future<Output = R>, b: impl Future<Output = R>) -> R {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| match a.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => b.as_mut().poll(context),
    })
    .await
}
