//! Shared by the tests: the cases of testdata/, network namespaces, guests, drives and the oracles.

use std::path::{Path, PathBuf};

pub mod boot;
pub mod cases;
pub mod disturb;
pub mod dns;
pub mod drive;
pub mod faults;
pub mod guest;
pub mod namespace;
pub mod nmstate;
pub mod rehearsal;
pub mod state;
pub mod transition;
pub mod whole;
pub mod wire;
pub mod world;

/// The root of the project.
pub fn root() -> &'static Path {
    // The compiler sets this folder.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).expect("tests/harness lies two folders below the root")
}

/// A program of this build: cargo puts it two folders above the running test, and builds it first.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let folder = test.ancestors().nth(2).expect("a test lies in target/…/deps");
    let path = folder.join(name);
    assert!(path.exists(), "{} does not exist: cargo builds it before it runs a test", path.display());
    path
}

/// The netapply under test: this build's, or the one named by `NETAPPLY_BINARY`.
pub fn netapply() -> PathBuf {
    std::env::var_os("NETAPPLY_BINARY").map_or_else(|| program("netapply"), PathBuf::from)
}
