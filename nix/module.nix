# The network from the config drive, on NixOS. The units are those of systemd/, from the package: so are the conditions
# that keep dhcpcd and the wait-online units from starting. A drop-in of a unit that this system does not have does nothing, which
# a definition in systemd.services would not: it would make an empty, broken unit.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.netapply;
  inherit (config) networking;

  # systemd reads % in a command line as a specifier; the option refuses anything else that it would interpret.
  common =
    lib.optional (cfg.wait != null) "--wait=${toString cfg.wait}"
    ++ lib.optional (cfg.logLevel != null) "--log=${cfg.logLevel}";
  applying =
    common
    ++ lib.optional cfg.strict "--strict"
    ++ lib.optional (cfg.handoff != "auto") "--handoff=${cfg.handoff}"
    ++ lib.optional (cfg.fallback != null) "--fallback=${cfg.fallback}";
  verifying = common ++ map (url: "--probe=${builtins.replaceStrings [ "%" ] [ "%%" ] url}") cfg.probes;

  # A unit of the package with further arguments: an empty ExecStart removes the unit's own.
  unit = target: command: arguments: {
    # NixOS takes no [Install] section from packages.
    wantedBy = [ target ];
    # Switching to a new system must not reconfigure the network under logged-in users.
    restartIfChanged = false;
    stopIfChanged = false;
    serviceConfig = lib.mkIf (arguments != [ ]) {
      ExecStart = [
        ""
        (lib.concatStringsSep " " ([ "${lib.getExe cfg.package} ${command}" ] ++ arguments))
      ];
    };
  };
in
{
  options.services.netapply = {
    enable = lib.mkEnableOption "netapply, which brings up the network that a config drive describes";

    package = mkOption {
      type = types.package;
      description = "The netapply to use.";
    };

    dhcpFallback = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Leave the DHCP client of this system (dhcpcd, systemd-networkd or NetworkManager) on. It is held off where the
        drive has described the network, and takes over where no drive was found or the description cannot be used.
        Without it such a machine has no network.
      '';
    };

    strict = mkOption {
      type = types.bool;
      default = false;
      description = ''
        All or nothing: an error in the description ends before the first change, and the first step that fails undoes
        those before it.
      '';
    };

    wait = mkOption {
      type = types.nullOr (types.ints.between 0 300);
      default = null;
      example = 60;
      description = ''
        Seconds to wait for the drive, for late NICs, and for the network to work. By default 5 for the drive, or 30
        where the kernel command line says that one is expected; 30 for NICs; 60 for the network.
      '';
    };

    probes = mkOption {
      type = types.listOf (types.strMatching "(tcp|ping|http|https)://[^[:space:]\"'$\\\\]+");
      default = [ ];
      example = [ "tcp://192.0.2.80:443" ];
      description = ''
        What must be reachable before network-online.target: `tcp://HOST:PORT`, `ping://HOST`, `http://HOST:PORT/PATH`.
      '';
    };

    handoff = mkOption {
      type = types.enum [
        "auto"
        "none"
      ];
      default = "auto";
      description = "Whether this system's other network tools are told to leave the described links alone.";
    };

    fallback = mkOption {
      type = types.nullOr (types.enum [ "dhcp" ]);
      default = null;
      description = ''
        What netapply itself does without a drive: `dhcp` asks on all NICs at once and uses the first that gets a lease with
        a route to a target of `netapply.probe=`, or with a router. Set dhcpFallback to false beside it.
      '';
    };

    logLevel = mkOption {
      type = types.nullOr (
        types.enum [
          "error"
          "warn"
          "info"
          "debug"
          "trace"
        ]
      );
      default = null;
      description = "How much goes to the journal; `info` by default.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !config.boot.isContainer;
        message = "services.netapply.enable: a container has no config drive; its network is its host's matter.";
      }
      {
        assertion = cfg.dhcpFallback -> networking.useDHCP || networking.networkmanager.enable;
        message = ''
          services.netapply.dhcpFallback: no DHCP client is on, so a machine without a drive has no network. Set
          networking.useDHCP or networking.networkmanager.enable, or services.netapply.dhcpFallback = false.
        '';
      }
    ];
    warnings = lib.optional (cfg.handoff == "none" && (networking.useDHCP || networking.networkmanager.enable)) ''
      services.netapply.handoff is "none" while a DHCP client is on: it may change what the drive describes.
    '';

    environment.systemPackages = [ cfg.package ];
    systemd.packages = [ cfg.package ];
    systemd.services.netapply = unit "sysinit.target" "apply --no-verify" applying;
    systemd.services.netapply-lease = unit "sysinit.target" "leases --renew" [ ];
    systemd.services.netapply-wait-online = unit "network-online.target" "verify --wait" verifying;

    # A drive is found before udev has loaded everything, and links need their modules at once.
    boot.kernelModules = [
      "bonding"
      "8021q"
      "bridge"
      "isofs"
      "vfat"
      "nls_cp437"
      "nls_iso8859-1"
      "sr_mod"
    ];

    networking.useDHCP = lib.mkIf (!cfg.dhcpFallback) (lib.mkForce false);
    networking.dhcpcd.enable = lib.mkIf (!cfg.dhcpFallback) (lib.mkForce false);
    # NetworkManager creates a DHCP profile for every NIC that has none.
    networking.networkmanager.settings = lib.mkIf (!cfg.dhcpFallback && networking.networkmanager.enable) {
      main.no-auto-default = "*";
    };
  };
}
