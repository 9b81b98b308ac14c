//! A whole system in a container: systemd, D-Bus and the network tools of a Debian root, booted by systemd-nspawn in
//! namespaces of its own, with netapply installed as by a package. Two cables lead to a neighbour, which leases
//! addresses and resolves names. It boots in two seconds; tests that need udev or their own kernel are in tests/boot.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::dns;

/// The neighbour's name server.
pub(crate) const NAME_SERVER: &str = "192.0.2.53";
/// The limit of any wait in a script.
const BOUND: Duration = Duration::from_secs(60);

/// A booted container.
pub(crate) struct Machine {
    name: String,
    folder: PathBuf,
    nspawn: Option<Child>,
    leader: u32,
    servers: Vec<Child>,
}

impl Machine {
    /// Creates a machine from this tree (a name that tests/tools/tree knows); `prepare` is a script that runs in its
    /// file tree before it boots.
    pub(crate) fn boot(tree_name: &str, prepare: &str) -> Machine {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("na{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("netapply-tools-{name}"));
        fs::create_dir_all(&folder).unwrap();
        let tree = folder.join("root");
        let mut machine = Machine { name, folder, nspawn: None, leader: 0, servers: Vec::new() };
        machine.host(&format!(
            "mount -t tmpfs tmpfs {folder}
            mkdir {folder}/up {folder}/work {folder}/root
            mount -t overlay overlay -o lowerdir={lower},upperdir={folder}/up,workdir={folder}/work {folder}/root
            cd {folder}/root
            ln -sf /dev/null etc/systemd/system/agent.service
            ln -sf /dev/null etc/systemd/system/console-getty.service
            rm -f etc/systemd/system/*.wants/cloud-*",
            folder = machine.folder.display(),
            lower = lower(tree_name)
        ));
        let (binary, install) = (env!("CARGO_BIN_EXE_netapply"), Path::new(env!("CARGO_MANIFEST_DIR")));
        machine.host(&format!(
            "strip -o {folder}/netapply {binary}
            {install}/systemd/install {folder}/netapply {tree}
            rm {folder}/netapply {tree}/etc/systemd/system/*.wants/netapply*",
            folder = machine.folder.display(),
            install = install.display(),
            tree = tree.display()
        ));
        machine.host(&format!("cd {}\n{prepare}", tree.display()));
        machine.cables();
        machine.start();
        machine
    }

    /// Two cables to the neighbour: wire N is 192.0.(N+2).0/24, the neighbour is .1 and leases .100 to .110.
    fn cables(&mut self) {
        let name = &self.name;
        self.host(&format!(
            "ip netns add {name}; ip netns add {name}p; ip -n {name}p link set lo up
            ip -n {name}p address add {NAME_SERVER}/32 dev lo"
        ));
        for wire in 0..2 {
            let net = format!("192.0.{}", wire + 2);
            self.host(&format!(
                "ip -n {name} link add eth{wire} address 02:00:00:00:00:0{wire} type veth peer p{wire} netns {name}p
                ip -n {name}p link set p{wire} up; ip -n {name}p address add {net}.1/24 dev p{wire}
                cat >{folder}/udhcpd{wire} <<END
interface p{wire}
start {net}.100
end {net}.110
option subnet 255.255.255.0
option router {net}.1
option dns {net}.1
lease_file {folder}/leases{wire}
pidfile {folder}/pid{wire}
END
                touch {folder}/leases{wire}",
                folder = self.folder.display()
            ));
            let udhcpd = Command::new("ip")
                .args(["netns", "exec", &format!("{name}p"), "busybox", "udhcpd", "-f"])
                .arg(self.folder.join(format!("udhcpd{wire}")))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            self.servers.push(udhcpd.unwrap());
        }
        // A socket belongs to the namespace of the thread that created it.
        let peer = format!("/run/netns/{name}p");
        std::thread::spawn(move || {
            let namespace = fs::File::open(peer).unwrap();
            nix::sched::setns(namespace.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            dns::serve(&UdpSocket::bind((NAME_SERVER, 53)).unwrap(), [192, 0, 2, 1].into());
        });
    }

    fn start(&mut self) {
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
            .args(["--register=no", "--keep-unit", "--quiet", "--boot", "--capability=all"])
            .args(["--resolv-conf=off", "--timezone=off"])
            .arg(format!("--network-namespace-path=/run/netns/{}", self.name))
            .arg(format!("--directory={}", self.folder.join("root").display()))
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.folder.join("console")).unwrap())
            .stderr(Stdio::null());
        let child = nspawn.spawn().expect("systemd-nspawn runs: run tests/setup");
        let (pid, begin) = (child.id(), Instant::now());
        self.nspawn = Some(child);
        while begin.elapsed() < BOUND {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            if let Some(leader) = children.split_whitespace().next() {
                self.leader = leader.parse().unwrap();
                // A system with a failed unit is degraded: logind, in an image without D-Bus.
                let state = self.run("systemctl is-system-running --wait").1;
                if ["running", "degraded"].iter().any(|booted| state.contains(booted)) {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let console = fs::read_to_string(self.folder.join("console")).unwrap_or_default();
        panic!("the container did not boot within {} s:\n{console}", BOUND.as_secs());
    }

    /// Its file tree, as seen from outside.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Runs a script in it; status and output.
    pub(crate) fn run(&self, script: &str) -> (i32, String) {
        let leader = self.leader.to_string();
        let output = Command::new("nsenter")
            .args(["--target", &leader, "--all", "timeout", "60", "bash", "-c"])
            // nsenter's own --wd is opened before it enters the container.
            .arg(format!("exec 2>&1; cd /root; {script}"))
            .output()
            .expect("nsenter runs");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a script that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, script: &str) -> String {
        let (status, output) = self.run(script);
        assert_eq!(status, 0, "{script}\n{output}");
        output
    }

    /// Runs a script until it succeeds.
    #[track_caller]
    pub(crate) fn until(&self, script: &str) {
        self.ok(&format!(
            "for i in $(seq 300); do {{ {script}; }} >/dev/null && exit 0; sleep 0.1; done; {script}"
        ));
    }

    /// The IPv4 addresses of a link, in the kernel's order.
    pub(crate) fn addresses(&self, link: &str) -> Vec<String> {
        let json: serde_json::Value =
            serde_json::from_str(&self.ok(&format!("ip -j -4 address show {link}"))).unwrap();
        let infos = json[0]["addr_info"].as_array().cloned().unwrap_or_default();
        infos.iter().map(|info| info["local"].as_str().unwrap().to_owned()).collect()
    }

    /// Replaces the servers by dnsmasq on the first cable, which leases IPv6 addresses, too, and has a log.
    pub(crate) fn serve_both_families(&mut self) -> PathBuf {
        for mut server in self.servers.drain(..) {
            let _ = server.kill().and_then(|()| server.wait());
        }
        let (peer, folder) = (format!("{}p", self.name), self.folder.clone());
        self.host(&format!("ip -n {peer} address add 2001:db8::1/64 dev p0 nodad"));
        let log = folder.join("dnsmasq.log");
        let mut dnsmasq = Command::new("ip");
        dnsmasq.args([
            "netns",
            "exec",
            &peer,
            "dnsmasq",
            "-k",
            "-p",
            "0",
            "-i",
            "p0",
            "-u",
            "root",
            "--no-ping",
        ]);
        dnsmasq.args([
            "--dhcp-range=192.0.2.100,192.0.2.110,300",
            "--dhcp-range=2001:db8::50,2001:db8::60,64,300",
        ]);
        dnsmasq.args(["--enable-ra", "--log-dhcp", "--conf-file=/dev/null"]);
        for (name, file) in
            [("dhcp-leasefile", "leases6"), ("pid-file", "dnsmasq.pid"), ("log-facility", "dnsmasq.log")]
        {
            dnsmasq.arg(format!("--{name}={}", folder.join(file).display()));
        }
        self.servers.push(dnsmasq.spawn().expect("dnsmasq runs: run tests/setup"));
        log
    }

    /// Applies a description and returns the exit status and all output.
    pub(crate) fn apply(&self, description: &str) -> (i32, String) {
        fs::write(self.folder.join("root/root/net.yaml"), description).unwrap();
        self.run("netapply apply --no-verify /root/net.yaml")
    }

    #[track_caller]
    fn host(&self, script: &str) {
        let output = Command::new("bash").args(["-ec", script]).output().unwrap();
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{messages}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for mut server in self.servers.drain(..) {
            let _ = server.kill().and_then(|()| server.wait());
        }
        if let Some(mut nspawn) = self.nspawn.take() {
            if self.leader > 0 {
                let _ = Command::new("kill").args(["-KILL", &self.leader.to_string()]).status();
            }
            let _ = nspawn.wait();
        }
        let (name, folder) = (&self.name, self.folder.display());
        let script = format!(
            "ip netns del {name}; ip netns del {name}p; umount {folder}/root; umount {folder}; rmdir {folder}"
        );
        let _ = Command::new("bash").args(["-c", &script]).stderr(Stdio::null()).status();
    }
}

/// The folders of the overlayfs.
pub(crate) fn lower(tree: &str) -> String {
    let made =
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/tree")).arg(tree).output();
    let made = made.expect("tests/tools/tree runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8_lossy(&made.stdout).trim().to_owned()
}
