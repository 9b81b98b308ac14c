//! The report on one console screen: at most 20 lines of 80 columns, plain ASCII, colour only on request.

use super::{Report, Row, RowState, Verdict};
use crate::diagnostic::Severity;
use crate::page::{Look, Page, Style};
use crate::verify::cause::Cause;

/// Lines of the screen, and their width.
const LINES: usize = 20;
const WIDTH: usize = 80;
/// How many lines causes may take before the picture gets its share.
const CAUSE_LINES: usize = 11;
/// The column of a row's text, after its mark.
const MARK: usize = 5;

/// The report for a person.
pub fn screen(report: &Report, style: Style) -> Page {
    let head = head(report);
    let rest = LINES - head.len();
    let warnings = warnings(report);
    let causes = causes(report, CAUSE_LINES.min(rest - warnings.len()));
    let rows = rows(&report.picture, rest - warnings.len() - causes.len());
    let mut page = Page::new(style);
    for (number, line) in head.iter().enumerate() {
        let look = match report.verdict {
            _ if number > 0 => Look::Normal,
            Verdict::Works | Verdict::Applied => Look::Green,
            Verdict::Nothing if report.is_by_design() => Look::Normal,
            Verdict::Unverified => Look::Yellow,
            Verdict::Faults | Verdict::Nothing | Verdict::Interrupted => Look::Red,
        };
        page.styled(&[(look, line)]);
    }
    for (line, state) in &rows {
        let look = match state {
            Some(RowState::Ok) => Look::Green,
            Some(RowState::Fault) => Look::Red,
            Some(RowState::Blocked) => Look::Yellow,
            Some(RowState::Unknown) | None => Look::Normal,
        };
        let (mark, rest) = line.split_at_checked(MARK).unwrap_or((line, ""));
        page.styled(&[(look, mark), (Look::Normal, rest)]);
    }
    for line in causes.iter().chain(&warnings) {
        page.styled(&[(Look::Normal, line)]);
    }
    page
}

/// Only printable ASCII, cut to a width.
fn fit(text: &str, width: usize) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let text = text.replace('\u{2026}', "...");
    if text.chars().count() <= width {
        return text.chars().map(plain).collect();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(2)).map(plain).collect();
    cut.push_str("..");
    cut
}

/// The verdict and the source, on one line, or two.
fn head(report: &Report) -> Vec<String> {
    let errors = report.causes.iter().filter(|c| c.severity == Severity::Error).count();
    let verdict = match (report.verdict, errors) {
        (Verdict::Works, _) => "OK".to_owned(),
        (Verdict::Applied, _) => "applied, not yet verified".to_owned(),
        (Verdict::Unverified, _) if report.only_verified => "NOT VERIFIED".to_owned(),
        (Verdict::Unverified, _) => "applied, NOT VERIFIED".to_owned(),
        (Verdict::Nothing, _) if report.only_verified => "NOTHING VERIFIED".to_owned(),
        (Verdict::Nothing, _) if report.is_by_design() => "nothing to apply".to_owned(),
        (Verdict::Nothing, _) => "NOTHING APPLIED".to_owned(),
        (Verdict::Interrupted, _) => "INTERRUPTED".to_owned(),
        (Verdict::Faults, 0 | 1) => "FAULT".to_owned(),
        (Verdict::Faults, count) => format!("{count} FAULTS"),
    };
    let mut first = format!("netapply: {verdict}");
    let mut more: Vec<String> = Vec::new();
    if let Some(origin) = &report.source {
        let label = origin.label.as_ref().map_or_else(String::new, |l| format!(" \"{l}\""));
        // As many parts as fit go on the first line, the rest on the second.
        let mut parts = vec![format!("{}{label}", origin.path)];
        parts.extend(origin.created.as_ref().map(|time| format!("of {time}")));
        parts.push(format!("text {}", origin.hash));
        parts.extend(origin.instance_id.as_ref().map(|id| format!("instance {id}")));
        first.push_str(" - ");
        let mut room = true;
        for (number, part) in parts.into_iter().enumerate() {
            room &= number == 0 || first.len() + 2 + part.chars().count() <= WIDTH;
            match (room, number) {
                (true, 0) => first.push_str(&part),
                (true, _) => first.push_str(&format!(", {part}")),
                (false, _) => more.push(part),
            }
        }
    }
    if !report.format.is_empty() {
        more.push(report.format.clone());
    }
    if let Some(applied) = &report.applied {
        let steps = if applied.planned == 1 { "step" } else { "steps" };
        more.push(match applied.planned {
            0 => "nothing to change".to_owned(),
            planned => format!("{} of {planned} {steps} done", applied.done),
        });
    }
    if report.seconds > 0.0 {
        more.push(format!("{:.1} s", report.seconds));
    }
    let mut lines = vec![fit(&first, WIDTH)];
    if !more.is_empty() {
        lines.push(fit(&format!("{:MARK$}{}", "", more.join(", ")), WIDTH));
    }
    lines
}

/// As many rows as there is room for: failures and the rows above them first, the rest counted.
fn rows(picture: &[Row], room: usize) -> Vec<(String, Option<RowState>)> {
    let mut shown: Vec<bool> = vec![picture.len() <= room; picture.len()];
    if picture.len() > room {
        let mut left = room.saturating_sub(1);
        for wanted in [RowState::Fault, RowState::Blocked, RowState::Unknown, RowState::Ok] {
            let of_kind: Vec<usize> =
                (0..picture.len()).filter(|at| picture.get(*at).is_some_and(|r| r.state == wanted)).collect();
            for at in of_kind {
                // There may be thousands of rows.
                if left == 0 {
                    break;
                }
                let line: Vec<usize> = with_ancestors(picture, at)
                    .into_iter()
                    .filter(|at| shown.get(*at) == Some(&false))
                    .collect();
                if line.len() > left {
                    continue;
                }
                left -= line.len();
                for at in line {
                    if let Some(slot) = shown.get_mut(at) {
                        *slot = true;
                    }
                }
            }
        }
    }
    let kept: Vec<&Row> =
        picture.iter().zip(&shown).filter(|(_, shown)| **shown).map(|(row, _)| row).collect();
    let hidden: Vec<&Row> =
        picture.iter().zip(&shown).filter(|(_, shown)| !**shown).map(|(row, _)| row).collect();
    let mut lines: Vec<(String, Option<RowState>)> = Vec::new();
    for (at, row) in kept.iter().enumerate() {
        lines.push((row_line(&kept, at, row), Some(row.state)));
    }
    if !hidden.is_empty() {
        let bad = hidden.iter().filter(|r| r.state == RowState::Fault).count();
        let how =
            if bad == 0 { "none of them at fault".to_owned() } else { format!("{bad} of them at fault") };
        lines.push((format!("{:MARK$}and {} more, {how}", "", hidden.len()), None));
    }
    lines
}

/// A row's index and those of its ancestors, from the top.
fn with_ancestors(picture: &[Row], at: usize) -> Vec<usize> {
    let mut line = vec![at];
    let mut depth = picture.get(at).map_or(0, |r| r.depth);
    for above in (0..at).rev() {
        match picture.get(above) {
            Some(row) if row.depth < depth => {
                depth = row.depth;
                line.push(above);
            }
            _ => {}
        }
    }
    line.reverse();
    line
}

fn row_line(rows: &[&Row], at: usize, row: &Row) -> String {
    let mark = match row.state {
        RowState::Ok => "ok",
        RowState::Fault => "FAIL",
        RowState::Blocked => "wait",
        RowState::Unknown => "-",
    };
    let mut tree = String::new();
    for depth in 1..=row.depth {
        // Whether another shown sibling follows at this depth.
        let next = rows.iter().skip(at + 1).find(|r| r.depth <= depth);
        let follows = next.is_some_and(|r| r.depth == depth);
        tree.push_str(match (depth == row.depth, follows) {
            (true, true) => "|- ",
            (true, false) => "`- ",
            (false, true) => "|  ",
            (false, false) => "   ",
        });
    }
    let gap = if row.words.is_empty() { "" } else { "  " };
    fit(&format!("{mark:<MARK$}{tree}{}{gap}{}", row.name, row.words), WIDTH)
}

/// Each cause in at most two lines and its action in at most two, as far as there is room; the rest counted.
fn causes(report: &Report, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let errors = report.causes.iter().filter(|c| c.severity == Severity::Error);
    let rest = report.causes.iter().filter(|c| c.severity != Severity::Error);
    let all: Vec<&Cause> = errors.chain(rest).collect();
    for (number, cause) in all.iter().enumerate() {
        let block = cause_lines(cause);
        let left = all.len() - number;
        // Room for "and N more" unless this is the last.
        let keep = usize::from(left > 1);
        if lines.len() + block.len() + keep > room {
            let noun = if left == 1 { "cause" } else { "causes" };
            lines.push(format!("and {left} more {noun}: netapply report --json"));
            break;
        }
        lines.extend(block);
    }
    lines
}

fn cause_lines(cause: &Cause) -> Vec<String> {
    let noun = if cause.severity == Severity::Warning { "warning: " } else { "" };
    let Cause { message, certainty, code, .. } = cause;
    let mut shown = message.clone();
    // The code is at the end, however long the message.
    let mut lines = loop {
        let lines = wrap(&format!("{noun}{shown} ({certainty}) [{code}]"), "* ", "  ", usize::MAX);
        if lines.len() <= 3 || shown.chars().count() < 20 {
            break lines;
        }
        let keep = shown.trim_end_matches("..").chars().count() - 8;
        shown = shown.chars().take(keep).collect::<String>() + "..";
    };
    lines.extend(wrap(&cause.action, "  -> ", "     ", 2));
    lines
}

/// The lines of a text on a console with 80 columns.
pub fn wrapped(text: &str) -> Vec<String> {
    wrap(text, "", "  ", usize::MAX)
}

/// Breaks a text at spaces into at most `most` lines.
fn wrap(text: &str, first: &str, next: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![first.to_owned()];
    let mut empty = true;
    for word in text.split_whitespace() {
        let length = lines.last().map_or(0, |line| line.chars().count());
        let gap = usize::from(!empty);
        if !empty && length + gap + word.chars().count() > WIDTH {
            if lines.len() == most {
                if let Some(last) = lines.last_mut() {
                    *last = fit(&format!("{last} {word}"), WIDTH);
                }
                return lines;
            }
            lines.push(next.to_owned());
            empty = true;
        }
        if let Some(line) = lines.last_mut() {
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
    }
    lines.iter().map(|line| fit(line, WIDTH)).collect()
}

/// The number of warnings about the description, which the log and `netapply check` show. And the first thing that
/// could not be checked: without root, say.
fn warnings(report: &Report) -> Vec<String> {
    let unreadable = report.evidence.iter().flat_map(|e| &e.unreadable).take(1);
    let mut lines: Vec<String> = unreadable.map(|what| fit(&format!("not checked: {what}"), WIDTH)).collect();
    let warnings: Vec<_> = report.diagnostics.iter().filter(|d| d.severity == Severity::Warning).collect();
    match warnings.as_slice() {
        [] => {}
        [one] => {
            let at = one.at.as_ref().map_or_else(String::new, |at| format!("{at}: "));
            lines.push(fit(&format!("warning: {at}{} [{}]", one.message, one.code), WIDTH));
        }
        many => {
            lines.push(format!("{} warnings about the description: netapply check shows them", many.len()))
        }
    }
    lines
}
