//! Talking to the emulator: printing, ending, and the timer. Source: Arm, Semihosting for AArch32 and AArch64, 2.0.

use core::{arch::asm, fmt};

const SYS_WRITE0: usize = 0x04;
const SYS_EXIT: usize = 0x18;
const APPLICATION_EXIT: usize = 0x2_0026;
const RUN_TIME_ERROR: usize = 0x2_0023;

/// A line of text, ended by a zero.
pub struct Line {
    bytes: [u8; 96],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 96], len: 0 }
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        let mut line = Self::default();
        let _ = fmt::Write::write_str(&mut line, text);
        line
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // The last byte stays zero.
            if self.len + 1 >= self.bytes.len() {
                return Err(fmt::Error);
            }
            *self.bytes.get_mut(self.len).ok_or(fmt::Error)? = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// Prints a line on the emulator's console.
pub fn print(line: &Line) {
    call(SYS_WRITE0, line.bytes.as_ptr() as usize);
}

/// Ends the emulator, successfully or not.
pub fn exit(good: bool) -> ! {
    call(SYS_EXIT, if good { APPLICATION_EXIT } else { RUN_TIME_ERROR });
    loop {}
}

fn call(operation: usize, argument: usize) {
    // SAFETY: the semihosting trap: operation and argument in r0 and r1, the result in r0. The emulator reads memory.
    unsafe { asm!("bkpt #0xAB", inout("r0") operation => _, in("r1") argument) };
}

/// The core's own timer, counting down in 24 bits from the first call on.
pub fn timer() -> u32 {
    const CONTROL: *mut u32 = 0xE000_E010 as *mut u32;
    const RELOAD: *mut u32 = 0xE000_E014 as *mut u32;
    const CURRENT: *mut u32 = 0xE000_E018 as *mut u32;
    // SAFETY: the registers of the SysTick timer, which nothing else here uses.
    unsafe {
        if CONTROL.read_volatile() & 1 == 0 {
            RELOAD.write_volatile(0x00FF_FFFF);
            CURRENT.write_volatile(0);
            // On, by the core's clock, without an interrupt.
            CONTROL.write_volatile(0b101);
        }
        CURRENT.read_volatile()
    }
}
