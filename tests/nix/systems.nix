# The systems that tests/nix.rs checks, each by name: the real flake.nix and nix/ on a stand-in for nixpkgs.
let
  lib = import ./nixpkgs/lib.nix;
  # The arguments of buildRustPackage; nothing is built.
  rustPlatform.buildRustPackage = attributes: attributes // {
    type = "derivation";
    outPath = "/nix/store/00000000000000000000000000000000-${attributes.pname}-${attributes.version}";
  };
  pkgsOf = system: {
    stdenv.hostPlatform.system = system;
    pkgsStatic.callPackage = file: extra: import file ({ inherit lib rustPlatform; } // extra);
  };
  nixpkgs = {
    outPath = toString ./nixpkgs;
    legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] pkgsOf;
    lib = lib // {
      nixosSystem = { system, modules }:
        lib.evalModules {
          modules = [ ./nixpkgs/nixos.nix ] ++ modules;
          specialArgs.pkgs = pkgsOf system;
        };
    };
  };
  flake = (import ../../flake.nix).outputs { self = flake; inherit nixpkgs; };

  # The parts of a system that tests check.
  look = system:
    let inherit (system) config; in
    {
      failed = map (each: each.message) (lib.filter (each: !each.assertion) config.assertions);
      inherit (config) warnings networking services;
      inherit (config.boot) kernelModules kernelParams;
      units = config.systemd.services;
      packages = config.systemd.packages;
      keys = config.users.users.root.openssh.authorizedKeys.keys or [ ];
    };
  system = settings: look (nixpkgs.lib.nixosSystem {
    system = "x86_64-linux";
    modules = [ flake.nixosModules.default { services.netapply = { enable = true; } // settings; } ];
  });
  with' = module: look (nixpkgs.lib.nixosSystem {
    system = "x86_64-linux";
    modules = [ flake.nixosModules.default { services.netapply.enable = true; } module ];
  });
  installer = authorizedKeys: look (flake.lib.installer { inherit authorizedKeys; });
  key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE admin@example.com";
in
{
  package = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (each: removeAttrs flake.packages.${each}.default [ "outPath" "src" ]);
  options = lib.mapAttrs (_: option: { inherit (option) description; type = option.type.name; })
    (removeAttrs (nixpkgs.lib.nixosSystem { system = "x86_64-linux"; modules = [ flake.nixosModules.installer ]; })
      .options.services.netapply [ "installer" ]);
  disabled = look (nixpkgs.lib.nixosSystem { system = "x86_64-linux"; modules = [ flake.nixosModules.default ]; });
  plain = system { };
  full = system {
    strict = true;
    wait = 60;
    probes = [ "tcp://[2001:db8::80]:443" "ping://fe80::1%eth0" ];
    handoff = "none";
    fallback = "dhcp";
    logLevel = "debug";
  };
  networkd = with' { networking.useNetworkd = true; };
  networkmanager = with' { networking.networkmanager.enable = true; };
  without-dhcp = system { dhcpFallback = false; };
  without-dhcp-networkmanager = with' {
    networking.networkmanager.enable = true;
    services.netapply.dhcpFallback = false;
  };
  without-a-client = with' { networking.useDHCP = false; };
  container = with' { boot.isContainer = true; };
  installer = installer [ "${key}\n" ];
  installer-without-keys = installer [ ];
  installer-with-comments = installer [ "# ${key}" "" ];
  installer-with-a-private-key = installer [ "-----BEGIN OPENSSH PRIVATE KEY-----" ];
  installer-changed = look (flake.lib.installer {
    authorizedKeys = [ key ];
    system = "aarch64-linux";
    modules = [ { services.netapply.installer = { guestAgent = false; consoles = [ "ttyAMA0" ]; }; } ];
  });

  wrong-type = system { strict = "yes"; };
  wrong-wait = system { wait = 301; };
  wrong-probe = system { probes = [ "192.0.2.80:443" ]; };
  wrong-probe-quote = system { probes = [ "http://192.0.2.80/$HOME" ]; };
  wrong-handoff = system { handoff = "some"; };
  wrong-option = system { stricter = true; };
  wrong-keys = installer key;
}
