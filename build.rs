//! Links the release binary without the tables that only an unwinding panic would read: see linker.ld.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    let var = |name| std::env::var(name).unwrap_or_default();
    if var("PROFILE") == "release" && var("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/linker.ld", var("CARGO_MANIFEST_DIR"));
    }
}
