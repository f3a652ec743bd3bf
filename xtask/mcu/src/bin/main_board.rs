//! A main board's part in both links: decodes every downlink message and every answer of a control board, encodes every
//! uplink message and every request, in the sessions of both links and with the machine link's authentication. What
//! signs, and what agrees on keys, is not here: that is curve arithmetic.

#![no_std]
#![no_main]

use vend_mcu::{Outside, decode_body, decode_message, encode_body, look, used};
use vend_payments::session::SessionSeal;
use vend_protocol::{
    ReceiptNo,
    control_link::{BoardLink, Line, Reply, Request},
    frame::{self, Frame, Message},
    machine_link::{Claim, MachineEvent, MachineSession, MoneyCursor, Next},
};

/// Eight messages may wait, the longest being one about stock.
type Session = MachineSession<SessionSeal, 8, 128>;

#[unsafe(no_mangle)]
extern "C" fn main() {
    let (_, _, outside) = look();
    let mut session = Session::new(*outside.value(), *outside.value());
    let board = BoardLink::new(*outside.value(), *outside.value(), *outside.value());
    let mut line = Line::new(*outside.value(), [board]);
    loop {
        let (received, outgoing, outside) = look();
        machine_link(&mut session, received, outgoing, outside);
        control_link(&mut line, received, outside);
    }
}

#[inline(never)]
fn machine_link(session: &mut Session, received: &[u8], outgoing: &mut [u8], outside: Outside) {
    let now_ms = *outside.value();
    used(&session.handle_timeout(now_ms));
    used(&session.poll_timeout());
    if session.wants_hello(now_ms) {
        used(&session.greet(now_ms, outside.value(), outgoing));
    }
    match session.handle_frame(now_ms, received) {
        Ok(Some(MachineEvent::Accepted(signed))) => {
            used(&signed);
            session.open(now_ms, outside.take(), outside.value(), *outside.value());
        }
        Ok(Some(MachineEvent::Message(frame))) => {
            downlink(&frame, received);
            session.unsupported(&frame);
        }
        other => used(&other),
    }
    uplink(session, outgoing, outside);
    used(&session.server_time_ms(now_ms));
    used(&session.dropped());
    session.acknowledged(*outside.value());
    used(&session.poll_transmit(now_ms, &mut Journal(outside), outgoing));
}

/// A firmware's journal, where money messages wait.
struct Journal(Outside);

impl MoneyCursor for Journal {
    fn next(&mut self, _: ReceiptNo) -> Next<'_> {
        self.0.take()
    }
}

#[inline(never)]
fn uplink(session: &mut Session, outgoing: &mut [u8], outside: Outside) {
    let mut sent = 0;
    macro_rules! queue {
        ($message:ty) => {
            sent += usize::from(queue_message::<$message>(session, outside));
        };
    }
    macro_rules! encode {
        ($body:ty) => {
            sent += encode_body::<$body>(outside.value(), outgoing);
        };
    }
    vend_mcu::uplink_queued!(queue);
    vend_mcu::uplink_bodies!(encode);
    // Over HTTP and not in a session.
    sent += write_message::<Claim>(outgoing, outside);
    used(&sent);
}

#[inline(never)]
fn queue_message<M: Message + 'static>(session: &mut Session, outside: Outside) -> bool {
    session.queue(*outside.value(), outside.value::<M>()).is_ok()
}

#[inline(never)]
fn write_message<M: Message + 'static>(outgoing: &mut [u8], outside: Outside) -> usize {
    frame::write::<M>(1, *outside.value(), outside.value(), outgoing).unwrap_or(0)
}

#[inline(never)]
fn downlink(frame: &Frame<'_>, body: &[u8]) {
    macro_rules! decode {
        ($message:ty) => {
            decode_message::<$message>(frame);
        };
    }
    macro_rules! decode_one_body {
        ($body:ty) => {
            decode_body::<$body>(body);
        };
    }
    vend_mcu::downlink_passed_on!(decode);
    vend_mcu::downlink_bodies!(decode_one_body);
}

#[inline(never)]
fn control_link(line: &mut Line<1>, received: &[u8], outside: Outside) {
    let now_ms = *outside.value();
    for byte in received {
        if let Some(reply) = line.handle_byte(now_ms, *byte) {
            answers(&reply);
        }
    }
    used(&line.handle_timeout(now_ms));
    if let Some(board) = line.board_mut(0) {
        if board.wants_nonce(now_ms) {
            board.nonce_journaled(*outside.value());
        }
        used(&board.readiness(now_ms, *outside.value()));
        used(&board.take_late_drops());
    }
    used(&line.start_vend(now_ms, 0, outside.take()));
    used(&line.recover_vend(now_ms, 0, *outside.value(), *outside.value()));
    used(&line.poll_vend(now_ms, 0));
    line.vend_journaled(now_ms, 0);
    requests(line, outside);
    used(&line.poll_transmit(now_ms));
    used(&line.poll_timeout());
}

#[inline(never)]
fn requests(line: &mut Line<1>, outside: Outside) {
    let mut asked = 0;
    macro_rules! ask {
        ($request:ty) => {
            asked += usize::from(ask::<$request>(line, outside));
        };
    }
    vend_mcu::requests_of_owner!(ask);
    used(&asked);
}

#[inline(never)]
fn ask<R: Request + 'static>(line: &mut Line<1>, outside: Outside) -> bool {
    line.ask::<R>(*outside.value(), 0, outside.value()).is_ok()
}

#[inline(never)]
fn answers(reply: &Reply<'_>) {
    macro_rules! decode {
        ($request:ty) => {
            used(&reply.answer::<$request>());
        };
    }
    vend_mcu::requests_of_owner!(decode);
}
