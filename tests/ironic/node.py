"""Runs in the namespaces and the root that ./node makes: starts the switch, libvirt, sushy-tools and Ironic, takes a
node to `available`, and then boots it with one fault at a time."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

SERVER = "198.51.100.5"  # Ironic's API and its images, behind the gateway
GATEWAY, NODE, NOBODY = "192.0.2.1", "192.0.2.10", "192.0.2.77"
API = f"http://{SERVER}:6385"
MACS = ["7c:c2:55:6e:90:44", "7c:c2:55:6e:90:45"]
SYSTEM = str(uuid.uuid4())
CONSOLE, AGENT, FOREIGN_ISO, HTTP_ROOT = "/logs/console", "/run/agent", "/pool/foreign.iso", "/httpboot"
# An emulated boot takes two minutes where nothing else runs. Only what fails waits this long.
BOOT_LIMIT = 1200

# The first three for the console, which has netapply's screens alone then; the others for an emulated machine, in which
# little happens in a second where much else runs: see tests/harness/src/guest.rs, and its CD appears late.
KERNEL_WORDS = (
    "console=ttyS0 loglevel=6 systemd.show_status=no"
    " no_timer_check norandmaps systemd.default_timeout_start_sec=300 netapply.wait=120"
)
IRONIC_CONF = f"""
[DEFAULT]
auth_strategy = noauth
rpc_transport = none
host = conductor
log_file = /logs/ironic.log
enabled_hardware_types = redfish
enabled_bios_interfaces = no-bios
enabled_boot_interfaces = redfish-virtual-media
enabled_console_interfaces = no-console
enabled_deploy_interfaces = direct
enabled_firmware_interfaces = no-firmware
enabled_inspect_interfaces = agent
enabled_management_interfaces = redfish
enabled_network_interfaces = noop
enabled_power_interfaces = redfish
enabled_raid_interfaces = no-raid
enabled_storage_interfaces = noop
enabled_vendor_interfaces = no-vendor
isolinux_bin = /usr/lib/ISOLINUX/isolinux.bin
[api]
host_ip = {SERVER}
[conductor]
automated_clean = true
file_url_allowed_paths = /images
[database]
connection = sqlite:////var/lib/ironic/ironic.sqlite
[deploy]
default_boot_mode = bios
erase_devices_priority = 0
erase_devices_metadata_priority = 10
http_root = {HTTP_ROOT}
http_url = http://{SERVER}:8080
[redfish]
kernel_append_params = {KERNEL_WORDS}
[service_catalog]
auth_type = none
endpoint_override = {API}
"""
SUSHY_CONF = """
SUSHY_EMULATOR_LISTEN_IP = "127.0.0.1"
SUSHY_EMULATOR_LISTEN_PORT = 8000
SUSHY_EMULATOR_LIBVIRT_URI = "qemu:///system"
SUSHY_EMULATOR_STATE_DIR = "/var/lib/sushy"
"""
# No cgroups, users, sandboxes and log daemon: whatever they would protect is in a namespace that ends with the test.
QEMU_CONF = """
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
stdio_handler = "file"
"""
POOL = "<pool type='dir'><name>default</name><target><path>/pool</path></target></pool>"
# With a SCSI disk the emulated BMC attaches its CD to the same controller, which the ramdisk's kernel knows. The kernel
# does not run LACP on a NIC without a speed. Without a <loader>, which is a PC's BIOS, the emulated BMC cannot tell nor
# change the boot mode, as some real ones; with one it refuses each question for secure boot, and Ironic asks ten times.
DOMAIN = f"""
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>node</name>
  <uuid>{SYSTEM}</uuid>
  <memory unit='MiB'>3072</memory>
  <vcpu>2</vcpu>
  <cpu mode='maximum'/>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <on_reboot>restart</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/pool/disk'/>
      <target dev='sda' bus='scsi'/>
      <address type='drive' controller='0' bus='0' target='0' unit='0'/>
    </disk>
    {"".join(f'''
    <interface type='udp'>
      <mac address='{mac}'/>
      <source address='127.0.0.1' port='2000{number}'><local address='127.0.0.1' port='1000{number}'/></source>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>''' for number, mac in enumerate(MACS, 1))}
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <serial type='file'><source path='{CONSOLE}'/><target port='0'/></serial>
    <channel type='unix'><source mode='bind' path='{AGENT}'/><target type='virtio' name='agent'/></channel>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-global'/><qemu:arg value='virtio-net-device.speed=10000'/>
    <qemu:arg value='-global'/><qemu:arg value='virtio-net-device.duplex=full'/>
  </qemu:commandline>
</domain>
"""


def network_data(vlan=100, address=NODE):
    nic = lambda id, mac: {"id": id, "type": "phy", "ethernet_mac_address": mac, "mtu": 1500}
    return {
        "links": [
            nic("nic0", MACS[0]),
            nic("nic1", MACS[1]),
            {"id": "bond0", "type": "bond", "ethernet_mac_address": MACS[0], "bond_links": ["nic0", "nic1"],
             "bond_mode": "802.3ad", "bond_miimon": 100, "bond_lacp_rate": "fast", "mtu": 1500},
            {"id": "deploy", "type": "vlan", "vlan_link": "bond0", "vlan_id": vlan, "vlan_mac_address": MACS[0]},
        ],
        "networks": [
            {"id": "deploy-net", "link": "deploy", "type": "ipv4", "network_id": str(uuid.uuid4()),
             "ip_address": address, "netmask": "255.255.255.0",
             "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": GATEWAY}]},
        ],
        "services": [],
    }


BEGIN = time.monotonic()


def say(text):
    print(f"{time.monotonic() - BEGIN:5.0f} s  {text}", flush=True)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def start(name, *command):
    log = open(f"/logs/{name}.log", "a")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def wait(what, condition, limit=120):
    """Returns what the condition comes to, once that is something."""
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(1)
    return found


def ask(method, path, body=None):
    """A request to Ironic's API, and its answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "X-OpenStack-Ironic-API-Version": "latest"}
    try:
        with urllib.request.urlopen(urllib.request.Request(API + path, data, headers, method=method), timeout=60) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None
    return json.loads(text) if text else None


class Ironic:
    """API and conductor, in one process."""

    def start(self):
        self.process = start("ironic-output", "ironic", "--config-file", "/etc/ironic.conf")
        wait("Ironic's API answers", self.answers)

    def answers(self):
        try:
            return ask("GET", "/v1")
        except OSError:
            return None

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Node:
    """A node as Ironic has it, and the machine."""

    def __init__(self, name, macs, description):
        images = {"deploy_kernel": "file:///images/kernel", "deploy_ramdisk": "file:///images/initramfs"}
        redfish = {"redfish_address": "http://127.0.0.1:8000", "redfish_system_id": f"/redfish/v1/Systems/{SYSTEM}"}
        node = {"name": name, "driver": "redfish", "driver_info": images | redfish, "network_data": description}
        self.uuid = ask("POST", "/v1/nodes", node)["uuid"]
        for mac in macs:
            ask("POST", "/v1/ports", {"node_uuid": self.uuid, "address": mac})
        self.order("manage")
        self.reaches("manageable")

    def get(self, what=""):
        return ask("GET", f"/v1/nodes/{self.uuid}{what}")

    def order(self, target):
        ask("PUT", f"/v1/nodes/{self.uuid}/states/provision", {"target": target})

    def reaches(self, state, limit=BOOT_LIMIT):
        def reached():
            node = self.get()
            now = node["provision_state"]
            assert now == state or not now.endswith(("failed", "error")), f"{now}: {node['last_error']}"
            return now == state

        wait(f"the node is {state}", reached, limit)
        say(f"Ironic: the node is {state}")

    def change(self, path, value):
        """Sets a field of the node, or removes it."""
        change = {"op": "remove"} if value is None else {"op": "add", "value": value}
        ask("PATCH", f"/v1/nodes/{self.uuid}", [{"path": path, **change}])

    def boots(self, target, state):
        """Orders something for which Ironic boots the machine, and returns when it has."""
        open(CONSOLE, "w").close()
        self.order(target)
        self.reaches(state)
        self.agent = socket.socket(socket.AF_UNIX)
        self.agent.settimeout(BOOT_LIMIT)
        self.agent.connect(AGENT)

    def gives_up(self):
        """Ends an inspection of which nothing more is to come."""
        run("virsh", "destroy", "node")
        self.order("abort")
        wait("the inspection is aborted", lambda: self.get()["provision_state"] == "inspect failed")
        self.order("manage")
        self.reaches("manageable")

    def report(self):
        """netapply's, by the agent that the test has in the ramdisk (tests/vm/guest-agent)."""
        script = b"netapply report --json"
        stream = self.agent.makefile("rwb")
        stream.write(b"%d\n%s" % (len(script), script))
        stream.flush()
        line = stream.readline()
        _, length, _ = map(int, (stream.readline() if line == b"ready\n" else line).split())
        return json.loads(stream.read(length))

    def shows(self, status, code, *words):
        """netapply ends with this status, names this cause, and these words are on the console."""
        verdict = r"netapply: (OK|FAULT|\d+ FAULTS|nothing to apply|NOTHING APPLIED|applied, NOT VERIFIED)"
        wait("netapply's verdict on the console", lambda: re.search(verdict, console()), BOOT_LIMIT)
        report = self.report()
        print("", *report["screen"], "", sep="\n", flush=True)
        found = report["causes"] + report["diagnostics"]
        codes = {each["code"] for each in found if each["severity"] != "note" or each["code"] == code}
        assert (report["exit"], codes) == (status, {code} - {None}), (report["exit"], found)
        # What is too long for a line goes on in the next one.
        joined = lambda text: " ".join(text.split())
        lost = [text for text in [*report["screen"], *words] if joined(text) not in joined(console())]
        assert not lost, f"not on the console: {lost}"
        say(f"netapply ended with {status}: {code or 'OK'}")
        return report


def console():
    with open(CONSOLE, errors="replace", newline="") as file:
        return file.read().replace("\r", "")


def api_stopped(ironic, node):
    """The agent would send its findings to nobody."""
    node.boots("inspect", "inspect wait")
    ironic.stop()
    node.shows(1, "target-refuses", f"{SERVER}:6385")
    run("virsh", "suspend", "node")
    ironic.start()
    node.gives_up()


def foreign_iso(ironic, node):
    """The ISO that Ironic makes for another node is in the drive when netapply looks for this one's."""
    other = Node("other", ["7c:c2:55:6e:90:46"], network_data(address="192.0.2.66"))
    other.order("inspect")
    other.reaches("inspect wait")
    shutil.copy(f"{HTTP_ROOT}/redfish/boot-{other.uuid}.iso", FOREIGN_ISO)
    other.gives_up()
    ask("DELETE", f"/v1/nodes/{other.uuid}")
    publisher = run("isoinfo", "-d", "-i", FOREIGN_ISO)
    publisher = re.search("^Publisher id: (.*)", publisher, re.MULTILINE)[1]
    node.boots("inspect", "inspect wait")
    # The boot loader has read all that it needs from this node's.
    wait("the kernel runs", lambda: "Linux version" in console(), BOOT_LIMIT)
    run("virsh", "change-media", "node", "sdx", FOREIGN_ISO, "--update", "--live", "--force")
    node.shows(4, "no-source", f"holds another boot's ISO (publisher {publisher})", "Eject it")
    node.gives_up()


def no_description(ironic, node):
    words = "/driver_info/kernel_append_params"
    node.change(words, "%default% netapply.wait=300")
    node.change("/network_data", None)
    node.boots("inspect", "inspect wait")
    report = node.shows(4, "no-description", "this node has no network_data")
    assert report["seconds"] < 300, "the search for a drive went on"
    node.gives_up()
    node.change("/network_data", network_data())
    node.change(words, None)


def wrong_vlan(ironic, node):
    """The port channel carries VLAN 100, and somebody is to be heard there."""
    node.change("/network_data", network_data(vlan=101))
    chatter = start("chatter", "ping", "-q", NOBODY)
    node.boots("inspect", "inspect wait")
    node.shows(1, "vlan-not-carried", "VLAN 101 is not heard; the port carries VLAN 100")
    chatter.kill()
    node.gives_up()
    node.change("/network_data", network_data())


FAULTS = [api_stopped, foreign_iso, no_description, wrong_vlan]


def healthy(node):
    node.boots("inspect", "inspect wait")
    report = node.shows(0, None)
    assert any(API in check.get("object", "") and check["outcome"] == "passed" for check in report["checks"]), report["checks"]
    node.reaches("manageable")
    inventory = node.get("/inventory")["inventory"]
    found = {nic["mac_address"] for nic in inventory["interfaces"]}
    assert set(MACS) <= found, inventory["interfaces"]

    node.boots("provide", "clean wait")
    node.shows(0, None)
    node.reaches("available")
    with open("/logs/ironic.log") as file:
        asked = re.findall(r"(\S+) - (?:GET /v1/lookup|POST /v1/(?:continue_inspection|heartbeat))", file.read())
    assert set(asked) == {NODE}, asked
    node.order("manage")
    node.reaches("manageable")


def prepare():
    for folder in (HTTP_ROOT, "/pool", "/var/lib/ironic", "/var/lib/sushy"):
        os.makedirs(folder)
    files = {
        "/etc/ironic.conf": IRONIC_CONF,
        "/etc/sushy.conf": SUSHY_CONF,
        "/etc/libvirt/qemu.conf": QEMU_CONF,
        "/etc/libvirt/libvirtd.conf": 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n',
        "/run/pool.xml": POOL,
        "/run/domain.xml": DOMAIN,
        CONSOLE: "",
    }
    for path, text in files.items():
        with open(path, "w") as file:
            file.write(text)
    with open("/pool/disk", "w") as disk:
        disk.truncate(5 << 30)  # the agent takes none below 4 GiB
    os.environ["PATH"] = "/opt/ironic/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    start("switch", sys.executable, "/tests/switch.py")
    wait("the switch has its TAP device", lambda: os.path.exists("/sys/class/net/vlan100"))
    run("ip", "link", "set", "vlan100", "up")
    run("ip", "address", "add", f"{GATEWAY}/24", "dev", "vlan100")
    run("ip", "address", "add", f"{SERVER}/32", "dev", "lo")
    # Whom Debian's libvirt looks for before it reads its configuration.
    run("useradd", "--system", "--user-group", "libvirt-qemu")
    run("groupadd", "--force", "--system", "kvm")
    start("libvirtd", "libvirtd")
    wait("libvirtd answers", lambda: subprocess.run(["virsh", "version"], capture_output=True).returncode == 0)
    run("virsh", "pool-define", "/run/pool.xml")
    run("virsh", "pool-start", "default")
    run("virsh", "define", "/run/domain.xml")
    start("images", sys.executable, "-m", "http.server", "--bind", SERVER, "--directory", HTTP_ROOT, "8080")
    start("sushy", "sushy-emulator", "--config", "/etc/sushy.conf")
    run("ironic-dbsync", "--config-file", "/etc/ironic.conf", "create_schema")


def main(names):
    unknown = set(names) - {fault.__name__ for fault in FAULTS}
    assert not unknown, f"no such faults: {unknown}"
    prepare()
    ironic = Ironic()
    ironic.start()
    say("Ironic runs")
    node = Node("node", MACS, network_data())
    if not names:
        healthy(node)
    for fault in FAULTS:
        if not names or fault.__name__ in names:
            say(f"now: {fault.__name__.replace('_', ' ')}")
            fault(ironic, node)
    say("everything was as expected")


def print_logs():
    for name in sorted(os.listdir("/logs")):
        with open(f"/logs/{name}", errors="replace") as file:
            lines = [line.rstrip()[:400] for line in file if line.strip() and " - GET /v1/nodes/" not in line]
        print(f"--- the end of {name}", *lines[-20:], sep="\n", file=sys.stderr)


try:
    main(sys.argv[1:])
except Exception:
    print_logs()
    raise
