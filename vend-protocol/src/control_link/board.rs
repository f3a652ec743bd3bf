//! A control board's end of the control link, sans-IO.

use super::{
    AbortRequest, ConfigureAnswer, ConfigureRequest, EventsAnswer, EventsRequest, ForgetAnswer,
    ForgetRequest, HomeAllRequest, IdentifyRequest, Identity, LINE_MAX, LaneScanRequest, LanesAnswer,
    LanesRequest, OpenAnswer, OpenRequest, QueryAnswer, QueryRequest, Request, SelfTestRequest, TaskAnswer,
    Unsupported, UpdateAnswer, UpdateBeginRequest, UpdateChunkRequest, UpdateConfirmRequest,
    UpdateSwapRequest, UpdateVerifyRequest, VendAnswer, VendRequest, kind,
    master::{code, write_payload},
};
use crate::{
    cobs::Decoder,
    codec,
    frame::{CONTROL_FRAME_MAX, Frame, Message},
};

/// What a board does when it is asked. What it does not override is answered [`Unsupported`].
///
/// Each method is called once for each copy of a request that arrives, and a request may arrive any number of times: answer a
/// repeat with the state, and start nothing twice. [`super::VendGate`] holds the rules of opening, vends and forgetting. Answer
/// at once: the whole exchange has [`super::ANSWER_MS`]. What takes longer is begun, and its state answered.
pub trait BoardHandler {
    /// Who it is.
    fn identify(&mut self) -> Identity;

    /// How it is.
    fn query(&mut self) -> QueryAnswer;

    /// The main board opens it.
    fn open(&mut self, request: &OpenRequest) -> OpenAnswer;

    /// The main board wants a vend.
    fn vend(&mut self, request: &VendRequest) -> VendAnswer;

    /// The main board has journaled a result.
    fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer;

    /// A vend is to end early.
    fn abort(&mut self, _request: &AbortRequest) -> Option<VendAnswer> {
        None
    }

    /// A part of a configuration.
    fn configure(&mut self, _request: &ConfigureRequest) -> Option<ConfigureAnswer> {
        None
    }

    /// How are the lanes?
    fn lanes(&mut self, _request: &LanesRequest) -> Option<LanesAnswer> {
        None
    }

    /// Which motors are there?
    fn lane_scan(&mut self, _request: &LaneScanRequest) -> Option<TaskAnswer> {
        None
    }

    /// Everything is to go home.
    fn home_all(&mut self, _request: &HomeAllRequest) -> Option<TaskAnswer> {
        None
    }

    /// Everything is to be tested.
    fn self_test(&mut self, _request: &SelfTestRequest) -> Option<TaskAnswer> {
        None
    }

    /// What happened?
    fn events(&mut self, _request: &EventsRequest) -> Option<EventsAnswer> {
        None
    }

    /// An image is to come.
    fn update_begin(&mut self, _request: &UpdateBeginRequest) -> Option<UpdateAnswer> {
        None
    }

    /// Bytes of it.
    fn update_chunk(&mut self, _request: &UpdateChunkRequest) -> Option<UpdateAnswer> {
        None
    }

    /// All of it is there.
    fn update_verify(&mut self, _request: &UpdateVerifyRequest) -> Option<UpdateAnswer> {
        None
    }

    /// It is to run.
    fn update_swap(&mut self, _request: &UpdateSwapRequest) -> Option<UpdateAnswer> {
        None
    }

    /// It is to stay.
    fn update_confirm(&mut self, _request: &UpdateConfirmRequest) -> Option<UpdateAnswer> {
        None
    }
}

/// Takes the bytes of the line and gives the bytes of the answers.
///
/// Silent about what is not for this board: noise, a wrong checksum, another address, the answers of other boards and its own
/// echo. A request that it does not know or cannot read is answered [`Unsupported`].
///
/// Memory: 540 bytes, and 300 bytes of stack beside the handler's.
///
/// ```
/// use vend_protocol::control_link::{
///     BoardHandler, BoardSession, BoardStatus, ForgetAnswer, ForgetRequest, Identity, OpenAnswer, OpenRequest,
///     QueryAnswer, Refusal, VendAnswer, VendGate, VendRequest, VendResult,
/// };
/// # use vend_protocol::{ConfigHash, List, cobs::Decoder, control_link::{Features, Master, QueryRequest, SensorState}};
///
/// struct Board {
///     gate: VendGate,
///     identity: Identity,
///     status: BoardStatus, // kept up to date by whoever reads the sensors
///     now_ms: u64,
/// }
///
/// impl BoardHandler for Board {
///     fn identify(&mut self) -> Identity {
///         self.identity
///     }
///     fn query(&mut self) -> QueryAnswer {
///         self.gate.query(self.now_ms, self.status)
///     }
///     fn open(&mut self, request: &OpenRequest) -> OpenAnswer {
///         self.gate.open(self.now_ms, request)
///     }
///     fn vend(&mut self, request: &VendRequest) -> VendAnswer {
///         let lanes = self.identity.lanes;
///         self.gate.vend(self.now_ms, request, |vend| {
///             if vend.lane.number() <= lanes { Ok(()) } else { Err(Refusal::LANE) }
///         })
///     }
///     fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer {
///         self.gate.forget(self.now_ms, request)
///     }
/// }
///
/// /// The board's loop, as often as it can.
/// fn turn(board: &mut Board, session: &mut BoardSession, byte: Option<u8>, uart: &mut Vec<u8>) {
///     if let Some(byte) = byte
///         && let Some(answer) = session.handle_byte(byte, board)
///     {
///         uart.extend_from_slice(answer);
///     }
///     if let Some(vend) = board.gate.poll_start(board.now_ms) {
///         // Switch the motor on; when it has come to rest: board.gate.finish(vend.vend, result)
///     }
/// }
/// # let identity = Identity { lanes: 6, max_vend_ms: 30_000, frame_max: 256, features: Features::default(), version: 0,
/// #     firmware: Default::default(), hardware: Default::default(), serial: Default::default() };
/// # let status = BoardStatus { boot: 1, sensor: SensorState::CLEAR, door_open: false, late_drops: 0, faults: 0, inputs: 0,
/// #     temperatures_dc: List::default(), supply_mv: 0, newest_event: 0 };
/// # let mut board = Board { gate: VendGate::new(ConfigHash([0; 8])), identity, status, now_ms: 0 };
/// # let mut session = BoardSession::new(1);
/// # let mut master = Master::new(1);
/// # master.begin(0, 1, &QueryRequest {}).unwrap();
/// # let mut uart = Vec::new();
/// # for byte in master.poll_transmit(0).unwrap().to_vec() { turn(&mut board, &mut session, Some(byte), &mut uart); }
/// # let mut decoder = Decoder::<256>::new();
/// # let status = uart.iter().find_map(|byte| {
/// #     decoder.push(*byte).and_then(|frame| master.handle_frame(frame)).map(|reply| reply.answer::<QueryRequest>())
/// # });
/// # assert_eq!(status.unwrap().unwrap().status, board.status);
/// ```
#[derive(Clone, Debug)]
pub struct BoardSession {
    address: u8,
    decoder: Decoder<CONTROL_FRAME_MAX>,
    line: [u8; LINE_MAX],
}

impl BoardSession {
    /// The session of the board at `address`, [`super::FIRST_ADDRESS`] to [`super::LAST_ADDRESS`].
    pub const fn new(address: u8) -> Self {
        Self { address, decoder: Decoder::new(), line: [0; LINE_MAX] }
    }

    /// Takes a byte of the line. When it completes a request, the answer is given, to be put on the line at once.
    pub fn handle_byte(&mut self, byte: u8, handler: &mut impl BoardHandler) -> Option<&[u8]> {
        let request = Frame::parse(self.decoder.push(byte)?).ok()?;
        let to_boards = 0x80..kind::FIRST_OF_BOARD;
        if request.address != self.address || !to_boards.contains(&request.kind) {
            return None;
        }
        // The payload is encoded where the line will stand.
        let mut draft = Draft { kind: kind::UNSUPPORTED, revision: 0, len: 0, out: &mut self.line };
        if !answer(&request, handler, &mut draft) {
            draft.put(&Unsupported { kind: request.kind, revision: request.revision });
        }
        let (head, len) = ([request.address, draft.kind, draft.revision], draft.len);
        let mut frame = [0; CONTROL_FRAME_MAX];
        let len = write_payload(head, request.sequence, self.line.get(..len)?, &mut frame).ok()?;
        let len = code(&frame, len, &mut self.line).ok()?;
        self.line.get(..len)
    }
}

/// An answer whose payload is encoded.
struct Draft<'a> {
    kind: u8,
    revision: u8,
    len: usize,
    out: &'a mut [u8],
}

impl Draft<'_> {
    /// Every message fits, so the answer is never cut short.
    fn put<M: Message>(&mut self, message: &M) -> bool {
        let Ok(len) = codec::encode(message, self.out) else { return false };
        (self.kind, self.revision, self.len) = (M::KIND, M::REVISION, len);
        true
    }
}

/// Puts the answer; `false` when the request cannot be read or is not served.
fn answer(request: &Frame<'_>, handler: &mut impl BoardHandler, draft: &mut Draft<'_>) -> bool {
    match request.kind {
        kind::QUERY => serve(request, draft, |_: QueryRequest| Some(handler.query())),
        kind::IDENTIFY => serve(request, draft, |_: IdentifyRequest| Some(handler.identify())),
        kind::OPEN => serve(request, draft, |open| Some(handler.open(&open))),
        kind::VEND => serve(request, draft, |vend: VendRequest| Some(handler.vend(&vend))),
        kind::FORGET => serve(request, draft, |forget| Some(handler.forget(&forget))),
        kind::ABORT => serve(request, draft, |abort: AbortRequest| handler.abort(&abort)),
        kind::CONFIGURE => serve(request, draft, |part| handler.configure(&part)),
        kind::LANES => serve(request, draft, |page| handler.lanes(&page)),
        kind::LANE_SCAN => serve(request, draft, |task: LaneScanRequest| handler.lane_scan(&task)),
        kind::HOME_ALL => serve(request, draft, |task: HomeAllRequest| handler.home_all(&task)),
        kind::SELF_TEST => serve(request, draft, |task: SelfTestRequest| handler.self_test(&task)),
        kind::EVENTS => serve(request, draft, |after| handler.events(&after)),
        kind::UPDATE_BEGIN => serve(request, draft, |image: UpdateBeginRequest| handler.update_begin(&image)),
        kind::UPDATE_CHUNK => serve(request, draft, |chunk: UpdateChunkRequest| handler.update_chunk(&chunk)),
        kind::UPDATE_VERIFY => {
            serve(request, draft, |step: UpdateVerifyRequest| handler.update_verify(&step))
        }
        kind::UPDATE_SWAP => serve(request, draft, |step: UpdateSwapRequest| handler.update_swap(&step)),
        kind::UPDATE_CONFIRM => {
            serve(request, draft, |step: UpdateConfirmRequest| handler.update_confirm(&step))
        }
        _ => false,
    }
}

fn serve<R: Request>(
    request: &Frame<'_>,
    draft: &mut Draft<'_>,
    handle: impl FnOnce(R) -> Option<R::Answer>,
) -> bool {
    request.decode().ok().and_then(handle).is_some_and(|answer| draft.put(&answer))
}
