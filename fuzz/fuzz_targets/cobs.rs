//! See `vend_fuzz::cobs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vend_fuzz::cobs(data));
