//! Links the release binary without the tables that only an unwinding panic would read: see linker.ld.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    let var = |name| std::env::var(name).unwrap_or_default();
    // On aarch64 the start-up code of gcc refers to what would be thrown away, and the linker refuses.
    let fits = var("CARGO_CFG_TARGET_OS") == "linux" && var("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if var("PROFILE") == "release" && fits {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/linker.ld", var("CARGO_MANIFEST_DIR"));
    }
}
