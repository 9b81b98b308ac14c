#!/bin/bash
# netapply in the initramfs: `dracut --add netapply`, or add_dracutmodules+=" netapply " in /etc/dracut.conf.d.
# For dracut 059 and newer, with systemd in the initramfs or without.

# Opt-in.
check() {
    require_binaries netapply || return 1
    return 255
}

depends() {
    local module
    # Not "network": that brings a network manager along. Both are optional: kernel-network-modules comes in a package
    # of its own on Debian, and initqueue is a module of its own from 108 on. A pattern that matches nothing comes back
    # as it is, so the folder is what counts.
    for module in kernel-network-modules initqueue; do
        [[ -d $(dracut_module_path $module) ]] && echo $module
    done
    return 0
}

installkernel() {
    # Drivers of software links, file systems and the drive's controllers: for any machine, not only this one.
    hostonly='' instmods bonding 8021q bridge vrf dummy macvlan vxlan wireguard \
        isofs vfat nls_cp437 nls_iso8859-1 nls_ascii nls_utf8 \
        sr_mod cdrom sd_mod usb_storage uas ahci virtio_scsi virtio_blk 9p 9pnet_virtio virtiofs
    dracut_module_included kernel-network-modules ||
        hostonly='' instmods =drivers/net/ethernet =drivers/net/phy =drivers/net/mdio =drivers/net/hyperv \
            =drivers/net/vmxnet3 virtio_net virtio_pci xen-netfront
}

install() {
    inst_multiple netapply
    # What names the NICs. One that comes up before it is renamed keeps eth0 forever on kernels before 6.2.
    inst_multiple -o \
        "$udevrulesdir"/75-net-description.rules "$udevrulesdir"/80-net-setup-link.rules \
        "$systemdnetwork/*.link" "$systemdnetworkconfdir/*.link"
    if dracut_module_included systemd; then
        inst_simple "$moddir/netapply-initrd.service" "$systemdsystemunitdir/netapply-initrd.service"
        $SYSTEMCTL -q --root "$initdir" add-wants initrd.target netapply-initrd.service
    else
        inst_hook initqueue/finished 50 "$moddir/netapply-finished.sh"
        inst_hook initqueue/settled 50 "$moddir/netapply-apply.sh"
        dracut_need_initqueue
    fi
    inst_hook initqueue/settled 51 "$moddir/netapply-online.sh"
}
