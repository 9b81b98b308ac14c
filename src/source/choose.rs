//! Which drive to use: candidates in order of preference, when each may be taken, and why. Pure. A drive attached for
//! this boot takes precedence over what an earlier deployment may have left on a disk. Entry: [`candidates`].

use super::devices::{Device, Location, Share};
use super::layout::{self, Layout};
use super::volume::{FileSystem, Volume};
use super::{Cmdline, NotFoundKind};
use std::cmp::Reverse;
use std::path::PathBuf;

use crate::order::Order as _;

/// The phase of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SearchPhase {
    /// Only a drive that was certainly attached for this boot is taken.
    Early,
    /// Everything attached at boot has been detected by now.
    Settled,
    /// The last look.
    Last,
}

/// The kind of place, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// The one ISO that the kernel command line asks for.
    Demanded,
    /// A labelled CD or USB device.
    Removable,
    /// A labelled whole disk: a virtual machine's second one.
    Disk,
    /// A directory that the host shares.
    Share,
    /// A labelled partition of a fixed disk.
    Partition,
    /// A directory of this machine.
    Seed,
    /// A CD or USB device whose label does not say so.
    Unlabelled,
}

/// Where a candidate's files are.
#[derive(Debug, Clone)]
pub(super) enum Holder {
    Volume(Device, Volume),
    Share(Share),
    Seed(PathBuf, Layout),
}

/// Something that may hold the description.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) tier: Tier,
    pub(super) holder: Holder,
}

/// The candidates, the best first.
pub(super) fn candidates(
    volumes: &[(Device, Volume)],
    shares: Vec<Share>,
    seeds: Vec<(PathBuf, Layout)>,
    cmdline: &Cmdline,
) -> Vec<Candidate> {
    let candidate = |tier, holder| Candidate { tier, holder };
    // A hybrid image shows up twice: as the disk, and as a partition that begins where the disk does.
    let is_twin = |device: &Device, volume: &Volume| {
        volumes.iter().any(|(d, v)| Some(&d.name) == device.disk.as_ref() && v == volume)
    };
    let mut all: Vec<Candidate> = volumes
        .iter()
        .filter(|(device, volume)| !is_twin(device, volume))
        .filter_map(|(device, volume)| {
            let tier = tier_of(device, volume, cmdline)?;
            Some(candidate(tier, Holder::Volume(device.clone(), volume.clone())))
        })
        .collect();
    // If a drive is requested by its id, no other is taken.
    if cmdline.ir_pub_id.is_none() {
        all.extend(shares.into_iter().map(|share| candidate(Tier::Share, Holder::Share(share))));
        all.extend(seeds.into_iter().map(|(path, layout)| candidate(Tier::Seed, Holder::Seed(path, layout))));
    }
    if all.iter().any(Candidate::is_labelled_drive) {
        all.retain(|c| c.tier != Tier::Unlabelled);
    }
    // Seeds and shares keep their order.
    all.order_by_key(|c| (c.tier, c.preference()));
    all
}

fn tier_of(device: &Device, volume: &Volume, cmdline: &Cmdline) -> Option<Tier> {
    if let Some(id) = &cmdline.ir_pub_id {
        let demanded = volume.publisher.as_ref().is_some_and(|publisher| publisher.eq_ignore_ascii_case(id));
        return demanded.then_some(Tier::Demanded);
    }
    let labelled = layout_of(volume).is_some();
    match device.place {
        Location::Cd | Location::Removable if labelled => Some(Tier::Removable),
        Location::Disk if labelled => Some(Tier::Disk),
        Location::Partition if labelled => Some(Tier::Partition),
        Location::Cd | Location::Removable
            if matches!(volume.filesystem, FileSystem::Iso9660 | FileSystem::Vfat) =>
        {
            Some(Tier::Unlabelled)
        }
        _ => None,
    }
}

/// The layout that the volume's labels promise.
pub(super) fn layout_of(volume: &Volume) -> Option<Layout> {
    volume.labels.iter().find_map(|label| layout::of_label(label))
}

/// A volume in one line: `/dev/sr0 (ISO 9660 "config-2", made …)`.
pub(super) fn described(name: &str, volume: &Volume) -> String {
    let label = volume.labels.first().map_or_else(|| "without a label".to_owned(), |l| format!("\"{l}\""));
    let made = volume.created.as_ref().map(|time| format!(", made {time}")).unwrap_or_default();
    format!("{name} ({} {label}{made})", volume.filesystem.name())
}

impl Candidate {
    /// The device, directory or tag, which identifies a candidate.
    pub(super) fn name(&self) -> String {
        match &self.holder {
            Holder::Volume(device, _) => device.node.display().to_string(),
            Holder::Share(share) => share.tag.clone(),
            Holder::Seed(path, _) => path.display().to_string(),
        }
    }

    /// The candidate in one line.
    pub(super) fn shown(&self) -> String {
        match &self.holder {
            Holder::Volume(_, volume) => described(&self.name(), volume),
            Holder::Share(share) => format!("{} ({} of the host)", share.tag, share.filesystem),
            Holder::Seed(..) => self.name(),
        }
    }

    /// Whether a label says that this is a config drive.
    pub(super) fn is_labelled_drive(&self) -> bool {
        matches!(self.tier, Tier::Demanded | Tier::Removable | Tier::Disk | Tier::Partition)
    }

    /// Whether a problem with this one is reported and ends the search. A random USB stick, or an empty mount point, is
    /// not a config drive.
    pub(super) fn matters(&self, kind: NotFoundKind) -> bool {
        match self.tier {
            Tier::Unlabelled => false,
            Tier::Seed => kind.is_unreadable(),
            _ => true,
        }
    }

    fn layout_and_time(&self) -> (Option<Layout>, Option<&str>) {
        match &self.holder {
            // Without the zone, which matters only for drives made within a minute.
            Holder::Volume(_, volume) => {
                (layout_of(volume), volume.created.as_deref().and_then(|t| t.get(..19)))
            }
            Holder::Share(_) | Holder::Seed(..) => (None, None),
        }
    }

    /// Within a tier: by label, then the newest, then a CD before USB, then by name.
    fn preference(&self) -> impl Ord + use<> {
        let (layout, time) = self.layout_and_time();
        let rank = match layout {
            Some(Layout::ConfigDrive) => 0,
            Some(Layout::NoCloud) => 1,
            _ => 2,
        };
        let device = match &self.holder {
            Holder::Volume(device, _) => Some((device.place, device.name.len(), device.name.clone())),
            Holder::Share(_) | Holder::Seed(..) => None,
        };
        (rank, Reverse(time.map(str::to_owned)), device)
    }

    /// Whether this is a fixed disk's partition and a drive was attached for this boot. Even if that one has no network
    /// description, an earlier deployment's would be wrong.
    pub(super) fn is_superseded(&self, all: &[Candidate]) -> bool {
        self.tier == Tier::Partition && all.iter().any(|c| c.is_labelled_drive() && c.tier < Tier::Partition)
    }

    /// Whether it may be taken in this phase.
    pub(super) fn is_due(&self, phase: SearchPhase, cmdline: &Cmdline) -> bool {
        let from = match self.tier {
            Tier::Demanded | Tier::Removable => SearchPhase::Early,
            // Ironic's virtual media are CD or USB, never a disk.
            Tier::Disk | Tier::Share if !cmdline.is_vmedia() => SearchPhase::Early,
            Tier::Partition | Tier::Seed if !cmdline.medium_awaited() => SearchPhase::Settled,
            _ => SearchPhase::Last,
        };
        phase >= from
    }

    /// Why this one was chosen, with these as the next best.
    pub(super) fn why(&self, others: &[&Candidate]) -> String {
        let next = others.iter().find(|c| c.is_labelled_drive());
        let text = match (self.tier, next) {
            (Tier::Demanded, _) => "its publisher id is the kernel command line's ir_pub_id",
            (Tier::Share, _) => "the host shares it as config-2",
            (Tier::Seed, _) => "no drive has a description",
            (Tier::Unlabelled, _) => "no drive is labelled, and this one holds a description",
            (_, None) => "the only drive labelled config-2, cidata or CONTEXT",
            (tier, Some(next)) if tier < next.tier => match tier {
                Tier::Removable => "a CD or USB device takes precedence over a fixed disk",
                _ => {
                    "a whole disk takes precedence over a partition, which an earlier deployment may have left"
                }
            },
            (tier, Some(next)) if tier > next.tier => {
                "the drives that take precedence over it hold no description"
            }
            (_, Some(next)) => {
                let ((layout, time), (next_layout, next_time)) =
                    (self.layout_and_time(), next.layout_and_time());
                match () {
                    () if layout != next_layout => {
                        "config-2 takes precedence over cidata, and cidata over CONTEXT"
                    }
                    () if time > next_time => "it is the newest",
                    () => "it is the first of several alike",
                }
            }
        };
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, place: Location, disk: Option<&str>) -> Device {
        Device {
            name: name.into(),
            node: format!("/dev/{name}").into(),
            place,
            disk: disk.map(str::to_owned),
            unwatched: false,
        }
    }

    fn volume(label: &str, publisher: &str, created: &str) -> Volume {
        Volume {
            filesystem: FileSystem::Iso9660,
            labels: vec![label.into()],
            publisher: Some(publisher.into()),
            created: Some(created.into()),
        }
    }

    const OLD: &str = "2026-01-01 00:00:00 UTC";
    const NEW: &str = "2026-02-01 00:00:00 UTC";

    fn order(volumes: &[(Device, Volume)], cmdline: &str) -> Vec<String> {
        let cmdline = Cmdline::parse(cmdline);
        let seeds = vec![("/config-drive".into(), Layout::ConfigDrive)];
        candidates(volumes, Vec::new(), seeds, &cmdline).iter().map(Candidate::name).collect()
    }

    #[test]
    fn places_then_labels_then_age() {
        let volumes = [
            (device("sda4", Location::Partition, Some("sda")), volume("config-2", "", NEW)),
            (device("vdb", Location::Disk, None), volume("cidata", "", NEW)),
            (device("sr1", Location::Cd, None), volume("CIDATA", "", NEW)),
            (device("sdb", Location::Removable, None), volume("config-2", "", NEW)),
            (device("sr0", Location::Cd, None), volume("config-2", "", OLD)),
            (device("sr2", Location::Cd, None), volume("INSTALLER", "", NEW)),
        ];
        let all = ["/dev/sdb", "/dev/sr0", "/dev/sr1", "/dev/vdb", "/dev/sda4", "/config-drive"];
        assert_eq!(order(&volumes, ""), all);
    }

    #[test]
    fn a_publisher_id_excludes_everything_else_in_either_case() {
        let volumes = [
            (device("sr0", Location::Cd, None), volume("config-2", "other", NEW)),
            (device("sr1", Location::Cd, None), volume("config-2", "ABCD-12", OLD)),
        ];
        assert_eq!(order(&volumes, "ir_pub_id=abcd-12"), ["/dev/sr1"]);
        assert_eq!(order(&volumes[..1], "ir_pub_id=abcd-12"), Vec::<String>::new());
    }

    #[test]
    fn a_hybrid_image_counts_once() {
        let volumes = [
            (device("sdb", Location::Removable, None), volume("config-2", "x", NEW)),
            (device("sdb1", Location::Removable, Some("sdb")), volume("config-2", "x", NEW)),
        ];
        assert_eq!(order(&volumes, ""), ["/dev/sdb", "/config-drive"]);
    }

    #[test]
    fn unlabelled_media_are_the_last_resort() {
        let usb = (device("sdb", Location::Removable, None), volume("STICK", "", NEW));
        let fixed = (device("vdb", Location::Disk, None), volume("STICK", "", NEW));
        assert_eq!(order(&[usb, fixed], ""), ["/config-drive", "/dev/sdb"]);
    }

    #[test]
    fn the_phase_from_which_each_tier_is_taken() {
        let due = |tier, phase, line: &str| {
            let holder = Holder::Seed("/x".into(), Layout::NoCloud);
            Candidate { tier, holder }.is_due(phase, &Cmdline::parse(line))
        };
        assert!(due(Tier::Removable, SearchPhase::Early, "boot_method=vmedia"));
        assert!(due(Tier::Disk, SearchPhase::Early, "ds=nocloud"));
        assert!(!due(Tier::Disk, SearchPhase::Settled, "boot_method=vmedia"));
        assert!(!due(Tier::Partition, SearchPhase::Early, ""));
        assert!(due(Tier::Partition, SearchPhase::Settled, ""));
        assert!(due(Tier::Seed, SearchPhase::Settled, "ds=nocloud"));
        assert!(!due(Tier::Seed, SearchPhase::Settled, "netapply.wait=20"));
        assert!(due(Tier::Seed, SearchPhase::Last, "netapply.wait=20"));
        assert!(!due(Tier::Unlabelled, SearchPhase::Settled, ""));
    }

    #[test]
    fn why_this_one() {
        let candidate = |name: &str, place, tier, label: &str, time: &str| Candidate {
            tier,
            holder: Holder::Volume(device(name, place, None), volume(label, "", time)),
        };
        let cd = candidate("sr0", Location::Cd, Tier::Removable, "config-2", NEW);
        let old = candidate("sr1", Location::Cd, Tier::Removable, "config-2", OLD);
        let cidata = candidate("sr2", Location::Cd, Tier::Removable, "cidata", NEW);
        let part = candidate("sda4", Location::Partition, Tier::Partition, "config-2", NEW);
        assert_eq!(cd.why(&[]), "the only drive labelled config-2, cidata or CONTEXT");
        assert_eq!(cd.why(&[&part]), "a CD or USB device takes precedence over a fixed disk");
        assert_eq!(cd.why(&[&old]), "it is the newest");
        assert_eq!(cd.why(&[&cidata]), "config-2 takes precedence over cidata, and cidata over CONTEXT");
        let disk = candidate("vdb", Location::Disk, Tier::Disk, "config-2", NEW);
        assert_eq!(disk.why(&[&cd]), "the drives that take precedence over it hold no description");
    }
}
