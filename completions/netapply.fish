# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_netapply_global_optspecs
    string join \n h/help V/version
end

function __fish_netapply_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_netapply_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_netapply_using_subcommand
    set -l cmd (__fish_netapply_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c netapply -n "__fish_netapply_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_needs_command" -s V -l version -d 'Print version'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "apply" -d 'Find the description or use SOURCE, plan, apply, verify, report'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "check" -d 'Report mistakes in descriptions; changes nothing'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "convert" -d 'Write the same network for another tool; changes nothing of the machine\'s'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "persist" -d 'Write the network into a mounted system, for the tool that it uses'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "capture" -d 'Describe the network of this machine as it runs; changes nothing'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "verify" -d 'Compare the machine with the description and test the network'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "rehearse" -d 'Apply and verify in namespaces of its own, as an ordinary user; changes nothing of the machine\'s'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "inventory" -d 'Print this machine\'s links, addresses, routes and rules as JSON'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "report" -d 'Print the report of the last run'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "handoff" -d 'Give links back to the image\'s other network tools; the network stays'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "leases" -d 'Print the DHCP leases that netapply holds, or give some up'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "explain" -d 'Explain the code of a diagnostic or cause; without CODE, list all codes'
complete -c netapply -n "__fish_netapply_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l source -d 'Where to look instead, the preferred place first, with commas between' -r -f -a "drive\t'This machine\'s drives'
cmdline\t'The kernel command line: ip=, bond=, vlan='
ibft\t'The iSCSI boot firmware table'
nbft\t'The NVMe boot firmware table'"
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l inventory -d 'Plan for a machine recorded with `netapply inventory`' -r
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l format -d 'Output format of the plan' -r -f -a "text\t'Text for people'
sh\t'The steps as a shell script'
mermaid\t'The links, addresses and gateways as a Mermaid flowchart'"
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l wait -d 'How long to wait for the drive and the NICs, and then again for the network to work' -r
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l probe -d 'A target that must answer: tcp://HOST:PORT, http://HOST:PORT/PATH, https://HOST:PORT or ping://HOST; can be repeated' -r
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l handoff -d 'Whether to tell the image\'s other network tools to leave the links alone' -r -f -a "auto\t'Tell the tools that the image has'
none\t'Tell none'"
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l dhcp -d 'Who asks for DHCP leases' -r -f -a "auto\t'The image\'s client where one is enabled, else netapply'
own\t'netapply'
image\t'The image\'s client'"
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l fallback -d 'What to do if there is no description' -r -f -a "dhcp\t'Ask for DHCP on all NICs and use the first with a route to the target of --probe, or with a router'
none\t'Nothing'"
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l dhcp-options -d 'How netapply asks for DHCP leases: detect=off|fast|standard, ipv6-only, rapid-commit, user-class=TEXT, vendor-class=TEXT' -r
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand apply" -s n -l dry-run -d 'Print the plan; changes nothing'
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l strict -d 'All or nothing: an error in the description prevents any change, and a failed step undoes the steps before it'
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l no-verify -d 'Do not test whether the network works'
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l follow-links -d 'Follow symbolic links that lead out of a directory'
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l no-discover -d 'Do not ask DHCP servers and routers which subnet a port is in when something fails there'
complete -c netapply -n "__fish_netapply_using_subcommand apply" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand check" -l format -d 'Output format of diagnostics' -r -f -a "text\t'Text for people'
github\t'Annotations of a GitHub workflow'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML: a suite for each description'
json-lines\t'One JSON object a line'"
complete -c netapply -n "__fish_netapply_using_subcommand check" -l for -d 'Also report what this service would reject' -r -f -a "ironic\t'Ironic\'s API'"
complete -c netapply -n "__fish_netapply_using_subcommand check" -l baseline -d 'Accept what an earlier run printed with --json: only what is new since counts' -r
complete -c netapply -n "__fish_netapply_using_subcommand check" -l fleet-policy -d 'What the site allows or forbids, as YAML (docs/fleet.md)' -r
complete -c netapply -n "__fish_netapply_using_subcommand check" -l reports -d 'Compare with machines that booted: inventories and reports, NODE.json, NODE/inventory.json or NODE/report.json each' -r
complete -c netapply -n "__fish_netapply_using_subcommand check" -l wait -d 'How long to wait for the drive and the NICs, and then again for the network to work' -r
complete -c netapply -n "__fish_netapply_using_subcommand check" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand check" -l merge -d 'Read each directory as one description, as apply does'
complete -c netapply -n "__fish_netapply_using_subcommand check" -l fleet -d 'Compare the descriptions with each other'
complete -c netapply -n "__fish_netapply_using_subcommand check" -l table -d 'Print the links of all descriptions as CSV instead; diagnostics go to standard error'
complete -c netapply -n "__fish_netapply_using_subcommand check" -l follow-links -d 'Follow symbolic links that lead out of a directory'
complete -c netapply -n "__fish_netapply_using_subcommand check" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand convert" -l to -d 'The tool to write for' -r -f -a "netplan\t'netplan, version 2'
networkd\t'systemd-networkd: .network, .netdev and .link'
nmstate\t'nmstate 2'
network_data\t'OpenStack\'s network_data.json'
v1\t'cloud-init\'s network-config, version 1'
eni\t'Debian interfaces text: /etc/network/interfaces'
keyfile\t'NetworkManager\'s keyfiles'
nixos\t'A NixOS module with systemd.network'
cmdline\t'Parameters of the kernel command line for dracut'"
complete -c netapply -n "__fish_netapply_using_subcommand convert" -s o -l output -d 'Write the files into this folder; by default a single file goes to standard output' -r
complete -c netapply -n "__fish_netapply_using_subcommand convert" -l inventory -d 'Name NICs as on a machine recorded with `netapply inventory`' -r
complete -c netapply -n "__fish_netapply_using_subcommand convert" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand convert" -l strict -d 'Write nothing if the description has an error or the format cannot express all of it'
complete -c netapply -n "__fish_netapply_using_subcommand convert" -l follow-links -d 'Follow symbolic links that lead out of a directory'
complete -c netapply -n "__fish_netapply_using_subcommand convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand persist" -l inventory -d 'Name NICs as on a machine recorded with `netapply inventory`' -r
complete -c netapply -n "__fish_netapply_using_subcommand persist" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand persist" -l strict -d 'Write nothing if the description has an error or the format cannot express all of it'
complete -c netapply -n "__fish_netapply_using_subcommand persist" -l follow-links -d 'Follow symbolic links that lead out of a directory'
complete -c netapply -n "__fish_netapply_using_subcommand persist" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand capture" -l to -d 'The tool to write for' -r -f -a "netplan\t'netplan, version 2'
networkd\t'systemd-networkd: .network, .netdev and .link'
nmstate\t'nmstate 2'
network_data\t'OpenStack\'s network_data.json'
v1\t'cloud-init\'s network-config, version 1'
eni\t'Debian interfaces text: /etc/network/interfaces'
keyfile\t'NetworkManager\'s keyfiles'
nixos\t'A NixOS module with systemd.network'
cmdline\t'Parameters of the kernel command line for dracut'"
complete -c netapply -n "__fish_netapply_using_subcommand capture" -s o -l output -d 'Write the files into this folder; by default a single file goes to standard output' -r
complete -c netapply -n "__fish_netapply_using_subcommand capture" -l inventory -d 'Describe a machine recorded with `netapply inventory` instead' -r
complete -c netapply -n "__fish_netapply_using_subcommand capture" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand capture" -l strict -d 'Write nothing if the format cannot express all of it'
complete -c netapply -n "__fish_netapply_using_subcommand capture" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand verify" -l wait -d 'How long to wait for the drive and the NICs, and then again for the network to work' -r
complete -c netapply -n "__fish_netapply_using_subcommand verify" -l probe -d 'A target that must answer: tcp://HOST:PORT, http://HOST:PORT/PATH, https://HOST:PORT or ping://HOST; can be repeated' -r
complete -c netapply -n "__fish_netapply_using_subcommand verify" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand verify" -l follow-links -d 'Follow symbolic links that lead out of a directory'
complete -c netapply -n "__fish_netapply_using_subcommand verify" -l no-discover -d 'Do not ask DHCP servers and routers which subnet a port is in when something fails there'
complete -c netapply -n "__fish_netapply_using_subcommand verify" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l inventory -d 'Rehearse on the NICs of a machine recorded with `netapply inventory`' -r
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l switch -d 'What is at the other ends of the NICs\' cables, instead of what the description needs: ports, VLANs, LAGs, hosts' -r
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l wait -d 'How long to wait for the drive and the NICs, and then again for the network to work' -r
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l probe -d 'A target that must answer: tcp://HOST:PORT, http://HOST:PORT/PATH, https://HOST:PORT or ping://HOST; can be repeated' -r
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l handoff -d 'Whether to name what the image\'s other network tools would be told' -r -f -a "auto\t'Tell the tools that the image has'
none\t'Tell none'"
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l no-modules -d 'Make no link for which the kernel would load a module'
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l strict -d 'All or nothing, as with `apply`'
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l no-verify -d 'Do not test whether the network works'
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l follow-links -d 'Follow symbolic links that lead out of a directory'
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l no-discover -d 'Do not ask DHCP servers and routers which subnet a port is in when something fails there'
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand rehearse" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand inventory" -l lldp -d 'Listen for up to 31 s for what the switches announce (LLDP), and record the switch port of each NIC; needs root'
complete -c netapply -n "__fish_netapply_using_subcommand inventory" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand inventory" -s h -l help -d 'Print help'
complete -c netapply -n "__fish_netapply_using_subcommand report" -l timeline -d 'Print how long each phase took and what it waited for'
complete -c netapply -n "__fish_netapply_using_subcommand report" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand report" -s h -l help -d 'Print help'
complete -c netapply -n "__fish_netapply_using_subcommand handoff" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand handoff" -l undo -d 'Undo the hand-off'
complete -c netapply -n "__fish_netapply_using_subcommand handoff" -s n -l dry-run -d 'Print the steps; changes nothing'
complete -c netapply -n "__fish_netapply_using_subcommand handoff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c netapply -n "__fish_netapply_using_subcommand leases" -l release -d 'Give up the leases of these links, by their names in the kernel' -r
complete -c netapply -n "__fish_netapply_using_subcommand leases" -l log -d 'Log level: error, warn, info, debug or trace' -r
complete -c netapply -n "__fish_netapply_using_subcommand leases" -l renew -d 'Renew the leases until a signal comes, as netapply-lease.service does'
complete -c netapply -n "__fish_netapply_using_subcommand leases" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand leases" -s h -l help -d 'Print help'
complete -c netapply -n "__fish_netapply_using_subcommand explain" -l json -d 'Print JSON; the schemas are in docs/schema'
complete -c netapply -n "__fish_netapply_using_subcommand explain" -s h -l help -d 'Print help'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "apply" -d 'Find the description or use SOURCE, plan, apply, verify, report'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "check" -d 'Report mistakes in descriptions; changes nothing'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "convert" -d 'Write the same network for another tool; changes nothing of the machine\'s'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "persist" -d 'Write the network into a mounted system, for the tool that it uses'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "capture" -d 'Describe the network of this machine as it runs; changes nothing'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "verify" -d 'Compare the machine with the description and test the network'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "rehearse" -d 'Apply and verify in namespaces of its own, as an ordinary user; changes nothing of the machine\'s'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "inventory" -d 'Print this machine\'s links, addresses, routes and rules as JSON'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "report" -d 'Print the report of the last run'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "handoff" -d 'Give links back to the image\'s other network tools; the network stays'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "leases" -d 'Print the DHCP leases that netapply holds, or give some up'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "explain" -d 'Explain the code of a diagnostic or cause; without CODE, list all codes'
complete -c netapply -n "__fish_netapply_using_subcommand help; and not __fish_seen_subcommand_from apply check convert persist capture verify rehearse inventory report handoff leases explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
