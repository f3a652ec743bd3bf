//! A main board: the protocol crate's line, an owner that sells, and a journal that survives.

use vend_protocol::{
    Nonce, Outcome, SlotId, VendId,
    control_link::{BoardLink, FIRST_ADDRESS, Line, VendEvent, VendLabel, VendLimits, VendOrder},
};

use super::control::{CONFIG, Label};
use crate::{broken::Broken, chance::Chance};

/// The longest vend that the main board asks for, in milliseconds.
const MAX_VEND_MS: u32 = 8_000;
/// A sale that is not on its way after so long never is, in milliseconds.
const DEADLINE_MS: u64 = 20_000;

/// What is in flash. Writing is all or nothing; that it is so is shown where the journal is.
#[derive(Debug)]
pub(crate) struct Store<const BOARDS: usize> {
    nonces: [Option<Nonce>; BOARDS],
    next_vend: u64,
    sales: [Vec<Sale>; BOARDS],
    wanted: u32,
}

/// One sale, and the vend it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sale {
    pub(crate) label: Label,
    vend: VendId,
    pub(crate) outcome: Option<Outcome>,
}

impl<const BOARDS: usize> Store<BOARDS> {
    pub(crate) fn new(wanted: u32) -> Self {
        Self { nonces: [None; BOARDS], next_vend: 1, sales: core::array::from_fn(|_| vec![]), wanted }
    }

    pub(crate) fn sales(&self) -> impl Iterator<Item = &Sale> {
        self.sales.iter().flatten()
    }

    /// Every board has sold as often as it should, and every outcome is known.
    pub(crate) fn is_over(&self) -> bool {
        self.sales.iter().all(|sales| sales.len() == self.wanted as usize)
            && self.sales().all(|sale| sale.outcome.is_some())
    }

    fn open_sale(&self, board: usize) -> Option<Sale> {
        self.sales[board].last().copied().filter(|sale| sale.outcome.is_none())
    }

    /// Journals a sale and its vend, before anything is sent.
    fn begin(&mut self, board: usize) -> Option<Sale> {
        if self.sales[board].len() >= self.wanted as usize {
            return None;
        }
        let label = board as Label * 1_000_000 + self.sales[board].len() as Label + 1;
        let sale = Sale { label, vend: self.number(), outcome: None };
        self.sales[board].push(sale);
        Some(sale)
    }

    fn number(&mut self) -> VendId {
        self.next_vend += 1;
        VendId::new(self.next_vend - 1).unwrap()
    }

    fn end(&mut self, board: usize, vend: VendId, outcome: Outcome) {
        let sale = self.sales[board].last_mut().filter(|sale| sale.vend == vend);
        sale.expect("the end of a vend that is no sale").outcome = Some(outcome);
    }
}

#[derive(Debug)]
pub(crate) struct MainBoard<const BOARDS: usize> {
    line: Line<BOARDS>,
    /// Outcomes that a broken main board has not journaled yet.
    held: [Option<Outcome>; BOARDS],
}

impl<const BOARDS: usize> MainBoard<BOARDS> {
    pub(crate) fn new(now_ms: u64, store: &mut Store<BOARDS>, chance: &mut Chance, broken: Broken) -> Self {
        let sequence = u32::try_from(chance.next() >> 32).unwrap();
        if broken == Broken::OpensInDoubt {
            store.nonces = core::array::from_fn(|_| Some(draw(chance)));
        }
        let links = (FIRST_ADDRESS..).zip(&store.nonces);
        let mut links = links.map(|(address, nonce)| BoardLink::new(address, CONFIG, *nonce));
        let mut line = Line::new(sequence, core::array::from_fn(|_| links.next().unwrap()));
        for board in 0..BOARDS {
            match (store.open_sale(board), broken) {
                (None, _) | (_, Broken::ResendsAfterRestart | Broken::NewNumberAfterRestart) => {}
                (Some(_), Broken::OpensInDoubt) => {
                    let nonce = store.nonces[board].unwrap();
                    line.board_mut(board).unwrap().nonce_journaled(nonce);
                }
                (Some(sale), _) => assert!(line.recover_vend(now_ms, board, sale.vend, MAX_VEND_MS)),
            }
        }
        Self { line, held: [None; BOARDS] }
    }

    /// Does whatever is due, but the sending.
    pub(crate) fn turn(
        &mut self,
        now_ms: u64,
        store: &mut Store<BOARDS>,
        chance: &mut Chance,
        broken: Broken,
    ) {
        self.line.handle_timeout(now_ms);
        for board in 0..BOARDS {
            self.open(now_ms, board, store, chance);
            self.sell(now_ms, board, store, broken);
            while let Some(event) = self.line.poll_vend(now_ms, board) {
                match event {
                    VendEvent::Ended(end) if broken == Broken::ForgetsFirst => {
                        self.held[board] = Some(end.outcome);
                        self.line.vend_journaled(now_ms, board);
                    }
                    VendEvent::Ended(end) => {
                        store.end(board, end.vend, end.outcome);
                        self.line.vend_journaled(now_ms, board);
                    }
                    VendEvent::Over(vend) => {
                        if let Some(outcome) = self.held[board].take() {
                            store.end(board, vend, outcome);
                        }
                    }
                }
            }
        }
    }

    fn open(&mut self, now_ms: u64, board: usize, store: &mut Store<BOARDS>, chance: &mut Chance) {
        let link = self.line.board_mut(board).unwrap();
        if link.wants_nonce(now_ms) {
            let nonce = draw(chance);
            store.nonces[board] = Some(nonce);
            link.nonce_journaled(nonce);
        }
    }

    fn sell(&mut self, now_ms: u64, board: usize, store: &mut Store<BOARDS>, broken: Broken) {
        if self.line.board(board).unwrap().readiness(now_ms, false).is_err() {
            return;
        }
        let sale = match store.open_sale(board) {
            Some(mut sale) => {
                // Only a broken main board comes here.
                if broken == Broken::NewNumberAfterRestart {
                    sale.vend = store.number();
                    store.sales[board].last_mut().unwrap().vend = sale.vend;
                }
                Some(sale)
            }
            None => store.begin(board),
        };
        let Some(sale) = sale else { return };
        let order = VendOrder {
            vend: sale.vend,
            lane: SlotId::new(3).unwrap(),
            limits: VendLimits { max_vend_ms: MAX_VEND_MS, ..VendLimits::default() },
            label: VendLabel { authority: sale.label, line: 0 },
            not_after_ms: now_ms + DEADLINE_MS,
        };
        assert!(self.line.start_vend(now_ms, board, order));
    }

    pub(crate) fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8]) {
        for byte in bytes {
            assert_eq!(self.line.handle_byte(now_ms, *byte), None, "nothing of our own was asked");
        }
    }

    pub(crate) fn poll_transmit(&mut self, now_ms: u64) -> Option<&[u8]> {
        self.line.poll_transmit(now_ms)
    }

    pub(crate) fn poll_timeout(&self) -> u64 {
        self.line.poll_timeout()
    }

    /// No vend is under way.
    pub(crate) fn is_idle(&self) -> bool {
        (0..BOARDS).all(|board| !self.line.board(board).unwrap().is_vending())
    }
}

fn draw(chance: &mut Chance) -> Nonce {
    let mut nonce = [0; 16];
    nonce.fill_with(|| chance.byte());
    Nonce(nonce)
}
