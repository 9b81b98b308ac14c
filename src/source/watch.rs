//! The kernel's events on block devices: a drive that appears, a medium that is inserted. Directly from the kernel and
//! not from udev, which an initramfs may not have. Entry: [`Watch::kernel`], before the first look at the devices.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt, socket, sockopt,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceEvent {
    /// The block device with this name appeared, disappeared or changed.
    Device(String),
    /// A virtio device appeared or disappeared: it may be a host share.
    Virtio,
    /// Events were lost, or cannot be told apart: anything may have happened.
    Lost,
}

/// A subscription to the kernel's events.
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Subscribes to the kernel's events. Needs no root. Fails if the kernel has no such socket.
    pub(super) fn kernel() -> io::Result<Watch> {
        Watch::subscribe(1)
    }

    /// Subscribes to the kernel's events and to udev's, which are sent when udev has made its links. For udev's only
    /// their arrival is reported.
    pub fn kernel_and_udev() -> io::Result<Watch> {
        Watch::subscribe(1 | 2)
    }

    fn subscribe(groups: u32) -> io::Result<Watch> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let fd = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        // A burst of hundreds of devices is lost at the default size; a value above the system's limit is reduced to
        // it.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &(1 << 20));
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Watch::over(fd)
    }

    /// Receives events from any socket that preserves message boundaries.
    pub(super) fn over(fd: OwnedFd) -> io::Result<Watch> {
        // SAFETY: an OwnedFd keeps its one descriptor open until it is dropped, and nothing here replaces it.
        Ok(Watch(unsafe { AsyncFd::register(fd) }?))
    }

    /// Waits for relevant events, and returns all pending ones.
    pub async fn next(&mut self) -> Vec<DeviceEvent> {
        loop {
            let Ok(mut ready) = self.0.readable().await else { return vec![DeviceEvent::Lost] };
            let mut events = Vec::new();
            loop {
                match receive(&self.0) {
                    Ok(message) => events.extend(parse(&message)),
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(_) => {
                        events.push(DeviceEvent::Lost);
                        break;
                    }
                }
            }
            ready.clear_ready();
            if !events.is_empty() {
                return events;
            }
        }
    }
}

/// One message. Sending to either group requires CAP_NET_ADMIN, and an event only makes us look again.
fn receive(fd: &AsyncFd<OwnedFd>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 8192];
    let (length, _) = recvfrom::<NetlinkAddr>(fd.get_ref().as_raw_fd(), &mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// A message is `add@/devices/…`, then `KEY=value` pairs, each terminated by a NUL.
fn parse(message: &[u8]) -> Option<DeviceEvent> {
    if message.starts_with(b"libudev\0") {
        return Some(DeviceEvent::Lost);
    }
    let text = std::str::from_utf8(message).ok()?;
    let get = |key: &str| text.split('\0').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    match get("SUBSYSTEM")? {
        "block" => Some(DeviceEvent::Device(get("DEVNAME")?.to_owned())),
        "virtio" => Some(DeviceEvent::Virtio),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let change = "change@/devices/pci0000:00/ata1/block/sr0\0ACTION=change\0SUBSYSTEM=block\0DISK_MEDIA_CHANGE=1\0\
                      MAJOR=11\0MINOR=0\0DEVNAME=sr0\0DEVTYPE=disk\0SEQNUM=1\0";
        assert_eq!(parse(change.as_bytes()), Some(DeviceEvent::Device("sr0".into())));
        assert_eq!(parse(b"bind@/devices/x\0SUBSYSTEM=virtio\0"), Some(DeviceEvent::Virtio));
        assert_eq!(parse(b"add@/devices/x\0SUBSYSTEM=net\0INTERFACE=eth0\0"), None);
        assert_eq!(parse(b"libudev\0\xfe\xed\xca\xfe"), Some(DeviceEvent::Lost));
        assert_eq!(parse(b""), None);
    }
}
