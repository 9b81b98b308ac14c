//! Which packet filters are hooked into the kernel, to tell what may drop this machine's packets: the base chains of
//! nftables, and the tables of the older iptables. Rules are not read.

use std::fs;

use crate::machine::Machine;

use super::attributes::Attributes;
use super::session::{Failure, NetlinkFamily, Session};
use super::wire::Request;

/// `NFNL_SUBSYS_NFTABLES`, `NFT_MSG_GETCHAIN` (linux/netfilter/nfnetlink.h, nf_tables.h).
const GET_CHAIN: u16 = 10 << 8 | 4;
/// Length of `struct nfgenmsg` in bytes; the first byte is the family.
const HEADER: usize = 4;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_DEV: u16 = 3;
/// `NFPROTO_ARP` and `NFPROTO_NETDEV`; the others number their hooks as `NF_INET_…`.
const ARP: u8 = 3;
const NETDEV: u8 = 5;

/// Which packets pass a filter.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Incoming packets.
    In,
    /// Packets that this machine sends.
    Out,
}

/// A packet filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its name as its program shows it: `nft table inet filter, chain input`, `iptables table filter`.
    pub name: String,
    /// Which packets pass it; `None` for forwarded ones, or if that is not known.
    pub direction: Option<Direction>,
    /// The link that it is attached to, if any.
    pub device: Option<String>,
    /// It may translate addresses, or reroute packets: an answer may come from another host than the one asked.
    pub translates: bool,
}

/// The existing filters. Loads no module: if nftables is a module that is not loaded, it has none.
pub async fn filters(machine: &Machine) -> Vec<Filter> {
    let mut filters = legacy(machine);
    if has_nftables(machine) {
        match chains().await {
            Ok(chains) => filters.extend(chains),
            Err(failure) => log::debug!("nftables: {failure}"),
        }
    }
    filters
}

/// Addressing a missing subsystem makes the kernel load its module (`nfnetlink_rcv_msg`). A kernel without modules has
/// no /proc/modules.
fn has_nftables(machine: &Machine) -> bool {
    let modules = fs::read_to_string(machine.at("/proc/modules"));
    modules.map_or(true, |text| text.lines().any(|line| line.starts_with("nf_tables ")))
}

async fn chains() -> Result<Vec<Filter>, Failure> {
    let mut session = Session::open(NetlinkFamily::Netfilter)?;
    let request = Request::new(GET_CHAIN, 0, &[0; HEADER]);
    Ok(session.dump(&request, |frame| chain(frame.payload)).await?.items)
}

/// A base chain; `None` for one that is only jumped to.
fn chain(payload: &[u8]) -> Option<Filter> {
    let (header, attributes) = payload.split_at_checked(HEADER)?;
    let (family, attributes) = (*header.first()?, Attributes::new(attributes));
    attributes.get(NFTA_CHAIN_HOOK)?;
    let hook = attributes.nest(NFTA_CHAIN_HOOK);
    let number = u32::from_be_bytes(hook.get(NFTA_HOOK_HOOKNUM)?.try_into().ok()?);
    // PRE_ROUTING, LOCAL_IN, FORWARD, LOCAL_OUT, POST_ROUTING, INGRESS; NETDEV and ARP have in and out.
    let direction = match (family, number) {
        (ARP | NETDEV, 0) => Some(Direction::In),
        (ARP | NETDEV, 1) => Some(Direction::Out),
        (_, 0 | 1 | 5) => Some(Direction::In),
        (_, 3 | 4) => Some(Direction::Out),
        _ => None,
    };
    let word = match family {
        1 => "inet",
        2 => "ip",
        ARP => "arp",
        NETDEV => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    };
    let (table, name) = (attributes.text(NFTA_CHAIN_TABLE)?, attributes.text(NFTA_CHAIN_NAME)?);
    Some(Filter {
        name: format!("nft table {word} {table}, chain {name}"),
        direction,
        device: hook.text(NFTA_HOOK_DEV),
        translates: matches!(attributes.text(NFTA_CHAIN_TYPE).as_deref(), Some("nat" | "route")),
    })
}

/// The tables of iptables that are in use in this namespace.
fn legacy(machine: &Machine) -> Vec<Filter> {
    let mut filters = Vec::new();
    for (path, program) in
        [("/proc/net/ip_tables_names", "iptables"), ("/proc/net/ip6_tables_names", "ip6tables")]
    {
        let names = fs::read_to_string(machine.at(path)).unwrap_or_default();
        for table in names.lines() {
            for direction in [Direction::In, Direction::Out] {
                let (name, translates) =
                    (format!("{program} table {table}"), matches!(table, "nat" | "mangle"));
                filters.push(Filter { name, direction: Some(direction), device: None, translates });
            }
        }
    }
    filters
}
