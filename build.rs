//! Links the release without the tables that only unwinding reads (linker.ld says why), and with its relocations packed,
//! which makes a static, position-independent program a twentieth smaller.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    println!("cargo::rustc-check-cfg=cfg(without_unwind_tables)");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    if var("PROFILE") != "release" || var("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/linker.ld", var("CARGO_MANIFEST_DIR"));
    // What libgcc has beside the program's own `_Unwind_Backtrace` (src/main.rs) is not used.
    println!("cargo::rustc-cfg=without_unwind_tables");
    println!("cargo::rustc-link-arg-bin=netapply=-Wl,-z,muldefs");
    // The program relocates itself with the start-up code of the libc that it is linked with.
    if var("CARGO_CFG_TARGET_ENV") == "gnu" && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let words = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = words.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
