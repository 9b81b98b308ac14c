# Sourced by the scripts in this folder: finds the Rust toolchain that builds netapply, 1.85 or newer.
rust_wanted=85

rust_minor() { # PROGRAM: the NN of its version 1.NN, nothing if it is missing
  "$1" --version 2>/dev/null | sed -n 's/^[a-z]* 1\.\([0-9]*\)\..*/\1/p'
}

rust_found() {
  local cargo rustc
  cargo=$(rust_minor cargo)
  rustc=$(rust_minor rustc)
  [[ ${cargo:-0} -ge $rust_wanted && ${rustc:-0} -ge $rust_wanted ]]
}

export PATH=$PATH:/usr/sbin:/sbin
if ! rust_found && [[ -x ${HOME:-/root}/.cargo/bin/cargo ]]; then PATH=${HOME:-/root}/.cargo/bin:$PATH; fi
# Ubuntu packages newer versions next to its own: cargo-1.85 is in /usr/lib/rust-1.85/bin.
for rust_folder in /usr/lib/rust-1.*/bin; do
  if ! rust_found && [[ -x $rust_folder/cargo ]]; then PATH=$rust_folder:$PATH; fi
done

# .cargo/config.toml says "host-tuple", a word that cargo 1.85 does not know yet: the same in full.
if rust_found; then
  CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')
  export CARGO_BUILD_TARGET
fi

built() { # builds netapply and prints where it is
  cargo build --quiet --bin netapply &&
    cargo metadata --no-deps --format-version 1 |
    sed 's|.*"target_directory":"\([^"]*\)".*|\1/'"$CARGO_BUILD_TARGET"'/debug/netapply|'
}
