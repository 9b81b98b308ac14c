//! The steps that wait: for the end of IPv6 duplicate address detection, and for carrier.

use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::kernel::session::Failure;

use tokio::time::{Instant, timeout_at};

use crate::kernel::monitor::{Group, Monitor};
use crate::kernel::read;
use crate::kernel::trouble::Trouble;

use super::Executor;

/// How long all waits of a plan may take in total. Detection takes one to two seconds (a random delay up to one, then
/// one for each of `dad_transmits`) once the link has carrier; LACP may need up to three for that.
pub const WAIT_BOUND: Duration = Duration::from_secs(10);

impl Executor<'_> {
    /// Waits until none of `addresses` is tentative. All waits share one bound, which starts with the first.
    pub(super) async fn await_addresses(
        &mut self,
        link: &str,
        addresses: &[Ipv6Addr],
    ) -> Result<(), Trouble> {
        let until = *self.wait_until.get_or_insert_with(|| Instant::now() + WAIT_BOUND);
        // Opened before the state is read: what changes in between is an event.
        let mut monitor = Monitor::open(&[Group::Ipv6Address])?;
        loop {
            let there = read::addresses(self.session, &self.names).await?;
            let ours = there.iter().filter_map(|entry| match entry.net.addr() {
                IpAddr::V6(ip) if entry.link == link && addresses.contains(&ip) => Some((ip, entry)),
                _ => None,
            });
            if let Some((address, _)) = ours.clone().find(|(_, entry)| entry.duplicate) {
                return Err(Trouble::Duplicate(address));
            }
            let tentative: Vec<Ipv6Addr> = ours.filter(|(_, e)| e.tentative).map(|(ip, _)| ip).collect();
            if tentative.is_empty() {
                return Ok(());
            }
            if timeout_at(until, monitor.changed()).await.is_err() {
                let no_carrier = read::has_carrier(self.session, link).await == Some(false);
                return Err(Trouble::Tentative { addresses: tentative, waited: WAIT_BOUND, no_carrier });
            }
        }
    }

    /// Waits until a link is ready for IPv6. A link that is not ready is no error: the log says what the kernel will
    /// do.
    pub(super) async fn await_carrier(&mut self, link: &str) -> Result<Option<String>, Failure> {
        let until = *self.wait_until.get_or_insert_with(|| Instant::now() + WAIT_BOUND);
        let mut monitor = Monitor::open(&[Group::Link])?;
        let mut announced = false;
        while read::is_ready(self.session, link).await == Some(false) {
            if !mem::replace(&mut announced, true) {
                let seconds = until.saturating_duration_since(Instant::now()).as_secs();
                log::info!("waiting up to {seconds} s for carrier on {link}, to set its IPv6 MTU");
            }
            if timeout_at(until, monitor.changed()).await.is_err() {
                return Ok(Some(format!(
                    "{link} has no carrier: when it comes, the kernel sets the IPv6 MTU back to the link's; run \
                     netapply apply then"
                )));
            }
        }
        Ok(None)
    }
}
