#![no_main]

//! The firmware's tables: the nBFT as bytes, and the lines derived from both.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let lines = netapply::source::nbft::lines(bytes);
    netapply_fuzz::survive("", lines.unwrap_or_default().as_bytes());
    // Only a table with a matching checksum is read further.
    let mut table = bytes.to_vec();
    if let Some(length) = u32::try_from(table.len()).ok().filter(|length| *length >= 16) {
        table[..4].copy_from_slice(b"NBFT");
        table[4..8].copy_from_slice(&length.to_le_bytes());
        table[8] = 1;
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        table[9] = table[9].wrapping_sub(sum);
        let _ = netapply::source::nbft::lines(&table);
    }
    netapply_fuzz::survive("ethernet0/mac=52:54:00:00:00:01\n", bytes);
});
