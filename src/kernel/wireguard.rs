//! WireGuard's keys and peers, over its netlink family (linux/wireguard.h).
//!
//! Keys come from the description or from a file that it names, and those of an existing link from the kernel, so that
//! they can be restored. They are sent to the kernel and nowhere else: no type that holds them prints them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ipnet::IpNet;
use nix::errno::Errno;

use crate::model::{Located, Peer, Place, Wireguard, base64};
use crate::order::{Few as _, Order as _};

use super::attributes::{self, Attributes, NESTED, field, number};
use super::generic::Generic;
use super::session::Failure;
use super::trouble::Trouble;

const FAMILY: &str = "wireguard";
const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;

/// `WGDEVICE_A_…`
mod device {
    pub(super) const IFNAME: u16 = 2;
    pub(super) const PRIVATE_KEY: u16 = 3;
    pub(super) const FLAGS: u16 = 5;
    pub(super) const LISTEN_PORT: u16 = 6;
    pub(super) const FWMARK: u16 = 7;
    pub(super) const PEERS: u16 = 8;
    pub(super) const F_REPLACE_PEERS: u32 = 1;
}

/// `WGPEER_A_…`
mod peer {
    pub(super) const PUBLIC_KEY: u16 = 1;
    pub(super) const PRESHARED_KEY: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const ENDPOINT: u16 = 4;
    pub(super) const KEEPALIVE: u16 = 5;
    pub(super) const LAST_HANDSHAKE: u16 = 6;
    pub(super) const ALLOWED_IPS: u16 = 9;
    pub(super) const F_REPLACE_ALLOWED_IPS: u32 = 2;
}

/// `WGALLOWEDIP_A_…`
mod allowed {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const ADDRESS: u16 = 2;
    pub(super) const LENGTH: u16 = 3;
}

/// The longest file that a key is read from, in bytes.
const KEY_FILE: u64 = 4 << 10;

/// What one message may hold of peers, in bytes: an attribute's length has 16 bits.
const PEERS_AT_ONCE: usize = 32 << 10;

type Key = [u8; 32];

/// A peer with its keys as bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct RawPeer {
    public_key: Key,
    shared_key: Key,
    endpoint: Option<SocketAddr>,
    keepalive: u16,
    allowed: BTreeSet<IpNet>,
}

/// Gives a link exactly the keys and peers of `config`.
pub(super) async fn configure(link: &str, config: &Wireguard) -> Result<(), Trouble> {
    let private_key = config.private_key.as_ref().map(|key| read_key(&key.value)).transpose()?;
    let peers: Vec<RawPeer> = config.peers.iter().map(raw_peer).collect::<Result<_, _>>()?;
    let mut family = Generic::open_or_refuse(FAMILY).await?;
    let mut message = named(link);
    if let Some(key) = private_key {
        attributes::put(&mut message, device::PRIVATE_KEY, &key);
    }
    attributes::put(&mut message, device::LISTEN_PORT, &config.listen_port.unwrap_or(0).to_ne_bytes());
    attributes::put(&mut message, device::FWMARK, &config.mark.unwrap_or(0).to_ne_bytes());
    attributes::put(&mut message, device::FLAGS, &device::F_REPLACE_PEERS.to_ne_bytes());
    let mut list = Vec::new();
    for raw in &peers {
        let encoded = encode(raw);
        if list.len() + encoded.len() > PEERS_AT_ONCE {
            attributes::put(&mut message, device::PEERS | NESTED, &list);
            family.command(SET_DEVICE, &message).await?;
            // The next message adds to these.
            (message, list) = (named(link), Vec::new());
        }
        attributes::put(&mut list, NESTED, &encoded);
    }
    attributes::put(&mut message, device::PEERS | NESTED, &list);
    family.command(SET_DEVICE, &message).await?;
    Ok(())
}

/// A link's keys and peers in the kernel.
pub(super) struct Observed(Vec<Vec<u8>>);

/// Reads a link's keys and peers; `None` if it is no WireGuard link.
pub(super) async fn observe(link: &str) -> Result<Option<Observed>, Failure> {
    let Some(mut family) = Generic::open(FAMILY).await? else { return Ok(None) };
    match family.list(GET_DEVICE, &named(link)).await {
        Err(Failure::Refused(refusal)) if matches!(refusal.errno(), Errno::ENODEV | Errno::EOPNOTSUPP) => {
            Ok(None)
        }
        messages => Ok(Some(Observed(messages?)).filter(|observed| !observed.0.is_empty())),
    }
}

impl Observed {
    fn device(&self) -> Attributes<'_> {
        self.0.first().map_or(Attributes::default(), |message| Attributes::new(message))
    }

    fn private_key(&self) -> Option<Key> {
        self.device().get(device::PRIVATE_KEY).and_then(|key| number(key, |key: Key| key))
    }

    fn listen_port(&self) -> Option<u16> {
        number(self.device().get(device::LISTEN_PORT)?, u16::from_ne_bytes)
    }

    fn mark(&self) -> u32 {
        self.device().u32(device::FWMARK).unwrap_or(0)
    }

    /// Whether it matches `config` and has no other peers. An endpoint is not compared once a peer has been heard from:
    /// peers may move, and the kernel follows them.
    pub(super) fn is_as(&self, config: &Wireguard) -> bool {
        let wanted = config.private_key.as_ref().and_then(|key| read_key(&key.value).ok());
        let same_device = (wanted.is_none() || wanted == self.private_key())
            && (config.listen_port.is_none() || config.listen_port == self.listen_port())
            && config.mark.unwrap_or(0) == self.mark();
        let Ok(mut wanted) = config.peers.iter().map(raw_peer).collect::<Result<Vec<_>, _>>() else {
            return false;
        };
        let mut there = decode(&self.0, &wanted);
        wanted.order();
        there.order();
        same_device && wanted == there
    }

    /// The same as a description.
    pub(super) fn described(&self) -> Wireguard {
        let peer = |raw: RawPeer| Peer {
            public_key: located(to_base64(&raw.public_key)),
            shared_key: Some(located(to_base64(&raw.shared_key))),
            endpoint: raw.endpoint.map(|endpoint| located((endpoint.ip(), endpoint.port()))),
            allowed: raw.allowed.into_iter().few(),
            keepalive: Some(raw.keepalive),
        };
        Wireguard {
            // All zeroes means no key.
            private_key: Some(located(to_base64(&self.private_key().unwrap_or_default()))),
            listen_port: self.listen_port(),
            mark: Some(self.mark()),
            peers: decode(&self.0, &[]).into_iter().map(peer).collect(),
        }
    }
}

fn located<T>(value: T) -> Located<T> {
    Located::new(value, Place::NONE)
}

/// The peers in a device's messages. A peer with many prefixes continues in the next message.
fn decode(messages: &[Vec<u8>], wanted: &[RawPeer]) -> Vec<RawPeer> {
    let mut peers: Vec<RawPeer> = Vec::new();
    for peer in messages.iter().flat_map(|m| Attributes::new(m).nest(device::PEERS).iter()) {
        let attributes = Attributes::new(peer.1);
        let key = |kind| attributes.get(kind).and_then(|key| number(key, |key: Key| key));
        let Some(public_key) = key(peer::PUBLIC_KEY) else { continue };
        let allowed = attributes.nest(peer::ALLOWED_IPS).iter().filter_map(|(_, ip)| {
            let ip = Attributes::new(ip);
            IpNet::new(ip.ip(allowed::ADDRESS)?, ip.u8(allowed::LENGTH)?).ok()
        });
        if let Some(last) = peers.last_mut().filter(|last| last.public_key == public_key) {
            last.allowed.extend(allowed);
            continue;
        }
        let heard = attributes.get(peer::LAST_HANDSHAKE).is_some_and(|time| time.iter().any(|b| *b != 0));
        let described = wanted.iter().find(|wanted| wanted.public_key == public_key);
        let endpoint = match described {
            Some(described) if heard => described.endpoint,
            // A description without an endpoint leaves it to the peer.
            Some(RawPeer { endpoint: None, .. }) => None,
            _ => attributes.get(peer::ENDPOINT).and_then(socket_address),
        };
        peers.push(RawPeer {
            public_key,
            shared_key: key(peer::PRESHARED_KEY).unwrap_or_default(),
            endpoint,
            keepalive: attributes
                .get(peer::KEEPALIVE)
                .and_then(|k| number(k, u16::from_ne_bytes))
                .unwrap_or(0),
            allowed: allowed.few(),
        });
    }
    peers
}

fn named(link: &str) -> Vec<u8> {
    let mut message = Vec::new();
    attributes::put(&mut message, device::IFNAME, &[link.as_bytes(), &[0]].concat());
    message
}

fn encode(raw: &RawPeer) -> Vec<u8> {
    let mut bytes = Vec::new();
    attributes::put(&mut bytes, peer::PUBLIC_KEY, &raw.public_key);
    attributes::put(&mut bytes, peer::PRESHARED_KEY, &raw.shared_key);
    attributes::put(&mut bytes, peer::FLAGS, &peer::F_REPLACE_ALLOWED_IPS.to_ne_bytes());
    if let Some(endpoint) = raw.endpoint {
        attributes::put(&mut bytes, peer::ENDPOINT, &socket_bytes(endpoint));
    }
    attributes::put(&mut bytes, peer::KEEPALIVE, &raw.keepalive.to_ne_bytes());
    let mut list = Vec::new();
    for net in &raw.allowed {
        let mut entry = Vec::new();
        let (family, address) = match net.addr() {
            IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
        };
        attributes::put(&mut entry, allowed::FAMILY, &(family as u16).to_ne_bytes());
        attributes::put(&mut entry, allowed::ADDRESS, &address);
        attributes::put(&mut entry, allowed::LENGTH, &[net.prefix_len()]);
        attributes::put(&mut list, NESTED, &entry);
    }
    attributes::put(&mut bytes, peer::ALLOWED_IPS | NESTED, &list);
    bytes
}

/// `struct sockaddr_in` or `sockaddr_in6`.
fn socket_bytes(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => [&(libc::AF_INET as u16).to_ne_bytes()[..], &port, &ip.octets(), &[0; 8]].concat(),
        IpAddr::V6(ip) => {
            [&(libc::AF_INET6 as u16).to_ne_bytes()[..], &port, &[0; 4], &ip.octets(), &[0; 4]].concat()
        }
    }
}

fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = field(bytes, 0, u16::from_ne_bytes)?;
    let port = field(bytes, 2, u16::from_be_bytes)?;
    let ip = match i32::from(family) {
        libc::AF_INET => IpAddr::V4(field(bytes, 4, Ipv4Addr::from)?),
        libc::AF_INET6 => IpAddr::V6(field(bytes, 8, Ipv6Addr::from)?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn raw_peer(peer: &Peer) -> Result<RawPeer, Trouble> {
    Ok(RawPeer {
        public_key: read_key(&peer.public_key.value)?,
        // All zeroes means no preshared key.
        shared_key: peer.shared_key.as_ref().map_or(Ok([0; 32]), |key| read_key(&key.value))?,
        endpoint: peer.endpoint.as_ref().map(|e| SocketAddr::new(e.value.0, e.value.1)),
        keepalive: peer.keepalive.unwrap_or(0),
        allowed: peer.allowed.iter().map(IpNet::trunc).collect(),
    })
}

/// A key in base64, or the file that an absolute path names. Errors never contain any part of it.
fn read_key(text: &str) -> Result<Key, Trouble> {
    if !text.starts_with('/') || from_base64(text).is_some() {
        return from_base64(text).ok_or(Trouble::BadKey(None));
    }
    let content = read_key_file(Path::new(text))?;
    let content = String::from_utf8(content).unwrap_or_default();
    from_base64(content.trim()).ok_or_else(|| Trouble::BadKey(Some(text.into())))
}

/// Reads a file named by the description, as root: only a regular file owned by root, without waiting for a FIFO or a
/// device, and never more than a key needs. It may be a symlink: NixOS keeps keys so.
fn read_key_file(path: &Path) -> Result<Vec<u8>, Trouble> {
    let is_not = |why| Trouble::KeyFile { path: path.to_owned(), why };
    let failed = |error: io::Error| Trouble::File { path: path.to_owned(), errno: super::errno(&error) };
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = file.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(is_not("it is not a regular file"));
    }
    // Somebody who tries a description without being root reads their own files.
    if ![0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid()) {
        return Err(is_not("it does not belong to root"));
    }
    let mut content = Vec::new();
    file.take(KEY_FILE + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > KEY_FILE {
        return Err(is_not("it is larger than 4 KiB"));
    }
    Ok(content)
}

/// 44 base64 characters with one `=` at the end: 32 bytes.
fn from_base64(text: &str) -> Option<Key> {
    base64::decode(text).filter(|_| text.len() == 44)?.try_into().ok()
}

/// The inverse of [`from_base64`].
fn to_base64(key: &Key) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(44);
    for three in key.chunks(3) {
        let held = (0..3).fold(0, |held, i| held << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        // Three bytes are four characters, the two at the end three.
        for shift in [18, 12, 6, 0].into_iter().take(three.len() + 1) {
            text.push(char::from(LETTERS[(held >> shift) as usize & 63]));
        }
    }
    text.push('=');
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn keys_are_base64_of_32_bytes() {
        assert_eq!(from_base64("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), Some([0; 32]));
        assert_eq!(from_base64("//////////////////////////////////////////8="), Some([0xff; 32]));
        let mut counted = [0; 32];
        counted.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        assert_eq!(from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), Some(counted));
        for key in [[0; 32], [0xff; 32], counted] {
            assert_eq!(from_base64(&to_base64(&key)), Some(key));
        }
        for wrong in [
            "",
            "short=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-=",
        ] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let secret = "cGFzc3dvcmQ";
        let trouble = read_key(secret).unwrap_err().to_string();
        assert!(!trouble.contains(secret), "{trouble}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
        assert_eq!(read_key(file.to_str().unwrap()).map(|key| key[31]), Ok(31));
        fs::write(&file, secret).unwrap();
        let trouble = read_key(file.to_str().unwrap()).unwrap_err().to_string();
        assert!(trouble.contains("/key: ") && !trouble.contains(secret), "{trouble}");
    }

    #[test]
    fn a_key_is_read_only_from_a_small_regular_file_owned_by_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        fs::write(path("key"), key).unwrap();
        std::os::unix::fs::symlink("key", path("link")).unwrap();
        assert_eq!(read_key_file(&path("link")).as_deref(), Ok(key.as_bytes()));
        let why = |path: &Path| match read_key_file(path).unwrap_err() {
            Trouble::KeyFile { why, .. } => why.to_owned(),
            trouble => trouble.to_string(),
        };
        assert_eq!(why(Path::new("/dev/zero")), "it is not a regular file");
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(why(&path("fifo")), "it is not a regular file");
        fs::write(path("large"), "A".repeat(4097)).unwrap();
        assert_eq!(why(&path("large")), "it is larger than 4 KiB");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(path("key"), Some(1000), None).unwrap();
            assert_eq!(why(&path("link")), "it does not belong to root");
        }
    }

    #[test]
    fn endpoints_round_trip() {
        for text in ["192.0.2.1:51820", "[2001:db8::1]:7"] {
            let address = text.parse().unwrap();
            assert_eq!(socket_address(&socket_bytes(address)), Some(address));
        }
    }
}
