"""A switch with two ports in one LACP port channel that carries VLAN 100 alone, tagged, and a TAP device with what is
in that VLAN: the kernel on which the test runs may have no bonding and no VLANs.

A port is a UDP socket: QEMU's backend `socket` sends each frame as a datagram."""

import fcntl
import os
import selectors
import socket
import struct
import time

VLAN = 100
PORTS = [(20001, 10001), (20002, 10002)]  # a port's own UDP port, and that of the NIC's end
TAP = "vlan100"

SYSTEM = bytes.fromhex("020000000100")
SLOW_PROTOCOLS = 0x8809
LACP_GROUP = bytes.fromhex("0180c2000002")
# Bits of a state in LACP (IEEE 802.1AX).
ACTIVE, SHORT_TIMEOUT, AGGREGATION, SYNC, COLLECTING, DISTRIBUTING, DEFAULTED = (1 << bit for bit in range(7))
EXPIRES = 3.0  # seconds without a partner's LACPDU, with the short timeout


class Port:
    def __init__(self, number, own, far):
        self.number, self.far = number, ("127.0.0.1", far)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", own))
        self.partner, self.heard_at = bytes(15), -EXPIRES

    def has_partner(self):
        return time.monotonic() - self.heard_at < EXPIRES

    def is_in_the_channel(self):
        return self.has_partner() and self.partner[14] & COLLECTING

    def send(self, frame):
        self.socket.sendto(frame, self.far)

    def send_lacpdu(self):
        state = ACTIVE | SHORT_TIMEOUT | AGGREGATION
        state |= SYNC | COLLECTING | DISTRIBUTING if self.has_partner() else DEFAULTED
        partner = self.partner if self.has_partner() else bytes(15)
        actor = struct.pack("!H6sHHHB", 0x8000, SYSTEM, 1, 0x80, self.number, state)
        source = SYSTEM[:5] + bytes([self.number])
        header = LACP_GROUP + source + struct.pack("!HBB", SLOW_PROTOCOLS, 1, 1)
        self.send(
            header
            + struct.pack("!BB15s3x", 1, 20, actor)
            + struct.pack("!BB15s3x", 2, 20, partner)
            + struct.pack("!BBH12x", 3, 16, 0)
            + bytes(52)
        )

    def receive_lacpdu(self, frame):
        if frame[14:18] == bytes([1, 1, 1, 20]):
            self.partner, self.heard_at = frame[18:33], time.monotonic()


def tap():
    TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", TAP.encode(), IFF_TAP | IFF_NO_PI))
    return device


def main():
    inside = tap()
    ports = [Port(number, *ends) for number, ends in enumerate(PORTS, 1)]
    selector = selectors.DefaultSelector()
    selector.register(inside, selectors.EVENT_READ)
    for port in ports:
        selector.register(port.socket, selectors.EVENT_READ, port)
    print("ready", flush=True)
    next_lacpdus = 0.0
    while True:
        for key, _ in selector.select(max(0.0, next_lacpdus - time.monotonic())):
            port = key.data
            if port is None:
                frame = os.read(inside, 65536)
                tagged = frame[:12] + struct.pack("!HH", 0x8100, VLAN) + frame[12:]
                for port in [port for port in ports if port.is_in_the_channel()][:1]:
                    port.send(tagged)
                continue
            frame = port.socket.recv(65536)
            kind, tag = struct.unpack_from("!HH", frame, 12)
            if kind == SLOW_PROTOCOLS:
                port.receive_lacpdu(frame)
            elif kind == 0x8100 and tag & 0xFFF == VLAN and port.has_partner():
                os.write(inside, frame[:12] + frame[16:])
        if time.monotonic() >= next_lacpdus:
            next_lacpdus = time.monotonic() + 1
            for port in ports:
                port.send_lacpdu()


main()
