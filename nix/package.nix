# The static program with its units, manual pages and completions. Called by pkgsStatic, it is a musl build for the host's architecture.
{ lib, rustPlatform }:
let
  manifest = (builtins.fromTOML (builtins.readFile ../Cargo.toml)).package;
in
rustPlatform.buildRustPackage {
  pname = manifest.name;
  inherit (manifest) version;
  src = lib.cleanSource ../.;
  cargoLock.lockFile = ../Cargo.lock;

  # The tests need namespaces, guests and Debian's packages: tests/all runs them, not a build's sandbox.
  doCheck = false;

  # The same files as everywhere else; only the program is in another place.
  postInstall = ''
    mkdir -p "$out/lib/systemd/system"
    cp -r systemd/*.service systemd/*.d "$out/lib/systemd/system/"
    for unit in "$out"/lib/systemd/system/netapply*.service; do
      substituteInPlace "$unit" --replace-fail /usr/bin/netapply "$out/bin/netapply"
    done
    install -Dm644 -t "$out/share/man/man8" docs/netapply.8 docs/man/*.8
    install -Dm644 -t "$out/share/bash-completion/completions" completions/netapply.bash
    install -Dm644 -t "$out/share/zsh/site-functions" completions/_netapply
    install -Dm644 -t "$out/share/fish/vendor_completions.d" completions/netapply.fish
  '';

  meta = {
    inherit (manifest) description;
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    mainProgram = "netapply";
    platforms = lib.platforms.linux;
  };
}
