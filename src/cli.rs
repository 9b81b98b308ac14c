//! The arguments, and nothing of the machine. [`parse`] turns them into [`Args`] or a complaint for exit code 2.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::Arg;

use crate::diagnostic::nearest;

/// What `netapply --help` prints.
pub const HELP: &str = "\
netapply brings up the network that a config drive describes, checks that it
works, and says why when it does not.

Usage:
  netapply [apply] [OPTIONS] [SOURCE]   find the description or take SOURCE, plan,
                                        apply, verify, report
  netapply --dry-run [SOURCE]           print the plan and touch nothing
  netapply check SOURCE...              only say what is wrong with descriptions
  netapply verify [--wait] [SOURCE]     is the network as described, does it work
  netapply inventory                    NICs and links of this machine, as JSON
  netapply report                       the last boot's report
  netapply explain [CODE]               what a diagnostic or cause means; all codes

SOURCE is a file, '-' for standard input, a directory laid out as a config drive
or holding netplan files, a block device, or an ISO image. Without one the drives
of this machine are searched, as in a boot.

Options:
  --inventory FILE     plan for a recorded machine (with --dry-run)
  --format FORMAT      text, or sh: the steps as a script (with --dry-run);
                       text, or github: annotations (with check)
  --for ironic         also say what Ironic's API would refuse (with check)
  --follow-links       read what links in a directory lead to outside it
  --json               print JSON, see docs/schema
  --strict             all or nothing: no change after an error in the text, and
                       the first step that fails undoes those before it
  --no-verify          do not wait for the network to work (with apply)
  --wait[=SECONDS]     how long to wait for the drive and for the network
  --probe URL          what must be reachable: tcp://HOST:PORT, ping://HOST,
                       http://HOST:PORT/PATH; may be repeated
  --handoff WHAT       auto: tell the image's other network tools to leave the
                       links alone; none
  --log LEVEL          error, warn, info, debug or trace
  -h, --help           this text
  -V, --version        the version

Exit codes: 0 as described and working; 1 something described is missing or does
not work; 2 usage; 3 the description cannot be used (with check and --dry-run: it
has errors); 4 no description, or one without links; 5 the kernel refused a step;
75 another netapply is applying.
";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Find, plan, apply, verify, report.
    Apply,
    /// Print the plan.
    DryRun,
    /// Print what is wrong with descriptions.
    Check,
    /// See whether the network is as described and works.
    Verify,
    /// Print the machine.
    Inventory,
    /// Print the last report.
    Report,
    /// Explain a code.
    Explain(String),
    /// List the codes.
    Codes,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// The commands that are words.
const COMMANDS: &[(&str, Command)] = &[
    ("apply", Command::Apply),
    ("check", Command::Check),
    ("verify", Command::Verify),
    ("inventory", Command::Inventory),
    ("report", Command::Report),
];

/// How a plan or diagnostics are printed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// The steps as a shell script.
    Sh,
    /// Annotations of a GitHub workflow.
    Github,
}

/// What the user typed.
#[derive(Clone, Debug)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// SOURCE; several only for `check`.
    pub sources: Vec<String>,
    /// `--inventory`.
    pub inventory: Option<String>,
    /// `--format`.
    pub format: Format,
    /// `--for ironic`.
    pub for_ironic: bool,
    /// `--follow-links`.
    pub follow_links: bool,
    /// `--json`.
    pub json: bool,
    /// `--strict`.
    pub strict: bool,
    /// Unless `--no-verify`.
    pub verify: bool,
    /// `--wait` was given.
    pub wait: bool,
    /// The seconds of `--wait`.
    pub wait_for: Option<Duration>,
    /// `--probe`, each one.
    pub probes: Vec<String>,
    /// Unless `--handoff none`.
    pub handoff: Option<bool>,
    /// `--log`.
    pub log: Option<log::LevelFilter>,
}

/// Why the arguments make no sense, with what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint(pub String);

impl From<lexopt::Error> for Complaint {
    fn from(error: lexopt::Error) -> Self {
        Complaint(format!("{error}; try netapply --help"))
    }
}

/// Reads the arguments, the program's name excepted.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, Complaint> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut args = Args {
        command: Command::Apply,
        sources: Vec::new(),
        inventory: None,
        format: Format::Text,
        for_ironic: false,
        follow_links: false,
        json: false,
        strict: false,
        verify: true,
        wait: false,
        wait_for: None,
        probes: Vec::new(),
        handoff: None,
        log: None,
    };
    let mut words: Vec<String> = Vec::new();
    let mut dry_run = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Args { command: Command::Help, ..args }),
            Arg::Short('V') | Arg::Long("version") => return Ok(Args { command: Command::Version, ..args }),
            Arg::Long("dry-run") | Arg::Short('n') => dry_run = true,
            Arg::Long("follow-links") => args.follow_links = true,
            Arg::Long("json") => args.json = true,
            Arg::Long("strict") => args.strict = true,
            Arg::Long("no-verify") => args.verify = false,
            Arg::Long("wait") => wait(&mut parser, &mut args)?,
            Arg::Long("inventory") => args.inventory = Some(text(parser.value()?)?),
            Arg::Long("probe") => args.probes.push(text(parser.value()?)?),
            Arg::Long("format") => {
                args.format = one_of(
                    "--format",
                    &text(parser.value()?)?,
                    &[("text", Format::Text), ("sh", Format::Sh), ("github", Format::Github)],
                )?;
            }
            Arg::Long("for") => {
                args.for_ironic = one_of("--for", &text(parser.value()?)?, &[("ironic", true)])?
            }
            Arg::Long("handoff") => {
                args.handoff =
                    Some(one_of("--handoff", &text(parser.value()?)?, &[("auto", true), ("none", false)])?);
            }
            Arg::Long("log") => args.log = Some(level(&text(parser.value()?)?)?),
            Arg::Value(value) => words.push(text(value)?),
            other => return Err(other.unexpected().into()),
        }
    }
    arrange(args, words, dry_run)
}

/// `--wait`, `--wait=30`, `--wait 30`: a number after it is its value, anything else is SOURCE.
fn wait(parser: &mut lexopt::Parser, args: &mut Args) -> Result<(), Complaint> {
    args.wait = true;
    let seconds = match parser.optional_value() {
        Some(value) => Some(text(value)?),
        None => {
            let mut raw = parser.raw_args()?;
            let next = raw.peek().and_then(|next| next.to_str()).filter(|next| next.parse::<u32>().is_ok());
            let next = next.map(str::to_owned);
            if next.is_some() {
                raw.next();
            }
            next
        }
    };
    if let Some(seconds) = seconds {
        let number = seconds.parse::<u32>().ok().filter(|n| *n <= 3600);
        let number =
            number.ok_or_else(|| Complaint(format!("--wait {seconds}: expected 0 to 3600 seconds")))?;
        args.wait_for = Some(Duration::from_secs(number.into()));
    }
    Ok(())
}

/// Sorts the words into a command and its sources.
fn arrange(mut args: Args, mut words: Vec<String>, dry_run: bool) -> Result<Args, Complaint> {
    let first = words.first().map(String::as_str);
    if first == Some("explain") {
        return match &words[1..] {
            [] => Ok(Args { command: Command::Codes, ..args }),
            [code] => Ok(Args { command: Command::Explain(code.clone()), ..args }),
            _ => {
                Err(Complaint("explain takes one code, such as: netapply explain dangling-reference".into()))
            }
        };
    }
    match COMMANDS.iter().find(|(word, _)| Some(*word) == first) {
        Some((_, command)) => {
            args.command = command.clone();
            words.remove(0);
        }
        // A path is SOURCE; a word alone is more likely a command that was misspelt.
        None if first.is_some_and(|word| !is_path(word)) && !dry_run => {
            let word = first.unwrap_or_default();
            let near = nearest(word, COMMANDS.iter().map(|(word, _)| *word).chain(["explain"]));
            let hint = match near {
                Some(near) => format!("did you mean netapply {near}?"),
                None => format!(
                    "to see what a description does: netapply --dry-run {word}; to apply it: netapply apply {word}"
                ),
            };
            return Err(Complaint(format!("unknown command \"{word}\"; {hint}")));
        }
        None => {}
    }
    if dry_run {
        if args.command != Command::Apply {
            return Err(Complaint(
                "--dry-run goes with apply only; the other commands change nothing anyway".into(),
            ));
        }
        args.command = Command::DryRun;
    }
    args.sources = words;
    fits(&args)?;
    Ok(args)
}

/// Certainly a SOURCE: standard input, or with a part that no command has.
fn is_path(word: &str) -> bool {
    word == "-" || word.contains(['/', '.'])
}

/// What goes with what.
fn fits(args: &Args) -> Result<(), Complaint> {
    let wrong = |text: &str| Err(Complaint(text.to_owned()));
    match args.command {
        Command::Check if args.sources.is_empty() => return wrong("check takes one SOURCE or more"),
        Command::Inventory | Command::Report if !args.sources.is_empty() => {
            return wrong("this command takes no SOURCE");
        }
        Command::Check => {}
        _ if args.sources.len() > 1 => {
            return wrong("only one SOURCE can be given here; check takes several");
        }
        _ => {}
    }
    if args.inventory.is_some() && args.command != Command::DryRun {
        return wrong("--inventory goes with --dry-run");
    }
    if args.format == Format::Sh && args.command != Command::DryRun {
        return wrong("--format sh goes with --dry-run");
    }
    if args.format == Format::Github && args.command != Command::Check {
        return wrong("--format github goes with check");
    }
    if args.json && args.format != Format::Text {
        return wrong("--json and --format exclude each other");
    }
    if args.for_ironic && args.command != Command::Check {
        return wrong("--for goes with check");
    }
    Ok(())
}

fn text(value: OsString) -> Result<String, Complaint> {
    value.into_string().map_err(|raw| Complaint(format!("{}: not UTF-8", raw.to_string_lossy())))
}

fn one_of<T: Copy>(option: &str, text: &str, values: &[(&str, T)]) -> Result<T, Complaint> {
    values.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = values.iter().map(|(word, _)| *word).collect();
        Complaint(format!("{option} {text}: expected {}", words.join(" or ")))
    })
}

/// A level of the log by its word; also for `netapply.log=`.
pub fn level(text: &str) -> Result<log::LevelFilter, Complaint> {
    text.parse().map_err(|_| Complaint(format!("--log {text}: expected error, warn, info, debug or trace")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, Complaint> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn commands_and_sources() {
        assert_eq!(read("").unwrap().command, Command::Apply);
        for line in ["apply net.json", "net.json"] {
            let args = read(line).unwrap();
            assert_eq!((args.command, args.sources), (Command::Apply, vec!["net.json".to_owned()]));
        }
        let args = read("net.json --dry-run").unwrap();
        assert_eq!((args.command, args.sources), (Command::DryRun, vec!["net.json".to_owned()]));
        assert_eq!(read("check a b -").unwrap().sources, ["a", "b", "-"]);
        assert_eq!(read("explain nic-missing").unwrap().command, Command::Explain("nic-missing".into()));
        assert_eq!(read("explain").unwrap().command, Command::Codes);
    }

    #[test]
    fn wait_has_a_value_only_if_it_is_a_number() {
        let args = read("verify --wait net.json").unwrap();
        assert_eq!((args.wait, args.wait_for, args.sources.len()), (true, None, 1));
        let args = read("verify --wait 30 net.json").unwrap();
        assert_eq!((args.wait_for, args.sources.len()), (Some(Duration::from_secs(30)), 1));
        assert_eq!(read("apply --wait=5").unwrap().wait_for, Some(Duration::from_secs(5)));
        assert!(read("apply --wait=x").is_err());
    }

    #[test]
    fn complaints_say_what_to_do() {
        let complaint = |line: &str| read(line).unwrap_err().0;
        assert_eq!(complaint("chek x"), "unknown command \"chek\"; did you mean netapply check?");
        assert_eq!(
            complaint("description"),
            "unknown command \"description\"; to see what a description does: netapply --dry-run description; to apply it: netapply apply description"
        );
        assert_eq!(complaint("apply a b"), "only one SOURCE can be given here; check takes several");
        assert_eq!(complaint("--format x --dry-run"), "--format x: expected text or sh or github");
        assert_eq!(complaint("--frobnicate"), "invalid option '--frobnicate'; try netapply --help");
    }
}
