# netapply for NixOS: the static program, a module, and an installer ISO. docs/nixos.md is the guide.
{
  description = "Configures the network that a config drive describes, checks that it works, and says why if it does not";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      package = system: nixpkgs.legacyPackages.${system}.pkgsStatic.callPackage ./nix/package.nix { };
      withPackage =
        { pkgs, ... }:
        {
          services.netapply.package = lib.mkDefault (package pkgs.stdenv.hostPlatform.system);
        };
    in
    {
      packages = lib.genAttrs systems (system: {
        default = package system;
      });

      nixosModules = {
        default.imports = [
          ./nix/module.nix
          withPackage
        ];
        installer.imports = [
          ./nix/installer.nix
          withPackage
        ];
      };

      # An installer: lib.installer { authorizedKeys = [ "ssh-ed25519 AAAA…" ]; }, and of the result
      # .config.system.build.isoImage is the ISO.
      lib.installer =
        {
          authorizedKeys,
          system ? "x86_64-linux",
          modules ? [ ],
        }:
        nixpkgs.lib.nixosSystem {
          inherit system;
          modules = [
            "${nixpkgs}/nixos/modules/installer/cd-dvd/installation-cd-minimal.nix"
            self.nixosModules.installer
            { services.netapply.installer = { inherit authorizedKeys; }; }
          ] ++ modules;
        };
    };
}
