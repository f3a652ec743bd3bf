//! What really happened, beside what each board believes.

use std::collections::{BTreeMap, BTreeSet};

use vend_protocol::{
    DropReport, Nonce, Outcome, Start,
    cobs::Decoder,
    control_link::{OpenRequest, VendEnd, VendOrder, VendRequest, VendResult},
    frame::{CONTROL_FRAME_MAX, Frame},
};

/// What is known of a vend.
struct Vend {
    board: usize,
    order: VendOrder,
    /// The board refused it. A repeat of the request, or a copy, may start it after all when the reason for that is gone: the rules
    /// of the board do not use up a number that they refuse. So what a refusal told the main board may be overtaken.
    refused: bool,
    started: bool,
    /// How its motor came to rest.
    result: Option<VendResult>,
    /// What the main board was told, and whether it journaled that.
    told: Option<(VendEnd, bool)>,
}

#[derive(Default)]
pub(super) struct Ledger {
    vends: BTreeMap<u32, Vend>,
    nonces: BTreeSet<[u8; 16]>,
    last_sent: Vec<u8>,
}

impl Ledger {
    pub(super) fn journaled_nonce(&mut self, nonce: Nonce) {
        assert!(self.nonces.insert(nonce.0), "drawn twice");
    }

    pub(super) fn ordered(&mut self, board: usize, order: VendOrder) {
        let vend = Vend { board, order, refused: false, started: false, result: None, told: None };
        assert!(self.vends.insert(order.vend.number(), vend).is_none(), "ordered twice");
    }

    pub(super) fn opened(&self, request: &OpenRequest) {
        assert!(self.nonces.contains(&request.nonce.0), "opened with a nonce that was not journaled");
    }

    /// The main board puts this on the line. The same frame again is the repeat of one exchange: it has the deadline behind it that
    /// the first one had before it.
    pub(super) fn sent(&mut self, now_ms: u64, line: &[u8]) {
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        let frames = line.iter().filter_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec));
        for frame in frames {
            if self.last_sent == frame {
                continue;
            }
            self.last_sent.clone_from(&frame);
            let frame = Frame::parse(&frame).expect("what is sent is a frame");
            if let Ok(request) = frame.decode::<VendRequest>() {
                let vend = self.vends.get(&request.vend.number()).expect("sent without an order");
                assert!(now_ms <= vend.order.not_after_ms, "vend {} sent too late", request.vend);
            }
        }
    }

    pub(super) fn refused(&mut self, request: &VendRequest) {
        self.vends.get_mut(&request.vend.number()).expect("sent without an order").refused = true;
    }

    /// A motor is switched on.
    pub(super) fn started(&mut self, board: usize, request: &VendRequest) {
        let vend = self.vends.get_mut(&request.vend.number()).expect("started without an order");
        let VendOrder { lane, limits, label, .. } = vend.order;
        assert_eq!((vend.board, lane, limits, label), (board, request.lane, request.limits, request.label));
        assert!(self.nonces.contains(&request.nonce.0), "started under a nonce that was not journaled");
        assert!(!vend.started, "vend {} started twice", request.vend);
        if let Some((end, _)) = &vend.told {
            assert!(
                vend.refused || !is_not_started(end.outcome),
                "vend {} started after it was given up",
                request.vend
            );
        }
        vend.started = true;
    }

    pub(super) fn rested(&mut self, request: &VendRequest, result: VendResult) {
        let vend = self.vends.get_mut(&request.vend.number()).expect("started without an order");
        assert!(vend.started && vend.result.replace(result).is_none(), "came to rest twice");
    }

    /// The main board is told an outcome: after a restart perhaps once more, if it did not journal it.
    pub(super) fn told(&mut self, end: &VendEnd) {
        let vend = self.vends.get_mut(&end.vend.number()).expect("an end without an order");
        assert!(vend.told.is_none_or(|(_, journaled)| !journaled), "told after it was journaled");
        if is_not_started(end.outcome) {
            assert!(vend.refused || !vend.started, "vend {} was started", end.vend);
        } else if !end.outcome.interrupted {
            let result = vend.result.expect("an outcome without a result");
            assert_eq!((end.outcome, end.evidence), (result.outcome, result.evidence), "another result");
        }
        vend.told = Some((*end, false));
    }

    pub(super) fn journaled(&mut self, end: &VendEnd) {
        let vend = self.vends.get_mut(&end.vend.number()).expect("an end without an order");
        vend.told = Some((*end, true));
    }

    pub(super) fn over(&self, vend: u32) {
        assert!(self.is_journaled(vend), "over before it was journaled");
    }

    /// A control board forgets a result.
    pub(super) fn forgot(&self, vend: u32) {
        assert!(self.is_journaled(vend), "forgotten before it was journaled");
    }

    fn is_journaled(&self, vend: u32) -> bool {
        self.vends.get(&vend).and_then(|vend| vend.told).is_some_and(|(_, journaled)| journaled)
    }

    pub(super) fn has_sold(&self, vend: u32) {
        let told = self.vends.get(&vend).and_then(|vend| vend.told);
        let sold = told.is_some_and(|(end, journaled)| journaled && end.outcome.drop == DropReport::Seen);
        assert!(sold, "over a good line vend {vend} did not sell: {told:?}");
    }
}

#[cfg(test)]
impl Ledger {
    /// The vends that were journaled as sold.
    pub(super) fn sold(&self) -> usize {
        let told = self.vends.values().filter_map(|vend| vend.told);
        told.filter(|(end, journaled)| *journaled && end.outcome.drop == DropReport::Seen).count()
    }
}

/// Whether the customer is told that nothing moved.
fn is_not_started(outcome: Outcome) -> bool {
    matches!(outcome.start, Start::NotStarted(_)) && !outcome.interrupted
}
