//! Links the release without the tables that only unwinding reads: linker.ld says why.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    let var = |name| std::env::var(name).unwrap_or_default();
    // On aarch64 gcc's start-up code refers to what would be discarded, and the linker refuses.
    let fits = var("CARGO_CFG_TARGET_OS") == "linux" && var("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if var("PROFILE") == "release" && fits {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/linker.ld", var("CARGO_MANIFEST_DIR"));
    }
}
