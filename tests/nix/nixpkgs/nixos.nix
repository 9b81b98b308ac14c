# A stand-in for the options of NixOS that nix/ touches or asks for, with the types that nixpkgs gives them and the units
# that it defines when they are on (nixos/modules of 25.11: dhcpcd.nix, networkmanager.nix, networkd.nix, sshd.nix).
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: mkOption { inherit type default; description = "As in NixOS."; };
  names = option (types.listOf types.str) [ ];
  # A unit's option: what is given several times is a list.
  setting = types.either (types.listOf types.anything) types.anything;
  unit.options = {
    description = option types.singleLineStr "";
    wantedBy = names;
    before = names;
    after = names;
    wants = names;
    conflicts = names;
    restartIfChanged = option types.bool true;
    stopIfChanged = option types.bool true;
    unitConfig = option (types.attrsOf setting) { };
    serviceConfig = option (types.attrsOf setting) { };
  };
  user.options.openssh.authorizedKeys.keys = option (types.listOf types.singleLineStr) [ ];
  assertion.options = {
    assertion = mkOption { type = types.bool; description = "What must hold."; };
    message = mkOption { type = types.str; description = "What is said where it does not."; };
  };
  inherit (config) networking;
in
{
  options = {
    assertions = option (types.listOf (types.submodule assertion)) [ ];
    warnings = option (types.listOf types.str) [ ];
    environment.systemPackages = option (types.listOf types.package) [ ];
    boot.isContainer = option types.bool false;
    boot.kernelModules = names;
    boot.kernelParams = names;
    systemd.packages = option (types.listOf types.package) [ ];
    systemd.services = option (types.attrsOf (types.submodule unit)) { };
    systemd.network.enable = option types.bool false;
    systemd.network.links = option (types.attrsOf types.anything) { };
    systemd.network.netdevs = option (types.attrsOf types.anything) { };
    systemd.network.networks = option (types.attrsOf types.anything) { };
    networking.hostName = option types.str "nixos";
    networking.useDHCP = option types.bool true;
    networking.useNetworkd = option types.bool false;
    networking.dhcpcd.enable = option types.bool true;
    networking.networkmanager.enable = option types.bool false;
    networking.networkmanager.settings = option (types.attrsOf (types.attrsOf types.anything)) { };
    services.openssh.enable = option types.bool false;
    services.openssh.settings = option (types.attrsOf types.anything) { };
    services.qemuGuest.enable = option types.bool false;
    users.users = option (types.attrsOf (types.submodule user)) { };
  };

  config = {
    systemd.network.enable = lib.mkIf networking.useNetworkd (lib.mkDefault true);
    networking.useDHCP = lib.mkIf networking.networkmanager.enable (lib.mkDefault false);
    systemd.services = lib.mkMerge [
      (lib.mkIf (networking.dhcpcd.enable && networking.useDHCP && !networking.useNetworkd) {
        dhcpcd = {
          wantedBy = [ "multi-user.target" "network-online.target" ];
          serviceConfig.ExecStart = "dhcpcd";
        };
      })
      (lib.mkIf networking.networkmanager.enable {
        NetworkManager.serviceConfig.ExecStart = "NetworkManager";
        NetworkManager-wait-online.wantedBy = [ "network-online.target" ];
      })
      (lib.mkIf config.systemd.network.enable {
        systemd-networkd-wait-online.wantedBy = [ "network-online.target" ];
      })
      (lib.mkIf config.services.openssh.enable { sshd.serviceConfig.ExecStart = "sshd"; })
    ];
  };
}
