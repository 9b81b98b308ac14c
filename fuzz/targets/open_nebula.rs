#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netapply_fuzz::survive("ETH0_IP=192.0.2.1\n", bytes));
