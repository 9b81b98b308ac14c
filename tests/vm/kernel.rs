//! The kernel room on a whole kernel, with bonds, VLANs and modules.
//!
//! The tests that run inside a guest are this program's own, in the modules `inside`, and are skipped outside: the test
//! program is static, so that it can be copied.

use harness::guest::{Guest, Kernel};

fn guest() -> Guest {
    Guest::builder().inside().boot()
}

#[track_caller]
fn run(guest: &mut Guest, tests: &str) {
    let output =
        guest.run(&format!("cd /tmp && exec inside --ignored --test-threads=1 --color=never {tests}"));
    assert_eq!(output.status, 0, "inside the guest:\n{}{}", output.stdout, output.stderr);
    assert!(!output.stdout.contains("running 0 tests"), "there are no tests {tests}");
}

#[test]
fn every_option_is_as_ip_makes_it() {
    let mut guest = guest();
    // Without fallback tunnels, which are in the way of one without ends.
    guest.ok("echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net");
    for tests in ["bond", "bridge", "vxlan", "small_kinds", "ip4_tunnels", "ip6_tunnels", "ports", "links"] {
        run(&mut guest, &format!("inside::kinds::{tests}"));
    }
}

#[test]
fn the_kernel_accepts_the_members_and_numbers_that_check_accepts() {
    let mut guest = guest();
    guest.ok("echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net");
    for test in ["the_kernel_accepts_the_members", "ranges_are"] {
        run(&mut guest, &format!("inside::kinds::{test}"));
    }
}

#[test]
fn bonds_and_their_members() {
    run(&mut guest(), "inside::bonds::");
}

#[test]
fn wireguard_is_as_wg_shows_it() {
    run(&mut guest(), "inside::wireguard::");
}

#[test]
fn wake_on_lan_is_enabled_on_a_nic() {
    let nic = ["-netdev", "user,id=wake,restrict=on", "-device", "vmxnet3,netdev=wake,mac=52:54:00:12:34:77"];
    let mut guest = Guest::builder().kernel(Kernel::Full).qemu(&nic).inside().boot();
    guest.ok("modprobe vmxnet3; [ -e /sys/class/net/eth0 ]");
    run(&mut guest, "inside::wake::");
}

/// How many steps are disturbed in one go: a script in a guest may run two minutes.
const STEPS_AT_A_TIME: usize = 4;

/// Of so many goes one is tried, the first, the fourth and so on; with `NETAPPLY_STEPS=all` each.
const GOES: usize = 3;

#[track_caller]
fn at_every_step(test: &str) {
    let program = harness::disturb::program();
    let mut guest = Guest::builder().inside().program("/usr/bin/netapply-fault", program.as_ref()).boot();
    // Its gre0, gretap0 and erspan0 come with the module and cannot be deleted.
    guest.ok("modprobe ip_gre");
    let goes = if std::env::var("NETAPPLY_STEPS").is_ok_and(|steps| steps == "all") { 1 } else { GOES };
    for begin in (0..).step_by(STEPS_AT_A_TIME * goes) {
        guest.ok(&format!("echo {begin} {} >/tmp/steps", begin + STEPS_AT_A_TIME));
        run(&mut guest, &format!("--exact inside::disturbed::{test}"));
        if guest.ok("cat /tmp/steps").trim() == "no more" {
            return;
        }
    }
}

#[test]
fn a_run_killed_at_any_step_and_repeated_ends_as_undisturbed() {
    at_every_step("killed");
}

#[test]
fn strict_leaves_bonds_as_they_were_whichever_step_is_refused() {
    at_every_step("refused");
}

/// On bridges and addresses it runs each time, see tests/netns.
#[test]
#[ignore = "takes ten minutes: for changes of how steps are sent"]
fn an_answer_that_is_lost_is_asked_for_again() {
    at_every_step("lost");
}

#[test]
fn strict_leaves_bridges_their_vlans_whichever_step_is_refused() {
    at_every_step("bridges_refused");
}

#[test]
fn bridges_killed_at_any_step_and_run_again_they_end_as_undisturbed() {
    at_every_step("bridges_killed");
}

#[test]
fn strict_leaves_wireguard_its_keys_and_peers_whichever_step_is_refused() {
    at_every_step("wireguard_refused");
}

#[test]
fn wireguard_killed_at_any_step_and_run_again_it_ends_as_undisturbed() {
    at_every_step("wireguard_killed");
}

/// An image with modules, but nothing to load them with.
#[test]
fn modules_are_loaded_without_modprobe() {
    let mut guest = guest();
    guest.ok("echo /nonexistent >/proc/sys/kernel/modprobe");
    run(&mut guest, "inside::modules::loaded_by_us");
    guest.ok("[ -e /sys/module/bonding ] && [ -e /sys/module/8021q ] && [ ! -e /sys/class/net/bond1 ]");
}

/// An image with compressed modules, no modprobe, and a kernel that does not unpack them.
#[test]
fn a_compressed_module_that_the_kernel_cannot_load_is_named() {
    let mut guest = guest();
    guest.ok("echo /nonexistent >/proc/sys/kernel/modprobe
        cd /lib/modules/*; sed -i 's/bonding\\.ko/&.xz/' modules.dep
        file=$(find . -name bonding.ko); mv $file $file.xz");
    run(&mut guest, "inside::modules::compressed");
}

/// An image whose modprobe the kernel uses, and whose modules.dep is not where it should be: `bonding` creates a bond0
/// of its own.
#[test]
fn the_stray_bond_is_removed() {
    let mut guest = guest();
    guest.ok("rm /lib/modules/*/modules.dep");
    run(&mut guest, "inside::modules::loaded_by_the_kernel");
    assert_eq!(guest.ok("cat /sys/class/net/bonding_masters").trim(), "bond7");
}

#[test]
fn a_missing_module_is_named() {
    let mut guest = guest();
    guest.ok("rm -r /lib/modules/*");
    run(&mut guest, "inside::modules::missing");
}
