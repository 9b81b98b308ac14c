//! `netapply convert`: writes the same network for another tool.

use std::borrow::Cow;
use std::path::Path;

use super::dry_run::recorded;
use super::{
    Exit, block_on, broken, complain, complain_of, find, not_found, parse, print_raw, request, unreadable,
};
use crate::cli::{self, Args};
use crate::diagnostic::{Code, Diagnostic, Severity, worst};
use crate::export::{self, Exported, File, Tool};
use crate::format::Parsed;
use crate::machine::{Machine, files};
use crate::resolve::{Missing, numbered, resolve};

/// Exit status 3 on an error in the description, 4 without a description, else 0. With `--strict`, anything that the
/// format cannot express is an error, and nothing is written.
pub(super) fn convert(args: &Args, tool: cli::ConvertTo) -> Exit {
    match converted(args, args.sources.first(), tool_of(tool)) {
        Ok(converted) => give_out(args, &converted),
        Err(exit) => exit,
    }
}

/// A description, written for a tool.
pub(super) struct Converted {
    parsed: Parsed,
    files: Vec<File>,
}

impl Converted {
    /// What a tool gets of a description; what its format cannot express is a diagnostic beside the description's own.
    pub(super) fn new(args: &Args, mut parsed: Parsed, exported: Exported) -> Self {
        let Exported { files, losses } = exported;
        parsed.diagnostics.extend(losses.into_iter().map(|loss| match loss.diagnostic {
            lost if args.strict && lost.severity > Severity::Note => lost.severity(Severity::Error),
            lost => lost,
        }));
        Converted { parsed, files }
    }

    fn exit(&self) -> Exit {
        match worst(&self.parsed.diagnostics) {
            Some(Severity::Error) => Exit::BadText,
            _ if self.parsed.desired.links.is_empty() => Exit::NoDescription,
            _ => Exit::Success,
        }
    }

    /// Prints the messages; the files that may be written.
    ///
    /// # Errors
    /// There is nothing to write: the exit status.
    pub(super) fn files(&self, args: &Args) -> Result<(&[File], Exit), Exit> {
        let exit = self.exit();
        tell(args, &self.parsed);
        if self.files.is_empty() || (args.strict && exit == Exit::BadText) {
            return Err(if exit == Exit::Success { Exit::BadText } else { exit });
        }
        Ok((&self.files, exit))
    }
}

/// Reads a description and writes it for a tool.
///
/// # Errors
/// There is no description: the exit status, after a message.
pub(super) fn converted(args: &Args, source: Option<&String>, tool: Tool) -> Result<Converted, Exit> {
    let recorded = recorded(args)?;
    let request = request(args, source);
    let mut parsed = match block_on(find(&request)).unwrap_or_else(|error| Err(broken(&error))) {
        Ok(found) => parse(&found),
        Err(missing) => {
            tell(args, &unreadable(source.map_or("", String::as_str), &missing));
            return Err(not_found(&missing));
        }
    };
    let machine = recorded.is_some();
    let inventory = recorded.unwrap_or_default();
    if let Cow::Owned(own) = numbered(&parsed.desired, &inventory, &mut parsed.diagnostics) {
        parsed.desired = own;
    }
    let (resolved, diagnostics) = resolve(&parsed.desired, &inventory, Missing::StandIn);
    // Without a machine every NIC is assumed, which need not be reported.
    parsed.diagnostics.extend(diagnostics.into_iter().filter(|_| machine));
    let exported = export::export(tool, &parsed.desired, &resolved);
    Ok(Converted::new(args, parsed, exported))
}

/// Writes the files where `--output` says, else a single one to standard output.
pub(super) fn give_out(args: &Args, converted: &Converted) -> Exit {
    let (files, exit) = match converted.files(args) {
        Ok(written) => written,
        Err(exit) => return exit,
    };
    match (args.output.as_deref(), files) {
        (Some(folder), files) => write(Path::new(folder), files, exit),
        (None, [file]) => print_raw(&file.text, exit),
        (None, files) => {
            complain(&format!("{} files: name a folder for them with --output", files.len()));
            Exit::Usage
        }
    }
}

pub(super) fn tool_of(tool: cli::ConvertTo) -> Tool {
    match tool {
        cli::ConvertTo::Netplan => Tool::Netplan,
        cli::ConvertTo::Networkd => Tool::Networkd,
        cli::ConvertTo::Nmstate => Tool::Nmstate,
        cli::ConvertTo::NetworkData => Tool::NetworkData,
        cli::ConvertTo::CloudInitV1 => Tool::CloudInitV1,
        cli::ConvertTo::Eni => Tool::Eni,
        cli::ConvertTo::Keyfile => Tool::Keyfile,
        cli::ConvertTo::Nixos => Tool::Nixos,
        cli::ConvertTo::Cmdline => Tool::Cmdline,
    }
}

/// Prints the messages to standard error, because the file may be on standard output. Notes only about the conversion,
/// unless the others are requested.
fn tell(args: &Args, parsed: &Parsed) {
    let all = args.log.is_some_and(|level| level >= log::LevelFilter::Info);
    let is_shown = |d: &&Diagnostic| all || d.severity > Severity::Note || d.code == Code::NotInFormat;
    complain_of(&parsed.texts, parsed.diagnostics.iter().filter(is_shown));
}

/// Writes each file atomically; stops at the first that cannot be written.
fn write(folder: &Path, files: &[File], exit: Exit) -> Exit {
    for file in files {
        let path = folder.join(&file.name);
        if let Err(why) = write_file(&path, file) {
            complain(&why);
            return Exit::Incomplete;
        }
        if let Err(why) = give(&path, file, &Machine::default()) {
            complain(&why);
        }
    }
    exit
}

/// Writes a file with the permissions that its tool wants.
pub(super) fn write_file(path: &Path, file: &File) -> Result<(), String> {
    files::write(path, file.text.as_bytes(), file.mode)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Gives a file to its group, by the groups of this machine, where we may.
pub(super) fn give(path: &Path, file: &File, machine: &Machine) -> Result<(), String> {
    let Some(group) = file.group.filter(|_| nix::unistd::geteuid().is_root()) else { return Ok(()) };
    let done = group_id(group, machine).map(|id| std::os::unix::fs::chown(path, None, Some(id)));
    match done {
        Some(Ok(())) => Ok(()),
        _ => Err(format!("{} is for the group {group}, which it could not be given", path.display())),
    }
}

/// The number of a group by /etc/group: the C library would load the image's modules for names.
fn group_id(name: &str, machine: &Machine) -> Option<u32> {
    let text = files::read(&machine.at("/etc/group")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}
