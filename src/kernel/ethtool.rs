//! Offload features, parameters such as speed and ring sizes, and wake-on-LAN, over ethtool's netlink family (linux/ethtool_netlink.h, kernel 5.8).

use std::collections::BTreeMap;

use nix::errno::Errno;

use crate::inventory::SettingName;
use crate::model::Settings;
use crate::model::attribute::{NIC, OptionValue};
use crate::order::Few as _;

use super::attributes::{self, Attributes, NESTED};
use super::generic::{Generic, answer};
use super::names::Names;
use super::session::Failure;
use super::value;
use super::wire::Refusal;

const FAMILY: &str = "ethtool";

const WOL_GET: u8 = 9;
const WOL_SET: u8 = 10;
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;

/// `ETHTOOL_A_…_HEADER` of every message, and in it the link's name.
const HEADER: u16 = 1;
const HEADER_DEV_NAME: u16 = 2;
const WOL_MODES: u16 = 2;
const FEATURES_HW: u16 = 2;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;

/// A set of named bits: `ETHTOOL_A_BITSET_…` and `ETHTOOL_A_BITSET_BIT_…`.
const BITSET_NOMASK: u16 = 1;
const BITSET_BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// ethtool(8)'s name for all features that begin with [`CHECKSUM`]; a driver has one of them.
const CHECKSUMMING: &str = "tx-checksumming";
const CHECKSUM: &str = "tx-checksum-";

const MAGIC: &str = "magic";

/// Which of `wanted` are on at a link. A feature unknown to the driver is missing from the answer.
pub(super) async fn features<'a>(
    link: &str,
    wanted: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<SettingName, bool>, Failure> {
    let Some(mut ethtool) = Generic::open(FAMILY).await? else { return Ok(BTreeMap::new()) };
    let reply = ethtool.command(FEATURES_GET, &header(link)).await?;
    let active: Vec<String> = bits(answer(&reply).nest(FEATURES_ACTIVE)).map(|(name, _)| name).collect();
    let is_on = |wanted: &str| match wanted {
        CHECKSUMMING => active.iter().any(|name| name.starts_with(CHECKSUM)),
        _ => active.iter().any(|name| name == wanted),
    };
    Ok(wanted.map(|name| (name.to_owned().into(), is_on(name))).few())
}

/// Turns a feature on or off. Returns a sentence if the driver ignores it, which is not an error.
pub(super) async fn set_feature(link: &str, feature: &str, on: bool) -> Result<Option<String>, Failure> {
    let mut ethtool = Generic::open_or_refuse(FAMILY).await?;
    let names = if feature == CHECKSUMMING {
        let reply = ethtool.command(FEATURES_GET, &header(link)).await?;
        bits(answer(&reply).nest(FEATURES_HW))
            .map(|(name, _)| name)
            .filter(|n| n.starts_with(CHECKSUM))
            .collect()
    } else {
        vec![feature.to_owned()]
    };
    let mut message = header(link);
    put_bits(&mut message, FEATURES_WANTED, names.iter().map(String::as_str), on, false);
    let reply = ethtool.command(FEATURES_SET, &message).await?;
    // The reply lists what was requested but not done.
    let kept = bits(answer(&reply).nest(FEATURES_WANTED)).any(|(name, _)| names.contains(&name));
    Ok((kept || names.is_empty()).then(|| {
        let state = if on { "off" } else { "on" };
        format!("the driver keeps {feature} {state}")
    }))
}

/// The current values of the named parameters; those that the driver lacks are missing.
pub(super) async fn parameters(
    link: &str,
    named: &Settings,
) -> Result<BTreeMap<SettingName, OptionValue>, Failure> {
    let mut values = BTreeMap::new();
    let Some(mut ethtool) = Generic::open(FAMILY).await? else { return Ok(values) };
    for group in NIC {
        let rows = || group.rows.iter().filter(|row| named.get(row.name).is_some());
        if rows().next().is_none() {
            continue;
        }
        let reply = match ethtool.command(group.get, &header(link)).await {
            Ok(reply) => reply,
            Err(Failure::Refused(_)) => continue,
            Err(failure) => return Err(failure),
        };
        let there = answer(&reply).indexed();
        for row in rows() {
            if let Some(Some(value)) = value::decode(row, &there, &Names::default()) {
                values.insert(row.name.into(), value);
            }
        }
    }
    Ok(values)
}

/// Sets parameters; the others of a group stay.
pub(super) async fn set_parameters(
    link: &str,
    settings: &BTreeMap<&'static str, OptionValue>,
) -> Result<(), Failure> {
    let mut ethtool = Generic::open_or_refuse(FAMILY).await?;
    for group in NIC {
        let mut message = header(link);
        let bare = message.len();
        for row in group.rows {
            if let Some(value) = settings.get(row.name) {
                value::encode(&mut message, row, value, &Names::default())
                    .map_err(|_| Failure::Refused(Refusal::bare(Errno::EINVAL)))?;
            }
        }
        if message.len() > bare {
            ethtool.command(group.get + 1, &message).await?;
        }
    }
    Ok(())
}

/// Whether a magic packet wakes the machine through this link; `None` if it cannot.
pub(super) async fn wake_on_lan(link: &str) -> Result<Option<bool>, Failure> {
    let Some(mut ethtool) = Generic::open(FAMILY).await? else { return Ok(None) };
    match ethtool.command(WOL_GET, &header(link)).await {
        Ok(reply) => {
            Ok(bits(answer(&reply).nest(WOL_MODES)).find(|(name, _)| name == MAGIC).map(|(_, on)| on))
        }
        Err(Failure::Refused(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Lets only a magic packet wake the machine, or nothing.
pub(super) async fn set_wake_on_lan(link: &str, on: bool) -> Result<(), Failure> {
    let mut ethtool = Generic::open_or_refuse(FAMILY).await?;
    let mut message = header(link);
    put_bits(&mut message, WOL_MODES, on.then_some(MAGIC).into_iter(), true, true);
    ethtool.command(WOL_SET, &message).await.map(drop)
}

fn header(link: &str) -> Vec<u8> {
    let (mut name, mut message) = (Vec::new(), Vec::new());
    attributes::put(&mut name, HEADER_DEV_NAME, &[link.as_bytes(), &[0]].concat());
    attributes::put(&mut message, HEADER | NESTED, &name);
    message
}

/// The bits of a set with their values; in a set without a mask all listed bits are on.
fn bits(set: Attributes<'_>) -> impl Iterator<Item = (String, bool)> {
    let all_on = set.get(BITSET_NOMASK).is_some();
    let bits = set.nest(BITSET_BITS).iter().filter(|(kind, _)| *kind == BIT);
    bits.filter_map(move |(_, bit)| {
        let bit = Attributes::new(bit);
        Some((bit.text(BIT_NAME)?, all_on || bit.get(BIT_VALUE).is_some()))
    })
}

/// Appends a set: those bits as given and the others unchanged, or with `only` the others off.
fn put_bits<'a>(
    message: &mut Vec<u8>,
    kind: u16,
    names: impl Iterator<Item = &'a str>,
    on: bool,
    only: bool,
) {
    let (mut set, mut bits) = (Vec::new(), Vec::new());
    for name in names {
        let mut bit = Vec::new();
        attributes::put(&mut bit, BIT_NAME, &[name.as_bytes(), &[0]].concat());
        if on {
            attributes::put(&mut bit, BIT_VALUE, &[]);
        }
        attributes::put(&mut bits, BIT | NESTED, &bit);
    }
    if only {
        attributes::put(&mut set, BITSET_NOMASK, &[]);
    }
    attributes::put(&mut set, BITSET_BITS | NESTED, &bits);
    attributes::put(message, kind | NESTED, &set);
}
