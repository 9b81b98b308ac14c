//! The options of a run of `apply` or `verify`, which take precedence over the parameters of the kernel command line.

use std::cell::RefCell;
use std::time::Duration;

use clap::ValueEnum as _;

use super::pipeline::Who;
use super::rehearsal::Rehearsal;
use crate::cli::{self, Args, Dhcp, Fallback};
use crate::lease::dhcp4::machine::Detection;
use crate::logging::{self, Prefix};
use crate::machine::{Machine, files};
use crate::rehearse::nics::StandIn;
use crate::report::consoles::Consoles;
use crate::report::timeline::Clock;
use crate::source::{BootSource, Cmdline};
use crate::verify::input::Target;

/// How long a boot waits for described NICs that do not exist yet.
pub(super) const BOOT_NICS: Duration = Duration::from_secs(30);
/// How long verification waits for the network to work: long enough for LACP in its slow mode and classic STP's 30 s.
pub(super) const WAIT: Duration = Duration::from_secs(60);
/// How long verification without waiting gives each answer.
const GLANCE: Duration = Duration::from_secs(10);

/// The options of a run.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) machine: Machine,
    /// Where the time goes.
    pub(super) clock: Clock,
    /// Those of a boot.
    pub(super) consoles: RefCell<Consoles>,
    pub(super) cmdline: Cmdline,
    pub(super) source: Option<String>,
    /// Where to look, the preferred place first.
    pub(super) boot_sources: Vec<BootSource>,
    /// Links in a directory that is SOURCE may lead out of it.
    pub(super) follow_links: bool,
    pub(super) strict: bool,
    pub(super) verify: bool,
    /// DHCP servers and routers may be asked which subnet a link is in, once something fails there.
    pub(super) discover: bool,
    /// For the drive; `None` is what the source finds fit.
    pub(super) drive_wait: Option<Duration>,
    /// For NICs, from the beginning of the run: see [`Options::nics`].
    nic_wait: Duration,
    /// For the network to work.
    pub(super) verify_wait: Duration,
    pub(super) targets: Vec<Target>,
    /// Tell the image's other tools.
    pub(super) handoff: bool,
    /// Who asks for leases.
    pub(super) dhcp: Who,
    /// How netapply asks for them.
    pub(super) dhcp_options: DhcpWords,
    /// Without a description, DHCP is asked for on all NICs.
    pub(super) fallback: bool,
    /// No person waits for the output: the report goes to the consoles.
    pub(super) boot: bool,
    pub(super) json: bool,
    /// A rehearsal, which leaves the machine's files alone.
    pub(super) rehearsal: Option<Rehearsal>,
}

impl Options {
    /// Combines both and starts the log. An invalid option is an error; an invalid parameter of the kernel command line
    /// is only logged, because nobody could fix it at this point.
    pub(super) fn new(args: &Args) -> Result<Options, cli::Complaint> {
        let machine = Machine::default();
        let rehearsal = Rehearsal::new(args);
        // What this machine was booted with, and by whom netapply runs, says nothing of the one that is rehearsed.
        let cmdline = if rehearsal.is_some() { Cmdline::default() } else { Cmdline::read(&machine) };
        let boot = rehearsal.is_none() && is_boot(&machine);
        let mut problems = cmdline.problems.clone();
        let from_cmdline = cmdline.log.as_deref().map(cli::level).transpose();
        let level = args.log.or(from_cmdline.unwrap_or_else(|wrong| {
            problems.push(format!(
                "netapply.log={}: {}",
                cmdline.log.as_deref().unwrap_or_default(),
                wrong.0
            ));
            None
        }));
        let prefix = if logging::to_journal() { Prefix::Priority } else { Prefix::Name };
        let files = nix::unistd::geteuid().is_root().then(|| [machine.log(), machine.var_log()]);
        if files.is_some() {
            let _ = files::make_folder(&machine.run());
        }
        logging::start(
            level.unwrap_or(log::LevelFilter::Info),
            prefix,
            files.as_ref().map_or(&[], |files| files),
        );
        let mut targets = Vec::new();
        for probe in &args.probes {
            targets.push(probe.parse().map_err(|wrong| cli::Complaint(format!("--probe {probe}: {wrong}")))?);
        }
        if targets.is_empty() {
            let probes = cmdline.probes.iter().map(|probe| ("netapply.probe", probe.as_str()));
            for (parameter, probe) in probes {
                match probe.parse::<Target>() {
                    Ok(target) => targets.push(target),
                    Err(wrong) => problems.push(format!("{parameter}={probe}: {wrong}")),
                }
            }
            if cmdline.probes.is_empty() {
                targets = ironic_targets(&cmdline, &mut problems);
            }
        }
        let dhcp = args.dhcp.or_else(|| dhcp_parameter(&cmdline, &mut problems)).into();
        let dhcp_options = match &args.dhcp_options {
            Some(list) => DhcpWords::parse(list)
                .map_err(|wrong| cli::Complaint(format!("--dhcp-options {list}: {wrong}")))?,
            None => {
                let list = cmdline.dhcp_options.as_deref().unwrap_or_default();
                DhcpWords::parse(list).unwrap_or_else(|wrong| {
                    problems.push(format!("netapply.dhcp-options={list}: {wrong}"));
                    DhcpWords::default()
                })
            }
        };
        let fallback = args.fallback.or_else(|| fallback_parameter(&cmdline, &mut problems));
        // The log is there by now.
        let clock = Clock::start();
        problems.iter().for_each(|problem| log::warn!("kernel command line: {problem}"));
        let wait = args.wait_for.or(cmdline.wait);
        Ok(Options {
            source: args.sources.first().cloned(),
            boot_sources: super::boot_sources(args),
            follow_links: args.follow_links,
            strict: args.strict || cmdline.strict,
            verify: args.verify,
            discover: args.discover && !cmdline.no_discover,
            drive_wait: args.wait_for,
            nic_wait: wait.unwrap_or(if boot { BOOT_NICS } else { Duration::ZERO }),
            verify_wait: match (args.command == cli::Command::Verify, args.wait) {
                (true, false) => GLANCE,
                _ => args.wait_for.unwrap_or(WAIT),
            },
            targets,
            handoff: super::tells_the_image(args, &cmdline),
            dhcp,
            dhcp_options,
            fallback: fallback == Some(Fallback::Dhcp),
            boot,
            json: args.json,
            clock,
            rehearsal,
            consoles: RefCell::new(if boot { Consoles::of(&machine) } else { Consoles::default() }),
            machine,
            cmdline,
        })
    }

    /// The NICs that stand in for others.
    pub(super) fn stand_ins(&self) -> &[StandIn] {
        self.rehearsal.as_ref().map_or(&[], Rehearsal::stand_ins)
    }

    /// How long to wait for NICs, this long after the start of the run.
    pub(super) fn nics(&self, elapsed: Duration) -> Duration {
        nics_after(self.nic_wait, elapsed)
    }
}

/// `netapply.dhcp=`.
pub(super) fn dhcp_parameter(cmdline: &Cmdline, problems: &mut Vec<String>) -> Option<Dhcp> {
    let text = cmdline.dhcp.as_deref()?;
    let who = Dhcp::from_str(text, false).ok();
    if who.is_none() {
        problems.push(format!("netapply.dhcp={text}: it is auto, own or image"));
    }
    who
}

/// `netapply.fallback=`.
fn fallback_parameter(cmdline: &Cmdline, problems: &mut Vec<String>) -> Option<Fallback> {
    let text = cmdline.fallback.as_deref()?;
    let what = Fallback::from_str(text, false).ok();
    if what.is_none() {
        problems.push(format!("netapply.fallback={text}: it is dhcp or none"));
    }
    what
}

/// How netapply requests DHCP leases, in addition to the description: a comma-separated list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DhcpWords {
    /// Whether an address is probed before it is used.
    pub(super) detection: Detection,
    /// IPv4 stays off if the network requests that (option 108, RFC 8925).
    pub(super) ipv6_only: bool,
    /// A DHCPv6 server may grant addresses with its first answer.
    pub(super) rapid_commit: bool,
    /// Option 77.
    pub(super) user_class: Option<String>,
    /// Option 60, if the description has none.
    pub(super) vendor_class: Option<String>,
}

impl DhcpWords {
    /// Parses the list; an error describes the problem.
    fn parse(list: &str) -> Result<DhcpWords, String> {
        let mut words = DhcpWords::default();
        for word in list.split(',').filter(|word| !word.is_empty()) {
            let class = |text: &str| match text.len() {
                1..=254 => Ok(Some(text.to_owned())),
                _ => Err(format!("{word}: a class has 1 to 254 bytes")),
            };
            match word.split_once('=') {
                None if word == "ipv6-only" => words.ipv6_only = true,
                None if word == "rapid-commit" => words.rapid_commit = true,
                Some(("detect", "off")) => words.detection = Detection::Off,
                Some(("detect", "fast")) => words.detection = Detection::Fast,
                Some(("detect", "standard")) => words.detection = Detection::Standard,
                Some(("user-class", text)) => words.user_class = class(text)?,
                Some(("vendor-class", text)) => words.vendor_class = class(text)?,
                _ => {
                    return Err(format!(
                        "{word} is unknown: there are detect=off|fast|standard, ipv6-only, rapid-commit, \
                         user-class=TEXT and vendor-class=TEXT"
                    ));
                }
            }
        }
        Ok(words)
    }
}

impl From<Option<Dhcp>> for Who {
    fn from(dhcp: Option<Dhcp>) -> Who {
        match dhcp {
            None | Some(Dhcp::Auto) => Who::Auto,
            Some(Dhcp::Own) => Who::Own,
            Some(Dhcp::Image) => Who::Image,
        }
    }
}

/// What Ironic's ramdisk boots for: its API, and in a boot for inspection the URL that receives the results. Both as
/// the agent parses them: a comma-separated list, of which it uses the first that answers; or `mdns`, which is not an
/// address.
fn ironic_targets(cmdline: &Cmdline, problems: &mut Vec<String>) -> Vec<Target> {
    let api = ("ipa-api-url", cmdline.ipa_api_url.as_deref());
    let inspection = ("ipa-inspection-callback-url", cmdline.ipa_inspection_callback_url.as_deref());
    let mut targets: Vec<Target> = Vec::new();
    for (parameter, list) in [api, inspection] {
        let list = list.filter(|text| *text != "mdns").unwrap_or_default();
        for url in list.split(',').filter(|url| !url.is_empty()) {
            match url.parse::<Target>() {
                Ok(mut target) => {
                    target.alternative = parameter == "ipa-api-url" || list.contains(',');
                    // That URL accepts a POST; the probe only asks whether its service answers.
                    if let Some(at) = target.path.find("/v1/continue_inspection") {
                        target.path.truncate(at.max(1));
                    }
                    targets.push(target);
                }
                Err(wrong) => problems.push(format!("{parameter}={url}: {wrong}")),
            }
        }
    }
    targets
}

/// The remaining wait for devices, after this time: a boot that waited long for its drive still gives NICs their usual
/// time, and no more, so that the unit's timeout holds.
fn nics_after(wait: Duration, elapsed: Duration) -> Duration {
    wait.saturating_sub(elapsed).max(wait.min(BOOT_NICS))
}

/// Whether no person waits for the output: run by systemd with its output to the journal, or in an initramfs.
fn is_boot(machine: &Machine) -> bool {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    !terminal && (logging::to_journal() || machine.initrd_release().exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_urls_are_read_as_the_agent_reads_them() {
        let urls = |text: &str| {
            let targets = ironic_targets(&Cmdline::parse(text), &mut Vec::new());
            targets.into_iter().map(|target| target.text).collect::<Vec<_>>()
        };
        assert_eq!(urls("ipa-api-url=http://192.0.2.5:6385"), ["http://192.0.2.5:6385"]);
        let two = urls("ipa-api-url=https://[2001:db8::5]:6385/,,http://ironic.example/baremetal,");
        assert_eq!(two, ["https://[2001:db8::5]:6385/", "http://ironic.example/baremetal"]);
        assert_eq!(urls("ipa-api-url=mdns"), Vec::<String>::new());
        assert_eq!(urls("quiet"), Vec::<String>::new());
    }

    #[test]
    fn an_inspection_boot_asks_the_callback_urls_service() {
        let of = |text: &str| ironic_targets(&Cmdline::parse(text), &mut Vec::new());
        let url = "http://192.0.2.5:6385/v1/continue_inspection";
        let [target] = &of(&format!("ipa-inspection-callback-url={url}"))[..] else { panic!("one target") };
        assert_eq!((target.text.as_str(), target.host.as_str(), target.port), (url, "192.0.2.5", 6385));
        assert_eq!((target.path.as_str(), target.alternative), ("/", false));
        let both =
            of(&format!("ipa-api-url=http://192.0.2.5/baremetal ipa-inspection-callback-url={url},{url}"));
        let alternatives: Vec<bool> = both.iter().map(|target| target.alternative).collect();
        assert_eq!(alternatives, [true; 3]);
        let mut problems = Vec::new();
        assert_eq!(ironic_targets(&Cmdline::parse("ipa-inspection-callback-url=mdns"), &mut problems), []);
        ironic_targets(&Cmdline::parse("ipa-inspection-callback-url=192.0.2.5"), &mut problems);
        assert_eq!(problems.len(), 1);
        let below = of("ipa-inspection-callback-url=http://a.example/baremetal/v1/continue_inspection");
        assert_eq!(below[0].path, "/baremetal");
    }

    #[test]
    fn how_leases_are_asked_for_is_a_list() {
        let words =
            DhcpWords::parse("detect=standard,ipv6-only,rapid-commit,user-class=ipa,,vendor-class=a=b")
                .unwrap();
        let expected = DhcpWords {
            detection: Detection::Standard,
            ipv6_only: true,
            rapid_commit: true,
            user_class: Some("ipa".to_owned()),
            vendor_class: Some("a=b".to_owned()),
        };
        assert_eq!(words, expected);
        assert_eq!(DhcpWords::parse(""), Ok(DhcpWords::default()));
        for wrong in
            ["detect=slow", "ipv6-only=1", "user-class=", &format!("user-class={}", "x".repeat(255)), "x"]
        {
            assert!(DhcpWords::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_fallback_is_a_word() {
        let of = |text: &str| {
            let mut problems = Vec::new();
            (fallback_parameter(&Cmdline::parse(text), &mut problems), problems.len())
        };
        assert_eq!(of("quiet"), (None, 0));
        assert_eq!(of("netapply.fallback=dhcp"), (Some(Fallback::Dhcp), 0));
        assert_eq!(of("netapply.fallback=none"), (Some(Fallback::None), 0));
        assert_eq!(of("netapply.fallback=static"), (None, 1));
    }

    #[test]
    fn drive_and_nics_share_one_wait() {
        let after =
            |wait, elapsed| nics_after(Duration::from_secs(wait), Duration::from_secs(elapsed)).as_secs();
        assert_eq!(after(300, 100), 200);
        assert_eq!(after(300, 299), 30, "NICs have their usual time");
        assert_eq!(after(5, 4), 5);
        assert_eq!(after(0, 4), 0);
    }
}
