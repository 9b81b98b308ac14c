# An installer that answers SSH on the address of its Proxmox or NoCloud drive, with nobody at the console. Goes on top
# of nixpkgs' installation-cd-minimal.nix.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.netapply.installer;
in
{
  imports = [ ./module.nix ];

  options.services.netapply.installer = {
    authorizedKeys = mkOption {
      type = types.listOf types.singleLineStr;
      default = [ ];
      example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI… admin@example.com" ];
      description = "SSH public keys that may log in as root. At least one: there is no other way in.";
    };

    guestAgent = mkOption {
      type = types.bool;
      default = true;
      description = "Run QEMU's guest agent, which tells Proxmox and libvirt the addresses. Idle on other machines.";
    };

    consoles = mkOption {
      type = types.listOf (types.strMatching "[[:alnum:],]+");
      default = [
        "ttyS0,115200"
        "tty0"
      ];
      description = "Consoles that show what became of the network: screen and serial port. The last is /dev/console.";
    };
  };

  config = {
    services.netapply.enable = true;

    assertions = [
      {
        assertion = builtins.any (key: builtins.match "[[:space:]]*(#.*)?" key == null) cfg.authorizedKeys;
        message = ''
          services.netapply.installer.authorizedKeys: nobody could log in to this installer. Give at least one SSH
          public key: the line in ~/.ssh/id_ed25519.pub.
        '';
      }
      {
        # ssh-keygen writes both into one folder, and an ISO is copied around.
        assertion = !(builtins.any (key: builtins.match ".*PRIVATE KEY.*" key != null) cfg.authorizedKeys);
        message = ''
          services.netapply.installer.authorizedKeys holds a private key, which everybody who has the ISO could read.
          Give the public one, which ends in .pub.
        '';
      }
    ];

    users.users.root.openssh.authorizedKeys.keys = cfg.authorizedKeys;
    services.openssh = {
      enable = true;
      settings.PermitRootLogin = lib.mkForce "prohibit-password";
      # The installer's accounts have empty passwords.
      settings.PasswordAuthentication = false;
      settings.KbdInteractiveAuthentication = false;
    };

    services.qemuGuest.enable = cfg.guestAgent;
    boot.kernelParams = map (console: "console=${console}") cfg.consoles;
  };
}
