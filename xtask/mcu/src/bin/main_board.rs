//! A main board's part in both links: decodes every downlink message and every answer of a control board, encodes every
//! uplink message and every request, in the sessions of both links.

#![no_std]
#![no_main]

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use vend_mcu::{decode_body, decode_message, encode_body, given, outgoing, received, used};
use vend_protocol::{
    cobs::Decoder,
    control_link::Master,
    frame::{CONTROL_FRAME_MAX, Frame, Message},
    machine_link::{Channel, End, MAC_LEN, Received, Seal},
};

#[unsafe(no_mangle)]
extern "C" fn main() {
    let mut channel = Channel::new(End::Machine, *given(), *given());
    let mut master = Master::new(*given(), *given());
    let mut line = Decoder::<CONTROL_FRAME_MAX>::new();
    loop {
        let now_ms = *given();
        machine_link(&mut channel, now_ms);
        control_link(&mut master, &mut line, now_ms);
    }
}

#[inline(never)]
fn machine_link(channel: &mut Channel<Mac>, now_ms: u64) {
    used(&channel.handle_timeout(now_ms));
    used(&channel.poll_timeout());
    match channel.receive(now_ms, received()) {
        Ok(Received::Message(frame)) => downlink(&frame),
        other => used(&other),
    }
    if *given() {
        channel.open(Mac { ours: *given(), theirs: *given() }, *given());
    }
    macro_rules! send {
        ($message:ty) => {
            send_message::<$message>(channel);
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
fn send_message<M: Message + 'static>(channel: &mut Channel<Mac>) {
    used(&channel.send(given::<M>(), outgoing()));
}

/// Stands in for the keys of `vend-payments`: the same code, HMAC-SHA-256 cut to 16 bytes.
struct Mac {
    ours: [u8; 32],
    theirs: [u8; 32],
}

impl Seal for Mac {
    fn seal(&self, message: &[u8]) -> [u8; MAC_LEN] {
        code(&self.ours, message)
    }

    fn verify(&self, message: &[u8], expected: &[u8; MAC_LEN]) -> bool {
        code(&self.theirs, message).ct_eq(expected).into()
    }
}

#[inline(never)]
fn code(key: &[u8; 32], message: &[u8]) -> [u8; MAC_LEN] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; MAC_LEN] };
    mac.update(message);
    let mut code = [0; MAC_LEN];
    for (to, from) in code.iter_mut().zip(mac.finalize().into_bytes()) {
        *to = from;
    }
    code
}
