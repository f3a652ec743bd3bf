//! A main board's part in both links: decodes every downlink message and every answer of a control board, encodes every
//! uplink message and every request, in the sessions of both links and with the machine link's authentication. What
//! signs, and what agrees on keys, is not here: that is curve arithmetic.

#![no_std]
#![no_main]

use vend_mcu::{decode_body, decode_message, encode_body, given, outgoing, received, used};
use vend_payments::session::SessionSeal;
use vend_protocol::{
    ReceiptNo,
    cobs::Decoder,
    control_link::Master,
    frame::{self, CONTROL_FRAME_MAX, Frame, Message},
    machine_link::{Claim, MachineEvent, MachineSession, MoneyCursor, Next},
};

/// Eight messages may wait, the longest being one about stock.
type Session = MachineSession<SessionSeal, 8, 128>;

#[unsafe(no_mangle)]
extern "C" fn main() {
    let mut session = Session::new(*given(), *given());
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
    if session.wants_hello(now_ms) {
        used(&session.greet(now_ms, given(), outgoing()));
    }
    match session.handle_frame(now_ms, received()) {
        Ok(Some(MachineEvent::Accepted(signed))) => {
            used(&signed);
            session.open(now_ms, take(), given(), *given());
        }
        Ok(Some(MachineEvent::Message(frame))) => {
            downlink(&frame);
            session.unsupported(&frame);
        }
        other => used(&other),
    }
    macro_rules! queue {
        ($message:ty) => {
            queue_message::<$message>(session);
        };
    }
    macro_rules! encode {
        ($body:ty) => {
            encode_body::<$body>();
        };
    }
    vend_mcu::uplink_queued!(queue);
    vend_mcu::uplink_bodies!(encode);
    used(&session.server_time_ms(now_ms));
    used(&session.dropped());
    session.acknowledged(*given());
    used(&session.poll_transmit(now_ms, &mut Journal, outgoing()));
    // Over HTTP and not in a session.
    used(&frame::write::<Claim>(0, 0, given(), outgoing()));
}

/// A firmware's journal, where money messages wait.
struct Journal;

impl MoneyCursor for Journal {
    fn next(&mut self, _: ReceiptNo) -> Next<'_> {
        take()
    }
}

fn take<T: 'static>() -> T {
    // SAFETY: whoever fills the mailbox gives the value away with it.
    unsafe { core::ptr::read(given()) }
}

#[inline(never)]
fn queue_message<M: Message + 'static>(session: &mut Session) {
    used(&session.queue(*given(), given::<M>()));
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
    vend_mcu::downlink_passed_on!(decode);
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
