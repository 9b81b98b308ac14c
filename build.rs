//! Links the release without the tables that only unwinding reads: linker.ld says why.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    // On aarch64 and with musl the start-up code refers to what would be discarded, and the linker refuses.
    let target = ["ARCH", "OS", "ENV"].map(|part| var(&format!("CARGO_CFG_TARGET_{part}")));
    let fits = target == ["x86_64", "linux", "gnu"];
    if var("PROFILE") == "release" && fits {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/linker.ld", var("CARGO_MANIFEST_DIR"));
    }
}
