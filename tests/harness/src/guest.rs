//! A guest: a throwaway machine with Debian's kernel under QEMU's software emulation, driven from a test.
//!
//! `Guest::builder()…boot()` takes about three seconds; [`Guest::run`] then runs shell scripts in it as root, one after
//! the other, and returns their output. Nothing in a guest persists: each test boots its own. Every wait has a bound,
//! QEMU ends with the test that started it, and a failing test shows the end of the guest's console.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;

/// How long a guest may take to boot. Software emulation on a busy machine is slow; three seconds are usual.
const BOOT_LIMIT: Duration = Duration::from_secs(420);
/// How long one script may run, and how long a condition may take to become true. What usually takes a few seconds can
/// take minutes on a busy machine; only failures wait this long.
const RUN_LIMIT: Duration = Duration::from_secs(300);
const UNTIL_LIMIT: Duration = Duration::from_secs(240);
/// Slots for hot-plugged PCI devices, named `slot0` and so on in [`Guest::monitor`] commands.
const SLOTS: usize = 2;

/// Run by dracut when the real root is mounted and before it is switched to.
const PRE_PIVOT: &str = "/usr/lib/dracut/hooks/pre-pivot/90-files.sh";
/// What initramfs-tools runs at that moment, in order: the same script, and its own that stops udev.
const INIT_BOTTOM: &str = "/scripts/init-bottom/ORDER";

/// Which of Debian's kernels to boot.
#[derive(Clone, Copy, Default)]
pub enum Kernel {
    /// linux-image-cloud-amd64: virtio and network protocols only, and quick.
    #[default]
    Cloud,
    /// linux-image-amd64: 9p, USB, AHCI and real NIC drivers as well.
    Full,
}

/// The configuration of a guest. Methods add to it; [`Builder::boot`] starts it.
#[derive(Default)]
pub struct Builder {
    kernel: Kernel,
    memory_mib: Option<u32>,
    counted: bool,
    words: Vec<String>,
    devices: Vec<String>,
    nics: usize,
    drives: usize,
    files: Vec<(String, Vec<u8>, u32)>,
    links: Vec<(String, String)>,
    root: Option<PathBuf>,
    initramfs: Option<PathBuf>,
    ipxe: Option<(String, String)>,
    is_ramdisk: bool,
}

/// A running guest.
pub struct Guest {
    qemu: Child,
    agent: BufReader<UnixStream>,
    monitor: BufReader<UnixStream>,
    folder: tempfile::TempDir,
    last_script: String,
}

/// A cable between the NICs of two guests.
pub struct Cable {
    _folder: tempfile::TempDir,
    ends: [PathBuf; 2],
}

impl Cable {
    /// A new cable.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the cable");
        let ends = [folder.path().join("a"), folder.path().join("b")];
        Self { _folder: folder, ends }
    }

    /// One end of it, for [`Builder::nic_on_cable`].
    pub fn a(&self) -> (&Path, &Path) {
        (&self.ends[0], &self.ends[1])
    }

    /// The other end.
    pub fn b(&self) -> (&Path, &Path) {
        (&self.ends[1], &self.ends[0])
    }
}

/// The output of a script in the guest, and its exit status.
pub struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A program without its symbols: a guest's memory holds every byte of it, and its emulated processor unpacks them.
pub fn stripped(program: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder for the program");
    let small = folder.path().join("program");
    let status = Command::new("strip").arg("-o").arg(&small).arg(program).status();
    assert!(status.expect("strip runs: run tests/setup").success(), "strip reads {}", program.display());
    std::fs::read(small).expect("the small program")
}

impl Builder {
    /// Boots that kernel instead of the small one.
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// The guest's clock counts executed instructions, a nanosecond each, on one processor: it is independent of the
    /// machine's load, and of QEMU's retranslation of a program each time it is started.
    pub fn counted(mut self) -> Self {
        self.counted = true;
        self
    }

    /// Gives the guest that much memory instead of 768 MiB.
    pub fn memory(mut self, mib: u32) -> Self {
        self.memory_mib = Some(mib);
        self
    }

    /// Adds words to the kernel's command line.
    pub fn words(mut self, words: &str) -> Self {
        self.words.push(words.to_owned());
        self
    }

    /// Adds a virtio NIC with this permanent MAC. NICs on the same wire see each other. It reports a speed and full
    /// duplex: without them the kernel keeps LACP off on it.
    pub fn nic(mut self, mac: &str, wire: u32) -> Self {
        let id = self.nics;
        self.nics += 1;
        self.qemu(&["-netdev", &format!("hubport,id=net{id},hubid={wire}")]).qemu(&[
            "-device",
            &format!("virtio-net-pci,netdev=net{id},mac={mac},speed=10000,duplex=full,romfile="),
        ])
    }

    /// Adds a SCSI CD-ROM drive with this image: `/dev/sr0`, then `/dev/sr1`.
    pub fn cd(self, image: &Path) -> Self {
        self.scsi("scsi-cd", image)
    }

    /// Adds a SCSI disk with this image, read-only: `/dev/sda`, then `/dev/sdb`.
    pub fn disk(self, image: &Path) -> Self {
        self.scsi("scsi-hd", image)
    }

    /// Adds a CD-ROM drive on the chipset's own SATA controller, as a BMC or a hypervisor offers it. Needs
    /// [`Kernel::Full`].
    pub fn sata_cd(mut self, image: &Path) -> Self {
        let id = self.next_drive(image);
        self.qemu(&["-device", &format!("ide-cd,drive={id}")])
    }

    /// Adds a USB stick with this image. Needs [`Kernel::Full`].
    pub fn usb_stick(mut self, image: &Path) -> Self {
        let id = self.next_drive(image);
        self.qemu(&["-device", "qemu-xhci", "-device", &format!("usb-storage,drive={id},removable=on")])
    }

    /// Shares a folder of this machine read-only over 9p under a tag. Needs [`Kernel::Full`].
    pub fn share(self, tag: &str, folder: &Path) -> Self {
        let folder = folder.display();
        self.qemu(&[
            "-virtfs",
            &format!("local,path={folder},mount_tag={tag},security_model=none,readonly=on"),
        ])
    }

    /// Puts a file into the guest before anything runs there. `mode` is as in chmod(1), 0o755 for programs.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push((path.to_owned(), content.into(), mode));
        self
    }

    /// Puts a symbolic link into the guest, as `systemctl enable` makes them.
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links.push((path.to_owned(), target.to_owned()));
        self
    }

    /// Installs the netapply of this build as `/usr/bin/netapply`, or the one named by `NETAPPLY_BINARY`, stripped.
    pub fn netapply(self) -> Self {
        static NETAPPLY: OnceLock<Vec<u8>> = OnceLock::new();
        let program = NETAPPLY.get_or_init(|| stripped(&crate::netapply()));
        self.file("/usr/bin/netapply", program.as_slice(), 0o755)
    }

    /// Installs this test program as `/usr/bin/inside`: it is static, and a guest runs its ignored tests with `inside
    /// --ignored NAME`.
    pub fn inside(self) -> Self {
        static ITSELF: OnceLock<Vec<u8>> = OnceLock::new();
        let program =
            ITSELF.get_or_init(|| stripped(&std::env::current_exe().expect("this program has a path")));
        self.file("/usr/bin/inside", program.as_slice(), 0o755)
    }

    /// Installs a static program of this machine, stripped.
    pub fn program(self, path: &str, program: &Path) -> Self {
        self.file(path, stripped(program), 0o755)
    }

    /// Puts all files and links below a folder of this machine into the guest.
    pub fn tree(mut self, root: &Path) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder for the guest").flatten() {
                let path = entry.path();
                let kind = entry.file_type().expect("a kind of file");
                let below = path.strip_prefix(root).expect("it lies below").display();
                let there = format!("/{below}");
                if kind.is_symlink() {
                    let target = std::fs::read_link(&path).expect("a link");
                    self = self.link(&there, &target.display().to_string());
                } else if kind.is_dir() {
                    folders.push(path);
                } else {
                    let mode = entry.metadata().expect("its mode").permissions().mode() & 0o7777;
                    self = self.file(&there, std::fs::read(&path).expect("a file for the guest"), mode);
                }
            }
        }
        self
    }

    /// Boots systemd from this ext4 image instead of the small root of scripts; the image itself stays unchanged.
    pub fn root(mut self, image: &Path) -> Self {
        self.root = Some(image.to_owned());
        self
    }

    /// Boots from an initramfs made by dracut or initramfs-tools instead of the small one; it finds the root by itself.
    pub fn initramfs(mut self, file: &Path) -> Self {
        self.initramfs = Some(file.to_owned());
        self.at_the_end_of_the_initramfs("")
    }

    /// Runs these lines of shell in that initramfs, just before the switch to the real root.
    pub fn at_the_end_of_the_initramfs(self, script: &str) -> Self {
        // The test's files are copied over the root, as with the small one.
        let script = format!("cp -a /files/. \"${{NEWROOT:-$rootmnt}}\"/\n{script}");
        self.file(PRE_PIVOT, script, 0o755).file(
            INIT_BOTTOM,
            format!("sh {PRE_PIVOT}\n/scripts/init-bottom/udev \"$@\"\n"),
            0o644,
        )
    }

    /// Boots a ramdisk that is a complete system: no other root, nothing to switch to.
    pub fn ramdisk(mut self, file: &Path) -> Self {
        self.initramfs = Some(file.to_owned());
        self.is_ramdisk = true;
        self
    }

    /// Adds a virtio NIC on a cable to another guest; see [`Cable`].
    pub fn nic_on_cable(mut self, mac: &str, end: (&Path, &Path)) -> Self {
        let id = self.nics;
        self.nics += 1;
        let (local, remote) = (end.0.display(), end.1.display());
        let backend = format!(
            "dgram,id=net{id},local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"
        );
        let device = format!("virtio-net-pci,netdev=net{id},mac={mac},speed=10000,duplex=full,romfile=");
        self.qemu(&["-netdev", &backend, "-device", &device])
    }

    /// Like [`nic_on_cable`](Self::nic_on_cable), in this slot of the machine's first PCI bus: Proxmox has its NICs
    /// from 18 on.
    pub fn nic_in_slot(self, slot: u8, mac: &str, end: (&Path, &Path)) -> Self {
        let mut builder = self.nic_on_cable(mac, end);
        let device = builder.devices.last_mut().expect("the NIC is the last device");
        device.push_str(&format!(",bus=pcie.0,addr={slot:#x}"));
        builder
    }

    /// Lets a NIC's own iPXE boot the guest, on a network that QEMU emulates: 10.0.2.0/24, with this machine as 10.0.2.2. It runs
    /// this script, and then loads the kernel.
    pub fn ipxe(mut self, mac: &str, script: &str) -> Self {
        self.ipxe = Some((mac.to_owned(), script.to_owned()));
        self
    }

    /// Adds other QEMU arguments.
    pub fn qemu(mut self, arguments: &[&str]) -> Self {
        self.devices.extend(arguments.iter().map(|each| (*each).to_owned()));
        self
    }

    fn next_drive(&mut self, image: &Path) -> String {
        let id = format!("drive{}", self.drives);
        self.drives += 1;
        let image = image.display();
        self.devices.push("-drive".to_owned());
        self.devices.push(format!("if=none,id={id},format=raw,readonly=on,file={image}"));
        id
    }

    fn scsi(mut self, device: &str, image: &Path) -> Self {
        let id = self.next_drive(image);
        self.qemu(&["-device", &format!("{device},bus=scsi0.0,drive={id}")])
    }

    /// Boots the guest and waits until it accepts scripts.
    pub fn boot(self) -> Guest {
        let image = image(self.kernel);
        let folder = tempfile::tempdir().expect("a folder for the guest");
        let path = |name: &str| folder.path().join(name);
        let initrd = self.initramfs.clone().unwrap_or_else(|| image.join("initrd"));
        self.write_initrd(&initrd, &path("files"), &path("initrd"));
        let agent = listen(&path("agent"));
        let monitor = listen(&path("monitor"));
        let log = std::fs::File::create(path("qemu")).expect("a file for QEMU's messages");
        let qemu = self.command(&image, folder.path()).stderr(log).spawn().expect("setpriv starts QEMU");
        let connect = |listener: &UnixListener| match listener.accept() {
            Ok((stream, _)) => BufReader::new(stream),
            Err(error) => panic!("QEMU did not start: {error}\n{}", tail(&path("qemu"), 20)),
        };
        let monitor = connect(&monitor);
        let agent = connect(&agent);
        let mut guest = Guest { qemu, agent, monitor, folder, last_script: "(boot)".to_owned() };
        guest.monitor_hello();
        limit(guest.agent.get_ref(), BOOT_LIMIT);
        let ready = guest.read_line();
        assert_eq!(ready, "ready", "the guest's agent says so once it takes scripts");
        guest
    }

    /// The common initrd, followed by a second archive with this guest's own files: the kernel unpacks both.
    fn write_initrd(&self, common: &Path, staging: &Path, initrd: &Path) {
        std::fs::create_dir(staging).expect("a folder for the guest's files");
        put(staging, "/agent", include_bytes!("../../vm/guest-agent"), 0o755);
        let files = if self.is_ramdisk { staging.to_owned() } else { staging.join("files") };
        for (path, content, mode) in &self.files {
            let folder = if [PRE_PIVOT, INIT_BOTTOM].contains(&path.as_str()) { staging } else { &files };
            put(folder, path, content, *mode);
        }
        for (path, target) in &self.links {
            let path = files.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().expect("a link has a folder"))
                .expect("a folder for a link");
            std::os::unix::fs::symlink(target, path).expect("a link for the guest");
        }
        std::fs::copy(common, initrd).expect("a copy of the initrd");
        let status = Command::new("sh")
            .args(["-ec", "find . | cpio -o -H newc --quiet -R 0:0 >>\"$0\""])
            .arg(initrd)
            .current_dir(staging)
            .status()
            .expect("sh runs");
        assert!(status.success(), "cpio packs the guest's files");
    }

    fn command(&self, image: &Path, folder: &Path) -> Command {
        let path = |name: &str| folder.join(name).display().to_string();
        // Without no_timer_check a guest that gets too little time on a busy machine can panic early: the kernel counts
        // too few ticks of an emulated timer and takes the IO-APIC for broken. Programs started by the image's units
        // get more than systemd's 90 s, for the same reason. Without norandmaps QEMU retranslates every program each
        // time it starts, which takes three times as long.
        let mut words = "console=hvc0 console=ttyS0 panic=-1 quiet no_timer_check norandmaps".to_owned();
        words += " systemd.default_timeout_start_sec=300 ";
        words += &self.words.join(" ");
        // Ends with the thread that runs the test, however that ends.
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "qemu-system-x86_64",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ]);
        // KVM is not used: on CI machines that offer it, guests hang.
        command.args(["-machine", "q35", "-cpu", "max"]);
        command.args(match self.counted {
            true => ["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off"].as_slice(),
            false => &["-accel", "tcg,thread=multi", "-smp", "2"],
        });
        command.args(["-m", &self.memory_mib.unwrap_or(768).to_string()]);
        command.args(["-serial", &format!("file:{}", path("console0"))]);
        command.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        // A second console needs another driver: of several serial ports the kernel uses one.
        command.args(["-chardev", &format!("file,id=console1,path={}", path("console1"))]);
        command.args(["-device", "virtconsole,chardev=console1"]);
        command.args(["-chardev", &format!("socket,id=agent,path={}", path("agent"))]);
        command.args(["-device", "virtserialport,chardev=agent,name=agent"]);
        command.args(["-qmp", &format!("unix:{}", path("monitor"))]);
        command.args(["-device", "virtio-scsi-pci,id=scsi0"]);
        for slot in 0..SLOTS {
            command.args(["-device", &format!("pcie-root-port,id=slot{slot},chassis={}", slot + 1)]);
        }
        if let Some(root) = &self.root {
            let root = root.display();
            command.args(["-drive", &format!("if=virtio,format=raw,snapshot=on,file={root}")]);
            words.push_str(if self.initramfs.is_some() { " root=/dev/vda rw" } else { " lab.root=/dev/vda" });
        }
        command.args(&self.devices);
        let kernel = image.join("vmlinuz");
        match &self.ipxe {
            None => {
                command.arg("-kernel").arg(kernel).args(["-initrd", &path("initrd"), "-append", &words]);
            }
            Some((mac, script)) => {
                std::fs::copy(kernel, path("vmlinuz")).expect("a kernel for iPXE");
                let files = "kernel tftp://10.0.2.2/vmlinuz initrd=initrd";
                let script =
                    format!("#!ipxe\n{script}\n{files} {words}\ninitrd tftp://10.0.2.2/initrd\nboot\n");
                std::fs::write(path("boot.ipxe"), script).expect("a script for iPXE");
                let backend = format!("user,id=ipxe,bootfile=boot.ipxe,tftp={}", folder.display());
                let device = format!("virtio-net-pci,netdev=ipxe,mac={mac},bootindex=0");
                command.args(["-netdev", &backend, "-device", &device]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Guest {
    /// A guest without NICs and drives, to add to.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs a shell script as root, in /tmp, to its end.
    pub fn run(&mut self, script: &str) -> Output {
        self.last_script = script.to_owned();
        let request = format!("{}\n{script}", script.len());
        self.agent.get_mut().write_all(request.as_bytes()).expect("the guest takes a script");
        limit(self.agent.get_ref(), RUN_LIMIT);
        let line = self.read_line();
        let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [status, stdout, stderr] = numbers[..] else { panic!("the guest's agent answered {line}") };
        let mut read = |length: usize| {
            let mut bytes = vec![0; length];
            self.agent.read_exact(&mut bytes).expect("the guest sends what it promised");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Output {
            status: i32::try_from(status).expect("a small number"),
            stdout: read(stdout),
            stderr: read(stderr),
        }
    }

    /// Runs a script that must succeed; returns its output.
    #[track_caller]
    pub fn ok(&mut self, script: &str) -> String {
        self.exits(0, script).stdout
    }

    /// Runs a script that must exit with this status.
    #[track_caller]
    pub fn exits(&mut self, status: i32, script: &str) -> Output {
        let output = self.run(script);
        assert!(
            output.status == status,
            "status {} instead of {status} from\n{script}\n--- stdout\n{}--- stderr\n{}",
            output.status,
            output.stdout,
            output.stderr
        );
        output
    }

    /// Runs a script that must succeed and print JSON, as `ip -j` does.
    #[track_caller]
    pub fn json(&mut self, script: &str) -> serde_json::Value {
        let text = self.ok(script);
        // ip -j prints nothing at all if there is nothing to list.
        let text = if text.trim().is_empty() { "[]" } else { &text };
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in what {script} printed:\n{text}"))
    }

    /// Waits, inside the guest, until the condition (a shell command) holds.
    #[track_caller]
    pub fn until(&mut self, condition: &str) {
        let end = Instant::now() + UNTIL_LIMIT;
        let some = format!("for i in $(seq 20); do if {condition}; then exit 0; fi; sleep 0.2; done; exit 1");
        while self.run(&some).status != 0 {
            assert!(Instant::now() < end, "never came true: {condition}");
        }
    }

    /// Runs a command of QEMU's human monitor, for instance to plug or unplug a device:
    /// `device_add virtio-net-pci,netdev=net0,mac=…,bus=slot0`. Returns its answer, empty for most.
    #[track_caller]
    pub fn monitor(&mut self, command: &str) -> String {
        let request = serde_json::json!({
            "execute": "human-monitor-command", "arguments": {"command-line": command}});
        self.qmp(&request).as_str().unwrap_or_default().to_owned()
    }

    /// Plugs a SCSI disk (`scsi-hd`) or CD-ROM drive (`scsi-cd`) with this image in, under a name for later.
    #[track_caller]
    pub fn plug_drive(&mut self, device: &str, name: &str, image: &Path) {
        let image = image.display();
        self.monitor(&format!("drive_add 0 if=none,id={name},format=raw,readonly=on,file={image}"));
        let answer = self.monitor(&format!("device_add {device},bus=scsi0.0,drive={name},id={name}"));
        assert!(answer.is_empty(), "QEMU plugs the drive in: {answer}");
    }

    /// Makes the first drive stop answering reads, like a BMC whose virtual medium hangs.
    #[track_caller]
    pub fn stall_drive(&mut self) {
        // QEMU passes a request and then waits until its bytes are paid for: at one byte a second, forever.
        let answer = self.monitor("block_set_io_throttle drive0 1 0 0 0 0 0");
        assert!(answer.is_empty(), "QEMU throttles the drive: {answer}");
        self.ok("dd if=/dev/sr0 of=/dev/null bs=2048 count=1 skip=150 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches");
    }

    /// Plugs a virtio NIC into `slot0` or `slot1`.
    #[track_caller]
    pub fn plug_nic(&mut self, slot: usize, mac: &str, wire: u32) {
        let mut answer = self.monitor(&format!("netdev_add hubport,id=plug{slot},hubid={wire}"));
        answer += &self.monitor(&format!(
            "device_add virtio-net-pci,netdev=plug{slot},mac={mac},speed=10000,duplex=full,romfile=,bus=slot{slot}"
        ));
        assert!(answer.is_empty(), "QEMU plugs the NIC in: {answer}");
    }

    /// Everything written to a console so far: 0 is the serial port ttyS0, 1 is hvc0.
    pub fn console(&self, number: usize) -> String {
        let path = self.folder.path().join(format!("console{number}"));
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).replace('\r', "")
    }

    /// Waits until all these lines are on a console: the last bytes may still be in the emulated port when the program
    /// that wrote them has exited.
    #[track_caller]
    pub fn shows(&self, number: usize, lines: &[&str]) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let console = self.console(number);
            let Some(lacking) = lines.iter().find(|line| !console.contains(**line)) else { return };
            assert!(Instant::now() < end, "console {number} lacks {lacking:?}:\n{console}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until another system, which was started from within the guest, accepts scripts.
    #[track_caller]
    pub fn boots_again(&mut self) {
        limit(self.agent.get_ref(), BOOT_LIMIT);
        assert_eq!(self.read_line(), "ready", "the other system's agent says so once it takes scripts");
    }

    fn monitor_hello(&mut self) {
        limit(self.monitor.get_ref(), RUN_LIMIT);
        let mut greeting = String::new();
        self.monitor.read_line(&mut greeting).expect("QEMU's monitor greets");
        self.qmp(&serde_json::json!({"execute": "qmp_capabilities"}));
    }

    fn qmp(&mut self, request: &serde_json::Value) -> serde_json::Value {
        writeln!(self.monitor.get_mut(), "{request}").expect("QEMU's monitor takes a command");
        loop {
            let mut line = String::new();
            self.monitor.read_line(&mut line).expect("QEMU's monitor answers");
            let answer: serde_json::Value = serde_json::from_str(&line).expect("QEMU's monitor speaks JSON");
            // Lines with "event" are interspersed.
            match (answer.get("return"), answer.get("error")) {
                (Some(value), _) => return value.clone(),
                (_, Some(error)) => panic!("QEMU refused {request}: {error}"),
                _ => {}
            }
        }
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        match self.agent.read_line(&mut line) {
            Ok(0) => panic!("the guest is gone, during: {}", self.last_script),
            Ok(_) => line.trim_end().to_owned(),
            Err(error) => panic!("the guest does not answer ({error}), during: {}", self.last_script),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let console = tail(&self.folder.path().join("console0"), 40);
            eprintln!("--- last script\n{}\n--- end of the guest's console\n{console}---", self.last_script);
        }
        // It may be gone already, which is the goal.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The folder with vmlinuz and initrd, built by the script next to this file if missing.
pub fn image(kernel: Kernel) -> PathBuf {
    let flavour = match kernel {
        Kernel::Cloud => "cloud",
        Kernel::Full => "amd64",
    };
    let script = crate::root().join("tests/vm/image");
    let output = Command::new(script).arg(flavour).output().expect("tests/vm/image runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tests/vm/image {flavour} failed:\n{messages}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Writes a file under a folder, creating parent folders.
fn put(folder: &Path, path: &str, content: &[u8], mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(path.trim_start_matches('/'));
    std::fs::create_dir_all(path.parent().expect("a file has a folder"))
        .expect("a folder for a guest's file");
    std::fs::write(&path, content).expect("a guest's file is written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
        .expect("a guest's file has its mode");
}

fn listen(path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).expect("a socket for QEMU");
    // Bounds accept(2) too: QEMU connects as soon as it starts, or never.
    setsockopt(&listener, ReceiveTimeout, &TimeVal::new(60, 0)).expect("a bound on the socket");
    listener
}

fn limit(stream: &UnixStream, limit: Duration) {
    stream.set_read_timeout(Some(limit)).expect("a bound on the socket");
}

fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
