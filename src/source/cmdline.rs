//! The kernel command line, as far as it concerns netapply: its own parameters (`netapply.…`), hints that a drive will
//! appear, and where Ironic's agent reports to. Entry: [`Cmdline::parse`].

use crate::machine::Machine;
use std::time::Duration;

/// The parameters on the kernel command line. If a parameter is repeated the last one counts, as for the kernel and
/// Ironic's agent; `console=` and `netapply.probe=` accumulate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cmdline {
    /// `netapply=off` (or `0`, `no`, `false`): this boot is to be left alone.
    pub off: bool,
    /// `netapply.source=`: the description, as the command line's SOURCE.
    pub source: Option<String>,
    /// `netapply.wait=SECONDS`: how long to wait for a drive.
    pub wait: Option<Duration>,
    /// `netapply.probe=URL`, each one.
    pub probes: Vec<String>,
    /// `netapply.strict`, `netapply.strict=1`.
    pub strict: bool,
    /// `netapply.no-discover`, `netapply.no-discover=1`.
    pub no_discover: bool,
    /// `netapply.log=LEVEL`.
    pub log: Option<String>,
    /// `netapply.handoff=auto|none`.
    pub handoff: Option<String>,
    /// `netapply.dhcp=auto|own|image`.
    pub dhcp: Option<String>,
    /// `netapply.fallback=dhcp|none`.
    pub fallback: Option<String>,
    /// `netapply.dhcp-options=LIST`.
    pub dhcp_options: Option<String>,
    /// `ir_pub_id=`: the publisher id of the one ISO that Ironic made for this boot.
    pub ir_pub_id: Option<String>,
    /// `BOOTIF=`: written by PXE boot loaders.
    pub bootif: Option<String>,
    /// `boot_method=`: Ironic writes `vmedia` for a boot from virtual media.
    pub boot_method: Option<String>,
    /// `ipa-api-url=`, as written: one URL, a comma-separated list, or `mdns`.
    pub ipa_api_url: Option<String>,
    /// `ipa-inspection-callback-url=`, as written: where the agent reports its inspection results.
    pub ipa_inspection_callback_url: Option<String>,
    /// `ds=` or `ci.ds=`: cloud-init's data source, with its `;key=value` part.
    pub ds: Option<String>,
    /// The devices of `console=`, without baud rates, in order.
    pub consoles: Vec<String>,
    /// Invalid parameters of ours: complete sentences for the log.
    pub problems: Vec<String>,
}

/// The limit of `netapply.wait=`: systemd ends the unit some time later, by its TimeoutStartSec.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Where a parameter's value is stored.
type Field = fn(&mut Cmdline) -> &mut Option<String>;

/// The parameters whose value is stored unchanged.
const TEXTS: &[(&str, Field)] = &[
    ("netapply.source", |c| &mut c.source),
    ("netapply.log", |c| &mut c.log),
    ("netapply.handoff", |c| &mut c.handoff),
    ("netapply.dhcp", |c| &mut c.dhcp),
    ("netapply.dhcp-options", |c| &mut c.dhcp_options),
    ("netapply.fallback", |c| &mut c.fallback),
    ("ir_pub_id", |c| &mut c.ir_pub_id),
    ("BOOTIF", |c| &mut c.bootif),
    ("boot_method", |c| &mut c.boot_method),
    ("ipa-api-url", |c| &mut c.ipa_api_url),
    ("ipa-inspection-callback-url", |c| &mut c.ipa_inspection_callback_url),
    ("ds", |c| &mut c.ds),
    ("ci.ds", |c| &mut c.ds),
];

impl Cmdline {
    /// The machine's own, parsed; empty if it cannot be read.
    pub fn read(machine: &Machine) -> Cmdline {
        let text = std::fs::read(machine.cmdline()).unwrap_or_default();
        Cmdline::parse(&String::from_utf8_lossy(&text))
    }

    /// Parses the text of `/proc/cmdline`. Never fails: other parameters are skipped, invalid ones of ours become a
    /// sentence in `problems`.
    pub fn parse(text: &str) -> Cmdline {
        let mut cmdline = Cmdline::default();
        for word in words(text) {
            match word.split_once('=') {
                Some((key, value)) => cmdline.take(key, Some(value)),
                None => cmdline.take(&word, None),
            }
        }
        cmdline
    }

    fn take(&mut self, key: &str, value: Option<&str>) {
        let text = value.filter(|v| !v.is_empty()).map(str::to_owned);
        if let Some((_, field)) = TEXTS.iter().find(|(name, _)| *name == key) {
            *field(self) = text;
            return;
        }
        match (key, text) {
            ("netapply", text) => match text.as_deref().map(switch) {
                Some(Some(on)) => self.off = !on,
                _ => self.problem(key, value, "netapply=off leaves this boot alone"),
            },
            ("netapply.strict" | "netapply.no-discover", text) => {
                match text.map_or(Some(true), |text| switch(&text)) {
                    Some(on) if key == "netapply.strict" => self.strict = on,
                    Some(on) => self.no_discover = on,
                    None => self.problem(key, value, "it is on or off"),
                }
            }
            ("netapply.wait", text) => match text.and_then(|t| t.trim_end_matches('s').parse::<u32>().ok()) {
                Some(seconds) => self.wait = Some(Duration::from_secs(seconds.into()).min(LONGEST_WAIT)),
                None => self.problem(key, value, "it is a number of seconds"),
            },
            ("netapply.probe", Some(text)) => self.probes.push(text),
            ("console", Some(text)) => {
                self.consoles.push(text.split(',').next().unwrap_or_default().to_owned());
            }
            (key, _) if key.starts_with("netapply.") => {
                self.problem(
                    key,
                    value,
                    "there are netapply.source, .wait, .probe, .strict, .log, .handoff, .dhcp, .dhcp-options, .fallback and .no-discover",
                );
            }
            _ => {}
        }
    }

    fn problem(&mut self, key: &str, value: Option<&str>, hint: &str) {
        let word = value.map_or_else(|| key.to_owned(), |v| format!("{key}={v}"));
        self.problems.push(format!("The kernel command line's {word} is ignored: {hint}."));
    }

    /// Whether a drive is expected, so that it is right to wait longer for it: a boot from virtual media, a publisher
    /// id to look for, a data source that is a drive, or an explicit wait.
    pub fn media_expected(&self) -> bool {
        self.ir_pub_id.is_some() || self.wait.is_some() || self.is_vmedia() || self.ds_is_drive()
    }

    /// A boot from a BMC's virtual media: only a CD or a USB device can be its drive.
    pub fn is_vmedia(&self) -> bool {
        self.boot_method.as_deref().is_some_and(|m| m.eq_ignore_ascii_case("vmedia"))
    }

    /// Whether a medium is expected: then an earlier deployment's leftovers are the last resort.
    pub(super) fn medium_awaited(&self) -> bool {
        self.is_vmedia() || self.wait.is_some()
    }

    /// A PXE boot without virtual media: a `config-2` drive found now would be an earlier deployment's. The rule is
    /// Ironic's own (ironic-python-agent-builder, `ironic-python-agent-resolve-configdrive.sh`).
    pub fn is_pxe_without_drive(&self) -> bool {
        self.bootif.is_some() && self.ir_pub_id.is_none()
    }

    /// How long to wait for a drive: as requested, else 30 s if media are expected, else 5 s.
    pub fn wait_for_drive(&self) -> Duration {
        self.wait.unwrap_or(Duration::from_secs(if self.media_expected() { 30 } else { 5 }))
    }

    /// The directory of `ds=nocloud;s=/path/`, if it is one.
    pub fn seed_directory(&self) -> Option<&str> {
        let seed = self.seed_from()?;
        let path = seed.strip_prefix("file://").unwrap_or(seed);
        path.starts_with('/').then_some(path)
    }

    fn seed_from(&self) -> Option<&str> {
        let (_, options) = self.ds.as_deref()?.split_once(';')?;
        options
            .split(';')
            .find_map(|option| option.strip_prefix("s=").or_else(|| option.strip_prefix("seedfrom=")))
    }

    /// `ds=nocloud` and `ds=configdrive` without a location.
    fn ds_is_drive(&self) -> bool {
        let name = self.ds.as_deref().and_then(|ds| ds.split(';').next()).unwrap_or_default();
        let name = name.trim_matches(['[', ']', ' ']).to_ascii_lowercase();
        matches!(name.as_str(), "nocloud" | "nocloud-net" | "configdrive") && self.seed_from().is_none()
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "1" | "yes" | "true" => Some(true),
        "off" | "0" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// The words of the line: split at space, except within double quotes, which are removed.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ironic_virtual_media_boot() {
        let line = "nofb nomodeset console=tty0 console=ttyS0,115200n8 boot_method=vmedia \
                    ir_pub_id=0bd2b3a1-5a5c-4a3b-9d2e-7c1c5b2f1a77 ipa-api-url=http://192.0.2.5:6385 -- quiet\n";
        let c = Cmdline::parse(line);
        assert_eq!(c.ir_pub_id.as_deref(), Some("0bd2b3a1-5a5c-4a3b-9d2e-7c1c5b2f1a77"));
        assert_eq!(c.ipa_api_url.as_deref(), Some("http://192.0.2.5:6385"));
        assert_eq!(c.consoles, ["tty0", "ttyS0"]);
        assert!(c.is_vmedia() && c.media_expected() && !c.is_pxe_without_drive());
        assert_eq!(c.wait_for_drive(), Duration::from_secs(30));
    }

    #[test]
    fn own_parameters_with_quotes_and_the_last_one_counts() {
        let c = Cmdline::parse(
            r#"netapply.source=/dev/sr0 "netapply.source=/mnt/my files" netapply.probe=tcp://192.0.2.1:22
               netapply.probe="ping://192.0.2.2" netapply.strict netapply.no-discover=1 netapply.wait=7 netapply.log=debug netapply=off netapply=on"#,
        );
        assert_eq!(c.source.as_deref(), Some("/mnt/my files"));
        assert_eq!(c.probes, ["tcp://192.0.2.1:22", "ping://192.0.2.2"]);
        assert_eq!(c.wait_for_drive(), Duration::from_secs(7));
        assert_eq!(c.log.as_deref(), Some("debug"));
        assert!(c.strict && c.no_discover && !c.off);
        assert!(!Cmdline::parse("netapply.no-discover netapply.no-discover=0").no_discover);
        assert_eq!(c.problems, Vec::<String>::new());
    }

    #[test]
    fn off_in_every_spelling() {
        for word in ["off", "0", "no", "false", "OFF"] {
            assert!(Cmdline::parse(&format!("quiet netapply={word}")).off, "{word}");
        }
    }

    #[test]
    fn invalid_values_are_reported() {
        let c = Cmdline::parse("netapply.wait=soon netapply.sauce=/dev/sr0 netapply.source=");
        assert_eq!(
            c.problems,
            [
                "The kernel command line's netapply.wait=soon is ignored: it is a number of seconds.",
                "The kernel command line's netapply.sauce=/dev/sr0 is ignored: there are netapply.source, .wait, \
                 .probe, .strict, .log, .handoff, .dhcp, .dhcp-options, .fallback and .no-discover.",
            ]
        );
        assert_eq!((c.source, c.wait), (None, None));
    }

    #[test]
    fn when_media_are_expected() {
        let expected = |line: &str| Cmdline::parse(line).media_expected();
        assert!(expected("ds=nocloud"));
        assert!(expected("ds=nocloud;h=web1"));
        assert!(expected("netapply.wait=0"));
        assert!(!expected("ds=nocloud;s=http://192.0.2.1/seed/"));
        assert!(!expected("ds=ec2 BOOTIF=01-52-54-00-12-34-01"));
        assert!(!expected(""));
    }

    #[test]
    fn seed_directory_of_nocloud() {
        let seed = |line: &str| Cmdline::parse(line).seed_directory().map(str::to_owned);
        assert_eq!(seed("ds=nocloud;s=/opt/seed/").as_deref(), Some("/opt/seed/"));
        assert_eq!(seed("ds=nocloud;h=a;seedfrom=file:///opt/seed").as_deref(), Some("/opt/seed"));
        assert_eq!(seed("ds=nocloud;s=https://example.com/"), None);
    }

    #[test]
    fn pxe_boot() {
        assert!(Cmdline::parse("BOOTIF=01-52-54-00-12-34-01").is_pxe_without_drive());
        assert!(!Cmdline::parse("BOOTIF=01-52-54-00-12-34-01 ir_pub_id=x").is_pxe_without_drive());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            Cmdline::parse(&text);
        }
    }
}
