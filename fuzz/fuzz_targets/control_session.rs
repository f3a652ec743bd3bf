//! See `vend_fuzz::control_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vend_fuzz::control_session(data));
