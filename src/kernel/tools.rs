//! The steps that notify a running tool of the image over D-Bus: to reload its files, and to release a link. Each ends
//! when the tool has done so, within one bound.

use std::time::Duration;

use super::trouble::{ProgramFailure, Trouble};
use crate::bus::{Argument, Bus, BusError, BusMethod, PROPERTIES, Returned};
use crate::machine::Machine;
use crate::plan::{Manager, Service};

/// How long a tool may take for one step. systemd-networkd, which must have been started by then, takes the longest.
pub const BUS_BOUND: Duration = Duration::from_secs(15);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const NETWORKD: &str = "org.freedesktop.network1";
const NETWORK_MANAGER: &str = "org.freedesktop.NetworkManager";
const NETWORK_MANAGER_PATH: &str = "/org/freedesktop/NetworkManager";
const NETWORK_MANAGER_DEVICE: &str = "org.freedesktop.NetworkManager.Device";
/// `NM_DEVICE_STATE_UNMANAGED` (NetworkManager's D-Bus API, `NMDeviceState`); 0 is unknown.
const UNMANAGED: i128 = 10;

/// Makes a running service reload its files.
pub(super) async fn refresh(machine: &Machine, service: Service) -> Result<(), Trouble> {
    let result = match service {
        Service::Networkd => reload_networkd(machine).await,
        Service::NetworkdAgain => restart(machine, "systemd-networkd.service").await,
        Service::Resolved => restart(machine, "systemd-resolved.service").await,
        Service::Dhcpcd => restart(machine, "dhcpcd.service").await,
        Service::Connman => restart(machine, "connman.service").await,
        Service::Timesyncd => restart(machine, "systemd-timesyncd.service").await,
        Service::Chrony => restart(machine, "chrony.service").await,
        Service::Chronyd => restart(machine, "chronyd.service").await,
        Service::NetworkManager => {
            // Configuration, then what it writes for the resolver (NM_MANAGER_RELOAD_FLAG_CONF and _DNS_FULL).
            let arguments = [Argument::Number(1 | 4)];
            let reload = BusMethod {
                destination: NETWORK_MANAGER,
                path: NETWORK_MANAGER_PATH,
                interface: NETWORK_MANAGER,
                member: "Reload",
                arguments: &arguments,
            };
            called(machine, &reload).await
        }
    };
    result.map_err(|error| trouble(service.command(), error))
}

/// Makes a tool release a link, or take it, and waits until it has.
pub(super) async fn manage(machine: &Machine, link: &str, by: Manager, on: bool) -> Result<(), Trouble> {
    let result = match by {
        Manager::NetworkManager => manage_by_network_manager(machine, link, on).await,
        Manager::Networkd => await_networkd(machine, link).await,
    };
    result.map_err(|error| trouble(by.name(), error))
}

fn trouble(program: &str, error: BusError) -> Trouble {
    Trouble::Program { program: program.to_owned(), failure: ProgramFailure::Bus(error) }
}

async fn called(machine: &Machine, method: &BusMethod<'_>) -> Result<(), BusError> {
    let mut bus = Bus::system(machine.root(), BUS_BOUND).await?;
    bus.call_once_ready(method).await.map(drop)
}

/// A networkd that is still starting has no name on the bus yet: wait for it. Without a bus, systemd reloads it.
async fn reload_networkd(machine: &Machine) -> Result<(), BusError> {
    let mut bus = match Bus::system(machine.root(), BUS_BOUND).await {
        Err(BusError::Absent(_)) => return restart(machine, "systemd-networkd.service").await,
        bus => bus?,
    };
    bus.owned(NETWORKD).await?;
    let reload = BusMethod {
        destination: NETWORKD,
        path: "/org/freedesktop/network1",
        interface: "org.freedesktop.network1.Manager",
        member: "Reload",
        arguments: &[],
    };
    bus.call(&reload).await.map(drop)
}

/// Has systemd restart a running unit, and waits until the job is done. Uses systemd's own socket, which needs no D-Bus
/// daemon.
async fn restart(machine: &Machine, unit: &str) -> Result<(), BusError> {
    let mut bus = Bus::systemd(machine.root(), BUS_BOUND).await?;
    let manager = |member, arguments| BusMethod {
        destination: SYSTEMD,
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member,
        arguments,
    };
    // Without a subscriber systemd sends no signals.
    bus.call(&manager("Subscribe", &[])).await?;
    // The units are ordered after netapply.service, and at boot that unit's start job is still running: without
    // ignoring dependencies the restart would wait for this process.
    let arguments = [Argument::Text(unit), Argument::Text("ignore-dependencies")];
    let job = bus.call(&manager("TryRestartUnit", &arguments)).await?;
    let job = job.first().and_then(Returned::text).unwrap_or_default().to_owned();
    loop {
        // JobRemoved: number, path, unit, result.
        let signal = bus.signal("JobRemoved").await?;
        if signal.get(1).and_then(Returned::text) != Some(&job) {
            continue;
        }
        return match signal.get(3).and_then(Returned::text) {
            Some("done" | "skipped") => Ok(()),
            other => Err(BusError::Broken(format!("restarting {unit} ended with {}", other.unwrap_or("?")))),
        };
    }
}

async fn manage_by_network_manager(machine: &Machine, link: &str, on: bool) -> Result<(), BusError> {
    let mut bus = Bus::system(machine.root(), BUS_BOUND).await?;
    let arguments = [Argument::Text(link)];
    let device = BusMethod {
        destination: NETWORK_MANAGER,
        path: NETWORK_MANAGER_PATH,
        interface: NETWORK_MANAGER,
        member: "GetDeviceByIpIface",
        arguments: &arguments,
    };
    let device = bus.call(&device).await?;
    let path = device.first().and_then(Returned::text).unwrap_or_default().to_owned();
    bus.watch(&path).await?;
    let arguments =
        [Argument::Text(NETWORK_MANAGER_DEVICE), Argument::Text("Managed"), Argument::BooleanVariant(on)];
    let set = BusMethod {
        destination: NETWORK_MANAGER,
        path: &path,
        interface: PROPERTIES,
        member: "Set",
        arguments: &arguments,
    };
    bus.call(&set).await?;
    // It keeps the addresses on a released link, and releases it in a later iteration of its loop.
    if on {
        return Ok(());
    }
    loop {
        let state = bus.property(NETWORK_MANAGER, &path, NETWORK_MANAGER_DEVICE, "State").await?;
        if state.and_then(|state| state.number()).is_none_or(|state| state <= UNMANAGED) {
            return Ok(());
        }
        bus.signal("StateChanged").await?;
    }
}

/// Waits until systemd-networkd, after reloading its files, has released a link.
async fn await_networkd(machine: &Machine, link: &str) -> Result<(), BusError> {
    const INTERFACE: &str = "org.freedesktop.network1.Link";
    let mut bus = Bus::system(machine.root(), BUS_BOUND).await?;
    bus.owned(NETWORKD).await?;
    let arguments = [Argument::Text(link)];
    let by_name = BusMethod {
        destination: NETWORKD,
        path: "/org/freedesktop/network1",
        interface: "org.freedesktop.network1.Manager",
        member: "GetLinkByName",
        arguments: &arguments,
    };
    let found = bus.call(&by_name).await?;
    let path = found.get(1).and_then(Returned::text).unwrap_or_default().to_owned();
    bus.watch(&path).await?;
    loop {
        let state = bus.property(NETWORKD, &path, INTERFACE, "AdministrativeState").await?;
        if state.as_ref().and_then(Returned::text) == Some("unmanaged") {
            return Ok(());
        }
        bus.signal("PropertiesChanged").await?;
    }
}
