//! A control board's end of the control link: takes bytes from the line, decodes every request, answers by the rules of one
//! vend or with what the board has to say.

#![no_std]
#![no_main]

use vend_mcu::{Outside, look, used};
use vend_protocol::control_link::{
    AbortRequest, BoardHandler, BoardSession, ConfigureAnswer, ConfigureRequest, EventsAnswer, EventsRequest,
    ForgetAnswer, ForgetRequest, HomeAllRequest, Identity, LaneScanRequest, LanesAnswer, LanesRequest,
    OpenAnswer, OpenRequest, QueryAnswer, SelfTestRequest, TaskAnswer, UpdateAnswer, UpdateBeginRequest,
    UpdateChunkRequest, UpdateConfirmRequest, UpdateSwapRequest, UpdateVerifyRequest, VendAnswer, VendGate,
    VendRequest,
};

#[unsafe(no_mangle)]
extern "C" fn main() {
    let (_, _, outside) = look();
    let mut session = BoardSession::new(*outside.value());
    let mut board = Board { gate: VendGate::new(*outside.value()), outside };
    loop {
        let (received, _, outside) = look();
        board.outside = outside;
        for byte in received {
            used(&session.handle_byte(*byte, &mut board));
        }
        used(&board.gate.poll_start(*outside.value()));
        board.gate.finish(*outside.value(), *outside.value());
    }
}

/// A board's motors and sensors are outside; the rules are not.
struct Board {
    gate: VendGate,
    outside: Outside,
}

macro_rules! from_outside {
    ($($method:ident($request:ty) -> $answer:ty;)*) => {
        $(fn $method(&mut self, request: &$request) -> Option<$answer> {
            used(request);
            Some(self.outside.take())
        })*
    };
}

impl BoardHandler for Board {
    fn identify(&mut self) -> Identity {
        self.outside.take()
    }

    fn query(&mut self) -> QueryAnswer {
        self.gate.query(*self.outside.value(), self.outside.take())
    }

    fn open(&mut self, request: &OpenRequest) -> OpenAnswer {
        self.gate.open(*self.outside.value(), request)
    }

    fn vend(&mut self, request: &VendRequest) -> VendAnswer {
        let lane = *self.outside.value();
        self.gate.vend(*self.outside.value(), request, |_| lane)
    }

    fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer {
        self.gate.forget(*self.outside.value(), request)
    }

    fn abort(&mut self, request: &AbortRequest) -> Option<VendAnswer> {
        Some(self.gate.abort(*self.outside.value(), request))
    }

    from_outside! {
        configure(ConfigureRequest) -> ConfigureAnswer;
        lanes(LanesRequest) -> LanesAnswer;
        lane_scan(LaneScanRequest) -> TaskAnswer;
        home_all(HomeAllRequest) -> TaskAnswer;
        self_test(SelfTestRequest) -> TaskAnswer;
        events(EventsRequest) -> EventsAnswer;
        update_begin(UpdateBeginRequest) -> UpdateAnswer;
        update_chunk(UpdateChunkRequest) -> UpdateAnswer;
        update_verify(UpdateVerifyRequest) -> UpdateAnswer;
        update_swap(UpdateSwapRequest) -> UpdateAnswer;
        update_confirm(UpdateConfirmRequest) -> UpdateAnswer;
    }
}
