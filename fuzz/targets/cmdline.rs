#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netapply_fuzz::survive("ip=eth0:dhcp ", bytes));
