//! `--dry-run --format sh`: the script that a plan prints gives the same kernel state as applying the plan does.

use crate::guest::Guest;
use crate::{cases, oracle, switch};

/// What each of two machines of the same kind comes to: one by netapply, one by the script it prints.
#[track_caller]
fn same_by_script(lacp: bool, prepare: &str, name: &str, text: &str) {
    let machine = || {
        let mut guest = switch::machine().netapply().file(&format!("/tmp/{name}"), text, 0o644).boot();
        guest.ok(&if lacp { switch::lacp(9000, &[]) } else { switch::plain(&[]) });
        guest.ok(prepare);
        guest
    };
    let source = format!("/tmp/{name}");
    let mut applied = machine();
    applied.ok(&format!("netapply apply --no-verify {source}"));
    let by_netapply = settled(&mut applied);
    drop(applied);

    let mut scripted = machine();
    let script = scripted.ok(&format!("netapply --dry-run --format sh {source} | tee /tmp/plan.sh"));
    scripted.ok("sh -e /tmp/plan.sh");
    let by_script = settled(&mut scripted);
    assert!(by_netapply == by_script, "{}\n--- the script\n{script}", difference(&by_netapply, &by_script));
    let again = scripted.json(&format!("netapply --dry-run --json {source}"));
    assert_eq!(
        again["steps"],
        serde_json::json!([]),
        "after the script there is nothing left to do\n{script}"
    );
}

/// The state once no address is being checked for duplicates any more.
fn settled(guest: &mut Guest) -> String {
    guest.until("[ -z \"$(ip -6 address show tentative)\" ]");
    oracle::state(guest)
}

fn difference(left: &str, right: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        let b: std::collections::HashSet<&str> = b.lines().collect();
        a.lines().filter(|line| !b.contains(line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    format!("only by netapply:\n{}only by the script:\n{}", only(left, right, "-"), only(right, left, "+"))
}

#[test]
fn of_a_bond() {
    same_by_script(true, "true", "network_data.json", cases::LACP);
}

#[test]
fn of_bridges_vlans_and_both_families() {
    let text = "network:
  version: 2
  ethernets:
    one: {match: {macaddress: '7c:c2:55:6e:90:44'}, mtu: 9000}
    two:
      match: {macaddress: '7c:c2:55:6e:90:45'}
      set-name: lan0
      addresses: [198.51.100.7/32, '2001:db8:2::7/64']
      routes:
        - {to: default, via: 198.51.100.1, on-link: true, metric: 50}
        - {to: '2001:db8:3::/48', via: '2001:db8:2::1'}
  bridges:
    br0:
      interfaces: [one]
      macaddress: '02:11:22:33:44:55'
      addresses: [192.0.2.10/24, '2001:db8::10/64']
      gateway6: '2001:db8::1'
  vlans:
    br0.7: {id: 7, link: br0, mtu: 1400, addresses: [203.0.113.7/31]}
";
    same_by_script(false, "true", "netplan.yaml", text);
}
