//! Drives as their producers make them, read back: ISO images of genisoimage and xorriso in every combination of name
//! extensions, VFAT images, directories, pipes, and file system images that cannot be read without a mount. Needs
//! genisoimage, xorriso, dosfstools, mtools and e2fsprogs; a missing one fails the test and is named.

use netapply::machine::Machine;
use netapply::source::{Cmdline, Found, Layout, NotFound, NotFoundKind, OriginKind, SearchOptions, find};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NETWORK_DATA: &str = "{\"links\": [], \"networks\": [], \"services\": []}\n";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).env("MTOOLS_SKIP_CHECK", "1").output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed by this test: {e}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {words}", arguments.join(" "));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A temporary directory with files in it.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        let directory = Files(tempfile::tempdir().unwrap());
        fs::create_dir(directory.path("tree")).unwrap();
        for (path, content) in files {
            directory.write(&format!("tree/{path}"), content.as_bytes());
        }
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// An ISO image of the tree.
    fn image(&self, tool: &[&str], options: &[&str]) -> PathBuf {
        let image = self.path("drive.img");
        let (tree, out) = (self.path("tree"), text(&image));
        let all = [&tool[1..], options, &["-o", out, text(&tree)]].concat();
        run(tool[0], &all);
        image
    }

    /// A machine that has nothing but the content of this directory.
    fn machine(&self) -> Machine {
        Machine::below(self.0.path())
    }
}

fn search(request: &SearchOptions) -> Result<Found, NotFound> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(find(request, &mut |_| {}))
}

fn read(source: &Path) -> Result<Found, NotFound> {
    search(&SearchOptions { source: Some(text(source).to_owned()), ..SearchOptions::default() })
}

const GENISOIMAGE: &[&str] = &["genisoimage", "-quiet"];
const XORRISO: &[&str] = &["xorriso", "-as", "mkisofs", "-quiet"];

#[test]
fn every_kind_of_names_that_an_iso_can_have() {
    for tool in [GENISOIMAGE, XORRISO] {
        for options in [
            &["-r"][..],
            &["-J", "-l"],
            &["-r", "-J"],
            &["-iso-level", "3", "-J", "-R"],
            &["-iso-level", "3"],
            &[],
            // Bridges: another file system next to ISO 9660.
            if tool[0] == "genisoimage" { &["-r", "-udf"] } else { &["-r", "-hfsplus"] },
            if tool[0] == "genisoimage" { &["-udf"] } else { &["-hfsplus"] },
            if tool[0] == "genisoimage" { &["-hfs", "-J"] } else { &["-hfsplus", "-J"] },
        ] {
            let files = Files::new(&[("openstack/latest/network_data.json", NETWORK_DATA)]);
            let image = files.image(tool, &[options, &["-V", "config-2", "-publisher", "A-1"]].concat());
            let found = read(&image).unwrap_or_else(|e| panic!("{} {options:?}: {}", tool[0], e.message));
            assert_eq!(found.documents.len(), 1);
            assert_eq!(found.documents[0].name, "openstack/latest/network_data.json");
            assert_eq!(found.documents[0].text, NETWORK_DATA);
            assert_eq!(found.origin.kind, OriginKind::IsoImage);
            // xorriso writes labels in uppercase unless an option allows more.
            let label = found.origin.label.unwrap_or_default();
            assert!(label.eq_ignore_ascii_case("config-2"), "{label}");
            assert!(found.origin.created.is_some());
        }
    }
}

#[test]
fn nocloud_names_in_every_kind_too() {
    for options in [&["-r"][..], &["-J"], &["-iso-level", "3"], &[]] {
        let files = Files::new(&[
            ("network-config", "version: 2\n"),
            ("meta-data", "instance-id: i-7\nlocal-hostname: web1\n"),
            ("user-data", "#cloud-config\n"),
        ]);
        let found = read(&files.image(GENISOIMAGE, &[options, &["-V", "cidata"]].concat())).unwrap();
        assert_eq!(found.layout, Layout::NoCloud, "{options:?}");
        assert_eq!(found.documents[0].text, "version: 2\n");
        assert_eq!(found.origin.instance_id.as_deref(), Some("i-7"));
        assert_eq!(found.metadata.hostname.as_deref(), Some("web1"));
    }
}

#[test]
fn long_names_and_full_directories() {
    // Names too long for one entry continue in a continuation area; the directory takes several sectors.
    let long = "n".repeat(240);
    let others: Vec<String> = (0..300).map(|n| format!("openstack/latest/{n:04}-{long}")).collect();
    let mut all: Vec<(&str, &str)> = others.iter().map(|path| (path.as_str(), "x")).collect();
    all.push(("openstack/latest/network_data.json", NETWORK_DATA));
    // Not xorriso: Debian 12's 1.5.4 itself fails on such a tree.
    let files = Files::new(&all);
    assert_eq!(read(&files.image(GENISOIMAGE, &["-r"])).unwrap().documents[0].text, NETWORK_DATA);
}

#[test]
fn links_on_an_iso() {
    let files = Files::new(&[("openstack/2018-08-27/network_data.json", NETWORK_DATA)]);
    symlink("2018-08-27", files.path("tree/openstack/latest")).unwrap();
    let found = read(&files.image(GENISOIMAGE, &["-r"])).unwrap();
    assert_eq!(found.documents[0].name, "openstack/latest/network_data.json");

    let files = Files::new(&[]);
    symlink("/etc/hostname", files.path("tree/network-config")).unwrap();
    let problem = read(&files.image(GENISOIMAGE, &["-r"])).unwrap_err();
    assert_eq!(
        problem.message,
        "network-config is a link that leads out of the drive or directory, and is not followed."
    );
}

#[test]
fn what_proxmox_writes_as_a_config_drive() {
    let files = Files::new(&[
        ("openstack/latest/user_data", "#cloud-config\nhostname: vm1\n"),
        (
            "openstack/latest/meta_data.json",
            "{\"uuid\": \"0a1b2c\", \"network_config\": {\"content_path\": \"/content/0000\"}}",
        ),
        ("openstack/latest/vendor_data.json", ""),
        ("openstack/content/0000", "auto eth0\niface eth0 inet dhcp\n"),
    ]);
    let image = files.image(GENISOIMAGE, &["-iso-level", "3", "-J", "-R", "-V", "config-2"]);
    let found = read(&image).unwrap();
    assert_eq!(found.documents[0].name, "openstack/content/0000");
    assert_eq!(found.origin.instance_id.as_deref(), Some("0a1b2c"));
    assert_eq!(found.metadata.hostname.as_deref(), Some("vm1"));
}

#[test]
fn an_iso_without_a_description_and_one_cut_short() {
    let files = Files::new(&[("README", "x")]);
    let problem = read(&files.image(GENISOIMAGE, &["-r", "-V", "config-2"])).unwrap_err();
    assert_eq!(problem.kind, NotFoundKind::NoDescription);
    assert!(!problem.kind.is_unreadable());

    let files = Files::new(&[("network-config", &"# much text\n".repeat(10_000))]);
    let image = files.image(GENISOIMAGE, &["-r", "-V", "cidata"]);
    fs::File::options().write(true).open(&image).unwrap().set_len(100_000).unwrap();
    let problem = read(&image).unwrap_err();
    assert_eq!(problem.kind, NotFoundKind::Unreadable);
    assert_eq!(
        problem.message,
        "network-config cannot be read: the drive is damaged or cut short (the file ends early)."
    );
}

#[test]
fn an_image_truncated_anywhere_is_handled() {
    let files = Files::new(&[("openstack/latest/network_data.json", NETWORK_DATA)]);
    for options in [&["-r"][..], &["-J"]] {
        let whole = fs::read(files.image(GENISOIMAGE, options)).unwrap();
        let cut = files.path("cut.img");
        for length in (0..whole.len().min(200_000)).step_by(1999) {
            fs::write(&cut, &whole[..length]).unwrap();
            let _ = read(&cut);
        }
    }
}

/// A VFAT image of the tree.
fn vfat(files: &Files, bits: &str, size: &str, label: &str) -> PathBuf {
    let image = files.path("fat.img");
    let _ = fs::remove_file(&image);
    run("mkfs.vfat", &["-F", bits, "-n", label, "-C", text(&image), size]);
    for entry in fs::read_dir(files.path("tree")).unwrap() {
        run("mcopy", &["-s", "-i", text(&image), text(&entry.unwrap().path()), "::"]);
    }
    image
}

#[test]
fn vfat_images_are_read_without_a_mount() {
    // Larger than a cluster, and in several of them after other files.
    let large = format!("version: 2\n{}", "# a comment\n".repeat(20_000));
    let hosts: Vec<String> = (0..200).map(|n| format!("hosts/a rather long name of host {n}")).collect();
    for (bits, size) in [("12", "2880"), ("16", "32768"), ("32", "65536")] {
        let mut all = vec![
            ("network-config", large.as_str()),
            ("meta-data", "instance-id: i-7\n"),
            ("USER-DATA", "#cloud-config\nhostname: vm1\n"),
        ];
        all.extend(hosts.iter().map(|host| (host.as_str(), "x")));
        let files = Files::new(&all);
        let found = read(&vfat(&files, bits, size, "CIDATA")).unwrap_or_else(|e| panic!("FAT{bits}: {e}"));
        assert_eq!((found.layout, found.origin.kind), (Layout::NoCloud, OriginKind::FatImage));
        assert!(found.documents[0].text == large, "FAT{bits}");
        assert_eq!(found.metadata.instance_id.as_deref(), Some("i-7"));
        assert_eq!(found.metadata.hostname.as_deref(), Some("vm1"));
        let files = Files::new(&[("openstack/2018-08-27/network_data.json", NETWORK_DATA)]);
        let found = read(&vfat(&files, bits, size, "config-2")).unwrap();
        assert_eq!(found.documents[0].name, "openstack/2018-08-27/network_data.json");
        assert_eq!(found.documents[0].text, NETWORK_DATA);
    }
}

#[test]
fn a_vfat_image_damaged_anywhere_is_handled() {
    let files = Files::new(&[
        ("network-config", "version: 2\n"),
        ("openstack/latest/network_data.json", NETWORK_DATA),
    ]);
    let whole = fs::read(vfat(&files, "12", "160", "CIDATA")).unwrap();
    let damaged = files.path("damaged.img");
    for (n, at) in (0..16 * 1024).step_by(97).enumerate() {
        let mut bytes = whole.clone();
        let end = (at + 1 + n % 7).min(bytes.len());
        bytes[at..end].fill([0xff, 0x00, 0x41][n % 3]);
        fs::write(&damaged, &bytes).unwrap();
        let _ = read(&damaged);
        fs::write(&damaged, &whole[..at]).unwrap();
        let _ = read(&damaged);
    }
}

#[test]
fn images_that_only_a_mount_could_read_say_so() {
    let files = Files::new(&[("network-config", "version: 2\n")]);
    let image = files.path("ext.img");
    run("mkfs.ext4", &["-q", "-L", "config-2", text(&image), "4M"]);
    let message = |image: &Path| read(image).unwrap_err().message;
    assert!(message(&image).contains("is the image of a drive with ext4"), "{}", message(&image));
    let image = files.image(GENISOIMAGE, &["-udf", "-V", "config-2"]);
    pure_udf(&image);
    assert!(message(&image).contains("is the image of a drive with UDF"), "{}", message(&image));
    let image = files.path("disk.img");
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&image, disk).unwrap();
    assert!(message(&image).ends_with("is the image of a disk with partitions."), "{}", message(&image));
}

/// Removes the ISO 9660 part of a bridge with UDF: what is left is what Windows' own tools write.
fn pure_udf(image: &Path) {
    let mut bytes = fs::read(image).unwrap();
    let sector = |n: usize| 2048 * n..2048 * (n + 1);
    let begin = (16..64).find(|n| bytes[sector(*n)][1..6] == *b"BEA01").expect("a bridge with UDF");
    for n in 16..begin {
        bytes[sector(n)].fill(0);
    }
    for n in 0..3 {
        bytes.copy_within(sector(begin + n), 2048 * (16 + n));
    }
    fs::write(image, bytes).unwrap();
}

#[test]
fn no_file_of_a_large_directory_is_dropped() {
    let files = Files::new(&[]);
    for n in 0..4100 {
        files.write(&format!("tree/{n:04}.yaml"), b"network: {version: 2}\n");
    }
    assert_eq!(read(&files.path("tree")).unwrap().documents.len(), 4100);
}

#[test]
fn more_than_a_drive_may_cost_is_reported() {
    let files = Files::new(&[]);
    let large = "# a comment\n".repeat(800_000);
    for n in 0..4 {
        files.write(&format!("tree/{n}.yaml"), large.as_bytes());
    }
    let problem = read(&files.path("tree")).unwrap_err();
    assert_eq!(problem.message, "3.yaml is not read: the drive's files have more than 32 MiB together.");
    assert!(problem.kind.is_unreadable());
}

#[test]
fn labels_that_tools_write_are_found_by_a_boot() {
    let files = Files::new(&[]);
    let disk = |name: &str| {
        let device = format!("sys/devices/virtio/block/{name}");
        files.write(&format!("{device}/size"), b"2048\n");
        files.write(&format!("{device}/removable"), b"0\n");
        fs::create_dir_all(files.path("sys/class/block")).unwrap();
        let link = files.path("sys/class/block").join(name);
        symlink(format!("../../devices/virtio/block/{name}"), link).unwrap();
        fs::create_dir_all(files.path("dev")).unwrap();
        files.path(&format!("dev/{name}"))
    };
    run("mkfs.vfat", &["-F", "12", "-n", "FLOPPY", "-C", text(&disk("vda")), "1440"]);
    run("mkfs.vfat", &["-F", "16", "-n", "STICK16", "-C", text(&disk("vdb")), "16384"]);
    run("mkfs.vfat", &["-F", "32", "-n", "STICK32", "-C", text(&disk("vdc")), "65536"]);
    run("mkfs.ext4", &["-q", "-L", "root", text(&disk("vdd")), "4M"]);
    let iso = files.image(GENISOIMAGE, &["-J", "-V", "INSTALLER", "-publisher", "me"]);
    fs::rename(iso, disk("vde")).unwrap();
    let request = SearchOptions {
        wait: Some(Duration::ZERO),
        machine: files.machine(),
        cmdline: Cmdline::parse("quiet"),
        ..SearchOptions::default()
    };
    let problem = search(&request).unwrap_err();
    assert_eq!(problem.kind, NotFoundKind::NoDrive);
    for part in
        ["VFAT \"FLOPPY\"", "VFAT \"STICK16\"", "VFAT \"STICK32\"", "ext4 \"root\"", "ISO 9660 \"INSTALLER\""]
    {
        assert!(problem.message.contains(part), "{part} in {}", problem.message);
    }
}

#[test]
fn directories() {
    let files = Files::new(&[
        ("drive/openstack/latest/network_data.json", NETWORK_DATA),
        ("netplan/90-b.yaml", "network: {version: 2}\n"),
        ("netplan/10-a.yaml", "network: {version: 2}\n"),
        ("root/etc/netplan/50-c.yaml", "network: {version: 2}\n"),
        ("empty/README", ""),
    ]);
    let names = |directory: &str| -> Vec<String> {
        let found = read(&files.path(&format!("tree/{directory}"))).unwrap();
        assert_eq!(found.origin.kind, OriginKind::Directory);
        let root = format!("{}/", text(&files.path("tree")));
        found.documents.iter().map(|d| d.name.strip_prefix(&root).unwrap().to_owned()).collect()
    };
    assert_eq!(names("drive"), ["drive/openstack/latest/network_data.json"]);
    assert_eq!(names("netplan"), ["netplan/10-a.yaml", "netplan/90-b.yaml"]);
    assert_eq!(names("root"), ["root/etc/netplan/50-c.yaml"]);
    assert_eq!(read(&files.path("tree/empty")).unwrap_err().kind, NotFoundKind::NoDescription);
}

#[test]
fn links_out_of_a_directory_are_followed_only_if_asked() {
    let files = Files::new(&[("netplan/10-a.yaml", "network: {version: 2}\n")]);
    files.write("secret", b"root:x\n");
    symlink("../../secret", files.path("tree/netplan/x.yaml")).unwrap();
    let problem = read(&files.path("tree/netplan")).unwrap_err();
    assert_eq!(
        problem.message,
        "x.yaml is a link that leads out of the drive or directory, and is not followed."
    );
    assert!(problem.hint.contains("--follow-links"), "{}", problem.hint);
    let source = Some(text(&files.path("tree/netplan")).to_owned());
    let found = search(&SearchOptions { source, follow_links: true, ..SearchOptions::default() }).unwrap();
    assert_eq!(found.documents[1].text, "root:x\n");
    // The directory itself may be a link, and so may links that stay within it.
    fs::remove_file(files.path("tree/netplan/x.yaml")).unwrap();
    symlink("10-a.yaml", files.path("tree/netplan/20-b.yaml")).unwrap();
    symlink("tree/netplan", files.path("latest")).unwrap();
    assert_eq!(read(&files.path("latest")).unwrap().documents.len(), 2);
    // A machine's own /etc may consist of links, as on NixOS.
    symlink("../../secret", files.path("tree/netplan/x.yaml")).unwrap();
    files.write("machine/etc/keep", b"");
    symlink(files.path("tree/netplan"), files.path("machine/etc/netplan")).unwrap();
    let source = Some(text(&files.path("machine/etc/netplan")).to_owned());
    let machine = Machine::below(files.path("machine"));
    assert_eq!(
        search(&SearchOptions { source, machine, ..SearchOptions::default() }).unwrap().documents.len(),
        3
    );
}

#[test]
fn files_pipes_and_missing_sources() {
    let files = Files::new(&[("net.json", NETWORK_DATA), ("empty.json", "")]);
    let found = read(&files.path("tree/net.json")).unwrap();
    assert_eq!((found.layout, found.origin.kind), (Layout::Plain, OriginKind::File));
    // The parser reports that it is empty.
    assert_eq!(read(&files.path("tree/empty.json")).unwrap().documents[0].text, "");

    let pipe = files.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, NETWORK_DATA)
    });
    assert_eq!(read(&pipe).unwrap().documents[0].text, NETWORK_DATA);
    writer.join().unwrap().unwrap();

    let problem = read(Path::new("/nonexistent/net.json")).unwrap_err();
    assert_eq!(problem.message, "There is no /nonexistent/net.json.");
    assert!(problem.kind.is_unreadable());
}
