# A stand-in for what the real file sets (nixos/modules/profiles/installation-device.nix of 25.11).
{ lib, ... }:
{
  networking.networkmanager.enable = lib.mkDefault true;
  services.openssh.enable = lib.mkDefault true;
  services.openssh.settings.PermitRootLogin = lib.mkDefault "yes";
  users.users.nixos = { };
}
