//! `netapply rehearse` as an ordinary user: the resulting state is that of `apply`, and this machine is unchanged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::cases::name;
use harness::faults;
use harness::namespace::{in_namespace, ip_json, private_folder};
use harness::rehearsal::{needs_hardware, same_as_applied};
use harness::transition::cases_of;
use nix::mount::{MsFlags, mount};
use nix::unistd::geteuid;

/// The user and group `nobody` of every distribution.
const NOBODY: u32 = 65534;

/// The kinds of links that every kernel of these tests supports. The others are tried in a guest.
const KINDS: &[&str] = &["bridge", "veth", "vxlan", "macvlan"];
/// What a kernel may have been built without, and what a veth cannot do.
const LACKING: &[&str] = &[" vlan_"];

/// `netapply rehearse` by an ordinary user.
fn rehearse(arguments: &[&str]) -> Command {
    let mut command = Command::new(harness::netapply());
    command.arg("rehearse").args(arguments).env_remove("TERM");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A description that an ordinary user may read.
fn description(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let path = folder.path().join("net.yaml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

const HEALTHY: &str = "network:
  version: 2
  ethernets:
    a:
      match: {macaddress: '52:54:00:00:00:01'}
      addresses: [192.0.2.2/24, '2001:db8::2/64']
      routes: [{to: default, via: 192.0.2.1}, {to: '::/0', via: '2001:db8::1'}]
      nameservers: {addresses: [198.51.100.53, '2001:db8:5::53']}
    b: {match: {name: 'en*'}}
  bridges:
    br0: {interfaces: [b], parameters: {stp: false}, addresses: [10.0.0.2/24], routes: [{to: 10.1.0.0/16, via: 10.0.0.1}]}
";

#[test]
fn everything_a_description_needs_answers_in_a_rehearsal() {
    let (_folder, path) = description(HEALTHY);
    let probes =
        ["http://api.example/", "https://203.0.113.5", "tcp://[2001:db8:7::1]:22", "ping://10.0.0.7"];
    let probes: Vec<&str> = probes.iter().flat_map(|probe| ["--probe", probe]).collect();
    let arguments = [&probes[..], &[path.to_str().unwrap(), "--", "ip", "-o", "-4", "address"]].concat();
    let output = rehearse(&arguments).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("netapply: OK - "), "{text}");
    for line in
        ["gateway 192.0.2.1  answers", "name server 2001:db8:5::53  answers", "api.example/  HTTP 200"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.contains("not done in a rehearsal: write /etc/resolv.conf"), "{text}");
    // The command sees the rehearsed machine.
    assert!(text.contains("br0    inet 10.0.0.2/24") && text.contains("a    inet 192.0.2.2/24"), "{text}");
}

#[test]
fn every_case_gives_the_same_state_in_a_rehearsal() {
    let words = std::env::var("NETAPPLY_CASES").unwrap_or_default();
    let mut cases = cases_of(KINDS, LACKING);
    cases.retain(|case| !needs_hardware(case));
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| name(case).contains(&words)) {
        if let Err(what) = same_as_applied(case, &harness::netapply(), rehearse(&[])) {
            eprintln!("=== {}\n{what}", name(case));
            wrong.push(name(case));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases: {wrong:#?}", wrong.len(), cases.len());
}

/// Files, each with its modification time, length and mode.
type Files = BTreeMap<PathBuf, (i64, i64, u64, u32)>;

/// Every file below a folder with the properties that a change affects.
fn files(folder: &Path, found: &mut Files) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let of = (metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.mode());
        if metadata.is_dir() {
            files(&path, found);
        }
        found.insert(path, of);
    }
}

/// What a rehearsal could change of the machine that it runs on.
fn machine() -> (Files, Vec<String>) {
    let mut found = BTreeMap::new();
    ["/etc", "/run", "/var/log"].iter().for_each(|folder| files(Path::new(folder), &mut found));
    let questions = ["link", "address", "route show table all", "rule"];
    let mut state: Vec<String> = questions.iter().map(|question| ip_json(question).to_string()).collect();
    for file in ["/proc/modules", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/conf/all/arp_ignore"] {
        state.push(fs::read_to_string(file).unwrap_or_default());
    }
    (found, state)
}

/// Rehearsed by an ordinary user and by root, who may write everywhere here.
#[test]
fn this_machine_is_unchanged_afterwards() {
    in_namespace(async || {
        for folder in ["/etc", "/run", "/var/log"] {
            private_folder(folder);
            fs::write(Path::new(folder).join("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let path = Path::new("/run/net.yaml");
        fs::write(path, HEALTHY).unwrap();
        let before = machine();
        let mut as_root = Command::new(harness::netapply());
        as_root.arg("rehearse");
        for mut command in [rehearse(&[]), as_root] {
            let output = command.args(["--no-verify", "/run/net.yaml"]).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output));
            assert_eq!(machine(), before, "{}", text(&output));
        }
        as_seen_by_strace(path);
    });
}

/// Calls that change a file, as strace(1) groups them.
const WRITES: &str = "trace=open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,symlink,\
                      symlinkat,link,linkat,truncate,chmod,fchmodat,chown,lchown,fchownat,utimensat,mknod,mknodat,mount";

/// If strace(1) is installed: nothing is written except to /proc until /etc, /run and /var/log are private, and then
/// only there.
fn as_seen_by_strace(description: &Path) {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", WRITES]).arg(harness::netapply()).args(["rehearse", "--no-verify"]);
    let output = match command.arg(description).stdout(Stdio::null()).output() {
        Ok(output) => output,
        // The state of the machine was compared.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => panic!("strace: {error}"),
    };
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let mut private: Vec<String> = vec!["/proc/".to_owned(), "/dev/".to_owned()];
    let mut writes = 0;
    for line in log.lines().filter(|line| line.contains('(') && !line.contains(" = -1 ")) {
        let paths: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        let reads = line.contains("open") && line.contains("O_RDONLY") && !line.contains("O_CREAT");
        if line.contains("mount(\"tmpfs\"") {
            private.push(format!("{}/", paths[1].trim_end_matches('/')));
        } else if !reads && !line.contains("mount(") && !line.contains("O_PATH") {
            writes += 1;
            let elsewhere = paths.iter().filter(|path| !private.iter().any(|own| path.starts_with(own)));
            assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<&&str>::new(), "{line}");
        }
    }
    assert!(writes > 3, "strace has seen {writes} writes: {log}");
}

#[test]
fn forbidden_namespaces_are_reported_with_the_remedy() {
    let (_folder, path) = description(HEALTHY);
    let program = harness::netapply();
    // A user namespace has its own limits for those below it.
    let script = format!(
        "echo 0 >/proc/sys/user/max_user_namespaces && exec {} rehearse {}",
        program.display(),
        path.display()
    );
    let output = Command::new("unshare").args(["-r", "sh", "-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(text(&output).contains("sysctl -w user.max_user_namespaces=10000"), "{}", text(&output));
}

/// AppArmor as on Ubuntu: the user namespace is created, and operations that need a capability in it are refused.
#[test]
fn removed_capabilities_are_reported_with_the_remedy() {
    in_namespace(async || {
        let output = without_capabilities(rehearse(&["/dev/null"])).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{}", text(&output));
        assert!(text(&output).contains("a security module takes them away"), "{}", text(&output));
        mount(Some("tmpfs"), "/proc/sys/kernel", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n").unwrap();
        let output = without_capabilities(rehearse(&["/dev/null"])).output().unwrap();
        let remedy = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
        assert!(text(&output).contains(remedy), "{}", text(&output));
    });
}

/// Refuses a network namespace with EPERM (seccomp(2)).
fn without_capabilities(mut command: Command) -> Command {
    let filter = || {
        let op = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
        let (load, equal, has, end) = (
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
            libc::BPF_RET | libc::BPF_K,
        );
        // struct seccomp_data: the call's number, and at 16 the low half of its first argument.
        let mut program = [
            op(load, 0, 0, 0),
            op(equal, libc::SYS_unshare as u32, 0, 3),
            op(load, 16, 0, 0),
            op(has, libc::CLONE_NEWNET as u32, 0, 1),
            op(end, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
            op(end, libc::SECCOMP_RET_ALLOW, 0, 0),
        ];
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: prctl(2) reads the program, which lives until both calls have returned.
        let set = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec only two system calls are made, and no memory is allocated.
    unsafe { command.pre_exec(filter) };
    command
}

/// Those of docs/rehearse.md that need no bond and no VLAN; the others are tried in a guest.
#[test]
fn the_documented_faults_of_a_switch_are_found() {
    let document = fs::read_to_string(harness::root().join("docs/rehearse.md")).unwrap();
    let mut all = faults::documented(&document);
    all.retain(|documented| !documented.needs_guest());
    assert!(all.len() > 5, "{} switches", all.len());
    let wrong = faults::rehearse(all, || rehearse(&[]));
    assert!(wrong.is_empty(), "{wrong}");
}

/// A mistake in the switch ends it before anything is made; a NIC that it has no port for is named.
#[test]
fn mistakes_in_a_switch_are_reported_with_their_place() {
    let (folder, path) = description("network: {version: 2, ethernets: {a: {addresses: [192.0.2.2/24]}}}\n");
    let switch = folder.path().join("switch.yaml");
    fs::write(&switch, "ports:\n  a: {untaged: 10}\n  z: {}\nlags: {po1: {mode: lcap}}\n").unwrap();
    let run = || {
        let mut command = rehearse(&["--no-verify", "--switch", "switch.yaml"]);
        text(&command.arg(&path).current_dir(folder.path()).output().unwrap())
    };
    let all = run();
    assert!(all.contains("switch.yaml:2:7: ") && all.contains("did you mean \"untagged\"?"), "{all}");
    assert!(all.contains("switch.yaml:4:20: error: mode \"lcap\"") && !all.contains("192.0.2.2/24"), "{all}");
    fs::write(&switch, "ports:\n  z: {}\n").unwrap();
    let all = run();
    assert!(all.contains("switch.yaml:2:3: warning: no NIC is named \"z\""), "{all}");
    assert!(all.contains("no port of the switch is for a"), "{all}");
}

/// A missing kernel feature is reported once, and the rest is done.
#[test]
fn a_kernel_without_bonds_rehearses_the_rest() {
    let (_folder, path) = description(
        "network:\n  version: 2\n  ethernets:\n    a: {addresses: [192.0.2.2/24]}\n    b: {}\n    c: {}\n  bonds:\n    bond0: {interfaces: [b, c], addresses: [10.0.0.2/24]}\n",
    );
    let output = rehearse(&["--no-verify", path.to_str().unwrap()]).output().unwrap();
    let text = text(&output);
    if Path::new("/sys/module/bonding").exists() || output.status.success() {
        return assert_eq!(output.status.code(), Some(0), "{text}");
    }
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert_eq!(text.matches("[kernel-lacks]").count(), 1, "{text}");
    // Its members are down because there is no bond to bring them up.
    assert!(!text.contains("link-taken-down"), "{text}");
    assert!(text.contains("192.0.2.2/24"), "{text}");
}
