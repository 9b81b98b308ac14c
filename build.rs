//! Links the release binary without the tables that only an unwinding panic would read, see linker.ld, and with its
//! relocations packed.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    let var = |name| std::env::var(name).unwrap_or_default();
    // On aarch64 the start-up code of gcc refers to what would be thrown away, and the linker refuses.
    let fits = var("CARGO_CFG_TARGET_OS") == "linux" && var("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if var("PROFILE") == "release" && fits {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/linker.ld", var("CARGO_MANIFEST_DIR"));
        // The libc that is linked in has to unpack them when the program starts.
        if var("CARGO_CFG_TARGET_ENV") == "gnu" && var("HOST") == var("TARGET") && libc_version() >= (2, 36) {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
}

/// Of this machine's glibc, which is also the one that is linked in where nothing is built for another machine.
#[cfg(target_env = "gnu")]
fn libc_version() -> (u32, u32) {
    use std::ffi::{CStr, c_char};
    unsafe extern "C" {
        fn gnu_get_libc_version() -> *const c_char;
    }
    // SAFETY: glibc returns a constant text.
    let version = unsafe { CStr::from_ptr(gnu_get_libc_version()) }.to_string_lossy().into_owned();
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// Not glibc: nothing is known of it.
#[cfg(not(target_env = "gnu"))]
fn libc_version() -> (u32, u32) {
    (0, 0)
}
