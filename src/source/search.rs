//! The search at boot: looks at every drive, waits for late ones, reads the one to use. Events say when to look again,
//! deadlines when to stop. Which drive to use is decided in `choose`. Entry: [`find`].

use super::choose::{Candidate, Holder, SearchPhase, Tier, candidates, described, layout_of};
use super::devices::{self, Device, Location};
use super::explicit::nothing_on;
use super::hosts;
use super::layout::{Contents, Layout};
use super::look::{Inspected, look_at};
use super::mount::{read_share, read_volume};
use super::tree::{DirTree, plain};
use super::volume::{Volume, clock};
use super::watch::{DeviceEvent, Watch};
use super::{
    Found, LOOK_BOUND, NotFound, NotFoundKind, OVERRUN, Origin, OriginKind, READ_BOUND, SearchOptions, child,
};
use crate::machine::Machine;
use crate::order::Order as _;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, timeout_at};

/// Drives that are probed at the same time.
const AT_ONCE: usize = 16;
/// How long a boot waits for better places before it uses what an earlier deployment may have left: disks and CD drives
/// are detected in parallel, in no order.
const SETTLE: Duration = Duration::from_secs(1);
/// How often an empty drive that sends no events is polled (`Device::unwatched`).
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Drives that a message lists.
const LISTED: usize = 6;

/// The directories that are searched at boot, and the layout of each.
const SEEDS: [(&str, Layout); 5] = [
    ("config-drive", Layout::ConfigDrive),
    ("var/lib/cloud/seed/config_drive", Layout::ConfigDrive),
    ("var/lib/cloud/seed/nocloud", Layout::NoCloud),
    ("var/lib/cloud/seed/nocloud-net", Layout::NoCloud),
    ("mnt/config", Layout::ConfigDrive),
];

/// Searches until something is found or the time is over. `watch` was subscribed earlier, so that nothing is missed
/// between the first look and the first wait.
pub(super) async fn find(
    request: &SearchOptions,
    watch: io::Result<Watch>,
    progress: &mut dyn FnMut(&str),
) -> Result<Found, NotFound> {
    if request.cmdline.is_pxe_without_drive() {
        return Err(NotFound::new(
            NotFoundKind::PxeBoot,
            "This is a PXE boot (BOOTIF on the kernel command line, no ir_pub_id): there is no config drive, and one \
             that is found would be an earlier deployment's.",
            "To use a description anyway, name it: netapply.source= on the kernel command line.",
        ));
    }
    let wait = request.wait.unwrap_or_else(|| request.cmdline.wait_for_drive());
    let begin = Instant::now();
    let (settled, last) = (begin + SETTLE.min(wait), begin + wait);
    let mut watch = watch
        .inspect_err(|e| log::warn!("no events on drives, so late ones go unnoticed: {}", plain(e)))
        .ok();
    let mut search = Search::new(request, last + OVERRUN);
    let mut announced = false;
    loop {
        // The time before the look counts: what the look missed is found by the next one.
        let now = Instant::now();
        let phase = match () {
            () if now >= last => SearchPhase::Last,
            () if now >= settled => SearchPhase::Settled,
            () => SearchPhase::Early,
        };
        if phase == SearchPhase::Last {
            search.forget_failures();
        }
        search.look().await;
        if let Some(result) = search.attempt(phase).await {
            return result;
        }
        if phase == SearchPhase::Last {
            return Err(search.not_found(wait));
        }
        if !announced {
            progress(&search.waiting_for(wait));
            announced = true;
        }
        let next = if phase == SearchPhase::Early { settled } else { last };
        search.wait(&mut watch, next).await;
    }
}

struct Search<'a> {
    request: &'a SearchOptions,
    /// When even a read that is under way is given up.
    end: Instant,
    devices: Vec<Device>,
    /// By device name; forgotten when an event says that the device changed.
    looks: BTreeMap<String, Inspected>,
    /// The result of reading a candidate if it was no description, by the candidate's name; forgotten likewise.
    read: BTreeMap<String, NotFound>,
}

impl<'a> Search<'a> {
    fn new(request: &'a SearchOptions, end: Instant) -> Search<'a> {
        Search { request, end, devices: Vec::new(), looks: BTreeMap::new(), read: BTreeMap::new() }
    }

    /// Looks at the superblocks of every device that is new or has changed.
    async fn look(&mut self) {
        let machine = &self.request.machine;
        self.devices = devices::block_devices(&machine.sys(), &machine.dev());
        self.looks.retain(|name, _| self.devices.iter().any(|d| d.name == *name));
        let unknown: Vec<&Device> =
            self.devices.iter().filter(|d| !self.looks.contains_key(&d.name)).collect();
        for some in unknown.chunks(AT_ONCE) {
            let until = self.end.min(Instant::now() + LOOK_BOUND);
            let jobs: Vec<_> = some
                .iter()
                .map(|device| {
                    let (node, place) = (device.node.clone(), device.place);
                    (device.name.clone(), child::start(|| look_at(&node, place)))
                })
                .collect();
            for (name, job) in jobs {
                let look = match job {
                    Ok(job) => job.finish(until).await,
                    Err(lost) => Err(lost),
                };
                let look = look.unwrap_or_else(|lost| Inspected::Failed(lost.shown()));
                log::debug!("{name}: {}", look.shown());
                self.looks.insert(name, look);
            }
        }
    }

    fn volumes(&self) -> Vec<(Device, Volume)> {
        let volume = |device: &Device| match self.looks.get(&device.name) {
            Some(Inspected::Volume(volume)) => Some((device.clone(), volume.clone())),
            _ => None,
        };
        self.devices.iter().filter_map(volume).collect()
    }

    fn candidates(&self) -> Vec<Candidate> {
        let (machine, cmdline) = (&self.request.machine, &self.request.cmdline);
        let named = cmdline.seed_directory().map(|path| (path, Layout::NoCloud));
        let seeds = named.into_iter().chain(SEEDS).map(|(path, layout)| (machine.at(path), layout));
        let seeds = seeds.filter(|(path, _)| path.is_dir()).collect();
        candidates(&self.volumes(), devices::shares(&machine.sys()), seeds, cmdline)
    }

    /// Reads the candidates that may be taken now, best first. `None`: keep looking.
    async fn attempt(&mut self, phase: SearchPhase) -> Option<Result<Found, NotFound>> {
        let all = self.candidates();
        let believable: Vec<&Candidate> = all.iter().filter(|c| !c.is_superseded(&all)).collect();
        for candidate in believable.iter().filter(|c| c.is_due(phase, &self.request.cmdline)) {
            let name = candidate.name();
            if !self.read.contains_key(&name) {
                let left = self.end.saturating_duration_since(Instant::now());
                match read(candidate, READ_BOUND.min(left), &self.request.machine).await {
                    Ok(Some(contents)) => return Some(Ok(self.found(candidate, &all, contents))),
                    Ok(None) => self.read.insert(name.clone(), nothing_on_candidate(candidate)),
                    Err(problem) => self.read.insert(name.clone(), on_drive(candidate, problem)),
                };
            }
            // A drive that exists but cannot be read is not replaced by an older one.
            let problem =
                self.read.get(&name).filter(|p| p.kind.is_unreadable() && candidate.matters(p.kind));
            if let Some(problem) = problem {
                let final_word = phase == SearchPhase::Last || problem.kind != NotFoundKind::Unreadable;
                return final_word.then(|| Err(problem.clone()));
            }
        }
        // Ironic has made this boot's only drive without a network description: no other one will appear.
        let by_design = self.read.values().find(|problem| problem.kind == NotFoundKind::NodeWithoutNetwork);
        if let Some(problem) = by_design {
            return Some(Err(problem.clone()));
        }
        // This boot's drive has no network description: there is no reason to delay the boot any further.
        let mut drives =
            believable.iter().filter(|c| c.is_labelled_drive()).map(|c| self.read.get(&c.name()));
        let over = phase == SearchPhase::Settled && !self.request.cmdline.medium_awaited();
        if !over || drives.clone().any(|read| read.is_none()) {
            return None;
        }
        drives.next().flatten().cloned().map(Err)
    }

    fn found(&self, taken: &Candidate, all: &[Candidate], contents: Contents) -> Found {
        let others: Vec<&Candidate> = all.iter().filter(|c| c.name() != taken.name()).collect();
        let why = taken.why(&others);
        let (kind, path, volume) = match &taken.holder {
            Holder::Volume(device, volume) => (OriginKind::BlockDevice, &device.node, Some(volume)),
            Holder::Share(share) => (OriginKind::HostShare, &PathBuf::from(&share.tag), None),
            Holder::Seed(path, _) => (OriginKind::SeedDirectory, path, None),
        };
        let mut origin = Origin::of(kind, path.display().to_string(), volume, &why);
        if let Holder::Share(share) = &taken.holder {
            origin.filesystem = Some(share.filesystem.into());
        }
        // Labelled drives count even if ir_pub_id excludes them as candidates: they are the ones that were mistaken
        // before.
        let taken_name = taken.name();
        for (device, volume) in self.volumes().iter().filter(|(_, volume)| layout_of(volume).is_some()) {
            let name = device.node.display().to_string();
            let is_part_of_taken =
                device.disk.as_ref().is_some_and(|disk| taken_name.ends_with(&format!("/{disk}")));
            if name != taken_name && !is_part_of_taken {
                let empty = if self.read.contains_key(&name) { ": no network description" } else { "" };
                origin.others.push(described(&name, volume) + empty);
            }
        }
        Found::new(contents, origin)
    }

    /// Waits for something to happen, at most until `until`.
    async fn wait(&mut self, watch: &mut Option<Watch>, until: Instant) {
        let is_empty =
            |d: &Device| matches!(self.looks.get(&d.name), Some(Inspected::NoMedium | Inspected::Failed(_)));
        let unwatched: Vec<String> =
            self.devices.iter().filter(|d| d.unwatched && is_empty(d)).map(|d| d.name.clone()).collect();
        let until = if unwatched.is_empty() { until } else { until.min(Instant::now() + LOOK_AGAIN) };
        let events = match watch {
            Some(watch) => timeout_at(until, watch.next()).await.ok(),
            None => {
                tokio::time::sleep_until(until).await;
                Some(vec![DeviceEvent::Lost])
            }
        };
        let unwatched = || unwatched.into_iter().map(DeviceEvent::Device).collect();
        for event in events.unwrap_or_else(unwatched) {
            self.forget(&event);
        }
    }

    fn forget(&mut self, event: &DeviceEvent) {
        match event {
            DeviceEvent::Device(name) => {
                self.looks.remove(name);
                let node = self.request.machine.dev().join(name);
                self.read.remove(&node.display().to_string());
            }
            DeviceEvent::Virtio => {}
            DeviceEvent::Lost => {
                self.looks.clear();
                self.read.clear();
            }
        }
    }

    /// The last look gives a medium that could not be read another chance.
    fn forget_failures(&mut self) {
        self.looks.retain(|_, look| !matches!(look, Inspected::Failed(_)));
        self.read.retain(|_, problem| problem.kind != NotFoundKind::Unreadable);
    }

    fn waiting_for(&self, wait: Duration) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let what = match &self.request.cmdline.ir_pub_id {
            Some(id) => format!("the ISO with the publisher id {id}"),
            None => "a drive labelled config-2, cidata or CONTEXT".to_owned(),
        };
        let until = clock((now + wait).as_secs());
        format!("Waiting up to {} s (until {until}) for {what}.", wait.as_secs())
    }

    fn not_found(&self, wait: Duration) -> NotFound {
        let candidates = self.candidates();
        let problems = candidates.iter().filter_map(|c| Some((c, self.read.get(&c.name())?)));
        if let Some((_, problem)) = problems.into_iter().find(|(c, problem)| c.matters(problem.kind)) {
            return problem.clone();
        }
        let within = match wait.as_secs() {
            0 => String::new(),
            seconds => format!(" within {seconds} s"),
        };
        let what = match &self.request.cmdline.ir_pub_id {
            Some(id) => format!("No ISO with the publisher id {id} (the kernel command line's ir_pub_id)"),
            None => "No drive labelled config-2, cidata or CONTEXT".to_owned(),
        };
        let message = format!("{what} was found{within}. {}", self.seen());
        let look = |wanted: fn(&Inspected) -> bool| {
            self.devices.iter().find(|d| self.looks.get(&d.name).is_some_and(wanted))
        };
        if look(|l| *l == Inspected::NeedsRoot).is_some() {
            return NotFound::new(NotFoundKind::NeedsRoot, message, "Run netapply as root.");
        }
        // A container sees the host's drives but may not open them: there is no drive for it, and nothing to fix.
        let hint = "Attach the drive, or name the description: netapply.source= on the kernel command line, or \
                    netapply SOURCE.";
        if let Some((device, publisher)) = self.other_boots_iso() {
            let id = self.request.cmdline.ir_pub_id.as_deref().unwrap_or_default();
            return NotFound::new(
                NotFoundKind::NoDrive,
                format!("{device} holds another boot's ISO (publisher {publisher})."),
                format!("Eject it and attach this node's, whose publisher id is {id} (ir_pub_id)."),
            );
        }
        let broken =
            look(|l| matches!(l, Inspected::Failed(_))).is_some_and(|d| d.place <= Location::Removable);
        let kind = if broken { NotFoundKind::Unreadable } else { NotFoundKind::NoDrive };
        NotFound::new(kind, message, hint)
    }

    /// A CD or USB device with the ISO that Ironic made for another node, or for an earlier boot.
    fn other_boots_iso(&self) -> Option<(String, String)> {
        self.request.cmdline.ir_pub_id.as_ref()?;
        let volumes = self.volumes();
        let other = volumes
            .iter()
            .find(|(device, volume)| device.place <= Location::Removable && layout_of(volume).is_some());
        let (device, volume) = other?;
        let publisher = volume.publisher.clone().unwrap_or_else(|| "not given".to_owned());
        Some((device.node.display().to_string(), publisher))
    }

    /// What was found instead, as a sentence.
    fn seen(&self) -> String {
        let mut devices: Vec<&Device> = self.devices.iter().collect();
        devices.order_by_key(|d| (d.place, d.name.clone()));
        let looks = devices.iter().filter_map(|d| {
            let look = self.looks.get(&d.name)?;
            Some(match look {
                Inspected::Volume(volume) => described(&d.node.display().to_string(), volume),
                other => format!("{} ({})", d.node.display(), other.shown()),
            })
        });
        let mut shown: Vec<String> = looks.collect();
        let more = shown.len().saturating_sub(LISTED);
        shown.truncate(LISTED);
        match (shown.len(), more) {
            (0, _) => "There is no drive at all.".to_owned(),
            (_, 0) => format!("There is only {}.", shown.join(", ")),
            (_, more) => format!("There is only {}, and {more} more.", shown.join(", ")),
        }
    }
}

/// Reads a candidate's description, for as long as that may take.
async fn read(
    candidate: &Candidate,
    bound: Duration,
    machine: &Machine,
) -> Result<Option<Contents>, NotFound> {
    let read = child::run(bound, || match &candidate.holder {
        Holder::Volume(device, volume) => read_volume(&device.node, volume, layout_of(volume), machine),
        Holder::Share(share) => read_share(share, machine),
        Holder::Seed(path, layout) => hosts::read(&DirTree::confined(path), Some(*layout), machine),
    });
    read.await
        .unwrap_or_else(|lost| Err(lost.problem("it", "Check the medium, and the BMC that provides it.")))
}

/// A candidate without a description.
fn nothing_on_candidate(candidate: &Candidate) -> NotFound {
    if candidate.tier != Tier::Demanded {
        return nothing_on(&candidate.shown());
    }
    NotFound::new(
        NotFoundKind::NodeWithoutNetwork,
        format!(
            "This node has no network_data: the ISO in {} holds none. The image's own DHCP is used.",
            candidate.name()
        ),
        "For a network without DHCP set the node's network_data field in Ironic.",
    )
}

/// Adds the drive to the message.
fn on_drive(candidate: &Candidate, problem: NotFound) -> NotFound {
    if problem.names_drive {
        return problem;
    }
    NotFound { message: format!("On {}: {}", candidate.shown(), problem.message), ..problem }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{FakeMachine, iso};
    use super::super::{Cmdline, SearchOptions};
    use super::*;
    use std::os::unix::net::UnixDatagram;

    const V2: &str = "version: 2\n";
    const CD: &str = "pci/ata1/block/sr0";
    const CD_EVENT: &[u8] = b"change@/devices/pci/ata1/block/sr0\0SUBSYSTEM=block\0DEVNAME=sr0\0";

    fn cidata() -> Vec<u8> {
        iso("cidata", "", "NETWORK_CONFIG", V2)
    }

    /// Searches; `act` is called with each progress message, and may change the machine.
    fn search(
        fake: &FakeMachine,
        cmdline: &str,
        wait: u64,
        mut act: impl FnMut(&str, &UnixDatagram),
    ) -> Result<Found, NotFound> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (watch, kernel) = FakeMachine::events();
            let cmdline = Cmdline::parse(cmdline);
            let wait = Some(Duration::from_secs(wait));
            let request =
                SearchOptions { wait, cmdline, machine: fake.machine(), ..SearchOptions::default() };
            find(&request, Ok(watch), &mut |line| act(line, &kernel)).await
        })
    }

    fn at_once(fake: &FakeMachine, cmdline: &str) -> Result<Found, NotFound> {
        search(fake, cmdline, 0, |line, _| panic!("waited: {line}"))
    }

    #[test]
    fn a_cd_before_an_earlier_deployments_partition() {
        let fake = FakeMachine::new();
        fake.disk("pci/nvme/block/sda", b"");
        fake.partition("pci/nvme/block/sda", "sda4", &iso("config-2", "", "NETWORK_DATA.JSON", "{}"));
        fake.disk(CD, &cidata());
        let found = at_once(&fake, "").unwrap();
        assert!(found.origin.path.ends_with("/dev/sr0"), "{}", found.origin.path);
        assert_eq!(found.origin.why, "a CD or USB device takes precedence over a fixed disk");
        assert_eq!(found.origin.others.len(), 1);
        assert!(
            found.origin.others[0].ends_with("/dev/sda4 (ISO 9660 \"config-2\")"),
            "{:?}",
            found.origin.others
        );
        assert_eq!(found.documents[0].text, V2);
    }

    #[test]
    fn a_late_medium_is_seen_by_its_event() {
        let fake = FakeMachine::new();
        fake.disk("pci/nvme/block/sda", b"");
        let mut lines = Vec::new();
        let found = search(&fake, "boot_method=vmedia", 3600, |line, kernel| {
            lines.push(line.to_owned());
            fake.disk(CD, &cidata());
            kernel.send(CD_EVENT).unwrap();
        });
        assert!(found.unwrap().origin.path.ends_with("/dev/sr0"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("Waiting up to 3600 s (until "), "{}", lines[0]);
    }

    #[test]
    fn a_medium_inserted_into_a_known_drive_is_read() {
        let fake = FakeMachine::new();
        fake.disk(CD, b"nothing yet");
        // Polled by the kernel, so that only the event can trigger it.
        fake.write(&format!("sys/devices/{CD}/events_poll_msecs"), b"2000");
        let found = search(&fake, "", 3600, |_, kernel| {
            fake.write("dev/sr0", &cidata());
            kernel.send(CD_EVENT).unwrap();
        });
        assert_eq!(found.unwrap().documents[0].text, V2);
    }

    #[test]
    fn only_the_demanded_publisher_id_counts() {
        let fake = FakeMachine::new();
        fake.write("config-drive/openstack/latest/network_data.json", b"{}");
        fake.disk("pci/nvme/block/sda", &iso("config-2", "OLD", "NETWORK_DATA.JSON", "{}"));
        let problem = at_once(&fake, "ir_pub_id=abc-1 boot_method=vmedia").unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::NoDrive);
        let expected = "No ISO with the publisher id abc-1 (the kernel command line's ir_pub_id) was found. There is only ";
        assert!(problem.message.starts_with(expected), "{}", problem.message);
        fake.disk(CD, &iso("config-2", "ABC-1", "NETWORK_DATA.JSON", "{}"));
        let found = at_once(&fake, "ir_pub_id=abc-1").unwrap();
        assert_eq!(found.origin.why, "its publisher id is the kernel command line's ir_pub_id");
        assert_eq!(found.origin.others.len(), 1);
    }

    #[test]
    fn the_demanded_iso_without_a_description_ends_the_search_at_once() {
        let fake = FakeMachine::new();
        fake.disk(CD, &iso("config-2", "ABC-1", "META_DATA.JSON", "{}"));
        let cmdline = "ir_pub_id=abc-1 boot_method=vmedia netapply.wait=120";
        let problem = search(&fake, cmdline, 3600, |line, _| panic!("waited: {line}")).unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::NodeWithoutNetwork);
        assert!(!problem.kind.is_unreadable());
        assert!(problem.message.starts_with("This node has no network_data: "), "{}", problem.message);
        assert!(problem.hint.contains("network_data field"), "{}", problem.hint);
    }

    #[test]
    fn another_nodes_iso_is_named_by_its_publisher() {
        let fake = FakeMachine::new();
        fake.disk(CD, &iso("config-2", "OTHER-9", "NETWORK_DATA.JSON", "{}"));
        let problem = at_once(&fake, "ir_pub_id=abc-1 boot_method=vmedia").unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::NoDrive);
        assert!(
            problem.message.ends_with("/dev/sr0 holds another boot's ISO (publisher OTHER-9)."),
            "{}",
            problem.message
        );
        assert!(problem.hint.starts_with("Eject it and attach this node's"), "{}", problem.hint);
        assert!(problem.hint.contains("abc-1"), "{}", problem.hint);
    }

    #[test]
    fn a_pxe_boot_reads_no_drive() {
        let fake = FakeMachine::new();
        fake.disk(CD, &cidata());
        let problem = at_once(&fake, "BOOTIF=01-52-54-00-12-34-01").unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::PxeBoot);
        assert!(!problem.kind.is_unreadable());
    }

    #[test]
    fn an_earlier_deployments_partition_does_not_stand_in_for_an_empty_drive() {
        let fake = FakeMachine::new();
        fake.disk("pci/nvme/block/sda", b"");
        fake.partition("pci/nvme/block/sda", "sda4", &iso("config-2", "", "NETWORK_DATA.JSON", "{}"));
        assert_eq!(at_once(&fake, "").unwrap().documents[0].text, "{}");
        fake.disk(CD, &iso("cidata", "", "USER_DATA", "#cloud-config\n"));
        assert_eq!(at_once(&fake, "").unwrap_err().kind, NotFoundKind::NoDescription);
        assert_eq!(search(&fake, "", 3600, |_, _| {}).unwrap_err().kind, NotFoundKind::NoDescription);
    }

    #[test]
    fn a_drive_without_a_network_ends_the_wait_and_is_named() {
        let fake = FakeMachine::new();
        fake.disk(CD, &iso("cidata", "", "USER_DATA", "#cloud-config\n"));
        let problem = search(&fake, "ds=nocloud", 3600, |_, _| {}).unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::NoDescription);
        assert!(problem.message.ends_with("/dev/sr0 (ISO 9660 \"cidata\") holds no network description."));
    }

    #[test]
    fn seeds_and_unlabelled_media_come_last() {
        let fake = FakeMachine::new();
        fake.disk("pci/usb1/block/sdb", &iso("STICK", "", "NETWORK_CONFIG", V2));
        let found = at_once(&fake, "").unwrap();
        assert_eq!(found.origin.why, "no drive is labelled, and this one holds a description");
        fake.write("var/lib/cloud/seed/nocloud/network-config", b"version: 1\n");
        let found = at_once(&fake, "").unwrap();
        assert_eq!(found.origin.kind, OriginKind::SeedDirectory);
        fake.write("opt/seed/network-config", V2.as_bytes());
        let found = at_once(&fake, "ds=nocloud;s=/opt/seed/").unwrap();
        assert!(found.origin.path.ends_with("/opt/seed/"), "{}", found.origin.path);
    }

    #[test]
    fn a_damaged_drive_is_not_replaced_by_an_older_one() {
        let fake = FakeMachine::new();
        let mut cut = cidata();
        cut.truncate(19 * 2048);
        fake.disk(CD, &cut);
        fake.write("config-drive/openstack/latest/network_data.json", b"{}");
        let problem = at_once(&fake, "").unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::Unreadable);
        assert!(problem.message.starts_with("On "), "{}", problem.message);
        assert!(problem.message.ends_with("the drive is damaged or cut short (the file ends early)."));
    }

    #[test]
    fn a_drive_denied_to_root_counts_as_absent_without_a_hint_to_become_root() {
        let fake = FakeMachine::new();
        fake.disk("pci/nvme/block/sda", b"");
        let request = SearchOptions { machine: fake.machine(), ..SearchOptions::default() };
        let denied = |look: Inspected| {
            let mut search = Search::new(&request, Instant::now());
            search.devices = devices::block_devices(&request.machine.sys(), &request.machine.dev());
            search.looks.insert("sda".into(), look);
            search.not_found(Duration::ZERO)
        };
        let problem = denied(Inspected::Forbidden);
        assert_eq!(problem.kind, NotFoundKind::NoDrive);
        assert!(problem.message.ends_with("/dev/sda (access denied, even to root)."), "{}", problem.message);
        assert!(!problem.hint.contains("root"), "{}", problem.hint);
        let problem = denied(Inspected::NeedsRoot);
        assert_eq!(problem.kind, NotFoundKind::NeedsRoot);
        assert_eq!(problem.hint, "Run netapply as root.");
    }

    #[test]
    fn without_a_candidate_the_drives_that_exist_are_listed() {
        let fake = FakeMachine::new();
        fake.write("mnt/config/README", b"an empty mount point");
        assert_eq!(
            at_once(&fake, "").unwrap_err().message,
            "No drive labelled config-2, cidata or CONTEXT was found. There is no drive at all."
        );
        fake.disk("pci/nvme/block/sda", b"");
        let message = at_once(&fake, "").unwrap_err().message;
        assert!(message.ends_with("/dev/sda (no file system of a config drive)."), "{message}");
    }
}
