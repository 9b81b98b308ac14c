//! The arguments, without the machine. [`parse`] turns them into [`Args`] or into what is to be printed instead.
//! [`command`] is the same as data, for the completions and manual pages that tests/cli.rs writes.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::diagnostic::nearest;

/// Configures the network that a config drive describes, checks that it works, and says why if it does not.
///
/// Without a command, the network is applied: `netapply` alone is what a boot does.
#[derive(Debug, Parser)]
#[command(
    name = "netapply",
    version,
    styles = STYLES,
    max_term_width = 80,
    subcommand_required = true,
    // A drop-in adds its options behind those of a unit: the last of an option counts.
    args_override_self = true,
    after_help = AFTER_HELP,
    override_usage = "netapply [apply] [OPTIONS] [SOURCE]\n       netapply --dry-run [OPTIONS] [SOURCE]\n       netapply COMMAND [OPTIONS]"
)]
struct Line {
    #[command(subcommand)]
    command: CommandLine,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

// Paragraphs are wrapped to the terminal.
const AFTER_HELP: &str = "\
SOURCE is a file, '-' for standard input, a directory laid out as a config drive or holding netplan files, a block \
device, or an ISO image. Without one the drives of this machine are searched, as in a boot.

Exit status:
  0   as described and working
  1   something described is missing or does not work
  2   usage
  3   the description cannot be used, or (check, convert, --dry-run) has errors
  4   no description, or one without links
  5   the kernel refused a step
  75  another netapply is applying

Examples:
  netapply --dry-run net.yaml     print what would be done on this machine
  netapply check DIR              say what is wrong with a description
  netapply verify --wait          wait until the network works";

/// The commands, each with its own options: those of the others are not built.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum CommandLine {
    /// Find the description or use SOURCE, plan, apply, verify, report
    #[command(after_help = "\
Example: apply a description, all of it or nothing, and ask for a service behind it
  netapply apply --strict --probe https://ironic.example.org:6385 net.yaml")]
    Apply(ApplyOptions),
    /// Report mistakes in descriptions; changes nothing
    #[command(after_help = "\
Example: annotate a pull request
  netapply check --format github drives/*")]
    Check(CheckOptions),
    /// Write the same network for another tool; changes nothing of the machine's
    #[command(after_help = "\
Example: netplan's file for a config drive's description
  netapply convert --to netplan network_data.json > /etc/netplan/50-netapply.yaml")]
    Convert(ConvertOptions),
    /// Write the network into a mounted system, for the tool that it uses
    ///
    /// Without SOURCE, finds the description as a boot would.
    #[command(after_help = "\
Example: after an installer, or as a deploy step
  netapply persist /mnt/root")]
    Persist(PersistOptions),
    /// Describe the network of this machine as it runs; changes nothing
    ///
    /// Only what is configured: what the kernel made of it, or a lease or router brought, comes again by itself.
    #[command(after_help = "\
Example: take the network of an old system along
  netapply capture > network.yaml")]
    Capture(CaptureOptions),
    /// Compare the machine with the description and test the network
    ///
    /// Without SOURCE, uses the description that was applied last.
    #[command(after_help = "\
Example: wait for at most two minutes until everything works
  netapply verify --wait=120")]
    Verify(VerifyOptions),
    /// Apply and verify in namespaces of its own, as an ordinary user; changes nothing of the machine's
    ///
    /// The NICs are stand-ins with the names and MAC addresses of the inventory, or of the description. Every step of the
    /// network is made by this machine's kernel; files and programs are only named. What the description needs at the
    /// other ends answers: gateways, name servers, targets, LACP partners.
    #[command(after_help = "\
Example: see on a laptop what a server's console will show, and look around there
  netapply rehearse --inventory node7.json net.yaml -- ip address
  netapply rehearse --inventory node7.json --switch leaf1.yaml net.yaml")]
    Rehearse(RehearseOptions),
    /// Print this machine's links, addresses, routes and rules as JSON
    #[command(after_help = "\
Example: record a machine, and plan for it elsewhere
  netapply inventory > node7.json
  netapply --dry-run --inventory node7.json net.yaml")]
    Inventory(InventoryOptions),
    /// Print the report of the last run
    #[command(after_help = "\
Example: everything that was observed
  netapply report --json")]
    Report(ReportOptions),
    /// Give links back to the image's other network tools; the network stays
    ///
    /// Removes the files, markers and records of the hand-off and tells running tools.
    #[command(after_help = "\
Example: see what was handed off, and take it back of one link
  netapply handoff --undo --dry-run
  netapply handoff --undo eth0")]
    Handoff(HandoffOptions),
    /// Print the DHCP leases that netapply holds, or give some up
    #[command(after_help = "\
Example: give the lease of a link up
  netapply leases --release eth0")]
    Leases(LeasesOptions),
    /// Explain the code of a diagnostic or cause; without CODE, list all codes
    #[command(after_help = "\
Example:
  netapply explain lacp-no-partner")]
    Explain {
        /// The code shown in brackets after a message
        code: Option<String>,
        #[command(flatten)]
        print: PrintOptions,
    },
}

#[derive(Debug, clap::Args)]
struct ApplyOptions {
    /// The description; by default this machine's drives are searched
    source: Option<String>,
    /// Where to look instead, the preferred place first, with commas between
    #[arg(
        long = "source",
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        conflicts_with = "source"
    )]
    boot_sources: Vec<BootPlace>,
    /// Print the plan; changes nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Plan for a machine recorded with `netapply inventory`
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    inventory: Option<String>,
    /// Output format of the plan
    #[arg(long, value_enum, default_value_t, hide_default_value = true, requires = "dry_run")]
    format: PlanFormat,
    /// All or nothing: an error in the description prevents any change, and a failed step undoes the steps before it
    #[arg(long)]
    strict: bool,
    /// Do not test whether the network works
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    network: NetworkOptions,
    /// Whether to tell the image's other network tools to leave the links alone
    #[arg(long, value_enum, value_name = "WHAT")]
    handoff: Option<Handoff>,
    /// Who asks for DHCP leases
    #[arg(long, value_enum, value_name = "WHO")]
    dhcp: Option<Dhcp>,
    /// What to do if there is no description
    #[arg(long, value_enum, value_name = "WHAT")]
    fallback: Option<Fallback>,
    /// How netapply asks for DHCP leases: detect=off|fast|standard, ipv6-only, rapid-commit, user-class=TEXT, vendor-class=TEXT
    #[arg(long, value_name = "LIST")]
    dhcp_options: Option<String>,
    #[command(flatten)]
    print: PrintOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, clap::Args)]
struct RehearseOptions {
    /// The description
    source: String,
    /// Rehearse on the NICs of a machine recorded with `netapply inventory`
    #[arg(long, value_name = "FILE")]
    inventory: Option<String>,
    /// What is at the other ends of the NICs' cables, instead of what the description needs: ports, VLANs, LAGs, hosts
    #[arg(long, value_name = "FILE")]
    switch: Option<String>,
    /// Make no link for which the kernel would load a module
    #[arg(long)]
    no_modules: bool,
    /// All or nothing, as with `apply`
    #[arg(long)]
    strict: bool,
    /// Do not test whether the network works
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    network: NetworkOptions,
    /// Whether to name what the image's other network tools would be told
    #[arg(long, value_enum, value_name = "WHAT")]
    handoff: Option<Handoff>,
    /// A command to run on the rehearsed machine before it is gone, such as a shell
    #[arg(last = true, value_name = "COMMAND")]
    program: Vec<String>,
    #[command(flatten)]
    print: PrintOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, clap::Args)]
struct VerifyOptions {
    /// The description; by default the one that was applied last
    source: Option<String>,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    print: PrintOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, clap::Args)]
struct CheckOptions {
    /// The descriptions
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Output format of diagnostics
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    format: CheckFormat,
    /// Also report what this service would reject
    #[arg(long = "for", value_enum, value_name = "SERVICE")]
    service: Option<Service>,
    /// Read each directory as one description, as apply does
    ///
    /// By default a directory is one description if it is laid out as a config drive or is a netplan directory;
    /// otherwise each *.json, *.yaml and *.iso file in it and its subdirectories is one.
    #[arg(long)]
    merge: bool,
    /// Accept what an earlier run printed with --json: only what is new since counts
    #[arg(long, value_name = "FILE")]
    baseline: Option<String>,
    /// Compare the descriptions with each other
    ///
    /// Reports MAC addresses, addresses, host names and keys that two nodes have, and gateways, prefix lengths, MTUs,
    /// VLANs, bonds and name servers that differ within a subnet or between nodes with the same links.
    #[arg(long)]
    fleet: bool,
    /// What the site allows or forbids, as YAML (docs/fleet.md)
    #[arg(long, value_name = "FILE", requires = "fleet")]
    fleet_policy: Option<String>,
    /// Compare with machines that booted: inventories and reports, NODE.json, NODE/inventory.json or NODE/report.json each
    #[arg(long, value_name = "DIR", requires = "fleet")]
    reports: Option<String>,
    /// Print the links of all descriptions as CSV instead; diagnostics go to standard error
    #[arg(long, conflicts_with_all = ["json", "format"])]
    table: bool,
    #[command(flatten)]
    links: LinkOptions,
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    print: PrintOptions,
    #[command(flatten)]
    log: LogOptions,
}

// No doc comment: it would become the text of the command that has them.
// What writing a description's network needs, wherever it is written.
#[derive(Debug, clap::Args)]
struct WriteOptions {
    /// Name NICs as on a machine recorded with `netapply inventory`
    #[arg(long, value_name = "FILE")]
    inventory: Option<String>,
    /// Write nothing if the description has an error or the format cannot express all of it
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    links: LinkOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, clap::Args)]
struct ConvertOptions {
    /// The description
    source: String,
    /// The tool to write for
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: ConvertTo,
    /// Write the files into this folder; by default a single file goes to standard output
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    output: Option<String>,
    #[command(flatten)]
    write: WriteOptions,
}

#[derive(Debug, clap::Args)]
struct PersistOptions {
    /// Root of the system: a directory
    #[arg(value_name = "ROOT")]
    root: String,
    /// Description to write: a file, a directory, a block device or a disk image
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    write: WriteOptions,
}

#[derive(Debug, clap::Args)]
struct CaptureOptions {
    /// The tool to write for
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "netplan")]
    to: ConvertTo,
    /// Write the files into this folder; by default a single file goes to standard output
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    output: Option<String>,
    /// Describe a machine recorded with `netapply inventory` instead
    #[arg(long, value_name = "FILE")]
    inventory: Option<String>,
    /// Write nothing if the format cannot express all of it
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, clap::Args)]
struct WaitOptions {
    /// How long to wait for the drive and the NICs, and then again for the network to work
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = seconds,
    )]
    wait: Option<Wait>,
}

#[derive(Debug, clap::Args)]
struct LinkOptions {
    /// Follow symbolic links that lead out of a directory
    ///
    /// By default such links are reported and not followed, except below /etc, /run and /usr/lib, which are the machine's
    /// own. The directory itself may be a symbolic link.
    #[arg(long)]
    follow_links: bool,
}

#[derive(Debug, clap::Args)]
struct NetworkOptions {
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    links: LinkOptions,
    /// A target that must answer: tcp://HOST:PORT, http://HOST:PORT/PATH, https://HOST:PORT or ping://HOST; can be repeated
    #[arg(long = "probe", value_name = "URL")]
    probes: Vec<String>,
    /// Do not ask DHCP servers and routers which subnet a port is in when something fails there
    #[arg(long)]
    no_discover: bool,
}

#[derive(Debug, clap::Args)]
struct HandoffOptions {
    /// The links, by kernel name; by default all
    links: Vec<String>,
    /// Undo the hand-off
    #[arg(long, required = true)]
    undo: bool,
    /// Print the steps; changes nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, clap::Args)]
struct LeasesOptions {
    /// Give up the leases of these links, by their names in the kernel
    #[arg(long, value_name = "LINK", num_args = 1..)]
    release: Vec<String>,
    /// Renew the leases until a signal comes, as netapply-lease.service does
    #[arg(long, conflicts_with = "release")]
    renew: bool,
    #[command(flatten)]
    print: PrintOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, clap::Args)]
struct ReportOptions {
    /// Print how long each phase took and what it waited for
    #[arg(long, conflicts_with = "json")]
    timeline: bool,
    #[command(flatten)]
    print: PrintOptions,
}

#[derive(Debug, clap::Args)]
struct InventoryOptions {
    /// Listen for up to 31 s for what the switches announce (LLDP), and record the switch port of each NIC; needs root
    #[arg(long)]
    lldp: bool,
    #[command(flatten)]
    print: PrintOptions,
}

#[derive(Debug, Default, clap::Args)]
struct PrintOptions {
    /// Print JSON; the schemas are in docs/schema
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct LogOptions {
    /// Log level: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = log_level)]
    log: Option<log::LevelFilter>,
}

/// `--wait`, with or without its seconds.
#[derive(Copy, Clone, Debug)]
struct Wait(Option<Duration>);

#[derive(Copy, Clone, Debug, Default, ValueEnum)]
enum PlanFormat {
    /// Text for people
    #[default]
    Text,
    /// The steps as a shell script
    Sh,
    /// The links, addresses and gateways as a Mermaid flowchart
    Mermaid,
}

#[derive(Copy, Clone, Debug, Default, ValueEnum)]
enum CheckFormat {
    /// Text for people
    #[default]
    Text,
    /// Annotations of a GitHub workflow
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML: a suite for each description
    Junit,
    /// One JSON object a line
    JsonLines,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Service {
    /// Ironic's API
    Ironic,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Handoff {
    /// Tell the tools that the image has
    Auto,
    /// Tell none
    None,
}

/// What `convert` writes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConvertTo {
    /// netplan, version 2
    Netplan,
    /// systemd-networkd: .network, .netdev and .link
    Networkd,
    /// nmstate 2
    Nmstate,
    /// OpenStack's network_data.json
    #[value(name = "network_data")]
    NetworkData,
    /// cloud-init's network-config, version 1
    #[value(name = "v1")]
    CloudInitV1,
    /// Debian interfaces text: /etc/network/interfaces
    Eni,
    /// NetworkManager's keyfiles
    Keyfile,
    /// A NixOS module with systemd.network
    Nixos,
    /// Parameters of the kernel command line for dracut
    Cmdline,
}

/// A place that a description of a boot may come from.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootPlace {
    /// This machine's drives
    Drive,
    /// The kernel command line: ip=, bond=, vlan=
    Cmdline,
    /// The iSCSI boot firmware table
    Ibft,
    /// The NVMe boot firmware table
    Nbft,
}

/// `--fallback`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fallback {
    /// Ask for DHCP on all NICs and use the first with a route to the target of --probe, or with a router
    Dhcp,
    /// Nothing
    None,
}

/// Who asks for DHCP leases.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dhcp {
    /// The image's client where one is enabled, else netapply
    Auto,
    /// netapply
    Own,
    /// The image's client
    Image,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Find, plan, apply, verify, report.
    Apply,
    /// Print the plan.
    DryRun,
    /// Print what is wrong with descriptions.
    Check,
    /// Write a description for another tool.
    Convert(ConvertTo),
    /// Write a description into a system below this root.
    Persist(String),
    /// Describe the machine.
    Capture(ConvertTo),
    /// Check whether the network is as described and works.
    Verify,
    /// Apply and verify on stand-ins.
    Rehearse,
    /// Print the machine.
    Inventory,
    /// Print the last report.
    Report,
    /// Undo the hand-off.
    Handoff,
    /// Print the leases.
    Leases,
    /// Give the leases of some links up.
    Release,
    /// Renew leases until a signal comes.
    Renew,
    /// Explain a code.
    Explain(String),
    /// List the codes.
    Codes,
}

/// The format of a plan or diagnostics.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// Text for people.
    #[default]
    Text,
    /// The steps as a shell script.
    Sh,
    /// A flowchart.
    Mermaid,
    /// Annotations of a GitHub workflow.
    Github,
    /// SARIF 2.1.0.
    Sarif,
    /// JUnit XML.
    Junit,
    /// A JSON object for each diagnostic.
    JsonLines,
}

/// What the user typed.
#[derive(Clone, Debug)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// SOURCE; several only for `check`.
    pub sources: Vec<String>,
    /// `--source`.
    pub boot_sources: Vec<BootPlace>,
    /// `--inventory`.
    pub inventory: Option<String>,
    /// `--output`.
    pub output: Option<String>,
    /// `--format`.
    pub format: OutputFormat,
    /// `--for ironic`.
    pub for_ironic: bool,
    /// `--follow-links`.
    pub follow_links: bool,
    /// `--merge`.
    pub merge: bool,
    /// `--baseline`.
    pub baseline: Option<String>,
    /// `--fleet`.
    pub fleet: bool,
    /// `--fleet-policy`.
    pub fleet_policy: Option<String>,
    /// `--reports`.
    pub reports: Option<String>,
    /// `--table`.
    pub table: bool,
    /// `--json`.
    pub json: bool,
    /// `--timeline`.
    pub timeline: bool,
    /// `--lldp`.
    pub lldp: bool,
    /// `--switch`.
    pub switch: Option<String>,
    /// `--no-modules`.
    pub no_modules: bool,
    /// What is run on the rehearsed machine: a program and its arguments.
    pub program: Vec<String>,
    /// `--strict`.
    pub strict: bool,
    /// Unless `--no-verify`.
    pub verify: bool,
    /// `--wait` was given.
    pub wait: bool,
    /// The seconds of `--wait`.
    pub wait_for: Option<Duration>,
    /// `--fallback`.
    pub fallback: Option<Fallback>,
    /// Unless `--no-discover`.
    pub discover: bool,
    /// `--probe`, each one.
    pub probes: Vec<String>,
    /// Unless `--handoff none`.
    pub handoff: Option<bool>,
    /// `--dhcp`.
    pub dhcp: Option<Dhcp>,
    /// `--dhcp-options`.
    pub dhcp_options: Option<String>,
    /// `--dry-run` of another command than apply.
    pub dry_run: bool,
    /// `--log`.
    pub log: Option<log::LevelFilter>,
}

/// What is printed instead of running a command.
#[derive(Debug)]
pub enum Instead {
    /// Help or version: printed to standard output, exit status 0.
    Answer(Box<clap::Error>),
    /// Invalid arguments: usage.
    Wrong(Box<clap::Error>),
    /// The same in one sentence, with what to do.
    Complaint(Complaint),
}

/// Why arguments are invalid, with what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint(pub String);

impl From<clap::Error> for Instead {
    fn from(error: clap::Error) -> Self {
        if error.use_stderr() { Instead::Wrong(Box::new(error)) } else { Instead::Answer(Box::new(error)) }
    }
}

/// The command line as data.
pub fn command() -> clap::Command {
    let mut command = Line::command();
    command.build();
    command
}

/// Parses the arguments, without the program's name.
///
/// # Errors
/// What is printed instead of running a command.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, Instead> {
    let arguments = command_first(arguments.into_iter().collect())?;
    let line = Line::try_parse_from(std::iter::once(OsString::from("netapply")).chain(arguments))?;
    Ok(line.command.into())
}

/// Options may precede the command, and no command means `apply`: moves the command to the front. The next argument of
/// `--wait` is its seconds, too, if that is a number.
fn command_first(arguments: Vec<OsString>) -> Result<Vec<OsString>, Instead> {
    const VALUED: &[&str] = &[
        "--source",
        "--inventory",
        "--format",
        "--for",
        "--probe",
        "--handoff",
        "--dhcp",
        "--dhcp-options",
        "--release",
        "--log",
        "--to",
        "--output",
        "-o",
        "--baseline",
        "--fleet-policy",
        "--reports",
        "--switch",
    ];
    const COMMANDS: &[&str] = &[
        "apply",
        "check",
        "convert",
        "persist",
        "capture",
        "verify",
        "rehearse",
        "inventory",
        "report",
        "handoff",
        "leases",
        "explain",
        "help",
    ];
    let mut out: Vec<OsString> = Vec::new();
    let mut first = None;
    let mut dry_run = false;
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next() {
        let text = argument.to_str().unwrap_or_default();
        if text == "--" {
            out.push(argument);
            break;
        }
        if text == "--wait" {
            let is_number = |next: &OsString| next.to_str().is_some_and(|n| n.parse::<u32>().is_ok());
            if let Some(seconds) = rest.next_if(is_number) {
                let mut joined = OsString::from("--wait=");
                joined.push(seconds);
                out.push(joined);
                continue;
            }
        }
        dry_run |= text == "--dry-run" || text == "-n";
        if first.is_none() && (!text.starts_with('-') || text == "-") {
            first = Some(out.len());
        }
        let valued = VALUED.contains(&text);
        out.push(argument);
        if valued {
            out.extend(rest.next());
        }
    }
    out.extend(rest);
    let word = first.and_then(|at| out.get(at)).and_then(|word| word.to_str()).map(str::to_owned);
    let commands = || COMMANDS.iter().copied();
    match (first, word) {
        (Some(at), Some(word)) if commands().any(|command| command == word) => {
            let command = out.remove(at);
            out.insert(0, command);
        }
        // A path is SOURCE; a single word is more likely a misspelt command.
        (Some(_), Some(word)) if !is_path(&word) && !dry_run => {
            let hint = match nearest(&word, commands()) {
                Some(near) => format!("did you mean netapply {near}?"),
                None => format!(
                    "to see what a description does: netapply --dry-run {word}; to apply it: netapply apply {word}"
                ),
            };
            return Err(Instead::Complaint(Complaint(format!("unknown command \"{word}\"; {hint}"))));
        }
        _ => {
            let general = ["-h", "--help", "-V", "--version"];
            let is_general = |argument: &OsString| argument.to_str().is_some_and(|a| general.contains(&a));
            if !out.iter().any(is_general) {
                out.insert(0, "apply".into());
            }
        }
    }
    Ok(out)
}

impl From<CommandLine> for Args {
    fn from(line: CommandLine) -> Args {
        let mut args = Args {
            command: Command::Apply,
            sources: Vec::new(),
            boot_sources: Vec::new(),
            inventory: None,
            output: None,
            format: OutputFormat::Text,
            for_ironic: false,
            follow_links: false,
            merge: false,
            baseline: None,
            fleet: false,
            fleet_policy: None,
            reports: None,
            table: false,
            json: false,
            timeline: false,
            lldp: false,
            switch: None,
            no_modules: false,
            program: Vec::new(),
            strict: false,
            verify: true,
            wait: false,
            wait_for: None,
            fallback: None,
            discover: true,
            probes: Vec::new(),
            handoff: None,
            dhcp: None,
            dhcp_options: None,
            dry_run: false,
            log: None,
        };
        match line {
            CommandLine::Apply(options) => {
                args.command = if options.dry_run { Command::DryRun } else { Command::Apply };
                args.sources.extend(options.source);
                args.boot_sources = options.boot_sources;
                args.inventory = options.inventory;
                args.format = match options.format {
                    PlanFormat::Text => OutputFormat::Text,
                    PlanFormat::Sh => OutputFormat::Sh,
                    PlanFormat::Mermaid => OutputFormat::Mermaid,
                };
                args.strict = options.strict;
                args.verify = !options.no_verify;
                args.handoff = options.handoff.map(|handoff| matches!(handoff, Handoff::Auto));
                args.dhcp = options.dhcp;
                args.dhcp_options = options.dhcp_options;
                args.fallback = options.fallback;
                args.json = options.print.json;
                args.log = options.log.log;
                args.network(options.network);
            }
            CommandLine::Verify(options) => {
                args.command = Command::Verify;
                args.sources.extend(options.source);
                args.json = options.print.json;
                args.log = options.log.log;
                args.network(options.network);
            }
            CommandLine::Rehearse(options) => {
                args.command = Command::Rehearse;
                args.sources.push(options.source);
                args.inventory = options.inventory;
                args.no_modules = options.no_modules;
                args.program = options.program;
                args.strict = options.strict;
                args.verify = !options.no_verify;
                args.handoff = options.handoff.map(|handoff| matches!(handoff, Handoff::Auto));
                // Without a described other side no server answers there.
                args.dhcp = Some(if options.switch.is_some() { Dhcp::Own } else { Dhcp::Image });
                args.switch = options.switch;
                args.json = options.print.json;
                args.log = options.log.log;
                args.network(options.network);
            }
            CommandLine::Check(options) => {
                args.command = Command::Check;
                args.sources = options.sources;
                args.format = match options.format {
                    CheckFormat::Text => OutputFormat::Text,
                    CheckFormat::Github => OutputFormat::Github,
                    CheckFormat::Sarif => OutputFormat::Sarif,
                    CheckFormat::Junit => OutputFormat::Junit,
                    CheckFormat::JsonLines => OutputFormat::JsonLines,
                };
                args.wait(options.wait);
                args.follow_links = options.links.follow_links;
                args.merge = options.merge;
                args.baseline = options.baseline;
                args.fleet = options.fleet;
                args.fleet_policy = options.fleet_policy;
                args.reports = options.reports;
                args.table = options.table;
                args.for_ironic = matches!(options.service, Some(Service::Ironic));
                args.json = options.print.json;
                args.log = options.log.log;
            }
            CommandLine::Convert(options) => {
                args.command = Command::Convert(options.to);
                args.sources.push(options.source);
                args.output = options.output;
                args.write(options.write);
            }
            CommandLine::Persist(options) => {
                args.command = Command::Persist(options.root);
                args.sources.extend(options.source);
                args.write(options.write);
            }
            CommandLine::Capture(options) => {
                args.command = Command::Capture(options.to);
                args.output = options.output;
                args.inventory = options.inventory;
                args.strict = options.strict;
                args.log = options.log.log;
            }
            CommandLine::Inventory(options) => {
                args.command = Command::Inventory;
                args.lldp = options.lldp;
            }
            CommandLine::Report(options) => {
                args.command = Command::Report;
                args.timeline = options.timeline;
                args.json = options.print.json;
            }
            CommandLine::Handoff(options) => {
                debug_assert!(options.undo, "the option is required");
                args.command = Command::Handoff;
                args.sources = options.links;
                args.dry_run = options.dry_run;
                args.log = options.log.log;
            }
            CommandLine::Leases(options) => {
                args.command = match (options.renew, options.release.is_empty()) {
                    (true, _) => Command::Renew,
                    (false, true) => Command::Leases,
                    (false, false) => Command::Release,
                };
                args.sources = options.release;
                args.json = options.print.json;
                args.log = options.log.log;
            }
            CommandLine::Explain { code, print } => {
                args.command = code.map_or(Command::Codes, Command::Explain);
                args.json = print.json;
            }
        }
        args
    }
}

impl Args {
    fn wait(&mut self, options: WaitOptions) {
        self.wait = options.wait.is_some();
        self.wait_for = options.wait.and_then(|Wait(seconds)| seconds);
    }

    fn write(&mut self, options: WriteOptions) {
        self.inventory = options.inventory;
        self.strict = options.strict;
        self.follow_links = options.links.follow_links;
        self.log = options.log.log;
    }

    fn network(&mut self, options: NetworkOptions) {
        self.wait(options.wait);
        self.follow_links = options.links.follow_links;
        self.probes = options.probes;
        self.discover = !options.no_discover;
    }
}

/// Certainly a SOURCE: standard input, or with a character that no command has.
fn is_path(word: &str) -> bool {
    word == "-" || word.contains(['/', '.'])
}

fn seconds(text: &str) -> Result<Wait, String> {
    if text.is_empty() {
        return Ok(Wait(None));
    }
    let number = text.parse::<u32>().ok().filter(|n| *n <= 3600);
    let number = number.ok_or("expected 0 to 3600 seconds")?;
    Ok(Wait(Some(Duration::from_secs(number.into()))))
}

fn log_level(text: &str) -> Result<log::LevelFilter, String> {
    text.parse().map_err(|_| "expected error, warn, info, debug or trace".to_owned())
}

/// The log level with this name, for `netapply.log=`.
///
/// # Errors
/// There is no such level.
pub fn level(text: &str) -> Result<log::LevelFilter, Complaint> {
    log_level(text).map_err(Complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, Instead> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn complaint(line: &str) -> String {
        match read(line).unwrap_err() {
            Instead::Complaint(Complaint(text)) => text,
            Instead::Wrong(error) => error.to_string(),
            Instead::Answer(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn help_fits_a_console() {
        for command in std::iter::once(&command()).chain(command().get_subcommands()) {
            let help = command.clone().term_width(80).render_long_help().to_string();
            let long = help.lines().find(|line| line.chars().count() > 80);
            assert_eq!(long, None, "{}", command.get_name());
        }
    }

    #[test]
    fn commands_and_sources() {
        assert_eq!(read("").unwrap().command, Command::Apply);
        for line in ["apply net.json", "net.json", "--strict net.json", "--log debug net.json"] {
            let args = read(line).unwrap();
            assert_eq!((args.command, args.sources), (Command::Apply, vec!["net.json".to_owned()]));
        }
        for line in ["net.json --dry-run", "-n net.json", "--dry-run apply net.json"] {
            let args = read(line).unwrap();
            assert_eq!((args.command, args.sources), (Command::DryRun, vec!["net.json".to_owned()]));
        }
        assert_eq!(read("--dry-run description").unwrap().sources, ["description"]);
        assert_eq!(read("check a b -").unwrap().sources, ["a", "b", "-"]);
        let args = read("--json check a").unwrap();
        assert_eq!((args.command, args.json), (Command::Check, true));
        assert_eq!(read("explain nic-missing").unwrap().command, Command::Explain("nic-missing".into()));
        assert_eq!(read("explain").unwrap().command, Command::Codes);
        assert_eq!(read("--handoff none").unwrap().handoff, Some(false));
        assert_eq!(read("--probe tcp://a:1 --probe ping://b").unwrap().probes, ["tcp://a:1", "ping://b"]);
    }

    #[test]
    fn wait_has_a_value_only_if_it_is_a_number() {
        let args = read("verify --wait net.json").unwrap();
        assert_eq!((args.wait, args.wait_for, args.sources.len()), (true, None, 1));
        let args = read("verify --wait 30 net.json").unwrap();
        assert_eq!((args.wait_for, args.sources.len()), (Some(Duration::from_secs(30)), 1));
        assert_eq!(read("apply --wait=5").unwrap().wait_for, Some(Duration::from_secs(5)));
        assert!(complaint("apply --wait=x").contains("expected 0 to 3600 seconds"));
        assert!(complaint("apply --wait 3601").contains("expected 0 to 3600 seconds"));
    }

    #[test]
    fn complaints_say_what_to_do() {
        assert_eq!(complaint("chek x"), "unknown command \"chek\"; did you mean netapply check?");
        assert_eq!(
            complaint("description"),
            "unknown command \"description\"; to see what a description does: netapply --dry-run description; to apply it: netapply apply description"
        );
        for (line, words) in [
            ("apply a b", "unexpected argument 'b'"),
            ("--format x --dry-run", "[possible values: text, sh, mermaid]"),
            ("--srict", "a similar argument exists: '--strict'"),
            ("check", "<SOURCE>..."),
            ("--inventory m.json net.json", "--dry-run"),
            ("check --strict a", "unexpected argument '--strict'"),
            ("verify --dry-run", "unexpected argument '--dry-run'"),
        ] {
            let complaint = complaint(line);
            assert!(complaint.contains(words), "{line}: {complaint}");
        }
    }
}
