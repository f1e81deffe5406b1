#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sprited_fuzz::vtt::check(bytes));
