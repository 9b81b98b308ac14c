//! Raw IP and packet sockets under tokio: the few system calls that neither tokio nor nix offers. Most of the program's
//! `unsafe` is here.

pub(crate) mod arp;

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;

/// Every frame, whatever its EtherType (linux/if_ether.h).
pub(crate) const ETH_P_ALL: u16 = 0x0003;

/// An instruction of a classic BPF program (linux/filter.h): for a jump how many to skip if the comparison holds, and
/// if it does not.
pub(crate) const fn op(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// The Internet checksum (RFC 1071); 0 over data that includes its own.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    };
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A non-blocking socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: AsyncFd<OwnedFd>,
}

/// Where a packet came from and what the kernel reports about it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    /// Bytes in the buffer.
    pub(crate) length: usize,
    /// Sender, for IP sockets.
    pub(crate) from: Option<IpAddr>,
    /// The frame was sent by this machine.
    pub(crate) outgoing: bool,
    /// The payload's checksum is left to hardware to fill in: the sender on a virtual NIC does that.
    pub(crate) unsummed: bool,
    /// The VLAN tag that the NIC or the kernel stripped from the frame.
    pub(crate) tag: Option<u16>,
    /// The hop limit of an IPv6 packet, for sockets that want it.
    pub(crate) hop_limit: Option<u8>,
}

/// A socket address of any family.
#[derive(Clone, Copy)]
struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    /// `T` must be one of the system's sockaddr types.
    fn of<T>(address: T) -> Self {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: sockaddr_storage is plain data, for which all zeroes are valid.
        let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
        // SAFETY: the storage is at least as large as every sockaddr type, and aligned for all of them.
        unsafe { std::ptr::write((&raw mut storage).cast(), address) };
        Address { storage, length: size_of::<T>() as libc::socklen_t }
    }

    /// An interface and a protocol, and for sending a hardware address.
    fn of_link(index: u32, protocol: u16, to: &[u8]) -> Self {
        let mut bytes = [0; 8];
        for (slot, byte) in bytes.iter_mut().zip(to) {
            *slot = *byte;
        }
        Address::of(libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol.to_be(),
            sll_ifindex: i32::try_from(index).unwrap_or(0),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: to.len().min(8) as u8,
            sll_addr: bytes,
        })
    }

    /// An IP address; a link-local one with its interface.
    fn of_ip(ip: IpAddr, index: u32) -> Self {
        match ip {
            IpAddr::V4(ip) => Address::of(libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
                sin_zero: [0; 8],
            }),
            IpAddr::V6(ip) => Address::of(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                sin6_scope_id: if ip.is_unicast_link_local() { index } else { 0 },
            }),
        }
    }

    fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

impl Socket {
    fn open(domain: i32, kind: i32, protocol: i32) -> io::Result<Self> {
        // SAFETY: socket(2) takes three numbers.
        let fd = unsafe { libc::socket(domain, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, protocol) };
        checked(fd as isize)?;
        // SAFETY: the descriptor is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: an OwnedFd always returns the same descriptor, and closes it only when dropped.
        let fd = unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)?;
        Ok(Socket { fd })
    }

    /// A raw ICMP or ICMPv6 socket that sends only through the interface with that index, or through any for 0.
    pub(crate) fn icmp(v4: bool, index: u32) -> io::Result<Self> {
        let (domain, protocol) =
            if v4 { (libc::AF_INET, libc::IPPROTO_ICMP) } else { (libc::AF_INET6, libc::IPPROTO_ICMPV6) };
        let socket = Self::open(domain, libc::SOCK_RAW, protocol)?;
        if index != 0 {
            socket.bind_link(index)?;
        }
        Ok(socket)
    }

    /// Takes ICMPv6 packets of this type alone, with their hop limit, and sends with a hop limit that no router lowers
    /// (RFC 4861, section 6.1).
    pub(crate) fn icmpv6_of_link(index: u32, kind: u8) -> io::Result<Self> {
        // linux/icmpv6.h: a set bit keeps the packets of a type away.
        const ICMP6_FILTER: i32 = 1;
        let socket = Self::icmp(false, index)?;
        let mut blocked = [u32::MAX; 8];
        if let Some(word) = blocked.get_mut(usize::from(kind) / 32) {
            *word &= !(1 << (kind % 32));
        }
        let filter: Vec<u8> = blocked.iter().flat_map(|word| word.to_ne_bytes()).collect();
        socket.set_bytes(libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter)?;
        socket.set(libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
        socket.set(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, 255)?;
        Ok(socket)
    }

    /// Binds to an interface, whatever it is called by now.
    fn bind_link(&self, index: u32) -> io::Result<()> {
        const SO_BINDTOIFINDEX: i32 = 62;
        match self.set(libc::SOL_SOCKET, SO_BINDTOIFINDEX, i32::try_from(index).unwrap_or(0)) {
            // Before Linux 5.1.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                let name = nix::net::if_::if_indextoname(index)?;
                self.set_bytes(libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name.as_bytes_with_nul())
            }
            result => result,
        }
    }

    /// A socket for whole frames of an EtherType (`ETH_P_ALL` for all) on an interface.
    pub(crate) fn packet(index: u32, protocol: u16) -> io::Result<Self> {
        // Protocol 0 receives nothing until bind(2) names interface and protocol together.
        let socket = Self::open(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        socket.bind(&Address::of_link(index, protocol, &[]))?;
        Ok(socket)
    }

    /// The same for the frames that a classic BPF program passes; an empty one passes all.
    pub(crate) fn filtered(index: u32, protocol: u16, program: &[libc::sock_filter]) -> io::Result<Self> {
        let socket = Self::packet(index, protocol)?;
        if !program.is_empty() {
            socket.filter(program)?;
        }
        Ok(socket)
    }

    fn set_bytes(&self, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
        // SAFETY: pointer and length are of one slice.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                value.as_ptr().cast(),
                value.len() as libc::socklen_t,
            )
        };
        checked(result as isize).map(|_| ())
    }

    /// Sets an option that is a number.
    pub(crate) fn set(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        self.set_bytes(level, name, &value.to_ne_bytes())
    }

    /// Makes the kernel drop frames for which this classic BPF program returns 0.
    fn filter(&self, program: &[libc::sock_filter]) -> io::Result<()> {
        let filter = libc::sock_fprog {
            len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
            filter: program.as_ptr().cast_mut(),
        };
        // SAFETY: setsockopt copies the program, whose pointer and length are of one slice, and writes nothing.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const filter).cast(),
                size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        checked(result as isize).map(|_| ())
    }

    /// Receives frames for a group address, or with none every frame (promiscuous mode), until the socket closes.
    pub(crate) fn join(&self, index: u32, group: Option<[u8; 6]>) -> io::Result<()> {
        let kind = if group.is_some() { libc::PACKET_MR_MULTICAST } else { libc::PACKET_MR_PROMISC };
        let mut request = Vec::with_capacity(16);
        request.extend(i32::try_from(index).unwrap_or(0).to_ne_bytes());
        request.extend((kind as u16).to_ne_bytes());
        request.extend((group.map_or(0, |_| 6_u16)).to_ne_bytes());
        request.extend(group.unwrap_or_default());
        request.extend([0; 2]);
        self.set_bytes(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    fn bind(&self, address: &Address) -> io::Result<()> {
        // SAFETY: the storage is valid for the length given with it.
        let result = unsafe { libc::bind(self.fd.as_raw_fd(), address.pointer(), address.length) };
        checked(result as isize).map(|_| ())
    }

    /// Binds to a source address, so that packets leave with it.
    pub(crate) fn bind_source(&self, ip: IpAddr, index: u32) -> io::Result<()> {
        self.bind(&Address::of_ip(ip, index))
    }

    /// Receives packets from that address only.
    pub(crate) fn connect(&self, ip: IpAddr, index: u32) -> io::Result<()> {
        let address = Address::of_ip(ip, index);
        // SAFETY: the storage is valid for the length given with it.
        let result = unsafe { libc::connect(self.fd.as_raw_fd(), address.pointer(), address.length) };
        checked(result as isize).map(|_| ())
    }

    /// Sends a packet to an address, through the interface for a link-local one.
    pub(crate) async fn send_to(&self, bytes: &[u8], ip: IpAddr, index: u32) -> io::Result<()> {
        self.send(bytes, &Address::of_ip(ip, index)).await
    }

    /// Sends a whole frame.
    pub(crate) async fn send_frame(&self, frame: &[u8], index: u32) -> io::Result<()> {
        self.send(frame, &Address::of_link(index, 0, frame.get(..6).unwrap_or_default())).await
    }

    async fn send(&self, bytes: &[u8], address: &Address) -> io::Result<()> {
        loop {
            let mut ready = self.fd.writable().await?;
            let sent = ready.try_io(|fd| {
                let (data, length) = (bytes.as_ptr().cast(), bytes.len());
                // SAFETY: both pointers are to live data of the length given with them.
                checked(unsafe {
                    libc::sendto(fd.as_raw_fd(), data, length, 0, address.pointer(), address.length)
                })
            });
            if let Ok(result) = sent {
                return result.map(|_| ());
            }
        }
    }

    /// The next packet, however long that takes: the caller sets the bound. Cancel safe.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let mut ready = self.fd.readable().await?;
            if let Ok(result) = ready.try_io(|fd| receive_now(fd.as_raw_fd(), buffer)) {
                return result;
            }
        }
    }
}

/// `struct tpacket_auxdata` of linux/if_packet.h: holds the tag that was stripped from the frame.
#[repr(C)]
#[derive(Clone, Copy)]
struct Auxdata {
    status: u32,
    length: u32,
    captured: u32,
    mac: u16,
    net: u16,
    tag: u16,
    protocol: u16,
}

const PACKET_AUXDATA: i32 = 8;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;

fn receive_now(fd: i32, buffer: &mut [u8]) -> io::Result<Received> {
    // SAFETY: both are plain data, for which all zeroes are valid.
    let (mut from, mut message): (libc::sockaddr_storage, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = [0_u64; 16];
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; 16]>() as _;
    // SAFETY: every pointer in the message is to a live buffer of the length given with it.
    let length = checked(unsafe { libc::recvmsg(fd, &raw mut message, 0) })?;
    let mut received = Received { length: length.min(buffer.len()), ..Received::default() };
    match i32::from(from.ss_family) {
        libc::AF_PACKET => {
            // SAFETY: the kernel wrote a sockaddr_ll, as the family says.
            let from: libc::sockaddr_ll = unsafe { std::ptr::read((&raw const from).cast()) };
            received.outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
        }
        libc::AF_INET => {
            // SAFETY: the kernel wrote a sockaddr_in, as the family says.
            let from: libc::sockaddr_in = unsafe { std::ptr::read((&raw const from).cast()) };
            received.from = Some(IpAddr::from(u32::from_be(from.sin_addr.s_addr).to_be_bytes()));
        }
        libc::AF_INET6 => {
            // SAFETY: the kernel wrote a sockaddr_in6, as the family says.
            let from: libc::sockaddr_in6 = unsafe { std::ptr::read((&raw const from).cast()) };
            received.from = Some(IpAddr::from(from.sin6_addr.s6_addr));
        }
        _ => {}
    }
    // SAFETY: the message is as recvmsg(2) left it, and its control buffer is live.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give headers inside the control buffer, or null.
        let this = unsafe { std::ptr::read_unaligned(header) };
        if this.cmsg_level == libc::SOL_PACKET && this.cmsg_type == PACKET_AUXDATA {
            // SAFETY: the kernel puts a tpacket_auxdata into such a message.
            let data: Auxdata = unsafe { std::ptr::read_unaligned(libc::CMSG_DATA(header).cast()) };
            received.unsummed = data.status & TP_STATUS_CSUMNOTREADY != 0;
            received.tag = (data.status & TP_STATUS_VLAN_VALID != 0).then_some(data.tag & 0x0fff);
        }
        if this.cmsg_level == libc::IPPROTO_IPV6 && this.cmsg_type == libc::IPV6_HOPLIMIT {
            // SAFETY: the kernel puts an int into such a message.
            let limit: i32 = unsafe { std::ptr::read_unaligned(libc::CMSG_DATA(header).cast()) };
            received.hop_limit = u8::try_from(limit).ok();
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(received)
}

/// Asks the kernel to report for each frame the VLAN tag that was stripped, and whether its checksum is filled in.
pub(crate) fn want_tags(socket: &Socket) -> io::Result<()> {
    socket.set(libc::SOL_PACKET, PACKET_AUXDATA, 1)
}

/// An address with a port, for messages and connections; the interface goes with a link-local one.
pub(crate) fn endpoint(ip: IpAddr, port: u16, index: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            SocketAddr::V6(std::net::SocketAddrV6::new(ip, port, 0, index))
        }
        _ => SocketAddr::new(ip, port),
    }
}
