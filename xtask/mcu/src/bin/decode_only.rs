//! Decodes every message of both links and nothing else. It must hold no panic.

#![no_std]
#![no_main]

use vend_mcu::{decode_body, decode_message, look};
use vend_protocol::frame::Frame;

#[unsafe(no_mangle)]
extern "C" fn main() {
    let (received, ..) = look();
    let Ok(frame) = Frame::parse(received) else { return };
    macro_rules! decode {
        ($message:ty) => {
            decode_message::<$message>(&frame);
        };
    }
    vend_mcu::downlink_passed_on!(decode);
    vend_mcu::downlink_in_session!(decode);
    vend_mcu::uplink_queued!(decode);
    vend_mcu::uplink_in_session!(decode);
    vend_mcu::requests!(decode);
    vend_mcu::answers!(decode);

    macro_rules! decode_one_body {
        ($body:ty) => {
            decode_body::<$body>(received);
        };
    }
    vend_mcu::downlink_bodies!(decode_one_body);
    vend_mcu::uplink_bodies!(decode_one_body);
}
