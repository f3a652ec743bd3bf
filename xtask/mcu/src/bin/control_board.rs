//! A control board's end of the control link: takes bytes from the line, decodes every request, encodes every answer.

#![no_std]
#![no_main]

use vend_mcu::{decode_message, given, outgoing, received, used};
use vend_protocol::{
    cobs::Decoder,
    control_link::answer,
    frame::{CONTROL_FRAME_MAX, Frame, Message},
};

#[unsafe(no_mangle)]
extern "C" fn main() {
    let mut line = Decoder::<CONTROL_FRAME_MAX>::new();
    for byte in received() {
        if let Some(frame) = line.push(*byte)
            && let Ok(frame) = Frame::parse(frame)
        {
            serve(&frame);
        }
    }
}

fn serve(frame: &Frame<'_>) {
    macro_rules! decode {
        ($request:ty) => {
            decode_message::<$request>(frame);
        };
    }
    macro_rules! encode {
        ($answer:ty) => {
            encode_answer::<$answer>(frame);
        };
    }
    vend_mcu::requests!(decode);
    vend_mcu::answers!(encode);
}

#[inline(never)]
fn encode_answer<M: Message + 'static>(request: &Frame<'_>) {
    used(&answer(request, given::<M>(), outgoing()));
}
