//! Links the release without the tables that only unwinding reads: linker.ld says why.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    if var("PROFILE") == "release" && var("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/linker.ld", var("CARGO_MANIFEST_DIR"));
    }
}
