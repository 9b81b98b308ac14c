//! Why a network does not work, for real: each case is a machine and a switch in namespaces of one guest, with one
//! fault. netapply runs as at boot; its console output and report.json must name the fault. Conversely, a healthy
//! network is reported as healthy, without a warning.
//!
//! causes/world has the words that the cases are written in. Cases run in parallel, a dozen at a time.
//! `NETAPPLY_CASES=23 cargo test --test vm causes -- --nocapture` runs only those with 23 in their name, and shows
//! their console output.

use std::time::Duration;

use serde_json::Value;

use harness::cases as golden;
use harness::guest::Guest;

/// How many cases run at once: they mostly wait.
const SIDE_BY_SIDE: usize = 12;
/// How long a dozen may take: up to 90 s of waiting in each, on a busy, emulated machine.
const LIMIT: Duration = Duration::from_secs(480);

/// A network, and what must be reported about it.
struct Case {
    name: &'static str,
    /// The shell script that sets it up.
    world: &'static str,
    /// The description, and the rest of netapply's arguments.
    text: &'static str,
    arguments: &'static str,
    /// Exit status, and the code of the first cause; empty for a healthy network.
    exit: i64,
    cause: &'static str,
    /// What the console must contain, besides the code.
    word: &'static str,
}

const APPLY: &str = "boot apply --handoff none --wait=40";

const ONE: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'},
  addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";
const NAMED: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'},
  addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}], nameservers: {addresses: [198.51.100.5]}}}}";
const SIX: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'},
  addresses: ['2001:db8::2/64'], routes: [{to: default, via: '2001:db8::1'}]}}}";
const TWO: &str = "network: {version: 2, ethernets: {
  a: {match: {macaddress: '02:00:00:00:00:00'}, addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]},
  b: {match: {macaddress: '02:00:00:00:00:01'}, addresses: [10.1.0.2/24]}}}";
const JUMBO: &str =
    "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}, mtu: 9000,
  addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";
const LACP: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}},
  b: {match: {macaddress: '02:00:00:00:00:01'}}}, bonds: {bond0: {interfaces: [a, b],
  parameters: {mode: 802.3ad, lacp-rate: fast, mii-monitor-interval: 100},
  addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";
const BACKUP: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}},
  b: {match: {macaddress: '02:00:00:00:00:01'}}}, bonds: {bond0: {interfaces: [a, b],
  parameters: {mode: active-backup, mii-monitor-interval: 100},
  addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";
const VLAN: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}}},
  vlans: {v: {id: 100, link: a, addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";

const STACKED: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}},
  b: {match: {macaddress: '02:00:00:00:00:01'}}}, bonds: {bond0: {interfaces: [a, b],
  parameters: {mode: 802.3ad, lacp-rate: fast, mii-monitor-interval: 100}}},
  vlans: {v: {id: 100, link: bond0, addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";

const fn case(name: &'static str, world: &'static str, text: &'static str) -> Case {
    Case { name, world, text, arguments: "", exit: 0, cause: "", word: "" }
}

impl Case {
    const fn with(mut self, arguments: &'static str) -> Self {
        self.arguments = arguments;
        self
    }
    const fn says(mut self, exit: i64, cause: &'static str, word: &'static str) -> Self {
        (self.exit, self.cause, self.word) = (exit, cause, word);
        self
    }
}

const CASES: &[Case] = &[
    // Healthy ones
    case("h-plain", "wire 0; have p0 192.0.2.1/24", ONE),
    case("h-ipv6", "wire 0; have p0 2001:db8::1/64", SIX),
    case("h-no-echo", "wire 0; have p0 192.0.2.1/24; on $s dash -c 'echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all'", ONE),
    case("h-jumbo", "wire 0; sw link set p0 mtu 9000; have p0 192.0.2.1/24", JUMBO),
    case("h-lacp", "wire 0 1; lag lag p0 p1; have lag 192.0.2.1/24", LACP),
    case("h-backup", "wire 0 1; sw link add lan type bridge; sw link set lan up
        for p in p0 p1; do sw link set $p master lan; done; have lan 192.0.2.1/24", BACKUP),
    case("h-vlan", "wire 0; sw link add p0.100 link p0 type vlan id 100; sw link set p0.100 up; have p0.100 192.0.2.1/24", VLAN),
    case("h-bridge", "wire 0; have p0 192.0.2.1/24",
        "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}}}, bridges: {
           br0: {interfaces: [a], parameters: {stp: false}, addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]},
           br1: {addresses: [10.9.0.1/24], parameters: {stp: false}}}}"),
    case("h-onlink", "wire 0; have p0 192.0.2.1/32; sw route add 10.5.5.5 dev p0",
        "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}, addresses: [10.5.5.5/32],
           routes: [{to: default, via: 192.0.2.1, on-link: true}]}}}"),
    case("h-target", "wire 0; have p0 192.0.2.1/24; router; names; answer 80 'HTTP/1.1 200 OK\\r\\n\\r\\n'", NAMED)
        .with("--probe http://api.example/ --probe ping://198.51.100.5"),
    case("h-stack", "wire 0 1; lag lag p0 p1; sw link add lag.100 link lag type vlan id 100; sw link set lag.100 up
        have lag.100 192.0.2.1/24",
        "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}},
           b: {match: {macaddress: '02:00:00:00:00:01'}}}, bonds: {bond0: {interfaces: [a, b],
           parameters: {mode: 802.3ad, lacp-rate: fast, mii-monitor-interval: 100}}},
           bridges: {br0: {interfaces: [bond0], parameters: {stp: false}}},
           vlans: {br0.100: {id: 100, link: br0, addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}"),
    case("h-31", "wire 0; have p0 192.0.2.1/31", "network: {version: 2, ethernets: {a: {match:
           {macaddress: '02:00:00:00:00:00'}, addresses: [192.0.2.0/31], routes: [{to: default, via: 192.0.2.1}]}}}"),
    case("h-point", "wire 0; have p0 192.0.2.1/32; sw route add 10.5.5.5 dev p0", "auto eth0
        iface eth0 inet static
          address 10.5.5.5
          netmask 255.255.255.255
          pointopoint 192.0.2.1
          gateway 192.0.2.1"),
    // The causes, numbered in order
    case("1-cable", "wire 0 1; lag lag p0 p1; have lag 192.0.2.1/24; sw link set p1 down", LACP)
        .says(1, "no-cable", "eth1"),
    case("1-cables", "wire 0 1; sw link set p0 down; sw link set p1 down", LACP)
        .says(1, "no-cable-anywhere", "neither eth0 nor eth1 has carrier"),
    case("2-mac", "wire 3; have p3 192.0.2.1/24", ONE).with("--wait=5")
        .says(1, "nic-missing", "eth3 has 02:00:00:00:00:03"),
    case("3-no-lag", "wire 0 1; sw link add lan type bridge; sw link set lan up
        sw link set p0 master lan; sw link set p1 master lan; have lan 192.0.2.1/24", LACP)
        .says(1, "lacp-no-partner", "nobody answers on eth0 and eth1"),
    case("4-one-partner", "wire 0 1; lag lag p0; have lag 192.0.2.1/24", LACP)
        .says(1, "lacp-partner-on-some", "no LACP partner on eth1"),
    case("5-two-partners", "wire 0 1; lag one p0; lag two p1; have one 192.0.2.1/24; have two 192.0.2.1/24", LACP)
        .says(1, "lacp-two-partners", "02:00:00:00:01:01"),
    // The switch's ports are blocked until somebody sends LACP: its bond requires two of them.
    case("6-backup-on-lag", "wire 0 1; lag lag p0 p1; sw link set lag down; sw link set lag type bond min_links 2
        sw link set lag up; have lag 192.0.2.1/24", BACKUP)
        .says(1, "switch-runs-lacp", "bond0 is active-backup"),
    case("6-lacp-on-static", "wire 0 1; sw link add lag type bond mode balance-xor miimon 100
        for p in p0 p1; do sw link set $p down; sw link set $p master lag; done; sw link set lag up
        have lag 192.0.2.1/24", LACP)
        .says(1, "lacp-no-partner", "nobody answers"),
    case("7-other-vlan", "wire 0; sw link add p0.200 link p0 type vlan id 200; sw link set p0.200 up
        have p0.200 192.0.2.1/24; chatter p0.200 192.0.2.77", VLAN)
        .says(1, "vlan-not-carried", "the port carries VLAN 200"),
    case("7-untagged", "wire 0; have p0 192.0.2.1/24; chatter p0 192.0.2.77", VLAN)
        .says(1, "vlan-not-carried", "answers untagged, and nothing in VLAN 100 (proved)"),
    case("7-bond-untagged", "wire 0 1; lag lag p0 p1; have lag 192.0.2.1/24", STACKED)
        .says(1, "vlan-not-carried", "answers untagged, and nothing in VLAN 100 (proved)"),
    // Linux answers ARP requests on each of its interfaces.
    case("7-bond-other-vlan", "wire 0 1; lag lag p0 p1; sw link add lag.200 link lag type vlan id 200
        sw link set lag.200 up; have lag.200 192.0.2.1/24
        on $s dash -c 'echo 0 >/proc/sys/net/ipv4/conf/all/arp_ignore'", STACKED)
        .says(1, "vlan-not-carried", "192.0.2.1 of its subnet is heard untagged (likely)"),
    case("8-no-gateway", "wire 0; have p0 192.0.2.254/24", ONE)
        .says(1, "gateway-absent", "while 192.0.2.254 does"),
    case("9-elsewhere", "wire 0 1; have p1 192.0.2.1/24", TWO)
        .says(1, "gateway-elsewhere", "answers on eth1"),
    case("10-ipv4-twice", "wire 0; have p0 192.0.2.1/24 192.0.2.2/24", ONE)
        .says(1, "duplicate-ipv4", "02:00:00:00:01:00"),
    case("11-ipv6-twice", "wire 0; have p0 2001:db8::1/64 2001:db8::2/64", SIX)
        .says(1, "duplicate-ipv6", "02:00:00:00:01:00"),
    case("12-mtu", "wire 0; have p0 192.0.2.1/24", JUMBO)
        .says(1, "mtu-black-hole", "packets of 1500 bytes reach"),
    case("13-no-way-back", "wire 0; have p0 192.0.2.1/24; router; ip -n $t route del default", ONE)
        .with("--probe tcp://198.51.100.5:80")
        .says(1, "no-way-back", "192.0.2.0/24"),
    case("14-refused", "wire 0; have p0 192.0.2.1/24; router", ONE)
        .with("--probe tcp://198.51.100.5:80")
        .says(1, "target-refuses", "refuses the connection"),
    case("15-silent", "wire 0; have p0 192.0.2.1/24; router; ip -n $t rule add pref 5 lookup local
        ip -n $t rule del pref 0; ip -n $t rule add pref 1 iif eth0 ipproto 6 dport 80 blackhole", ONE)
        .with("--probe tcp://198.51.100.5:80")
        .says(1, "target-silent", "answers echo, and not this port"),
    case("16-503", "wire 0; have p0 192.0.2.1/24; router; answer 80 'HTTP/1.1 503 No\\r\\n\\r\\n'", ONE)
        .with("--probe http://198.51.100.5/v1")
        .says(1, "target-status", "HTTP 503"),
    case("16-strange", "wire 0; have p0 192.0.2.1/24; router; answer 80 'SSH-2.0-x\\r\\n'", ONE)
        .with("--probe http://198.51.100.5/v1")
        .says(1, "target-strange", "SSH-2.0-x"),
    case("17-resolver", "wire 0; have p0 192.0.2.1/24; router", NAMED)
        .says(1, "resolver-dead", "198.51.100.5"),
    case("18-name", "wire 0; have p0 192.0.2.1/24; router; names", NAMED)
        .with("--probe http://wrong.example/")
        .says(1, "name-unknown", "wrong.example"),
    case("19-module", "wire 0; have p0 192.0.2.1/24; rm -f /lib/modules/*/kernel/net/ipv6/ip6_vti.ko*",
        "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}, addresses: [192.0.2.2/24]}},
           tunnels: {t: {mode: vti6, local: '2001:db8::2', remote: '2001:db8::1', keys: {input: 1, output: 1}}}}")
        .says(5, "kernel-lacks", "vti6"),
    case("20-unparsable", "wire 0", "network: {version: 2, ethernets: [")
        .says(3, "syntax", "NOTHING APPLIED"),
    case("21-dhcp", "wire 0; have p0 192.0.2.1/24 192.0.2.254/24
        boot apply --no-verify --handoff none /tmp/$name/text
        ip -n $m route replace default via 192.0.2.254 proto dhcp", ONE)
        .says(1, "changed-by-other", "a DHCP client"),
    case("22-late", "wire 0; have p0 192.0.2.1/24
        (until grep -q 'going on without' /tmp/$name/log; do sleep 0.2; done; wire 1) >/dev/null 2>&1 &", TWO).with("--wait=25")
        .says(1, "nic-late", "eth1 (02:00:00:00:00:01)"),
    case("23-stp", "wire 0; sw link add lan type bridge stp_state 1 forward_delay 1500; sw link set p0 master lan
        sw link set lan up; have lan 192.0.2.1/24", ONE).with("--wait=70")
        .says(0, "stp-delay", "runs STP"),
];

/// Cases that concern the whole machine: no drive, drives with nothing on them.
const SOURCES: &[(&str, &str, i64, &str)] = &[
    ("no drive", "netapply apply --wait=2", 4, "no-source"),
    ("an empty drive", "mkdir -p /tmp/empty; netapply apply /tmp/empty", 4, "no-description"),
    ("no drive of that name", "netapply apply /dev/sr7", 3, "source-unreadable"),
    ("garbage", "head -c 100000 /dev/urandom >/tmp/x.iso; netapply apply /tmp/x.iso", 3, "source-unreadable"),
];

fn guest() -> Guest {
    let guest = Guest::builder().memory(768).netapply().inside();
    let guest = guest.file("/causes/world", include_bytes!("causes/world"), 0o644);
    guest.file("/causes/machine", include_bytes!("causes/machine"), 0o644).boot()
}

/// A case's script, which ends with a file `done`; everything of it has this name.
fn script(case: &Case, name: &str) -> String {
    let run = if case.name == "21-dhcp" { "boot verify --wait=40" } else { APPLY };
    // Working networks finish earlier, and may take longer on a busy machine.
    let patience = if case.cause.is_empty() { "--wait=90" } else { "" };
    format!(
        ". /causes/world\nbegin {}\ncat >/tmp/$name/text <<'TEXT'\n{}\nTEXT\n{}\nbegin=$(date +%s)\n{run} {patience} {} /tmp/$name/text\necho $(($(date +%s) - begin)) >/tmp/$name/done",
        name, case.text, case.world, case.arguments
    )
}

/// The schema that every report must match.
fn check_schema(report: &Value) -> Result<(), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/report.v1.json");
    let mut schemas = boon::Schemas::new();
    let index = boon::Compiler::new().compile(path, &mut schemas).map_err(|wrong| wrong.to_string())?;
    schemas.validate(report, index).map_err(|wrong| format!("{wrong:#}"))
}

/// What is wrong with the report, if anything.
fn judge(case: &Case, report: &Value, console: &str, status: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    expect(
        status.trim() == case.exit.to_string(),
        format!("exit {} instead of {}", status.trim(), case.exit),
    );
    expect(report["exit"] == case.exit, format!("report.json says exit {}", report["exit"]));
    let schema = check_schema(report);
    expect(schema.is_ok(), schema.err().unwrap_or_default());
    let causes = report["causes"].as_array().cloned().unwrap_or_default();
    if case.cause.is_empty() {
        expect(
            causes.is_empty() && report["verdict"] == "works",
            format!("healthy, and it says {causes:#?}"),
        );
    } else {
        expect(causes.first().is_some_and(|c| c["code"] == case.cause), format!("{causes:#?}"));
        let has = |code: &str| causes.iter().any(|c| c["code"] == code);
        let both = has("vlan-not-carried") && has("gateway-elsewhere");
        expect(!both, "one fault has two names".to_owned());
        expect(console.contains(&format!("[{}]", case.cause)), "the console lacks the code".to_owned());
        let joined = console.split_whitespace().collect::<Vec<_>>().join(" ");
        expect(joined.contains(case.word), format!("the console lacks {}", case.word));
    }
    let lines: Vec<&str> = console.lines().filter(|line| !line.is_empty()).collect();
    expect(!lines.is_empty() && lines.len() <= 20, format!("{} lines", lines.len()));
    expect(lines.iter().all(|line| line.len() <= 80 && line.is_ascii()), "80 columns of ASCII".to_owned());
    wrong
}

/// Runs the cases in parallel, to their end; the names of their runs begin with `prefix`.
fn run_all(guest: &mut Guest, cases: &[&Case], prefix: &str) {
    let start = |case: &&Case| {
        let name = format!("{prefix}{}", case.name);
        format!(
            "cat >/causes/{name} <<'CASE'\n{}\nCASE\nsetsid dash /causes/{name} >/causes/{name}.log 2>&1 &\n",
            script(case, &name)
        )
    };
    guest.ok(&cases.iter().map(start).collect::<String>());
    let done: Vec<String> =
        cases.iter().map(|case| format!("[ -e /tmp/{prefix}{}/done ]", case.name)).collect();
    let poll =
        format!("for i in $(seq 20); do if {}; then exit 0; fi; sleep 1; done; exit 1", done.join(" && "));
    let end = std::time::Instant::now() + LIMIT;
    while guest.run(&poll).status != 0 {
        assert!(std::time::Instant::now() < end, "not done: {}", guest.run("tail -n 5 /causes/*.log").stdout);
    }
}

/// report.json, console, exit status, seconds, log, and the script's output.
fn read_all(guest: &mut Guest, name: &str) -> [String; 6] {
    let files =
        format!("/tmp/{name}/run/report.json /tmp/{name}/console /tmp/{name}/status /tmp/{name}/done");
    let script =
        format!("for f in {files} /tmp/{name}/log /causes/{name}.log; do cat $f; printf '\\001'; done");
    let output = guest.run(&script).stdout;
    let mut parts = output.split('\u{1}').map(str::to_owned);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// What is wrong with the outcome of a case; adds its line to the table.
fn outcome(guest: &mut Guest, case: &Case, prefix: &str, table: &mut String) -> Result<(), String> {
    let [report, console, status, seconds, log, script] = read_all(guest, &format!("{prefix}{}", case.name));
    let report: Value = serde_json::from_str(&report).unwrap_or_default();
    let console = console.replace('\r', "");
    let wrong = judge(case, &report, &console, &status);
    let right = if wrong.is_empty() { "ok" } else { "WRONG" };
    println!("--- {}\n{}", case.name, console.trim());
    let sure = report["causes"][0]["certainty"].as_str().unwrap_or_default();
    let (name, cause, seconds) = (case.name, case.cause, seconds.trim());
    *table += &format!("{name:<18} {cause:<22} {sure:<9} {seconds:>3} s  {right}\n");
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n{console}\n{script}{log}", wrong.join("\n")))
}

#[test]
fn every_cause_is_named_and_health_is_not_doubted() {
    let mut guest = guest();
    guest.ok("modprobe bonding max_bonds=0; modprobe 8021q; modprobe veth; modprobe bridge");
    let mut table = String::new();
    let mut wrong = Vec::new();
    let wanted = std::env::var("NETAPPLY_CASES").unwrap_or_default();
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(&wanted)).collect();
    for cases in cases.chunks(SIDE_BY_SIDE) {
        run_all(&mut guest, cases, "");
        for case in cases {
            if let Err(what) = outcome(&mut guest, case, "", &mut table) {
                wrong.push((case.name.to_owned(), what));
            }
        }
    }
    let mut wrong = golden::second_try(wrong, |name| {
        let case = CASES.iter().find(|case| case.name == name).expect("a case");
        run_all(&mut guest, &[case], "again-");
        outcome(&mut guest, case, "again-", &mut table)
    });
    for (name, command, status, cause) in SOURCES {
        let output = guest.run(command);
        let report = guest.json("cat /run/netapply/report.json");
        let right = output.status == *status as i32 && report["causes"][0]["code"] == *cause;
        table += &format!("{name:<18} {cause:<22}         {}\n", if right { "ok" } else { "WRONG" });
        if !right {
            let what = format!("exit {}\n{}{}\n{report:#}", output.status, output.stdout, output.stderr);
            wrong.push(((*name).to_owned(), what));
        }
    }
    println!("{table}");
    let wrong: String = wrong.iter().map(|(name, what)| format!("--- {name}: {what}\n")).collect();
    assert!(wrong.is_empty(), "{wrong}\n{table}");
}

/// A VLAN on DHCP whose server is in the port's own network; and one on a bond, in a VRF, that has a static address as well.
#[test]
#[ignore = "nightly, `tests/all dynamic`: each push runs enough causes"]
fn dhcp_on_vlans() {
    const ELSEWHERE: &str =
        "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}}},
      vlans: {v: {id: 100, link: a, dhcp4: true}}}";
    const IN_A_VRF: &str = "network: {version: 2, ethernets: {a: {match: {macaddress: '02:00:00:00:00:00'}},
      b: {match: {macaddress: '02:00:00:00:00:01'}}}, bonds: {bond0: {interfaces: [a, b],
      parameters: {mode: active-backup, mii-monitor-interval: 100}}},
      vlans: {v: {id: 100, link: bond0, dhcp4: true, addresses: [10.9.0.2/24]}},
      vrfs: {red: {table: 10, interfaces: [v]}}}";
    let cases = [
        case("dhcp-elsewhere", "wire 0; have p0 198.51.100.1/24; lease p0", ELSEWHERE).says(
            1,
            "dhcp-on-other-vlan",
            "198.51.100.1 on eth0 gives out 198.51.100.0/24",
        ),
        case(
            "dhcp-in-a-vrf",
            "wire 0 1; sw link add lan type bridge; sw link set lan up
            for p in p0 p1; do sw link set $p master lan; done
            sw link add lan.100 link lan type vlan id 100; sw link set lan.100 up
            have lan.100 198.51.100.1/24; lease lan.100",
            IN_A_VRF,
        ),
    ];
    let mut guest = guest();
    guest.ok("for m in 8021q veth bridge vrf; do modprobe $m; done; modprobe bonding max_bonds=0");
    let cases: Vec<&Case> = cases.iter().collect();
    run_all(&mut guest, &cases, "");
    let mut table = String::new();
    for case in cases {
        if let Err(wrong) = outcome(&mut guest, case, "", &mut table) {
            panic!("{wrong}");
        }
    }
    guest.ok("in='ip -n m-dhcp-in-a-vrf -4'
        $in address show dev v | grep -q 'inet 198.51.100.50/24 .*dynamic'
        $in address show dev v | grep -q 'inet 10.9.0.2/24'
        $in route show table 10 | grep -q 'default via 198.51.100.1 dev v proto dhcp src 198.51.100.50'
        ! $in route show table main | grep -q default");
}

/// NICs that report different speeds, which a veth cannot do.
#[test]
fn unequal_members_are_named() {
    let fast = [
        "-netdev",
        "hubport,id=fast,hubid=1",
        "-device",
        "virtio-net-pci,netdev=fast,mac=02:00:00:00:00:00,speed=10000,duplex=full,romfile=",
    ];
    let slow = [
        "-netdev",
        "hubport,id=slow,hubid=2",
        "-device",
        "virtio-net-pci,netdev=slow,mac=02:00:00:00:00:01,speed=1000,duplex=full,romfile=",
    ];
    let guest =
        Guest::builder().qemu(&fast).qemu(&slow).nic("02:00:00:00:01:00", 1).nic("02:00:00:00:01:01", 2);
    let mut guest = guest.netapply().file("/causes/text", BACKUP, 0o644).boot();
    guest.ok("ip netns add switch
        ip -n switch link add name lan type bridge
        ip -n switch link set lan up
        for nic in eth2 eth3; do
          ip link set $nic netns switch
          ip -n switch link set $nic master lan
          ip -n switch link set $nic up
        done
        ip -n switch address add 192.0.2.1/24 dev lan");
    let output = guest.exits(0, "netapply apply --handoff none --wait=40 /causes/text");
    assert!(output.stdout.contains("[unequal-speed]"), "{}", output.stdout);
    assert!(output.stdout.contains("eth1  1 Gb/s"), "{}", output.stdout);
}
