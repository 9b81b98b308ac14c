//! `netapply convert`: writes the same network for another tool.

use std::io::Write as _;
use std::path::Path;

use super::dry_run::recorded;
use super::{
    Exit, block_on, broken, complain, find, not_found, parse, print_raw, request, style, unreadable,
};
use crate::cli::{self, Args};
use crate::diagnostic::{Code, Diagnostic, Renderer, Severity, worst};
use crate::export::{self, Exported, File, Tool};
use crate::format::Parsed;
use crate::inventory::Inventory;
use crate::machine::{Machine, files};
use crate::page::Page;
use crate::resolve::{Missing, resolve};

/// Exit status 3 on an error in the description, 4 without a description, else 0. With `--strict`, anything that the
/// format cannot express is an error, and nothing is written.
pub(super) fn convert(args: &Args, tool: cli::ConvertTo) -> Exit {
    let recorded = match args.inventory.as_deref().map(recorded).transpose() {
        Ok(recorded) => recorded,
        Err(why) => {
            complain(&why);
            return Exit::Usage;
        }
    };
    let request = request(args, args.sources.first());
    let mut parsed = match block_on(find(&request)).unwrap_or_else(|error| Err(broken(&error))) {
        Ok(found) => parse(&found),
        Err(missing) => {
            tell(args, &unreadable(args.sources.first().map_or("", String::as_str), &missing));
            return not_found(&missing);
        }
    };
    let machine = recorded.is_some();
    let (resolved, diagnostics) =
        resolve(&parsed.desired, &recorded.unwrap_or_else(Inventory::default), Missing::StandIn);
    // Without a machine every NIC is assumed, which need not be reported.
    parsed.diagnostics.extend(diagnostics.into_iter().filter(|_| machine));
    let Exported { files, losses } = export::export(of(tool), &parsed.desired, &resolved);
    parsed.diagnostics.extend(losses.into_iter().map(|loss| match loss.diagnostic {
        lost if args.strict && lost.severity > Severity::Note => lost.severity(Severity::Error),
        lost => lost,
    }));
    let exit = match worst(&parsed.diagnostics) {
        Some(Severity::Error) => Exit::BadText,
        _ if parsed.desired.links.is_empty() => Exit::NoDescription,
        _ => Exit::Success,
    };
    tell(args, &parsed);
    if files.is_empty() || (args.strict && exit == Exit::BadText) {
        return if exit == Exit::Success { Exit::BadText } else { exit };
    }
    match (args.output.as_deref(), files.as_slice()) {
        (Some(folder), files) => write(Path::new(folder), files, exit),
        (None, [file]) => print_raw(&file.text, exit),
        (None, files) => {
            complain(&format!("{} files: name a folder for them with --output", files.len()));
            Exit::Usage
        }
    }
}

fn of(tool: cli::ConvertTo) -> Tool {
    match tool {
        cli::ConvertTo::Netplan => Tool::Netplan,
        cli::ConvertTo::Networkd => Tool::Networkd,
        cli::ConvertTo::Nmstate => Tool::Nmstate,
        cli::ConvertTo::NetworkData => Tool::NetworkData,
        cli::ConvertTo::CloudInitV1 => Tool::CloudInitV1,
        cli::ConvertTo::Eni => Tool::Eni,
    }
}

/// Prints the messages to standard error, because the file may be on standard output. Notes only about the conversion,
/// unless the others are requested.
fn tell(args: &Args, parsed: &Parsed) {
    let all = args.log.is_some_and(|level| level >= log::LevelFilter::Info);
    let is_shown = |d: &&Diagnostic| all || d.severity > Severity::Note || d.code == Code::NotInFormat;
    let style = style(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let renderer = Renderer { texts: &parsed.texts, style };
    let mut page = Page::new(style);
    for diagnostic in parsed.diagnostics.iter().filter(is_shown) {
        renderer.render_to(&mut page, diagnostic);
    }
    let _ = std::io::stderr().lock().write_all(page.as_str().as_bytes());
}

/// Writes each file atomically; stops at the first that cannot be written.
fn write(folder: &Path, files: &[File], exit: Exit) -> Exit {
    for file in files {
        let path = folder.join(&file.name);
        if let Err(error) = files::write(&path, file.text.as_bytes(), file.mode) {
            complain(&format!("cannot write {}: {error}", path.display()));
            return Exit::Incomplete;
        }
        if let Some(group) = file.group.filter(|_| nix::unistd::geteuid().is_root()) {
            let done = group_id(group).map(|id| std::os::unix::fs::chown(&path, None, Some(id)));
            if !matches!(done, Some(Ok(()))) {
                complain(&format!(
                    "{} is for the group {group}, which it could not be given",
                    path.display()
                ));
            }
        }
    }
    exit
}

/// The number of a group from /etc/group: the C library would load the image's modules for names.
fn group_id(name: &str) -> Option<u32> {
    let text = files::read(&Machine::default().at("/etc/group")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}
