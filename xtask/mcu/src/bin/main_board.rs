//! A main board's part in both links: decodes every downlink message and every answer of a control board, encodes every
//! uplink message and every request, in the sessions of both links.

#![no_std]
#![no_main]

use vend_mcu::{decode_body, decode_message, encode_body, given, outgoing, received, used};
use vend_protocol::{
    cobs::Decoder,
    control_link::Master,
    frame::{CONTROL_FRAME_MAX, Frame, Message},
    machine_link::{End, Received, Session},
};

#[unsafe(no_mangle)]
extern "C" fn main() {
    let mut session = Session::new(End::Machine, *given(), *given());
    let mut master = Master::new(*given(), *given());
    let mut line = Decoder::<CONTROL_FRAME_MAX>::new();
    loop {
        let now_ms = *given();
        machine_link(&mut session, now_ms);
        control_link(&mut master, &mut line, now_ms);
    }
}

#[inline(never)]
fn machine_link(session: &mut Session, now_ms: u64) {
    used(&session.handle_timeout(now_ms));
    used(&session.poll_timeout());
    match session.receive(now_ms, received()) {
        Ok(Received::Message(frame)) => downlink(&frame),
        other => used(&other),
    }
    if *given() {
        session.open();
    }
    macro_rules! send {
        ($message:ty) => {
            send_message::<$message>(session);
        };
    }
    macro_rules! encode {
        ($body:ty) => {
            encode_body::<$body>();
        };
    }
    vend_mcu::uplink!(send);
    vend_mcu::uplink_bodies!(encode);
}

#[inline(never)]
fn downlink(frame: &Frame<'_>) {
    macro_rules! decode {
        ($message:ty) => {
            decode_message::<$message>(frame);
        };
    }
    macro_rules! decode_one_body {
        ($body:ty) => {
            decode_body::<$body>(received());
        };
    }
    vend_mcu::downlink!(decode);
    vend_mcu::downlink_bodies!(decode_one_body);
}

#[inline(never)]
fn control_link(master: &mut Master, line: &mut Decoder<CONTROL_FRAME_MAX>, now_ms: u64) {
    if !master.is_busy() {
        master.begin(now_ms, *given());
    }
    used(&master.poll_transmit(now_ms, outgoing()));
    for byte in received() {
        if let Some(frame) = line.push(*byte) {
            used(&master.handle_frame(frame));
        }
    }
    used(&master.handle_timeout(now_ms));
    used(&master.poll_timeout());
}

#[inline(never)]
fn send_message<M: Message + 'static>(session: &mut Session) {
    used(&session.send(given::<M>(), outgoing()));
}
