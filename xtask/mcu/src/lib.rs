//! What every image needs: a start, a panic handler, and inputs and outputs that no optimiser can see through.
//!
//! The start is written here and not taken from `cortex-m-rt`, since an image should weigh what its role weighs: it is
//! one vector and a reset handler of some 60 bytes, and it is counted.

#![no_std]

pub mod messages;
pub mod semihosting;

use core::{
    arch::{asm, global_asm},
    hint::black_box,
    panic::PanicInfo,
};

use serde::{Serialize, de::DeserializeOwned};
use vend_protocol::{
    codec,
    frame::{Frame, Message},
};

// Enables the FPU, which compiled code may use, fills .data and .bss, and goes on to `main`. In assembly, because no
// Rust may run before memory is what it believes it to be.
global_asm!(
    ".section .vectors, \"a\"",
    ".word reset",
    ".section .text.reset, \"ax\"",
    ".global reset",
    ".type reset, %function",
    ".thumb_func",
    "reset:",
    "ldr r0, =0xE000ED88",
    "mov r1, #0x00F00000",
    "str r1, [r0]",
    "dsb",
    "isb",
    "ldr r0, =data_start",
    "ldr r1, =data_end",
    "ldr r2, =data_load",
    "1: cmp r0, r1",
    "beq 2f",
    "ldr r3, [r2], #4",
    "str r3, [r0], #4",
    "b 1b",
    "2: ldr r0, =bss_start",
    "ldr r1, =bss_end",
    "movs r3, #0",
    "3: cmp r0, r1",
    "beq 4f",
    "str r3, [r0], #4",
    "b 3b",
    "4: bl main",
    "b .",
    ".size reset, . - reset",
);

/// The one place where every panic ends. An image without this symbol has no panic.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    panic_reached()
}

#[inline(never)]
fn panic_reached() -> ! {
    loop {
        // SAFETY: an undefined instruction is a fault, which stops the core. It also keeps this function from being merged
        // with any other loop that does nothing.
        unsafe { asm!("udf #1") };
    }
}

/// Where the rest of a firmware would leave bytes and messages for this part of it. Nothing does: these images are
/// measured, and the ones that run have inputs of their own.
#[unsafe(no_mangle)]
static mut MAILBOX: [usize; 5] = [0; 5];

/// What the rest of a firmware left.
#[derive(Clone, Copy)]
pub struct Outside {
    value: *const (),
}

impl Outside {
    /// A value that another part of a firmware made. Each type is another value.
    pub fn value<T: 'static>(self) -> &'static T {
        // SAFETY: whoever fills the mailbox points it to a `T` that stays.
        unsafe { &*self.value.cast() }
    }

    /// The same, given away.
    pub fn take<T: 'static>(self) -> T {
        // SAFETY: whoever fills the mailbox gives the value away with it.
        unsafe { self.value.cast::<T>().read() }
    }
}

/// Looks into the mailbox: bytes that came from outside, a buffer for what goes out, and values to send.
pub fn look() -> (&'static [u8], &'static mut [u8], Outside) {
    // SAFETY: a volatile read of a static that is never borrowed.
    let [received, received_len, outgoing, outgoing_len, value] =
        unsafe { (&raw const MAILBOX).read_volatile() };
    // SAFETY: whoever fills the mailbox points it to bytes that stay, and to a buffer that nothing else uses.
    unsafe {
        (
            core::slice::from_raw_parts(received as *const u8, received_len),
            core::slice::from_raw_parts_mut(outgoing as *mut u8, outgoing_len),
            Outside { value: value as *const () },
        )
    }
}

/// Another part of a firmware uses this value: all of it must exist.
pub fn used<T>(value: &T) {
    black_box(core::ptr::from_ref(value).cast::<()>());
}

/// Decodes a frame's message. Never inlined, here and below, so that the list of symbols says what each message costs.
#[inline(never)]
pub fn decode_message<M: Message>(frame: &Frame<'_>) {
    if let Ok(message) = frame.decode::<M>() {
        used(&message);
    }
}

/// Decodes a signed body.
#[inline(never)]
pub fn decode_body<B: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(body) = codec::decode::<B>(bytes) {
        used(&body);
    }
}

/// Encodes a body to be signed, and gives its length.
#[inline(never)]
pub fn encode_body<B: Serialize>(body: &B, out: &mut [u8]) -> usize {
    codec::encode(body, out).unwrap_or(0)
}
