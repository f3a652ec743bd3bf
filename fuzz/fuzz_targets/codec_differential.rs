//! See `vend_fuzz::codec_differential`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vend_fuzz::codec_differential(data));
