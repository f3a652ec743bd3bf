//! A control board's end of the control link: takes bytes from the line, decodes every request, encodes every answer.

#![no_std]
#![no_main]

use vend_mcu::{Outside, decode_message, look, used};
use vend_protocol::{
    cobs::Decoder,
    control_link::answer,
    frame::{CONTROL_FRAME_MAX, Frame, Message},
};

#[unsafe(no_mangle)]
extern "C" fn main() {
    let mut line = Decoder::<CONTROL_FRAME_MAX>::new();
    loop {
        let (received, outgoing, outside) = look();
        for byte in received {
            if let Some(frame) = line.push(*byte)
                && let Ok(frame) = Frame::parse(frame)
            {
                requests(&frame);
                answers(&frame, outgoing, outside);
            }
        }
    }
}

#[inline(never)]
fn requests(frame: &Frame<'_>) {
    macro_rules! decode {
        ($request:ty) => {
            decode_message::<$request>(frame);
        };
    }
    vend_mcu::requests!(decode);
}

#[inline(never)]
fn answers(request: &Frame<'_>, outgoing: &mut [u8], outside: Outside) {
    let mut sent = 0;
    macro_rules! encode {
        ($answer:ty) => {
            sent += encode_answer::<$answer>(request, outgoing, outside);
        };
    }
    vend_mcu::answers!(encode);
    used(&sent);
}

#[inline(never)]
fn encode_answer<M: Message + 'static>(request: &Frame<'_>, line: &mut [u8], outside: Outside) -> usize {
    answer(request, outside.value::<M>(), line).unwrap_or(0)
}
