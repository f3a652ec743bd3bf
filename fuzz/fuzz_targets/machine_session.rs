//! See `vend_fuzz::machine_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vend_fuzz::machine_session(data));
