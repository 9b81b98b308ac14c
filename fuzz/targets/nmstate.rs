#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netapply_fuzz::survive("interfaces:\n- name: fuzz\n  type: ethernet\n", bytes));
